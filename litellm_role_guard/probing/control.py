"""Control probes: the same conversation in a role that nobody knows."""

from __future__ import annotations

from ..template.control_role import CONTROL_ROLE
from .probe_builder import ProbeBuilder


def control_of(builder: ProbeBuilder, at: int) -> ProbeBuilder:
    """Return the same conversation with the message at a position in the role nobody knows."""
    control = ProbeBuilder(unordered_marks=builder.unordered_marks)
    control.marks = builder.marks
    control.messages = [
        {**message, "role": CONTROL_ROLE} if position == at else message
        for position, message in enumerate(builder.messages)
    ]
    return control
