"""A profile says what a template does, and is learnt by asking it."""

from __future__ import annotations

from typing import Any

import pytest

from litellm_role_guard import ChatTemplate, TemplateProfile, repair
from litellm_role_guard.probing.local import learn, run_plan
from litellm_role_guard.probing.probe import TOOLS, Probe, Rendering, judge
from litellm_role_guard.probing.rules_plan import rules_plan
from litellm_role_guard.template.errors import TemplateRefused
from testing.real_templates import REAL, name
from testing.templates import STRICT, TEMPLATES

PATHS = [*sorted(TEMPLATES.glob("*.jinja")), *REAL]


def learnt(name: str) -> TemplateProfile:
    """Give the profile of one of the tests' templates."""
    return TemplateProfile.learn(ChatTemplate.from_path(TEMPLATES / f"{name}.jinja"))


def test_all_three_answers_are_told_apart() -> None:
    """Found in order, refused, and taken without being read or at another place."""
    assert judge("<a><b>", ["a", "b"]) == "accepted"
    assert judge(None, ["a"]) == "refused"
    assert judge("<a>", ["a", "b"]) == "not_read"
    assert judge("<b><a>", ["a", "b"]) == "not_read"
    assert judge("<b><a>", ["a", "b"], unordered_marks=1) == "accepted"


def test_alternation_is_learnt_with_what_counts_as_a_turn() -> None:
    """A tool round does not count for this template: a user turn is due after an assistant's."""
    profile = learnt("alternating")
    assert profile.follows["user"]["user"] == "refused"
    assert profile.follows["user"]["assistant"] == "accepted"
    assert profile.follows["assistant"]["assistant"] == "refused"
    assert profile.follows["user+tool"]["user"] == "refused"
    assert profile.follows["assistant+tool"]["user"] == "accepted"
    assert profile.follows["start"]["assistant"] == "refused"
    assert learnt("plain").follows["user"]["user"] == "accepted"


def test_system_text_is_learnt_by_its_place() -> None:
    """At the front, twice, later, at all, alone."""
    assert learnt("plain").leading_system["system system"] == "accepted"
    assert learnt("alternating").leading_system["system"] == "accepted"
    assert learnt("alternating").leading_system["system system"] == "refused"
    assert learnt("system_first").follows["assistant"]["system"] == "refused"
    assert learnt("no_system").leading_system["system"] == "refused"
    assert learnt("system_first").without_user["leading_system"] == "refused"
    assert learnt("plain").without_user["leading_system"] == "accepted"


def test_the_strict_template_drops_a_lone_system_message() -> None:
    """Taken, and not read: the answer that no error tells of."""
    profile = TemplateProfile.learn(ChatTemplate.from_path(STRICT))
    assert profile.without_user["leading_system"] == "not_read"
    assert profile.leading_system["system"] == "accepted"


def with_tools(only: str = "", unless: str = "", text: str = "true") -> ChatTemplate:
    """Give a template that shows all there is, and less of it where there are tools.

    Args:
        only: When it refuses then.
        unless: When it drops a message then.
        text: When it shows a message's text.
    """
    return ChatTemplate(
        "{% for m in messages %}"
        "{% set before = messages[loop.index0 - 1].role if not loop.first else none %}"
        f"{{% if tools and ({only or 'false'}) %}}{{{{ raise_exception('no') }}}}{{% endif %}}"
        f"{{% if not (tools and ({unless or 'false'})) %}}"
        f"<{{{{ m.role }}}}>{{% if {text} %}}{{{{ m.content or '' }}}}{{% endif %}}"
        "{% for c in m.tool_calls or [] %}{{ c.function.name }}{{ c.function.arguments }}"
        "{% endfor %}{% endif %}\n{% endfor %}"
    )


ALONE = "m.role == 'assistant' and loop.first"
LATE = "m.role == 'system' and not loop.first"
MADE = {
    "nothing": with_tools(),
    "alternates": with_tools("before == m.role == 'user'"),
    "drops late system text": with_tools(unless=LATE),
    "takes one call": with_tools("m.tool_calls and m.tool_calls | length > 1"),
    "shows no text beside a call": with_tools(text="not (tools and m.tool_calls)"),
    "shows results": with_tools(unless="false", text="tools or m.role != 'tool'"),
    "two differences": with_tools(ALONE, LATE),
    "three differences": with_tools(ALONE, LATE, "not (tools and m.tool_calls)"),
}


