"""A chat template, loaded and rendered exactly as vLLM renders it.

What a model reads is decided in two steps, and both are repeated here: vLLM first brings the
messages into the form that the template expects (`renderers/chat_utils.py`), then renders the
template as transformers does (`utils/chat_template_utils.py`). Checked against vLLM 0.32.0.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import jinja2
import jinja2.ext
import jinja2.meta
import jinja2.nodes
import jinja2.sandbox
from jinja2.parser import Parser

from .conversation import MEDIA_KINDS, Message, part_text

ContentFormat = Literal["string", "openai"]

# A bare template file says nothing of its tokenizer. An empty string renders as an unknown token
# would, and keeps `bos_token + ...` from failing where vLLM, which has the tokenizer, succeeds.
_UNKNOWN_TOKENS = {"bos_token": "", "eos_token": "", "pad_token": "", "unk_token": ""}
_CONTINUE_MARK = "CONTINUE_FINAL_MESSAGE_TAG "
_BILLING_HEADER = "x-anthropic-billing-header"


class TemplateRefused(Exception):  # noqa: N818 - it is an answer, not an error
    """A template refused a conversation; `str()` gives the template's own words."""


class TemplateInvalid(ValueError):  # noqa: N818 - named like its twin
    """A file holds no chat template, or one that does not compile; the message names it."""


class ChatTemplate:
    """A chat template that renders conversations as vLLM does.

    Args:
        text: The Jinja source.
        tool_use: A second source, used when tools are given (transformers' named templates).
        special_tokens: `bos_token`, `eos_token` and so on, as the tokenizer would pass them.

    Raises:
        TemplateInvalid: The source does not compile.
    """

    def __init__(
        self,
        text: str,
        *,
        tool_use: str | None = None,
        special_tokens: Mapping[str, str] | None = None,
    ) -> None:
        self.text = text
        self.special_tokens = _UNKNOWN_TOKENS if special_tokens is None else dict(special_tokens)
        self._compiled = _compile(text)
        self.content_format: ContentFormat = detect_content_format(text)
        self.reads_tools = tool_use is not None or "tools" in jinja2.meta.find_undeclared_variables(
            _ENVIRONMENT.parse(text)
        )
        self.knows_developer = '"developer"' in text or "'developer'" in text
        self.tool_use = (
            ChatTemplate(tool_use, special_tokens=special_tokens)
            if tool_use is not None and tool_use != text
            else None
        )

    @classmethod
    def from_path(cls, path: str | Path) -> ChatTemplate:
        """Load a template from a .jinja file, a tokenizer_config.json or a model directory.

        A model directory is read in transformers' order: `chat_template.jinja`,
        `chat_template.json`, `tokenizer_config.json`. Special tokens come from the
        `tokenizer_config.json` beside the template, where there is one.

        Raises:
            OSError: The path cannot be read.
            TemplateInvalid: There is no template in it, or it does not compile.
        """
        path = Path(path)
        if path.is_dir():
            names = ("chat_template.jinja", "chat_template.json", "tokenizer_config.json")
            found = [path / name for name in names if (path / name).is_file()]
            for candidate in found:
                if candidate.suffix == ".jinja" or _read_json(candidate).get("chat_template"):
                    return cls.from_path(candidate)
            raise TemplateInvalid(f"{path}: no chat template in this directory")
        tokens = _special_tokens(path.parent / "tokenizer_config.json")
        try:
            if path.suffix != ".json":
                return cls(path.read_text(encoding="utf-8"), special_tokens=tokens)
            return cls.from_config(_read_json(path), special_tokens=tokens)
        except (TemplateInvalid, UnicodeDecodeError) as error:
            raise TemplateInvalid(f"{path}: {error}") from error

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], *, special_tokens: Mapping[str, str] | None = None
    ) -> ChatTemplate:
        """Give the template that a tokenizer's config holds.

        Args:
            config: What a tokenizer_config.json or a server's `/tokenizer_info` says.
            special_tokens: What to take instead of the config's own.

        Raises:
            TemplateInvalid: There is no template in it, or it does not compile.
        """
        tokens = special_tokens or _tokens_of(config)
        named = config.get("chat_template")
        if isinstance(named, str):
            return cls(named, special_tokens=tokens)
        by_name = {
            entry.get("name"): entry.get("template")
            for entry in (named if isinstance(named, list) else [])
            if isinstance(entry, dict)
        }
        default = by_name.get("default")
        if not isinstance(default, str):
            raise TemplateInvalid("no chat_template in it")
        return cls(default, tool_use=by_name.get("tool_use"), special_tokens=tokens)

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        **kwargs: Any,
    ) -> str:
        """Give the prompt text that a model behind vLLM would read.

        Args:
            messages: OpenAI-style messages; they are not changed.
            tools: OpenAI-style tool definitions.
            add_generation_prompt: Whether the opening of the reply is added.
            continue_final_message: Whether the last message is left open, to be continued.
            kwargs: Further variables of the template (`chat_template_kwargs`, `documents`).

        Raises:
            TemplateRefused: The template refused, with its own words.
        """
        if tools is not None and self.tool_use is not None:
            return self.tool_use.render(
                messages,
                tools=tools,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=continue_final_message,
                **kwargs,
            )
        try:
            if not messages:
                raise ValueError(
                    "Cannot apply chat template to an empty conversation. "
                    "Provide at least one message."
                )
            conversation = [self._as_seen(message) for message in messages]
            if not self.knows_developer:
                conversation = _fold_developer(conversation)
            if continue_final_message:
                if add_generation_prompt:
                    raise ValueError(
                        "continue_final_message and add_generation_prompt are not compatible. "
                        "Use continue_final_message when you want the model to continue the final "
                        "message, and add_generation_prompt when you want to add a header that "
                        "will prompt it to start a new assistant message instead."
                    )
                if "content" not in self.text:
                    raise ValueError(
                        'continue_final_message is set to "content" but this is not an accepted '
                        "field in the chat_template"
                    )
                final = _mark_final(conversation)
            rendered = self._compiled.render(
                **{
                    **self.special_tokens,
                    "documents": None,
                    **kwargs,
                    "messages": conversation,
                    "tools": None if tools is None else [_as_tool(tool) for tool in tools],
                    "add_generation_prompt": add_generation_prompt,
                }
            )
            return _cut_at_mark(rendered, final) if continue_final_message else rendered
        except Exception as error:  # a template may raise anything; vLLM answers each with a 400
            raise TemplateRefused(_reason(error)) from error

    def _as_seen(self, message: Message) -> dict[str, Any]:
        """Bring one message into the form that vLLM hands to the template.

        Source: vLLM `renderers/chat_utils.py`, `_parse_chat_message_content` and
        `_postprocess_messages`.
        """
        role = message["role"]
        content = message.get("content")
        parts: Sequence[Any] = (
            [] if content is None else [content] if isinstance(content, str) else content
        )
        if role == "system":
            parts = list(_without_billing_header(parts))
        seen: dict[str, Any] = {"role": role}
        if self.content_format == "openai":
            seen["content"] = [part for part in map(_as_part, parts) if part is not None]
        else:
            seen["content"] = "\n".join(text for text in map(_as_text, parts) if text)
        if role == "assistant":
            if message.get("tool_calls"):
                seen["tool_calls"] = [_as_call(call) for call in message["tool_calls"]]
            reasoning = message.get("reasoning", message.get("reasoning_content"))
            if reasoning is not None:
                seen["reasoning"] = seen["reasoning_content"] = reasoning
        elif role == "tool":
            if "tool_call_id" in message:
                seen["tool_call_id"] = message["tool_call_id"]
            if isinstance(seen["content"], list) and all(
                part.get("type") == "text" for part in seen["content"]
            ):
                seen["content"] = "\n".join(part.get("text", "") for part in seen["content"])
        for key in ("name", "task"):
            if isinstance(message.get(key), str):
                seen[key] = message[key]
        if role == "developer":
            seen["tools"] = message.get("tools")
        return seen


