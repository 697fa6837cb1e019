"""Real agents, in front of a LiteLLM proxy, in front of a model that follows a script."""
