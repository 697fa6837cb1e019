"""Write docs/shapes.md: what becomes of each conversation shape, on real chat templates.

    python -m benchmarks.shapes

Every conversation of `testing.conversations` is put to every template of the trl and axolotl
wheels three times: as it is, after LiteLLM's `ensure_alternating_roles`, and after this guard. What
is whole is judged once more, by the judge of `role-guard check`: is it read right?
Takes less than a minute on one core. `scripts/vllm_cpu/fetch_templates.sh` fetches the templates.
"""

from __future__ import annotations

import copy
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from litellm.litellm_core_utils.prompt_templates.common_utils import get_completion_messages

from litellm_role_guard import ChatTemplate, TemplateRefused
from litellm_role_guard.messages.message import is_empty, tool_calls
from litellm_role_guard.messages.validation import find_validation_error
from litellm_role_guard.profile.template_profile import TemplateProfile
from litellm_role_guard.repair.chain import repair
from litellm_role_guard.template.misreading import misreadings_by
from testing.cases import CASES
from testing.conversations import Case, Message
from testing.further_cases import FURTHER
from testing.marks import Marked, marked
from testing.real_templates import HOME, REAL

PAGE = Path(__file__).parents[1] / "docs" / "shapes.md"
COLUMNS = {
    "refused": ("refused",),
    "lost": ("lost",),
    "whole": ("wrong", "right"),
    "right": ("right",),
}
"""The outcomes that each column counts: what is right is whole as well."""
LONG = 12

Tools = Sequence[Mapping[str, Any]] | None
Way = Callable[[Sequence[Message], Tools, TemplateProfile], Sequence[Any]]


def nothing(messages: Sequence[Message], tools: Tools, profile: TemplateProfile) -> Sequence[Any]:
    """Give the messages as they are."""
    return messages


def builtin(messages: Sequence[Message], tools: Tools, profile: TemplateProfile) -> Sequence[Any]:
    """Give what LiteLLM makes of them with `ensure_alternating_roles: true`."""
    given: Any = copy.deepcopy(list(messages))
    return get_completion_messages(given, None, None, ensure_alternating_roles=True)


def guard(messages: Sequence[Message], tools: Tools, profile: TemplateProfile) -> Sequence[Any]:
    """Give what this guard makes of them, with the template's own profile."""
    return repair(messages, profile, tools=tools).messages


WAYS: dict[str, Way] = {"none": nothing, "LiteLLM's built-in": builtin, "this guard": guard}

_LETTERS = {
    "system": "s",
    "developer": "d",
    "user": "u",
    "assistant": "a",
    "tool": "t",
    "function": "f",
}


def shape(case: Case) -> str:
    """Give the roles of a conversation in letters, with what is odd about each message."""
    letters: list[str] = []
    called: list[str] = []  # the calls that still wait for their results
    for message in case.messages:
        letters.append(_letter(message, called))
    if len(letters) > LONG:
        return f"{' '.join(letters[:2])} ... {letters[-1]} ({len(letters)} messages)"
    return " ".join(letters) + (", with tools" if case.tools else "")


def _letter(message: Message, called: list[str]) -> str:
    calls, content = tool_calls(message), message.get("content")
    letter = "c" * len(calls) or _LETTERS[message["role"]]
    oddities = []
    if calls and not is_empty({**message, "tool_calls": None}):
        oddities.append("text")
    if isinstance(content, list):
        oddities.append("parts")
        oddities += sorted({part["type"] for part in content} - {"text"})
    elif not calls and is_empty(message):
        oddities.append("null" if content is None else "empty")
    oddities += ["refusal"] if message.get("refusal") else []
    oddities += ["name"] if message.get("name") and message["role"] != "function" else []
    oddities += ["reasoning"] if message.get("reasoning_content") else []
    for call in calls:
        called.append(str(call["id"]))
        arguments = call["function"]["arguments"]
        oddities += ["no arguments"] if not arguments else []
        oddities += ["cut arguments"] if arguments and not arguments.endswith("}") else []
        oddities += ["nested arguments"] if "[" in arguments else []
        oddities += ["long id"] if len(call["id"]) > 9 else []
    if message["role"] == "tool":
        answered = message.get("tool_call_id")
        if answered not in called:
            oddities.append("no call")
        else:
            oddities += ["late"] if called[0] != answered else []
            called.remove(str(answered))
    return f"{letter}({', '.join(dict.fromkeys(oddities))})" if oddities else letter


def outcome(template: ChatTemplate, talk: Marked, messages: Sequence[Any], tools: Tools) -> str:
    """Tell whether messages are refused, lost in part, whole and read wrong, or read right."""
    try:
        prompt = template.render(messages, tools=tools)
    except TemplateRefused:
        return "refused"
    if talk.unread(prompt):
        return "lost"
    return "wrong" if misreadings_by(template, messages, tools=tools) else "right"


