"""`role-guard doctor`: each mistake with the line to write, and each backend asked."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from fastapi import FastAPI
from starlette.responses import JSONResponse

from litellm_role_guard import ChatTemplate
from litellm_role_guard.cli.main import main
from litellm_role_guard.simulator import create_app
from testing.processes import free_port
from testing.serving import serving
from testing.setups import EVERY, UNSET, good_config, with_mistake
from testing.templates import STRICT, TEMPLATES

MODEL = "gemma-3-12b"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The address of a simulated vLLM with a strict template."""
    with serving(create_app(ChatTemplate.from_path(STRICT), model=MODEL)) as address:
        yield address


def doctor(config: dict[str, Any], folder: Path, *options: str) -> Result:
    """Run the doctor on a config."""
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return CliRunner().invoke(main, ["doctor", str(path), *options], env={UNSET: None})


def checked(config: dict[str, Any], folder: Path, *options: str) -> dict[str, Any]:
    """Give what the doctor prints as JSON, whose exit code is the command's."""
    outcome = doctor(config, folder, "--json", *options)
    found: dict[str, Any] = json.loads(outcome.output)
    assert outcome.exit_code == found["exit_code"]
    return found


def test_a_good_config_has_nothing_wrong(url: str, tmp_path: Path) -> None:
    """The exit code is 0, and everything that was asked is told."""
    found = checked(good_config(f"{url}/v1", MODEL), tmp_path)
    assert (found["findings"], found["exit_code"]) == ([], 0)
    assert found["guarded"] == {"gemma3": 1}
    (backend,) = found["backends"]
    assert backend["model"] == f"{MODEL}, 32768 tokens"
    assert backend["clock"] == "right"
    assert backend["/tokenize"] == "yes"
    assert backend["chat"].startswith("answers")
    assert backend["profile"].startswith("system accepted, user after user refused")
    assert backend["tools"].startswith("no parser")


@pytest.mark.parametrize("name", EVERY)
def test_each_mistake_is_named_with_the_line_to_write(name: str, url: str, tmp_path: Path) -> None:
    """One finding: where, what, the file and line, the line to write instead, and no other."""
    mistake = EVERY[name]
    options = () if mistake.is_asked else ("--offline",)
    found = checked(with_mistake(good_config(f"{url}/v1", MODEL), mistake), tmp_path, *options)
    named = [each for each in found["findings"] if each["where"] == mistake.where]
    assert len(named) == 1, found["findings"]
    assert mistake.what in named[0]["what"]
    wanted = mistake.write.replace("URL", url).replace("MODEL", MODEL)
    assert (named[0]["write"] or "") == wanted
    assert named[0]["severity"] == mistake.severity
    assert found["exit_code"] == (1 if mistake.severity == "warning" else 2)
    assert name == "no line at all" or named[0]["place"].startswith("config.yaml:")
    assert named == found["findings"]
    assert "secret" not in json.dumps(found)


def test_the_last_line_speaks_of_the_worst_alone(tmp_path: Path) -> None:
    """What does not start does not "work, but not as it is written"."""
    config = good_config("gpu-0:8000/v1", MODEL) | {"role_guard": {"mode": "observe"}}
    outcome = doctor(config, tmp_path, "--offline")
    assert outcome.output.endswith("\n\nerror: requests fail, or are not guarded\n")
    assert "warning  role_guard" in outcome.output


def test_a_dead_backend_is_named(tmp_path: Path) -> None:
    """A finding at its address, and exit code 2."""
    found = checked(good_config(f"http://127.0.0.1:{free_port()}/v1", MODEL), tmp_path)
    (finding,) = found["findings"]
    assert finding["where"] == "model_list[0].litellm_params.api_base"
    assert "cannot be reached" in finding["what"]
    assert found["exit_code"] == 2


def test_a_wrong_model_name_is_told_with_the_right_one(url: str, tmp_path: Path) -> None:
    """The line to write has a name that is served."""
    found = checked(good_config(f"{url}/v1", "gemma"), tmp_path)
    (finding,) = found["findings"]
    assert finding["write"] == f"model: hosted_vllm/{MODEL}"
    assert found["exit_code"] == 2


@pytest.fixture
def app() -> FastAPI:
    """A simulated vLLM, to be changed before it is served."""
    return create_app(ChatTemplate.from_path(STRICT), model=MODEL, enable_auto_tool_choice=True)


def test_a_vllm_without_tokenize_is_told(app: FastAPI, tmp_path: Path) -> None:
    """The guard cannot learn there, unless the config names the template."""
    app.router.routes[:] = [
        route for route in app.router.routes if getattr(route, "path", "") != "/tokenize"
    ]
    with serving(app) as url:
        config = good_config(f"{url}/v1", MODEL)
        found = checked(config, tmp_path)
        config["model_list"][0]["model_info"]["role_guard"]["chat_template"] = str(STRICT)
        with_template = checked(config, tmp_path)
    (finding,) = found["findings"]
    assert "has no /tokenize" in finding["what"]
    assert finding["write"] == "model_info: {role_guard: {chat_template: /models/NAME}}"
    assert (found["exit_code"], with_template["exit_code"]) == (1, 0)
    assert found["backends"][0]["tools"] == "taken"


