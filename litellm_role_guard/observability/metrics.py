"""What the guard does, as Prometheus metrics in the registry that LiteLLM shows on `/metrics`.

With several workers prometheus-client keeps all samples in files (`PROMETHEUS_MULTIPROC_DIR`, which
LiteLLM sets up), so that each worker's `/metrics` tells of all of them. Labels are words of the
guard's own and names from the proxy's config; never what a client wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

OUTCOMES = ("untouched", "repaired", "observed", "rejected", "bad_input", "failed", "skipped")
"""What became of a request before it was sent. `skipped`: mode off, or a key, a team or the request
has opted out. `failed`: an error of the guard's own; the request went on unchanged."""


MODES = ("repair", "observe", "reject")
"""In which mode a change was made, or would have been made."""


SOURCES = ("chat_template", "backend", "shared", "cautious")
"""Where a profile comes from: a template named in the config, the backend itself, what another
proxy learnt of it (Redis), or the default for a backend that was not asked or has not told."""


NO_NAME = "none"
"""The label of a deployment where none was chosen yet."""


OTHER = "other"
"""The label of what the proxy's config does not name, and of all that is beyond `MAX_SERIES`."""


MAX_SERIES = 500
"""How many pairs of group and deployment get series of their own. The config bounds them, but one
that is changed while the proxy runs does so for ever."""


OVERHEAD_BUCKETS = (
    *(0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025),
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
)
"""In seconds: a clean request takes some tens of microseconds, waiting for a profile a second."""


LEARNING_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class DeploymentMetrics:
    """The metrics of one deployment. This base keeps none: it is off."""

    is_on = False

    def planned(self, outcome: str, seconds: float) -> None:
        """Count a request that is about to be sent, or that was answered with a 400.

        Args:
            outcome: One of `OUTCOMES`.
            seconds: For how long the guard held it up, waiting for a profile included.
        """

    def changed(self, kinds: Mapping[str, int], mode: str) -> None:
        """Count what was, or would be, changed about a conversation.

        Args:
            kinds: How many changes of each kind (`Change.what`).
            mode: One of `MODES`.
        """

    def refused(self, family: str | None) -> None:
        """Count a refusal by its family; None where nobody knows its words."""

    def retried(self, refused: int, outcome: str) -> None:
        """Count the repaired calls that followed refusals of one request.

        Args:
            refused: How many were refused in turn.
            outcome: What became of the last one: `answered`, `refused` or `failed`.
        """

    def lessons(self, event: str, count: int) -> None:
        """Count lessons that hold for all conversations now, `proven`, or no longer, `dropped`."""

    def learnt(self, seconds: float, outcome: str) -> None:
        """Observe one asking of the backend, which took so long; `learnt` or `failed`."""

    def has_profile(self, source: str, learnt_at: float | None = None) -> None:
        """Set where the profile comes from.

        Args:
            source: One of `SOURCES`.
            learnt_at: When it was learnt, or found to hold still, in seconds since 1970; None
                where nobody learnt it.
        """

    def error(self) -> None:
        """Count an error of the guard's own; the request went on."""

    def routed(self, decision: str) -> None:
        """Count a routed request: `home`, `moved` or `overruled`."""

    def began(self) -> None:
        """Count a request as in flight."""

    def ended(self) -> None:
        """Count it no longer."""


OFF = DeploymentMetrics()
"""The metrics of a deployment where nobody reads any."""


class Metrics:
    """The guard's metrics, by deployment.

    Args:
        is_on: Returns whether somebody reads them. It is asked until it says yes, whenever a
            deployment is used for the first time.
        registry: Where they are kept; None for prometheus-client's own, which LiteLLM shows.
    """

    def __init__(
        self, is_on: Callable[[], bool] = lambda: False, registry: CollectorRegistry | None = None
    ) -> None:
        self._is_on = is_on
        self._registry = registry
        self._collectors: _Collectors | None = None
        self._known: dict[tuple[str, str], DeploymentMetrics] = {}

    def of(self, group: str, deployment: str = NO_NAME) -> DeploymentMetrics:
        """Return the metrics of a deployment.

        Args:
            group: The name of its group, as the config has it.
            deployment: Its name, of what the config says.
        """
        key = (group, deployment)
        known = self._known.get(key)
        if known is None:
            collectors = self._opened()
            if collectors is None:
                return OFF
            if len(self._known) >= MAX_SERIES:
                key = (OTHER, OTHER)
            known = self._known.get(key) or _Kept(collectors, *key)
            self._known[key] = known
        return known

    def error(self) -> None:
        """Count an error of the guard's own, wherever it came up."""
        collectors = self._opened()
        if collectors is not None:
            collectors.errors.inc()

    def _opened(self) -> _Collectors | None:
        if self._collectors is None and self._is_on():
            self._collectors = _collectors(self._registry)
        return self._collectors


class _Collectors(NamedTuple):
    requests: Any
    changes: Any
    refusals: Any
    retries: Any
    lessons: Any
    learning: Any
    overhead: Any
    profile: Any
    profile_time: Any
    routing: Any
    in_flight: Any
    errors: Any


