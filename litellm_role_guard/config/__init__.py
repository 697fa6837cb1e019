"""A proxy's config.yaml: the guard's settings in it."""
