"""Markers of turns in a request: where they stand, and its fields without them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..endpoints.conversation import RequestConversation
from ..profile.template_profile import TemplateProfile
from ..repair.change import Change
from ..repair.control_tokens import WHY, Markers

_PRINTED = ("tools", "documents", "chat_template_kwargs")
"""Arguments that a template may print, beside the conversation."""

_EXTRA = "extra_body"
_PRINTED_IN_EXTRA = (*_PRINTED, "messages", "input", "instructions")
"""What of `extra_body` it may print: that takes the place of the fields of the body. Others, such
as `stop`, name markers for a reason."""

IN_FIELDS = (Change("markers", (), WHY),)
"""The change where a marker beside the conversation was made inert."""

Fields = Mapping[str, Any]


def beside(arguments: Fields) -> Fields:
    """Return the arguments of a call that a template may print beside the conversation."""
    return {name: arguments[name] for name in (*_PRINTED, _EXTRA) if arguments.get(name)}


def marked_place(
    profile: TemplateProfile, conversation: RequestConversation, fields: Fields
) -> str | None:
    """Return where a request holds a marker of its backend's; None for nowhere.

    Args:
        profile: What is known of the backend.
        conversation: The request as the client meant it.
        fields: What a template may print beside it.
    """
    at = Markers.of(profile).first_in(conversation.messages)
    if at is not None:
        return conversation.location(at)
    return next(iter(without_markers(fields, profile)), None)


def without_markers(fields: Fields, profile: TemplateProfile) -> dict[str, Any]:
    """Return those fields that hold a marker, made inert.

    Args:
        fields: Arguments of a call.
        profile: What is known of the backend.
    """
    markers = Markers.of(profile)
    inert = {name: _inert(name, value, markers) for name, value in fields.items()}
    return {name: value for name, value in inert.items() if value != fields[name]}


def _inert(name: str, value: Any, markers: Markers) -> Any:
    if name != _EXTRA or not isinstance(value, Mapping):
        return markers.escaped(value)
    printed = {each: markers.escaped(value[each]) for each in _PRINTED_IN_EXTRA if each in value}
    return {**value, **printed}
