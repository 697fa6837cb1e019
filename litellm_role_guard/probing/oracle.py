"""A live vLLM as an oracle: it renders probes, and generates no token.

`/v1/chat/completions/render`, where it is open, and else `/tokenize` render a conversation and
refuse it as a chat request would be refused, and `/detokenize` returns the text that the model
would read. So the template is judged together with the server that renders it. Checked against
vLLM 0.32.0 (`entrypoints/scale_out/render`, `entrypoints/serve/tokenize`).

Messages go out as LiteLLM sends those of a request: without `content` where that is null.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from ..backend.errors import BackendRefused, LearningFailed
from ..backend.prompts import conversation_body, without_null_content
from ..backend.server import VllmServer, one_line
from ..backend.tasks import gather_or_cancel
from ..messages.message import Message, has_media
from ..profile.refusals import MAX_WORDS, is_about_conversation
from ..profile.states import SYSTEM_KINDS
from .probe import TOOLS, Probe, Rendering, same_rendering
from .shared_beginning import shared_beginning

CONCURRENCY = 4
"""Requests that are open at once. More of them do not make a vLLM answer faster."""


LATE_SECONDS = 0.01
"""For each such time of event loop lag, one more request may be open. In a busy process the backend
has answered long before anybody looks."""


TOKENS_AT_ONCE = 8192
"""How many tokens one request turns back into text, so that no other request waits for long."""


MAX_PROMPT_TOKENS = 2**15
"""How many tokens the prompt of a few words may have. Of 77 real templates none makes 7,000
characters of them, instructions included."""


MAX_CHARACTERS = 2**22
"""How many characters all prompts of a learning may have. Those of the same templates have 1.2
million at most, where their instructions are counted in each."""


LONG_PREAMBLE_TOKENS = 128
"""A preamble of so many tokens is not turned back into text for each probe."""


# More tokens than a mark has; so many are kept before the end of the preamble.
_MARGIN_TOKENS = 16

# Stands between prompts that are turned back into text together. No template contains it.
_SEPARATOR = "zqsepvx"

_PLAIN = Probe([{"role": "user", "content": "zq00vx"}], ["zq00vx"], tools=False)

_OTHER_WORDS: list[Message] = [{"role": "user", "content": "Hello."}]

_CALL = {"name": "look_up", "arguments": '{"word": "zq01vx"}'}

_CALLS = [{"id": "call01000", "type": "function", "function": _CALL}]

# Templates show tool definitions in the system message, the last user message, or beside calls.
_SHOWING_TOOLS: tuple[list[Message], ...] = (
    [{"role": "user", "content": "zq00vx"}],
    [{"role": "system", "content": "zq00vx"}, {"role": "user", "content": "zq01vx"}],
    [
        {"role": "user", "content": "zq00vx"},
        {"role": "assistant", "content": "zq01vx"},
        {"role": "user", "content": "zq02vx"},
    ],
    [
        {"role": "user", "content": "zq00vx"},
        {"role": "assistant", "content": None, "tool_calls": _CALLS},
        {"role": "tool", "tool_call_id": "call01000", "content": "zq02vx"},
        {"role": "assistant", "content": "zq03vx"},
        {"role": "user", "content": "zq04vx"},
    ],
)

_ROUNDS = 3

# How pydantic locates a fault in a message; older releases name the kind of request in between.
# Harmony's renderer knows five roles, and says so.
_ABOUT_MESSAGES = re.compile(
    r"\bbody\W[^)\n]{0,40}\bmessages\W|\brole\s{1,9}Input should be '", re.IGNORECASE
)


class LiveOracle:
    """Renders probes with `/tokenize`, a few at a time, and remembers the renderings.

    Args:
        server: The vLLM.
        concurrency: How many requests may be open at once, in a process that is not busy.

    Attributes:
        renderings: The known renderings, by the `key` of the probe.
        takes_tools: Whether tool definitions may change a rendering.
    """

    def __init__(self, server: VllmServer, concurrency: int) -> None:
        self._server = server
        self._concurrency = concurrency
        self._slots = asyncio.Semaphore(concurrency)
        self.renderings: dict[str, Rendering] = {}
        self.takes_tools = True
        self._separator: list[int] = []
        self._plain: list[int] = []
        self._preamble: list[int] = []
        self._characters = 0  # of the prompts so far

    async def start(self) -> None:
        """Render a lone user message, which every usable template accepts, and try out tools.

        Raises:
            LearningFailed: The backend cannot be asked, or does not render even that.
        """
        try:
            tokens = await self._tokens(_PLAIN)
        except BackendRefused as refusal:
            raise LearningFailed(
                f"{self._server.root}: refuses even a lone user message: {one_line(str(refusal))}"
            ) from refusal
        self._plain = tokens
        calls: list[Coroutine[Any, Any, Any]] = [self._text(tokens), self.prepare()]
        prompt, _ = await gather_or_cancel(calls)
        if _PLAIN.marks[0] not in prompt:
            raise LearningFailed(
                f"{self._server.root}: the text of a lone user message is not in its prompt"
            )
        self.takes_tools = self.takes_tools and await self._reads_tools()

    async def prepare(self) -> None:
        """Find out how many prompts become text at once, and whether tools go with a probe.

        Raises:
            LearningFailed: The backend cannot be asked.
        """
        calls: list[Coroutine[Any, Any, Any]] = [
            self._separator_tokens(),
            self._understands_tools(),
        ]
        self._separator, self.takes_tools = await gather_or_cancel(calls)

    async def find_preamble(self) -> None:
        """Find the preamble: long instructions that some templates put before every conversation.

        Renderings lack it from here on, except for its end. It contains no mark.

        Raises:
            LearningFailed: The backend failed, or a refusal is about something else.
        """
        if len(self._plain) < LONG_PREAMBLE_TOKENS:
            return
        other = await self._taken(_PLAIN._replace(messages=_OTHER_WORDS))
        shared = shared_beginning(self._plain, other or []) - _MARGIN_TOKENS
        if shared >= LONG_PREAMBLE_TOKENS:
            self._preamble = self._plain[:shared]

    def _without_preamble(self, tokens: list[int]) -> list[int]:
        # A prompt shares less than all of the preamble if system text stands within it.
        return tokens[max(0, shared_beginning(tokens, self._preamble) - _MARGIN_TOKENS) :]

    async def _separator_tokens(self) -> list[int]:
        body = {
            "model": self._server.backend.model,
            "prompt": f" {_SEPARATOR} ",
            "add_special_tokens": False,
        }
        try:
            return await self._tokenize(body)
        except BackendRefused:
            return []  # then prompts are turned back into text one by one

    async def _understands_tools(self) -> bool:
        """Return whether this `/tokenize` takes tool definitions; older releases do not."""
        try:
            await self._tokens(_PLAIN._replace(tools=True))
        except BackendRefused as refusal:
            return is_about_conversation(str(refusal))
        return True

    async def _reads_tools(self) -> bool:
        """Return whether tool definitions change any of the prompts that would show them.

        If not, no probe needs to be rendered with tools.

        Raises:
            LearningFailed: The backend failed, or a refusal is about something else.
        """
        plain = [Probe(messages, [], tools=False) for messages in _SHOWING_TOOLS]
        with_tools = [probe._replace(tools=True) for probe in plain]
        renderings = await self.read([*plain, *with_tools])
        return not all(map(same_rendering, renderings[: len(plain)], renderings[len(plain) :]))

    async def read(self, batch: Sequence[Probe]) -> list[Rendering]:
        """Return the renderings of probes.

        After `find_preamble`, they lack the preamble.

        Args:
            batch: The probes.

        Raises:
            LearningFailed: The backend failed, or a refusal is about something else.
        """
        new = {key: probe for probe in batch if (key := self.key(probe)) not in self.renderings}
        lagging = min(len(new), int(await event_loop_lag() / LATE_SECONDS))
        self._slots = asyncio.Semaphore(max(self._concurrency, lagging))
        taken = await gather_or_cancel(self._taken(probe) for probe in new.values())
        prompts = [
            # How the first turn opens is what is asked of a system message at the front, and what
            # is compared with it has to be as whole, whoever speaks there.
            tokens if _is_front(probe.messages) else self._without_preamble(tokens)
            for probe, tokens in zip(new.values(), taken, strict=True)
            if tokens is not None
        ]
        texts = iter(await self._texts(prompts))
        for key, tokens in zip(new, taken, strict=True):
            self.renderings[key] = None if tokens is None else next(texts)
        return [self.renderings[self.key(probe)] for probe in batch]

    def key(self, probe: Probe) -> str:
        """Return a key that is the same for probes that make the same request."""
        with_tools = probe.tools and self.takes_tools
        return json.dumps([without_null_content(probe.messages), with_tools, probe.prefill])

    async def _taken(self, probe: Probe) -> list[int] | None:
        try:
            return await self._tokens(probe)
        except BackendRefused as refusal:
            # Whether the model takes images is told by a refusal that is not the template's.
            if not _is_answer(str(refusal)) and not any(map(has_media, probe.messages)):
                raise LearningFailed(f"{self._server.root}: {one_line(str(refusal))}") from refusal
            return None

    async def _tokens(self, probe: Probe) -> list[int]:
        tools = TOOLS if probe.tools and self.takes_tools else None
        body = conversation_body(self._server.backend, probe.messages, tools, prefill=probe.prefill)
        async with self._slots:
            tokens = await self._server.prompt_tokens(body)
        if len(tokens) > MAX_PROMPT_TOKENS:
            root = self._server.root
            raise LearningFailed(f"{root}: makes {len(tokens)} tokens of a few words")
        return tokens

    async def _tokenize(self, body: Mapping[str, Any]) -> list[int]:
        async with self._slots:
            return await self._server.tokenize(body)

    async def _texts(self, prompts: Sequence[list[int]]) -> list[str]:
        """Turn tokens back into text, many prompts at once."""
        texts = await gather_or_cancel(map(self._texts_of, self._chunks(prompts)))
        return [text for some in texts for text in some]

    def _chunks(self, prompts: Sequence[list[int]]) -> list[list[list[int]]]:
        chunks: list[list[list[int]]] = []
        room = 0
        for prompt in prompts:
            size = len(prompt) + len(self._separator)
            if not chunks or not self._separator or size > room:
                chunks.append([])
                room = TOKENS_AT_ONCE
            chunks[-1].append(prompt)
            room -= size
        return chunks

    async def _texts_of(self, prompts: Sequence[list[int]]) -> list[str]:
        if len(prompts) > 1:
            joined = [*prompts[0]]
            for prompt in prompts[1:]:
                joined += [*self._separator, *prompt]
            texts = (await self._text(joined)).split(_SEPARATOR)
            if len(texts) == len(prompts):
                return texts
            self._separator = []  # the tokenizer does not preserve it
        return await gather_or_cancel(self._text(prompt) for prompt in prompts)

    async def _text(self, tokens: list[int]) -> str:
        async with self._slots:
            text = await self._server.detokenize(tokens)
        self._characters += len(text)
        if self._characters > MAX_CHARACTERS:
            root = self._server.root
            raise LearningFailed(
                f"{root}: its prompts have over {MAX_CHARACTERS} characters in all"
            )
        return text


def _is_front(messages: Sequence[Message]) -> bool:
    return len(messages) == 2 and messages[0]["role"] in SYSTEM_KINDS


def _is_answer(words: str) -> bool:
    # The server's request model may refuse a message before the template does.
    return is_about_conversation(words) or _ABOUT_MESSAGES.search(words[:MAX_WORDS]) is not None


async def event_loop_lag() -> float:
    """Return the seconds that the event loop takes for one round through all waiting tasks."""
    began = time.perf_counter()
    for _ in range(_ROUNDS):
        await asyncio.sleep(0)
    return (time.perf_counter() - began) / _ROUNDS
