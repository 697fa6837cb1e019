"""The command line."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import httpx
import pytest
from click.testing import CliRunner
from fastapi import FastAPI

from litellm_role_guard import ChatTemplate, TemplateProfile, TemplateRefused
from litellm_role_guard.cli.main import main
from litellm_role_guard.simulator import create_app
from tests.serving import serving

REPOSITORY = Path(__file__).parent.parent
CHAT = "/chat/completions"
STRICT = REPOSITORY / "litellm_role_guard" / "simulator" / "strict.jinja"
TEMPLATES = REPOSITORY / "tests" / "templates"


@contextmanager
def simulate(*options: str) -> Iterator[tuple[str, str]]:
    """Run `role-guard simulate`; give the line that it prints, and the API's address in it."""
    command = "from litellm_role_guard.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", command, "simulate", "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline().strip()
        yield line, line.rpartition(" ")[2]
    finally:
        process.send_signal(signal.SIGTERM)
        left = process.stdout.read()
        process.wait(timeout=20)
        process.stdout.close()
    assert left == ""


def test_simulate_without_a_template_is_strict() -> None:
    """The template that ships with the package wants user and assistant to take turns."""
    with simulate() as (line, url):
        assert line.startswith("simulated at http://127.0.0.1:")
        one = {"role": "user", "content": "hello"}
        taken = httpx.post(url + CHAT, json={"messages": [one]})
        refused = httpx.post(url + CHAT, json={"messages": [one, one]})
    assert (taken.status_code, refused.status_code) == (200, 400)
    words = "Conversation roles must alternate user/assistant/user/assistant/..."
    assert refused.json()["error"]["message"] == words


def test_simulate_renders_the_given_template(tmp_path: Path) -> None:
    """The options name the template, the model and its context length."""
    template = tmp_path / "echo.jinja"
    template.write_text("<{{ messages[-1].content }}>")
    options = ("--chat-template", str(template), "--model", "echo", "--max-model-len", "64")
    with simulate(*options) as (_, url):
        (card,) = httpx.get(url + "/models").json()["data"]
        body = {"messages": [{"role": "user", "content": "hey"}], "return_prompt_text": True}
        reply = httpx.post(url + CHAT, json=body)
    assert (card["id"], card["max_model_len"]) == ("echo", 64)
    assert reply.json()["prompt_text"] == "<hey>"


def test_a_missing_template_is_one_line(tmp_path: Path) -> None:
    """A template that is not there is named in one line, with exit code 2."""
    path = tmp_path / "missing.jinja"
    outcome = CliRunner().invoke(main, ["simulate", "--chat-template", str(path)])
    assert outcome.exit_code == 2
    assert outcome.output == f"Error: chat template {path}: No such file or directory\n"


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("broken.jinja", "{% if %}", "line 1: "),
        ("tokenizer_config.json", '{"bos_token": "<s>"}', "no chat_template in it"),
        ("tokenizer_config.json", "{", "not JSON: "),
    ],
)
def test_a_broken_template_is_one_line(tmp_path: Path, name: str, text: str, words: str) -> None:
    """A file without a template that compiles is named with the reason, with exit code 2."""
    path = tmp_path / name
    path.write_text(text)
    outcome = CliRunner().invoke(main, ["simulate", "--chat-template", str(path)])
    assert outcome.exit_code == 2
    assert outcome.output.startswith(f"Error: chat template {path}: {words}")
    assert outcome.output.count("\n") == 1


