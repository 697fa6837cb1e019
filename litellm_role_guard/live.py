"""A live vLLM as an oracle: what it reads of a conversation, told without generating a token.

`/tokenize` renders a conversation and refuses it as a chat request would be refused, and
`/detokenize` gives back the text that the model would read. So the template is judged together
with the server that renders it. Checked against vLLM 0.32.0 (`entrypoints/serve/tokenize`).

Messages are sent as LiteLLM sends those of a request: without `content` where that is null.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import json
import re
import ssl
import time
from collections.abc import AsyncIterator, Collection, Coroutine, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import httpx

from .conversation import Message
from .foresight import look_ahead
from .learn import TOOLS, Question, Reading, form_of
from .profile import TemplateProfile
from .proofs import Witness
from .refusals import is_about_conversation
from .template import ChatTemplate, TemplateInvalid, TemplateRefused

SECONDS = 30.0
"""How long an answer may take. It takes milliseconds where neither the backend nor this process has
anything else to do."""

LONGEST_SECONDS = 600.0
"""How long learning may take in all. In a proxy that has hundreds of requests to see to, each
answer may come seconds late, and a backend that answers is one that can be learnt."""

PAUSES_SECONDS = (0.0, 0.02, 0.1, 0.5)
"""When to ask again where the connection ends without an answer. A server closes connections that
were kept for the next request, many at once, and a busy process finds that out one by one. No
question changes anything, so that it can be put again."""

CONCURRENCY = 4
"""Requests that are open at once. More of them do not make a vLLM answer any faster."""

LATE_SECONDS = 0.01
"""For each such time that this process takes to get back to what waits, one request more may be
open: the backend has answered them long before anybody looks."""

TOKENS_AT_ONCE = 8192
"""How many tokens are turned back into text at once, so that no other request waits for long."""

LONG_PREAMBLE_TOKENS = 128
"""From how many tokens on what stands before the first message is not turned back into text for
each question."""

NAMES_SHOWN = 5
"""How many of a server's models are named where another one was asked for."""

# More tokens than a mark can have; so near to one, nothing is left out.
_MARGIN_TOKENS = 16
# Stands between prompts that are turned back into text together. No template holds it.
_SEPARATOR = "zqsepvx"
_PLAIN = Question([{"role": "user", "content": "zq00vx"}], ["zq00vx"], tools=False)
_OTHER_WORDS: list[Message] = [{"role": "user", "content": "Hello."}]
_CALL = {"name": "look_up", "arguments": '{"word": "zq01vx"}'}
_CALLS = [{"id": "call01000", "type": "function", "function": _CALL}]
# Where templates show the definitions of tools: to the system, to the last user, beside calls.
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
_TEMPLATE = "chat_template"  # its key in /tokenizer_info
_QUOTED_CHARS = 200
_ROUNDS = 3
_USERINFO = re.compile(r"//[^/@]*@")
# What aiohttp, LiteLLM's transport, says of each connection: another address in memory each time.
_SSL_CONTEXT = re.compile(r" ssl:<[^>]*>")
# Where pydantic puts a fault in a message; older releases name the kind of request in between.
_ABOUT_MESSAGES = re.compile(r"\bbody\W[^)\n]{0,40}\bmessages\W")

_T = TypeVar("_T")


class LearningFailed(Exception):  # noqa: N818 - it says what happened
    """No profile can be learnt from a backend; `str()` tells why, in one line."""


class ModelNotServed(LearningFailed):
    """A backend serves other models. Which are asked for may be up to clients."""


class BackendIdentity(NamedTuple):
    """What a profile that was learnt from a live backend holds for.

    Attributes:
        version: The server's version, where it tells one.
        root: The path or repository of the served model, where it tells one.
        template: The SHA-256 of the chat template in hex, where the server shows the template.
    """

    version: str | None
    root: str | None
    template: str | None


