"""Which answers of a server are about the API key."""

from __future__ import annotations


def is_about_the_key(status: int, *, has_key: bool) -> bool:
    """Return whether a proxy or a vLLM refuses the key, or wants one.

    LiteLLM without a database answers with 500 where there is no key, and with 400 where it is not
    the master key.

    Args:
        status: The status of its answer to a request that is otherwise sound.
        has_key: Whether a key was sent.
    """
    return status in (401, 403, 400 if has_key else 500)
