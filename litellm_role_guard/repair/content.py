"""Content that is in parts, null or empty, in a form that the template takes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from ..messages.message import has_media, is_empty, part_text, plain_text
from ..profile.states import BEFORE_TURNS, Kind
from .change import Change
from .context import RepairContext
from .policy import RepairPolicy, is_rejected
from .turn import REASONING, Turn, join_contents

NOTHING = "[Nothing]"
"""What a result says that is empty, where a template takes no empty one."""


class ContentResult(NamedTuple):
    """A turn whose content the template takes.

    Attributes:
        turn: The turn; None where the template takes no empty message, and nothing is lost by
            leaving it out.
        changes: What was changed.
    """

    turn: Turn | None
    changes: list[Change]


def normalize_content(turn: Turn, context: RepairContext, *, late: bool) -> ContentResult:
    """Bring content that is in parts, null or empty into a form that the template takes.

    Args:
        turn: The turn.
        context: What the steps go by.
        late: Whether it stands after the first turn.
    """
    policy = context.policy
    changes: list[Change] = []
    refusal = turn.message.get("refusal")
    if refusal and isinstance(refusal, str) and turn.message["role"] == "assistant":
        changes.append(turn.change("content", "vLLM does not show `refusal` to the template"))
        turn = _with_refusal_as_text(turn, context.separator)
    if policy.rejects_reasoning and any(turn.message.get(key) for key in REASONING):
        why = "the template takes no reasoning of earlier turns"
        changes.append(turn.change("content", why))
        kept = {key: value for key, value in turn.message.items() if key not in REASONING}
        turn = turn._replace(message=kept)
    content = turn.message.get("content")
    if isinstance(content, str) and content:
        return ContentResult(turn, changes)
    if content and policy.rejects_other_parts and any(map(_is_other_text, content)):
        why = "the template takes text in parts of type text only"
        changes.append(turn.change("content", why))
        turn = turn._replace(message={**turn.message, "content": _as_text_parts(content)})
    if turn.kind == "call":
        return ContentResult(turn, changes)
    formed, changed = _with_taken_form(turn, policy, late=late)
    return ContentResult(formed, changes + changed)


def _with_taken_form(turn: Turn, policy: RepairPolicy, *, late: bool) -> ContentResult:
    """Return the turn with content that is no rejected list, null or empty string."""
    form = content_form(turn, late=late)
    content = turn.message.get("content")
    if _is_of_blank_parts(content):
        content = ""
    if content and not isinstance(content, str):
        if (
            len(content) > 1
            and is_rejected(policy.rejects_parts, form)
            and not has_media(turn.message)
        ):
            message = {**turn.message, "content": plain_text(turn.message)}
            why = "the template does not read all parts of the content"
            return ContentResult(turn._replace(message=message), [turn.change("content", why)])
        return ContentResult(turn, [])
    takes_blank = not is_rejected(policy.rejects_blank, form)
    if content == "":
        if takes_blank:
            return ContentResult(turn, [])
        return _left_out(turn, "the template takes no empty message")
    if not is_rejected(policy.rejects_null, form):
        return ContentResult(turn, [])
    if not takes_blank:
        return _left_out(turn, "the template takes no message without content")
    why = "the template wants a string where the content is null"
    message = {**turn.message, "content": ""}
    return ContentResult(turn._replace(message=message), [turn.change("content", why)])


def _is_of_blank_parts(content: Any) -> bool:
    """Return whether a content is parts, and nothing stands in them."""
    return (
        bool(content)
        and not isinstance(content, str)
        and not any(part_text(part) != "" for part in content)
    )


def is_passed_over(turn: Turn, policy: RepairPolicy, state: str) -> bool:
    """Return whether a turn is empty, and the template ignores it where it stands.

    Args:
        turn: A turn that is not at the front.
        policy: What the template needs.
        state: Where the conversation stands.
    """
    passed: Collection[Kind] = policy.after_empty.get(state, ())
    if state not in BEFORE_TURNS:  # there it would hide what comes next from the front
        passed = (*passed, *policy.passed_turns)
    if turn.kind not in passed or not is_empty(turn.message):
        return False
    has_content = turn.message.get("content") not in (None, [])
    return has_content or not is_rejected(policy.rejects_null, content_form(turn, late=True))


def content_form(turn: Turn, *, late: bool) -> str:
    """Return the turn's name among `policy.FORMS`."""
    return "late system" if late and turn.kind == "system" else turn.kind


def _left_out(turn: Turn, why: str) -> ContentResult:
    return ContentResult(None, [turn.change("content", why)])


def _as_text_parts(content: Any) -> list[Any]:
    return [
        {"type": "text", "text": part_text(part)} if _is_other_text(part) else part
        for part in content
    ]


def _is_other_text(part: object) -> bool:
    return part_text(part) is not None and isinstance(part, Mapping) and part["type"] != "text"


def _with_refusal_as_text(turn: Turn, separator: str) -> Turn:
    message = {key: value for key, value in turn.message.items() if key != "refusal"}
    contents = [message.get("content"), turn.message["refusal"]]
    return turn._replace(message={**message, "content": join_contents(contents, separator)})
