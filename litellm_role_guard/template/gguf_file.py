"""Reading the chat template of a GGUF file, which stands in its metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .errors import TemplateInvalid

_TOKENS = ("bos", "eos", "unknown", "padding")
_NAMES = {"bos": "bos_token", "eos": "eos_token", "unknown": "unk_token", "padding": "pad_token"}


def gguf_tokenizer(path: Path) -> dict[str, Any]:
    """Return a GGUF file's template and special tokens, in the form of a tokenizer_config.json.

    The weights are not read.

    Raises:
        OSError: The file cannot be read.
        TemplateInvalid: It is no GGUF file, or the `gguf` package is not installed.
    """
    try:
        from gguf import GGUFReader
    except ImportError as error:
        needed = "pip install 'litellm-role-guard[gguf]'"
        raise TemplateInvalid(f"a GGUF file needs {error.name}: {needed}") from error
    try:
        fields = GGUFReader(path).fields
        config = {_NAMES[kind]: token for kind in _TOKENS if (token := _token(fields, kind))}
        return {**config, "chat_template": _templates(fields)}
    except OSError:
        raise
    except Exception as error:  # the library meets broken files with errors of any kind
        raise TemplateInvalid(f"not a GGUF file that can be read ({error})") from error


def _templates(fields: Any) -> list[dict[str, str]]:
    prefix = "tokenizer.chat_template"
    return [
        {"name": name.removeprefix(prefix).removeprefix(".") or "default", "template": value}
        for name, field in fields.items()
        if (name == prefix or name.startswith(f"{prefix}."))
        and isinstance(value := field.contents(), str)
    ]


def _token(fields: Any, kind: str) -> str | None:
    number, tokens = (
        fields.get(f"tokenizer.ggml.{name}") for name in (f"{kind}_token_id", "tokens")
    )
    if number is None or tokens is None:
        return None
    text = tokens.contents(int(number.contents()))
    return text if isinstance(text, str) else None
