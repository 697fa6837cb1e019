"""The items of a /v1/responses input before vLLM validates them.

Source: vLLM 0.32.0 `entrypoints/openai/responses/protocol.py`, `input_item_parsing`.
"""

from __future__ import annotations

from typing import Any

from openai.types.responses import ResponseOutputMessage, ResponseReasoningItem
from pydantic import BaseModel, ValidationError


def completed(item: Any) -> Any:
    """Return an item of an input with what vLLM fills in before it validates it."""
    if not isinstance(item, dict):
        return item
    if item.get("type") == "reasoning":
        return {"id": "rs_unnamed", **item}
    if not isinstance(item.get("content"), list):
        return item
    if item.get("type") == "message" and item.get("role") == "assistant":
        parts = [_complete_part(part, "output_text", annotations=[]) for part in item["content"]]
        answer = {"id": "msg_unnamed", "status": "completed", **item, "content": parts}
        return answer if _is_of(ResponseOutputMessage, answer) else item
    parts = [_complete_part(part, "input_image", detail="auto") for part in item["content"]]
    return {**item, "content": parts}


def is_reasoning(item: Any) -> bool:
    """Return whether an item is reasoning that vLLM can parse; it needs no id."""
    return _is_of(ResponseReasoningItem, {"id": "rs_unnamed", **item})


def _is_of(model: type[BaseModel], item: Any) -> bool:
    try:
        model.model_validate(item)
    except ValidationError:
        return False
    return True


def _complete_part(part: Any, kind: str, **defaults: Any) -> Any:
    return {**defaults, **part} if isinstance(part, dict) and part.get("type") == kind else part
