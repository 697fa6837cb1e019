"""The address of a vLLM, the connections to it, and its HTTP API."""
