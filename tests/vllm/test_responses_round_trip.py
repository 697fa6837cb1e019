"""What the guard reads in a /v1/responses input, and writes, held to vLLM's own code."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import cycle
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from litellm_role_guard.endpoints.responses import ResponsesInput
from litellm_role_guard.repair.chain import repair
from litellm_role_guard.simulator.protocol import Refused, ResponsesRequest
from litellm_role_guard.simulator.responses import as_messages
from testing.foreign_items import FOREIGN, UNREADABLE
from testing.learnt import learnt
from testing.real_templates import REAL
from testing.response_items import ResponsesBody, as_rendered, drawn_bodies
from testing.vllm_responses import read_by_vllm

COUNT = 600
USER = {"role": "user", "content": "hi"}
TAKEN = ("custom_tool_call", "custom_tool_call_output")  # by 0.32.0; earlier releases refuse them
FORM: TypeAdapter[ResponsesRequest] = TypeAdapter(ResponsesRequest)


def read_by_simulator(request_input: Any, instructions: str | None) -> list[Any] | None:
    """Give the messages that the simulator makes of an input; None where it refuses it."""
    body = {"model": "m", "input": request_input, "instructions": instructions}
    try:
        FORM.validate_python(body)
        return as_messages(request_input, instructions)
    except (ValidationError, Refused):
        return None


def answers_for(inputs: Iterable[list[Any]]) -> list[dict[str, Any]]:
    """Give what vLLM makes of inputs."""
    return read_by_vllm({"input": items, "instructions": None} for items in inputs)


@pytest.fixture(scope="module")
def bodies() -> list[ResponsesBody]:
    """Random inputs, two thirds of them of the kinds that vLLM knows."""
    return [*drawn_bodies(2 * COUNT // 3, foreign=False), *drawn_bodies(COUNT // 3)]


def test_the_guard_and_the_simulator_read_an_input_as_vllm_does(
    bodies: list[ResponsesBody],
) -> None:
    """The same messages; what vLLM refuses or reads in part is noted as a change."""
    answers = read_by_vllm(
        {"input": body.request_input, "instructions": body.instructions} for body in bodies
    )
    taken = 0
    for body, answer in zip(bodies, answers, strict=True):
        conversation = ResponsesInput(body.request_input, body.instructions)
        simulated = read_by_simulator(body.request_input, body.instructions)
        if "error" in answer:
            assert conversation.changes, answer["error"]
            assert simulated is None, answer["error"]
            continue
        assert simulated is not None
        read = as_rendered(answer["messages"])
        assert as_rendered(simulated) == read
        if not conversation.changes:
            taken += 1
            assert conversation.prefill is answer["continued"]
            assert as_rendered(conversation.messages) == read
    assert taken > COUNT / 3


def test_vllm_and_the_simulator_refuse_each_foreign_item_and_take_what_the_guard_writes() -> None:
    """One item at a time: what a client sends, and what is sent in its place."""
    single = {name: [USER, *make("zebra"), USER] for name, make in FOREIGN.items()}
    single |= {f"unreadable: {name}": [USER, item, USER] for name, item in UNREADABLE.items()}
    for (name, items), answer in zip(single.items(), answers_for(single.values()), strict=True):
        kinds = {item.get("type") for item in items[1:-1]}
        assert ("error" in answer) is not kinds.issubset(TAKEN), (name, answer)
        assert (read_by_simulator(items, None) is None) is ("error" in answer), name
    read = {name: ResponsesInput(items, None) for name, items in single.items()}
    sent = {name: each.arguments(each.messages)["input"] for name, each in read.items()}
    for (name, items), answer in zip(sent.items(), answers_for(sent.values()), strict=True):
        assert "error" not in answer, (name, answer, items)
        assert as_rendered(answer["messages"]) == as_rendered(read[name].messages)
        assert ("zebra" in str(answer["messages"])) is (name in FOREIGN)


def test_vllm_reads_what_was_repaired(bodies: list[ResponsesBody]) -> None:
    """Whatever the template: vLLM takes the arguments, and makes the repaired messages of them."""
    profiles = [learnt(path)[1] for path in REAL]
    repaired, sent, prefills, changed = [], [], [], 0
    for body, profile in zip(bodies, cycle(profiles), strict=False):
        conversation = ResponsesInput(body.request_input, body.instructions)
        made = repair(
            conversation.messages,
            profile,
            prefill=conversation.prefill,
            labelled=conversation.labelled,
        )
        changed += bool(made.changes)
        repaired.append(made.messages)
        prefills.append(conversation.prefill)
        sent.append(conversation.arguments(made.messages))
    for messages, prefill, arguments, answer in zip(
        repaired, prefills, sent, read_by_vllm(sent), strict=True
    ):
        assert "error" not in answer, (answer, arguments)
        assert as_rendered(answer["messages"]) == as_rendered(messages)
        assert answer["continued"] is prefill
    assert changed > COUNT / 2
