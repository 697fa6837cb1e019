"""What a real vLLM takes and misreads as it comes, it reads right after the repair.

Each test gives the fault in the prompt before, and its absence after; the prompts are vLLM's
own, of `/tokenize` and `/detokenize`, and the profile is learnt from the server that is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from litellm_role_guard.template.errors import TemplateRefused
from testing.conversations import Message, assistant, developer, parts, result, system, user
from testing.judged_by_vllm import (
    IN_OSLO,
    IN_ROME,
    NATIVE,
    OSLO,
    QUESTION,
    ROME,
    THANKS,
    Ask,
    asks,
    call,
    stands_in_order,
)
from testing.rightness import misread

TWO_LINES = 'Line "one" of {é}\nLine two.'
# How each template opens the turn of a role that nobody knows.
PRINTED = {
    "gemma3": "<start_of_turn>{}\n",
    "llama3_1": "<|start_header_id|>{}<|end_header_id|>\n\n",
    "gemma4_v2": "<|turn>{}\n",
}


tools_in_turns = pytest.mark.parametrize("template", ["llama3_1", "qwen3"])
three = pytest.mark.parametrize("template", ["gemma3", "llama3_1", "qwen3"])


# 2. A role printed, not known.


@pytest.mark.parametrize(
    ("template", "role"),
    [("gemma3", "tool"), ("gemma3", "function"), ("gemma3", "system"), ("llama3_1", "function")],
)
def test_nothing_is_said_in_a_turn_that_the_template_would_print_for_any_role(
    ask: Ask, template: str, role: str
) -> None:
    """Before, it stands in a turn that is opened just as that of the role `qqq` would be."""
    judge = ask(template)
    message = {"role": role, "content": "Mind the gap."}
    message |= {"tool": {"tool_call_id": "aB0000009"}, "function": {"name": "weather"}}.get(
        role, {}
    )
    messages = [QUESTION, message, THANKS]
    turn = PRINTED[template]
    before = judge.render(messages)
    assert turn.format(role) + "Mind the gap." in before
    unknown = judge.render([QUESTION, {**message, "role": "qqq"}, THANKS])
    assert before.replace(role, "qqq") == unknown.replace(role, "qqq")
    prompt = judge.after(messages)
    assert turn.format(role) + "Mind the gap." not in prompt
    assert "Mind the gap." in prompt
    assert list(misread(judge, judge.repaired(messages), tools=False)) == []


@three
def test_all_results_of_a_round_are_read_in_one_form_and_no_turn_is_invented(
    ask: Ask, template: str
) -> None:
    """Tool turns that the template knows, or one user turn with labels."""
    judge = ask(template)
    messages = [QUESTION, asks(OSLO, ROME), IN_OSLO, IN_ROME, assistant("It varies."), THANKS]
    prompt = judge.after(messages)
    native, labels = prompt.count(NATIVE[template]), prompt.count("[Tool result: ")
    assert (native, labels) == ((0, 2) if template == "gemma3" else (2, 0))
    if template == "gemma3":
        assert prompt.count("<start_of_turn>user") == 3
        assert prompt.count("<start_of_turn>model") == 3
        assert "<start_of_turn>user\n<end_of_turn>" not in prompt


@pytest.mark.parametrize(
    "template",
    [
        "qwen3",
        "llama3_1",
    ],
)
def test_a_late_system_message_stays_one_where_the_template_opens_with_such_a_turn(
    ask: Ask, template: str
) -> None:
    """The model knows the role, though the template prints it like any other."""
    judge = ask(template)
    messages = [QUESTION, assistant("Where?"), system("Be brief."), THANKS]
    assert judge.repaired(messages) is messages


# 3. Half a round.


@tools_in_turns
def test_a_call_that_has_to_be_said_in_words_takes_its_result_along(
    ask: Ask, template: str
) -> None:
    """Its arguments are cut short: vLLM reads none of them, and shows a result of no question."""
    judge = ask(template)
    messages = [QUESTION, asks(call("aB0000001", '{"city": "Os')), IN_OSLO, THANKS]
    before = judge.render(messages)
    assert '{"city": "Os' not in before
    assert NATIVE[template] in before
    prompt = judge.after(messages)
    assert NATIVE[template] not in prompt
    assert '[Tool call: weather]\n{"city": "Os' in prompt
    assert "[Tool result: weather]\n12 degrees" in prompt


@three
def test_one_spoilt_call_puts_its_whole_round_into_words_and_no_other_round(
    ask: Ask, template: str
) -> None:
    """The sound call beside it, and both results; the round before it stays as it was."""
    judge = ask(template)
    sound = [
        QUESTION,
        asks(call("aB0000003", '{"city": "Bern"}')),
        result("aB0000003", "7 degrees"),
    ]
    spoilt = [asks(call("aB0000001", '{"city": "Os'), ROME), IN_OSLO, IN_ROME]
    messages = [*sound, assistant("Cool."), user("And elsewhere?"), *spoilt, THANKS]
    prompt = judge.after(messages)
    rest = prompt[prompt.index("And elsewhere?") :]
    assert NATIVE[template] not in rest
    texts = ["[Tool call: weather #1]", "[Tool call: weather #2]"]
    texts += ["[Tool result: weather #1]\n12", "[Tool result: weather #2]\n25"]
    assert stands_in_order(rest, *texts)
    if template != "gemma3":
        assert prompt.count(NATIVE[template]) == 1


def test_gemma_3_reads_no_result_natively_whose_call_it_does_not_show(ask: Ask) -> None:
    """It leaves the call out and prints the result, where the turns happen to alternate."""
    gemma = ask("gemma3")
    messages = [QUESTION, asks(OSLO), user("Well?"), IN_OSLO, THANKS]
    before = gemma.render(messages)
    assert "Oslo" not in before
    assert "<start_of_turn>tool\n12 degrees" in before
    prompt = gemma.after(messages)
    assert NATIVE["gemma3"] not in prompt
    assert stands_in_order(prompt, '[Tool call: weather]\n{"city": "Oslo"}', "]\n12 degrees")


# 4. Source code for text.


@pytest.mark.parametrize("texts", [[TWO_LINES], [TWO_LINES, "Line three."]], ids=["one", "two"])
@pytest.mark.parametrize("role", ["system", "developer"])
def test_instructions_in_parts_are_read_as_text_and_not_as_a_list(
    ask: Ask, role: str, texts: list[str]
) -> None:
    """Gemma 4's template prints the list as Python would, with its braces."""
    gemma = ask("gemma4_v2")
    messages = [parts(role, *texts), QUESTION]
    assert "[{'type': 'text', 'text': 'Line " in gemma.render(messages)
    prompt = gemma.after(messages)
    assert stands_in_order(prompt, *texts, "How is the weather?")
    assert "'type'" not in prompt


