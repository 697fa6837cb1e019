"""What tests of the simulator send to it, and how they read its answers."""

from __future__ import annotations

import json
from typing import Any

import httpx

from . import templates
from .conversations import user

STRICT = templates.STRICT.read_text()
CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
HELLO = {"messages": [user("hello")]}


def said(reply: httpx.Response) -> str:
    """Give the text of a chat answer."""
    text: str = reply.json()["choices"][0]["message"]["content"]
    return text


def chunks(reply: httpx.Response) -> list[dict[str, Any]]:
    """Give the chunks of a streamed chat answer."""
    lines = [line[6:] for line in reply.text.splitlines() if line.startswith("data: ")]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


def metric(client: httpx.Client, name: str) -> float:
    """Give the sum of a metric over its labels."""
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name + "{"))
