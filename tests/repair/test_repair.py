"""What a repair does to the conversations that break in the wild."""

from __future__ import annotations

from typing import Any

import pytest

from litellm_role_guard.profile.template_profile import TemplateProfile
from litellm_role_guard.repair.chain import Repair, repair
from litellm_role_guard.template.chat_template import ChatTemplate
from testing.templates import STRICT, TEMPLATES


def learnt(name: str) -> TemplateProfile:
    """Give the profile of one of the tests' templates."""
    return TemplateProfile.learn(ChatTemplate.from_path(TEMPLATES / f"{name}.jinja"))


PLAIN, ALTERNATING, NO_SYSTEM, SYSTEM_FIRST, LAST_WORDS = map(
    learnt, ("plain", "alternating", "no_system", "system_first", "last_words")
)
CAUTIOUS = TemplateProfile.cautious()


def say(role: str, content: Any, **fields: Any) -> dict[str, Any]:
    """Give a message."""
    return {"role": role, "content": content, **fields}


def call(*ids: str, arguments: str = '{"city": "Bern"}', content: Any = None) -> dict[str, Any]:
    """Give an assistant's message with tool calls."""
    calls = [
        {"id": id_, "type": "function", "function": {"name": "weather", "arguments": arguments}}
        for id_ in ids
    ]
    return say("assistant", content, tool_calls=calls)


def result(id_: str, content: str) -> dict[str, Any]:
    """Give a tool's message."""
    return say("tool", content, tool_call_id=id_)


def said(repaired: Repair) -> list[tuple[str, Any]]:
    """Give roles and contents."""
    return [(message["role"], message["content"]) for message in repaired.messages]


DROPPED = [
    say("user", "hello"),
    say("assistant", "hi"),
    say("user", "are you there?"),
    say("user", "hello again"),
]


def test_without_knowledge_an_empty_system_message_is_joined_to_the_next() -> None:
    """Strict templates refuse a second one whatever the first one says."""
    repaired = repair([say("system", ""), say("system", "be brief")], CAUTIOUS)
    assert "be brief" in ChatTemplate.from_path(STRICT).render(repaired.messages)


def test_an_unanswered_message_is_joined_to_the_next_one_with_a_blank_line() -> None:
    """The chat that a dropped connection killed goes on, and the model reads both messages."""
    repaired = repair(DROPPED, ALTERNATING)
    assert said(repaired)[2:] == [("user", "are you there?\n\nhello again")]
    assert [(change.what, change.messages) for change in repaired.changes] == [("merged", (2, 3))]


def test_a_conversation_that_is_fine_is_not_copied() -> None:
    """Where nothing is in the way, the very list that was given comes back."""
    for profile in (PLAIN, ALTERNATING, NO_SYSTEM, SYSTEM_FIRST, CAUTIOUS):
        messages = DROPPED[:3]
        assert repair(messages, profile).messages is messages
    assert repair(DROPPED, PLAIN).messages is DROPPED


def test_messages_that_are_not_in_the_way_stay_the_same_objects() -> None:
    """Only the two messages that were joined are new."""
    repaired = repair(DROPPED, ALTERNATING)
    assert all(new is old for new, old in zip(repaired.messages[:2], DROPPED[:2], strict=True))


def test_the_separator_can_be_chosen() -> None:
    """The setting stands between the joined texts."""
    assert said(repair(DROPPED, ALTERNATING, separator=" / "))[2][1] == (
        "are you there? / hello again"
    )


