"""What may come next in each state, and whether a conversation may end there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...profile.states import BEFORE_TURNS, KINDS, STATES, SYSTEM_KINDS, Kind
from ..answers import Path
from ..asker import Asker, Step
from ..paths import CONTINUATIONS, continuations_of, first_path
from ..probe_builder import ProbeBuilder, on_path
from .known_roles import ask_whether_known, make_rounds_whole

_SPEAKS: tuple[Kind, ...] = ("assistant", "call", "tool")


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
        if state not in BEFORE_TURNS:
            yield from _ask_ends(asker, state, path)
    yield from _ask_rounds_behind_system(asker, paths)
    make_rounds_whole(asker)
    yield from _ask_lone_rounds(asker)
    return paths


def ask_follows_with_several_systems(asker: Asker) -> Step[None]:
    """Ask what may follow several system messages though it may not follow a single one."""
    if not (
        asker.answers.is_accepted("leading_system", "system system")
        and asker.answers.is_accepted("leading_system", "system")
    ):
        return
    several = ("system", "system")
    questions: dict[Path, Sequence[ProbeBuilder]] = {
        ("follows_with_several_systems", kind): _sequels(several, kind, CONTINUATIONS[kind])
        for kind in _SPEAKS
        if not asker.answers.is_accepted("follows", "leading_system", kind)
        and asker.answers.is_accepted("follows", "user", kind)
    }
    yield from asker.ask(questions)
    yield from ask_whether_known(asker, questions, len(several))


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


def _ask_rounds_behind_system(asker: Asker, paths: Mapping[str, Sequence[str]]) -> Step[None]:
    """Ask about rounds behind a system message that takes the place of an answer.

    Some templates count it as one, and a round as none: `user, system, assistant` is refused then,
    and so is an answer to a round between the two.
    """
    state, answered = "user+system", ("follows", "user+tool", "assistant")
    if not asker.answers.is_accepted("follows", state, "user") or not (
        asker.answers.is_accepted(*answered)
    ):
        return
    if asker.answers.is_accepted("follows", state, "assistant"):
        return
    rounds: dict[Kind, tuple[str, ...]] = {"call": ("call", "tool"), "tool": ("tool",)}
    yield from asker.ask(
        {
            ("follows", state, kind): [on_path(paths[state], *kinds, "assistant", "user")]
            for kind, kinds in rounds.items()
            if asker.answers.is_accepted("follows", state, kind)
        }
    )


def _ask_lone_rounds(asker: Asker) -> Step[None]:
    """Ask about a call with its result, and a result alone, that are the whole conversation.

    `tool, assistant, user` was read, say. Whether a user turn has to be added to a result alone is
    another question. Where none may follow it (`user, tool, user` was not read), only the result
    alone counts.
    """
    lone = {"call": ProbeBuilder("call", "tool"), "tool": ProbeBuilder("tool")}
    questions: dict[Path, Sequence[ProbeBuilder]] = {
        ("without_user", kind): [builder]
        for kind, builder in lone.items()
        if asker.answers.is_accepted("follows", "start", kind)
    }
    yield from asker.ask(questions)
    alone = asker.answers.get("without_user", "tool")
    if alone is not None and not asker.answers.is_accepted("follows", "assistant+tool", "user"):
        asker.answers.update({("follows", "start", "tool"): alone})


def _sequels(
    path: Sequence[str], kind: Kind, continuations: Sequence[Sequence[str]]
) -> list[ProbeBuilder]:
    return [on_path(path, kind, *continuation) for continuation in continuations]
