"""Requests of all kinds to a proxy, and what becomes of each."""

from __future__ import annotations

import random
from typing import Any

import aiohttp

from .proxies import MASTER_KEY
from .talks import BROKEN, talk

ENDPOINTS = {
    "chat": "/v1/chat/completions",
    "messages": "/v1/messages",
    "responses": "/v1/responses",
}
REFUSED = ("roles must alternate", "System role not", "Unexpected message role", "must be at the")
"""Words of the templates' refusals, which a stream may bring with a 200."""

_TOLD_BYTES = 300
_ENDS = (b"[DONE]", b"message_stop", b"response.completed")


class Request:
    """One turn of one conversation, drawn at random.

    Args:
        number: What tells its conversation from all others.
        draw: Where the chances come from.
        group: The model group to ask.
        turns: How many turns the conversation has at most.
        chars: How long each message is.

    Attributes:
        broken: What is wrong with it, or None.
        told: The end of an answer that was none, for whoever looks into it.
    """

    def __init__(
        self, number: int, draw: random.Random, group: str, *, turns: int = 6, chars: int = 160
    ) -> None:
        endpoint = draw.choice(list(ENDPOINTS))
        self.stream = draw.random() < 0.5
        self.told = ""
        kinds = (None, "unanswered", "system") if endpoint == "messages" else (None, *BROKEN)
        self.broken = draw.choice(kinds)
        turn = draw.randrange(3, turns + 1)
        *_, messages = talk(str(number), turn, chars=chars, broken=self.broken)
        self.path = ENDPOINTS[endpoint]
        self.body: dict[str, Any] = {"model": group, "stream": self.stream}
        if endpoint == "responses":
            self.body |= {"input": messages, "max_output_tokens": 16}
        else:
            self.body |= {"messages": messages, "max_tokens": 16}

    async def send(self, session: aiohttp.ClientSession, proxy: str) -> str:
        """Send it; give `answered`, `refused` by a template, `cut`, `timeout` or an error.

        Args:
            session: The client's connections; its time limit counts.
            proxy: The proxy's address.
        """
        try:
            async with session.post(proxy + self.path, json=self.body) as reply:
                told = await reply.read()
        except TimeoutError:
            return "timeout"
        except aiohttp.ClientPayloadError as error:
            self.told = str(error)
            return "cut"
        except aiohttp.ClientError as error:
            self.told = str(error)
            return type(error).__name__
        self.told = told[-_TOLD_BYTES:].decode(errors="replace")
        if reply.status == 400 or any(words.encode() in told for words in REFUSED):
            return "refused"  # nothing else about these requests can be
        if reply.status != 200:
            return f"status {reply.status}"
        if self.stream and not any(end in told for end in _ENDS):
            return "cut"
        return "answered"


def client(concurrency: int, seconds: float) -> aiohttp.ClientSession:
    """Give connections to a proxy.

    Args:
        concurrency: How many requests there may be at once.
        seconds: How long one may take.
    """
    return aiohttp.ClientSession(
        # Shorter than uvicorn keeps a connection, or a request could go into a closed one.
        connector=aiohttp.TCPConnector(limit=concurrency, keepalive_timeout=2.0),
        timeout=aiohttp.ClientTimeout(total=seconds),
        headers={"Authorization": f"Bearer {MASTER_KEY}"},
    )