@pytest.mark.parametrize("say", [system, developer])
def test_a_plain_system_text_is_read_as_text_where_vllm_itself_makes_a_list_of_it(
    ask: Ask, say: Callable[[str], Message]
) -> None:
    """It does so for every message where the template loops over any content."""
    gemma = ask("gemma4_v2")
    messages = [say(TWO_LINES), QUESTION]
    assert "[{'type': 'text'" in gemma.render(messages)
    prompt = gemma.after(messages)
    assert TWO_LINES in prompt
    assert "'type'" not in prompt


@three
@pytest.mark.parametrize("role", ["system", "developer", "user", "assistant"])
def test_parts_are_read_to_the_letter_on_the_other_templates(
    ask: Ask, template: str, role: str
) -> None:
    """All of them: Gemma 3 takes a list of system text, and shows the first part alone."""
    judge = ask(template)
    opening = [] if role in ("system", "developer") else [QUESTION]
    message = parts(role, TWO_LINES, "Line three.")
    messages = [*opening, message, THANKS]
    if template == "gemma3" and role in ("system", "developer"):
        assert "Line three." not in judge.render(messages)
    prompt = judge.after(messages)
    assert TWO_LINES in prompt
    assert "Line three." in prompt
    assert "'type'" not in prompt


# 6. Harmless oddities.


