"""What is told at a glance is what all steps of a repair say."""

from __future__ import annotations

import gc
import json
import sys
import tracemalloc
from collections import UserList
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from litellm_role_guard.messages.validation import find_validation_error
from litellm_role_guard.probing.probe import TOOLS
from litellm_role_guard.profile.template_profile import TemplateProfile
from litellm_role_guard.repair.chain import SEPARATOR, Repair, repair, repair_by_steps
from litellm_role_guard.repair.context import RepairContext
from litellm_role_guard.repair.policy import RepairPolicy
from testing.laws import Conversation, conversations
from testing.learnt import learnt
from testing.real_templates import REAL, name
from testing.size import examples, some
from testing.templates import TEMPLATES

OURS = sorted(TEMPLATES.glob("*.jinja"))

many = examples(quick=6, full=25)

_CONTENTS: Sequence[Any] = ("", " ", None, [], [{"type": "text", "text": " "}])
_EXTRAS: Sequence[dict[str, Any]] = (
    {"name": "bob"},
    {"refusal": None},
    {"refusal": "no"},
    {"tool_calls": []},
    {"tool_calls": None},
    {"function_call": None},
    {"function_call": {"name": "look", "arguments": "{}"}},
    {"reasoning_content": "hm"},
    {"reasoning": ""},
    {"tool_call_id": "a"},
)


def profile_of(path: Path | None) -> TemplateProfile:
    """Give the profile of a template, or the cautious one."""
    return TemplateProfile.cautious() if path is None else learnt(path)[1]


