"""The repairs of a profile, written as Jinja in front of a template."""
