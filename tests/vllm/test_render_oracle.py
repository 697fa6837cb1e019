"""What chat itself reads, as `vllm launch render` tells it: of templates, and of Harmony.

`/v1/chat/completions/render` makes the prompt that chat would send to the model, and `/detokenize`
gives its text. The conversations are those of the parity test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from litellm_role_guard import ChatTemplate, TemplateRefused, repair
from litellm_role_guard.backend.server import RENDER
from litellm_role_guard.messages.validation import find_validation_error
from litellm_role_guard.probing.live import learn_from_backend
from litellm_role_guard.simulator import create_app
from testing.asked_backend import at
from testing.bodies import DETOKENIZE, TOKENIZE
from testing.cases import CASES
from testing.conversations import Case, Message, assistant, parts, result
from testing.further_cases import FURTHER
from testing.harmony import Turn, misplaced, turns
from testing.judged_by_vllm import (
    IN_OSLO,
    IN_ROME,
    OSLO,
    QUESTION,
    ROME,
    THANKS,
    Judge,
    asks,
    call,
    from_file,
)
from testing.marks import Marked, marked
from testing.real_templates import REAL, name
from testing.rightness import is_source_code, mispaired, misread
from testing.serving import serving
from testing.vllm import MAX_MODEL_LEN, MODEL, SPECIAL_TOKENS
from testing.vllm_render import GPT_OSS

ALL = CASES + FURTHER
# The guard itself answers the others with a 400 that names the message.
WHOLESOME = [case for case in ALL if find_validation_error(case.messages) is None]

PATHS = {
    template: path
    for template in ("gemma3", "llama3_1", "qwen3")
    for path in REAL
    if name(path) == f"trl-{template}"
}
TEXTS = {template: path.read_text(encoding="utf-8") for template, path in PATHS.items()}

every_template = pytest.mark.parametrize("template", ["gemma3", "llama3_1", "qwen3"])
every_case = pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
every_wholesome_case = pytest.mark.parametrize("case", WHOLESOME, ids=lambda case: case.name)


def exempt(reason: str) -> pytest.MarkDecorator:
    """Give the mark of a promise that the guard does not keep yet."""
    why = f"named exemption 2026-11-26: {reason}"
    return pytest.mark.xfail(strict=True, raises=AssertionError, reason=why)


def with_and_without(case: Case) -> list[Sequence[Any] | None]:
    """Give no tools, and those of a case that has some."""
    return [None, case.tools] if case.tools else [None]


# Templates.


class Pair:
    """The oracle and a simulator.

    Args:
        urls: Their addresses.
        client: Connections to both.
    """

    def __init__(self, urls: Sequence[str], client: httpx.Client) -> None:
        self._urls = urls
        self._client = client

    def said(self, body: dict[str, Any]) -> list[str]:
        """Give the prompt, or the refusal, of each."""
        return [self._said(url, body) for url in self._urls]

    def _said(self, url: str, body: dict[str, Any]) -> str:
        reply = self._client.post(url + RENDER, json=body)
        if reply.status_code != 200:
            return f"{reply.status_code}: {reply.json()['error']['message']}"
        tokens = {"model": MODEL, "tokens": reply.json()["token_ids"]}
        prompt: str = self._client.post(url + DETOKENIZE, json=tokens).json()["prompt"]
        return prompt


@pytest.fixture(scope="module")
def pair(oracle_url: str, gemma_3: Path) -> Iterator[Pair]:
    """Both, which render with the template that a request brings."""
    own = ChatTemplate(gemma_3.read_text(), special_tokens=SPECIAL_TOKENS)
    app = create_app(
        own,
        model=MODEL,
        max_model_len=MAX_MODEL_LEN,
        trust_request_chat_template=True,
        enable_scale_out=True,
    )
    # vLLM closes the connection after a 500, so none is kept.
    limits = httpx.Limits(max_keepalive_connections=0)
    with serving(app) as simulated, httpx.Client(limits=limits, timeout=120) as client:
        yield Pair([oracle_url, simulated], client)


@pytest.fixture(scope="module")
def judge(oracle_url: str) -> Callable[[str], Judge]:
    """How the oracle reads a template, by the template's name; learnt from it once."""

    @cache
    def asked(template: str) -> Judge:
        return Judge(at(oracle_url, model=MODEL, fields={"chat_template": TEXTS[template]}))

    return asked


def test_the_conversations_are_as_many_as_were_asked_for() -> None:
    """Forty and more, and so are those that the guard sends on."""
    assert len(ALL) >= len(WHOLESOME) > 40