@tools_in_turns
@pytest.mark.parametrize("arguments", ["null", "[]"])
def test_arguments_that_vllm_reads_as_none_cost_no_call(
    ask: Ask, template: str, arguments: str
) -> None:
    """The very same messages go on, and are read as a call of no arguments with its result."""
    judge = ask(template)
    messages = [QUESTION, asks(call("aB0000001", arguments, "get_time")), IN_OSLO, THANKS]
    assert judge.repaired(messages) is messages
    prompt = judge.render(messages)
    shown = {"llama3_1": '"get_time", "parameters": {}', "qwen3": '"get_time", "arguments": {}'}
    assert shown[template] in prompt
    assert prompt.count(NATIVE[template]) == 1
    assert "[Tool " not in prompt


@pytest.mark.parametrize("arguments", ["null", "[]"])
def test_gemma_3_reads_such_a_call_in_words_and_its_result_as_well(
    ask: Ask, arguments: str
) -> None:
    """As any other call: it knows no tools, and refuses the round."""
    gemma = ask("gemma3")
    messages = [QUESTION, asks(call("aB0000001", arguments, "get_time")), IN_OSLO, THANKS]
    with pytest.raises(TemplateRefused):
        gemma.render(messages)
    prompt = gemma.after(messages)
    assert NATIVE["gemma3"] not in prompt
    assert stands_in_order(prompt, "[Tool call: get_time]", "[Tool result: get_time]\n12 degrees")


# What was sound.

SOUND: dict[str, list[Message]] = {
    "a round": [QUESTION, asks(OSLO), IN_OSLO, assistant("Cold."), THANKS],
    "an open round": [QUESTION, asks(OSLO), IN_OSLO],
    "two rounds": [QUESTION, asks(OSLO), IN_OSLO, asks(ROME), IN_ROME, assistant("So."), THANKS],
    "parts": [
        parts("system", TWO_LINES, "Line three."),
        parts("user", "How is it?", "In Oslo."),
        asks(OSLO),
        {**IN_OSLO, "content": [{"type": "text", "text": "12 degrees"}]},
        parts("assistant", "Cold."),
        THANKS,
    ],
    "names": [
        {**QUESTION, "name": "ann"},
        {**asks(OSLO), "name": "Coder"},
        {**IN_OSLO, "name": "weather"},
        {**assistant("Cold."), "name": "Coder"},
        {**THANKS, "name": "bob"},
    ],
    "reasoning": [
        QUESTION,
        {**asks(OSLO), "reasoning": "I have to look."},
        IN_OSLO,
        {**assistant("Cold."), "reasoning": "12 is not much."},
        THANKS,
    ],
    "no arguments": [QUESTION, asks(call("aB0000001", "{}")), IN_OSLO, THANKS],
    "an empty result": [QUESTION, asks(OSLO), result("aB0000001", ""), assistant("None."), THANKS],
    "empty beside a call": [QUESTION, asks(OSLO, text=""), IN_OSLO, assistant("Cold."), THANKS],
}
SEVERAL: dict[str, list[Message]] = {
    "calls in order": [QUESTION, asks(OSLO, ROME), IN_OSLO, IN_ROME, assistant("So."), THANKS],
    "an open round of two": [QUESTION, asks(OSLO, ROME), IN_OSLO, IN_ROME],
    "text beside": [QUESTION, asks(OSLO, text="I will look."), IN_OSLO, assistant("Ok."), THANKS],
}


@pytest.mark.parametrize(
    ("template", "messages"),
    [
        pytest.param(template, messages, id=f"{template}-{what}")
        for template, sound in (("llama3_1", SOUND), ("qwen3", {**SOUND, **SEVERAL}))
        for what, messages in sound.items()
    ],
)
def test_a_sound_tool_conversation_goes_on_as_the_very_same_object(
    ask: Ask, template: str, messages: list[Message]
) -> None:
    """Its texts are read in order, and nothing in a role that the template only prints."""
    judge = ask(template)
    assert judge.repaired(messages) is messages
    assert list(misread(judge, messages, tools=False)) == []
    prompt = judge.render(messages)
    at = 0
    for text in _texts(messages):
        at = prompt.index(text, at)


def _texts(messages: Sequence[Message]) -> list[str]:
    """Return what is said in a conversation, in order."""
    texts: list[str] = []
    for message in messages:
        content = message["content"] or ""
        texts += [content] if isinstance(content, str) else [part["text"] for part in content]
        texts += [each["function"]["name"] for each in message.get("tool_calls", ())]
    return texts
