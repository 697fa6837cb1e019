"""What goes wrong when a backend is asked.

Exception
├── LearningFailed: no usable answer
│   ├── ModelNotServed: the server is fine but serves other models
│   └── KeyRefused: it wants an API key, or another one
└── BackendRefused: an answer: the conversation is refused
"""

from __future__ import annotations


class LearningFailed(Exception):  # noqa: N818 - it says what happened
    """No profile can be learnt from a backend; `str()` is the reason, in one line."""


class ModelNotServed(LearningFailed):
    """A backend serves other models than the one asked for, whose name may be a client's."""


class KeyRefused(LearningFailed):
    """A backend wants an API key, or another one than it was sent."""


class BackendRefused(Exception):  # noqa: N818 - it is an answer, not an error
    """A backend answered with 400; `str()` is its message."""
