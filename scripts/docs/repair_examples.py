"""The examples of docs/how-it-works.md: each repair on one small chat, as the guard makes it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from litellm_role_guard import ChatTemplate, TemplateProfile, TemplateRefused, repair
from testing.processes import REPOSITORY
from testing.templates import STRICT, TEMPLATES

PAGE = REPOSITORY / "docs" / "how-it-works.md"

Message = dict[str, Any]


def _say(role: str, content: Any, **more: Any) -> Message:
    return {"role": role, "content": content, **more}


def _call(name: str, city: str, number: int) -> dict[str, Any]:
    arguments = json.dumps({"city": city})
    return {
        "id": f"call_{number}",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


_HELLO = [_say("user", "hello"), _say("assistant", "hi")]
_WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
_NO_SYSTEM = TEMPLATES / "no_system.jinja"


@dataclass(frozen=True)
class Example:
    """A conversation and the template that it is repaired for.

    Attributes:
        title: What is in the way.
        messages: What the client sends.
        template: The template's file.
        tools: The request's tools.
    """

    title: str
    messages: Sequence[Message]
    template: Path = STRICT
    tools: Sequence[Any] | None = None


EXAMPLES = [
    Example(
        "Two turns of one role in a row",
        [*_HELLO, _say("user", "are you there?"), _say("user", "hello again")],
    ),
    Example(
        "Several system messages at the front",
        [_say("system", "Be kind."), _say("system", "Be brief."), _say("user", "hello")],
    ),
    Example(
        "A system message further on",
        [*_HELLO, _say("system", "The user is a child."), _say("user", "what is war?")],
    ),
    Example(
        "A developer message further on",
        [*_HELLO, _say("developer", "Answer in French."), _say("user", "how are you?")],
        TEMPLATES / "alternating.jinja",
    ),
    Example(
        "A template without a system role",
        [_say("system", "Be kind."), _say("user", "hello")],
        _NO_SYSTEM,
    ),
    Example("System text alone", [_say("system", "Tell a joke about cats.")]),
    Example(
        "A conversation that opens with the assistant",
        [_say("assistant", "Welcome!"), _say("user", "hello")],
    ),
    Example(
        "Tool calls that the template cannot show",
        [
            _say("user", "How is the weather?"),
            _say("assistant", None, tool_calls=[_call("weather", "Oslo", 1)]),
            _say("tool", "snow", tool_call_id="call_1"),
        ],
        tools=[_WEATHER],
    ),
    Example(
        "A template that shows no dialogue at all",
        [*_HELLO, _say("user", "how are you?")],
        TEMPLATES / "last_words.jinja",
    ),
    Example(
        "Nothing in the way",
        [*_HELLO, _say("user", "how are you?")],
    ),
]


def examples() -> str:
    """Return each example with what the template says, what the guard does, and what is read."""
    return "\n".join(shown(example) for example in EXAMPLES).rstrip()


def shown(example: Example) -> str:
    """Return one example as a section of the page."""
    template = ChatTemplate.from_path(example.template)
    repaired = repair(example.messages, TemplateProfile.learn(template), tools=example.tools)
    counts = Counter(change.what for change in repaired.changes)
    header = "; ".join(f"{what}={count}" for what, count in counts.items())
    lines = [f"### {example.title}", "", "The client sends:", "", *_fenced(example.messages), ""]
    lines += [f"Without the guard: {_without(example, template)}", ""]
    if repaired.messages is example.messages:
        lines += ["The guard sends the very same list, and sets no header.", ""]
    else:
        lines += [f"With it (`x-role-guard: {header}`) the template is given:", ""]
        lines += [*_fenced(repaired.messages), ""]
    return "\n".join(lines)


def _without(example: Example, template: ChatTemplate) -> str:
    try:
        prompt = template.render(example.messages, tools=example.tools)
    except TemplateRefused as error:
        return f"a 400, `{error}`"
    said = [str(message["content"]) for message in example.messages if message["content"]]
    unread = [text for text in said if text not in prompt]
    if unread:
        return f"an answer from a model that never read “{'” and “'.join(unread)}”."
    places = [prompt.index(text) for text in said]
    if places != sorted(places):
        return (
            "an answer, but vLLM has moved the message to the front, before what was said earlier."
        )
    return "an answer; the template takes it and reads all of it."


def _fenced(messages: Sequence[Any]) -> list[str]:
    return ["```text", *(line for message in messages for line in _lines(message)), "```"]


def _lines(message: Message) -> list[str]:
    content = message.get("content")
    calls = [
        f"(calls {call['function']['name']} with {call['function']['arguments']})"
        for call in message.get("tool_calls") or ()
    ]
    first, *rest = "\n".join([*([content] if content else []), *calls]).split("\n")
    head = f"{message['role']}: "
    return [(head + first).rstrip(), *((" " * len(head) + line).rstrip() for line in rest)]


def sections(page: Path = PAGE) -> dict[str, tuple[Path, str]]:
    """Return each part of the page as it should be, with the page."""
    return {"examples": (page, examples())}
