"""`async for result in litellm_role_guard.batch(...)`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

import litellm_role_guard
from litellm_role_guard.batch.errors import BadInput, BadTarget
from testing.conversations import user
from testing.flaky import MODEL, flaky


async def test_a_batch_from_python_is_answered_in_order() -> None:
    """Of conversations of any kind, from any iterable."""

    async def asked() -> AsyncIterator[object]:
        yield "one"
        yield {"prompt": "two", "custom_id": "b"}
        yield [user("three")]

    with flaky(seconds=0.01) as backend:
        results = [
            result
            async for result in litellm_role_guard.batch(asked(), proxy=backend.url, model=MODEL)
        ]
    assert [(each.number, each.custom_id, each.status) for each in results] == [
        *((0, "request-1", 200), (1, "b", 200), (2, "request-3", 200)),
    ]
    assert [str(each.text).split('"')[1] for each in results] == ["one", "two", "three"]


async def test_straight_to_a_vllm_it_repairs() -> None:
    """And the only model that is served needs no name."""
    with flaky() as backend:
        run = [user("are you there?"), user("hello again")]
        (result,) = [each async for each in litellm_role_guard.batch([run], backend=backend.url)]
    assert (result.answered, result.changes) == (True, {"merged": 1})


async def test_conversations_are_taken_as_there_is_room() -> None:
    """An endless iterator is no problem, nor is a reader that leaves, or is slow."""
    taken = 0

    def endless() -> Iterator[str]:
        nonlocal taken
        while True:
            taken += 1
            yield f"question {taken}"

    with flaky() as backend:
        results = litellm_role_guard.batch(
            endless(), proxy=backend.url, model=MODEL, max_concurrent=3
        )
        assert (await anext(results)).text == 'I read 1 turn; the last said: "question 1"'
        await asyncio.sleep(0.2)
        assert taken < 40
        await results.aclose()  # type: ignore[attr-defined]


async def test_what_fails_is_a_result() -> None:
    """With its error, between the others; in the order of the answers where that is wanted."""
    lines = [{"prompt": "a", "max_tokens": 10**6}, {"prompt": "b"}]
    with flaky() as backend:
        results = [
            result
            async for result in litellm_role_guard.batch(
                lines, proxy=backend.url, model=MODEL, ordered=False
            )
        ]
    failed, answered = sorted(results, key=lambda each: each.number)
    assert (failed.status, failed.answered, failed.text) == (400, False, None)
    assert "max_tokens" in str(failed.error)
    assert answered.answered


async def test_what_cannot_be_asked_is_raised() -> None:
    """No conversation, no server, no such model: before anything else is sent."""
    with flaky() as backend:
        with pytest.raises(BadInput, match=r"conversations\[1\]: messages: missing"):
            _ = [
                each
                async for each in litellm_role_guard.batch(
                    ["a", {}], proxy=backend.url, model=MODEL
                )
            ]
        backend.asked.clear()
        with pytest.raises(BadTarget, match="the first request: The model `no` does not exist"):
            _ = [
                each
                async for each in litellm_role_guard.batch(["a"] * 9, proxy=backend.url, model="no")
            ]
        assert sum(backend.asked.values()) == 1
    with pytest.raises(BadTarget, match="cannot be reached: "):
        await anext(litellm_role_guard.batch(["a"], proxy="http://127.0.0.1:1", model="m"))
