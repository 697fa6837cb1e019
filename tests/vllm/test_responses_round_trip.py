"""What the guard reads in a /v1/responses input, and writes, held to vLLM's own code."""

from __future__ import annotations

from itertools import cycle

import pytest

from litellm_role_guard.endpoints.responses import ResponsesInput
from litellm_role_guard.profile.template_profile import TemplateProfile
from litellm_role_guard.repair.chain import repair
from litellm_role_guard.simulator.responses import as_messages
from litellm_role_guard.template.chat_template import ChatTemplate
from testing.real_templates import REAL
from testing.response_items import ResponsesBody, as_rendered, drawn_bodies
from testing.vllm_responses import read_by_vllm

COUNT = 600


@pytest.fixture(scope="module")
def bodies() -> list[ResponsesBody]:
    """Random inputs."""
    return drawn_bodies(COUNT)


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
        if "error" in answer:
            assert conversation.changes, answer["error"]
            continue
        read = as_rendered(answer["messages"])
        assert as_rendered(as_messages(body.request_input, body.instructions)) == read
        assert conversation.prefill is answer["continued"]
        if not conversation.changes:
            taken += 1
            assert as_rendered(conversation.messages) == read
    assert taken > COUNT / 2


def test_vllm_reads_what_was_repaired(bodies: list[ResponsesBody]) -> None:
    """Whatever the template: vLLM takes the arguments, and makes the repaired messages of them."""
    profiles = [TemplateProfile.learn(ChatTemplate.from_path(path)) for path in REAL]
    repaired, sent, prefills, changed = [], [], [], 0
    for body, profile in zip(bodies, cycle(profiles), strict=False):
        conversation = ResponsesInput(body.request_input, body.instructions)
        made = repair(conversation.messages, profile, prefill=conversation.prefill)
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
