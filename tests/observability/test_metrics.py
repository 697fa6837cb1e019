"""The metrics of the guard, without a proxy."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from litellm_role_guard.observability.metrics import MAX_SERIES, OFF, OTHER, Metrics


def test_nothing_is_registered_where_nobody_reads() -> None:
    """Without a reader there is no series, and one object serves all deployments."""
    registry = CollectorRegistry()
    metrics = Metrics(lambda: False, registry)
    assert metrics.of("g", "d") is OFF
    metrics.error()
    assert not list(registry.collect())


def test_two_guards_of_a_process_share_the_series() -> None:
    """A second guard counts in the same registry, which takes each name only once."""
    registry = CollectorRegistry()
    for _ in range(2):
        Metrics(lambda: True, registry).of("g", "d").planned("repaired", 0.001)
    labels = {"group": "g", "deployment": "d", "outcome": "repaired"}
    assert registry.get_sample_value("role_guard_requests_total", labels) == 2


def test_the_number_of_series_is_bounded() -> None:
    """What comes after so many deployments shares one series."""
    registry = CollectorRegistry()
    metrics = Metrics(lambda: True, registry)
    for number in range(MAX_SERIES + 50):
        metrics.of("g", f"d{number}").planned("untouched", 0.0)
    labels = {"group": OTHER, "deployment": OTHER, "outcome": "untouched"}
    assert registry.get_sample_value("role_guard_requests_total", labels) == 50
    # The outcomes of as many deployments, and of all others together.
    requests = next(each for each in registry.collect() if each.name == "role_guard_requests")
    deployments = {sample.labels["deployment"] for sample in requests.samples}
    assert len(deployments) == MAX_SERIES + 1


def test_a_profile_has_one_source() -> None:
    """A new source takes the place of the old one."""
    registry = CollectorRegistry()
    deployment = Metrics(lambda: True, registry).of("g", "d")
    for source in ("cautious", "backend"):
        deployment.has_profile(source, 12.0)
    found = {
        source: registry.get_sample_value(
            "role_guard_profile_source", {"group": "g", "deployment": "d", "source": source}
        )
        for source in ("cautious", "backend")
    }
    assert found == {"cautious": 0.0, "backend": 1.0}


def test_retries_of_one_request_are_told_apart() -> None:
    """All but the last repaired call were refused; the last one is what became of the request."""
    registry = CollectorRegistry()
    Metrics(lambda: True, registry).of("g", "d").retried(2, "answered")
    found = {
        outcome: registry.get_sample_value(
            "role_guard_retries_total", {"group": "g", "deployment": "d", "outcome": outcome}
        )
        for outcome in ("refused", "answered")
    }
    assert found == {"refused": 2.0, "answered": 1.0}
