"""`repair(messages, profile)`: a pure chain of small named steps."""