_of_registry: dict[int, tuple[CollectorRegistry, _Collectors]] = {}


def _collectors(registry: CollectorRegistry | None) -> _Collectors:
    """Return the collectors of a registry, which takes each name only once."""
    from prometheus_client import REGISTRY

    registry = REGISTRY if registry is None else registry
    if id(registry) not in _of_registry:
        _of_registry[id(registry)] = registry, _registered(registry)
    return _of_registry[id(registry)][1]


def _registered(registry: CollectorRegistry) -> _Collectors:
    from prometheus_client import Counter, Gauge, Histogram

    where = ("group", "deployment")

    def counter(name: str, about: str, *labels: str) -> Any:
        return Counter(f"role_guard_{name}", about, (*where, *labels), registry=registry)

    def gauge(name: str, about: str, mode: Any, *labels: str) -> Any:
        names = (*where, *labels)
        return Gauge(f"role_guard_{name}", about, names, registry=registry, multiprocess_mode=mode)

    def histogram(name: str, about: str, buckets: tuple[float, ...], *labels: str) -> Any:
        names = (*where, *labels)
        return Histogram(f"role_guard_{name}", about, names, registry=registry, buckets=buckets)

    return _Collectors(
        requests=counter(
            "requests",
            "Requests on their way to a deployment, each of LiteLLM's attempts at one, by what the "
            "guard did before they were sent",
            "outcome",
        ),
        changes=counter(
            "changes",
            "Changes to conversations, by kind; mode observe and reject: what would be changed",
            "kind",
            "mode",
        ),
        refusals=counter(
            "refusals", "400s about a conversation that a backend answered, by family", "family"
        ),
        retries=counter(
            "retries", "Repaired calls after a refusal, by what became of them", "outcome"
        ),
        lessons=counter(
            "lessons", "Lessons of refusals that hold for all conversations, or no longer", "event"
        ),
        learning=histogram(
            "learning_seconds", "How long it took to ask a backend", LEARNING_BUCKETS, "outcome"
        ),
        overhead=histogram(
            "overhead_seconds",
            "How long a request was held up before it was sent, waiting for a profile included",
            OVERHEAD_BUCKETS,
        ),
        profile=gauge(
            "profile_source",
            "1 where a worker's profile comes from this source",
            "livemax",
            "source",
        ),
        # The oldest of all workers'; `time() - ...` is its age.
        profile_time=gauge(
            "profile_learnt_timestamp_seconds",
            "When the profile was learnt, in seconds since 1970",
            "livemin",
        ),
        routing=counter("routing", "Requests of routed groups, by where they went", "decision"),
        in_flight=gauge("in_flight", "Requests that a backend is busy with", "livesum"),
        errors=Counter(
            "role_guard_errors", "Errors of the guard's own; requests went on", registry=registry
        ),
    )


class _Kept(DeploymentMetrics):
    """The series of one deployment, found by their labels once and not for each request."""

    is_on = True

    def __init__(self, collectors: _Collectors, group: str, deployment: str) -> None:
        where = (group, deployment)
        self._outcomes = {each: collectors.requests.labels(*where, each) for each in OUTCOMES}
        self._overhead = collectors.overhead.labels(*where)
        self._in_flight = collectors.in_flight.labels(*where)
        self._where = where
        self._collectors = collectors
        self._source: str | None = None

    def planned(self, outcome: str, seconds: float) -> None:
        self._outcomes[outcome].inc()
        self._overhead.observe(seconds)

    def changed(self, kinds: Mapping[str, int], mode: str) -> None:
        for kind, count in kinds.items():
            self._collectors.changes.labels(*self._where, kind, mode).inc(count)

    def refused(self, family: str | None) -> None:
        self._collectors.refusals.labels(*self._where, family or "unknown").inc()

    def retried(self, refused: int, outcome: str) -> None:
        retries = self._collectors.retries
        if refused:
            retries.labels(*self._where, "refused").inc(refused)
        retries.labels(*self._where, outcome).inc()

    def lessons(self, event: str, count: int) -> None:
        if count:
            self._collectors.lessons.labels(*self._where, event).inc(count)

    def learnt(self, seconds: float, outcome: str) -> None:
        self._collectors.learning.labels(*self._where, outcome).observe(seconds)

    def has_profile(self, source: str, learnt_at: float | None = None) -> None:
        if learnt_at is not None:
            self._collectors.profile_time.labels(*self._where).set(learnt_at)
        # A series cannot be taken away where samples are kept in files: the old source becomes 0.
        if source != self._source:
            for each in SOURCES:
                self._collectors.profile.labels(*self._where, each).set(each == source)
            self._source = source

    def error(self) -> None:
        self._collectors.errors.inc()

    def routed(self, decision: str) -> None:
        self._collectors.routing.labels(*self._where, decision).inc()

    def began(self) -> None:
        self._in_flight.inc()

    def ended(self) -> None:
        self._in_flight.dec()
