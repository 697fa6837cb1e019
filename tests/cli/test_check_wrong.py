"""`role-guard check` of what is taken and whole, and would still be read wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from litellm_role_guard import ChatTemplate, TemplateProfile
from litellm_role_guard.batch.conversation import FileConversation
from litellm_role_guard.batch.verdict import Checked, asking_template, check
from litellm_role_guard.cli.main import main
from litellm_role_guard.simulator import create_app
from testing.conversations import assistant, system, user
from testing.serving import serving

PRINTS_ALL = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</{{ m.role }}>{% endfor %}"
CALLS = "{% for c in m.tool_calls %}<call>{{ c.function | tojson }}</call>{% endfor %}"
PRINTS_CALLS = PRINTS_ALL.replace("</{{ m.role }}>", CALLS + "</{{ m.role }}>")
KNOWS_TOOLS = (
    "{% for m in messages %}{% if m.role == 'tool' %}<result>{{ m.content }}</result>{% else %}"
    "<{{ m.role }}>{{ m.content }}" + CALLS + "</{{ m.role }}>{% endif %}{% endfor %}"
)
SHOWS_IDS = KNOWS_TOOLS.replace("<result>", "<result {{ m.tool_call_id }}>").replace(
    "<call>", "<call {{ c.id }}>"
)
LIST_AS_IT_IS = (
    "{% for m in messages %}{% if m.role == 'system' %}<system>{{ m.content }}</system>"
    "{% else %}<{{ m.role }}>{% if m.content is string %}{{ m.content }}{% else %}"
    "{% for p in m.content %}{{ p.text }}{% endfor %}{% endif %}{% endif %}{% endfor %}"
)
SHOWS_IMAGES = (
    "{% for m in messages %}<{{ m.role }}>{% for p in m.content %}"
    "{{ p.text if p.type == 'text' else '<image>' }}{% endfor %}{% endfor %}"
)
SHOWS_NO_IMAGES = SHOWS_IMAGES.replace("<image>", "")
IMAGES_IN_WORDS = SHOWS_IMAGES.replace("'<image>'", "p")
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
QUESTION = {"type": "text", "text": "what is it?"}
PICTURE = {"role": "user", "content": [QUESTION, IMAGE]}


def calling(*names: str) -> dict[str, Any]:
    """Return an assistant message that calls tools, with the ids c0, c1 and so on."""
    return {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {
                "id": f"c{at}",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps({"city": f"city {at}"})},
            }
            for at, name in enumerate(names)
        ],
    }


def result(of: int, text: str, **fields: Any) -> dict[str, Any]:
    """Return the result of one of these calls."""
    return {"role": "tool", "tool_call_id": f"c{of}", "content": text, **fields}


ROUND = [user("weather?"), calling("weather"), result(0, "sunny")]
SWAPPED = [
    user("weather?"),
    calling("weather", "weather"),
    result(1, "25 degrees"),
    result(0, "12 degrees"),
]


async def checked(text: str, *messages: Any, **fields: Any) -> Checked:
    """Check a conversation against a template."""
    template = ChatTemplate(text)
    profile = TemplateProfile.learn(template)
    return await check(FileConversation(messages, **fields), asking_template(template), profile)


def seen(checked: Checked) -> list[tuple[int, str]]:
    """Return what is read wrong before the repair, after which all has to be fine."""
    assert checked.repaired.outcome == "fine"
    return [(each.message, each.kind) for each in checked.verdict.wrong]


async def test_a_turn_of_a_role_that_is_only_printed_is_wrong() -> None:
    """It is whole, and a role that nobody knows would be printed alike; the repair labels it."""
    wrong = await checked(PRINTS_CALLS, *ROUND)
    assert wrong.verdict.outcome == "wrong"
    assert seen(wrong) == [(2, "role")]
    assert wrong.verdict.wrong[0].why == "as a turn of role tool that the template does not know"
    assert (await checked(KNOWS_TOOLS, *ROUND)).verdict.outcome == "fine"


async def test_a_system_role_is_known_where_it_opens_a_turn_at_the_front() -> None:
    """Alike with tools and behind a word that names it."""
    late = [user("hi"), assistant("the system"), system("be brief"), user("well?")]
    assert seen(await checked(PRINTS_ALL, *late)) == []
    assert seen(await checked(PRINTS_ALL, *late, assistant("Well"), prefill=True)) == []
    inline = "{% for m in messages %}{% if loop.first and m.role == 'system' %}{{ m.content }}"
    unknown = inline + "{% else %}<{{ m.role }}>{{ m.content }}{% endif %}{% endfor %}"
    assert seen(await checked(unknown, *late)) == [(2, "role")]


async def test_a_tool_turn_that_is_lost_is_not_wrong_as_well() -> None:
    """What is not there has no role."""
    deaf = KNOWS_TOOLS.replace("<result>{{ m.content }}</result>", "")
    lost = await checked(deaf, *ROUND)
    assert (lost.verdict.outcome, lost.verdict.wrong) == ("lost", ())


async def test_results_that_pass_for_those_of_other_calls_are_wrong() -> None:
    """In a prompt without ids the first result is the first call's; each one is named."""
    assert seen(await checked(KNOWS_TOOLS, *SWAPPED)) == [(2, "order"), (3, "order")]
    in_order = [*SWAPPED[:2], SWAPPED[3], SWAPPED[2]]
    assert seen(await checked(KNOWS_TOOLS, *in_order)) == []
    assert seen(await checked(SHOWS_IDS, *SWAPPED)) == []
    alike = [*SWAPPED[:2], result(1, "done"), result(0, "done")]
    assert seen(await checked(KNOWS_TOOLS, *alike)) == []


