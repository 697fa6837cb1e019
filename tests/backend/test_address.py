"""Addresses as a log may show them."""

from __future__ import annotations

import pytest

from litellm_role_guard.backend.address import shown_address


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://gpu-0:8000/v1", "http://gpu-0:8000/v1"),
        ("http://ann:secret@gpu-0:8000/v1", "http://gpu-0:8000/v1"),
        ("http://gpu-0:8000/v1?token=secret", "http://gpu-0:8000/v1"),
        ("http://gpu-0:8000/v1#secret", "http://gpu-0:8000/v1"),
        ("http://ann:se?cr#et@gpu-0/v1", "http://gpu-0/v1"),
        ("http://ann:se/cret@gpu-0/v1", "http://gpu-0/v1"),
        ("http://ann:se@cret@gpu-0/v1", "http://gpu-0/v1"),
        ("http://ann:http://secret@gpu-0/v1", "http://gpu-0/v1"),
        ("ann:secret@gpu-0:8000", "gpu-0:8000"),
        ("ann:http://secret@gpu-0", "gpu-0"),
        ("//ann:secret@gpu-0", "gpu-0"),
        ("", ""),
    ],
)
def test_an_address_is_shown_without_credentials(url: str, shown: str) -> None:
    """Neither a name and password nor a query is shown, however oddly they are written."""
    assert shown_address(url) == shown