def test_another_template_than_the_backends_is_told(url: str, tmp_path: Path) -> None:
    """A repair for the wrong template would be none."""
    config = good_config(f"{url}/v1", MODEL)
    config["callback_settings"]["role_guard"]["chat_template"] = str(TEMPLATES / "plain.jinja")
    (finding,) = checked(config, tmp_path)["findings"]
    assert "is not the template that the backend renders" in finding["what"]


def test_a_clock_that_is_wrong_is_told(app: FastAPI, tmp_path: Path) -> None:
    """By how much, from the answer's date."""

    @app.middleware("http")
    async def late(request: Any, call_next: Any) -> Any:
        response = await call_next(request)
        response.headers["date"] = "Thu, 01 Jan 2026 00:00:00 GMT"
        return response

    with serving(app) as url:
        found = checked(good_config(f"{url}/v1", MODEL), tmp_path)
    assert [each["severity"] for each in found["findings"]] == ["warning"]
    assert "clock is" in found["findings"][0]["what"]


def test_a_key_that_is_wanted_is_told(tmp_path: Path) -> None:
    """A backend that refuses to say anything without one."""
    app = FastAPI()

    @app.get("/v1/models")
    async def models() -> JSONResponse:
        return JSONResponse({"error": "Unauthorized"}, 401)

    with serving(app) as url:
        (finding,) = checked(good_config(f"{url}/v1", MODEL), tmp_path)["findings"]
    assert finding["where"] == "model_list[0].litellm_params.api_key"
    assert "wants an API key" in finding["what"]


def test_a_redis_that_does_not_answer_is_told(url: str, tmp_path: Path) -> None:
    """Its address is shown without the password; without a port LiteLLM has none at all."""
    config = good_config(f"{url}/v1", MODEL)
    config["router_settings"] = {
        "redis_host": "127.0.0.1",
        "redis_port": free_port(),
        "redis_password": "hidden",
    }
    outcome = doctor(config, tmp_path)
    assert outcome.exit_code == 2
    assert "redis://127.0.0.1" in outcome.output
    assert "hidden" not in outcome.output
    del config["router_settings"]["redis_port"]
    (finding,) = checked(config, tmp_path)["findings"]
    assert "redis_port: 6379" in finding["write"]


def test_offline_nobody_is_asked(tmp_path: Path) -> None:
    """A config is checked where no backend can be reached, as in CI."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0)
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        found = checked(good_config(address, MODEL), tmp_path, "--offline")
        with pytest.raises(BlockingIOError):
            listening.accept()
    assert (found["backends"], found["exit_code"]) == ([], 0)


def test_a_table_is_printed_without_colours_into_a_pipe(url: str, tmp_path: Path) -> None:
    """No escape codes; each line to write is one line, however narrow."""
    config = good_config(f"{url}/v1", MODEL)
    config["callback_settings"]["role_guard"]["model_groups"] = ["Gemma3" * 20]
    outcome = doctor(config, tmp_path)
    assert "\x1b" not in outcome.output
    assert "  write  model_groups: [gemma3]\n" in outcome.output
    assert "config.yaml:" in outcome.output


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "config.yaml:1: is no YAML"),
        (
            "a:\n  b:c\n  d: e\n",
            "config.yaml:3: is no YAML: mapping values are not allowed here",
        ),
        (
            "a:\n  b: c\n  d:e\nf:\n",
            "config.yaml:4: is no YAML: could not find expected ':' "
            "(while scanning a simple key, line 3)",
        ),
        ("a:\n\tb: c\n", "config.yaml:2: is no YAML: found character '\\t'"),
        ("- a", "config.yaml: must be a mapping, not list"),
        ("include: [gone.yaml]", "gone.yaml: No such file or directory"),
        ("include: x", "include: must be a list of file paths"),
    ],
)
def test_a_config_that_cannot_be_read_is_named(text: str, words: str, tmp_path: Path) -> None:
    """Exit code 2, one line with the file and the reason."""
    path = tmp_path / "config.yaml"
    path.write_text(text)
    outcome = CliRunner().invoke(main, ["doctor", str(path)])
    assert outcome.exit_code == 2
    assert words in outcome.output


@pytest.mark.parametrize("written", [b"# caf\xe9\na: b\n", b"a: \x01\n", b"\xff\xfea\0:\0 \0\0\0"])
def test_a_config_with_signs_that_are_none_is_named(written: bytes, tmp_path: Path) -> None:
    """Saved in an old encoding, or broken on its way: one line, too."""
    path = tmp_path / "config.yaml"
    path.write_bytes(written)
    outcome = CliRunner().invoke(main, ["doctor", str(path)])
    assert outcome.exit_code == 2
    assert outcome.output.startswith("Error: config.yaml: is no YAML: unacceptable character")
    assert outcome.output.count("\n") == 1


def test_a_folder_in_place_of_a_config_is_named(tmp_path: Path) -> None:
    """By its name, or as it was typed where it has none."""
    for typed, name in (str(tmp_path), tmp_path.name), (".", "."):
        outcome = CliRunner().invoke(main, ["doctor", typed])
        assert (outcome.exit_code, outcome.output) == (2, f"Error: {name}: Is a directory\n")
