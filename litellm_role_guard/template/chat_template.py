"""A chat template, loaded and rendered exactly as vLLM renders it.

What a model reads is decided in two steps, and both are repeated here: vLLM first brings the
messages into the form that the template expects (`renderers/chat_utils.py`), then renders the
template as transformers does (`utils/chat_template_utils.py`). Checked against vLLM 0.32.0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import jinja2.ext
import jinja2.meta
import jinja2.nodes
import jinja2.sandbox

from ..messages.message import Message
from .content_format import ContentFormat, detect_content_format
from .environment import compile_template, error_reason, parse_template
from .errors import TemplateInvalid, TemplateRefused
from .final_message import cut_at_mark, mark_final_message
from .gguf_file import gguf_tokenizer
from .model_files import NAMED_TEMPLATES, template_file
from .tokenizer_config import (
    named_templates,
    read_json_object,
    special_tokens_beside,
    special_tokens_of,
)
from .vllm_messages import (
    as_tool,
    fold_developer,
    to_template_message,
)

# A bare template file says nothing of its tokenizer. An empty string renders as an unknown token
# would, and keeps `bos_token + ...` from failing where vLLM, which has the tokenizer, succeeds.
_UNKNOWN_TOKENS = {"bos_token": "", "eos_token": "", "pad_token": "", "unk_token": ""}


class ChatTemplate:
    """A chat template that renders conversations as vLLM does.

    Args:
        text: The Jinja source.
        tool_use: A second source, for requests with tools (transformers' named templates).
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
        tree = parse_template(text)  # once: of a long template it takes a tenth of a second
        self.content_format: ContentFormat = detect_content_format(tree)
        self._compiled = compile_template(tree)
        self.reads_tools = tool_use is not None or "tools" in jinja2.meta.find_undeclared_variables(
            tree
        )
        self.knows_developer = '"developer"' in text or "'developer'" in text
        self.tool_use = (
            ChatTemplate(tool_use, special_tokens=special_tokens)
            if tool_use is not None and tool_use != text
            else None
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # Compiled code does not cross processes, its source does.
        tool_use = None if self.tool_use is None else self.tool_use.text
        return _from_source, (self.text, tool_use, self.special_tokens)

    @classmethod
    def from_path(cls, path: str | Path) -> ChatTemplate:
        """Load a template from where people have it. Nothing is downloaded.

        Special tokens come from the `tokenizer_config.json` beside the template, where there is
        one. A template named `tool_use`, in the same file or in `additional_chat_templates/`, is
        for requests with tools, as in transformers.

        Args:
            path: A .jinja file, a tokenizer_config.json, a GGUF file, a model directory, or a
                model in the Hugging Face cache by its folder or its name
                (`google/gemma-3-12b-it`); see `template_file`.

        Raises:
            OSError: The path cannot be read.
            TemplateInvalid: There is no template in it, or it does not compile.
        """
        path = template_file(path)
        try:
            if path.suffix == ".gguf":
                return cls.from_config(gguf_tokenizer(path))
            tokens = special_tokens_beside(path.parent / "tokenizer_config.json")
            if path.suffix == ".json":
                return cls.from_config(read_json_object(path), special_tokens=tokens)
            beside = path.parent / NAMED_TEMPLATES / "tool_use.jinja"
            named = path.name == "chat_template.jinja" and beside.is_file()
            text = path.read_text(encoding="utf-8")
            if not text.strip():
                raise TemplateInvalid("empty")
            return cls(
                text,
                tool_use=beside.read_text(encoding="utf-8") if named else None,
                special_tokens=tokens,
            )
        except (TemplateInvalid, UnicodeDecodeError) as error:
            # The file beside it names itself, and may be this one.
            said = str(error).removeprefix(f"{path}: ")
            raise TemplateInvalid(f"{path}: {said}") from error

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], *, special_tokens: Mapping[str, str] | None = None
    ) -> ChatTemplate:
        """Return the template of a tokenizer's config.

        Args:
            config: The JSON of a tokenizer_config.json or of a server's `/tokenizer_info`.
            special_tokens: What to use instead of the config's own.

        Raises:
            TemplateInvalid: There is no template in it, or it does not compile.
        """
        tokens = special_tokens or special_tokens_of(config)
        named = config.get("chat_template")
        if isinstance(named, str):
            return cls(named, special_tokens=tokens)
        by_name = named_templates(named)
        if "default" not in by_name:
            others = f", only templates named {', '.join(sorted(by_name))}" if by_name else ""
            raise TemplateInvalid(f"no chat_template in it{others}")
        return cls(by_name["default"], tool_use=by_name.get("tool_use"), special_tokens=tokens)

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        **kwargs: Any,
    ) -> str:
        """Return the prompt text that a model behind vLLM would read.

        Args:
            messages: OpenAI-style messages; they are not changed.
            tools: OpenAI-style tool definitions.
            add_generation_prompt: Whether the opening of the reply is added.
            continue_final_message: Whether the last message is left open, to be continued.
            kwargs: Further variables of the template (`chat_template_kwargs`, `documents`).

        Raises:
            TemplateRefused: The template refused, in these words.
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
            conversation = [
                to_template_message(message, self.content_format) for message in messages
            ]
            if not self.knows_developer:
                conversation = fold_developer(conversation)
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
                final = mark_final_message(conversation)
            rendered = self._compiled.render(
                **{
                    **self.special_tokens,
                    "documents": None,
                    **kwargs,
                    "messages": conversation,
                    "tools": None if tools is None else [as_tool(tool) for tool in tools],
                    "add_generation_prompt": add_generation_prompt,
                }
            )
            return cut_at_mark(rendered, final) if continue_final_message else rendered
        except Exception as error:  # a template may raise anything; vLLM answers each with a 400
            raise TemplateRefused(error_reason(error)) from error


def _from_source(
    text: str, tool_use: str | None, special_tokens: Mapping[str, str]
) -> ChatTemplate:
    return ChatTemplate(text, tool_use=tool_use, special_tokens=special_tokens)
