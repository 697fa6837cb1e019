"""The client that answers a refusal with one repaired call."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler

from litellm_role_guard.plugin.borrowing_client import original_arguments
from litellm_role_guard.plugin.litellm_internals import to_vllm_messages
from litellm_role_guard.plugin.retrying_client import (
    MAX_LESSONS,
    RetryingClient,
    observing_client,
    retrying_client,
)
from litellm_role_guard.plugin.unknown_response import UnknownResponse
from testing.lessons import Lessons

ALTERNATE = "Conversation roles must alternate user/assistant/user/assistant/..."
TOO_LONG = "max_tokens is too large: 9000. This model's maximum context length is 4096 tokens."
URL = "http://backend/v1/chat/completions"
RESPONSES_URL = "http://backend/v1/responses"


class Backend:
    """An inner handler that gives prepared answers and keeps what it was sent."""

    def __init__(self, *answers: str | int | dict[str, Any]) -> None:
        self.answers = list(answers)
        self.bodies: list[Any] = []
        self.refused: list[httpx.Response] = []
        self.timeout = 7.0

    async def post(self, url: str, **kwargs: Any) -> httpx.Response:
        """Give the next answer: a status, or the text of a 400."""
        self.bodies.append(kwargs.get("json") or json.loads(kwargs["data"]))
        answer = self.answers.pop(0)
        request = httpx.Request("POST", url)
        if answer == 200:
            return httpx.Response(200, json={"ok": True}, request=request)
        status = answer if isinstance(answer, int) else 400
        told = {"error": {"message": answer, "code": status}}
        text = json.dumps(answer if isinstance(answer, dict) else told)
        # A streamed body, as a refused stream has: unread, and open until it is closed.
        response = httpx.Response(status, content=_chunks(text), request=request)
        self.refused.append(response)
        raise httpx.HTTPStatusError(str(status), request=request, response=response)


async def _chunks(text: str) -> AsyncIterator[bytes]:
    yield text.encode()


def client_of(backend: Backend, lessons: Lessons) -> RetryingClient:
    """Give the client in front of a backend."""
    return RetryingClient(backend, lessons)  # type: ignore[arg-type]


def chat(messages: object = "first", **fields: Any) -> dict[str, Any]:
    """Give the arguments with which LiteLLM posts a chat completion."""
    return {"data": json.dumps({"model": "m", "messages": messages, **fields}), "timeout": 5}


async def test_an_answered_call_is_sent_once() -> None:
    """What the backend answers is passed on, and nobody is asked for a repair."""
    backend, lessons = Backend(200), Lessons()
    response = await client_of(backend, lessons).post(URL, **chat())
    assert response.status_code == 200
    assert (len(backend.bodies), lessons.asked, lessons.ended) == (1, 0, [True])


async def test_a_refusal_is_answered_with_one_repaired_call() -> None:
    """After a refusal the repaired messages are sent, with all else in the body as it was."""
    backend, lessons = Backend(ALTERNATE, 200), Lessons({"messages": "repaired"})
    response = await client_of(backend, lessons).post(URL, **chat(guided_json={"a": 1}, echo=True))
    assert response.status_code == 200
    assert backend.bodies[1] == {**backend.bodies[0], "messages": "repaired"}
    assert backend.refused[0].is_closed
    assert lessons.ended == [True]


async def test_a_responses_body_is_rewritten_in_place() -> None:
    """A body given as `json` gets new input; a field that is now None is left out."""
    backend = Backend(ALTERNATE, 200)
    lessons = Lessons({"input": [{"role": "user"}], "instructions": None})
    body = {"model": "m", "input": "hi", "instructions": "be kind", "store": None}
    await client_of(backend, lessons).post(URL, json=body)
    assert backend.bodies[1] == {"model": "m", "input": [{"role": "user"}], "store": None}
    assert body["instructions"] == "be kind"


async def test_unknown_words_are_for_the_attempt_to_judge() -> None:
    """A 400 that may be the template's is passed on as it came where the attempt gives up."""
    backend, lessons = Backend("Speak, friend."), Lessons(None)
    with pytest.raises(httpx.HTTPStatusError) as raised:
        await client_of(backend, lessons).post(URL, **chat())
    assert raised.value.response is backend.refused[0]
    assert (len(backend.bodies), lessons.words, lessons.ended) == (1, ["Speak, friend."], [False])


