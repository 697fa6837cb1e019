"""A proxy's config.yaml as LiteLLM reads it, and the guard's settings in it."""
