"""What a real vLLM answers to each kind of item of /v1/responses, without the guard and with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from testing.foreign_items import FOREIGN, UNREADABLE
from testing.proxies import MASTER_KEY, start_proxy
from testing.vllm import MODEL, LoggedVllm

USER = {"role": "user", "content": "hello"}
ANSWERED = {"role": "assistant", "content": "hi"}
ITEMS = {name: make("zebra") for name, make in FOREIGN.items()}
ITEMS |= {f"unreadable: {name}": [item] for name, item in UNREADABLE.items()}
HEADERS = {"Authorization": f"Bearer {MASTER_KEY}"}


@pytest.fixture(scope="module")
def guarded(logged_vllm: LoggedVllm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a proxy whose guard asks the backend."""
    address = {"model": f"hosted_vllm/{MODEL}", "api_base": f"{logged_vllm.url}/v1"}
    settings = {"role_guard": {"learn_wait": 30.0}}
    config = {
        "model_list": [
            {"model_name": MODEL, "litellm_params": address, "model_info": settings},
        ],
        "litellm_settings": {"callbacks": ["litellm_role_guard.role_guard"]},
    }
    with start_proxy(config, tmp_path_factory.mktemp("items")) as url:
        yield url


def ask(url: str, items: Any, **fields: Any) -> httpx.Response:
    """Send an input."""
    body = {"model": MODEL, "input": items, "max_output_tokens": 4, **fields}
    return httpx.post(f"{url}/v1/responses", json=body, headers=HEADERS, timeout=120)


@pytest.mark.parametrize("name", ITEMS)
def test_each_item_is_answered_and_read(logged_vllm: LoggedVllm, guarded: str, name: str) -> None:
    """Without the guard the chat is dead; with it it goes on, and what can be read is read.

    Which of the items vLLM itself refuses, and which the template, `test_responses_round_trip.py`
    tells.
    """
    items = [USER, *ITEMS[name], USER]
    refused = ask(logged_vllm.url, items)
    assert refused.status_code == 400, refused.text
    seen = logged_vllm.mark()
    answer = ask(guarded, items)
    assert answer.status_code == 200, answer.text
    assert "items=" in answer.headers["x-role-guard"]
    assert ("zebra" in logged_vllm.prompts_since(seen)[-1]) is (name in FOREIGN)


def test_all_items_at_once_are_answered(logged_vllm: LoggedVllm, guarded: str) -> None:
    """A chat with each of them in it, and with no tools by name, goes on."""
    items = [each for made in ITEMS.values() for each in (USER, *made, ANSWERED)]
    answer = ask(guarded, [*items, USER], tools=[])
    assert answer.status_code == 200, answer.text


def test_a_remembered_response_is_read_listed_referred_to_and_deleted(
    logged_vllm: LoggedVllm, guarded: str
) -> None:
    """A vLLM that keeps no response has its answers kept by the guard."""
    answer = ask(guarded, "a zebra").json()
    path = f"{guarded}/v1/responses/{answer['id']}"
    read = httpx.get(path, headers=HEADERS).json()
    assert read["output"][0]["content"][0]["text"] == answer["output"][0]["content"][0]["text"]
    (listed,) = httpx.get(f"{path}/input_items", headers=HEADERS).json()["data"]
    assert listed["content"] == "a zebra"
    seen = logged_vllm.mark()
    reference = {"type": "item_reference", "id": listed["id"]}
    assert ask(guarded, [reference, ANSWERED, USER]).headers["x-role-guard"] == "remembered=1"
    assert "a zebra" in logged_vllm.prompts_since(seen)[-1]
    assert httpx.delete(path, headers=HEADERS).json()["deleted"] is True
    assert httpx.get(path, headers=HEADERS).status_code == 400
    assert ask(guarded, "more", previous_response_id=answer["id"]).status_code == 400
