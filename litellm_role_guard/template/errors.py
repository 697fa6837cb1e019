"""What can go wrong with a template.

Exception
├── TemplateRefused: the template refuses a conversation
└── ValueError
    └── TemplateInvalid: there is no usable template
"""

from __future__ import annotations


class TemplateRefused(Exception):  # noqa: N818 - it is an answer, not an error
    """A template refused a conversation; `str()` is the template's own message."""


class TemplateInvalid(ValueError):  # noqa: N818 - named like its twin
    """A file holds no chat template, or one that does not compile; the message names the file."""
