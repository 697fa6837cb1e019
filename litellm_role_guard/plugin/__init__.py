"""The LiteLLM hooks, and what only they need."""