@pytest.mark.parametrize("answer", [TOO_LONG, 401, 500])
async def test_any_other_error_is_passed_on_after_one_call(answer: str | int) -> None:
    """An error that no repair can change is raised as it came."""
    backend, lessons = Backend(answer), Lessons()
    with pytest.raises(httpx.HTTPStatusError) as raised:
        await client_of(backend, lessons).post(URL, **chat())
    assert raised.value.response is backend.refused[0]
    assert (len(backend.bodies), lessons.asked, lessons.ended) == (1, 0, [False])


@pytest.mark.parametrize(
    ("body", "retried"),
    [
        ({"error": {"message": ALTERNATE}, "input": "max_tokens"}, True),
        ({"object": "error", "message": ALTERNATE, "param": "max_tokens"}, True),
        ({"detail": ALTERNATE}, True),
        ({"error": {"message": "no such field"}, "input": ALTERNATE}, False),
        ({"object": "error", "message": "no such field", "input": ALTERNATE}, False),
    ],
)
async def test_only_the_errors_own_message_is_read(body: dict[str, Any], retried: bool) -> None:
    """What else stands in the body, a request that is repeated there, say, is no refusal."""
    backend, lessons = Backend(body, 200), Lessons({"messages": "repaired"} if retried else None)
    if retried:
        assert (await client_of(backend, lessons).post(URL, **chat())).status_code == 200
        return
    with pytest.raises(httpx.HTTPStatusError):
        await client_of(backend, lessons).post(URL, **chat())
    assert lessons.words == ["no such field"]


async def test_a_repair_that_changes_nothing_is_not_sent() -> None:
    """Where the same would be sent again, the refusal is passed on with its text."""
    backend, lessons = Backend(ALTERNATE), Lessons(None)
    with pytest.raises(httpx.HTTPStatusError) as raised:
        await client_of(backend, lessons).post(URL, **chat())
    assert ALTERNATE in raised.value.response.text
    assert len(backend.bodies) == 1


async def test_three_lessons_are_the_most() -> None:
    """A backend that refuses everything gets the first call and three more; its first words win."""
    answers = [ALTERNATE, "System role not supported", ALTERNATE, ALTERNATE]
    backend = Backend(*answers)
    lessons = Lessons(*({"messages": str(n)} for n in range(9)))
    with pytest.raises(httpx.HTTPStatusError) as raised:
        await client_of(backend, lessons).post(URL, **chat())
    assert [body["messages"] for body in backend.bodies] == ["first", "0", "1", "2"]
    assert lessons.asked == MAX_LESSONS == 3
    assert raised.value.response is backend.refused[0]
    assert all(response.is_closed for response in backend.refused)


async def test_an_error_behind_the_refusal_is_the_one_to_see() -> None:
    """Once the roles are fine, the error that is left (too many tokens) reaches the client."""
    backend, lessons = Backend(ALTERNATE, TOO_LONG), Lessons({"messages": "repaired"})
    with pytest.raises(httpx.HTTPStatusError) as raised:
        await client_of(backend, lessons).post(URL, **chat())
    assert raised.value.response is backend.refused[1]


async def test_a_guard_that_fails_leaves_the_backends_own_error() -> None:
    """An error while repairing is counted, and the client gets the backend's refusal."""
    backend, lessons = Backend(ALTERNATE), Lessons(RuntimeError("boom"))
    with pytest.raises(httpx.HTTPStatusError) as raised:
        await client_of(backend, lessons).post(URL, **chat())
    assert raised.value.response is backend.refused[0]
    assert (lessons.failures, lessons.ended) == (1, [False])


async def test_a_cancelled_call_still_ends() -> None:
    """A client that goes away ends the attempt, too."""

    reached = asyncio.Event()

    class Hanging(Backend):
        async def post(self, url: str, **kwargs: Any) -> httpx.Response:
            reached.set()
            await asyncio.Event().wait()
            raise AssertionError("never answered")

    lessons = Lessons()
    task = asyncio.create_task(client_of(Hanging(), lessons).post(URL, **chat()))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert lessons.ended == [False]


async def test_the_borrowed_connections_outlive_the_client() -> None:
    """Closing or dropping the client leaves the inner handler's connections open."""
    inner = AsyncHTTPHandler()
    client = RetryingClient(inner, Lessons())
    assert client.client is inner.client
    await client.close()
    del client
    gc.collect()
    await asyncio.sleep(0)
    assert not inner.client.is_closed
    await inner.client.aclose()


async def test_a_client_is_never_put_around_another() -> None:
    """Around the arguments of a call that is repeated goes a client for the same connections."""
    own = AsyncHTTPHandler()
    first = retrying_client({"client": own}, Lessons())
    second = retrying_client({"client": first}, Lessons())
    assert second is not None
    assert second.given == {"client": own}
    assert not isinstance(second._inner, RetryingClient)
    await own.client.aclose()


