"""OpenAI-style messages: reading them and validating them."""