def test_a_taken_port_is_one_line() -> None:
    """A port that another process listens on is named in one line, with exit code 2."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        outcome = CliRunner().invoke(main, ["simulate", "--port", str(port)])
    assert outcome.exit_code == 2
    words = f"Error: cannot listen on 127.0.0.1:{port}: Address already in use"
    assert outcome.output.startswith(words)
    assert outcome.output.count("\n") == 1


def test_without_the_proxy_extra_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where FastAPI is not installed, the line tells how to install it; exit code 2."""
    for name in [name for name in sys.modules if name.startswith("litellm_role_guard.simulator")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    outcome = CliRunner().invoke(main, ["simulate"])
    assert outcome.exit_code == 2
    words = "Error: simulate needs fastapi: pip install 'litellm-role-guard[proxy]'"
    assert outcome.output == words + "\n"


def show(*options: str) -> str:
    """Give what `role-guard profile` prints, on one line where a cell is."""
    outcome = CliRunner().invoke(main, ["profile", *options], env={"COLUMNS": "200"})
    assert outcome.exit_code == 0, outcome.output
    return re.sub(" +", " ", outcome.output)


def test_profile_names_the_conversation_behind_each_answer() -> None:
    """Every answer stands beside the conversation that proved it, under the field it is for."""
    output = show("--template", str(STRICT))
    assert output.startswith(f"{STRICT}\n")
    assert re.search(r"^\d+ questions in \d+ ms\. Requests with tools get the same", output, re.M)
    for row in (
        "system system refused system, system, user",
        "start → system accepted system, user, assistant, user",
        "user → user refused user, user",
        "user → developer not_read user, developer, assistant, user, assistant, user",
        "leading_system not_read system",
        "developer yes user, developer, assistant, user",
        "user accepted user (2 parts), assistant, user",
        "user accepted user (empty), assistant, user",
    ):
        assert re.search(f"^ ?{re.escape(row)} ?$", output, re.M), row


def test_profile_shows_the_form_of_tool_turns() -> None:
    """Parallel calls, text beside a call and long ids are told apart from a plain call."""
    output = show("--template", str(TEMPLATES / "alternating.jinja"))
    assert "not_read user, call (with text), tool, assistant, user" in output
    assert "accepted user, 2 calls, tool, tool" in output
    assert "refused user, call (long id), tool" in output


def test_profile_marks_what_is_otherwise_with_tools(tmp_path: Path) -> None:
    """An answer that differs for requests with tools has a row of its own, the others none."""
    template = tmp_path / "armed.jinja"
    template.write_text(
        "{% if tools and messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}"
        "{% for m in messages %}{{ m.role }}{{ m.content }}{% endfor %}"
    )
    output = show("--template", str(template))
    assert re.search(
        r"^ ?system accepted system, user ?\n ?system refused system, user \(with tools\) ?$",
        output,
        re.M,
    )
    assert "user, user (with tools)" not in output


def test_profile_as_json_holds_the_profile_and_its_proofs() -> None:
    """The profile can be read back, and each answer's conversation can be asked again."""
    told = json.loads(show("--template", str(STRICT), "--json"))
    profile = TemplateProfile.model_validate(told["profile"])
    template = ChatTemplate.from_path(STRICT)
    assert profile == TemplateProfile.learn(template)
    asked = {(answer["field"], *answer["shape"]): answer for answer in told["answers"]}
    for state, row in profile.follows.items():
        for kind, answer in row.items():
            proof = asked.get(("follows", state, kind))
            assert answer == (proof["answer"] if proof else "refused")
    refused = asked["follows", "user", "user"]
    assert refused["conversation"] == "user, user"
    with pytest.raises(TemplateRefused):
        template.render(refused["messages"])
    assert told["questions"] >= len(told["answers"])
    assert told["milliseconds"] > 0


def test_profile_of_a_backend_is_that_of_its_template() -> None:
    """The one served model is found by itself; its name and address head the table."""
    with serving(create_app(ChatTemplate.from_path(STRICT), model="strict")) as url:
        output = show("--backend", f"{url}/v1")
        named = show("--backend", url, "--model", "strict", "--api-key", "sk-1")
    assert output.startswith(f"strict at {url}/v1\n")
    assert "user → user refused user, user" in output
    assert named.count("accepted") == output.count("accepted")


def refused(*options: str) -> str:
    """Give the one line with which `role-guard profile` ends with exit code 2."""
    outcome = CliRunner().invoke(main, ["profile", *options])
    assert outcome.exit_code == 2
    assert outcome.output.count("\n") == 1
    return outcome.output


def test_profile_of_nothing_that_is_there_is_one_line(tmp_path: Path) -> None:
    """A missing file, an unreachable backend and an unknown model are named, with exit code 2."""
    path = tmp_path / "missing.jinja"
    assert refused("--template", str(path)) == (
        f"Error: chat template {path}: No such file or directory\n"
    )
    assert refused("--backend", "http://127.0.0.1:1").startswith(
        "Error: http://127.0.0.1:1: cannot be reached: "
    )
    with serving(create_app(ChatTemplate.from_path(STRICT), model="strict")) as url:
        words = f"Error: {url}: no model 'other', only: strict\n"
        assert refused("--backend", url, "--model", "other") == words


def test_profile_of_several_models_wants_a_name() -> None:
    """Where more than one model is served, the line lists them."""
    app = FastAPI()

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"data": [{"id": "base"}, {"id": "tuned"}]}

    with serving(app) as url:
        assert refused("--backend", url) == f"Error: {url}: --model is needed: base, tuned\n"


