"""`litellm_role_guard.batch(conversations, ...)`: a batch from Python.

The imports that take time stand in the function: the package itself is imported by every proxy.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .asking import Asking
    from .sending.request import BatchRequest, BatchResult


async def batch(
    conversations: Iterable[Any] | AsyncIterable[Any],
    *,
    model: str | None = None,
    proxy: str = "http://localhost:4000",
    backend: str | None = None,
    api_key: str | None = None,
    max_concurrent: int = 500,
    ordered: bool = True,
    system: str | None = None,
    max_tokens: int | None = None,
    temperature: float | None = None,
    params: Mapping[str, Any] | None = None,
    max_tries: int = 10,
    timeout: float = 600.0,
) -> AsyncIterator[BatchResult]:
    """Ask many conversations at once, bounded, and yield what comes of each.

    Conversations are taken as there is room for them, and results wait for whoever takes them, so
    that memory does not grow with either. What fails for good is a result with an `error`; nothing
    is raised for a single request.

    Args:
        conversations: Prompts (strings), lists of messages, or any other kind of line that
            `role-guard batch` reads (docs/batch.md).
        model: The model group; None for the `model` of each line, or with `backend` for the only
            one that is served.
        proxy: The address of the LiteLLM proxy, with or without `/v1`.
        backend: The address of a vLLM to ask in its place; the guard repairs what it sends.
        api_key: Sent as the bearer token.
        max_concurrent: The most requests under way at once.
        ordered: Whether results come in the order of the conversations, or as they are there.
        system: A system message for every conversation that begins without one.
        max_tokens: How many tokens an answer may have.
        temperature: The sampling temperature.
        params: Further fields of every request.
        max_tries: How often a request is sent that meets a 429, a 5xx or a dropped connection.
        timeout: Seconds that one try may take.

    Raises:
        BadInput: A conversation is none; what was sent before has its results first.
        BadTarget: The proxy or the vLLM cannot be asked, or does not have the model.
    """
    from .asking import Asking
    from .sending.dispatcher import Dispatcher
    from .sending.first_alone import results_of
    from .sending.pace import Pace
    from .sending.retries import Retries
    from .sending.target import HttpTarget, connections
    from .target import Server, serves
    from .window import Window

    server = Server(backend or proxy, backend is not None, api_key)
    async with connections(api_key, max_concurrent) as session:
        target = HttpTarget(server.url, session, timeout)
        names = await target.models()
        if server.is_backend and model is None:
            model = server.only_model(names)
        asked = await server.guarded(target, model or "") if server.is_backend else target
        asking = Asking(model, system, params or {}, max_tokens, temperature)
        dispatcher = Dispatcher(asked, Pace(max_concurrent), Retries(max_tries))
        window = Window(8 * max_concurrent, ordered=ordered)
        results = results_of(
            dispatcher,
            window.admitted(_requests(conversations, asking)),
            first_alone=not serves(names, None if model is None else (model,)),
        )
        try:
            async for result in window.in_turn(results):
                yield result
        finally:
            await results.aclose()


async def _requests(
    conversations: Iterable[Any] | AsyncIterable[Any], asking: Asking
) -> AsyncIterator[BatchRequest]:
    from .errors import BadInput
    from .formats.line_formats import SHAREGPT, format_of

    number = 0
    async for value in _each(conversations):
        line_format = format_of(value)
        try:
            is_dialogue = line_format is SHAREGPT
            yield asking.request(number, line_format.read(value), None, is_dialogue=is_dialogue)
        except BadInput as error:
            raise BadInput(f"conversations[{number}]: {error}") from error
        number += 1


async def _each(items: Iterable[Any] | AsyncIterable[Any]) -> AsyncIterator[Any]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
        return
    for item in items:
        yield item
