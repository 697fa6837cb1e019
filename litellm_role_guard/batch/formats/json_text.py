"""JSON from people's files: what is wrong with it is said with its place."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from ..errors import BadInput


def parsed(written: bytes, line: int | None) -> Any:
    """Return the value of JSON text.

    Args:
        written: The text, in UTF-8, with or without a byte order mark.
        line: Its line in the file, counted from 1; None where it is the whole file.

    Raises:
        BadInput: It is no JSON, or holds what cannot be sent: NaN, half a character.
    """
    try:
        text = written.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        at = written.count(b"\n", 0, error.start) + 1 if line is None else line
        raise BadInput("not UTF-8", at) from error
    try:
        value = json.loads(text, parse_constant=_no_constant)
        if "\\u" in text:  # nothing else can bring half a character
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        place = error.lineno if line is None else line
        raise BadInput(f"not JSON: {error.msg}", place, error.colno) from error
    except UnicodeEncodeError as error:
        raise BadInput("holds half of a surrogate pair, which is no character", line) from error
    except (ValueError, RecursionError) as error:  # NaN, a number of thousands of digits, ...
        raise BadInput(f"cannot be read: {error}", line) from error
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")


def dumped(value: object) -> bytes:
    """Return a value as JSON on one line, in UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": ")).encode()
