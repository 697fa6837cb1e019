"""The address of a vLLM and the HTTP client that asks it."""
