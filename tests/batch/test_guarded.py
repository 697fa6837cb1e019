"""Straight to a vLLM: what it refuses is learnt from, as the plugin learns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from litellm_role_guard import ChatTemplate, TemplateProfile
from litellm_role_guard.batch.sending.guarded import GuardedTarget
from litellm_role_guard.batch.sending.request import BatchRequest
from litellm_role_guard.batch.sending.target import Answer, HttpTarget
from litellm_role_guard.messages.message import Message
from litellm_role_guard.template.errors import TemplateRefused
from testing.conversations import assistant, system, user
from testing.templates import STRICT

CHAT = "/v1/chat/completions"
NOTHING_KNOWN = TemplateProfile()


class Strict:
    """A vLLM with the strict template, whose calls are kept."""

    def __init__(self) -> None:
        self._template = ChatTemplate.from_path(STRICT)
        self.bodies: list[Mapping[str, Any]] = []

    async def post(self, path: str, body: Mapping[str, Any]) -> Answer:
        """Answer or refuse a body."""
        self.bodies.append(body)
        try:
            self._template.render(body["messages"])
        except TemplateRefused as refusal:
            return Answer(400, words=str(refusal))
        return Answer(200, {"choices": []})

    async def ask(self, request: BatchRequest) -> Answer:
        """Answer a request as it is."""
        return await self.post(request.url, request.body)


def guarded(profile: TemplateProfile = NOTHING_KNOWN) -> tuple[GuardedTarget, Strict]:
    """Give a guard of whose backend nothing is known, and the backend."""
    backend = Strict()
    return GuardedTarget(cast(HttpTarget, backend), profile), backend


def asking(*messages: Message, **fields: Any) -> BatchRequest:
    """Give a request."""
    return BatchRequest(0, "a", CHAT, {"model": "m", "messages": list(messages), **fields})


async def test_a_refusal_is_answered_by_one_repaired_call() -> None:
    """The words teach what is wrong, and the answer says what was changed."""
    guard, backend = guarded()
    answer = await guard.ask(asking(user("one"), user("two")))
    assert (answer.status, answer.changes) == (200, {"merged": 1, "retried": 1})
    assert [len(body["messages"]) for body in backend.bodies] == [2, 1]


async def test_two_conversations_prove_a_lesson_for_all() -> None:
    """One alone does not: its fault may be its own."""
    guard, backend = guarded()
    for name, calls in (("a", 2), ("b", 2), ("c", 1), ("d", 1)):
        backend.bodies.clear()
        answer = await guard.ask(asking(user(name), user("again")))
        assert (answer.status, len(backend.bodies)) == (200, calls), name


async def test_what_no_repair_helps_keeps_its_first_refusal() -> None:
    """The words are those of the conversation as it was, and no change is claimed."""
    guard, backend = guarded()

    async def refuse(path: str, body: Mapping[str, Any]) -> Answer:
        backend.bodies.append(body)
        return Answer(400, words=f"roles must alternate, {len(backend.bodies)}")

    backend.post = refuse  # type: ignore[method-assign]
    answer = await guard.ask(asking(user("one"), user("two")))
    assert (answer.words, answer.status) == ("roles must alternate, 1", 400)
    assert 1 < len(backend.bodies) <= 4
    assert not answer.changes


async def test_other_errors_are_not_repaired() -> None:
    """A context length, and words that the client itself said, teach nothing."""
    guard, backend = guarded()

    async def refuse(path: str, body: Mapping[str, Any]) -> Answer:
        backend.bodies.append(body)
        return Answer(400, words=words)

    backend.post = refuse  # type: ignore[method-assign]
    tool = {"type": "function", "function": {"name": "roles must alternate"}}
    for words in (  # noqa: B007 - `refuse` says them
        "the maximum context length is 10",
        "no tool roles must alternate",
    ):
        backend.bodies.clear()
        await guard.ask(asking(user("one"), user("two"), tools=[tool]))
        assert len(backend.bodies) == 1


async def test_a_template_of_its_own_is_nobody_elses() -> None:
    """Such a request goes as it is, and so does one without a conversation."""
    guard, backend = guarded(TemplateProfile.learn(ChatTemplate.from_path(STRICT)))
    request = asking(user("one"), user("two"), chat_template="{{ messages }}")
    assert (await guard.ask(request)).status == 400
    assert backend.bodies == [request.body]
    late = asking(user("one"), assistant("yes"), system("be brief"), user("two"))
    answer = await guard.ask(late)
    assert answer.status == 200
    assert answer.changes
    assert len(backend.bodies) == 2
