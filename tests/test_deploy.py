"""deploy/: valid compose files, whose parts know each other, and a config that the guard takes."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from litellm_role_guard.config.settings import KEY, GuardSettings, read_settings
from litellm_role_guard.plugin.deployments import GLOBAL_PATH, Deployments
from testing.deployment_files import (
    COMPOSE_FILES,
    FOLDER,
    MODEL,
    VLLM_ONLY,
    WITH_PROXY,
    services,
    vllm_commands,
)
from testing.processes import free_port

each_file = pytest.mark.parametrize("path", COMPOSE_FILES, ids=lambda path: path.name)


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    """Give the config of the proxy."""
    read: dict[str, Any] = yaml.safe_load((FOLDER / "config.yaml").read_text())
    return read


@each_file
def test_a_compose_file_fits_the_compose_specification(path: Path) -> None:
    """The schema that Docker publishes, as check-jsonschema ships it, finds no fault."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    checked = subprocess.run([*command, path], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_the_schema_finds_a_fault(tmp_path: Path) -> None:
    """A misspelt key is none of the specification's."""
    wrong = tmp_path / "docker-compose.yaml"
    wrong.write_text(WITH_PROXY.read_text().replace("restart:", "restarts:"))
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    checked = subprocess.run([*command, wrong], capture_output=True, text=True, check=False)
    assert checked.returncode == 1
    assert "restarts" in checked.stdout


@each_file
def test_each_vllm_has_a_gpu_of_its_own(path: Path) -> None:
    """No two of them share one."""
    reserved = [
        device["device_ids"]
        for service in services(path).values()
        if "deploy" in service
        for device in service["deploy"]["resources"]["reservations"]["devices"]
    ]
    assert sorted(reserved) == [["0"], ["1"]]


@each_file
def test_a_file_that_is_mounted_or_built_from_is_there(path: Path) -> None:
    """All but the relaxed template, which the user makes."""
    for service in services(path).values():
        if "build" in service:
            context = FOLDER / service["build"]["context"]
            assert (context / service["build"]["dockerfile"]).is_file()
        for mount in service.get("volumes", ()):
            source = mount["source"] if isinstance(mount, dict) else mount.partition(":")[0]
            if source.startswith("."):
                assert source == "./relaxed.jinja" or (FOLDER / source).is_file()


def test_what_the_image_is_built_from_is_there() -> None:
    """The build context has what the Dockerfile copies."""
    copied = re.findall(r"^COPY (.*) \S+$", (FOLDER / "Dockerfile").read_text(), re.MULTILINE)
    for source in " ".join(copied).split():
        assert (FOLDER.parent / source).exists(), source


def test_the_model_is_what_the_environment_names() -> None:
    """Both files serve the same model unless .env has another."""
    for path in COMPOSE_FILES:
        assert {command[2] for command in vllm_commands(path).values()} == {MODEL}
        named = services(path, {"GEMMA_MODEL": "google/gemma-3-27b-it"})
        assert named["gemma3-gpu-0"]["command"][0] == "google/gemma-3-27b-it"


def test_the_relaxed_template_is_served_where_it_is_mounted() -> None:
    """Its flag names the mount's target."""
    for service in services(VLLM_ONLY).values():
        (target,) = [
            mount["target"]
            for mount in service["volumes"]
            if isinstance(mount, dict) and mount["source"] == "./relaxed.jinja"
        ]
        assert f"--chat-template={target}" in service["command"]


def test_the_guard_takes_the_settings_of_the_config(config: dict[str, Any]) -> None:
    """The global ones and those of each deployment, as at the proxy's start."""
    written = config["callback_settings"][KEY]
    settings = read_settings(written, GLOBAL_PATH, GuardSettings)
    Deployments(settings, GLOBAL_PATH).prepare(config["model_list"])
    assert config["litellm_settings"]["callbacks"] == ["litellm_role_guard.role_guard"]


def test_the_config_asks_for_what_the_backends_serve(config: dict[str, Any]) -> None:
    """Each deployment is a service of the compose file, under the name that it serves."""
    commands = vllm_commands(WITH_PROXY)
    asked = {}
    for entry in config["model_list"]:
        params = entry["litellm_params"]
        found = re.fullmatch(r"http://([\w-]+):8000/v1", params["api_base"])
        assert found is not None
        asked[found[1]] = params["model"].removeprefix("hosted_vllm/")
    assert asked.keys() == commands.keys()
    for name, model in asked.items():
        assert f"--served-model-name={model}" in commands[name]


def test_the_config_names_only_variables_that_the_container_has(config: dict[str, Any]) -> None:
    """`os.environ/...` of another name would be empty in the container."""
    named = set(re.findall(r"os\.environ/(\w+)", yaml.safe_dump(config)))
    assert named == set(services(WITH_PROXY)["litellm"]["environment"])


@each_file
def test_no_container_may_more_than_it_needs(path: Path) -> None:
    """None has a capability, or gains one; all but vLLM's change no file of their image."""
    for name, service in services(path).items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service, name
        is_vllm = service.get("image", "").startswith("vllm/")
        assert is_vllm or service["read_only"] is True, name


@each_file
def test_each_port_is_of_this_machine_alone(path: Path) -> None:
    """What is published is published to 127.0.0.1."""
    for service in services(path).values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


@each_file
def test_each_vllm_asks_for_a_key(path: Path) -> None:
    """The key of .env, which the proxy sends."""
    secrets = {"VLLM_API_KEY": "k"}
    for name in vllm_commands(path):
        assert services(path, secrets)[name]["environment"]["VLLM_API_KEY"] == "k"


def test_redis_is_reached_by_the_proxy_alone() -> None:
    """No backend is in its network, which leads nowhere; it publishes no port."""
    compose = yaml.safe_load(WITH_PROXY.read_text())
    assert compose["networks"]["store"] == {"internal": True}
    there = [name for name, each in compose["services"].items() if "store" in each["networks"]]
    assert sorted(there) == ["litellm", "redis"]
    assert "ports" not in compose["services"]["redis"]


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="no redis-server")
def test_redis_asks_for_the_password(tmp_path: Path) -> None:
    """The container's own command makes a Redis that answers nobody without it."""
    shell, flag, script = services(WITH_PROXY)["redis"]["command"]
    port = free_port()
    script = script.replace("$$", "$").replace(
        "printf 'requirepass", f"printf 'port {port}\\nrequirepass"
    )
    variables = {**os.environ, "REDIS_PASSWORD": "s3cret"}
    with subprocess.Popen(
        [shell, flag, script], env=variables, cwd=tmp_path, stdout=subprocess.DEVNULL
    ) as process:
        try:
            assert "NOAUTH" in _answer(port, b"PING\r\n")
            assert "+PONG" in _answer(port, b"AUTH s3cret\r\nPING\r\n")
        finally:
            with contextlib.suppress(OSError):
                _answer(port, b"AUTH s3cret\r\nSHUTDOWN NOSAVE\r\n")
            process.wait(timeout=20)


def _answer(port: int, sent: bytes) -> str:
    """Give what a Redis says to a few lines, once it listens."""
    deadline = time.monotonic() + 20
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                connection.sendall(sent)
                connection.shutdown(socket.SHUT_WR)
                return b"".join(iter(lambda: connection.recv(4096), b"")).decode()
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)  # a process that starts gives no event to wait for
