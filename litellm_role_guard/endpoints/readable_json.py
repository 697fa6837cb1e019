"""What a model can read of JSON data: all of it but encrypted content and files in base64."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_ENCRYPTED = "encrypted_content"

_OPAQUE = re.compile(r"data:[^,]{0,100};base64,|[\w+/-]{1024,}=*\Z", re.ASCII)
"""A file as a data URL, or in base64 alone: no text has a thousand of these letters in a row."""


def readable(value: Any) -> Any:
    """Return JSON data without what no model reads, nor what says nothing (null, empty).

    Args:
        value: The data. It is not changed.
    """
    if isinstance(value, str):
        return None if _OPAQUE.match(value) else value
    if isinstance(value, Mapping):
        fields = {key: readable(field) for key, field in value.items() if key != _ENCRYPTED}
        return {key: field for key, field in fields.items() if _says_something(field)}
    if isinstance(value, (list, tuple)):
        return [entry for entry in map(readable, value) if _says_something(entry)]
    return value


def as_text(value: Any) -> str:
    """Return JSON data as text: a string as it is, else JSON; empty where it says nothing."""
    if not _says_something(value):
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _says_something(value: object) -> bool:
    return value is not None and value not in ("", [], {})
