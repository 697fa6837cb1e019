"""How much is tested: `quick`, `full`, or as much as `full` with fresh conversations."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

from hypothesis import settings

SIZES = ("quick", "full", "fresh")
SIZE = os.environ.get("ROLE_GUARD_TESTS", "quick")
if SIZE not in SIZES:
    raise ValueError(f"ROLE_GUARD_TESTS={SIZE}: must be one of {', '.join(SIZES)}")


QUICK_SHARE = 3
"""A quick run takes every third template where each one costs seconds."""

_Each = TypeVar("_Each")


def some(each: Sequence[_Each]) -> list[_Each]:
    """Give every third of these in a quick run, and all of them in others."""
    return list(each[::QUICK_SHARE] if SIZE == "quick" else each)


def examples(*, quick: int, full: int) -> settings:
    """Give the settings of a test that draws so many examples in a quick run and in others."""
    return settings(max_examples=quick if SIZE == "quick" else full)
