"""Whether conversations would be taken, and files that hold them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from litellm_role_guard import ChatTemplate, TemplateProfile
from litellm_role_guard.backend.errors import LearningFailed
from litellm_role_guard.batch.conversation import FileConversation
from litellm_role_guard.batch.verdict import Checked, asking_backend, asking_template, check
from litellm_role_guard.messages.validation import find_validation_error
from litellm_role_guard.simulator import create_app
from testing.asked_backend import at
from testing.cases import CASES
from testing.conversations import Case, assistant, parts, system, user
from testing.further_cases import FURTHER
from testing.real_templates import GEMMA_3
from testing.serving import serving

RUN = [user("hello"), assistant("hi"), user("are you there?"), user("hello again")]
DROPS_SYSTEM = ChatTemplate(
    "{% for m in messages if m.role != 'system' %}<{{ m.role }}>{{ m.content }}{% endfor %}"
)
# What Gemma 3's template refuses, what it takes without reading it, and what it takes and reads in
# a turn of a role that it does not know.
REFUSED = {
    *("01-dropped-connection", "02-system-two-users", "03a-system-assistant-user"),
    *("03b-system-two-speakers", "05-agent-transfer", "06-two-systems", "08-null-tool-call"),
    *("09-system-in-the-middle", "10-systems-all-along"),
    *("14b-tool-results-only", "15-assistant-after-tool"),
    *("16-user-after-tool", "18a-text-then-call", "18b-tool-then-two-users"),
    *("19-two-assistants-at-the-end", "20-parallel-calls", "21-long-call-id"),
    *("11a-developer-in-the-middle", "11b-instructions-developer-users"),
    "22-tools-to-a-template-without",
}
LOST = {"14a-system-only"}
WRONG = {"17-tool-after-user"}


async def checked(template: ChatTemplate, *messages: Any, **fields: Any) -> Checked:
    """Check a conversation against a template."""
    profile = TemplateProfile.learn(template)
    return await check(FileConversation(messages, **fields), asking_template(template), profile)


@pytest.mark.skipif(GEMMA_3 is None, reason="`make test` fetches the templates")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_the_reported_cases_on_gemma_3(case: Case) -> None:
    """Each has the outcome that its users reported, and is fine once it is repaired."""
    assert GEMMA_3 is not None
    seen = await checked(ChatTemplate.from_path(GEMMA_3), *case.messages, tools=case.tools)
    outcomes = {"refused": REFUSED, "lost": LOST, "wrong": WRONG}
    expected = [outcome for outcome, names in outcomes.items() if case.name in names] or ["fine"]
    assert [seen.verdict.outcome] == expected
    assert seen.repaired.outcome == "fine"


async def test_a_refusal_comes_in_the_templates_words() -> None:
    """No message is judged then, and the repair says what it would do to which."""
    template = ChatTemplate(
        "{% if messages|length > 3 %}{{ raise_exception('Enough!') }}{% endif %}"
    )
    seen = await checked(template, *RUN)
    assert seen.verdict.refusal == "Enough!"
    assert seen.verdict.messages == ()


async def test_lost_text_is_named_with_its_message() -> None:
    """Before the repair; after it nothing is lost."""
    seen = await checked(DROPS_SYSTEM, system("be brief"), user("hello"))
    assert [each.state for each in seen.verdict.messages] == ["lost", "read"]
    assert seen.verdict.messages[0].missing == ("be brief",)
    assert [change.what for change in seen.repair.changes] == ["system"]
    assert seen.repaired.outcome == "fine"


async def test_a_part_that_is_lost_is_told_from_those_that_are_read() -> None:
    """One text of a message is missing, and only that is named."""
    template = ChatTemplate(
        "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}"
        "{% for p in m.content %}{% if loop.first %}{{ p.text }}{% endif %}{% endfor %}"
        "{% endif %}{% endfor %}"
    )
    seen = await checked(template, parts("user", "kept part", "lost part"))
    assert seen.verdict.messages[0].missing == ("lost part",)


async def test_a_backend_is_asked_as_the_template_is() -> None:
    """Over a simulated vLLM, with the same answers on all cases."""
    template = ChatTemplate("{% for m in messages %}{% if m.role == 'user' and not loop.first and "
        "messages[loop.index0 - 1].role == 'user' %}{{ raise_exception('Conversation roles must "
        "alternate') }}{% endif %}{% if m.role != 'tool' %}<{{ m.role }}>{{ m.content }}{% endif %}"
        "{% endfor %}")  # fmt: skip
    profile = TemplateProfile.learn(template)
    with serving(create_app(template, model="m")) as url:
        async with httpx.AsyncClient() as client:
            ask = asking_backend(at(f"{url}/v1", client, model="m"))
            for case in (*CASES, *FURTHER):
                if find_validation_error(case.messages) is not None:
                    continue
                conversation = FileConversation(case.messages, case.tools)
                live = await check(conversation, ask, profile)
                local = await check(conversation, asking_template(template), profile)
                assert live.verdict == local.verdict, case.name
                assert live.repaired == local.repaired, case.name


async def test_a_backend_that_is_gone_is_no_refusal() -> None:
    """It cannot be asked, which says nothing of the conversation."""
    async with httpx.AsyncClient() as client:
        ask = asking_backend(at("http://127.0.0.1:1", client, model="m"))
        with pytest.raises(LearningFailed, match="cannot be reached"):
            await check(FileConversation(RUN), ask, TemplateProfile())
