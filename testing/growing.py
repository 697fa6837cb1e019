"""The places of the guard whose time must grow no faster than a request, each with its worst shape.

`PLACES` gives each place's name a function that prepares a request of a size, and returns the call
to be timed. The size is the number of messages, calls, items or parts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache, partial
from types import MappingProxyType
from typing import Any

from litellm_role_guard.endpoints.anthropic import find_anthropic_error
from litellm_role_guard.endpoints.chat import ChatConversation
from litellm_role_guard.endpoints.response_store import ResponseStore
from litellm_role_guard.endpoints.responses import ResponsesInput
from litellm_role_guard.endpoints.responses_validation import find_input_error
from litellm_role_guard.messages.client_words import client_words
from litellm_role_guard.messages.validation import find_validation_error
from litellm_role_guard.profile.lessons import conversation_id, proof_of
from litellm_role_guard.profile.refusals import read_refusal
from litellm_role_guard.profile.template_profile import TemplateProfile
from litellm_role_guard.relax.relax import relax
from litellm_role_guard.repair.chain import repair
from litellm_role_guard.repair.error_turns import without_errors
from litellm_role_guard.repair.late_system import with_system_in_front
from litellm_role_guard.routing.backend_load import requests_of
from litellm_role_guard.routing.prefix import prefix_key
from litellm_role_guard.template.chat_template import ChatTemplate
from litellm_role_guard.template.rendering_fault import rendering_fault

from .conversations import Message, assistant, calls, developer, result, system, user
from .templates import OURS, STRICT

Prepared = Callable[[], Any]

RELAXED_SHARE = 5
"""How many times shorter a conversation is that a relaxed template renders: Jinja takes longer."""


def _told_apart(messages: list[Message]) -> tuple[Any, ...]:
    return conversation_id(messages, ()), proof_of(messages)


def _call(call_id: str, name: str = "f", arguments: str = '{"a": "b"}') -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


def _of_calls(ids: list[str], **fields: Any) -> Message:
    return {"role": "assistant", "content": None, "tool_calls": list(map(_call, ids)), **fields}


def _ids(size: int) -> list[str]:
    return [f"call_{at}" for at in range(size)]


def _named(role: str, at: int) -> Message:
    return {"role": role, "name": f"n{at % 3}", "content": f"text {at}"}


def _turns(size: int) -> list[Message]:
    return [(user, assistant)[at % 2](f"text {at}") for at in range(size)]


SHAPES: Mapping[str, Callable[[int], list[Message]]] = MappingProxyType(
    {
        "sound": _turns,
        "users": lambda size: [user(f"text {at}") for at in range(size)],
        "assistants": lambda size: [assistant(f"text {at}") for at in range(size)],
        "systems": lambda size: [*(system(f"text {at}") for at in range(size)), user("x")],
        "developers": lambda size: [
            user("x"),
            *((developer, user)[at % 2](f"text {at}") for at in range(size)),
        ],
        "late systems": lambda size: [
            (user, system, assistant)[at % 3](f"text {at}") for at in range(size)
        ],
        "empty": lambda size: [system("x"), *(user("") for _ in range(size)), user("x")],
        "empty systems": lambda size: [user("x"), *(system("") for _ in range(size)), user("x")],
        "named": lambda size: [_named("user", at) for at in range(size)],
        "functions": lambda size: [user("x"), *(_named("function", at) for at in range(size))],
        "one message of calls": lambda size: [user("x"), _of_calls(_ids(size)), user("x")],
        "a round of calls": lambda size: [
            user("x"),
            _of_calls(_ids(size)),
            *(result(each, "done") for each in reversed(_ids(size))),
        ],
        "half a round": lambda size: [
            user("x"),
            _of_calls(_ids(size)),
            *(result(each, "done") for each in _ids(size)[: size // 2]),
        ],
        "calls of one id": lambda size: [
            user("x"),
            _of_calls(["same"] * size),
            *(result("same", f"text {at}") for at in range(size)),
        ],
        "single calls": lambda size: [
            user("x"),
            *(
                message
                for each in _ids(size // 2)
                for message in (calls(each, text="say"), result(each, "done"))
            ),
        ],
        "calls without results": lambda size: [user("x"), *map(calls, _ids(size))],
        "results without calls": lambda size: [
            user("x"),
            *(result(each, "done") for each in _ids(size)),
        ],
        "late results": lambda size: [
            user("x"),
            *map(calls, _ids(size // 2)),
            user("y"),
            *(result(each, "done") for each in _ids(size // 2)),
        ],
        "repeated ids": lambda size: [
            message
            for at in range(size // 3)
            for message in (user(f"text {at}"), calls("call00001"), result("call00001", "done"))
        ],
        "old calls": lambda size: [
            message
            for at in range(size // 2)
            for message in (
                user(f"text {at}"),
                {
                    "role": "assistant",
                    "content": None,
                    "function_call": {"name": "f", "arguments": "{}"},
                },
            )
        ],
        "parts": lambda size: [
            {
                "role": "user",
                "content": [{"type": "text", "text": f"text {at}"} for at in range(size)],
            },
            user("again"),
        ],
        "pictures": lambda size: [
            {
                "role": role,
                "content": [
                    {"type": "image_url", "image_url": {"url": "http://x/"}},
                    {"type": "text", "text": "x"},
                ],
            }
            for role in ("user", "tool", "assistant")
            for _ in range(size // 3)
        ],
    }
)


def _profiles() -> Mapping[str, TemplateProfile]:
    learnt = {path.stem: TemplateProfile.learn(ChatTemplate.from_path(path)) for path in OURS}
    return {"nothing known": TemplateProfile.cautious(), **learnt}


def _finding_error(shape: str, size: int) -> Prepared:
    return partial(find_validation_error, SHAPES[shape](size))


ODD_CALLS = TemplateProfile(
    parallel_calls="refused",
    result_pairing="refused",
    long_call_ids="refused",
    repeated_call_ids="not_read",
    call_text="not_read",
    null={"call": "refused"},
    reasoning="refused",
    media={"tool": "not_read"},
    stray_results={"call": "refused", "tool": "refused"},
)
"""A template that takes calls, and each of them in a form of its own."""

WHOLE_ROUNDS = TemplateProfile(half_answered="refused", result_pairing="refused")
"""A template that takes several calls at once, with all their results."""


def _relaxed() -> Mapping[str, Callable[[], ChatTemplate]]:
    strict = ChatTemplate.from_path(STRICT)
    plain = ChatTemplate("{% for m in messages %}{{ m | tojson }}{% endfor %}")
    made = {
        "strict": (strict, TemplateProfile.learn(strict)),
        "odd calls": (plain, ODD_CALLS),
        "whole rounds": (plain, WHOLE_ROUNDS),
    }
    return {
        name: cache(partial(_lenient, template, profile))
        for name, (template, profile) in made.items()
    }


def _lenient(template: ChatTemplate, profile: TemplateProfile) -> ChatTemplate:
    return ChatTemplate(relax(template, profile, source="growth"))


def _relaxing(shape: str, relaxed: Callable[[], ChatTemplate], size: int) -> Prepared:
    messages = SHAPES[shape](size // RELAXED_SHARE)
    template = relaxed()
    return lambda: template.render(messages)


def _repairing(shape: str, profile: TemplateProfile, size: int) -> Prepared:
    messages = SHAPES[shape](size)
    return lambda: repair(messages, profile)


def _chat(size: int) -> Prepared:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    messages: list[Message] = [
        {"role": "assistant", "content": [thought, {"type": "text", "text": "x"}]}
        for _ in range(size)
    ]
    return lambda: ChatConversation(
        messages, prefill=False, is_vllm=True, to_vllm_messages=lambda given: given, note="n"
    )


ITEMS: Mapping[str, Callable[[int], list[dict[str, Any]]]] = MappingProxyType(
    {
        "calls": lambda size: [
            {"type": "function_call", "call_id": each, "name": "f", "arguments": "{}"}
            for each in _ids(size)
        ],
        "replies": lambda size: [
            {
                "type": "message",
                "role": "assistant",
                "content": [
                    {"type": "output_text", "text": "a"},
                    {"type": "output_text", "text": "b"},
                ],
            }
            for _ in range(size)
        ],
        "thoughts": lambda size: [
            {"type": "reasoning", "id": f"r{at}", "summary": [], "encrypted_content": "x"}
            for at in range(size)
        ],
        "foreign": lambda size: [
            {"type": "web_search_call", "id": f"w{at}", "action": {"query": "x"}}
            for at in range(size)
        ],
        "unknown": lambda size: [{"type": "odd", "text": f"text {at}"} for at in range(size)],
        "references": lambda size: [
            {"type": "item_reference", "id": f"i{at}"} for at in range(size)
        ],
        "outputs": lambda size: [
            {"type": "function_call_output", "call_id": each, "output": "x"} for each in _ids(size)
        ],
        "null texts": lambda size: [{"role": "user", "content": None} for _ in range(size)],
    }
)


def _reading(items: str, size: int) -> Prepared:
    given = [*ITEMS[items](size), {"role": "user", "content": "x"}]
    return lambda: ResponsesInput(given, "be brief")


def _validating(items: str, size: int) -> Prepared:
    given = [*ITEMS[items](size), {"role": "user", "content": "x"}]
    return lambda: find_input_error(given, None)


def _writing(items: str, size: int) -> Prepared:
    conversation = ResponsesInput([*ITEMS[items](size), {"role": "user", "content": "x"}], None)
    profile = TemplateProfile.cautious()
    return lambda: conversation.arguments(repair(conversation.messages, profile).messages)


def _verifying(size: int) -> Prepared:
    template = ChatTemplate("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}")
    messages = [user(f"the {at}th of many texts") for at in range(size)]
    return lambda: rendering_fault(template, messages, messages)


def _verifying_repeated(size: int) -> Prepared:
    template = ChatTemplate("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}")
    messages = [user("a") for _ in range(size)] + [user("b") for _ in range(size)]
    return lambda: rendering_fault(template, messages, messages)


def _verifying_moved(size: int) -> Prepared:
    template = ChatTemplate("{% for m in messages | reverse %}{{ m.content | tojson }}{% endfor %}")
    messages = [user(f'the "{at}th" of many texts') for at in range(size)]
    return lambda: rendering_fault(template, messages, messages)


def _verifying_lost(size: int) -> Prepared:
    template = ChatTemplate("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}")
    messages = [user(f"the {at}th of many texts") for at in range(size)]
    return lambda: rendering_fault(template, [*messages, user("lost")], messages)


def _refusing(size: int) -> Prepared:
    said = "unexpected role unexpected role " * size
    words = " ".join(f"unexpected role {at:02} after role" for at in range(64))
    return lambda: read_refusal(words, said)


def _braces(size: int) -> Prepared:
    exposition = "vllm:num_requests_running{" * size
    lines = "\n".join('vllm:num_requests_running{a="' + "x" * 20 for _ in range(size))
    return lambda: (requests_of(exposition, "m"), requests_of(lines, "m"))


def _quotes(size: int) -> Prepared:
    one = "vllm:num_requests_running{" + 'a="",' * size
    two = "vllm:num_requests_running{" + ' \\"' * size + "\n"
    three = "vllm:num_requests_running{" + ',\\ model_name="' * size + "} 1"
    return lambda: [requests_of(each, "m") for each in (one, two, three)]


def _remembering(size: int) -> Prepared:
    def remember() -> None:
        store = ResponseStore(max_responses=10**6)
        before = None
        for at in range(size // 10):
            pending = store.begin("o", "text", before)
            assert pending is not None
            before = f"r{at}"
            pending.answered({"id": before, "output": [], "status": "completed"})
        last = store.begin("o", "text", before)
        assert last is not None
        last.items()

    return remember


def _one_chat(size: int) -> Prepared:
    items = [{"role": "user", "content": f"text {at}"} for at in range(size)]
    store = ResponseStore()
    return lambda: store.begin("o", items)


def _searched(size: int) -> Prepared:
    text = "Error fetching response:" * size + "Error fetching model response" + " " * size
    uh_oh = "Uh-oh! There was an issue connecting to " * size
    messages = [user("x"), assistant(text), assistant(uh_oh), *map(assistant, ["x"] * size)]
    return lambda: without_errors(messages, ["boom"])


def _deep(size: int) -> Prepared:
    value: Any = "x"
    for _ in range(size):
        value = [value]
    return lambda: client_words({"messages": value, "tools": json.dumps("x" * size)})


PLACES: Mapping[str, Callable[[int], Prepared]] = MappingProxyType(
    {
        **{f"find_validation_error: {shape}": partial(_finding_error, shape) for shape in SHAPES},
        "find_anthropic_error": lambda size: partial(find_anthropic_error, _turns(size), "x"),
        **{
            f"repair: {shape}, {name}": partial(_repairing, shape, profile)
            for name, profile in _profiles().items()
            for shape in SHAPES
        },
        **{
            f"relax: {shape}, {name}": partial(_relaxing, shape, relaxed)
            for name, relaxed in _relaxed().items()
            for shape in SHAPES
        },
        "system in front": lambda size: partial(with_system_in_front, SHAPES["late systems"](size)),
        "chat": _chat,
        **{f"responses, read: {items}": partial(_reading, items) for items in ITEMS},
        **{f"responses, validate: {items}": partial(_validating, items) for items in ITEMS},
        **{f"responses, write: {items}": partial(_writing, items) for items in ITEMS},
        "verify": _verifying,
        "verify, repeated texts": _verifying_repeated,
        "verify, moved texts": _verifying_moved,
        "verify, a lost text": _verifying_lost,
        "read_refusal": _refusing,
        "load: unclosed braces": _braces,
        "load: unclosed quotes": _quotes,
        "memory: turns": _remembering,
        "memory: items": _one_chat,
        "errors": _searched,
        "client words": _deep,
        "routing": lambda size: partial(prefix_key, SHAPES["empty"](size)),
        "lessons": lambda size: partial(_told_apart, SHAPES["systems"](size)),
    }
)