@every_template
@every_case
def test_chat_reads_what_the_simulator_renders(pair: Pair, template: str, case: Case) -> None:
    """The very same prompt, or a refusal in the same words, with tools and without."""
    for tools in with_and_without(case):
        body = {"model": MODEL, "messages": case.messages, "chat_template": TEXTS[template]}
        if tools:
            body |= {"tools": tools, "tool_choice": "none"}
        real, simulated = pair.said(body)
        assert simulated == real


@every_template
async def test_what_chat_reads_teaches_the_profile_of_the_file(
    oracle_url: str, template: str
) -> None:
    """All conversations are asked of chat's own endpoint, and none of `/tokenize`."""
    asked: list[httpx.Request] = []

    async def note(request: httpx.Request) -> None:
        asked.append(request)

    fields = {"chat_template": TEXTS[template]}
    async with httpx.AsyncClient(timeout=120, event_hooks={"request": [note]}) as client:
        learnt = await learn_from_backend(at(oracle_url, client, model=MODEL, fields=fields))
    assert learnt == from_file(PATHS[template])
    tokenized = [request for request in asked if request.url.path == TOKENIZE]
    assert not [request for request in tokenized if b'"messages"' in request.content]


@every_template
@every_wholesome_case
def test_chat_takes_every_repaired_conversation_whole_and_right(
    judge: Callable[[str], Judge], template: str, case: Case
) -> None:
    """Every text is in the prompt, in its order, in a role that is known, with its own call."""
    oracle, talk = judge(template), marked(case)
    for tools in with_and_without(case):
        sent = repair(talk.messages, oracle.profile, tools=tools).messages
        prompt = oracle.render(sent, tools=tools)
        assert talk.unread(prompt) == [], prompt
        assert list(misread(oracle, sent, tools=tools is not None)) == [], prompt
        assert list(mispaired(oracle, sent, tools=tools is not None)) == [], prompt
        assert not is_source_code(prompt)


# Harmony.


@pytest.fixture(scope="module")
def harmony(harmony_url: str) -> Judge:
    """How chat reads gpt-oss; learnt from it once."""
    return Judge(at(harmony_url, model=GPT_OSS))


# What vLLM 0.32 does in Harmony and the guard does not know of yet.
NAMELESS = "a result of no call is said by `functions.`, a tool without a name"
STRAY = (
    "17-tool-after-user",
    "tool-parts",
    "tool-first",
    "tool-without-id",
    "result-of-another-call",
    "results-only",
)
CHANGED = "arguments cut short are shown as they are, and need no words"
# A refusal is a field that no mark is put into.
MARKED = [case for case in WHOLESOME if case.name != "refusal"]


def known_faults(cases: Sequence[Case], faulty: Sequence[str], reason: str) -> list[Any]:
    """Give the cases as parameters, with the exemption on those that are named."""
    return [
        pytest.param(case, marks=[exempt(reason)] if case.name in faulty else [], id=case.name)
        for case in cases
    ]


def test_what_chat_reads_of_gpt_oss_is_learnt_and_not_what_tokenize_says(
    harmony_url: str, harmony: Judge
) -> None:
    """This one has no chat template at all, so that `/tokenize` refuses a lone user message."""
    body = {"model": GPT_OSS, "messages": [QUESTION]}
    assert httpx.post(harmony_url + TOKENIZE, json=body, timeout=120).status_code == 400
    rules = harmony.profile.rules(tools=False)
    assert rules.may_follow("user", "user")
    assert not rules.may_follow("user", "function")
    assert rules.result_pairing == "not_read"


def test_harmony_refuses_a_role_that_nobody_knows(harmony: Judge) -> None:
    """So a role that it takes is one that it knows, and nothing taken is printed like `qqq`."""
    with pytest.raises(TemplateRefused, match="Input should be 'user', 'assistant'"):
        harmony.render([QUESTION, {"role": "qqq", "content": "Mind the gap."}, THANKS])


@every_wholesome_case
def test_harmony_takes_every_repaired_conversation_whole(harmony: Judge, case: Case) -> None:
    """Every text is in the prompt, in its order, with tools and without."""
    talk = marked(case)
    for tools in with_and_without(case):
        sent = repair(talk.messages, harmony.profile, tools=tools).messages
        prompt = harmony.render(sent, tools=tools)
        assert talk.unread(prompt) == [], prompt


@pytest.mark.parametrize("case", known_faults(WHOLESOME, STRAY, NAMELESS))
def test_every_text_is_said_in_harmony_by_whom_it_is(harmony: Judge, case: Case) -> None:
    """It stands in one turn: of its role, of the tool that is called, of the tool that answers."""
    talk = marked(case)
    for tools in with_and_without(case):
        sent = repair(talk.messages, harmony.profile, tools=tools).messages
        prompt = harmony.render(sent, tools=tools)
        assert misplaced(prompt, sent) == [], prompt
        assert list(mispaired(harmony, sent, tools=tools is not None)) == [], prompt