async def learn_from_vllm(
    base_url: str,
    model: str,
    api_key: str | None = None,
    *,
    client: httpx.AsyncClient | None = None,
    seconds: float = SECONDS,
    longest_seconds: float = LONGEST_SECONDS,
    concurrency: int = CONCURRENCY,
    fields: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    witness: Witness | None = None,
) -> TemplateProfile:
    """Learn a profile from a running vLLM, at no generation cost.

    Where the server shows its template, the questions are put to a copy of it, once it has
    rendered one conversation of each form as the server does.

    Args:
        base_url: The server's address, with or without `/v1`.
        model: The name of a served model.
        api_key: Sent as the bearer token.
        client: The connections to use, which stay the caller's.
        seconds: How long each answer may take.
        longest_seconds: The time limit for all of it.
        concurrency: How many requests may be open at once, in a process that is not busy.
        fields: Further fields of every `/tokenize` request, such as `chat_template` or
            `chat_template_kwargs`.
        headers: Further headers of every request.
        witness: Is shown every question with its reading.

    Raises:
        LearningFailed: The backend cannot be reached or asked, or not in time.
    """
    witness = witness or Witness()
    async with _server(base_url, api_key, client, headers, seconds) as server:
        oracle = _Oracle(server, model, concurrency, fields or {})
        try:
            return await asyncio.wait_for(_learn(server, oracle, witness), longest_seconds)
        except asyncio.TimeoutError as error:  # the builtin TimeoutError from Python 3.11 on
            told = f"{server.root}: not learnt within {longest_seconds:g} s"
            raise LearningFailed(told) from error


async def served_models(
    base_url: str, api_key: str | None = None, *, client: httpx.AsyncClient | None = None
) -> list[str]:
    """Give the names of the models that a vLLM serves.

    Args:
        base_url: The server's address, with or without `/v1`.
        api_key: Sent as the bearer token.
        client: The connections to use, which stay the caller's.

    Raises:
        LearningFailed: The backend cannot be reached, or tells no names.
    """
    async with _server(base_url, api_key, client) as server:
        return [str(card["id"]) for card in await server.models()]


async def shown_tokenizer(base_url: str, api_key: str | None = None) -> dict[str, Any]:
    """Give what a server shows of its tokenizer, the template among it; {} where it shows nothing.

    Args:
        base_url: The server's address, with or without `/v1`.
        api_key: Sent as the bearer token.

    Raises:
        LearningFailed: The server cannot be reached.
    """
    async with _server(base_url, api_key, None, None) as server:
        await server.models()  # or a server that is not there would show nothing, too
        return await server.shown("/tokenizer_info")


async def read_identity(
    base_url: str,
    model: str,
    api_key: str | None = None,
    *,
    client: httpx.AsyncClient | None = None,
    seconds: float = SECONDS,
    headers: Mapping[str, str] | None = None,
) -> BackendIdentity:
    """Give what a profile of this backend holds for, as far as the backend tells.

    Args:
        base_url: The server's address, with or without `/v1`.
        model: The name of a served model.
        api_key: Sent as the bearer token.
        client: The connections to use, which stay the caller's.
        seconds: How long each answer may take.
        headers: Further headers of every request.

    Raises:
        ModelNotServed: It serves others.
        LearningFailed: The backend cannot be reached, or not in time.
    """
    async with _server(base_url, api_key, client, headers, seconds) as server:
        return await _identity(server, model)