async def test_results_without_ids_are_nobodys() -> None:
    """Nothing says whose they are, and so nothing is exchanged."""
    calls = [{"function": call["function"]} for call in calling("a", "b")["tool_calls"]]
    nameless = [{"role": "tool", "content": text} for text in ("one", "two")]
    chat = [user("hi"), {**assistant(""), "tool_calls": calls}, *nameless]
    assert (await checked(KNOWS_TOOLS, *chat)).verdict.wrong == ()


async def test_ids_pair_nothing_where_one_side_alone_shows_them() -> None:
    """A result's id means nothing if no call has it, nor a call's if no result does."""
    no_call = SHOWS_IDS.replace("<call {{ c.id }}>", "<call>")
    no_result = SHOWS_IDS.replace("<result {{ m.tool_call_id }}>", "<result>")
    for text in (no_call, no_result):
        assert (await checked(text, *SWAPPED)).verdict.outcome == "wrong"


async def test_a_results_name_pairs_it_with_the_call_of_this_tool() -> None:
    """But not with one of two calls of the same tool."""
    named = KNOWS_TOOLS.replace("<result>", "<result {{ m.name }}>")
    for other, outcome in (("time", "fine"), ("weather", "wrong")):
        chat = [
            user("well?"),
            calling("weather", other),
            result(1, "at noon", name=other),
            result(0, "sunny", name="weather"),
        ]
        assert (await checked(named, *chat)).verdict.outcome == outcome


async def test_text_that_is_shown_as_source_code_is_wrong() -> None:
    """Even a text of one word, and text that is printed in full; but not a tool's result."""
    for text in ("Line one.\nLine two.", "brief"):
        parts = {"role": "system", "content": [{"type": "text", "text": text}]}
        wrong = await checked(LIST_AS_IT_IS, parts, user("hi"))
        assert seen(wrong) == [(0, "source_code")]
    assert seen(await checked(PRINTS_ALL, system('a\n"b"'), user("it's\n'\\n'"))) == []
    as_json = KNOWS_TOOLS.replace("<result>{{ m.content }}", "<result>{{ m.content | tojson }}")
    assert seen(await checked(as_json, *ROUND[:2], result(0, 'two\n"lines"'))) == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (SHOWS_NO_IMAGES, "its image leaves no trace in the prompt"),
        (IMAGES_IN_WORDS, "its image is printed as words"),
        (SHOWS_IMAGES, None),
    ],
)
async def test_a_picture_without_a_place_is_wrong(text: str, why: str | None) -> None:
    """The prompt is the same without it, or has words in its place."""
    verdict = (await checked(text, PICTURE)).verdict
    assert [each.why for each in verdict.wrong] == ([why] if why else [])
    assert verdict.outcome == ("wrong" if why else "fine")


