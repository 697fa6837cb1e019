"""Requests on their way are counted until they end."""

from __future__ import annotations

import gc
from collections import Counter

from litellm_role_guard.routing.in_flight import InFlight, InFlightRequest
from testing.routed import _Request


class TestInFlight:
    def test_a_flight_is_counted_until_it_ends(self) -> None:
        """It ends once, however often that is said."""
        flying = InFlight()
        request = _Request()
        flight = flying.begin("a", request)
        assert flying.counts == {"a": 1}
        flight.end()
        flight.end()
        assert flying.counts == {}

    def test_a_flight_ends_with_its_request(self) -> None:
        """Nobody has to say so: what holds it is gone."""
        flying = InFlight()
        request: _Request | None = _Request()
        flying.begin("a", request)
        request = None
        gc.collect()
        assert flying.counts == {}

    def test_a_request_is_on_its_way_to_one_backend(self) -> None:
        """Sent elsewhere, it is counted there and no longer where it was."""
        flying = InFlight()
        request = _Request()
        earlier = flying.begin("a", request)
        flying.begin("b", request)
        earlier.end()
        assert flying.counts == {"b": 1}

    def test_a_dropped_flight_ends(self) -> None:
        """A flight that nobody holds is no flight."""
        counts: Counter[str] = Counter()
        flight: InFlightRequest | None = InFlightRequest("a", counts)
        assert counts == {"a": 1}
        flight = None
        gc.collect()
        assert counts == {}
        assert flight is None
