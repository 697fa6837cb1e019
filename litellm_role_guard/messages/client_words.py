"""What a client itself says in a request: a backend's error may repeat it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

CONVERSATION_FIELDS = frozenset(("messages", "input", "instructions"))

# What LiteLLM adds to a call's arguments; a copy of the client's body stands there as well.
_LITELLM_FIELDS = frozenset(
    ("metadata", "litellm_metadata", "model_info", "proxy_server_request", "litellm_params")
)


class ClientWords(NamedTuple):
    """All strings of a request, names of fields included, one a line.

    Attributes:
        conversation: Those of its messages.
        parameters: Those of everything else, such as the names of tools.
    """

    conversation: str
    parameters: str

    @property
    def all(self) -> str:
        """Return both."""
        return f"{self.conversation}\n{self.parameters}"


def client_words(fields: Mapping[str, Any]) -> ClientWords:
    """Return what a client says in a request, in time that grows with its size.

    Args:
        fields: The fields of the body, or LiteLLM's arguments.
    """
    conversation: list[str] = []
    parameters: list[str] = []
    for name, value in fields.items():
        if name in CONVERSATION_FIELDS:
            _add_strings(value, conversation)
        elif name not in _LITELLM_FIELDS:
            parameters.append(name)
            _add_strings(value, parameters)
    return ClientWords("\n".join(conversation), "\n".join(parameters))


def _add_strings(value: object, strings: list[str]) -> None:
    # Not by recursion: a client chooses how deep its JSON is. Only JSON's own types are looked
    # into, since LiteLLM's arguments hold objects that refer to everything.
    left: list[object] = [value]
    while left:
        value = left.pop()
        if isinstance(value, str):
            strings.append(value)
        elif type(value) is dict:
            left.extend(value.keys())
            left.extend(value.values())
        elif type(value) in (list, tuple):
            left.extend(value)  # type: ignore[arg-type]
