"""A template that shows one of several late system messages takes none where it stands."""

from __future__ import annotations

from litellm_role_guard import ChatTemplate, TemplateProfile, repair

LAST_ONLY = (
    "{% set ns = namespace(last=-1) %}{% for m in messages %}"
    "{% if m.role == 'system' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}"
    "{% for m in messages %}{% if m.role != 'system' or loop.index0 == ns.last "
    "or loop.first %}<{{ m.role }}>{{ m.content }}{% endif %}{% endfor %}"
)
MESSAGES = [
    {"role": role, "content": f"text {at}"}
    for at, role in enumerate(["user", "assistant", "system", "user", "assistant", "system"])
]


def test_each_late_system_message_is_read_where_only_the_last_one_would_be() -> None:
    """Every one alone is read, and so was thought to be read among others."""
    template = ChatTemplate(LAST_ONLY)
    messages = [*MESSAGES, {"role": "user", "content": "text 6"}]
    assert "text 2" not in template.render(messages)
    prompt = template.render(repair(messages, TemplateProfile.learn(template)).messages)
    assert [prompt.index(f"text {at}") for at in range(7)] == sorted(
        prompt.index(f"text {at}") for at in range(7)
    )


def test_where_all_are_read_nothing_changes() -> None:
    """The very same messages go on."""
    text = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    messages = [*MESSAGES, {"role": "user", "content": "text 6"}]
    assert repair(messages, TemplateProfile.learn(ChatTemplate(text))).messages is messages


def test_system_text_that_is_shown_with_a_user_turn_only_gets_one() -> None:
    """Where the assistant speaks first, behind a system message."""
    template = ChatTemplate(
        "{% for m in messages %}{% if m.role == 'user' %}<user>"
        "{% if messages[0].role == 'system' %}{{ messages[0].content }}{% endif %}{{ m.content }}"
        "{% elif m.role == 'assistant' %}<assistant>{{ m.content }}{% endif %}{% endfor %}"
    )
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "assistant", "content": "hello"},
    ]
    assert "be brief" not in template.render(messages)
    prompt = template.render(repair(messages, TemplateProfile.learn(template)).messages)
    assert "be brief" in prompt
    assert "hello" in prompt
