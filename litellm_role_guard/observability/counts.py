"""How often the guard did what, since the process started."""

from __future__ import annotations

from collections import Counter


class Counts:
    """How often the guard did what, since the process started.

    `repaired`, `observed`, `rejected`, `bad_input` count requests, `retried` counts calls sent
    once more, `failed` counts errors inside the guard itself. Where routing is on, `routed_home`
    counts requests sent to the backend that has their conversation, `routed_moved` those that the
    load or a failure sent to another, `routed_overruled` those that LiteLLM sent elsewhere.
    `learnt` counts profiles learnt from live backends, `learning_failed` tries in vain. With
    `verify`, `verified` counts requests that were changed further so that the template reads them
    whole, `unverified` those for which no change helps. `remembered` counts requests whose
    `previous_response_id` stood for a conversation that the guard had kept. `too_large` counts
    those that were passed on as they came, by `max_messages`, `max_characters` or their depth.
    """

    def __init__(self) -> None:
        self._counter: Counter[str] = Counter()

    def add(self, event: str) -> None:
        """Count one event."""
        self._counter[event] += 1

    def __getitem__(self, event: str) -> int:
        return self._counter[event]