def test_parts_stay_parts_and_media_keeps_its_place() -> None:
    """Joined contents keep their images where they were, with a boundary between the texts."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    messages = [
        say("user", [{"type": "text", "text": "what is"}, image]),
        say("user", "and this?"),
        say("user", [{"type": "text", "text": "tell me"}, image]),
    ]
    assert said(repair(messages, ALTERNATING)) == [
        (
            "user",
            [
                {"type": "text", "text": "what is"},
                image,
                {"type": "text", "text": "and this?\n\ntell me"},
                image,
            ],
        )
    ]


def test_a_system_message_amid_the_conversation_is_said_by_the_user_where_it_stands() -> None:
    """At the front it would hold for what came before it and cost the prefix cache."""
    messages = [*DROPPED[:2], say("system", "Be brief."), say("user", "why?")]
    assert said(repair(messages, SYSTEM_FIRST))[2:] == [
        ("user", "[System message]\nBe brief."),
        ("user", "why?"),
    ]
    assert said(repair(messages, ALTERNATING))[2:] == [
        ("user", "[System message]\nBe brief.\n\n[User message]\nwhy?")
    ]


def test_leading_system_messages_are_gathered() -> None:
    """Several at the front become one, where the template takes one."""
    messages = [say("system", "One."), say("system", "Two."), say("user", "hello")]
    assert said(repair(messages, ALTERNATING))[0] == ("system", "One.\n\nTwo.")


def test_system_text_opens_the_first_user_turn_of_a_model_without_a_system_role() -> None:
    """It is neither refused nor lost."""
    messages = [say("system", "Be brief."), say("user", "hello")]
    repaired = repair(messages, NO_SYSTEM)
    assert [role for role, _ in said(repaired)] == ["user", "user"]
    assert [change.what for change in repaired.changes] == ["system"]


def test_a_developer_message_is_read_as_a_system_message_at_the_front() -> None:
    """And as the user's, with a label, further on."""
    messages = [say("developer", "Be brief."), say("user", "a"), say("developer", "Be kind.")]
    repaired = repair(messages, SYSTEM_FIRST)
    assert said(repaired) == [
        ("system", "Be brief."),
        ("user", "a"),
        ("user", "[Developer message]\nBe kind."),
    ]
    assert [change.what for change in repaired.changes] == ["developer", "developer"]


def test_a_lone_system_message_gets_an_empty_user_turn() -> None:
    """The turn that the template needs is made without inventing a word."""
    repaired = repair([say("system", "Say hi.")], SYSTEM_FIRST)
    assert said(repaired) == [("system", "Say hi."), ("user", "")]
    assert [change.what for change in repaired.changes] == ["filled"]


def test_the_words_of_an_invented_turn_can_be_chosen() -> None:
    """The placeholder stands in a turn that has to be made up."""
    repaired = repair([say("assistant", "Welcome!")], ALTERNATING, placeholder="(start)")
    assert said(repaired) == [("user", "(start)"), ("assistant", "Welcome!")]


def test_tool_calls_become_labelled_text_where_no_tools_are_known() -> None:
    """Name, arguments and result stand in the turns in which they happened."""
    messages = [say("user", "Weather?"), call("c1"), result("c1", "sunny"), say("user", "thanks")]
    assert said(repair(messages, NO_SYSTEM)) == [
        ("user", "Weather?"),
        ("assistant", '[Tool call: weather]\n{"city": "Bern"}'),
        ("user", "[Tool result: weather]\nsunny"),
        ("user", "thanks"),
    ]


def test_parallel_calls_become_rounds_where_one_at_a_time_is_taken() -> None:
    """Each call is followed by its own result."""
    messages = [
        say("user", "Weather?"),
        call("c1", "c2"),
        result("c2", "rain"),
        result("c1", "sun"),
    ]
    repaired = repair(messages, SYSTEM_FIRST)
    assert [(message["role"], message.get("content")) for message in repaired.messages] == [
        ("user", "Weather?"),
        ("assistant", None),
        ("tool", "sun"),
        ("assistant", None),
        ("tool", "rain"),
    ]


def test_call_ids_are_rewritten_alike_in_calls_and_results() -> None:
    """Where the format demands nine characters, a call and its result still find each other."""
    messages = [say("user", "?"), call("call_1"), result("call_1", "sun")]
    repaired = repair(messages, ALTERNATING).messages
    new = repaired[1]["tool_calls"][0]["id"]
    assert len(new) == 9
    assert new.isalnum()
    assert repaired[2]["tool_call_id"] == new
    nine = [say("user", "?"), call("abcDEF123"), result("abcDEF123", "sun")]
    assert repair(nine, ALTERNATING).messages is nine


def test_arguments_that_are_no_json_object_are_written_out() -> None:
    """vLLM would show the template an empty object in their place."""
    messages = [say("user", "?"), call("c1", arguments='{"city": "Be'), result("c1", "?")]
    repaired = repair(messages, PLAIN)
    assert said(repaired)[1] == ("assistant", '[Tool call: weather]\n{"city": "Be')