@pytest.mark.parametrize("own", [None, AsyncHTTPHandler])
async def test_a_calls_arguments_can_be_given_back(own: Any) -> None:
    """What was replaced when the client was put in is given as it was, in a deep copy as well."""
    client = own and own()
    kwargs = {"model": "m", "messages": [{"role": "user"}], **({"client": client} if own else {})}
    assert original_arguments(kwargs) is kwargs
    changes: dict[str, Any] = {"messages": [], "instructions": None}
    made = retrying_client(kwargs, Lessons(), changes)
    called = {**kwargs, **changes, "client": made}
    assert original_arguments(called) == kwargs
    again = original_arguments({**called, "client": copy.deepcopy(made)})
    assert again == kwargs
    assert again["messages"][0] is not kwargs["messages"][0]
    if client is not None:
        await client.client.aclose()


def test_the_client_looks_like_the_inner_handler_and_can_be_copied() -> None:
    """The inner handler's attributes are seen through, and a copy shares the inner handler."""
    backend = Backend()
    client = client_of(backend, Lessons())
    assert client.timeout == 7.0
    assert copy.copy(client).timeout == 7.0


async def test_litellms_own_handler_is_wrapped() -> None:
    """Without a client in the arguments LiteLLM's cached handler is used, always the same."""
    first, second = retrying_client({}, Lessons()), retrying_client({}, Lessons())
    assert isinstance(first, RetryingClient)
    assert isinstance(second, RetryingClient)
    assert first.client is second.client


async def test_a_users_own_handler_is_wrapped_and_anything_else_left_alone() -> None:
    """A handler in the arguments is used; an OpenAI client, say, is not touched."""
    own = AsyncHTTPHandler()
    client = retrying_client({"client": own}, Lessons())
    assert isinstance(client, RetryingClient)
    assert client.client is own.client
    assert retrying_client({"client": object()}, Lessons()) is None
    await own.client.aclose()


def test_retried_messages_are_brought_into_litellms_form() -> None:
    """Assistant text lists become a string and cache marks go, as in a first call."""
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"x": 1}}]},
        {"role": "assistant", "content": [{"type": "text", "text": "b"}]},
    ]
    assert to_vllm_messages(messages, "m") == [
        {"role": "user", "content": [{"type": "text", "text": "a"}]},
        {"role": "assistant", "content": "b"},
    ]


NOT_FOUND = {"error": {"message": "Response with id 'resp_9' not found.", "code": 404}}
NO_MODEL = {"error": {"message": "The model `m` does not exist.", "code": 404}}


@pytest.mark.parametrize(
    ("words", "named", "told", "status"),
    [
        ("say so", "resp_9", NOT_FOUND, 400),
        ("say so", "resp_9", NO_MODEL, 404),
        ("say so", None, NOT_FOUND, 404),
        (None, "resp_9", NOT_FOUND, 404),
    ],
)
async def test_a_404_about_an_earlier_response_is_explained(
    words: str | None, named: str | None, told: dict[str, Any], status: int
) -> None:
    """It becomes a 400 with the guard's words; any other 404 is passed on as it came."""

    class Missing(Backend):
        async def post(self, url: str, **kwargs: Any) -> httpx.Response:
            request = httpx.Request("POST", url)
            response = httpx.Response(404, content=_chunks(json.dumps(told)), request=request)
            raise httpx.HTTPStatusError("404", request=request, response=response)

    lessons = Lessons()
    inner: Any = Missing()
    parts = [] if words is None else [UnknownResponse(words)]
    client = RetryingClient(inner, lessons, parts=parts)
    body = {"input": "hi", **({"previous_response_id": named} if named else {})}
    with pytest.raises(httpx.HTTPStatusError) as raised:
        await client.post(RESPONSES_URL, json=body)
    response = raised.value.response
    assert response.status_code == status
    if status == 400:
        assert response.json()["error"]["message"] == f"role guard: {words}"
        assert response.json()["error"]["param"] == "previous_response_id"
    assert lessons.ended == [False]


def test_a_client_that_only_watches_learns_nothing() -> None:
    """So that the callback still learns from a refusal that such a client has seen."""
    kwargs = {"model": "hosted_vllm/gemma3", "api_base": URL}
    only_watching, trying = observing_client(kwargs), retrying_client(kwargs, Lessons())
    assert only_watching is not None
    assert trying is not None
    assert (only_watching.learns, trying.learns) == (False, True)
