"""Markers of turns in a request: where they stand, and tools without them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..endpoints.conversation import RequestConversation
from ..profile.template_profile import TemplateProfile
from ..repair.change import Change
from ..repair.control_tokens import WHY, Markers

Tools = Sequence[Mapping[str, Any]] | None

IN_TOOLS = (Change("markers", (), WHY),)
"""The change where a marker in the definitions of tools was made inert."""


def marked_place(
    profile: TemplateProfile, conversation: RequestConversation, tools: Tools
) -> str | None:
    """Return where a request holds a marker of its backend's; None for nowhere.

    Args:
        profile: What is known of the backend.
        conversation: The request as the client meant it.
        tools: Its tool definitions.
    """
    at = Markers.of(profile).first_in(conversation.messages, tools)
    if at is None:
        return None
    return "tools" if at < 0 else conversation.location(at)


def without_markers(tools: Tools, profile: TemplateProfile) -> Tools:
    """Return tool definitions without a marker; the same object where they hold none."""
    inert: Tools = Markers.of(profile).escaped(tools)
    return tools if inert == tools else inert