def detect_content_format(text: str) -> ContentFormat:
    """Tell whether a template reads a message's content as parts or as one string.

    "openai" where the syntax tree has a loop over a message's `content`, else "string".

    Source: vLLM `renderers/hf.py`, `_detect_content_format`.
    """
    try:
        tree = _ENVIRONMENT.parse(text)
        loops_over_content = any(_content_loops(tree))
    except Exception:  # vLLM takes "string" for a tree that it cannot read
        return "string"
    return "openai" if loops_over_content else "string"


def _content_loops(tree: jinja2.nodes.Template) -> Iterator[bool]:
    aliases = ["messages"]
    for alias in aliases:  # grows while it is walked: an alias may have aliases
        for assign in tree.find_all(jinja2.nodes.Assign):
            target = assign.target
            if (
                _reads(assign.node, alias)
                and isinstance(target, jinja2.nodes.Name)
                and target.name not in aliases
            ):
                aliases.append(target.name)
    loops = list(tree.find_all(jinja2.nodes.For))
    items = [_target(loop) for loop in loops if any(_reads(loop.iter, alias) for alias in aliases)]
    in_macros: dict[int, set[str]] = {}
    calls = list(tree.find_all(jinja2.nodes.Call))
    for macro in tree.find_all(jinja2.nodes.Macro):
        given: set[str] = set()
        for call in calls:
            if not (isinstance(call.node, jinja2.nodes.Name) and call.node.name == macro.name):
                continue
            named = [(arg.name, value) for arg, value in zip(macro.args, call.args, strict=False)]
            named += [(keyword.key, keyword.value) for keyword in call.kwargs]
            given |= {
                name
                for name, value in named
                if any(_reads(value, item, "content") for item in items)
            } & {arg.name for arg in macro.args}
        for loop in macro.find_all(jinja2.nodes.For):
            in_macros[id(loop)] = given or in_macros.get(id(loop), set())
    for loop in loops:
        over = loop.iter.name if isinstance(loop.iter, jinja2.nodes.Name) else None
        if (
            any(_reads(loop.iter, item, "content") for item in items)
            or (over is not None and over in in_macros.get(id(loop), ()))
            or (over == "content" and id(loop) not in in_macros)
        ):
            _target(loop)
            yield True