@st.composite
def nearly_sound(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Give conversations as clients hold them, in which a few things are not as they should be."""
    messages: list[dict[str, Any]] = []
    said = 0

    def text() -> Any:
        nonlocal said
        said += 1
        if draw(st.integers(0, 19)) == 0:
            return draw(st.sampled_from(_CONTENTS))
        if draw(st.integers(0, 4)) == 0:
            parts = draw(st.sampled_from([1, 1, 2]))
            return [{"type": "text", "text": f"part {said} {at}"} for at in range(parts)]
        return f"text {said}"

    def call_round() -> None:
        ids = [f"call{len(messages):05d}", f"more{len(messages):05d}"][: draw(st.integers(1, 2))]
        if draw(st.integers(0, 9)) == 0:
            ids = [draw(st.sampled_from(["a", "call_long_id", "call00001"]))]
        arguments = draw(st.sampled_from(['{"q": 1}', "{}", "", '{"q": "\\ud800"}'] + ["{cut"] * 1))
        calls = [
            {"id": each, "type": "function", "function": {"name": "look", "arguments": arguments}}
            for each in ids
        ]
        messages.append({"role": "assistant", "content": None, "tool_calls": calls})
        if draw(st.integers(0, 9)) == 0:
            messages[-1]["content"] = text()
        if draw(st.integers(0, 19)) == 0:
            ids = draw(st.permutations([*ids, "stray"]))[:-1]
        for each in ids:
            messages.append({"role": "tool", "tool_call_id": each, "content": text()})

    if draw(st.booleans()):
        messages.append({"role": "system", "content": text()})
    for _ in range(draw(st.integers(1, 6))):
        messages.append({"role": "user", "content": text()})
        for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
            call_round()
        messages.append({"role": "assistant", "content": text()})
    messages.append({"role": "user", "content": text()})
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2, 3]))):
        at = draw(st.integers(0, len(messages) - 1))
        change = draw(st.sampled_from(["drop", "twice", "role", "extra", "keys"]))
        if change == "drop" and len(messages) > 1:
            del messages[at]
        elif change == "twice":
            messages.insert(at, {**messages[at]})
        elif change == "role":
            roles = ["system", "developer", "user", "assistant", "tool", "function", "guest"]
            messages[at] = {**messages[at], "role": draw(st.sampled_from(roles))}
        elif change == "extra":
            messages[at] = {**messages[at], **draw(st.sampled_from(_EXTRAS))}
        else:
            gone = draw(st.sampled_from(["content", "tool_call_id", "tool_calls"]))
            messages[at] = {key: value for key, value in messages[at].items() if key != gone}
    return messages


def assert_as_by_steps(messages: list[dict[str, Any]], profile: TemplateProfile) -> None:
    """Assert that the repair is what all steps make, with tools and without."""
    assume(find_validation_error(messages, extra_roles=["guest"]) is None)
    before, own = json.dumps(messages), set(map(id, messages))

    def kept(repaired: Repair) -> list[bool]:  # what is not changed is not copied
        return [id(message) in own for message in repaired.messages]

    for tools in (None, TOOLS):
        for placeholder in ("", "(nothing)"):
            told = repair(messages, profile, tools=tools, placeholder=placeholder)
            policy = RepairPolicy.of(profile.rules(tools=bool(tools)))
            step_by_step = repair_by_steps(
                messages, RepairContext(policy, SEPARATOR, placeholder, prefill=False)
            )
            assert told == step_by_step
            assert (told.messages is messages) == (step_by_step.messages is messages)
            assert kept(told) == kept(step_by_step)
    assert json.dumps(messages) == before


@pytest.mark.parametrize("path", some([None, *OURS, *REAL]), ids=lambda path: path and name(path))
@given(messages=nearly_sound())
@many
def test_a_nearly_sound_conversation_is_repaired_as_by_all_steps(
    path: Path | None, messages: list[dict[str, Any]]
) -> None:
    """The very same messages and changes come of it, whatever is wrong."""
    assert_as_by_steps(messages, profile_of(path))


@pytest.mark.parametrize("path", some([None, *OURS, *REAL]), ids=lambda path: path and name(path))
@given(conversation=conversations(rough=True))
@many
def test_any_conversation_is_repaired_as_by_all_steps(
    path: Path | None, conversation: Conversation
) -> None:
    """So it is where hardly anything is as it should be."""
    assert_as_by_steps(conversation.messages, profile_of(path))


def sound(size: int) -> list[dict[str, Any]]:
    """Give a conversation that every template takes."""
    roles = ("user", "assistant")
    said = [{"role": roles[at % 2], "content": f"text {at}"} for at in range(size - size % 2 - 1)]
    return [{"role": "system", "content": "Be brief."}, *said]


def broken(size: int) -> list[dict[str, Any]]:
    """Give one with an unanswered question, and a system message amid it, among every 20."""
    messages = sound(size)
    for at in range(len(messages) - 2, 1, -20):
        messages.insert(at, {"role": "system", "content": f"system {at}"})
        messages.insert(at - 9, dict(messages[at - 9]))
    return messages


def repeating(rounds: int) -> list[dict[str, Any]]:
    """Give one whose calls all have one id, after one that has what may stand in for it."""
    given = [f"{number:09x}" for number in range(1, 20)]
    messages: list[dict[str, Any]] = [{"role": "user", "content": "go"}]
    for call_id in [*given, *["call00001"] * rounds]:
        function = {"name": "look_up", "arguments": "{}"}
        call = {"id": call_id, "type": "function", "function": function}
        messages += [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": call_id, "content": "done"},
        ]
    return messages


CAUTIOUS = TemplateProfile.cautious()
READS_IDS_ONCE = TemplateProfile(repeated_call_ids="not_read", repeated_lone_ids="not_read")


def function_calls(messages: list[dict[str, Any]], profile: TemplateProfile) -> int:
    """Give how many functions of Python a repair calls."""
    count = 0

    def counted(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event == "call"

    repair(messages, profile)  # some of what follows is derived from a profile once
    before = sys.getprofile()
    gc.collect()
    gc.disable()  # what it ends may call functions of its own
    sys.setprofile(counted)
    try:
        repair(messages, profile)
    finally:
        sys.setprofile(before)
        gc.enable()
    return count


def test_a_sound_conversation_is_gone_over_without_a_call_and_without_a_copy() -> None:
    """A longer one takes no more function calls and no more memory."""
    short, long = sound(8), sound(2000)
    profile = CAUTIOUS
    assert repair(long, profile).messages is long
    assert function_calls(long, profile) == function_calls(short, profile)
    peaks = []
    for messages in (short, long):
        tracemalloc.start()
        try:
            repair(messages, profile)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert abs(peaks[1] - peaks[0]) < 64  # bytes


def test_the_work_of_a_repair_grows_as_the_conversation_does() -> None:
    """Ten times as many messages take ten times as many function calls."""
    few, many_messages = (function_calls(broken(size), CAUTIOUS) for size in (200, 2000))
    assert few * 9 < many_messages < few * 11


class Compared(str):
    """Counts how often it is compared."""

    __slots__ = ()
    times = 0

    def __eq__(self, other: object) -> bool:
        Compared.times += 1
        return super().__eq__(other)

    def __hash__(self) -> int:
        return super().__hash__()


def test_each_result_finds_its_call_at_once() -> None:
    """However many calls wait for theirs, where a template wants each result to have one."""
    ids = [f"{number:09x}" for number in range(500)]
    function = {"name": "look_up", "arguments": "{}"}
    calls = [{"id": each, "type": "function", "function": function} for each in ids]
    user = {"role": "user", "content": "go"}
    messages: list[dict[str, Any]] = [
        user,
        {"role": "assistant", "content": None, "tool_calls": calls},
        *({"role": "tool", "tool_call_id": Compared(each), "content": "done"} for each in ids),
        {"role": "assistant", "content": "all done"},
        user,
    ]
    profile = TemplateProfile(stray_results={"call": "refused", "tool": "refused"})
    assert repair(messages, profile).messages is messages
    assert 0 < Compared.times < 5 * 500


@pytest.mark.parametrize("make", [UserList, tuple], ids=["list of one's own", "tuple"])
def test_any_sequence_is_a_conversation(make: Callable[[list[Any]], Sequence[Any]]) -> None:
    """It is the very one that comes back where nothing is in the way."""
    given = broken(50)
    assert repair(make(given), CAUTIOUS) == repair(given, CAUTIOUS)
    fine = make(sound(50))
    assert repair(fine, CAUTIOUS).messages is fine


def test_each_repeat_of_a_call_id_gets_one_of_its_own() -> None:
    """Whatever ids are taken, and with no more work for the last one than for the first."""
    messages = repeating(200)
    repaired = repair(messages, READS_IDS_ONCE).messages
    ids = [call["id"] for message in repaired for call in message.get("tool_calls", [])]
    assert len(set(ids)) == len(ids) == 219
    assert ids == [message["tool_call_id"] for message in repaired if message["role"] == "tool"]
    assert all(len(call_id) == 9 and call_id.isalnum() for call_id in ids)
    few, many_rounds = (function_calls(repeating(rounds), READS_IDS_ONCE) for rounds in (100, 1000))
    assert many_rounds < few * 11