def test_the_legacy_function_call_is_written_out() -> None:
    """vLLM shows no template the field that OpenAI's first tool format used."""
    legacy = say("assistant", None, function_call={"name": "weather", "arguments": "{}"})
    messages = [say("user", "?"), legacy, say("function", "sun", name="weather")]
    repaired = repair(messages, ALTERNATING)
    assert said(repaired)[1:] == [
        ("assistant", "[Tool call: weather]\n{}"),
        ("user", "[Function result: weather]\nsun"),
    ]


def test_a_prefill_is_left_alone() -> None:
    """The opening of the reply stays the last message, whatever stands before it."""
    messages = [*DROPPED, say("assistant", "Sure, ")]
    repaired = repair(messages, ALTERNATING, prefill=True)
    assert repaired.messages[-1] is messages[-1]
    assert len(repaired.messages) == 4


def test_what_a_template_cannot_show_as_a_dialogue_becomes_a_transcript() -> None:
    """A template that reads one message only is given one, with who said what."""
    repaired = repair(DROPPED[:3], LAST_WORDS)
    assert said(repaired) == [
        ("user", "hello\n\n[Assistant message]\nhi\n\n[User message]\nare you there?")
    ]


RUNS = [say(role, role) for role in ("user", "user", "assistant", "assistant", "user", "user")]


@pytest.mark.parametrize("length", range(2, len(RUNS) + 1))
def test_changes_name_the_messages_that_were_joined(length: int) -> None:
    """A report points at each message that joined the one before, and past the end at none."""
    repaired = repair(RUNS[:length], ALTERNATING)
    named = {at for change in repaired.changes for at in change.messages}
    joined = {at for at in range(1, length) if RUNS[at]["role"] == RUNS[at - 1]["role"]}
    assert joined
    assert joined <= named <= set(range(length))


def test_a_role_of_the_templates_own_is_left_where_it_stands() -> None:
    """Of a role named in `extra_roles` nothing is known, so nothing around it is changed."""
    messages = [say("user", "a"), say("critic", "b"), say("user", "c")]
    for profile in (ALTERNATING, CAUTIOUS):
        assert repair(messages, profile).messages is messages


def test_a_speakers_name_is_not_given_to_anothers_words() -> None:
    """Where two people's turns are joined, the names of both stand between their words."""
    messages = [say("user", "yes", name="ann"), say("user", "no", name="bob")]
    told = "yes\n\n[End of message: ann]\n[User message: bob]\nno"
    assert repair(messages, ALTERNATING).messages == [say("user", told, name="ann")]
    same = [say("user", "yes", name="ann"), say("user", "no", name="ann")]
    assert repair(same, ALTERNATING).messages == [say("user", "yes\n\nno", name="ann")]


def test_a_refusal_is_said_as_content() -> None:
    """vLLM shows no template the field in which OpenAI puts a refusal."""
    messages = [say("user", "?"), say("assistant", None, refusal="I will not"), say("user", "why")]
    repaired = repair(messages, PLAIN)
    assert said(repaired)[1] == ("assistant", "I will not")
    assert [change.what for change in repaired.changes] == ["content"]


@pytest.mark.parametrize(
    "profile",
    [
        PLAIN,
        ALTERNATING,
        TemplateProfile(call_text="refused"),
        TemplateProfile(parallel_calls="refused"),
    ],
    ids=["plain", "alternating", "text apart", "one at a time"],
)
def test_a_refusal_beside_calls_is_said_once(profile: TemplateProfile) -> None:
    """Wherever the template wants it, and however many calls there are."""
    reply = {**call("call00001", "call00002"), "refusal": "I will not"}
    results = [result("call00001", "sunny"), result("call00002", "windy")]
    later = [say("assistant", "sunny and windy"), say("user", "why")]
    repaired = repair([say("user", "?"), reply, *results, *later], profile)
    assert str(said(repaired)).count("I will not") == 1
    assert not any("refusal" in message for message in repaired.messages)


def test_a_call_of_another_kind_is_written_out() -> None:
    """vLLM refuses tool calls that are no function calls."""
    custom = {"id": "1", "type": "custom", "custom": {"name": "grep", "input": "-r x"}}
    messages = [say("user", "?"), say("assistant", None, tool_calls=[custom]), say("user", "!")]
    assert said(repair(messages, PLAIN))[1] == ("assistant", "[Tool call: grep]\n-r x")


