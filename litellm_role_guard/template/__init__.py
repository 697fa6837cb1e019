"""A chat template, rendered as vLLM renders it, and what a prompt holds of a conversation."""
