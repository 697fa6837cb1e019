"""Content that is in parts, null or empty, in a form that the template takes."""

from __future__ import annotations

from collections.abc import Mapping

from ..messages.message import has_media, part_text, plain_text
from .context import RepairContext, rejects_form
from .turn import REASONING, Turn, join_contents


def normalize_content(turn: Turn, draft: RepairContext, *, late: bool) -> Turn | None:
    """Bring content that is in parts, null or empty into a form that the template takes.

    None where it takes no empty message at all, and there is nothing in this one to be lost.
    """
    refusal = turn.message.get("refusal")
    if refusal and isinstance(refusal, str) and turn.message["role"] == "assistant":
        draft.note("content", turn, "vLLM does not show `refusal` to the template")
        turn = _with_refusal_said(turn, draft)
    rules = draft.rules
    if rules.reasoning != "accepted" and any(turn.message.get(key) for key in REASONING):
        draft.note("content", turn, "the template takes no reasoning of earlier turns")
        kept = {key: value for key, value in turn.message.items() if key not in REASONING}
        turn = turn._replace(message=kept)
    content = turn.message.get("content")
    if isinstance(content, str) and content:
        return turn
    if content and rules.other_parts != "accepted" and any(map(_is_other_text, content)):
        draft.note("content", turn, "the template takes text in parts of type text only")
        content = [
            {"type": "text", "text": part_text(part)} if _is_other_text(part) else part
            for part in content
        ]
        turn = turn._replace(message={**turn.message, "content": content})
    if turn.kind == "call":
        return turn
    form = _form(turn, late=late)
    if content and not isinstance(content, str):
        if len(content) > 1 and rejects_form(rules.parts, form) and not has_media(turn.message):
            draft.note("content", turn, "the template does not read all parts of the content")
            return turn._replace(message={**turn.message, "content": plain_text(turn.message)})
        return turn
    if content == "":
        if rejects_form(rules.blank, form):
            draft.note("content", turn, "the template takes no empty message")
            return None
    elif rejects_form(rules.null, form):
        if rejects_form(rules.blank, form):
            draft.note("content", turn, "the template takes no message without content")
            return None
        draft.note("content", turn, "the template wants a string where the content is null")
        return turn._replace(message={**turn.message, "content": ""})
    return turn


def _is_other_text(part: object) -> bool:
    return part_text(part) is not None and isinstance(part, Mapping) and part["type"] != "text"


def _with_refusal_said(turn: Turn, draft: RepairContext) -> Turn:
    message = {key: value for key, value in turn.message.items() if key != "refusal"}
    contents = [message.get("content"), turn.message["refusal"]]
    return turn._replace(message={**message, "content": join_contents(contents, draft.separator)})


def _form(turn: Turn, *, late: bool) -> str:
    return "late system" if late and turn.kind == "system" else turn.kind
