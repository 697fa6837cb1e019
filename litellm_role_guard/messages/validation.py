"""Finding what makes a request's messages invalid."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .message import TEXT_KEYS, is_empty, is_nested_thought, is_object

ROLES = ("system", "developer", "user", "assistant", "tool", "function")

_ROLES = frozenset(ROLES)


@dataclass(frozen=True)
class ValidationFault:
    """What is wrong with a request's messages.

    Attributes:
        index: The position of the message at fault, counted from 0; None for the whole list.
        reason: What is wrong with it, without any message text.
    """

    index: int | None
    reason: str

    def __str__(self) -> str:
        where = "messages" if self.index is None else f"messages[{self.index}]"
        return f"{where}: {self.reason}"


def find_validation_error(
    messages: object, *, extra_roles: Iterable[str] = ()
) -> ValidationFault | None:
    """Return the first fault that makes messages invalid; None if there is none.

    Args:
        messages: What the client sent as `messages`.
        extra_roles: Further role names that the backend's template accepts.
    """
    if messages is None:
        return ValidationFault(None, "missing")
    if not isinstance(messages, Sequence) or isinstance(messages, (str, bytes)):
        return ValidationFault(None, f"must be a list, not {_type_name(messages)}")
    if not messages:
        return ValidationFault(None, "empty; at least one message is needed")
    roles = _ROLES.union(extra_roles)
    says_something = False
    for index, message in enumerate(messages):
        # Fast path for the usual form of a message, since this runs on every request.
        if type(message) is dict and len(message) == 2 and type(message.get("content")) is str:
            reason = _role_fault(message.get("role"), roles)
        else:
            reason = _message_fault(message, roles)
        if reason is not None:
            return ValidationFault(index, reason)
        says_something = says_something or not is_empty(message)
    if not says_something:
        last = len(messages) - 1
        return ValidationFault(last, "no message has any text; at least one must say something")
    return None


def _role_fault(role: object, roles: frozenset[str]) -> str | None:
    if isinstance(role, str):
        if role in roles:
            return None
        # A role is a short name by contract, but a client may put anything there.
        shown = repr(role) if len(role) <= 32 else repr(role[:32]) + "..."
        return f"unknown role {shown}; known are {', '.join(ROLES)}"
    return "has no role" if role is None else f"role must be a string, not {_type_name(role)}"


def _message_fault(message: object, roles: frozenset[str]) -> str | None:
    if not is_object(message):
        return f"must be an object, not {_type_name(message)}"
    reason = _role_fault(message.get("role"), roles)
    if reason is not None:
        return reason
    content = message.get("content")
    if content is not None and not isinstance(content, str):
        if not isinstance(content, Sequence) or isinstance(content, bytes):
            return f"content must be a string or a list of parts, not {_type_name(content)}"
        for position, part in enumerate(content):
            reason = _part_fault(part)
            if reason is not None:
                return f"content[{position}] {reason}"
    for key in ("name", "tool_call_id"):
        reason = _string_fault(message.get(key), key)
        if reason is not None:
            return reason
    calls = message.get("tool_calls")
    if calls is None:
        return None
    if not isinstance(calls, Sequence) or isinstance(calls, (str, bytes)):
        return f"tool_calls must be a list, not {_type_name(calls)}"
    for position, call in enumerate(calls):
        if not is_object(call):
            return f"tool_calls[{position}] must be an object, not {_type_name(call)}"
        reason = _string_fault(call.get("id"), f"tool_calls[{position}].id")
        if reason is not None:
            return reason
    return None


def _string_fault(value: object, place: str) -> str | None:
    if value is None or isinstance(value, str):
        return None
    return f"{place} must be a string, not {_type_name(value)}"


def _part_fault(part: object) -> str | None:
    if type(part) is dict and part.get("type") == "text" and type(part.get("text")) is str:
        return None
    if isinstance(part, str):
        return None
    if not is_object(part):
        return f"must be an object, not {_type_name(part)}"
    kind = part.get("type")
    if kind is None:
        return "has no type"
    if not isinstance(kind, str):
        return f"type must be a string, not {_type_name(kind)}"
    if is_nested_thought(part):
        faults = map(_part_fault, part["thinking"])
        return next((f"of type {kind!r}: a part {fault}" for fault in faults if fault), None)
    key = TEXT_KEYS.get(kind)
    # vLLM skips a part whose text is null.
    if key is not None and not isinstance(part.get(key), (str, type(None))):
        return f"of type {kind!r} needs a string under {key!r}, not {_type_name(part[key])}"
    return None


def _type_name(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    if value is None:
        return "null"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return "a number"
    return names.get(type(value), type(value).__name__)
