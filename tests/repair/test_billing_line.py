"""The line that a client makes anew with each request spoils no prompt."""

from __future__ import annotations

from typing import Any

import pytest

from litellm_role_guard.profile.template_profile import TemplateProfile
from litellm_role_guard.repair.chain import repair

LINE = "x-anthropic-billing-header: cc_version=2.1; cch=00a1b;"
NO_SYSTEM = TemplateProfile(
    leading_system=dict.fromkeys(("system", "system system"), "refused"),
    follows={"user": {"system": "refused"}, "assistant": {"system": "refused"}},
)
ONE_SYSTEM = TemplateProfile(leading_system={"system system": "refused"})


def system(content: Any) -> dict[str, Any]:
    """Return a system message."""
    return {"role": "system", "content": content}


def user(text: str) -> dict[str, Any]:
    """Return a user message."""
    return {"role": "user", "content": text}


@pytest.mark.parametrize(
    "content",
    [
        f"{LINE}\nBe brief.",
        [{"type": "text", "text": LINE}, {"type": "text", "text": "Be brief."}],
        [{"type": "text", "text": f"{LINE}\nBe brief."}],
    ],
    ids=["string", "part of its own", "in a part"],
)
def test_it_is_left_out_where_the_user_says_what_the_system_said(content: Any) -> None:
    """The prompt then begins alike with each request."""
    repaired = repair([system(content), user("hi")], NO_SYSTEM)
    assert LINE not in str(repaired.messages)
    assert "Be brief." in str(repaired.messages)


def test_it_is_left_out_behind_other_system_text() -> None:
    """The server strips it only where it opens the message."""
    repaired = repair([system("You help."), system(f"{LINE}\nBe brief."), user("hi")], ONE_SYSTEM)
    assert [message["content"] for message in repaired.messages] == ["You help.\n\nBe brief.", "hi"]


def test_it_is_left_out_of_a_late_system_message_in_a_user_turn() -> None:
    """The label then stands before the text itself."""
    messages = [user("hi"), {"role": "assistant", "content": "yes?"}, system(f"{LINE}\nBe brief.")]
    repaired = repair([*messages, user("go on")], NO_SYSTEM)
    assert "[System message]\nBe brief." in str(repaired.messages[-2]["content"])
    assert LINE not in str(repaired.messages)


def test_it_stays_where_the_server_strips_it() -> None:
    """What the template takes as it is goes on as the very same object."""
    messages = [system(f"{LINE}\nBe brief."), user("hi")]
    assert repair(messages, ONE_SYSTEM).messages is messages
