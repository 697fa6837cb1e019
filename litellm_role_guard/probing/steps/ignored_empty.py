"""Empty messages that a template passes over, and the state in which they leave a conversation."""

from __future__ import annotations

from collections.abc import Mapping

from ...profile.rules import Answer
from ...profile.states import BEFORE_TURNS, SYSTEM_KINDS, Kind
from ..answers import Answers, Path
from ..asker import Asker, Step
from ..probe_builder import ProbeBuilder, add_all, on_path

_IGNORABLE_KINDS: tuple[Kind, ...] = ("tool", "system", "function")

_CONTINUATIONS: dict[str, tuple[str, ...]] = {
    "end": (),
    "user": ("user",),
    "assistant": ("assistant", "user"),
    "system": ("system", "user", "assistant", "user"),
}
"""What may come after the empty message, with what a template may need to take it."""


def ask_ignored_empty(asker: Asker, paths: Mapping[str, tuple[str, ...]]) -> Step[None]:
    """Ask what may follow an empty message of a kind that is not read.

    Args:
        asker: Takes the probes and keeps the answers.
        paths: A path to each state that is reached.
    """
    answers = asker.answers
    questions: dict[Path, list[ProbeBuilder]] = {}
    for state, path in paths.items():
        # With a leading system message: some templates keep the last system message, even empty.
        if answers.is_accepted("leading_system", "system") and path[:1] not in ((), ("system",)):
            path = ("system", *path)
        for kind in _unread_kinds(answers, state):
            for next_, continuation in _CONTINUATIONS.items():
                if _is_comparable(answers, state, next_):
                    builder = add_all(on_path(path).say(kind, ""), continuation)
                    questions["ignored_empty", state, kind, next_] = [builder]
    yield from asker.ask(questions)


def ignored_empty(answers: Answers) -> dict[str, dict[Kind, str]]:
    """Return the state after an empty message that is passed over, by state and kind.

    It is the state in which the same may come next as after the empty message. A template that
    counts messages takes an empty one for a turn of the other side.
    """
    found: dict[str, dict[Kind, str]] = {}
    for state in answers.as_tree().get("ignored_empty", {}):
        for kind in _IGNORABLE_KINDS:
            follows = answers.below("ignored_empty", state, kind)
            if "accepted" not in follows.values():
                continue
            for candidate in (state, "user", "assistant"):
                if all(
                    (answer == "accepted") == (_may_come(answers, candidate, next_) == "accepted")
                    for next_, answer in follows.items()
                ):
                    found.setdefault(state, {})[kind] = candidate
                    break
    return found


def _unread_kinds(answers: Answers, state: str) -> list[Kind]:
    leading = state in BEFORE_TURNS
    return [
        kind
        for kind in _IGNORABLE_KINDS
        if answers.get("follows", state, kind) == "not_read"
        and not (leading and kind in SYSTEM_KINDS)
    ]


def _is_comparable(answers: Answers, state: str, next_: str) -> bool:
    # After the first turn, an empty message may take the place of leading system text.
    if next_ == "system" and state not in BEFORE_TURNS:
        return False
    return _may_come(answers, state, next_) is not None


def _may_come(answers: Answers, state: str, next_: str) -> Answer | None:
    if next_ != "end":
        return answers.get("follows", state, next_)
    if state == "leading_system":
        return answers.get("without_user", "leading_system")
    return answers.get("ends", state)
