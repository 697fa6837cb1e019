"""`ChatTemplate` gives the very text that a real vLLM reads, and refuses in the same words.

Real templates go to the server with each request (`--trust-request-chat-template`), so that one
tiny model judges them all.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from litellm_role_guard.template.chat_template import ChatTemplate
from litellm_role_guard.template.errors import TemplateInvalid, TemplateRefused
from testing.bodies import AT_ONCE, DETOKENIZE, TOKENIZE, named_as_at_tokenize, sanitized
from testing.cases import CASES
from testing.conversations import (
    WEATHER_TOOL,
    Message,
    assistant,
    calls,
    developer,
    parts,
    result,
    system,
    user,
)
from testing.further_cases import FURTHER
from testing.real_templates import REAL, name
from testing.vllm import MODEL, SPECIAL_TOKENS

TOOLS: list[dict[str, Any]] = [
    WEATHER_TOOL,
    {
        "type": "function",
        "function": {
            "name": "book",
            "parameters": {
                "$defs": {"day": {"type": "string", "enum": ["mån", "tis"]}},
                "type": "object",
                "properties": {
                    "day": {"$ref": "#/$defs/day"},
                    "seats": {"type": ["integer", "null"], "default": 1, "minimum": 0},
                    "who": {
                        "type": "array",
                        "items": {"type": "object", "properties": {"name": {"type": "string"}}},
                    },
                    "how": {"anyOf": [{"type": "boolean"}, {"type": "number"}]},
                },
                "additionalProperties": False,
            },
            "strict": True,
        },
    },
    {"type": "function", "function": {"name": "ping", "description": 'Says "pong" & <stops>.'}},
]
DOCUMENTS = [
    {"title": "Tides", "text": "High water at noon."},
    {"title": "Winds", "text": "Westerly, strong."},
]


class Asked(NamedTuple):
    """What a template is asked to render.

    Attributes:
        name: What it is called in a report of differences.
        messages: The conversation.
        tools: The tools that go with it; None for none.
        fields: Further fields of the request, beside `chat_template_kwargs`.
        variables: Its `chat_template_kwargs`.
    """

    name: str
    messages: list[Message]
    tools: list[dict[str, Any]] | None = None
    fields: dict[str, Any] = {}  # noqa: RUF012 - never changed
    variables: dict[str, Any] = {}  # noqa: RUF012

    def body(self, template: str) -> dict[str, Any]:
        """Give the body for /tokenize."""
        body = {"model": MODEL, "chat_template": template, **self.fields}
        body["messages"] = [named_as_at_tokenize(message) for message in self.messages]
        if self.tools is not None:
            body["tools"] = self.tools
        if self.variables:
            body["chat_template_kwargs"] = self.variables
        return body

    def ours(self, template: ChatTemplate) -> str:
        """Give our prompt, or our refusal as vLLM would show it."""
        try:
            return template.render(
                self.messages, tools=self.tools, **{**self.variables, **self.fields}
            )
        except TemplateRefused as refused:
            return f"400: {sanitized(str(refused))}"

    async def theirs(self, client: httpx.AsyncClient, template: str) -> str:
        """Give the text of the tokens that vLLM would read, or its refusal."""
        reply = await client.post(TOKENIZE, json=self.body(template))
        if reply.status_code != 200:
            return f"{reply.status_code}: {reply.json()['error']['message']}"
        tokens = {"model": MODEL, "tokens": reply.json()["tokens"]}
        prompt: str = (await client.post(DETOKENIZE, json=tokens)).json()["prompt"]
        return prompt


_CHAT = [system("short"), user("hello"), assistant("hi"), user("more")]
_THOUGHT = [
    user("first"),
    {**assistant("answer"), "reasoning": "because"},
    user("second"),
    {**calls("call00001"), "reasoning": "look it up"},
    result("call00001", "found"),
]
_TAGGED = [user("x"), assistant("<think>\nhm\n</think>\n\ny"), user("z")]
_NO_REPLY = {"add_generation_prompt": False}
_PREFILL = {"add_generation_prompt": False, "continue_final_message": True}


def _prefills() -> Iterator[Asked]:
    endings: dict[str, list[Message]] = {
        "plain": [user("count"), assistant("one, two")],
        "after-system": [system("count"), user("go"), assistant("one")],
        "padded": [user("count"), assistant("one, two \n")],
        "empty": [user("count"), assistant("")],
        "null": [user("count"), {"role": "assistant", "content": None}],
        "parts": [user("count"), parts("assistant", "one", "two")],
        "no-parts": [user("count"), {"role": "assistant", "content": []}],
        "alone": [assistant("one")],
        "twice": [user("count"), assistant("one"), assistant("two")],
        "thought": [user("count"), {**assistant("one"), "reasoning": "slowly"}],
        "tagged": [user("count"), assistant("<think>slowly</think>one")],
        "call": [user("count"), calls("call00001", text="one")],
        "call-without-text": [user("count"), calls("call00001")],
        "user": [user("count")],
        "user-padded": [assistant("so"), user(" count ")],
        "system": [user("count"), system("to three")],
        "tool": [user("count"), calls("call00001"), result("call00001", "one")],
        "repeated": [user("one"), assistant("one"), user("one"), assistant("one")],
    }
    for ending, messages in endings.items():
        yield Asked(f"prefill-{ending}", messages, fields=_PREFILL)
        yield Asked(f"no-reply-{ending}", messages, fields=_NO_REPLY)
    yield Asked("prefill-and-reply", endings["plain"], fields={"continue_final_message": True})
    yield Asked("prefill-with-tools", endings["plain"], TOOLS, _PREFILL)
    yield Asked("prefill-thinking", endings["plain"], None, _PREFILL, {"enable_thinking": True})


def _with_variables() -> Iterator[Asked]:
    variables: dict[str, dict[str, Any]] = {
        "thinking-on": {"enable_thinking": True, "thinking": True},
        "thinking-off": {"enable_thinking": False, "thinking": False},
        "thoughts-kept": {"preserve_thinking": True, "truncate_history_thinking": False},
        "thoughts-cut": {"preserve_thinking": False, "truncate_history_thinking": True},
        "keep-thinking": {"keep_thinking": True, "skip_think": False},
        "effort-high": {"reasoning_effort": "high", "medium_effort": True},
        "effort-low": {"reasoning_effort": "low", "low_effort": True},
        "effort-odd": {"reasoning_effort": "sideways", "reasoning_strength": "odd"},
        "date": {"date_string": "1 May 1999", "current_date": "1999-05-01"},
        "documents": {"documents": DOCUMENTS},
        "citations": {"documents": DOCUMENTS, "enable_citations": True, "safety_mode": "NONE"},
        "no-documents": {"documents": []},
        "builtin-tools": {"builtin_tools": ["brave_search", "code_interpreter"]},
        "tools-apart": {"custom_tools": TOOLS, "tools_in_user_message": False},
        "identity": {"model_identity": "You are Nobody.", "knowledge_cutoff": "never"},
        "vision-ids": {"add_vision_id": True},
        "end-of-text": {"eos_token": "<fin>", "bos_token": "<ini>"},
        "unused": {"nobody_reads_this": 1},
    }
    talks = {"chat": _CHAT, "thought": _THOUGHT, "tagged": _TAGGED}
    for variable, values in variables.items():
        for talk, messages in talks.items():
            yield Asked(f"{variable}-{talk}", messages, None, {}, values)
        yield Asked(f"{variable}-tools", _THOUGHT, TOOLS, {}, values)


def _with_tools() -> Iterator[Asked]:
    arguments = [user("do"), calls("call00001", "call00002"), result("call00001", "a")]
    yield Asked("many-tools", _CHAT, TOOLS)
    yield Asked("many-tools-called", [*arguments, result("call00002", "b")], TOOLS)
    yield Asked("tools-developer", [developer("be terse"), *_CHAT[1:]], TOOLS)
    yield Asked("tools-system-developer", [*_CHAT[:1], developer("be terse"), *_CHAT[1:]], TOOLS)
    yield Asked("tools-developer-later", [*_CHAT, developer("be terse")], TOOLS)
    yield Asked("tools-named", [{**user("me"), "name": "ann"}], TOOLS)


ASKED = [
    *(
        Asked(case.name + ending, case.messages, tools)
        for case in CASES + FURTHER
        for ending, tools in (("", None), ("-tools", case.tools or [WEATHER_TOOL]))
    ),
    *_with_tools(),
    *_with_variables(),
    *_prefills(),
]


# Beside the real ones, since the next template may do what none of these does.
_SHOWS_ALL = "{{ messages | tojson }}\n{{ tools | tojson }}\n{{ documents | tojson }}"
_LOOPS = "{% for m in messages %}{% for part in m.content %}{% endfor %}{% endfor %}"
_ROLES = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
ODD = {
    "shows-all-strings": _SHOWS_ALL,
    "shows-all-parts": _LOOPS + _SHOWS_ALL,
    "shows-all-developers": _SHOWS_ALL + "{# 'developer' #}",
    "tokens": "{{ bos_token }}{{ eos_token }}{{ pad_token }}"
    "{{ unk_token is defined }}{{ sep_token is defined }}{{ cls_token is defined }}"
    "{{ messages[0].content }}",
    "unknown-token": "{{ unk_token + messages[0].content }}",
    "generation": "{% set seen = 'before' %}{% for m in messages %}{% generation %}"
    "{{ m.content }}{% set seen = 'within' %}{% endgeneration %}{{ seen }}{% endfor %}",
    "generation-loop": "{% for m in messages %}{% generation %}{{ loop.index }}{{ m.role }}"
    "{% endgeneration %}{% if loop.index > 1 %}{% break %}{% endif %}{% endfor %}",
    "white-space": "  {% for m in messages %}\n  {{ m.role }}\n    {% if true %}\n"
    "  {{- m.content -}}\n  {% endif %}\n{% endfor %}\n\n",
    "tojson": "{{ {'b': '<é&\\'>', 'a': [1, none, true, 1.0]} | tojson(indent=2) }}"
    "{{ messages | tojson(ensure_ascii=true, sort_keys=true, separators=(',', ':')) }}",
    "filters": "{{ messages | map(attribute='role') | join(',') | title }}"
    "{{ messages | selectattr('role', 'equalto', 'user') | list | length }}"
    "{{ messages | last | items | first | string | trim | upper | replace('U', 'V') }}",
    "namespace": "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}"
    "{% if m.role == 'assistant' %}{% continue %}{% endif %}{{ ns.n }}{% endfor %}",
    "macro": "{% macro show(m, last=false) %}{{ m.role }}{{ '!' if last }}{{ caller() }}"
    "{% endmacro %}{% for m in messages %}{% call show(m, loop.last) %}.{% endcall %}{% endfor %}",
    "recursion": "{% macro deep(n) %}{{ deep(n + 1) }}{% endmacro %}{{ deep(0) }}",
    "mutation": "{% set _ = messages.append(messages[0]) %}{{ messages | length }}",
    "escape": "{{ messages.__class__.__mro__ }}",
    "attribute": "{{ messages[0].nothing.at_all }}",
    "item": "{{ messages[99]['role'] }}",
    "sum": "{{ 'length: ' + messages | length }}",
    "division": "{{ 1 / 0 }}",
    "range": "{% for i in range(1000000) %}{% endfor %}",
    "format": "{{ '%d' | format('x') }}{{ messages[0].role }}",
    "call": "{{ nobody(messages) }}",
    "include": "{% include 'other.jinja' %}",
    "refusal": "{{ raise_exception('No, ' ~ messages[0].role ~ '!') }}",
    "refusal-number": "{{ raise_exception(5) }}",
    "refusal-path": "{{ raise_exception('see /usr/share/doc/a.txt or ./a/b.py') }}",
    "refusal-in-macro": "{% macro no() %}{{ raise_exception(' spaced ') }}{% endmacro %}{{ no() }}",
    "no-contents": "{% for m in messages %}{{ m.role }}{% endfor %}",
    "trims": "{% for m in messages %}[{{ m.content | trim }}]{% endfor %}",
    "last-only": "{{ messages[-1].content }}",
    "unpacks": "{% for m in messages %}{% for k, v in m.items() %}{{ k }}={{ v }};"
    "{% endfor %}{% endfor %}",
    "alias": "{% set rest = messages[1:] %}{% for m in rest %}{% set content = m.content %}"
    "{% for part in content %}{{ part }}{% endfor %}{% endfor %}",
    "own-variables": "{{ add_generation_prompt }}{{ enable_thinking is defined }}"
    "{{ continue_final_message is defined }}{{ tools is none }}{{ chat_template is defined }}"
    "{{ messages[0].content }}",
    "empty": "{# nothing at all #}",
    "roles": _ROLES,
}

BROKEN = {
    "filter": "{{ messages | nothing }}",
    "test": "{{ messages is nothing }}",
    "syntax": "{% for m in messages %}{{ m.role }",
    "tag": "{% nothing %}",
    "stray-end": "{{ messages[0].role }}{% endif %}",
}


@pytest.mark.parametrize("kind", ODD)
async def test_an_odd_template_is_rendered_as_vllm_renders_it(kind: str, vllm_url: str) -> None:
    """What a template may see, do and fail at is the same, down to the words of the error."""
    await _assert_same(f"odd-{kind}", ODD[kind], vllm_url)


@pytest.mark.parametrize("kind", BROKEN)
def test_a_template_that_does_not_compile_is_refused_by_both(kind: str, vllm_url: str) -> None:
    """In the same words: at each request by vLLM, and by us before there is any."""
    reply = httpx.post(vllm_url + TOKENIZE, json=Asked(kind, [user("hello")]).body(BROKEN[kind]))
    assert reply.status_code == 400
    with pytest.raises(TemplateInvalid) as invalid:
        ChatTemplate(BROKEN[kind])
    assert f"line 1: {reply.json()['error']['message'].splitlines()[0]}" == str(invalid.value)


@pytest.mark.parametrize("path", REAL, ids=name)
async def test_a_real_template_is_rendered_as_vllm_renders_it(path: Path, vllm_url: str) -> None:
    """Every conversation becomes the same text, or is refused by both in the same words."""
    await _assert_same(name(path), path.read_text(encoding="utf-8"), vllm_url)


async def _assert_same(title: str, text: str, vllm_url: str) -> None:
    gate = asyncio.Semaphore(AT_ONCE)
    template = ChatTemplate(text, special_tokens=SPECIAL_TOKENS)

    async def difference(client: httpx.AsyncClient, asked: Asked) -> str | None:
        async with gate:
            for _ in range(2):  # the date that a template writes may turn between the two
                ours, theirs = asked.ours(template), await asked.theirs(client, text)
                if _without_place(ours) == _without_place(theirs):
                    return None
        return f"{title}, {asked.name}:\n  ours   {ours!r}\n  theirs {theirs!r}"

    async with httpx.AsyncClient(base_url=vllm_url, timeout=120) as client:
        found = await asyncio.gather(*(difference(client, asked) for asked in ASKED))
    different = [line for line in found if line is not None]
    assert not different, "\n".join([f"{len(different)} of {len(ASKED)} differ", *different])


def _without_place(said: str) -> str:
    """Return an error without where the recursion was ended: how deep the caller stood decides."""
    return re.sub(r"^(400: maximum recursion depth exceeded)\b.*", r"\1", said)