@pytest.mark.parametrize("options", [[], ["--template", "a", "--backend", "b"]])
def test_profile_wants_either_a_template_or_a_backend(options: list[str]) -> None:
    """Neither and both are a wrong use, with exit code 2."""
    outcome = CliRunner().invoke(main, ["profile", *options])
    assert outcome.exit_code == 2
    assert "Error: give either --template or --backend\n" in outcome.output


def test_profile_without_rich_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where rich is not installed, the line tells what to do; JSON needs none."""
    monkeypatch.delitem(sys.modules, "litellm_role_guard.cli.profile_table", raising=False)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    line = refused("--template", str(STRICT))
    assert line == (
        "Error: the table needs rich.console: pip install 'litellm-role-guard[proxy]', "
        "or use --json\n"
    )
    assert json.loads(show("--template", str(STRICT), "--json"))["answers"]


RUN = [
    {"role": "user", "content": "hello"},
    {"role": "assistant", "content": "hi"},
    {"role": "user", "content": "are you there?"},
    {"role": "user", "content": "hello again"},
]
FINE = RUN[:3]


def check(*options: str, code: int, stdin: str | None = None) -> str:
    """Give what `role-guard check` prints, having checked its exit code."""
    outcome = CliRunner().invoke(
        main, ["check", *options], input=stdin, env={"COLUMNS": "200"}, catch_exceptions=False
    )
    assert outcome.exit_code == code, outcome.output
    return re.sub(" +", " ", outcome.output)


def written(path: Path, *conversations: Any) -> str:
    """Write conversations, each on a line; give the path."""
    path.write_text("".join(json.dumps(conversation) + "\n" for conversation in conversations))
    return str(path)


def test_check_tells_what_is_refused_and_how_it_is_repaired(tmp_path: Path) -> None:
    """The template's words, a row for each message, and what the repair makes of it."""
    path = written(tmp_path / "chat.json", RUN)
    output = check(path, "--template", str(STRICT), code=1)
    assert output.startswith(f"{path}: refused: Conversation roles must alternate")
    assert re.search(r"^ ?2 user are you there\? merged ?$", output, re.M)
    assert " merged #2, #3: two turns in a row that the template does not take\n" in output
    assert output.endswith("and then: fine: taken, and read whole\n")


