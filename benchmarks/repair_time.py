"""What a repair costs, beside LiteLLM's own pass over the messages and langchain-core's.

python -m benchmarks.repair_time    writes its part of docs/benchmarks.md (half a minute)
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from langchain_core.messages import convert_to_messages, merge_message_runs
from litellm.litellm_core_utils.prompt_templates.common_utils import get_completion_messages

from litellm_role_guard.profile.template_profile import TemplateProfile
from litellm_role_guard.repair.chain import repair
from litellm_role_guard.template.chat_template import ChatTemplate
from testing.real_templates import REAL, name

from .page import BENCHMARKS, Target, machine, table, targets, write
from .plot import lines
from .timing import interleaved

SIZES = (8, 100, 2000)
CHARS = 200

TEMPLATES = {"text": "trl-gemma3", "parts": "trl-gemma3", "tools": "axolotl-mistral_v3_tekken"}
"""By the form of the conversation. User and assistant must alternate; the second is shown calls."""

FAULTS = {"clean": None, "broken": 20, "badly broken": 4}
"""How many messages there are to one fault: in turns, a question without an answer and a system
message amid the conversation."""

LIMITS = {(100, "clean"): 0.2, (100, "badly broken"): 2.0} | {
    (2000, "clean"): 5.0,
    (2000, "badly broken"): 50.0,
}
"""How many milliseconds a request of so many messages is to wait for its repair, in any form."""


class Case(NamedTuple):
    """A conversation, and what it took to repair it.

    Attributes:
        form: One of `TEMPLATES`.
        fault: One of `FAULTS`.
        asked: One of `SIZES`.
        size: How many messages it has.
        changes: How many changes the repair made.
        guard: Time of `repair`, in seconds.
        litellm: Time of LiteLLM's pass.
        langchain: Time of langchain-core's `merge_message_runs`.
    """

    form: str
    fault: str
    asked: int
    size: int
    changes: int
    guard: float
    litellm: float
    langchain: float

    @property
    def ratio(self) -> float:
        """Time of the repair in proportion to LiteLLM's pass."""
        return self.guard / self.litellm


def conversation(form: str, fault: str, size: int) -> list[dict[str, Any]]:
    """Give a conversation, read from JSON as a client's is.

    Args:
        form: Whether its contents are strings or lists of parts, and whether it has tool calls.
        fault: How often something is wrong with it.
        asked: One of `SIZES`.
        size: How many messages it has.
    """
    every = FAULTS[fault]
    messages = [{"role": "system", "content": _content("Be brief.", form)}]
    faults = 0

    def say(role: str, **fields: Any) -> None:
        text = f"{len(messages)} ".ljust(CHARS, "x")
        messages.append({"role": role, "content": _content(text, form), **fields})

    while len(messages) < size - 1:
        say("user")
        if every is not None and faults * every + 2 <= len(messages):
            say("user" if faults % 2 == 0 else "system")
            faults += 1
        if form == "tools" and len(messages) % 3 == 0:
            call_id = f"call{len(messages):05d}"
            function = {"name": "look_up", "arguments": json.dumps({"query": "x" * 40})}
            call = {"id": call_id, "type": "function", "function": function}
            messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
            say("tool", tool_call_id=call_id)
        say("assistant")
    while messages[-1]["role"] != "assistant":
        messages.pop()
    say("user")
    read: list[dict[str, Any]] = json.loads(json.dumps(messages))
    return read


def _content(text: str, form: str) -> Any:
    return [{"type": "text", "text": text}] if form == "parts" else text


def measure(form: str, fault: str, size: int, profile: TemplateProfile) -> Case:
    """Time the three on one conversation, in turns."""
    messages = conversation(form, fault, size)
    known = convert_to_messages(messages)  # which LiteLLM's users would have to do each time
    calls: dict[str, Callable[[], Any]] = {
        "guard": partial(repair, messages, profile),
        "litellm": partial(get_completion_messages, messages, None, None, True),  # type: ignore[arg-type]
        "langchain": partial(merge_message_runs, known),
    }
    changes = len(repair(messages, profile).changes)
    return Case(form, fault, size, len(messages), changes, **interleaved(calls))


def section(cases: list[Case]) -> str:
    """Give what was measured, in Markdown."""
    met = []
    for (size, fault), limit in LIMITS.items():
        took = max(1e3 * case.guard for case in cases if (case.asked, case.fault) == (size, fault))
        what = f"a {fault} request of {size} messages waits for its repair, in the slowest form"
        met.append(Target(what, f"at most {limit:g} ms", f"{took:.2f} ms", took <= limit))
    growth = [_growth(cases, form, fault) for form in TEMPLATES for fault in FAULTS]
    what = "`repair()`: time per message with 2000 messages, of that with 100"
    met.append(Target(what, "linear", f"at most {max(growth):.2f}", max(growth) < 1.5))
    rows = [
        (
            case.form,
            case.fault,
            case.size,
            case.changes,
            *(f"{1e6 * each:.1f}" for each in (case.guard, case.litellm, case.langchain)),
            f"{case.ratio:.2f}",
        )
        for case in cases
    ]
    head = ("form", "", "messages", "changes", "repair, µs", "LiteLLM, µs", "langchain-core, µs")
    plot = lines(
        "repair-time",
        {
            **{
                f"repair, {fault}": [
                    (c.size, 1e6 * c.guard) for c in cases if (c.form, c.fault) == ("text", fault)
                ]
                for fault in FAULTS
            },
            "LiteLLM, clean": _clean(cases, "litellm"),
            "langchain-core, clean": _clean(cases, "langchain"),
        },
        x="messages",
        y="µs",
        log_x=True,
        log_y=True,
    )
    told = machine("litellm", "langchain-core")
    return "\n\n".join([targets(met), table([*head, "of LiteLLM's"], rows), plot, told])


def _growth(cases: list[Case], form: str, fault: str) -> float:
    per_message = [
        case.guard / case.size for case in cases if (case.form, case.fault) == (form, fault)
    ]
    return per_message[-1] / per_message[-2]


def _clean(cases: list[Case], whose: str) -> list[tuple[float, float]]:
    return [
        (case.size, 1e6 * getattr(case, whose))
        for case in cases
        if (case.form, case.fault) == ("text", "clean")
    ]


def main() -> None:
    """Measure, and write the page."""
    paths = {name(path): path for path in REAL}
    profiles = {
        each: TemplateProfile.learn(ChatTemplate.from_path(paths[each]))
        for each in set(TEMPLATES.values())
    }
    cases = []
    for form, template in TEMPLATES.items():
        for fault in FAULTS:
            for size in SIZES:
                cases.append(measure(form, fault, size, profiles[template]))
                case = cases[-1]
                print(
                    f"{form}, {fault}, {case.size} messages, {case.changes} changes: "
                    f"{1e6 * case.guard:.1f} µs, {case.ratio:.2f} of LiteLLM's",
                    flush=True,
                )
    write("repair_time", section(cases), BENCHMARKS)


if __name__ == "__main__":
    main()