def _target(loop: jinja2.nodes.For) -> str:
    if not isinstance(loop.target, jinja2.nodes.Name):
        raise TypeError("a loop over messages unpacks its items")
    return loop.target.name


def _reads(node: jinja2.nodes.Node | None, name: str, key: str | None = None) -> bool:
    """Whether an expression is the variable `name`, or its `key`, filtered or sliced or not."""
    if isinstance(node, (jinja2.nodes.Filter, jinja2.nodes.Test)):
        return _reads(node.node, name, key)
    if isinstance(node, jinja2.nodes.Getitem):
        if isinstance(node.arg, jinja2.nodes.Slice):
            return _reads(node.node, name, key)
        return (
            key is not None
            and isinstance(node.arg, jinja2.nodes.Const)
            and node.arg.value == key
            and _reads_name(node.node, name)
        )
    if isinstance(node, jinja2.nodes.Getattr):
        return key is not None and node.attr == key and _reads_name(node.node, name)
    return key is None and _reads_name(node, name)


def _reads_name(node: jinja2.nodes.Node | None, name: str) -> bool:
    return isinstance(node, jinja2.nodes.Name) and node.ctx == "load" and node.name == name


class _Generation(jinja2.ext.Extension):
    """The `{% generation %}` block of transformers, which marks text and changes none."""

    tags = {"generation"}  # noqa: RUF012 - jinja2 declares it so

    def parse(self, parser: Parser) -> jinja2.nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        # A call block, as there: what is set within is not seen outside.
        block = jinja2.nodes.CallBlock(self.call_method("_text"), [], [], body)
        return block.set_lineno(line)

    def _text(self, caller: Callable[[], str]) -> str:
        return caller()


def _raise_exception(message: str) -> None:
    raise jinja2.exceptions.TemplateError(message)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _strftime_now(form: str) -> str:
    return datetime.now().strftime(form)


class _Environment(jinja2.sandbox.ImmutableSandboxedEnvironment):
    """Jinja's sandbox, which asks no more than once whether a type's attribute may be read.

    The answer goes by the type alone, and was a third of the time that a template took.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._safe: dict[tuple[type, str], bool] = {}

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Tell whether the sandbox lets an attribute be read."""
        key = type(obj), attr
        safe = self._safe.get(key)
        if safe is None:
            safe = super().is_safe_attribute(obj, attr, value)
            if len(self._safe) < _ATTRIBUTES:  # a template may make names up from a message's text
                self._safe[key] = safe
        return safe


_ATTRIBUTES = 4096


def _environment() -> jinja2.sandbox.ImmutableSandboxedEnvironment:
    environment = _Environment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    return environment


_ENVIRONMENT = _environment()


def _compile(text: str) -> jinja2.Template:
    try:
        return _ENVIRONMENT.from_string(text)
    except jinja2.TemplateSyntaxError as error:
        raise TemplateInvalid(f"line {error.lineno}: {error.message}") from error


def _reason(error: BaseException) -> str:
    """The most specific words in a chain of errors (vLLM `_template_error_reason`)."""
    current: BaseException | None = error
    while current is not None:
        if isinstance(current, jinja2.TemplateError):
            return str(current)
        current = current.__cause__ or current.__context__
    return str(error)


def _as_part(part: Any) -> dict[str, Any] | None:
    text = part_text(part)
    if text is not None:
        return {"type": "text", "text": text}
    if not isinstance(part, Mapping):
        return None
    kind = part.get("type")
    if kind == "tool_reference":
        return {"type": "tool_reference", "name": part.get("name")}
    media = MEDIA_KINDS.get(str(kind))
    return {"type": media} if media else None


