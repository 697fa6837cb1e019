"""Why a backend could not be asked."""

from __future__ import annotations


class LearningFailed(Exception):  # noqa: N818 - it says what happened
    """No profile can be learnt from a backend; `str()` tells why, in one line."""


class ModelNotServed(LearningFailed):
    """A backend serves other models. Which are asked for may be up to clients."""


class BackendRefused(Exception):  # noqa: N818 - it is an answer, not an error
    """A 400, with its words."""
