"""The answers of the probes, by the place in the profile that they decide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..profile.rules import Answer

Path = tuple[str, ...]
"""A field of `Rules`, then the keys within it, such as `("follows", "user", "tool")`."""


class Answers:
    """The answers so far, by path.

    A path may be longer than its field is deep: several answers then decide one entry. What they
    come to is worked out in `assembly.py`.
    """

    def __init__(self) -> None:
        self._by_path: dict[Path, Answer] = {}

    def update(self, answers: Mapping[Path, Answer]) -> None:
        """Keep answers; one for a path that has an answer replaces it."""
        self._by_path.update(answers)

    def get(self, *path: str) -> Answer | None:
        """Return the answer at a path; None if there is none."""
        return self._by_path.get(path)

    def is_accepted(self, *path: str) -> bool:
        """Return whether the answer at a path is `accepted`."""
        return self._by_path.get(path) == "accepted"

    def below(self, *path: str) -> dict[str, Answer]:
        """Return the answers whose path has exactly one more key, by that key."""
        depth = len(path)
        return {
            key[depth]: answer
            for key, answer in self._by_path.items()
            if len(key) == depth + 1 and key[:depth] == path
        }

    def as_tree(self) -> dict[str, Any]:
        """Return all answers as nested dicts, one level for each key of a path."""
        tree: dict[str, Any] = {}
        for (*parents, last), answer in self._by_path.items():
            branch = tree
            for key in parents:
                branch = branch.setdefault(key, {})
            branch[last] = answer
        return tree
