"""Reading special tokens from a tokenizer_config.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import TemplateInvalid


def read_json_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file.

    Raises:
        OSError: The file cannot be read.
        TemplateInvalid: The file holds no JSON object.
    """
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise TemplateInvalid(f"{path}: not JSON: {error}") from error
    if not isinstance(read, dict):
        raise TemplateInvalid(f"{path}: not a JSON object")
    return read


def special_tokens_beside(config: Path) -> dict[str, str] | None:
    """Return the special tokens of a tokenizer_config.json; None if there is no such file."""
    return special_tokens_of(read_json_object(config)) if config.is_file() else None


def special_tokens_of(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the special tokens of a tokenizer's config, by names such as `bos_token`."""
    tokens = {}
    for key in ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token"):
        token = config.get(key)
        if isinstance(token, Mapping):  # a serialised AddedToken
            token = token.get("content")
        if isinstance(token, str):
            tokens[key] = token
    return tokens


def named_templates(value: object) -> dict[str, str]:
    """Return the several templates of a tokenizer's config, by their names.

    Args:
        value: Its `chat_template`: a list of objects with `name` and `template`, as transformers
            writes it, or an object of templates by name, as it holds it.
    """
    if isinstance(value, Mapping):
        pairs = list(value.items())
    else:
        entries = value if isinstance(value, list) else []
        pairs = [
            (each.get("name"), each.get("template")) for each in entries if isinstance(each, dict)
        ]
    return {name: text for name, text in pairs if isinstance(name, str) and isinstance(text, str)}
