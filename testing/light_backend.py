"""The lightest backend that answers a batch: what is measured against it is the client.

    python -m testing.light_backend PORT SECONDS

`GET /in-flight` tells for how many seconds how many requests were under way, from the first request
to the last one.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

_REPLY = {
    "id": "light",
    "object": "chat.completion",
    "created": 0,
    "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant"}}],
    "usage": {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150},
}


class LightBackend:
    """Answers each chat request with its last words.

    Args:
        seconds: How long each answer takes.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._now = 0
        self._since = 0.0
        self._held: dict[int, float] = {}  # seconds by number, up to the last request
        self._waiting: list[tuple[int, float]] = []  # the same since then

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = 0
                for line in head.lower().split(b"\r\n"):
                    if line.startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                body = await reader.readexactly(length)
                answer = await self._answer(head.split(b" ", 2)[1], body)
                written = json.dumps(answer).encode()
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                    b"Content-Length: %d\r\n\r\n%b" % (len(written), written)
                )
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, path: bytes, body: bytes) -> object:
        if path == b"/in-flight":
            return self._held
        if path != b"/v1/chat/completions":
            return {"data": [{"id": "m"}]}
        asked = json.loads(body)["messages"][-1]["content"]
        self._change(1)
        for number, held in self._waiting:
            self._held[number] = self._held.get(number, 0.0) + held
        self._waiting.clear()
        await asyncio.sleep(self._seconds)
        self._change(-1)
        choice = {**_REPLY["choices"][0], "message": {"role": "assistant", "content": asked}}  # type: ignore[index]
        return {**_REPLY, "choices": [choice]}

    def _change(self, by: int) -> None:
        now = time.monotonic()
        if self._since:
            self._waiting.append((self._now, now - self._since))
        self._since = now
        self._now += by


async def main(port: int, seconds: float) -> None:
    """Serve until the process is ended."""
    server = await asyncio.start_server(
        LightBackend(seconds).serve, "127.0.0.1", port, backlog=4096, limit=2**22
    )
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
