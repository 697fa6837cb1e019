"""Every answer of a profile is proved by a conversation that anybody can put again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from litellm_role_guard import ChatTemplate, TemplateProfile, TemplateRefused
from litellm_role_guard.probing.evidence import Evidence, ProbeRecorder
from litellm_role_guard.probing.probe import TOOLS
from litellm_role_guard.profile.rules import Rules
from testing.real_templates import REAL, name
from testing.size import some
from testing.templates import TEMPLATES

OF_CALLS = {
    "call_names",
    "call_text",
    "half_answered",
    "late_results",
    "long_call_ids",
    "long_result_ids",
    "parallel_calls",
    "repeated_call_ids",
    "repeated_lone_ids",
    "result_pairing",
    "shared_call_ids",
    "short_call_ids",
    "open_call_text",
    "stray_results",
}
OWN = sorted(TEMPLATES.glob("*.jinja"))


def witnessed(path: Path) -> tuple[ChatTemplate, TemplateProfile, list[Evidence]]:
    """Give a template, its profile and the proofs of that."""
    template, recorder = ChatTemplate(path.read_text()), ProbeRecorder()
    profile = recorder.learn(template)
    return template, profile, recorder.evidence(profile)


def unproved(rules: Rules, proved: set[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Give the paths of the answers that need a proof and have none."""
    paths: list[tuple[str, ...]] = []
    for field, value in rules:
        if isinstance(value, str):
            paths.append((field,))
        elif isinstance(value, dict):
            for key, answer in value.items():
                rest: Any = answer if isinstance(answer, dict | list) else [()]
                paths += [(field, key, inner) if inner else (field, key) for inner in rest]
        elif isinstance(value, list):
            paths += [(field, key) for key in value]
    return [path for path in paths if path not in proved]


@pytest.mark.parametrize("path", some([*OWN, *REAL]), ids=name)
def test_a_proof_put_again_gives_its_answer(path: Path) -> None:
    """It is refused exactly where the answer says so."""
    template, profile, evidence = witnessed(path)
    assert profile == TemplateProfile.learn(template)
    for proof in evidence:
        if proof.answer in ("yes", "no"):
            continue  # what such a field lists is more than one conversation tells
        try:
            template.render(proof.messages, tools=TOOLS if proof.tools else None)
        except TemplateRefused:
            assert proof.answer == "refused", proof
        else:
            assert proof.answer != "refused", proof


@pytest.mark.parametrize("path", some([*OWN, *REAL]), ids=name)
def test_every_answer_has_a_proof(path: Path) -> None:
    """But for states that the template never gets to, and calls and system text it never reads."""
    _, profile, evidence = witnessed(path)
    proved = {(proof.field, *proof.shape) for proof in evidence if not proof.tools}
    asked = {proof.shape[0] for proof in evidence if proof.field == "follows" and not proof.tools}
    reads_calls = profile.follows["user"]["call"] == "accepted"
    reads_system = profile.leading_system["system"] == "accepted"
    for field, *keys in unproved(profile, proved):
        never_there = field == "follows" and keys[0] not in asked
        assert (
            never_there
            or (not reads_calls and field in OF_CALLS)
            or (not reads_system and field == "prefill_with_system")
            or (not (profile.media and reads_system) and field == "media_with_system")
        ), (field, keys)


def test_the_way_of_asking_that_was_read_is_the_proof() -> None:
    """Where a call alone is refused and a call with its result is read, the latter is shown."""
    text = (
        "{% if messages[-1].tool_calls or messages[-1].role == 'tool' %}"
        "{{ raise_exception('unanswered') }}{% endif %}"
        "{% for m in messages %}{{ 'result' if m.role == 'tool' else m.role }}"
        "{{ m.content }}{{ m.tool_calls }}{% endfor %}"
    )
    recorder = ProbeRecorder()
    evidence = recorder.evidence(recorder.learn(ChatTemplate(text)))
    (proof,) = [
        proof
        for proof in evidence
        if (proof.field, *proof.shape) == ("follows", "user", "call") and not proof.tools
    ]
    assert (proof.answer, proof.conversation) == ("accepted", "user, call, tool, assistant, user")
