"""The kinds of rows, each as a request and back.

string     "What is war?"
prompt     {"prompt": "What is war?"}
messages   {"messages": [...]}, or the list alone
openai     {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {...}}
sharegpt   {"conversations": [{"from": "human", "value": "What is war?"}]}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import BadInput
from .request import CHAT, ENDPOINTS, LineRequest
from .sharegpt import as_turns, from_turns, tools_of

PARAMETERS = frozenset(
    (
        # OpenAI's
        *("frequency_penalty", "logit_bias", "logprobs", "max_completion_tokens", "max_tokens"),
        *("model", "n", "parallel_tool_calls", "presence_penalty", "reasoning_effort"),
        *("response_format", "seed", "stop", "temperature", "tool_choice", "tools"),
        *("top_logprobs", "top_p", "user"),
        # vLLM's
        *("add_generation_prompt", "allowed_token_ids", "bad_words", "chat_template"),
        *("chat_template_kwargs", "continue_final_message", "ignore_eos", "min_p", "min_tokens"),
        *("include_stop_str_in_output", "length_penalty", "mm_processor_kwargs", "priority"),
        *("prompt_logprobs", "repetition_penalty", "skip_special_tokens", "stop_token_ids"),
        *("structured_outputs", "top_k", "truncate_prompt_tokens", "vllm_xargs"),
        # LiteLLM's
        *("guardrails", "tags"),
    )
)
"""The fields beside a prompt or messages that are sent. Data sets have others, which are not."""

_NAMES = ("custom_id", "id")


@dataclass(frozen=True)
class LineFormat:
    """One kind of rows.

    Attributes:
        name: What `--format` calls it.
        what: What a row has to be, in words.
        fits: Whether a value looks like such a row.
        read: Returns what the row asks for; raises `BadInput`.
        write: Returns the row with other fields of the body in place of its own.
    """

    name: str
    what: str
    fits: Callable[[Any], bool]
    read: Callable[[Any], LineRequest]
    write: Callable[[Any, Mapping[str, Any]], Any]


def _asked(text: object, fields: Mapping[str, Any], key: str) -> LineRequest:
    if not isinstance(text, str) or not text.strip():
        raise BadInput(f"{key}: must be a text that is not empty")
    return _with_fields({"messages": [{"role": "user", "content": text}]}, fields, key)


def _with_fields(body: Mapping[str, Any], fields: Mapping[str, Any], *keys: str) -> LineRequest:
    rest = {key: value for key, value in fields.items() if key not in keys}
    sent = {key: value for key, value in rest.items() if key in PARAMETERS}
    ignored = frozenset(rest).difference(sent, _NAMES)
    return LineRequest({**sent, **body}, CHAT, _custom_id(fields), ignored)


def _custom_id(fields: Mapping[str, Any]) -> str | None:
    given = next((fields[key] for key in _NAMES if fields.get(key) is not None), None)
    if given is None or isinstance(given, str):
        return given
    if isinstance(given, int):
        return str(given)
    raise BadInput("custom_id: must be a string")


def _read_string(value: Any) -> LineRequest:
    return _asked(value, {}, "prompt")


def _read_prompt(value: Any) -> LineRequest:
    return _asked(value["prompt"], value, "prompt")


def _read_messages(value: Any) -> LineRequest:
    if isinstance(value, list):
        return LineRequest({"messages": value})
    return _with_fields({"messages": value.get("messages")}, value, "messages")


def _write_messages(value: Any, fields: Mapping[str, Any]) -> Any:
    return fields["messages"] if isinstance(value, list) else {**value, **fields}


def _read_openai(value: Any) -> LineRequest:
    method, url, body = value.get("method", "POST"), value.get("url", CHAT), value.get("body")
    if method != "POST":
        raise BadInput(f"method: must be POST, not {str(method)[:20]!r}")
    if url not in ENDPOINTS:
        raise BadInput(f"url: must be one of {', '.join(ENDPOINTS)}")
    if not isinstance(body, dict):
        raise BadInput("body: must be an object")
    if value.get("custom_id") is None:
        raise BadInput("custom_id: missing")
    return LineRequest(body, url, _custom_id(value))


def _write_openai(value: Any, fields: Mapping[str, Any]) -> Any:
    body = {**value["body"], **fields}
    removed = [name for name, field in fields.items() if field is None]
    return {**value, "body": {name: body[name] for name in body if name not in removed}}


def _read_sharegpt(value: Any) -> LineRequest:
    turns = value if isinstance(value, list) else value["conversations"]
    fields: Mapping[str, Any] = {} if isinstance(value, list) else value
    body: dict[str, Any] = {"messages": as_turns(turns, fields.get("system"))}
    if tools := tools_of(fields):
        body["tools"] = tools
    return _with_fields(body, fields, "conversations", "system", "tools")


def _write_sharegpt(value: Any, fields: Mapping[str, Any]) -> Any:
    turns = from_turns(fields["messages"])
    if turns is None:
        rest = {} if isinstance(value, list) else dict(value)
        tools = {"tools": tools_of(rest)} if tools_of(rest) else {}
        for key in ("conversations", "system", "tools"):
            rest.pop(key, None)
        return {**rest, **tools, **fields}
    if isinstance(value, list):
        return turns
    rest = {key: each for key, each in value.items() if key != "system"}
    return {**rest, "conversations": turns}


def _has(*keys: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(key in value for key in keys)


def _as_conversation(value: Any, fields: Mapping[str, Any]) -> Any:
    # A prompt has no room for messages.
    given = value if isinstance(value, dict) else {}
    return {**{key: each for key, each in given.items() if key != "prompt"}, **fields}


def _is_turns(value: Any, key: str) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) and key in each for each in value)


STRING = LineFormat(
    "string", "a string", lambda value: isinstance(value, str), _read_string, _as_conversation
)
PROMPT = LineFormat(
    "prompt", "an object with `prompt`", _has("prompt"), _read_prompt, _as_conversation
)
OPENAI = LineFormat(
    "openai",
    "an OpenAI batch line: an object with `custom_id`, `method`, `url` and `body`",
    lambda value: isinstance(value, dict) and "body" in value and "messages" not in value,
    _read_openai,
    _write_openai,
)
SHAREGPT = LineFormat(
    "sharegpt",
    "an object with `conversations`",
    lambda value: _has("conversations")(value) or (bool(value) and _is_turns(value, "from")),
    _read_sharegpt,
    _write_sharegpt,
)
MESSAGES = LineFormat(
    "messages",
    "a list of messages, or an object with `messages`",
    lambda value: isinstance(value, (list, dict)),
    _read_messages,
    _write_messages,
)

LINE_FORMATS = {each.name: each for each in (STRING, PROMPT, OPENAI, SHAREGPT, MESSAGES)}
"""All of them by name, those that need more fields before those that need fewer."""


def format_of(value: object) -> LineFormat:
    """Return the kind of row that a value is; `messages` for what is none."""
    if isinstance(value, dict) and "messages" in value:
        return MESSAGES
    return next((each for each in LINE_FORMATS.values() if each.fits(value)), MESSAGES)
