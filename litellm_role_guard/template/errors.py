"""What a template may answer besides a prompt."""

from __future__ import annotations


class TemplateRefused(Exception):  # noqa: N818 - it is an answer, not an error
    """A template refused a conversation; `str()` gives the template's own words."""


class TemplateInvalid(ValueError):  # noqa: N818 - named like its twin
    """A file holds no chat template, or one that does not compile; the message names it."""