async def test_words_about_a_part_are_no_part_in_words() -> None:
    """A user may well ask about {'type': 'image'}."""
    asked = {**PICTURE, "content": [{"type": "text", "text": "{'type': 'image'}?"}, IMAGE]}
    assert (await checked(SHOWS_IMAGES, asked)).verdict.outcome == "fine"


def command(*options: str, code: int) -> str:
    """Return what `role-guard check` prints, having checked its exit code."""
    outcome = CliRunner().invoke(
        main, ["check", *options], env={"COLUMNS": "200"}, catch_exceptions=False
    )
    assert outcome.exit_code == code, outcome.output
    return re.sub(" +", " ", outcome.output)


def test_check_names_what_is_read_wrong_and_counts_it(tmp_path: Path) -> None:
    """In the message's row; and the exit code is 1, though the repair makes it fine."""
    template, chat = tmp_path / "t.jinja", tmp_path / "chat.json"
    template.write_text(PRINTS_CALLS)
    chat.write_text(json.dumps(ROUND))
    output = command(str(chat), "--template", str(template), code=1)
    assert output.startswith(f"{chat}: wrong: taken whole, but some of it is read as something")
    words = "read, but as a turn of role tool that the template does not know"
    assert re.search(rf"^ ?2 tool sunny {words} tools ?$", output, re.M)
    assert output.endswith("and then: fine: taken, and read whole\n")
    chats = tmp_path / "chats.jsonl"
    chats.write_text(f"{json.dumps(ROUND)}\n{json.dumps(ROUND[:1])}\n")
    output = command(str(chats), "--template", str(template), code=1)
    assert output.endswith("2 conversations: 1 fine, 0 lost, 1 wrong, 0 refused\n")


def test_what_stays_wrong_is_named_behind_the_repair(tmp_path: Path) -> None:
    """With its position in what would be sent."""
    template, chat = tmp_path / "t.jinja", tmp_path / "chat.json"
    template.write_text(SHOWS_NO_IMAGES)
    chat.write_text(json.dumps([user("hi"), PICTURE]))
    output = command(str(chat), "--template", str(template), code=1)
    assert "its image leaves no trace in the prompt" in output
    printed = command(str(chat), "--template", str(template), "--json", code=1)
    found = json.loads(printed)
    assert found["outcome"] == "wrong"
    expected = {"message": 1, "kind": "media", "why": "its image leaves no trace in the prompt"}
    assert found["wrong"] == [expected]
    assert found["repair"]["outcome"] == "wrong"


def test_a_part_of_an_odd_type_prints_nothing_odd(tmp_path: Path) -> None:
    """Its name could move the cursor, or worse."""
    template, chat = tmp_path / "t.jinja", tmp_path / "chat.json"
    template.write_text(SHOWS_NO_IMAGES)
    odd = {"role": "user", "content": [QUESTION, {"type": "a\x1b[2J"}]}
    chat.write_text(json.dumps([odd]))
    output = command(str(chat), "--template", str(template), code=1)
    assert "its a [2J leaves no trace" in output


def test_a_backend_is_judged_as_its_template_is(tmp_path: Path) -> None:
    """With the very same output, asked live."""
    template, chats = tmp_path / "t.jinja", tmp_path / "chats.jsonl"
    template.write_text(KNOWS_TOOLS.replace("'tool'", "'tool' and m.content != 'sunny'"))
    chats.write_text(f"{json.dumps(ROUND)}\n{json.dumps(SWAPPED)}\n")
    with serving(create_app(ChatTemplate.from_path(template), model="m")) as url:
        live = command(str(chats), "--backend", f"{url}/v1", "--json", code=1)
    assert live == command(str(chats), "--template", str(template), "--json", code=1)
    first, second = map(json.loads, live.splitlines())
    assert [each["kind"] for each in first["wrong"]] == ["role"]
    assert [each["kind"] for each in second["wrong"]] == ["order", "order"]
