"""Learning a profile from a live vLLM, without generating a token.

`/tokenize` renders a conversation and refuses it as a chat request would be refused, and
`/detokenize` returns the text that the model would read. So the template is judged together
with the server that renders it. Checked against vLLM 0.32.0 (`entrypoints/serve/tokenize`).

Messages are sent as LiteLLM sends those of a request: without `content` where that is null.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from ..backend.backend import LIMIT_SECONDS, Backend
from ..backend.errors import LearningFailed
from ..backend.identity import TEMPLATE_KEY
from ..backend.server import VllmServer, connected
from ..messages.message import has_media
from ..profile.template_profile import TemplateProfile
from .evidence import ProbeRecorder
from .isolated import learn_isolated
from .oracle import CONCURRENCY, LiveOracle
from .probe import Probe, Rendering, form_of, same_rendering
from .speculation import speculate

LONGEST_SECONDS = 600.0
"""How long learning may take in all. In a busy proxy each answer may come seconds late, and a
backend that answers at all can be learnt from."""


async def learn_from_vllm(base_url: str, model: str, api_key: str | None = None) -> TemplateProfile:
    """Learn a profile from a running vLLM, which generates no token for it.

    Args:
        base_url: The server's address, with or without `/v1`.
        model: The name of a served model.
        api_key: Sent as the bearer token.

    Raises:
        LearningFailed: The backend cannot be reached or asked, or not in time.
    """
    return await learn_from_backend(Backend(model, base_url, model, api_key))


async def learn_from_backend(
    backend: Backend,
    *,
    seconds: float = LIMIT_SECONDS,
    longest_seconds: float = LONGEST_SECONDS,
    concurrency: int = CONCURRENCY,
    recorder: ProbeRecorder | None = None,
) -> TemplateProfile:
    """Learn a profile from a running vLLM, which generates no token for it.

    If the server shows its template, a local copy answers the probes. First the copy must render
    one conversation of each form as the server does.

    Args:
        backend: The vLLM.
        seconds: How long each answer may take.
        longest_seconds: The time limit for all of it.
        concurrency: How many requests may be open at once, in a process that is not busy.
        recorder: Takes every probe with its rendering.

    Raises:
        LearningFailed: The backend cannot be reached or asked, or not in time.
    """
    recorder = recorder or ProbeRecorder()
    async with connected(backend, seconds) as server:
        oracle = LiveOracle(server, concurrency)
        try:
            return await asyncio.wait_for(_learn(server, oracle, recorder), longest_seconds)
        except asyncio.TimeoutError as error:  # the builtin TimeoutError from Python 3.11 on
            reason = f"{server.root}: not learnt within {longest_seconds:g} s"
            raise LearningFailed(reason) from error


async def _learn(
    server: VllmServer, oracle: LiveOracle, recorder: ProbeRecorder
) -> TemplateProfile:
    await oracle.start()
    # A template that the request brings is not the one that the server shows.
    shown = {} if server.backend.fields else await server.shown("/tokenizer_info")
    local = await learn_isolated(shown) if TEMPLATE_KEY in shown else None
    if local is not None:
        sample = _sample(local.renderings)
        live = await oracle.read([probe for probe, _ in sample])
        if all(map(same_rendering, live, (rendering for _, rendering in sample))):
            recorder.take(local.renderings)
            return local.profile
    await oracle.find_preamble()
    while True:
        progress = speculate(oracle.renderings, oracle.key, tools=oracle.takes_tools)
        if progress.profile is not None:
            recorder.take(progress.answered)
            return progress.profile
        await oracle.read(list(progress.unknown.values()))


def _sample(renderings: Iterable[tuple[Probe, Rendering]]) -> list[tuple[Probe, Rendering]]:
    """Return one rendered and one refused probe with each form of message.

    What a server does to messages before it renders them depends on their form. So this sample
    shows whether the server's version does it otherwise than the local copy.
    """
    seen: set[Any] = set()
    sample = []
    for probe, rendering in renderings:
        if any(map(has_media, probe.messages)):
            continue  # which the server's model may refuse
        forms = {(rendering is None, probe.tools, *form_of(message)) for message in probe.messages}
        if not forms <= seen:
            seen |= forms
            sample.append((probe, rendering))
    return sample