def _as_text(part: Any) -> str | None:
    text = part_text(part)
    if text is not None or not isinstance(part, Mapping):
        return text
    if part.get("type") == "tool_reference":
        return str(part.get("name"))
    # The placeholder of a media part is the model's own; only its kind is known here.
    media = MEDIA_KINDS.get(str(part.get("type")))
    return f"<##{media.upper()}##>" if media else None


def _without_billing_header(parts: Sequence[Any]) -> Iterator[Any]:
    """Drop Claude Code's attribution line, as vLLM does, since it spoils the prefix cache."""
    for part in parts:
        text = part if isinstance(part, str) else part_text(part)
        if text is None or not text.startswith(_BILLING_HEADER):
            yield part
        elif rest := text.partition("\n")[2]:
            yield rest


def _as_call(call: Mapping[str, Any]) -> dict[str, Any]:
    """A tool call with its arguments parsed; malformed ones become `{}`, as in vLLM."""
    function = call.get("function")
    if call.get("type", "function") != "function" or not isinstance(function, Mapping):
        raise ValueError("chat completions only support assistant tool_calls of type 'function'.")
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except json.JSONDecodeError:
            arguments = None
    if not isinstance(arguments, dict):
        arguments = {}
    # The order of the keys is that of the OpenAI types, which vLLM's validation leaves behind and
    # `tojson` makes visible.
    seen: dict[str, Any] = {"id": call["id"]} if "id" in call else {}
    seen["function"] = {"arguments": arguments, "name": function.get("name")}
    seen["type"] = "function"
    return seen


def _as_tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    """A tool definition as vLLM's protocol dumps it: known keys, in its order, nulls filled in."""
    function = tool.get("function") or {}
    seen = {
        "name": function.get("name"),
        "description": function.get("description"),
        "parameters": function.get("parameters"),
    }
    for key in ("strict", "defer_loading"):
        if function.get(key) is not None:
            seen[key] = function[key]
    return {"type": tool.get("type", "function"), "function": seen}


def _fold_developer(conversation: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Turn developer messages into system ones and gather all system text at the front.

    Only where a developer message is present. Source: vLLM `renderers/hf.py`,
    `_convert_developer_to_system` and `_consolidate_system_messages`.
    """
    if not any(message["role"] == "developer" for message in conversation):
        return conversation
    renamed = [
        {**{key: value for key, value in message.items() if key != "tools"}, "role": "system"}
        if message["role"] == "developer"
        else message
        for message in conversation
    ]
    system = [message for message in renamed if message["role"] == "system"]
    if system == renamed[:1]:
        return renamed
    contents = []
    for message in system:
        content = message["content"]
        if isinstance(content, list):
            content = "\n".join(part["text"] for part in content if "text" in part)
        if content:
            contents.append(content)
    others = [message for message in renamed if message["role"] != "system"]
    return [{"role": "system", "content": "\n\n".join(contents)}, *others]


def _mark_final(conversation: list[dict[str, Any]]) -> str:
    """Mark the end of the last message's text, and give that text (transformers' way)."""
    last = conversation[-1]
    content = last["content"]
    if isinstance(content, str):
        last["content"] = content + _CONTINUE_MARK
        return content
    for position in range(len(content) - 1, -1, -1):
        if "text" in content[position]:
            text = str(content[position]["text"])
            content[position] = {**content[position], "text": text + _CONTINUE_MARK}
            return text
    raise ValueError(
        "continue_final_message is set but we could not find any text to continue "
        "in the final message!"
    )


def _cut_at_mark(rendered: str, final: str) -> str:
    if final.strip() not in rendered or _CONTINUE_MARK.strip() not in rendered:
        raise ValueError(
            "continue_final_message is set but the final message does not appear in the chat "
            "after applying the chat template! This can happen if the chat template deletes "
            "portions of the final message. Please verify the chat template and final message in "
            "your chat to ensure they are compatible."
            f"Final message to continue: {final.strip()}\nRendered chat:\n{rendered}"
        )
    at = rendered.rindex(_CONTINUE_MARK.strip())
    if rendered[at : at + len(_CONTINUE_MARK)] == _CONTINUE_MARK:
        return rendered[:at]
    return rendered[:at].rstrip()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise TemplateInvalid(f"{path}: not JSON: {error}") from error
    if not isinstance(read, dict):
        raise TemplateInvalid(f"{path}: not a JSON object")
    return read


def _special_tokens(config: Path) -> dict[str, str] | None:
    return _tokens_of(_read_json(config)) if config.is_file() else None


def _tokens_of(config: Mapping[str, Any]) -> dict[str, str]:
    tokens = {}
    for key in ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token"):
        token = config.get(key)
        if isinstance(token, Mapping):  # a serialised AddedToken
            token = token.get("content")
        if isinstance(token, str):
            tokens[key] = token
    return tokens
