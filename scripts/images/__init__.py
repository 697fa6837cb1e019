"""Builds and runs the images of deploy/ where there is neither Docker nor a registry."""
