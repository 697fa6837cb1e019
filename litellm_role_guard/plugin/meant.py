"""A conversation as its settings want it, before anything is repaired."""

from __future__ import annotations

from ..config.settings import DeploymentSettings
from ..endpoints.conversation import RequestConversation
from ..repair.error_turns import WithoutErrors, without_errors
from ..repair.late_system import with_system_in_front


def meant_by(conversation: RequestConversation, settings: DeploymentSettings) -> WithoutErrors:
    """Return the conversation as the settings want it: without errors, system text in front."""
    messages = conversation.messages
    meant = WithoutErrors(messages, range(len(messages)))
    # Neither is anything that the backend would refuse, and no reason to reject a request.
    if settings.mode == "reject":
        return meant
    if settings.error_turns == "drop":
        meant = without_errors(messages, settings.error_patterns, prefill=conversation.prefill)
    if settings.late_system != "front":
        return meant
    moved = with_system_in_front(meant.messages)
    changes = (
        change._replace(messages=tuple(meant.origins[at] for at in change.messages))
        for change in moved.changes
    )
    origins = [meant.origins[at] for at in moved.origins]
    return WithoutErrors(moved.messages, origins, (*meant.changes, *changes))