def test_an_image_in_a_system_message_is_not_lost_with_what_follows_it() -> None:
    """A template that reads one text of its system message reads no image there, either."""
    text = (
        "{% if messages[0].role == 'system' %}{{ messages[0].content[0].text }}"
        "{% set messages = messages[1:] %}{% endif %}"
        "{% for m in messages %}{% for p in m.content %}"
        "{{ p.text if p.type == 'text' else '<image>' }}{% endfor %}{% endfor %}"
    )
    image = {"type": "image_url", "image_url": {"url": "u"}}
    parts = [{"type": "text", "text": "AAAA"}, image, {"type": "text", "text": "BBBB"}]
    template = ChatTemplate(text)
    repaired = repair([say("system", parts), say("user", "q")], TemplateProfile.learn(template))
    assert template.render(repaired.messages) == "AAAA<image>BBBBq"


def test_a_result_that_answers_no_call_is_said_as_text_where_it_would_be_refused() -> None:
    """Some templates look the call up by the result's id, and fail where there is none."""
    text = (
        "{% for m in messages %}{% if m.tool_calls %}{% for c in m.tool_calls %}"
        "{{ c.function.arguments | tojson }}{% endfor %}"
        "{% elif m.role == 'tool' %}{% if loop.previtem.tool_calls "
        "and loop.previtem.tool_calls[0].id != m.tool_call_id %}"
        "{{ raise_exception('no such call') }}{% endif %}[{{ m.content }}]"
        "{% else %}{{ m.content }}{% endif %}{% endfor %}"
    )
    profile = TemplateProfile.learn(ChatTemplate(text))
    stray = [say("user", "?"), call("c1"), result("c2", "sun")]
    assert said(repair(stray, profile))[-1] == ("user", "[Tool result]\nsun")
    answering = [say("user", "?"), call("c1"), result("c1", "sun")]
    assert repair(answering, profile).messages is answering


def test_an_id_that_comes_again_gets_a_new_one_where_it_is_read_once() -> None:
    """A model that numbers the calls of each turn from 0 repeats them in every turn."""
    text = (
        "{% set seen = namespace(ids=[]) %}{% for m in messages %}"
        "{% if m.role == 'tool' %}{% if m.tool_call_id not in seen.ids %}[{{ m.content }}]"
        "{% set seen.ids = seen.ids + [m.tool_call_id] %}{% endif %}"
        "{% else %}{{ m.content }}{{ m.tool_calls | tojson if m.tool_calls }}{% endif %}"
        "{% endfor %}"
    )
    template = ChatTemplate(text)
    rounds = [call("call_0"), result("call_0", "sun"), call("call_0"), result("call_0", "rain")]
    repaired = repair([say("user", "?"), *rounds], TemplateProfile.learn(template))
    prompt = template.render(repaired.messages)
    assert "sun" in prompt
    assert "rain" in prompt
    ids = [message.get("tool_call_id") for message in repaired.messages]
    assert ids[2] != ids[4]
    assert repaired.messages[3]["tool_calls"][0]["id"] == ids[4]


def test_long_conversations_are_joined_in_one_go() -> None:
    """Joining copies each text once, however many messages meet."""

    class Counted(str):
        """A text that counts how often it is put into another one."""

        copies = 0

        def __format__(self, spec: str) -> str:
            Counted.copies += 1
            return super().__format__(spec)

    messages = [say("user", Counted("x")) for _ in range(500)]
    repaired = repair(messages, ALTERNATING)
    assert len(repaired.messages) == 1
    assert Counted.copies == 0


def test_system_text_that_takes_anothers_place_is_not_lost_among_empty_messages() -> None:
    """Some templates keep one system text, wherever it stood, and show it at the front."""
    text = (
        "{% set kept = namespace(text='') %}{% for m in messages %}"
        "{% if m.role == 'system' %}{% set kept.text = m.content %}{% endif %}{% endfor %}"
        "{{ kept.text }}{% for m in messages if m.role in ('user', 'assistant') %}"
        "<{{ m.role }}>{{ m.content }}{% endfor %}"
    )
    template = ChatTemplate(text)
    messages = [say("user", ""), say("system", "A"), say("user", ""), say("system", "B")]
    prompt = template.render(repair(messages, TemplateProfile.learn(template)).messages)
    assert "A" in prompt
    assert "B" in prompt
