"""Reading the chat template of a GGUF file, which stands in its metadata.

The format is llama.cpp's (ggml/docs/gguf.md), versions 2 and 3. Only what is wanted is kept: the
`gguf` package makes an array of each of a vocabulary's 262,144 tokens, which takes 17 s and 760 MB.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .errors import TemplateInvalid

_TEMPLATE = "tokenizer.chat_template"
_TOKENS = "tokenizer.ggml.tokens"
_SPECIAL = {
    "tokenizer.ggml.bos_token_id": "bos_token",
    "tokenizer.ggml.eos_token_id": "eos_token",
    "tokenizer.ggml.unknown_token_id": "unk_token",
    "tokenizer.ggml.padding_token_id": "pad_token",
}

# The types of values, by their numbers in the file: letters of `struct`, a string, an array.
_SCALARS = dict(enumerate("BbHhIif?")) | {10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_MOST_NESTED = 4


def gguf_tokenizer(path: Path) -> dict[str, Any]:
    """Return a GGUF file's template and special tokens, in the form of a tokenizer_config.json.

    The weights are not read.

    Raises:
        OSError: The file cannot be read.
        TemplateInvalid: It is no GGUF file, or a broken one.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Metadata(data).tokenizer()
    except (ValueError, struct.error, IndexError, RecursionError) as error:
        raise TemplateInvalid(f"not a GGUF file that can be read ({error})") from error


class _Metadata:
    """The metadata of a GGUF file, read from its beginning."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = 4
        if data[:4] != b"GGUF":
            raise ValueError("it does not begin with GGUF")
        # The version tells the order of bytes: in the other one it is a huge number.
        self._order = "<" if struct.unpack_from("<I", data, 4)[0] < 1 << 16 else ">"
        self._tokens: tuple[int, int] | None = None
        version = self._number("I")
        if version not in (2, 3):
            raise ValueError(f"version {version}")

    def tokenizer(self) -> dict[str, Any]:
        """Return what it says of the tokenizer."""
        self._number("Q")  # how many tensors there are
        texts: list[dict[str, str]] = []
        numbers: dict[str, int] = {}
        for key, value in self._wanted(self._number("Q")):
            if isinstance(value, str):
                name = key.removeprefix(_TEMPLATE).removeprefix(".") or "default"
                texts.append({"name": name, "template": value})
            else:
                numbers[_SPECIAL[key]] = value
        special = {token: self._token(number) for token, number in numbers.items()}
        return {**special, "chat_template": texts}

    def _wanted(self, count: int) -> Iterator[tuple[str, str | int]]:
        """Yield the templates and the special tokens' numbers, by their keys."""
        for _ in range(count):
            key, kind = self._string(), self._number("I")
            if kind == _STRING and (key == _TEMPLATE or key.startswith(f"{_TEMPLATE}.")):
                yield key, self._string()
            elif key in _SPECIAL and kind in _SCALARS:
                yield key, self._number(_SCALARS[kind])
            else:
                if key == _TOKENS and kind == _ARRAY:
                    element, length = struct.unpack_from(f"{self._order}IQ", self._data, self._at)
                    if element == _STRING:
                        self._tokens = self._at + 12, length
                self._skip(kind)

    def _skip(self, kind: int, nested: int = 0) -> None:
        if kind in _SCALARS:
            self._move(struct.calcsize(_SCALARS[kind]))
        elif kind == _STRING:
            self._move(self._number("Q"))
        elif kind == _ARRAY and nested < _MOST_NESTED:
            element, length = self._number("I"), self._number("Q")
            if element in _SCALARS:
                self._move(length * struct.calcsize(_SCALARS[element]))
            else:
                for _ in range(length):
                    self._skip(element, nested + 1)
        else:
            raise ValueError(f"a value of type {kind}")

    def _token(self, number: int) -> str:
        if self._tokens is None or not 0 <= number < self._tokens[1]:
            raise ValueError(f"no token {number}")
        self._at = self._tokens[0]
        for _ in range(number):
            self._skip(_STRING)
        return self._string()

    def _string(self) -> str:
        length = self._number("Q")
        begin = self._at
        self._move(length)
        return self._data[begin : self._at].decode("utf-8")

    def _number(self, letter: str) -> int:
        (number,) = struct.unpack_from(self._order + letter, self._data, self._at)
        self._move(struct.calcsize(letter))
        return int(number)

    def _move(self, length: int) -> None:
        self._at += length
        if self._at > len(self._data):
            raise ValueError("it is cut off")
