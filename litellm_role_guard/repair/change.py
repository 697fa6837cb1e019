"""One thing that a repair did."""

from __future__ import annotations

from typing import NamedTuple


class Change(NamedTuple):
    """One thing that a repair did.

    Attributes:
        what: `merged`, `system`, `developer`, `function`, `tools`, `content`, `filled`,
            `transcript`, `labels` and `markers` in client text made inert, `error`, `items` of
            /v1/responses that the backend takes in another form or not at all, `verify` or
            `unverified` of rendered results, or `bad_input` where mode observe lets a request
            pass.
        messages: The positions of the input messages concerned, counted from 0.
        why: The reason, in words that hold no message text.
    """

    what: str
    messages: tuple[int, ...]
    why: str
