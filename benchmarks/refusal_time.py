"""A refusal met and repaired by the guard, beside what LiteLLM itself does about one.

    python -m benchmarks.refusal_time    writes its part of docs/benchmarks.md

What could have been foreseen is never refused, so that the guarded deployments are told a template
that is not the backend's. A refusal is learnt from, so that each sample needs a deployment of its
own.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import httpx

from testing.processes import proxy, simulator
from testing.proxies import MASTER_KEY, write_config
from testing.templates import TEMPLATES

from . import plot
from .page import BENCHMARKS, Target, machine, table, targets, write

ROUNDS = 20
"""How many samples there are of each, whole and streamed."""

BACK_OFF_EVERY = 10
"""LiteLLM sleeps before it tries a lone deployment again, and gets a turn in one of so many."""

RETRIES = 2
LATENCY_SECONDS = 0.02
"""Until the simulated backend says its first word. A refusal comes before that."""

ALLOWED_SECONDS = 0.005
STRICT, LENIENT = TEMPLATES / "alternating.jinja", TEMPLATES / "plain.jinja"
# LiteLLM's connections end before the backend's do (docs/fleet.md).
ENVIRONMENT = {"AIOHTTP_KEEPALIVE_TIMEOUT": "2"}

CLEAN = [
    {"role": "user", "content": "hello"},
    {"role": "assistant", "content": "hi"},
    {"role": "user", "content": "are you there?"},
]
BROKEN = [*CLEAN, {"role": "user", "content": "hello again"}]

MET = "this guard: a refusal"
UNREFUSED = "this guard: no refusal"
# What LiteLLM can be told to do, by the group that it is told for.
OWN = {
    "plain": f"LiteLLM: `num_retries: {RETRIES}`",
    "policy-two": f"LiteLLM: `BadRequestErrorRetries: {RETRIES}`, two deployments",
    "policy-one": f"LiteLLM: `BadRequestErrorRetries: {RETRIES}`, one deployment",
    "fallback-same": "LiteLLM: fallback to a second group",
    "fallback-other": "LiteLLM: fallback to a model that takes anything",
}
DRAWN = {
    UNREFUSED: "guard,\nno refusal",
    MET: "guard,\na refusal",
    OWN["plain"]: "num_retries\n(400)",
    OWN["policy-two"]: "retry policy\n(400)",
    OWN["fallback-same"]: "fallback\n(400)",
    OWN["fallback-other"]: "fallback to\nanother model",
}
DIRECT_REFUSED, DIRECT = "the backend itself: a refusal", "the backend itself: an answer"
FORMS = {"whole": False, "streamed": True}


class Sample(NamedTuple):
    """What came of one request.

    Attributes:
        seconds: Until the last byte of the answer or the error.
        calls: How many calls reached the backends.
        status: The HTTP status.
        told: What was answered.
    """

    seconds: float
    calls: int
    status: int
    told: str


Samples = dict[tuple[str, str], list[Sample]]
"""By what was asked, and whether its answer was whole or streamed."""


class Bench:
    """The client, and the simulated backends that tell what has reached them.

    Args:
        client: The client's connections.
        backends: The backends' addresses.
    """

    def __init__(self, client: httpx.Client, backends: list[str]) -> None:
        self._client = client
        self._backends = backends

    def ask(self, url: str, group: str, messages: list[dict[str, str]], stream: bool) -> Sample:
        """Send a conversation; measure until all of the answer is there."""
        for backend in self._backends:
            self._client.delete(f"{backend}/control/requests").raise_for_status()
        body = {"model": group, "messages": messages, "stream": stream, "max_tokens": 16}
        began = time.perf_counter()
        reply = self._client.post(f"{url}/v1/chat/completions", json=body)
        seconds = time.perf_counter() - began
        received = [
            call
            for backend in self._backends
            for call in self._client.get(f"{backend}/control/requests").json()
            if call["path"].startswith("/v1/chat")
        ]
        return Sample(seconds, len(received), reply.status_code, reply.text)


def guarded_config(backend: str) -> dict[str, Any]:
    """Give the config of a proxy whose guard expects another template than the backend has."""
    return {
        "model_list": [
            {
                **_deployment(f"{form}-{number}", backend),
                "model_info": {"role_guard": {"chat_template": str(LENIENT)}},
            }
            for form in FORMS
            for number in range(ROUNDS)
        ],
        "litellm_settings": {"callbacks": ["litellm_role_guard.role_guard"]},
        "router_settings": {"num_retries": 0, "disable_cooldowns": True},
    }


def own_config(strict: str, lenient: str) -> dict[str, Any]:
    """Give the config of a proxy that does what LiteLLM can do about a refusal."""
    groups = dict.fromkeys((*OWN, "second"), strict) | {"other": lenient}
    model_list = [_deployment(group, backend) for group, backend in groups.items()]
    policy = {"BadRequestErrorRetries": RETRIES}
    return {
        "model_list": [*model_list, _deployment("policy-two", strict)],
        "router_settings": {
            "num_retries": RETRIES,
            "model_group_retry_policy": {"policy-one": policy, "policy-two": policy},
            "fallbacks": [{"fallback-same": ["second"]}, {"fallback-other": ["other"]}],
            "disable_cooldowns": True,
        },
    }


def _deployment(group: str, backend: str) -> dict[str, Any]:
    params = {"model": "hosted_vllm/gemma3", "api_base": f"{backend}/v1", "api_key": "none"}
    return {"model_name": group, "litellm_params": params}


def measure(folder: Path) -> Samples:
    """Take turns in asking all of them."""
    latency = {"model": "gemma3", "latency": str(LATENCY_SECONDS)}
    with ExitStack() as stack:
        strict = stack.enter_context(simulator(folder, STRICT, **latency))
        lenient = stack.enter_context(simulator(folder, LENIENT, **latency))
        urls = {}
        for name, config in (
            ("guarded", guarded_config(strict)),
            ("own", own_config(strict, lenient)),
        ):
            home = folder / name
            home.mkdir()
            path = write_config(config, home)
            urls[name] = stack.enter_context(proxy(path, home / "proxy.log", ENVIRONMENT))
        headers = {"Authorization": f"Bearer {MASTER_KEY}"}
        client = stack.enter_context(httpx.Client(timeout=60, headers=headers))
        bench = Bench(client, [strict, lenient])
        samples: Samples = {}
        # What is imported at the first request is none of anybody's time.
        for group in ("whole-0", "streamed-0"):
            _expect(bench.ask(urls["guarded"], group, CLEAN, False), 200, 1)
        for number in range(ROUNDS):
            for form, stream in FORMS.items():
                for name, sample in _round(bench, urls, strict, number, form, stream):
                    samples.setdefault((name, form), []).append(sample)
            if not (number + 1) % 5:
                print(f"{number + 1} rounds of {ROUNDS}", flush=True)
        return samples


def _round(
    bench: Bench, urls: dict[str, str], strict: str, number: int, form: str, stream: bool
) -> Iterator[tuple[str, Sample]]:
    guarded, own, group = urls["guarded"], urls["own"], f"{form}-{number}"
    # Each is asked over connections that were in use a moment ago.
    bench.ask(strict, "gemma3", CLEAN, stream)
    yield DIRECT, _expect(bench.ask(strict, "gemma3", CLEAN, stream), 200, 1)
    yield DIRECT_REFUSED, _expect(bench.ask(strict, "gemma3", BROKEN, stream), 400, 1)
    # The first request to a deployment makes things that later ones find.
    _expect(bench.ask(guarded, group, CLEAN, stream), 200, 1)
    yield MET, _expect(bench.ask(guarded, group, BROKEN, stream), 200, 2)
    yield UNREFUSED, _expect(bench.ask(guarded, group, BROKEN, stream), 200, 1)
    for own_group, what in OWN.items():
        if own_group == "policy-one" and number % BACK_OFF_EVERY:
            continue
        _expect(bench.ask(own, own_group, CLEAN, stream), 200, 1)
        yield what, bench.ask(own, own_group, BROKEN, stream)


def _expect(sample: Sample, status: int, calls: int) -> Sample:
    if (sample.status, sample.calls) != (status, calls):
        raise RuntimeError(f"not what is measured here: {sample}")
    return sample


def _milliseconds(samples: list[Sample]) -> float:
    return statistics.median(sample.seconds for sample in samples) * 1000


def report(samples: Samples) -> str:
    """Write it down."""
    rows, extra = [], {}
    for form in FORMS:
        met = [sample.seconds for sample in samples[MET, form]]
        unrefused = [sample.seconds for sample in samples[UNREFUSED, form]]
        # Both of a pair were sent one after the other.
        more = statistics.median(a - b for a, b in zip(met, unrefused, strict=True)) * 1000
        extra[form] = more
        call = _milliseconds(samples[DIRECT_REFUSED, form])
        allowed = call + ALLOWED_SECONDS * 1000
        rows.append(
            Target(
                f"a refusal met and repaired, {form}, over a request without one",
                f"one backend call ({call:.1f} ms) plus {ALLOWED_SECONDS * 1000:.0f} ms",
                f"{more:.1f} ms: one call plus {round(more - call, 1) + 0.0} ms",
                more <= allowed,
            )
        )
    shown = (DIRECT, DIRECT_REFUSED, UNREFUSED, MET, *OWN.values())
    cells = []
    for what in shown:
        of_both = [sample for form in FORMS for sample in samples[what, form]]
        calls = sorted({sample.calls for sample in of_both})
        statuses = sorted({sample.status for sample in of_both})
        times = [f"{_milliseconds(samples[what, form]):.1f}" for form in FORMS]
        cells.append((what, *times, *(" or ".join(map(str, each)) for each in (calls, statuses))))
    ratio = _milliseconds(samples[OWN["policy-two"], "whole"]) / _milliseconds(
        samples[MET, "whole"]
    )
    groups = {
        label: {form: _milliseconds(samples[what, form]) for form in FORMS}
        for what, label in DRAWN.items()
    }
    drawn = plot.bars("refusal-time", groups, y="time to the end of the answer or the error, ms")
    said = (
        f"LiteLLM's own retries where a 400 is retried at once take {ratio:.1f} times as long as "
        "the guard's answer, and end in the same 400."
    )
    head = ("one request", *(f"{form}, ms" for form in FORMS), "backend calls", "status")
    note = f"{ROUNDS} rounds; backend's time to the first word: {LATENCY_SECONDS * 1000:.0f} ms."
    versions = f"{note} {machine('litellm', 'litellm-role-guard')}"
    return "\n\n".join([targets(rows), table(head, cells), said, drawn, versions])


def main() -> None:
    """Measure, print, and put the figures into docs/benchmarks.md."""
    print(f"{ROUNDS} refusals of each kind, some 45 seconds ...", flush=True)
    with TemporaryDirectory() as folder:
        text = report(measure(Path(folder)))
    print(text)
    write("refusal_time", text, BENCHMARKS)


if __name__ == "__main__":
    main()
