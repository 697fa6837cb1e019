"""Whether a template knows a role that no probe asks for, in the place where a client has put it.

The same conversation is rendered in that role and in one that no template knows. What is printed
alike is not known, and what is refused or not read is not taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ..messages.message import Message, tool_calls
from ..template.control_role import CONTROL_ROLE, is_printed_alike
from .probe import Rendering, judge
from .probe_builder import ProbeBuilder

_LEADS_TO: Mapping[str | None, tuple[str, ...]] = {
    None: (),
    "system": ("system",),
    "developer": ("system",),
    "assistant": ("user", "assistant"),
    "call": ("user", "call"),
    "tool": ("user", "call", "tool"),
}
"""Which messages stand before a message that follows one of this kind; of others, `user`."""


_GOES_ON: Mapping[str | None, tuple[str, ...]] = {
    None: (),
    "system": ("system", "user"),
    "developer": ("system", "user"),
    "assistant": ("assistant", "user"),
    "call": ("call", "tool"),
}
"""Which messages stand behind a message that one of this kind follows; of others, `user`."""


class RolePlace(NamedTuple):
    """A role and its neighbours.

    Attributes:
        before: The kind of the message before it; None at the front.
        role: The role's name.
        after: The kind of the message behind it; None at the end.
    """

    before: str | None
    role: str
    after: str | None

    def conversation(self, role: str) -> ProbeBuilder:
        """Return a conversation with a role in this place."""
        before = _LEADS_TO.get(self.before, ("user",))
        return ProbeBuilder(*before, role, *_GOES_ON.get(self.after, ("user",)))

    def conversations(self) -> tuple[list[Message], list[Message]]:
        """Return the conversation to render, and the same in the control role."""
        return self.conversation(self.role).messages, self.conversation(CONTROL_ROLE).messages

    def is_known(self, rendering: Rendering, control: Rendering) -> bool:
        """Return whether the renderings of `conversations` show that the role is known."""
        marks = self.conversation(self.role).marks
        is_read = judge(rendering, marks) == "accepted"
        return is_read and not is_printed_alike(rendering, control, self.role)


def places_of(messages: Sequence[Message], roles: Sequence[str]) -> Iterator[RolePlace]:
    """Yield the place of each message in one of these roles."""
    kinds = ["call" if tool_calls(message) else message.get("role") for message in messages]
    for at, kind in enumerate(kinds):
        if kind in roles:
            before = kinds[at - 1] if at else None
            after = kinds[at + 1] if at + 1 < len(kinds) else None
            yield RolePlace(_known(before), str(kind), _known(after))


def _known(kind: object) -> str | None:
    """Return a neighbour's kind, with one word for all that are none of their own here."""
    if kind is None:
        return None
    return kind if isinstance(kind, str) and kind in {*_LEADS_TO, *_GOES_ON} else "user"
