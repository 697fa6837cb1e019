"""`role-guard profile`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fastapi import FastAPI
from fastapi.responses import JSONResponse

from litellm_role_guard import ChatTemplate, TemplateProfile, TemplateRefused
from litellm_role_guard.cli.main import main
from litellm_role_guard.simulator import create_app
from testing.serving import serving
from testing.templates import STRICT, TEMPLATES


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


def test_a_key_that_is_missing_or_wrong_is_told_with_its_option() -> None:
    """One line says where the key goes."""
    app = FastAPI()

    @app.get("/v1/models")
    async def models() -> JSONResponse:
        return JSONResponse({"error": "Unauthorized"}, 401)

    with serving(app) as url:
        for key, problem in ((), "wants an API key"), (("--api-key", "no"), "refuses the API key"):
            words = f"Error: {url}: {problem} (401): --api-key, ROLE_GUARD_API_KEY\n"
            assert refused("--backend", url, *key) == words


def test_profile_of_several_models_wants_a_name() -> None:
    """Where more than one model is served, the line lists them."""
    app = FastAPI()

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"data": [{"id": "base"}, {"id": "tuned"}]}

    with serving(app) as url:
        assert refused("--backend", url) == f"Error: {url}: --model is needed: base, tuned\n"


@pytest.mark.parametrize("options", [[], ["--template", "a", "--backend", "http://b"]])
def test_profile_wants_either_a_template_or_a_backend(options: list[str]) -> None:
    """Neither and both are a wrong use, with exit code 2."""
    outcome = CliRunner().invoke(main, ["profile", *options])
    assert outcome.exit_code == 2
    assert "Error: give either --template or --backend\n" in outcome.output
