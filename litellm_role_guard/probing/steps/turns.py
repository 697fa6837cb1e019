"""What may come next in each state, and whether a conversation may end there."""

from __future__ import annotations

from collections.abc import Sequence

from ...profile.states import KINDS, STATES, SYSTEM_KINDS, Kind
from ..answers import Path
from ..asker import Asker, Step
from ..paths import CONTINUATIONS, continuations_of, first_path
from ..probe_builder import ProbeBuilder, on_path
from .known_roles import ask_whether_known, make_rounds_whole

_SPEAKS: tuple[Kind, ...] = ("assistant", "call")


def ask_states(asker: Asker, *, with_second_system: bool) -> Step[dict[str, tuple[str, ...]]]:
    """Ask state by state what may come next, and return the path to each state that is reached.

    Args:
        asker: Takes the probes and keeps the answers.
        with_second_system: The result of `reads_second_system`.
    """
    paths: dict[str, tuple[str, ...]] = {}
    for state in STATES:
        path = first_path(state, asker.answers)
        if path is None:
            # No conversation that was read leads here, so nothing may be built on this state.
            asker.answers.update({("follows", state, kind): "refused" for kind in KINDS})
            continue
        paths[state] = path
        yield from _ask_follows(asker, state, path)
        if with_second_system and path[:1] not in ((), ("system",)):
            yield from _ask_follows_with_system(asker, state, path)
        if state not in ("start", "leading_system"):
            yield from _ask_ends(asker, state, path)
    make_rounds_whole(asker)
    yield from _ask_lone_result(asker)
    return paths


def ask_follows_with_several_systems(asker: Asker) -> Step[None]:
    """Ask what may follow several system messages though it may not follow a single one."""
    if not (
        asker.answers.is_accepted("leading_system", "system system")
        and asker.answers.is_accepted("leading_system", "system")
    ):
        return
    yield from asker.ask(
        {
            ("follows_with_several_systems", kind): _sequels(
                ("system", "system"), kind, CONTINUATIONS[kind]
            )
            for kind in _SPEAKS
            if not asker.answers.is_accepted("follows", "leading_system", kind)
        }
    )


def _ask_follows(asker: Asker, state: str, path: Sequence[str]) -> Step[None]:
    questions: dict[Path, Sequence[ProbeBuilder]] = {
        ("follows", state, kind): _sequels(path, kind, continuations_of(kind, path))
        for kind in KINDS
    }
    yield from asker.ask(questions)
    yield from ask_whether_known(asker, questions, len(path))


def _ask_follows_with_system(asker: Asker, state: str, path: Sequence[str]) -> Step[None]:
    questions: dict[Path, Sequence[ProbeBuilder]] = {
        ("follows_with_system", state, kind): _sequels(("system", *path), kind, CONTINUATIONS[kind])
        for kind in SYSTEM_KINDS
        if asker.answers.get("follows", state, kind) in ("refused", "not_read")
    }
    yield from asker.ask(questions)
    yield from ask_whether_known(asker, questions, 1 + len(path))


def _ask_ends(asker: Asker, state: str, path: Sequence[str]) -> Step[None]:
    yield from asker.ask({("ends", state): [on_path(path)]})
    if asker.answers.is_accepted("leading_system", "system") and path[0] != "system":
        yield from asker.ask({("ends_with_system", state): [on_path(("system", *path))]})


def _ask_lone_result(asker: Asker) -> Step[None]:
    """Ask about a tool result that is the whole conversation, if no user turn may follow it.

    `tool, assistant, user` was read. But if `user, tool, user` was not, a repair could not add a
    user turn to the result alone. So only the result alone counts.
    """
    opens = asker.answers.is_accepted("follows", "start", "tool")
    if opens and not asker.answers.is_accepted("follows", "assistant+tool", "user"):
        yield from asker.ask({("follows", "start", "tool"): [ProbeBuilder("tool")]})


def _sequels(
    path: Sequence[str], kind: Kind, continuations: Sequence[Sequence[str]]
) -> list[ProbeBuilder]:
    return [on_path(path, kind, *continuation) for continuation in continuations]
