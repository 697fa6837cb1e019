"""The conversation of a request from a file, and its place in the request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..endpoints.responses import ResponsesInput
from ..endpoints.responses_validation import find_input_error
from ..endpoints.taken_forms import in_taken_forms
from ..messages.message import Message
from ..messages.validation import find_validation_error
from ..profile.template_profile import TemplateProfile
from ..repair.chain import Repair, repair
from ..repair.change import Change
from .errors import BadInput
from .formats.request import CHAT, EMBEDDINGS, RESPONSES, LineRequest

_STRINGS = ("name", "tool_call_id", "refusal", "reasoning", "reasoning_content")


@dataclass(frozen=True)
class FileConversation:
    """A conversation from a file.

    Attributes:
        messages: Messages without a validation error.
        tools: The tool definitions that go with it.
        prefill: Whether the last message is the opening of the reply.
        line: Its line, counted from 1; None if it is the whole file.
        items: The same as the items of /v1/responses, where it came as these.
        changes: What was written otherwise so that a vLLM takes it, whatever its template is.
    """

    messages: Sequence[Message]
    tools: Sequence[Mapping[str, Any]] | None = None
    prefill: bool = False
    line: int | None = None
    items: ResponsesInput | None = None
    changes: tuple[Change, ...] = ()

    def in_taken_forms(self) -> FileConversation:
        """Return it in the forms that a vLLM takes; the same where it is."""
        if self.items is not None:
            return self  # read in these
        messages, changes = in_taken_forms(self.messages)
        return replace(self, messages=messages, changes=changes) if changes else self

    def fields(self, messages: Sequence[Message]) -> dict[str, Any]:
        """Return the fields of the request's body for other messages; None for one to remove.

        Args:
            messages: A repaired form of its messages.
        """
        if self.items is not None:
            return self.items.body(messages)
        return {"messages": list(messages)}

    def repaired(self, profile: TemplateProfile) -> Repair:
        """Return its messages as a template takes and reads them.

        Args:
            profile: What the template accepts.
        """
        items = self.items
        done = repair(
            self.messages,
            profile,
            tools=self.tools,
            prefill=self.prefill,
            labelled=() if items is None else items.labelled,
        )
        return Repair(done.messages, (*self.changes, *done.changes)) if self.changes else done


def conversation_of(request: LineRequest, line: int | None = None) -> FileConversation | None:
    """Return the conversation of a request; None where it has none that is known.

    Args:
        request: What a row asks for.
        line: Its line.

    Raises:
        BadInput: It cannot be asked.
    """
    body = request.body
    if request.url not in (CHAT, RESPONSES):
        field = "input" if request.url == EMBEDDINGS else "prompt"
        if not isinstance(body.get(field), (str, list)) or not body[field]:
            raise BadInput(f"body.{field}: must be a text or a list", line)
        return None
    tools = body.get("tools")
    if tools is not None and not (
        isinstance(tools, list) and all(isinstance(tool, dict) for tool in tools)
    ):
        raise BadInput("tools: must be a list of objects", line)
    if request.url == RESPONSES:
        return _of_responses(body, tools or None, line)
    messages = body.get("messages")
    fault = find_validation_error(messages)
    if fault is not None:
        raise BadInput(str(fault), line)
    assert isinstance(messages, list)  # or it would have a fault
    for at, message in enumerate(messages):
        if (misused := _misused(message)) is not None:
            raise BadInput(f"messages[{at}]: {misused} must be a string", line)
    last = messages[-1]
    continued = body.get("continue_final_message") or last.get("prefix")
    return FileConversation(
        messages, tools or None, last["role"] == "assistant" and bool(continued), line
    )


def _of_responses(
    body: Mapping[str, Any], tools: Sequence[Mapping[str, Any]] | None, line: int | None
) -> FileConversation:
    given, instructions = body.get("input"), body.get("instructions")
    continued = body.get("previous_response_id") is not None
    fault = find_input_error(given, instructions, continued=continued)
    if fault is not None:
        raise BadInput(f"body.{fault}", line)
    read = ResponsesInput(given, instructions)  # type: ignore[arg-type]
    return FileConversation(read.messages, tools, read.prefill, line, read, read.changes)


def _misused(message: Message) -> str | None:
    """Return the first field that must be a string for vLLM's request model and is none."""
    for field in _STRINGS:
        if not isinstance(message.get(field), (str, type(None))):
            return field
    for position, call in enumerate(message.get("tool_calls") or ()):
        if not isinstance(call.get("id"), (str, type(None))):
            return f"tool_calls[{position}].id"
    return None
