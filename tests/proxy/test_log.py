"""The proxy's log: one line for each answered request, as JSON where LiteLLM writes JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from testing.managed import KEY, PASSWORD, TOKEN, Log
from testing.processes import free_port, launch
from testing.proxied import (
    ENDPOINTS,
    RUN,
    USER,
    Backend,
    Proxy,
    answered,
    body_of,
)

TEXT = "a text that nobody may log"


@pytest.fixture
def log(managed_proxy: Proxy, managed_folder: Path) -> Log:
    """Give the proxy's log from here on."""
    return Log(managed_folder / "proxy.log")


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_an_answered_request_is_one_line_of_fields(
    managed_proxy: Proxy, log: Log, backends: dict[str, Backend], endpoint: str, stream: bool
) -> None:
    """Who asked whom for what, what was changed and how long it took stand in fields."""
    headers = {"Authorization": "Bearer sk-plain"}
    body = body_of(endpoint, "strict", RUN, stream=stream)
    response = managed_proxy.post(endpoint, body, headers=headers)
    assert answered(response)
    (line,) = log.lines
    assert line["level"] == "INFO"
    assert line["message"].startswith("merged=1 group=strict deployment=")
    assert (line["changes"], line["retried"]) == ({"merged": 1}, 0)
    assert line["observed"] is line["rejected"] is False
    assert line["group"] == "strict"
    assert line["address"] == f"{backends['a'].url}/v1"
    assert line["model"] == backends["a"].model
    assert (line["key_alias"], line["team"]) == ("plain key", "research")
    assert line["request_id"] == response.headers["x-litellm-call-id"]
    assert line["milliseconds"] >= 0


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_failed_attempts_write_no_line(managed_proxy: Proxy, log: Log, endpoint: str) -> None:
    """Three attempts at a dead deployment and a fallback are one line, of whoever answered."""
    assert answered(managed_proxy.ask(endpoint, "gone", RUN))
    (line,) = [line for line in log.lines if "changes" in line]
    assert line["changes"] == {"merged": 1}
    assert line["address"].endswith("/v1")


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_an_untouched_request_is_a_line_at_level_debug(
    managed_proxy: Proxy, log: Log, endpoint: str
) -> None:
    """Whoever sets `log_level: DEBUG` sees each request."""
    assert answered(managed_proxy.ask(endpoint, "strict", [USER]))
    (line,) = log.lines
    assert (line["level"], line["changes"]) == ("DEBUG", {})
    assert line["message"].startswith("untouched group=strict")


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_refusal_that_was_repaired_is_told(managed_proxy: Proxy, log: Log, endpoint: str) -> None:
    """A retry after a refusal is counted in the one line."""
    talk = [{"role": "user", "content": f"{endpoint} {len(log.text)}"}, *RUN[1:]]
    assert answered(managed_proxy.ask(endpoint, "unlearnt", talk))
    (line,) = log.lines
    assert line["retried"] + line["changes"]["merged"] >= 1


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_rejected_request_is_one_line(managed_proxy: Proxy, log: Log, endpoint: str) -> None:
    """What mode reject answers with a 400 is in the log, once."""
    assert managed_proxy.ask(endpoint, "rejecting", RUN).status_code == 400
    (line,) = log.lines
    assert line["message"].startswith("reject; merged=1 group=rejecting deployment=")
    assert line["rejected"] is True


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_bad_input_is_one_line(managed_proxy: Proxy, log: Log, endpoint: str) -> None:
    """What is no conversation is in the log, once, with the key that sent it and without a word."""
    bad = [{"role": "user", "content": TEXT}, {"content": TEXT}]
    body = body_of(endpoint, "strict", bad)
    response = managed_proxy.post(endpoint, body, headers={"Authorization": "Bearer sk-plain"})
    assert response.status_code == 400
    assert response.headers["x-role-guard"] == "bad_input=1"
    (line,) = log.lines
    assert line["message"].startswith("bad_input=1 group=strict")
    assert (line["key_alias"], line["rejected"]) == ("plain key", True)


@pytest.mark.parametrize("group", ["secret", "asked"])
def test_no_text_key_or_password_is_logged_at_any_level(
    managed_proxy: Proxy, log: Log, group: str
) -> None:
    """At DEBUG neither a message nor what an address hides is in a line, whatever the outcome."""
    for talk in ([*RUN, {"role": "user", "content": TEXT}], [{"role": TEXT, "content": TEXT}]):
        for endpoint in ENDPOINTS:
            managed_proxy.ask(endpoint, group, talk)
    lines = json.dumps(log.lines)
    assert len([line for line in log.lines if "changes" in line]) == 2 * len(ENDPOINTS)
    for hidden in (TEXT, PASSWORD, TOKEN, KEY):
        assert hidden not in lines


LIBRARY = f"""
import asyncio, litellm, logging
from litellm_role_guard import RoleGuard
logging.basicConfig(level=logging.WARNING)
litellm.callbacks = [RoleGuard(log_level="DEBUG")]
run = [{{"role": "user", "content": "{TEXT}"}}] * 2
async def ask(address):
    try:
        await litellm.acompletion(
            model="hosted_vllm/MODEL", messages=run, api_base=address, api_key="{KEY}"
        )
    except Exception as error:
        print(type(error).__name__)
async def main():
    await ask("http://LIVE/v1")
    await ask("http://ann:{PASSWORD}@DEAD/v1?token={TOKEN}")
    await asyncio.sleep(1.5)  # until it is told that the dead one cannot be asked
asyncio.run(main())
"""


def test_a_library_logs_no_credential(tmp_path: Path, backends: dict[str, Backend]) -> None:
    """Where the address is the deployment's name, the log has it without its password and token."""
    log = tmp_path / "library.log"
    live, dead = backends["a"].url.removeprefix("http://"), f"127.0.0.1:{free_port()}"
    model = backends["a"].model
    source = LIBRARY.replace("MODEL", model)
    script = tmp_path / "library.py"
    script.write_text(source.replace("LIVE", live).replace("DEAD", dead))
    process = launch([sys.executable, str(script)], tmp_path, log)
    assert process.wait(timeout=120) == 0
    lines = [line for line in log.read_text().splitlines() if "litellm_role_guard" in line]
    written = "\n".join(lines)
    assert (
        f'merged=1 group=hosted_vllm/{model} deployment="hosted_vllm/{model} at http://{live}'
        in written
    )
    assert f"at http://{dead}/v1" in written
    for hidden in (TEXT, PASSWORD, TOKEN, KEY):
        assert hidden not in written
