"""With `verify` the template renders each result before it leaves, and has the last word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from litellm_role_guard import ChatTemplate, RoleGuard, TemplateProfile, repair
from litellm_role_guard.config.settings import SettingsError
from litellm_role_guard.endpoints.responses import ResponsesInput
from litellm_role_guard.profile.stricter import stricter_profiles
from litellm_role_guard.template.rendering_fault import rendering_fault
from testing.litellm_calls import LoggingObject

USER = {"role": "user", "content": "hi"}
REPLY = {"role": "assistant", "content": "hello"}
SYSTEM = {"role": "system", "content": "be kind"}
CALL = {"id": "abcdefghi", "type": "function", "function": {"name": "clock", "arguments": "{}"}}
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "abcdefghi", "content": "ten past six"}

# Each goes wrong with a word and not with a shape, so that no question finds it out.
WORDS = {
    "refuses the role": (
        "{% for m in messages %}{% if m.role == 'system' and 'kind' in m.content %}"
        "{{ raise_exception('System role not supported') }}{% endif %}"
        "<{{ m.role }}>{{ m.content }}{% endfor %}",
        [SYSTEM, USER, REPLY, USER],
        ["be kind", "hi", "hello", "hi"],
    ),
    "drops the text": (
        "{% for m in messages %}{% if m.role != 'system' or 'kind' not in m.content %}"
        "<{{ m.role }}>{{ m.content }}{% endif %}{% endfor %}",
        [SYSTEM, USER, REPLY, USER],
        ["be kind", "hi", "hello", "hi"],
    ),
    "drops the result": (
        "{% for m in messages %}{% if m.role != 'tool' or 'six' not in m.content %}"
        "<{{ 'result' if m.role == 'tool' else m.role }}>{{ m.content }}{{ m.tool_calls }}"
        "{% endif %}{% endfor %}",
        [USER, CALLED, RESULT, REPLY, USER],
        ["hi", "clock", "ten past six", "hello", "hi"],
    ),
    "refuses for unknown reasons": (
        "{% for m in messages %}{% if m.role == 'assistant' and 'hello' in m.content %}"
        "{{ raise_exception('Speak, friend.') }}{% endif %}"
        "<{{ m.role }}>{{ m.content }}{% endfor %}",
        [USER, REPLY, USER],
        ["hi", "hello", "hi"],
    ),
}


def call(messages: Any, **settings: Any) -> dict[str, Any]:
    """Give the arguments with which LiteLLM calls the deployment hook."""
    return {
        "model": "hosted_vllm/m",
        "api_base": "http://b/v1",
        "messages": messages,
        "litellm_logging_obj": LoggingObject(),
        "model_info": {"id": "d1", "role_guard": settings},
    }


@pytest.mark.parametrize("name", WORDS)
async def test_what_no_profile_foresees_is_mended(name: str, tmp_path: Path) -> None:
    """A word that the template trips over is in the prompt after all, and the header says so."""
    text, messages, said = WORDS[name]
    path = tmp_path / "template.jinja"
    path.write_text(text)
    guard = RoleGuard()
    kwargs = call(messages, chat_template=str(path), verify=True)
    changed = await guard.async_pre_call_deployment_hook(kwargs, "acompletion")
    assert changed is not None
    prompt = ChatTemplate(text).render(changed["messages"])
    at = 0
    for word in said:
        at = prompt.index(word, at)
    header = await guard.async_post_call_response_headers_hook(kwargs, None, None)
    assert header is not None
    assert "verify=1" in header["x-role-guard"]
    assert guard.counts["verified"] == 1


async def test_without_verify_the_profile_has_the_last_word(tmp_path: Path) -> None:
    """Nothing is rendered, and the same conversation goes on as it is."""
    text, messages, _ = WORDS["drops the text"]
    path = tmp_path / "template.jinja"
    path.write_text(text)
    guard = RoleGuard()
    kwargs = call(messages, chat_template=str(path))
    changed = await guard.async_pre_call_deployment_hook(kwargs, "acompletion")
    assert changed is not None
    assert changed["messages"] is messages
    assert guard.counts["verified"] == 0


async def test_what_the_template_reads_is_left_alone(tmp_path: Path) -> None:
    """A conversation that is read whole goes on as the same objects, and is not reported."""
    path = tmp_path / "template.jinja"
    path.write_text(WORDS["drops the text"][0])
    guard = RoleGuard()
    messages = [{"role": "system", "content": " be brief\n"}, USER]
    kwargs = call(messages, chat_template=str(path), verify=True)
    changed = await guard.async_pre_call_deployment_hook(kwargs, "acompletion")
    assert changed is not None
    assert changed["messages"] is messages
    assert await guard.async_post_call_response_headers_hook(kwargs, None, None) is None


async def test_what_nothing_helps_goes_on_as_it_was_repaired(tmp_path: Path) -> None:
    """It is counted and told, and the backend has the word on it."""
    path = tmp_path / "template.jinja"
    path.write_text(
        "{% if 'hi' in messages | string %}{{ raise_exception('no') }}{% endif %}"
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    )
    guard = RoleGuard()
    kwargs = call([USER, REPLY, USER], chat_template=str(path), verify=True)
    changed = await guard.async_pre_call_deployment_hook(kwargs, "acompletion")
    assert changed is not None
    assert changed["messages"] == [USER, REPLY, USER]
    assert guard.counts["unverified"] == 1
    header = await guard.async_post_call_response_headers_hook(kwargs, None, None)
    assert header == {"x-role-guard": "unverified=1"}


async def test_one_conversations_faults_are_not_learnt_from(tmp_path: Path) -> None:
    """The next one, which the template reads, is not changed for its sake."""
    path = tmp_path / "template.jinja"
    path.write_text(WORDS["refuses the role"][0])
    guard = RoleGuard()
    settings = {"chat_template": str(path), "verify": True}
    first = await guard.async_pre_call_deployment_hook(
        call([SYSTEM, USER], **settings), "acompletion"
    )
    assert first is not None
    body = {"messages": first["messages"]}
    await first["client"]._policy.after_refusal("System role not supported", body)
    first["client"]._policy.finished(answered=False)
    messages = [{"role": "system", "content": "be brief"}, USER]
    second = await guard.async_pre_call_deployment_hook(call(messages, **settings), "acompletion")
    assert second is not None
    assert second["messages"] is messages


def test_thoughts_may_be_left_out() -> None:
    """Templates drop what a model thought before it answered, as they are meant to."""
    template = ChatTemplate(
        "{% for m in messages %}{{ m.content.split('</think>')[-1] }}{% endfor %}"
    )
    reply = {"role": "assistant", "content": "<think>hm</think>\nhello"}
    assert rendering_fault(template, [USER, reply, USER], [USER, reply, USER]) is None


def test_a_prefill_is_rendered_as_one() -> None:
    """The opening of the reply stays open, whatever the template does with other last turns."""
    template = ChatTemplate(
        "{% for m in messages %}{% if loop.last and m.role == 'assistant' and add_generation_prompt"
        " %}{{ raise_exception('no') }}{% endif %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    )
    assert rendering_fault(template, [USER, REPLY], [USER, REPLY], prefill=True) is None
    assert rendering_fault(template, [USER, REPLY], [USER, REPLY]) == "no"


def test_the_last_step_down_is_a_transcript() -> None:
    """One user turn that holds everything, labelled."""
    *_, last = stricter_profiles(TemplateProfile(), "no words that anybody knows")
    messages: list[dict[str, Any]] = [SYSTEM, USER, CALLED, RESULT, REPLY, USER]
    (turn,) = repair(messages, last).messages
    assert turn["role"] == "user"
    assert all(word in turn["content"] for word in ("be kind", "hi", "clock", "ten past", "hello"))


@pytest.mark.parametrize("settings", [{"verify": True}, {"verify": True, "learn": False}])
def test_without_a_template_nothing_can_be_rendered(settings: dict[str, Any]) -> None:
    """The guard does not start, and names the key."""
    with pytest.raises(SettingsError, match=r"^RoleGuard\.verify: needs a chat_template"):
        RoleGuard(**settings)


def test_a_result_that_is_written_as_json_is_not_missed() -> None:
    """Templates that show a tool's result with `tojson` read it, line breaks and quotes and all."""
    template = ChatTemplate("{% for m in messages %}{{ m.content | tojson }}{% endfor %}")
    messages = [{"role": "user", "content": 'say "so"\nand ü'}]
    assert rendering_fault(template, messages, messages) is None


async def test_what_is_judged_is_what_the_backend_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Texts that are lost only where the backend reads the input are found missing, and mended."""
    path = tmp_path / "template.jinja"
    path.write_text("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}")
    guard = RoleGuard()
    kwargs = {**call([], chat_template=str(path), verify=True), "input": [USER, REPLY, USER]}
    # As if the backend read the first message of several, and no other.
    monkeypatch.setattr(ResponsesInput, "read_back", lambda _, messages: messages[:1])
    changed = await guard.async_pre_call_deployment_hook(kwargs, "aresponses")
    assert changed is not None
    assert len(changed["input"]) == 1
    header = await guard.async_post_call_response_headers_hook(kwargs, None, None)
    assert header is not None
    assert "verify=1" in str(header)
