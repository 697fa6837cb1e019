"""What `role-guard check` says of a real vLLM is what it says of the template's file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from litellm_role_guard.cli.main import main
from litellm_role_guard.messages.validation import find_validation_error
from testing.cases import CASES
from testing.conversations import Case, assistant, user
from testing.further_cases import FURTHER
from testing.vllm import MODEL, SPECIAL_TOKENS


@pytest.fixture(scope="module")
def served_template(gemma_3: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real Gemma 3 template beside the tokenizer's config that the server has."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "chat_template.jinja").write_text(gemma_3.read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(SPECIAL_TOKENS))
    return folder


def written(cases: Iterator[Case], path: Path) -> Path:
    """Write cases as JSON Lines."""
    bodies = [{"messages": case.messages, "tools": case.tools} for case in cases]
    path.write_text("".join(json.dumps(body) + "\n" for body in bodies))
    return path


def told(*options: str) -> list[str]:
    """Give what `role-guard check` prints as JSON, a line for each conversation."""
    outcome = CliRunner().invoke(main, ["check", *options, "--json", "--diff"])
    assert outcome.exit_code == 1, outcome.output
    return outcome.output.splitlines()


@pytest.mark.parametrize("cases", [CASES, FURTHER], ids=("reported", "further"))
def test_the_verdicts_are_the_same(
    cases: tuple[Case, ...], vllm_url: str, served_template: Path, tmp_path: Path
) -> None:
    """On each of the cases: its words, each message, the repair, and what comes of it."""
    kept = [case for case in cases if find_validation_error(case.messages) is None]
    path = str(written(iter(kept), tmp_path / "cases.jsonl"))
    live = told(path, "--backend", f"{vllm_url}/v1", "--model", MODEL)
    local = told(path, "--template", str(served_template))
    assert len(live) == len(local) == len(kept)
    differ = [
        (case.name, json.loads(said), json.loads(meant))
        for case, said, meant in zip(kept, live, local, strict=True)
        if said != meant
    ]
    assert not differ
    assert all(json.loads(line)["repair"]["outcome"] == "fine" for line in live)


def test_the_first_case_is_refused_in_the_servers_own_words(vllm_url: str, tmp_path: Path) -> None:
    """And the repair is what mends it."""
    path = str(written(iter(CASES[:1]), tmp_path / "case.jsonl"))
    (line,) = told(path, "--backend", vllm_url)
    verdict = json.loads(line)
    assert verdict["outcome"] == "refused"
    assert verdict["refusal"].startswith("Conversation roles must alternate")
    assert [change["what"] for change in verdict["repair"]["changes"]] == ["merged"]


def test_the_opening_of_a_reply_is_continued(
    vllm_url: str, served_template: Path, tmp_path: Path
) -> None:
    """`continue_final_message` is asked for as the request would ask for it."""
    path = tmp_path / "prefill.json"
    messages = [user("one"), user("two"), assistant("Well, I")]
    path.write_text(json.dumps({"messages": messages, "continue_final_message": True}))
    live = told(str(path), "--backend", vllm_url)
    assert live == told(str(path), "--template", str(served_template))
    assert json.loads(live[0])["repair"]["sent"][-1] == messages[-1]
