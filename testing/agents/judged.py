"""What becomes of a client's requests, asked of what the backend got."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import httpx

from litellm_role_guard.simulator.response_tools import functions_of
from litellm_role_guard.simulator.responses import as_messages
from litellm_role_guard.template.chat_template import ChatTemplate
from litellm_role_guard.template.misreading import misreadings_by
from litellm_role_guard.template.prompt_reading import read_in

from ..proxied import Backend
from ..proxies import MASTER_KEY
from ..rightness import mispaired, misread
from .meaning import meant
from .recorder import GUARD_HEADER, Exchange

Outcome = Literal["fine", "lost", "wrong", "refused"]

_HEADERS = {"Authorization": f"Bearer {MASTER_KEY}", "anthropic-version": "2023-06-01"}
_SHAPING = ("messages", "input", "instructions", "tools", "tool_choice")
"""The fields of a backend's request that a prompt is made of."""


@dataclass(frozen=True)
class Judgement:
    """What became of one request.

    Attributes:
        outcome: `refused`: no answer. `lost`: not all of its texts are in the prompt,
            in their order. `wrong`: some of it is read as something else than it was.
            `fine`: none of these.
        why: What is wrong, without any text of the client.
        changes: The guard's header.
        sent: What the backend got, as far as its prompt is made of it.
        prompt: The prompt.
    """

    outcome: Outcome
    why: str
    changes: str | None
    sent: dict[str, Any]
    prompt: str


def judge(proxy: str, backend: Backend, template: ChatTemplate, exchange: Exchange) -> Judgement:
    """Send a client's request again, alone, and return what becomes of it.

    Args:
        proxy: The address of the proxy.
        backend: The backend that is to get it.
        template: The backend's template.
        exchange: The client's request.
    """
    backend.forget()
    answer = httpx.post(proxy + exchange.path, json=exchange.body, headers=_HEADERS, timeout=60)
    calls = [call for call in backend.calls() if call["status"] == 200]
    changes = answer.headers.get(GUARD_HEADER)
    if answer.status_code != 200 or not calls:
        return Judgement("refused", f"{answer.status_code}", changes, {}, "")
    got, prompt = calls[-1]["body"], calls[-1]["prompt"]
    sent = {key: got[key] for key in _SHAPING if key in got}
    lost = [
        f"message {at} ({message['role']}): {reading.state}"
        for at, (message, reading) in enumerate(
            zip(meant(exchange), read_in(prompt, meant(exchange)), strict=True)
        )
        if reading.state != "read"
    ]
    if lost:
        return Judgement("lost", "; ".join(lost), changes, sent, prompt)
    wrong = wrongly_read(template, got)
    return Judgement("wrong" if wrong else "fine", "; ".join(wrong), changes, sent, prompt)


def wrongly_read(template: ChatTemplate, got: dict[str, Any]) -> list[str]:
    """Return what of a backend's request is read as something else than it is."""
    messages: Sequence[Any]
    if "input" in got:
        messages = as_messages(got["input"], got.get("instructions"))
        tools = functions_of(got.get("tools") or [])
    else:
        messages, tools = got["messages"], got.get("tools") or []
    wrong = [
        f"message {each.message} ({messages[each.message]['role']}) read {each.why}"
        for each in misreadings_by(template, messages, tools=tools or None)
    ]
    wrong += [f"message {at}: as any role" for at in misread(template, messages, tools=bool(tools))]
    return wrong + [
        f"message {at}: pairs" for at in mispaired(template, messages, tools=bool(tools))
    ]


def counted(judgements: Sequence[Judgement]) -> str:
    """Return how many requests there were of each outcome, the worst first."""
    found: Counter[str] = Counter(each.outcome for each in judgements)
    names = {
        "refused": "refused",
        "lost": "lost or moved text",
        "wrong": "read wrong",
        "fine": "fine",
    }
    return ", ".join(f"{found[key]} {name}" for key, name in names.items() if found[key])
