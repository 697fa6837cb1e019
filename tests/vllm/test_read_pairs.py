"""A real vLLM shows each result of a round as that of its own call, once the round is repaired.

The prompts are vLLM's own, of `/tokenize` and `/detokenize`, and the profile is learnt from the
server that is asked.
"""

from __future__ import annotations

import itertools
import re

import pytest

from litellm_role_guard.template.errors import TemplateRefused
from testing.conversations import Message, assistant, result, user
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
from testing.rightness import mispaired

MISORDERED = [QUESTION, asks(OSLO, ROME), IN_ROME, IN_OSLO, assistant("It varies."), THANKS]


def test_qwen_is_no_longer_told_that_oslo_has_the_weather_of_rome(ask: Ask) -> None:
    """It shows no ids, so that results in another order than their calls are swapped."""
    qwen = ask("qwen3")
    assert list(mispaired(qwen, MISORDERED, tools=False)) == [1]
    assert stands_in_order(qwen.render(MISORDERED), "Oslo", "Rome", "25 degrees", "12 degrees")
    assert stands_in_order(qwen.after(MISORDERED), "Oslo", "Rome", "12 degrees", "25 degrees")
    assert list(mispaired(qwen, qwen.repaired(MISORDERED), tools=False)) == []


def test_llama_which_takes_one_call_at_a_time_reads_each_result_behind_its_own_call(
    ask: Ask,
) -> None:
    """As it comes, the round is refused."""
    llama = ask("llama3_1")
    with pytest.raises(TemplateRefused, match="single tool-calls"):
        llama.render(MISORDERED)
    prompt = llama.after(MISORDERED)
    assert stands_in_order(prompt, "Oslo", "12 degrees", "Rome", "25 degrees")
    assert prompt.count(NATIVE["llama3_1"]) == 2


def test_gemma_3_which_knows_no_tools_reads_whose_result_it_is_in_words(ask: Ask) -> None:
    """Two calls of one tool are told apart by a number. As it comes, the round is refused."""
    gemma = ask("gemma3")
    with pytest.raises(TemplateRefused, match="must alternate"):
        gemma.render(MISORDERED)
    prompt = gemma.after(MISORDERED)
    assert '[Tool call: weather #1]\n{"city": "Oslo"}' in prompt
    assert '[Tool call: weather #2]\n{"city": "Rome"}' in prompt
    assert "[Tool result: weather #1]\n12 degrees" in prompt
    assert "[Tool result: weather #2]\n25 degrees" in prompt


@pytest.mark.parametrize("template", ["gemma3", "llama3_1", "qwen3"])
def test_no_result_stands_with_another_call_in_any_of_several_rounds(
    ask: Ask, template: str
) -> None:
    """Two rounds with the same ids, each out of order, and one whose last call has no result."""
    judge = ask(template)
    first = [QUESTION, asks(OSLO, ROME), IN_ROME, IN_OSLO]
    second = [result("aB0000002", "9 degrees"), result("aB0000001", "3 degrees")]
    bern = call("aB0000003", '{"city": "Bern"}')
    third = [result("aB0000002", "7 degrees"), result("aB0000001", "5 degrees")]
    messages = [*first, asks(OSLO, ROME), *second, asks(OSLO, ROME, bern), *third, THANKS]
    sent = judge.repaired(messages)
    assert list(mispaired(judge, sent, tools=False)) == []
    prompt = judge.render(sent)
    if "[Tool result: weather #" in prompt:
        return  # in words, labels tell whose result it is
    for in_oslo, elsewhere in (("12", "25"), ("3", "9"), ("5", "7")):
        oslo, other = (
            re.search(rf"\b{degrees} degrees", prompt) for degrees in (in_oslo, elsewhere)
        )
        assert oslo is not None
        assert other is not None
        assert oslo.start() < other.start()


# Rounds that clients disturb: how a model would pair what it reads there.

TURN = r"(?P<turn><\|im_start\|>assistant|<\|start_header_id\|>assistant|<start_of_turn>model)"
CALL = r'(?:\[Tool call: (?P<call>[^\]]+)\]\n)?\{"city": "(?P<city>\w+)"\}'
RESULT = r'(?:\[Tool result: (?P<result>[^\]]+)\]\n)?"?(?P<degrees>\d+) degrees'
OF_A_ROUND = re.compile(f"{TURN}|{CALL}|{RESULT}")


def pairs_read(prompt: str) -> dict[str, str | None]:
    """Return whose each number of degrees is in a prompt; None for nobody's.

    A labelled result is that of the last call with this label. Any other is that of the first call
    in the last turn with calls that has no result yet.
    """
    labelled: dict[str, str] = {}
    waiting: list[str] = []
    pairs: dict[str, str | None] = {}
    is_new_turn = True
    for found in OF_A_ROUND.finditer(prompt):
        if found["turn"]:
            is_new_turn = True
        elif found["degrees"]:
            first = waiting[0] if waiting else None
            pairs[found["degrees"]] = labelled.get(found["result"]) if found["result"] else first
            waiting = waiting if found["result"] else waiting[1:]
        elif found["call"]:
            labelled[found["call"]] = found["city"]
        else:
            waiting = [*([] if is_new_turn else waiting), found["city"]]
            is_new_turn = False
    return pairs


TWICE = call("aB0000001", '{"city": "Rome"}')
BOTH = {"12": "Oslo", "25": "Rome"}
DISTURBED: dict[str, tuple[list[Message], dict[str, str]]] = {
    "out of order": (MISORDERED, BOTH),
    "first missing": ([QUESTION, asks(OSLO, ROME), IN_ROME, THANKS], {"25": "Rome"}),
    "user between": (
        [QUESTION, asks(OSLO, ROME), IN_ROME, user("Hurry!"), IN_OSLO, THANKS],
        BOTH,
    ),
    "one id twice": (
        [QUESTION, asks(OSLO, TWICE), IN_OSLO, {**IN_ROME, "tool_call_id": "aB0000001"}, THANKS],
        BOTH,
    ),
    "other calls in between": (
        [QUESTION, asks(OSLO), user("Hurry!"), asks(ROME), IN_ROME, IN_OSLO, THANKS],
        BOTH,
    ),
    "calls in two messages": ([QUESTION, asks(OSLO), asks(ROME), IN_ROME, IN_OSLO, THANKS], BOTH),
}


ALIKE_IN_WORDS = pytest.mark.xfail(
    strict=True,
    raises=AssertionError,
    reason="named exemption 2026-11-26: labels of calls in two messages have no numbers",
)


@pytest.mark.parametrize(
    ("template", "what"),
    [
        *itertools.product(["llama3_1", "qwen3"], DISTURBED),
        *(("gemma3", what) for what in DISTURBED if what != "other calls in between"),
        pytest.param("gemma3", "other calls in between", marks=[ALIKE_IN_WORDS]),
    ],
)
def test_no_result_is_read_as_that_of_another_call(ask: Ask, template: str, what: str) -> None:
    """Whatever stands between them, and whether or not all calls are answered."""
    messages, pairs = DISTURBED[what]
    assert pairs_read(ask(template).after(messages)) == pairs
