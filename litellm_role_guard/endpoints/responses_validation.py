"""Finding what makes a /v1/responses request no conversation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pydantic import BaseModel

from ..messages.validation import ValidationFault, find_validation_error
from .foreign_items import is_reference
from .responses import ResponsesInput
from .responses_items import as_mapping

_SAYS_SOMETHING = {"role": "user", "content": "-"}


def find_input_error(
    request_input: object,
    instructions: object,
    *,
    continued: bool = False,
    extra_roles: Iterable[str] = (),
) -> str | None:
    """Say what makes a /v1/responses request no conversation, and at which item; None if nothing.

    Args:
        request_input: What the client sent as `input`.
        instructions: What the client sent as `instructions`.
        continued: Whether it goes on from an earlier response. The backend has those messages, so
            that these need not say anything.
        extra_roles: Further role names that the backend's template is known to take.
    """
    if instructions is not None and not isinstance(instructions, str):
        return "instructions: must be a string"
    if not isinstance(request_input, Sequence) or isinstance(request_input, bytes):
        return "input: must be a string or a list of items"
    if not request_input and not instructions and not continued:
        return "input: empty; at least one message is needed"
    if not isinstance(request_input, str):
        for position, item in enumerate(request_input):
            reason = _item_fault(item, extra_roles)
            if reason is not None:
                return f"input[{position}]: {reason}"
    conversation = ResponsesInput(request_input, instructions)
    said = [_SAYS_SOMETHING] if continued else []
    fault = find_validation_error([*conversation.messages, *said], extra_roles=extra_roles)
    if fault is None:
        return None
    if not conversation.messages and conversation.changes:
        return nothing_left(conversation)
    where = "input" if fault.index is None else conversation.location(fault.index)
    return f"{where}: {fault.reason}"


def find_continuation_error(previous_response_id: object) -> str | None:
    """Say what makes a `previous_response_id` name no response; None if nothing."""
    if previous_response_id is None or isinstance(previous_response_id, str):
        return None
    return "previous_response_id: must be a string"


def nothing_left(conversation: ResponsesInput) -> str:
    """Say why an input without any message is left with none."""
    return f"{conversation.changes[0].why}; nothing else is in the input"


def _item_fault(item: object, extra_roles: Iterable[str]) -> str | None:
    if not isinstance(item, (Mapping, BaseModel)):
        return "must be an object"
    fields = as_mapping(item)
    if "role" not in fields:
        is_item = isinstance(fields.get("type"), str) or is_reference(fields)
        return None if is_item else "has no role"
    # Whether anything is said at all is judged over the whole input, not item by item.
    fault: ValidationFault | None = find_validation_error(
        [fields, _SAYS_SOMETHING], extra_roles=extra_roles
    )
    return None if fault is None else fault.reason