async def refusal_of(
    base_url: str,
    model: str,
    messages: Sequence[Message],
    api_key: str | None = None,
    *,
    tools: Sequence[Mapping[str, Any]] | None = None,
    client: httpx.AsyncClient | None = None,
    fields: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> str | None:
    """Give the words with which a backend refuses to render a conversation; None if it does not.

    Args:
        base_url: The server's address, with or without `/v1`.
        model: The name of a served model.
        messages: The conversation.
        api_key: Sent as the bearer token.
        tools: The tool definitions that go with it.
        client: The connections to use, which stay the caller's.
        fields: Further fields of the `/tokenize` request.
        headers: Further headers.

    Raises:
        LearningFailed: The backend cannot be asked.
    """
    body = {**(fields or {}), "model": model, "messages": _as_sent(messages)}
    if tools:
        body["tools"] = tools
    async with _server(base_url, api_key, client, headers) as server:
        try:
            await server.post("/tokenize", body)
        except _Refused as refusal:
            return str(refusal)
    return None


async def prompt_of(
    base_url: str,
    model: str,
    messages: Sequence[Message],
    api_key: str | None = None,
    *,
    tools: Sequence[Mapping[str, Any]] | None = None,
    prefill: bool = False,
    client: httpx.AsyncClient | None = None,
    fields: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> str:
    """Give the prompt that a backend makes of a conversation.

    Args:
        base_url: The server's address, with or without `/v1`.
        model: The name of a served model.
        messages: The conversation.
        api_key: Sent as the bearer token.
        tools: The tool definitions that go with it.
        prefill: Whether the last message is the opening of the reply.
        client: The connections to use, which stay the caller's.
        fields: Further fields of the `/tokenize` request.
        headers: Further headers.

    Raises:
        TemplateRefused: The backend refuses the conversation, in these words.
        LearningFailed: The backend cannot be asked.
    """
    body = {**(fields or {}), "model": model, "messages": _as_sent(messages)}
    if tools:
        body["tools"] = tools
    if prefill:
        body |= {"add_generation_prompt": False, "continue_final_message": True}
    async with _server(base_url, api_key, client, headers) as server:
        oracle = _Oracle(server, model, CONCURRENCY, {})
        try:
            return await oracle.prompt(body)
        except _Refused as refusal:
            raise TemplateRefused(str(refusal)) from refusal


async def _identity(server: _Server, model: str) -> BackendIdentity:
    cards = {card["id"]: card for card in await server.models()}
    if model not in cards:
        raise ModelNotServed(f"{server.root}: no model '{_line(model)}', but {_some(cards)}")
    about, tokenizer = await _together(map(server.shown, ("/version", "/tokenizer_info")))
    version, root, text = about.get("version"), cards[model].get("root"), tokenizer.get(_TEMPLATE)
    return BackendIdentity(
        version if isinstance(version, str) else None,
        root if isinstance(root, str) else None,
        hashlib.sha256(text.encode()).hexdigest() if isinstance(text, str) else None,
    )


async def _learn(server: _Server, oracle: _Oracle, witness: Witness) -> TemplateProfile:
    await oracle.start()
    # A template that the request brings is not the one that the server shows.
    shown = {} if oracle.fields else await server.shown("/tokenizer_info")
    # Rendering it is work for the processor, which would keep the event loop from all else.
    local = await asyncio.to_thread(_local, shown) if _TEMPLATE in shown else None
    if local is not None:
        sample = _sample(local.witness)
        live = await oracle.read([question for question, _ in sample])
        if all(map(_same, live, (reading for _, reading in sample))):
            witness.take(local.witness.readings)
            return local.profile
    await oracle.find_preamble()
    while True:
        outlook = look_ahead(oracle.readings, oracle.key, tools=oracle.takes_tools)
        if outlook.profile is not None:
            witness.take(outlook.answered)
            return outlook.profile
        await oracle.read(list(outlook.unknown.values()))


class _Local(NamedTuple):
    """What was learnt of a copy of a server's template, and how."""

    profile: TemplateProfile
    witness: Witness


def _local(shown: Mapping[str, Any]) -> _Local | None:
    try:
        template = ChatTemplate.from_config(shown)
    except TemplateInvalid:
        return None  # none is shown, or one that only the server can compile
    witness = Witness()
    return _Local(witness.learn(template), witness)


def _sample(witness: Witness) -> list[tuple[Question, Reading]]:
    """Give one rendered and one refused question with each form of message.

    What a server does to messages before the template goes by their form, so that a version that
    does it otherwise is found out by them.
    """
    seen: set[Any] = set()
    sample = []
    for question, reading in witness.readings:
        forms = {
            (reading is None, question.tools, *form_of(message)) for message in question.messages
        }
        if not forms <= seen:
            seen |= forms
            sample.append((question, reading))
    return sample


def _same(live: Reading, local: Reading) -> bool:
    if live is None or local is None:
        return live is local
    # Some tokenizers drop blanks where a text begins, and the separator has some of its own.
    return live.strip() == local.strip()


class _Oracle:
    """Puts questions to `/tokenize`, a few at a time, and remembers what was asked.

    Args:
        server: The vLLM.
        model: The name of the model.
        concurrency: How many requests may be open at once, in a process that is not busy.
        fields: Further fields of every request to `/tokenize`.

    Attributes:
        readings: What is known, by the `key` of the question.
        takes_tools: Whether definitions of tools may change an answer.
    """

    def __init__(
        self, server: _Server, model: str, concurrency: int, fields: Mapping[str, Any]
    ) -> None:
        self.fields = fields
        self._server = server
        self._model = model
        self._concurrency = concurrency
        self._slots = asyncio.Semaphore(concurrency)
        self.readings: dict[str, Reading] = {}
        self.takes_tools = True
        self._separator: list[int] = []
        self._plain: list[int] = []
        self._preamble: list[int] = []

    async def start(self) -> None:
        """Ask what every template takes. A backend that does not is not to be judged.

        Raises:
            LearningFailed: The backend cannot be asked.
        """
        try:
            tokens = await self._tokens(_PLAIN)
        except _Refused as refusal:
            raise LearningFailed(
                f"{self._server.root}: refuses even a lone user message: {_line(str(refusal))}"
            ) from refusal
        self._plain = tokens
        asked: list[Coroutine[Any, Any, Any]] = [self._text(tokens)]
        asked += [self._separating(), self._understands_tools()]
        prompt, self._separator, self.takes_tools = await _together(asked)
        if _PLAIN.marks[0] not in prompt:
            raise LearningFailed(
                f"{self._server.root}: the text of a lone user message is not in its prompt"
            )
        self.takes_tools = self.takes_tools and await self._reads_tools()

    async def find_preamble(self) -> None:
        """Find out what stands before every conversation: instructions, in some templates.

        Readings of questions lack it from here on. It holds no mark, and there may be much of it.

        Raises:
            LearningFailed: The backend failed, or a refusal is about something else.
        """
        if len(self._plain) < LONG_PREAMBLE_TOKENS:
            return
        other = await self._taken(_PLAIN._replace(messages=_OTHER_WORDS))
        shared = _shared(self._plain, other or []) - _MARGIN_TOKENS
        if shared >= LONG_PREAMBLE_TOKENS:
            self._preamble = self._plain[:shared]

    def _without_preamble(self, tokens: list[int]) -> list[int]:
        # Where system text stands within the preamble, less than all of it is shared.
        return tokens[max(0, _shared(tokens, self._preamble) - _MARGIN_TOKENS) :]

    async def _separating(self) -> list[int]:
        body = {"model": self._model, "prompt": f" {_SEPARATOR} ", "add_special_tokens": False}
        try:
            return await self._tokenize(body)
        except _Refused:
            return []  # prompts are turned back one by one then

    async def _understands_tools(self) -> bool:
        """Tell whether this `/tokenize` takes definitions of tools; an older one does not."""
        try:
            await self._tokens(_PLAIN._replace(tools=True))
        except _Refused as refusal:
            return is_about_conversation(str(refusal))
        return True

    async def _reads_tools(self) -> bool:
        """Tell whether definitions of tools change any of the prompts that would show them.

        Where they do not, all questions need to be asked once only.

        Raises:
            LearningFailed: The backend failed, or a refusal is about something else.
        """
        plain = [Question(messages, [], tools=False) for messages in _SHOWING_TOOLS]
        armed = [question._replace(tools=True) for question in plain]
        readings = await self.read([*plain, *armed])
        return not all(map(_same, readings[: len(plain)], readings[len(plain) :]))

    async def read(self, batch: Sequence[Question]) -> list[Reading]:
        """Give the prompts that the server makes of conversations; None where it refuses.

        After `find_preamble`, prompts lack what stands before every conversation.

        Args:
            batch: The conversations.

        Raises:
            LearningFailed: The backend failed, or a refusal is about something else.
        """
        new = {
            key: question for question in batch if (key := self.key(question)) not in self.readings
        }
        late = min(len(new), int(await _lateness() / LATE_SECONDS))
        self._slots = asyncio.Semaphore(max(self._concurrency, late))
        taken = await _together(self._taken(question) for question in new.values())
        prompts = [self._without_preamble(tokens) for tokens in taken if tokens is not None]
        texts = iter(await self._texts(prompts))
        for key, tokens in zip(new, taken, strict=True):
            self.readings[key] = None if tokens is None else next(texts)
        return [self.readings[self.key(question)] for question in batch]

    async def prompt(self, body: Mapping[str, Any]) -> str:
        """Give the prompt that the server makes of a request.

        Raises:
            _Refused: It makes none, and says why.
            LearningFailed: The server cannot be asked.
        """
        return await self._text(await self._tokenize(body))

    def key(self, question: Question) -> str:
        """Give what tells a question from those that have another answer."""
        return json.dumps([_as_sent(question.messages), question.tools and self.takes_tools])

    async def _taken(self, question: Question) -> list[int] | None:
        try:
            return await self._tokens(question)
        except _Refused as refusal:
            if not _is_answer(str(refusal)):
                raise LearningFailed(f"{self._server.root}: {_line(str(refusal))}") from refusal
            return None

    async def _tokens(self, question: Question) -> list[int]:
        body = {**self.fields, "model": self._model, "messages": _as_sent(question.messages)}
        if question.tools and self.takes_tools:
            body["tools"] = TOOLS
        return await self._tokenize(body)

    async def _tokenize(self, body: Mapping[str, Any]) -> list[int]:
        tokens = (await self._post("/tokenize", body)).get("tokens")
        if not isinstance(tokens, list):
            raise LearningFailed(f"{self._server.root}: /tokenize gives no tokens; is it a vLLM?")
        return tokens

    async def _texts(self, prompts: Sequence[list[int]]) -> list[str]:
        """Turn tokens back into text, many prompts at once."""
        texts = await _together(map(self._texts_of, self._chunks(prompts)))
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
            self._separator = []  # the tokenizer does not keep it
        return await _together(self._text(prompt) for prompt in prompts)

    async def _text(self, tokens: list[int]) -> str:
        try:
            answer = await self._post("/detokenize", {"model": self._model, "tokens": tokens})
        except _Refused as refusal:
            raise LearningFailed(
                f"{self._server.root}: /detokenize: {_line(str(refusal))}"
            ) from refusal
        prompt = answer.get("prompt")
        if not isinstance(prompt, str):
            raise LearningFailed(f"{self._server.root}: /detokenize gives no text; is it a vLLM?")
        return prompt

    async def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        async with self._slots:
            return await self._server.post(path, body)


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """Give how many tokens two prompts begin with alike."""
    for at, (token, another) in enumerate(zip(one, other, strict=False)):
        if token != another:
            return at
    return min(len(one), len(other))


def _as_sent(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Give messages as LiteLLM's hosted_vllm code sends them (`validate_and_fix_openai_messages`).

    vLLM's request model takes no null for most roles, and a message without content for all.
    """
    return [
        {key: value for key, value in message.items() if key != "content" or value is not None}
        for message in messages
    ]


def _is_answer(words: str) -> bool:
    # A request model that takes no such message refuses it like a template.
    return is_about_conversation(words) or _ABOUT_MESSAGES.search(words) is not None


class _Refused(Exception):  # noqa: N818 - it is an answer, not an error
    """A 400, with its words."""


def root_of(base_url: str) -> str:
    """Give the address of a server without `/v1`, where what is not OpenAI's is served."""
    return base_url.rstrip("/").removesuffix("/v1").rstrip("/")


def headers_with(api_key: str | None, headers: Mapping[str, str]) -> dict[str, str]:
    """Give the headers of a request to a server, with its key unless they name another."""
    bearer = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    return {**bearer, **headers}


class _Server:
    """The HTTP API of a vLLM, with its failures told apart.

    Args:
        base_url: Its address, with or without `/v1`.
        api_key: Sent as the bearer token.
        client: The connections to use.
        headers: Further headers of every request.
        seconds: How long each answer may take.

    Attributes:
        root: The address without `/v1`, as it may be shown: without a user's name and password.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | None,
        client: httpx.AsyncClient,
        headers: Mapping[str, str],
        seconds: float,
    ) -> None:
        self._root = root_of(base_url)
        self.root = _USERINFO.sub("//", self._root)
        self._headers = headers_with(api_key, headers)
        self._client = client
        self._seconds = seconds

    async def models(self) -> list[dict[str, Any]]:
        """Give the cards of the served models.

        Raises:
            LearningFailed: The server cannot be reached, or tells none.
        """
        response = await self._send("GET", "/v1/models")
        if response.status_code != 200:
            raise self._failure("/v1/models", response)
        cards = _json(response).get("data")
        if not isinstance(cards, list) or not all(
            isinstance(card, dict) and "id" in card for card in cards
        ):
            raise LearningFailed(f"{self.root}: /v1/models names no models; is it a vLLM?")
        return cards

    async def shown(self, path: str) -> dict[str, Any]:
        """Give the JSON object at a path; an empty one where the server does not show it."""
        response = await self._send("GET", path)
        return _json(response) if response.status_code == 200 else {}

    async def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Post JSON and give the JSON object that answers it; an empty one if none does.

        Raises:
            _Refused: vLLM answered with a 400.
            LearningFailed: Anything else went wrong.
        """
        response = await self._send("POST", path, body)
        if response.status_code == 200:
            return _json(response)
        words = _words(response)
        if response.status_code == 400 and words:
            raise _Refused(words)
        raise self._failure(path, response)

    async def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> httpx.Response:
        try:
            return await self._answer(method, path, body)
        except httpx.TimeoutException as error:
            told = f"{self.root}: no answer within {self._seconds:g} s"
            raise LearningFailed(told) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = _line(_SSL_CONTEXT.sub("", str(error))) or type(error).__name__
            raise LearningFailed(f"{self.root}: cannot be reached: {reason}") from error

    async def _answer(
        self, method: str, path: str, body: Mapping[str, Any] | None
    ) -> httpx.Response:
        for pause in PAUSES_SECONDS:
            with contextlib.suppress(httpx.NetworkError, httpx.RemoteProtocolError):
                return await self._once(method, path, body)
            await asyncio.sleep(pause)
        return await self._once(method, path, body)

    async def _once(self, method: str, path: str, body: Mapping[str, Any] | None) -> httpx.Response:
        url, seconds = self._root + path, self._seconds
        return await self._client.request(
            method, url, json=body, headers=self._headers, timeout=seconds
        )

    def _failure(self, path: str, response: httpx.Response) -> LearningFailed:
        status, words = response.status_code, _words(response)
        if status in (401, 403):
            given = "refuses the API key" if self._headers else "wants an API key"
            return LearningFailed(f"{self.root}: {given} ({status})")
        # vLLM's own 404 names the model; one of the web framework knows no such path.
        if status == 404 and "model" not in words:
            return LearningFailed(f"{self.root}: has no {path}; is it a vLLM?")
        if status == 404:
            return LearningFailed(f"{self.root}: {_line(words)}")
        said = f": {_line(words)}" if words else ""
        return LearningFailed(f"{self.root}: answered {path} with {status}{said}")


@contextlib.asynccontextmanager
async def _server(
    base_url: str,
    api_key: str | None,
    client: httpx.AsyncClient | None,
    headers: Mapping[str, str] | None = None,
    seconds: float = SECONDS,
) -> AsyncIterator[_Server]:
    if client is not None:
        yield _Server(base_url, api_key, client, headers or {}, seconds)
        return
    async with httpx.AsyncClient(verify=_certificates()) as own:
        yield _Server(base_url, api_key, own, headers or {}, seconds)


@functools.cache
def _certificates() -> ssl.SSLContext:
    """Give what httpx checks certificates with by default, which takes it 20 ms to read."""
    return httpx.create_ssl_context()


async def _lateness() -> float:
    """Give how many seconds the event loop takes for one round of all that is to be done."""
    began = time.perf_counter()
    for _ in range(_ROUNDS):
        await asyncio.sleep(0)
    return (time.perf_counter() - began) / _ROUNDS


async def _together(calls: Iterable[Coroutine[Any, Any, _T]]) -> list[_T]:
    """Wait for all; when one fails, the others are not left running."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        answer = response.json()
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _words(response: httpx.Response) -> str:
    """Give the message of an error: under `error`, or in older releases at the top."""
    answer = _json(response)
    error = answer.get("error", answer)
    words = error.get("message", "") if isinstance(error, dict) else error
    return words if isinstance(words, str) else ""


def _some(names: Collection[object]) -> str:
    """Give names as one line, however many there are."""
    shown = ", ".join(_line(str(name)) for name in islice(names, NAMES_SHOWN))
    more = len(names) - NAMES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _line(words: str) -> str:
    return " ".join(words.split())[:_QUOTED_CHARS]
