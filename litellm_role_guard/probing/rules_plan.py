"""The plan of the probes for one set of rules."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

from ..profile.rules import Answer, Rules
from ..profile.states import KINDS, STATES, SYSTEM_KINDS, SYSTEM_RUNS, Kind
from .asker import Asker
from .paths import CONTINUATIONS, continuations_of, first_path
from .probe import Probe, Rendering, rank
from .probe_builder import (
    ProbeBuilder,
    add_all,
    half_answered,
    late_result,
    on_path,
    parallel_round,
    repeated_id,
)

_SPEAKS: tuple[Kind, ...] = ("assistant", "call")


def rules_plan(*, tools: bool) -> Generator[list[Probe], list[Rendering], Rules]:
    ask = Asker(tools)
    late = ProbeBuilder(
        "system", "user", "assistant", "system", "user", "assistant", "user", unordered_marks=1
    )
    has_leading_system = yield from ask({("follows_with_system", "assistant", "system"): [late]})
    takes_late = "accepted" in has_leading_system.values()
    follows_with_system: dict[str, dict[Kind, Answer]] = {}
    leading_system = yield from ask(
        {run: [ProbeBuilder(*run.split(), "user")] for run in SYSTEM_RUNS}, "leading_system"
    )
    without_user = yield from ask(
        {
            "leading_system": [ProbeBuilder("system")],
            "several_systems": [ProbeBuilder("system", "system")],
            "assistant": [ProbeBuilder("assistant")],
            "opened": [ProbeBuilder("assistant", "user")],
        },
        "without_user",
    )
    if leading_system["system"] != "accepted":
        del without_user["leading_system"]
    if leading_system["system system"] != "accepted":
        del without_user["several_systems"]
    if without_user.pop("opened") != "accepted":
        del without_user["assistant"]
    follows: dict[str, dict[Kind, Answer]] = {}
    ends: dict[str, Answer] = {}
    ends_with_system: dict[str, Answer] = {}
    ways: dict[str, tuple[str, ...]] = {}
    for state in STATES:
        way = first_path(state, leading_system, follows, follows_with_system)
        if way is None:
            # Nothing that was read leads here, so that nothing may be built on it.
            follows[state] = dict.fromkeys(KINDS, "refused")
            continue
        ways[state] = way
        follows[state] = yield from ask(
            {
                kind: [on_path(way, kind, *sequel) for sequel in continuations_of(kind, way)]
                for kind in KINDS
            },
            "follows",
            state,
        )
        others: list[Kind] = [kind for kind in SYSTEM_KINDS if follows[state][kind] != "accepted"]
        if takes_late and others and way[:1] not in ((), ("system",)):
            follows_with_system[state] = yield from ask(
                {
                    kind: [
                        on_path(("system", *way), kind, *sequel) for sequel in CONTINUATIONS[kind]
                    ]
                    for kind in others
                },
                "follows_with_system",
                state,
            )
        if state not in ("start", "leading_system"):
            ends |= yield from ask({state: [on_path(way)]}, "ends")
            if leading_system["system"] == "accepted" and way[0] != "system":
                ends_with_system |= yield from ask(
                    {state: [on_path(("system", *way))]}, "ends_with_system"
                )
    if follows["start"]["tool"] == "accepted" != follows["assistant+tool"]["user"]:
        # No user turn could be added to one that stands alone.
        alone = yield from ask({("follows", "start", "tool"): [ProbeBuilder("tool")]})
        follows["start"]["tool"] = next(iter(alone.values()))
    ended = (
        {"leading_system": without_user["leading_system"], **ends}
        if "leading_system" in ways
        else ends
    )
    follows_with_several_systems: dict[Kind, Answer] = {}
    if leading_system["system system"] == "accepted" and "leading_system" in ways:
        unread = [kind for kind in _SPEAKS if follows["leading_system"][kind] != "accepted"]
        follows_with_several_systems = yield from ask(
            {
                kind: [
                    on_path(("system", "system"), kind, *sequel) for sequel in CONTINUATIONS[kind]
                ]
                for kind in unread
            },
            "follows_with_several_systems",
        )
    nexts: dict[str, dict[str, Answer]] = {
        state: {**dict(follows[state].items()), **({"end": ended[state]} if state in ended else {})}
        for state in ways
    }
    ignored_empty = yield from _passed(ask, ways, leading_system, nexts)
    hoisted_kinds = yield from ask(
        {
            (kind, frame): [ProbeBuilder(*(kind if at == "*" else at for at in frame)).moved(kind)]
            for kind in SYSTEM_KINDS
            for frame in (("user", "*", "assistant", "user"), ("user", "assistant", "*", "user"))
        },
        "hoisted_kinds",
    )
    reads_calls = follows.get("user", {}).get("call") == "accepted"
    reads_late = follows.get("user", {}).get("system") == "accepted"
    details = yield from ask(_details(reads_calls, reads_late, leading_system))
    # Where several calls are taken at once, an id may be used up by standing among others.
    several = 2 if details.get("parallel_calls") == "accepted" else 1
    repeated = yield from ask({"repeated_call_ids": [repeated_id(several)]} if reads_calls else {})
    return Rules(
        leading_system=leading_system,
        follows=follows,
        follows_with_system=follows_with_system,
        follows_with_several_systems=follows_with_several_systems,
        ends=ends,
        ends_with_system=ends_with_system,
        ignored_empty=ignored_empty,
        without_user=without_user,
        hoisted_kinds=[
            kind
            for kind in SYSTEM_KINDS
            if all(
                answer == "accepted"
                for (asked, _), answer in hoisted_kinds.items()
                if asked == kind
            )
        ],
        developer_then_system=details.pop("developer_then_system"),
        developer_before_last=(
            "not_read"
            if follows["user"]["developer"] == "accepted"
            else details["developer_before_last"]
        ),
        empty_developer=_worst(_group(details, "empty_developer")),
        parts=_group(details, "parts"),
        other_parts=details["other_parts"],
        reasoning=details["reasoning"],
        null=_group(details, "null"),
        blank=_group(details, "blank"),
        call_text=details.get("call_text", "accepted"),
        open_call_text=details.get("open_call_text", "accepted"),
        half_answered=details.get("half_answered", "accepted"),
        parallel_calls=details.get("parallel_calls", "accepted"),
        late_results=_worst(_group(details, "late_results")) if reads_calls else "not_read",
        stray_results=_group(details, "stray_results"),
        long_result_ids=details.get("long_result_ids", "accepted"),
        long_call_ids=details.get("long_call_ids", "accepted"),
        repeated_call_ids=repeated.get("repeated_call_ids", "accepted"),
        repeated_lone_ids=details.get("repeated_lone_ids", "accepted"),
    )


def _passed(
    ask: Asker,
    ways: Mapping[str, tuple[str, ...]],
    leading_system: Mapping[str, Answer],
    nexts: Mapping[str, Mapping[str, Answer]],
) -> Generator[list[Probe], list[Rendering], dict[str, dict[Kind, str]]]:
    """Give the states to which empty messages lead of kinds that are not read.

    Args:
        ask: The oracle.
        ways: How a conversation gets to each state.
        leading_system: What is read before the first turn.
        nexts: What may come next in each state, `end` among it.
    """
    unread: dict[str, list[Kind]] = {
        state: [
            kind
            for kind in ("tool", "system", "function")
            if nexts[state][kind] == "not_read"
            and not (state in ("start", "leading_system") and kind in SYSTEM_KINDS)
        ]
        for state in ways
    }
    talks = {}
    for state, way in ways.items():
        # With a system message at the front, since some templates keep the last one, be it empty.
        if leading_system["system"] == "accepted" and way[:1] not in ((), ("system",)):
            way = ("system", *way)
        for kind in unread[state]:
            for next_, sequel in _AFTER_PASSED.items():
                # An empty message may push system text away from the front.
                if next_ in nexts[state] and (
                    next_ != "system" or state in ("start", "leading_system")
                ):
                    talk = on_path(way).say(kind, "")
                    talks["ignored_empty", state, kind, next_] = [add_all(talk, sequel)]
    answers = yield from ask(talks)
    ignored_empty: dict[str, dict[Kind, str]] = {}
    for state, kinds in unread.items():
        for kind in kinds:
            seen = {
                next_: answers["ignored_empty", state, kind, next_] == "accepted"
                for next_ in _AFTER_PASSED
                if ("ignored_empty", state, kind, next_) in answers
            }
            # A template that counts messages takes an empty one for a turn of the other side.
            for like in (state, "user", "assistant") if any(seen.values()) else ():
                known = nexts.get(like, {})
                if all((known.get(next_) == "accepted") == taken for next_, taken in seen.items()):
                    ignored_empty.setdefault(state, {})[kind] = like
                    break
    return ignored_empty


_AFTER_PASSED: dict[str, tuple[str, ...]] = {
    "end": (),
    "user": ("user",),
    "assistant": ("assistant", "user"),
    "system": ("system", "user", "assistant", "user"),
}


def _group(details: Mapping[Any, Answer], name: str) -> dict[str, Answer]:
    return {key[1]: answer for key, answer in details.items() if key[0] == name}


def _worst(answers: Mapping[str, Answer]) -> Answer:
    return min(answers.values(), key=rank)


def _details(
    reads_calls: bool, reads_late: bool, leading_system: Mapping[str, Answer]
) -> dict[Any, list[ProbeBuilder]]:
    asked: dict[Any, list[ProbeBuilder]] = {
        "developer_then_system": [
            ProbeBuilder("developer", "user", "system", "user"),
            ProbeBuilder("developer", "user", "assistant", "system", "user"),
        ],
    }
    asked["developer_before_last"] = [ProbeBuilder("user", "assistant", "developer", "user")]
    lead = ("system",) if leading_system["system"] == "accepted" else ()
    ways: tuple[tuple[str, ...], ...] = (("user",), ("user", "assistant"))
    for way in ways:
        talk = on_path((*lead, *way)).say("developer", "")
        asked["empty_developer", way[-1]] = [add_all(talk, ("assistant", "user")[len(way) - 1 :])]
    frames: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
        "system": ((), ("user",)),
        "developer": ((), ("user",)),
        "user": ((), ("assistant", "user")),
        "assistant": (("user",), ("user",)),
    }
    if reads_calls:
        frames["tool"] = (("user", "call"), ("assistant", "user"))
        asked |= {
            # Some templates take a call's text for a thought, and drop it once an answer follows.
            "call_text": [
                add_all(ProbeBuilder("user").call(1, text=True), ("tool", "assistant", "user"))
            ],
            "open_call_text": [add_all(ProbeBuilder("user").call(1, text=True), ("tool",))],
            "parallel_calls": [parallel_round(2)],
            "half_answered": [half_answered()],
            ("stray_results", "call"): [ProbeBuilder("user", "call").answer("another00")],
            ("stray_results", "tool"): [ProbeBuilder("user", "call", "tool").answer("another00")],
            "repeated_lone_ids": [repeated_id(1)],
            ("late_results", "user"): [late_result("user")],
            ("late_results", "assistant"): [late_result()],
            "long_call_ids": [ProbeBuilder("user").call(1, call_id="call_0123456789").add("tool")],
            "long_result_ids": [ProbeBuilder("user").answer("call_0123456789")],
        }
    for kind, (before, rest) in frames.items():
        asked["parts", kind] = [add_all(ProbeBuilder(*before).parts(kind), rest)]
        asked["null", kind] = [add_all(ProbeBuilder(*before).say(kind, None), rest)]
        asked["blank", kind] = [add_all(ProbeBuilder(*before).say(kind, ""), rest)]
    asked["other_parts"] = [add_all(ProbeBuilder("user").refuse(), ("user",))]
    asked["reasoning"] = [add_all(ProbeBuilder("user").think(), ("user",))]
    if reads_late:
        talk = ProbeBuilder("user").say("system", None)
        asked["null", "late system"] = [add_all(talk, ("user", "assistant", "user"))]
        talk = ProbeBuilder("user").say("system", "")
        asked["blank", "late system"] = [add_all(talk, ("user", "assistant", "user"))]
        talk = ProbeBuilder("user").parts("system")
        asked["parts", "late system"] = [add_all(talk, ("user", "assistant", "user"))]
    return asked