@pytest.mark.parametrize(
    "template",
    [
        *(pytest.param(ChatTemplate.from_path(path), id=name(path)) for path in PATHS),
        *(pytest.param(template, id=what) for what, template in MADE.items()),
    ],
)
def test_tools_are_asked_about_where_they_matter(template: ChatTemplate) -> None:
    """The profile is the one for which every question would have been asked with tools, too."""

    def read(probe: Probe) -> Rendering:
        try:
            return template.render(probe.messages, tools=TOOLS if probe.tools else None)
        except TemplateRefused:
            return None

    profile = learn(read, tools=True)
    plain, with_tools = (run_plan(rules_plan(tools=tools), read) for tools in (False, True))
    assert dict(plain) == {field: getattr(profile, field) for field in type(plain).model_fields}
    assert (profile.with_tools or plain) == with_tools


def test_unknown_roles_are_refused_or_not_read_or_only_printed() -> None:
    """Developer and function messages, as each template has them."""
    assert learnt("no_system").follows["user"]["function"] == "not_read"
    assert learnt("system_first").follows["user"]["function"] == "refused"
    assert learnt("plain").follows["user"]["function"] == "unknown"
    # vLLM folds developer text to the front, so that it is not read where it was said.
    assert learnt("plain").follows["user"]["developer"] == "not_read"


def test_tool_calls_are_learnt_with_their_form() -> None:
    """Read at all, one or several at once, and with which ids."""
    assert learnt("no_system").follows["user"]["call"] == "not_read"
    assert learnt("system_first").parallel_calls == "refused"
    assert learnt("alternating").long_call_ids == "refused"
    assert learnt("alternating").call_text == "not_read"
    assert learnt("system_first").call_text == "accepted"


@pytest.mark.parametrize("name", ["plain", "alternating", "no_system", "last_words"])
def test_a_profile_survives_json(name: str) -> None:
    """It is plain data."""
    profile = learnt(name)
    assert TemplateProfile.model_validate_json(profile.model_dump_json()) == profile


def test_rules_for_requests_with_tools_are_kept_apart_where_they_differ() -> None:
    """A template that refuses a system message beside tools is told from one that does not."""
    text = (
        "{% if tools and messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}"
        "{% for m in messages %}{{ m.role }}{{ m.content }}{% endfor %}"
    )
    profile = TemplateProfile.learn(ChatTemplate(text))
    assert profile.rules(tools=False).leading_system["system"] == "accepted"
    assert profile.rules(tools=True).leading_system["system"] == "refused"
    assert learnt("plain").with_tools is None


def test_a_third_system_message_that_is_not_read_is_joined_to_the_others() -> None:
    """Some templates look at the second message, and no further; two stay as they are."""
    shown = "<{{ m.role }}>{{ m.content }}"
    template = ChatTemplate(
        "{% for m in messages %}"
        "{% if m.role not in ['system', 'developer'] or loop.index0 < 2 %}" + shown + "{% endif %}"
        "{% endfor %}"
    )
    profile = TemplateProfile.learn(template)
    assert profile.leading_system["system system"] == "accepted"
    assert profile.leading_system["system system system"] == "not_read"
    question = {"role": "user", "content": "question"}
    for role in ("system", "developer"):
        three = [{"role": role, "content": f"rule {number}"} for number in range(3)]
        prompt = template.render(repair([*three, question], profile).messages)
        assert all(f"rule {number}" in prompt for number in range(3))
        two = [*three[:2], question]
        assert repair(two, profile).messages is two


def test_a_round_behind_a_system_message_that_counts_as_an_answer_is_not_read() -> None:
    """The round counts for nothing there, and an answer to it would be a second one."""
    template = ChatTemplate(
        "{% set ns = namespace(turns=0) %}{% for m in messages %}"
        "{% if m.role != 'tool' and not m.tool_calls and not (loop.first and m.role == 'system') %}"
        "{% if (m.role == 'user') != (ns.turns % 2 == 0) %}{{ raise_exception('alternate') }}"
        "{% endif %}{% set ns.turns = ns.turns + 1 %}{% endif %}"
        "{% if m.role == 'tool' %}<result>{% else %}<{{ m.role }}>{% endif %}{{ m.content or '' }}"
        "{{ m.tool_calls | tojson if m.tool_calls }}{% endfor %}"
    )
    profile = TemplateProfile.learn(template)
    assert profile.follows["user"]["call"] == "accepted"
    assert profile.follows["user+system"]["user"] == "accepted"
    assert profile.follows["user+system"]["call"] == "refused"
    function = {"name": "look_up", "arguments": '{"word": "x"}'}
    call = {"id": "aB00Z0000", "type": "function", "function": function}
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "question"},
        {"role": "system", "content": "late"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "aB00Z0000", "content": "result"},
        {"role": "assistant", "content": "answer"},
        {"role": "user", "content": "another"},
    ]
    prompt = template.render(repair(messages, profile).messages)
    assert all(text in prompt for text in ("question", "late", "result", "answer", "another"))
