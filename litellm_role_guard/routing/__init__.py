"""Which healthy deployment has a conversation in its prefix cache."""
