"""A `generateContent` request of Gemini's API before LiteLLM translates it into chat messages.

LiteLLM's translation (1.108.7, `google_genai/adapters/transformation.py`) reads less than clients
send: of the system instruction the first part, of contents those whose role is `user` or `model`,
and only some kinds of parts, by one of the two spellings that the API takes. It says what stands
behind a function's response before it, and what the model has thought as its answer. What is said
here in other words, it reads whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .readable_json import as_text, readable

ROLES = ("user", "model", "function", "tool")
"""The roles that are translated: LiteLLM's two, and those of a function's response alone."""

_SYSTEM = ("systemInstruction", "system_instruction")
_CALL, _RESPONSE, _PICTURE = "functionCall", "functionResponse", "inline_data"
_SPELLINGS = {"function_call": _CALL, "function_response": _RESPONSE, "inlineData": _PICTURE}
_READ = {"user": ("text", _RESPONSE, _PICTURE), "model": ("text", _CALL)}
"""What a part is, by the role of its content; a response of the model's is said by the user."""

# What a part has beside that which it is, and what no model reads.
_BESIDE = ("thought", "thoughtSignature", "thought_signature", "videoMetadata", "video_metadata")


def find_contents_error(contents: object) -> str | None:
    """Say what makes `contents` no conversation, and where; None if nothing.

    Args:
        contents: What the client sent; a single object is a list of one.
    """
    if contents is None:
        return "contents: missing"
    listed = [contents] if isinstance(contents, Mapping) else contents
    if not isinstance(listed, list):
        return "contents: must be a list"
    for at, content in enumerate(listed):
        if not isinstance(content, Mapping):
            return f"contents[{at}]: must be an object"
        role, parts = content.get("role", "user"), content.get("parts", [])
        if role not in ROLES:
            shown = repr(role)[:32] if isinstance(role, str) else "of another type than a string"
            return f"contents[{at}]: unknown role {shown}; known are {', '.join(ROLES)}"
        if not isinstance(parts, list):
            return f"contents[{at}]: parts must be a list"
        if not all(isinstance(part, (str, Mapping)) for part in parts):
            return f"contents[{at}]: each part must be an object or a string"
    return None


def readable_contents(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a request that have to change for LiteLLM to read all of them.

    Args:
        body: The request. It is not changed. Malformed ones may go to groups that are not guarded.
    """
    contents: Any = body.get("contents")
    if find_contents_error(contents) is not None:
        return {}
    listed = [contents] if isinstance(contents, Mapping) else contents
    translated = [made for content in listed for made in _contents_of(content)]
    changed: dict[str, Any] = {} if translated == listed else {"contents": translated}
    for field in _SYSTEM:
        system = body.get(field)
        if system and not _is_read_whole(system):
            texts = [part["text"] for part in _parts_of(system) if part.get("text")]
            if texts and all(isinstance(text, str) for text in texts):
                changed[field] = {"parts": [{"text": "\n".join(texts)}]}
    return changed


def _is_read_whole(system: object) -> bool:
    parts = system.get("parts") if isinstance(system, Mapping) else None
    return isinstance(parts, list) and len(parts) == 1 and isinstance(parts[0], Mapping)


def _parts_of(system: object) -> list[Mapping[str, Any]]:
    """Return the parts of a system instruction, which clients also write as a text or a list."""
    parts = system.get("parts", system) if isinstance(system, Mapping) else system
    listed = parts if isinstance(parts, list) else [parts]
    named = [{"text": part} if isinstance(part, str) else part for part in listed]
    return [part for part in named if isinstance(part, Mapping)]


def _contents_of(content: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield a content as one, or as several where something stands behind a response."""
    given = content.get("parts", [])
    role = "model" if content.get("role") == "model" else "user"
    made = [each for part in given for each in _parts_made_of(part, role)]
    runs: list[tuple[str, list[Any]]] = []
    was_response = False
    for said_by, part in made:
        is_response = isinstance(part, Mapping) and _RESPONSE in part
        if not runs or runs[-1][0] != said_by or (was_response and not is_response):
            runs.append((said_by, []))
        runs[-1][1].append(part)
        was_response = is_response
    if not given or runs == [(content.get("role", "user"), given)]:
        yield {**content, "role": role} if content.get("role", role) != role else content
        return
    for said_by, run in runs:
        yield {**content, "role": said_by, "parts": run}


def _parts_made_of(part: Any, role: str) -> Iterator[tuple[str, Any]]:
    """Yield what LiteLLM reads of a part, and in whose content; a response's pictures behind it."""
    if isinstance(part, str):
        yield role, part
        return
    if not isinstance(part, Mapping):  # below a response they may be anything
        if text := as_text(readable(part)):
            yield role, text
        return
    part = {_SPELLINGS.get(key, key): value for key, value in part.items()}
    if part.get("thought") is True:
        return  # as reasoning it could not be said, and templates leave that out of later prompts
    kind = next((key for key in _READ[role] if key in part), None)
    if kind is None and _RESPONSE in part:
        kind = _RESPONSE
    if kind is not None and not isinstance(part[kind], str if kind == "text" else Mapping):
        kind = None  # LiteLLM would fail over it
    if kind == _PICTURE:
        yield role, {_PICTURE: _picture(part[_PICTURE])}
    elif kind == _RESPONSE:
        yield "user", part
        nested = part[_RESPONSE].get("parts")
        for inner in nested if isinstance(nested, list) else ():
            yield from _parts_made_of(inner, "user")
    elif kind is not None:
        yield role, part
    elif text := as_text(readable({k: v for k, v in part.items() if k not in _BESIDE})):
        yield role, {"text": text}


def _picture(data: Mapping[str, Any]) -> Mapping[str, Any]:
    if "mimeType" not in data:
        return data
    return {"mime_type": data["mimeType"], "data": data.get("data", "")}