def test_check_tells_which_message_is_lost(tmp_path: Path) -> None:
    """What the template takes without reading it; and what may stand anywhere is said to."""
    template = tmp_path / "deaf.jinja"
    template.write_text(
        "{% for m in messages if m.role != 'tool' %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    )
    result = {"role": "tool", "tool_call_id": "a", "content": "sunny"}
    chat = [{"role": "system", "content": "be brief"}, *FINE, result]
    output = check(written(tmp_path / "c.json", chat), "--template", str(template), code=1)
    assert ": lost: taken, but some of it is not read where it was said\n" in output
    assert re.search(r"^ ?0 system be brief read \(may stand anywhere\) ?$", output, re.M)
    assert re.search(r"^ ?4 tool sunny lost tools ?$", output, re.M)


def test_check_of_what_is_fine_is_no_fault(tmp_path: Path) -> None:
    """Exit code 0, and the repair has nothing to do."""
    path = written(tmp_path / "chat.json", FINE)
    output = check(path, "--template", str(STRICT), code=0)
    assert output.startswith(f"{path}: fine: taken, and read whole\n")
    assert output.endswith("The repair changes nothing.\n")


def test_check_shows_the_messages_before_and_after() -> None:
    """With --diff, each message on a line of its own; - is the standard input."""
    options = ("-", "--template", str(STRICT), "--diff")
    output = check(*options, code=1, stdin=json.dumps(RUN))
    assert output.startswith("stdin: refused: ")
    assert '\n-{"role": "user", "content": "are you there?"}\n' in output
    assert '\n+{"role": "user", "content": "are you there?\\n\\nhello again"}\n' in output
    assert "+++ after" not in check(*options[:3], code=1, stdin=json.dumps(RUN))


def test_check_of_many_counts_them(tmp_path: Path) -> None:
    """Those that are fine have a line each, and the last line has the sums."""
    path = written(tmp_path / "chats.jsonl", FINE, RUN, FINE)
    output = check(path, "--template", str(STRICT), code=1)
    assert f"{path}:1: fine: taken, and read whole\n{path}:2: refused: " in output
    assert output.endswith("3 conversations: 2 fine, 0 lost, 1 refused\n")
    fine = written(tmp_path / "fine.jsonl", FINE, FINE)
    assert check(fine, "--template", str(STRICT), code=0).count("\n") == 3


def test_check_as_json_is_an_object_for_each(tmp_path: Path) -> None:
    """With every message, and with --diff what would be sent."""
    path = written(tmp_path / "chats.jsonl", FINE, {"messages": RUN, "tools": []})
    output = check(path, "--template", str(STRICT), "--json", code=1)
    fine, refused = map(json.loads, output.splitlines())
    assert (fine["line"], fine["outcome"], refused["outcome"]) == (1, "fine", "refused")
    assert [message["state"] for message in fine["messages"]] == ["read"] * 3
    assert refused["refusal"].startswith("Conversation roles must alternate")
    assert refused["repair"]["changes"][0]["messages"] == [2, 3]
    assert refused["repair"]["outcome"] == "fine"
    assert "sent" not in refused["repair"]
    output = check(path, "--template", str(STRICT), "--json", "--diff", code=1)
    sent = json.loads(output.splitlines()[1])["repair"]["sent"]
    assert [message["role"] for message in sent] == ["user", "assistant", "user"]


def test_check_of_a_backend_says_what_its_template_does(tmp_path: Path) -> None:
    """Asked live, with the same output."""
    path = written(tmp_path / "chats.jsonl", FINE, RUN)
    with serving(create_app(ChatTemplate.from_path(STRICT), model="strict")) as url:
        live = check(path, "--backend", f"{url}/v1", "--diff", code=1)
        named = check(path, "--backend", url, "--model", "strict", "--json", code=1)
    assert live == check(path, "--template", str(STRICT), "--diff", code=1)
    assert named == check(path, "--template", str(STRICT), "--json", code=1)


def test_check_of_nothing_that_is_there_is_one_line(tmp_path: Path) -> None:
    """Files and backends that are missing or broken are named, with exit code 2."""
    fine = written(tmp_path / "chat.json", FINE)
    missing, folder = str(tmp_path / "missing.json"), str(tmp_path)
    broken = tmp_path / "broken.json"
    broken.write_text('[\n{"role": "user",\n "content" "hello"}]')
    wizard = written(tmp_path / "wizard.jsonl", FINE, [*FINE, {"role": "wizard"}])
    template = ("--template", str(STRICT))
    for options, words in {
        (missing, *template): f"{missing}: No such file or directory",
        (folder, *template): f"{folder}: Is a directory",
        (str(broken), *template): f"{broken}: line 3, column 12: not JSON: Expecting ':' delimiter",
        (wizard, *template): f"{wizard}: line 2: messages[3]: unknown role 'wizard'; known are",
        (fine, "--template", missing): f"chat template {missing}: No such file or directory",
        (fine, "--backend", "http://127.0.0.1:1"): "http://127.0.0.1:1: cannot be reached: ",
        (fine, "--backend", "nonsense"): "nonsense: cannot be reached: ",
        (fine, "--backend", "http://a:99999"): "--backend: Port out of range 0-65535",
    }.items():
        output = check(*options, code=2)
        assert output.startswith(f"Error: {words}")
        assert output.count("\n") == 1
    assert check("-", *template, code=2, stdin="") == "Error: stdin: empty\n"
    assert "Missing argument 'CONVERSATION'" in check(*template, code=2)
    assert "give either --template or --backend" in check(fine, code=2)


def test_check_shows_nothing_that_could_move_the_cursor(tmp_path: Path) -> None:
    """Control characters of a message, or of a template's words, do not reach the terminal."""
    template = tmp_path / "rude.jinja"
    template.write_text("{{ raise_exception('no\x1b[2J ' ~ messages[0].content) }}")
    path = written(tmp_path / "c.json", [{"role": "user", "content": "[red]a\x1b]0;b\x07c[/red]"}])
    output = check(path, "--template", str(template), "--diff", code=1)
    assert "\x1b" not in output
    assert "\x07" not in output
    assert "[red]a ]0;b c[/red]" in output


def test_check_without_rich_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where rich is not installed, the line tells what to do; JSON needs none."""
    monkeypatch.delitem(sys.modules, "litellm_role_guard.cli.check_table", raising=False)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    options = (written(tmp_path / "c.json", FINE), "--template", str(STRICT))
    assert check(*options, code=2).startswith("Error: the table needs rich.console: pip install")
    assert json.loads(check(*options, "--json", code=0))["outcome"] == "fine"


def test_every_option_has_a_help_text() -> None:
    """--help explains each option of each command."""
    assert {"simulate", "profile", "check"} <= set(main.commands)
    for name, command in main.commands.items():
        output = CliRunner().invoke(main, [name, "--help"]).output
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, parameter.name
                assert parameter.opts[0] in output
            else:
                assert parameter.make_metavar(click.Context(command)) in output
