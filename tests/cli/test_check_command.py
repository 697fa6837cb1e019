"""`role-guard check`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from litellm_role_guard import ChatTemplate
from litellm_role_guard.cli.main import main
from litellm_role_guard.simulator import create_app
from testing.serving import serving
from testing.templates import STRICT

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


def test_check_breaks_no_line_that_is_searched_for_in_a_pipe(tmp_path: Path) -> None:
    """The words of a refusal stand on one line, however wide the terminal is not."""
    broken = written(tmp_path / "broken.json", RUN[2:])
    command = ["check", broken, "--template", str(STRICT)]
    output = CliRunner().invoke(main, command, env={"COLUMNS": "40"}).output
    words = "refused: Conversation roles must alternate user/assistant/user/assistant/...\n"
    assert words in output
    assert "merged #0, #1: two turns in a row that the template does not take\n" in output


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
    assert output.endswith("3 conversations: 2 fine, 0 lost, 0 wrong, 1 refused\n")
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
        (fine, "--backend", "nonsense"): "--backend: 'nonsense' is no address: ",
        (fine, "--backend", "http://a:99999"): "--backend: 'http://a:99999' is no address: Port",
    }.items():
        output = check(*options, code=2)
        assert output.startswith(f"Error: {words}")
        assert output.count("\n") == 1
    assert check("-", *template, code=2, stdin="") == "Error: stdin: empty\n"
    assert "Missing argument 'IN'" in check(*template, code=2)
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