@pytest.mark.parametrize("case", known_faults(MARKED, ["call-with-bad-arguments"], CHANGED))
def test_what_harmony_reads_whole_and_right_is_sent_as_it_is(harmony: Judge, case: Case) -> None:
    """The very same object."""
    talk = marked(case)
    sent = repair(talk.messages, harmony.profile).messages
    assert sent is talk.messages or not is_read_right(harmony, talk)


def is_read_right(harmony: Judge, talk: Marked) -> bool:
    """Tell whether it is taken as it comes, whole, each text said by whom it is."""
    try:
        prompt = harmony.render(talk.messages)
    except TemplateRefused:
        return False
    faults = [*talk.unread(prompt), *misplaced(prompt, talk.messages)]
    return not faults and list(mispaired(harmony, talk.messages, tools=False)) == []


def answers(prompt: str) -> list[Turn]:
    """Give the turns in which tools answer."""
    return [turn for turn in turns(prompt) if turn.author.startswith("functions.")]


def test_results_that_are_out_of_order_are_put_in_order_for_harmony(harmony: Judge) -> None:
    """It shows no ids, so that Oslo would have the weather of Rome."""
    messages = [QUESTION, asks(OSLO, ROME), IN_ROME, IN_OSLO, assistant("It varies."), THANKS]
    tool = "functions.weather"
    in_oslo, in_rome = Turn(tool, "12 degrees"), Turn(tool, "25 degrees")
    assert list(mispaired(harmony, messages, tools=False)) == [1]
    assert answers(harmony.render(messages)) == [in_rome, in_oslo]
    sent = harmony.repaired(messages)
    assert list(mispaired(harmony, sent, tools=False)) == []
    assert answers(harmony.render(sent)) == [in_oslo, in_rome]


def test_several_rounds_out_of_order_are_each_put_in_order_for_harmony(harmony: Judge) -> None:
    """The same ids come again, and one call has no result."""
    bern = call("aB0000003", '{"city": "Bern"}')
    second = [result("aB0000002", "9 degrees"), result("aB0000001", "3 degrees")]
    third = [result("aB0000003", "7 degrees"), result("aB0000001", "5 degrees")]
    messages = [QUESTION, asks(OSLO, ROME), IN_ROME, IN_OSLO, asks(OSLO, ROME), *second]
    messages += [asks(OSLO, bern), *third, THANKS]
    degrees = [turn.text.split()[0] for turn in answers(harmony.after(messages))]
    assert degrees == ["12", "25", "3", "9", "5", "7"]


def test_results_of_calls_in_two_messages_are_put_in_order_for_harmony(harmony: Judge) -> None:
    """Harmony shows the calls as it shows those of one message."""
    messages = [QUESTION, asks(OSLO), asks(ROME), IN_ROME, IN_OSLO, THANKS]
    said = [turn.text for turn in answers(harmony.after(messages))]
    assert said != ["25 degrees", "12 degrees"]


def test_the_text_of_a_role_that_harmony_refuses_is_said_by_the_user(harmony: Judge) -> None:
    """Behind a label that says whose it is."""
    messages: list[Message] = [QUESTION, {"role": "function", "name": "f", "content": "7"}, THANKS]
    with pytest.raises(TemplateRefused):
        harmony.render(messages)
    assert Turn("user", "[Function result: f]\n7") in turns(harmony.after(messages))


@exempt("an assistant message is dropped in Harmony where its first text part is empty")
def test_an_assistant_message_whose_first_part_is_empty_is_read_in_harmony(
    harmony: Judge,
) -> None:
    """The parts behind the empty one are in the prompt."""
    messages = [QUESTION, parts("assistant", "", "It is cold."), THANKS]
    assert Turn("assistant", "It is cold.") in turns(harmony.after(messages))


CLOCK = call(OSLO["id"], '{"zone": "CET"}', "clock")
NOON = result(OSLO["id"], "noon")


@exempt("vLLM gives every result of an id to the tool that was called with it last")
@pytest.mark.parametrize(
    "round_trip",
    [
        pytest.param([asks(OSLO), IN_OSLO, assistant("Cold."), asks(CLOCK), NOON], id="later"),
        pytest.param([asks(OSLO, CLOCK), IN_OSLO, NOON], id="at-once"),
    ],
)
def test_a_tool_answers_its_own_call_in_harmony_though_an_id_comes_twice(
    harmony: Judge, round_trip: list[Message]
) -> None:
    """The weather is told by the tool for the weather, and not by the clock."""
    prompt = harmony.after([QUESTION, *round_trip, THANKS])
    (told,) = (turn for turn in turns(prompt) if "12 degrees" in turn.text)
    assert told.author != "functions.clock"