Counts = dict[tuple[str, str], Counter[str]]
"""How often each outcome was seen, by shape and way."""


def measure() -> tuple[Counts, dict[str, list[Case]]]:
    """Give what was seen, and the cases of each shape."""
    cases: dict[str, list[Case]] = {}
    for case in CASES + FURTHER:
        if find_validation_error(case.messages) is None:  # the guard answers the others with a 400
            cases.setdefault(shape(case), []).append(case)
    counts: Counts = {}
    for path in REAL:
        template = ChatTemplate.from_path(path)
        profile = TemplateProfile.learn(template)
        for name, talks in cases.items():
            for case in talks:
                talk = marked(case)
                unchanged = outcome(template, talk, talk.messages, case.tools)
                for way, change in WAYS.items():
                    messages = change(talk.messages, case.tools, profile)
                    seen = unchanged
                    if messages != talk.messages:
                        seen = outcome(template, talk, messages, case.tools)
                    counts.setdefault((name, way), Counter())[seen] += 1
    return counts, cases


def page() -> Iterator[str]:
    """Give the lines of the page."""
    counts, cases = measure()
    totals = {way: sum((counts[name, way] for name in cases), Counter[str]()) for way in WAYS}
    conversations = sum(map(len, cases.values()))
    yield "# Conversation shapes on real chat templates"
    yield ""
    yield (
        f"{conversations} conversations of {len(cases)} shapes, on the {len(REAL)} chat templates "
        f"of the {_wheels()} wheels: {conversations * len(REAL)} pairs. Each was rendered as vLLM "
        "renders it, three times: as the client sent it, after LiteLLM's own "
        f"`ensure_alternating_roles: true` (LiteLLM {version('litellm')}), and after this guard "
        f"({version('litellm-role-guard')}) with the profile that it learnt from the template. "
        f"Measured on {date.today().isoformat()} by `benchmarks/shapes.py`, which wrote this page."
    )
    yield ""
    yield (
        "**refused**: the template raised an error, which a client sees as a 400. **lost**: it was "
        "taken, but some text or tool argument is not in the prompt, or not in order; leading "
        "system text may stand anywhere, and within a round of tool calls each result may follow "
        "its own call. **whole**: all is there. **right**: and none of it is read as something "
        "else, as `role-guard check` judges it ([check.md](check.md#read-wrong)): no turn has a "
        "role that the template only prints, no result passes for that of another call, and no "
        "text is shown as source code. No conversation here has an image. Turns invented to please "
        "a template count for nothing. In % of the templates."
    )
    yield ""
    yield f"| in all, and pairs | {' | '.join(COLUMNS)} |"
    yield f"|---|{'--:|' * len(COLUMNS)}"
    for way, total in totals.items():
        shares = [f"{_share(total, seen):.1f} ({_count(total, seen)})" for seen in COLUMNS]
        yield f"| {way} | {' | '.join(shares)} |"
    yield ""
    yield (
        "s system, d developer, u user, a assistant, c assistant that calls a tool (cc: twice at "
        "once), t tool result, f function result; in brackets what is odd about a message."
    )
    yield ""
    columns = [f"{way}: {seen}" for way in WAYS for seen in COLUMNS]
    yield f"| shape | {' | '.join(columns)} | conversation |"
    yield f"|---|{'--:|' * len(columns)}---|"
    for name in sorted(cases, key=lambda name: (counts[name, "none"]["right"], name)):
        cells = [f"{_share(counts[name, way], seen):.0f}" for way in WAYS for seen in COLUMNS]
        yield f"| {name} | {' | '.join(cells)} | {', '.join(case.name for case in cases[name])} |"


def _count(count: Counter[str], column: str) -> int:
    return sum(count[seen] for seen in COLUMNS[column])


def _share(count: Counter[str], column: str) -> float:
    return 100 * _count(count, column) / count.total()


def _wheels() -> str:
    """Name the wheels by the mark that fetch_templates.sh leaves: `.fetched-NAME-VERSION-...`."""
    marks = sorted((HOME / "templates").glob(".fetched-*"))
    parts = marks[-1].name.removeprefix(".fetched-").split("-") if marks else []
    return " and ".join(" ".join(pair) for pair in zip(parts[::2], parts[1::2], strict=True))


def main() -> None:
    """Write the page."""
    if not REAL:
        sys.exit("no templates: run scripts/vllm_cpu/fetch_templates.sh")
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text("\n".join(page()) + "\n", encoding="utf-8")
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
