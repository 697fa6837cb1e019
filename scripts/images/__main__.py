"""Build both images without Docker and without a registry, and run each as the compose file does.

    python -m scripts.images [FOLDER]     as root on Debian; some ten minutes and 4 GB

buildah runs the steps of each Dockerfile, runc starts what came of them: by the image's own user,
with the compose file's limits. What they are built on cannot be pulled, so that Debian's Python
stands in for Python's image, LiteLLM beside it for LiteLLM's, and PyPI's `uv` for uv's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import yaml

from testing.processes import free_port, simulator

from .bundle import bundle, configured, user_of

DEPLOY = Path(__file__).parents[2] / "deploy"
PACKAGES = ("buildah", "debootstrap", "runc")
PYTHON, LITELLM = (
    "docker.io/library/python:3.12-slim",
    "ghcr.io/berriai/litellm-non_root:main-stable",
)
UV = "ghcr.io/astral-sh/uv:0.10.9"
KEY = "sk-of-the-image"
START_SECONDS = 90.0
BROKEN = [{"role": "user", "content": "are you there?"}, {"role": "user", "content": "hello again"}]


class Workshop:
    """Where images are built and run.

    Args:
        folder: Holds all of it; may be there from an earlier run.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        storage = folder / "storage.conf"
        storage.write_text(
            f'[storage]\ndriver = "vfs"\nrunroot = "{folder}/run"\ngraphroot = "{folder}/graph"\n'
        )
        self._environment = {**os.environ, "CONTAINERS_STORAGE_CONF": str(storage)}

    def stand_ins(self) -> None:
        """Make what the Dockerfiles are built on."""
        root = self._folder / "debian"
        if not (root / "usr/bin/pip").exists():
            included = "--include=python3,python3-pip,ca-certificates"
            run("debootstrap", "--variant=minbase", included, "bookworm", str(root))
        # Python's own image lets pip install beside its Python.
        for marker in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
            marker.unlink()
        self._write("python", "FROM scratch\nCOPY . /\n", PYTHON, root)
        litellm = f"FROM {PYTHON}\nRUN pip install -q --no-cache-dir 'litellm[proxy]'\n"
        # uv believes no certificates but its own unless it is told of others.
        trusted = "ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt\n"
        ending = trusted + 'USER 65534\nENTRYPOINT ["litellm"]\n'
        self._write("litellm", litellm + ending, LITELLM)
        run(sys.executable, "-m", "pip", "install", "-q", "uv")
        self._write("uv", "FROM scratch\nCOPY uv /uv\n", UV, Path(sys.executable).parent)

    def build(self, dockerfile: Path, tag: str, context: Path) -> None:
        """Run the steps of a Dockerfile."""
        certificates = "/etc/ssl/certs:/etc/ssl/certs:ro"  # this machine's way to PyPI
        options = (
            "--isolation",
            "chroot",
            "--pull-never",
            "--format",
            "docker",
            "-v",
            certificates,
        )
        self._buildah("bud", *options, "-f", str(dockerfile), "-t", tag, str(context))

    def rootfs(self, tag: str) -> tuple[Path, dict[str, Any]]:
        """Return where an image's files are, and its configuration."""
        container = self._buildah("from", "--pull-never", tag)
        files = Path(self._buildah("mount", container))
        shown = json.loads(self._buildah("inspect", "--type", "image", tag))
        return files, shown["Docker"]["config"]

    def _write(self, name: str, dockerfile: str, tag: str, context: Path | None = None) -> None:
        path = self._folder / f"{name}.Dockerfile"
        path.write_text(dockerfile)
        self.build(path, tag, context or self._folder)

    def _buildah(self, *arguments: str) -> str:
        return run("buildah", *arguments, environment=self._environment)


def run(*command: str, environment: dict[str, str] | None = None) -> str:
    """Run a command; return the last line that it printed.

    Raises:
        SystemExit: It failed; what it said is printed.
    """
    print("$", " ".join(command), flush=True)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout[-3000:] + done.stderr[-3000:])
    if command[1:2] == ("inspect",):
        return done.stdout
    return (done.stdout.splitlines() or [""])[-1]


def try_image(files: Path, image: dict[str, Any], folder: Path) -> None:
    """Start an image as the compose file does, and have it answer a broken conversation."""
    service = yaml.safe_load((DEPLOY / "docker-compose.yaml").read_text())["services"]["litellm"]
    with simulator(folder, model="gemma3") as backend:
        config = folder / "config.yaml"
        config.write_text(yaml.safe_dump(configured(backend)))
        port = free_port()
        arguments = [
            "--config",
            "/etc/litellm/config.yaml",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
        ]
        made = bundle(image, service, files, config, arguments, {"LITELLM_MASTER_KEY": KEY})
        (folder / "config.json").write_text(json.dumps(made))
        name = f"role-guard-{port}"
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(["runc", "run", name], cwd=folder, stdout=log, stderr=log)
        try:
            _wait(image["Healthcheck"]["Test"][1:], name, port)
            show(port, name, user_of(image, files))
        except BaseException:
            print((folder / "log").read_text(errors="replace")[-3000:])
            raise
        finally:
            subprocess.run(["runc", "kill", name, "TERM"], check=False)
            process.wait(30)


def _wait(health: list[str], name: str, port: int) -> None:
    """Wait until the image's own health check finds it well."""
    until = time.monotonic() + START_SECONDS
    # Its port is 4000 in the image; here it shares the machine's.
    command = ["runc", "exec", name, *(part.replace(":4000/", f":{port}/") for part in health)]
    while subprocess.run(command, capture_output=True, check=False).returncode:
        if time.monotonic() > until:
            raise SystemExit("it is not well")
        time.sleep(1)
    print("the health check finds it well")


def show(port: int, name: str, user: int) -> None:
    """Ask it, and look at what it may."""
    headers = {"Authorization": f"Bearer {KEY}"}
    body = {"model": "gemma3", "messages": BROKEN}
    url = f"http://127.0.0.1:{port}"
    reply = httpx.post(f"{url}/v1/chat/completions", headers=headers, json=body, timeout=60)
    print(reply.status_code, "x-role-guard:", reply.headers.get("x-role-guard"))
    assert reply.status_code == 200, reply.text
    assert reply.headers["x-role-guard"] == "merged=1"
    page = httpx.get(f"{url}/ui/", follow_redirects=True).status_code
    print(page, "at /ui/")
    looks = "id -u; grep CapEff /proc/self/status; touch /x 2>&1; true"
    done = subprocess.run(
        ["runc", "exec", name, "sh", "-c", looks], capture_output=True, text=True, check=True
    )
    print(done.stdout.strip())
    uid, capabilities, touched = done.stdout.splitlines()
    assert (uid, int(capabilities.split()[1], 16)) == (str(user), 0)
    assert "Read-only" in touched


def main(folder: Path) -> None:
    """Build and run both."""
    run("apt-get", "install", "-y", "-q", *PACKAGES)
    workshop = Workshop(folder)
    workshop.stand_ins()
    for dockerfile in ("Dockerfile", "litellm-image.Dockerfile"):
        tag = f"localhost/{dockerfile.lower()}"
        workshop.build(DEPLOY / dockerfile, tag, DEPLOY.parent)
        with TemporaryDirectory() as scratch:
            try_image(*workshop.rootfs(tag), Path(scratch))
        print(f"{dockerfile}: built and run")


if __name__ == "__main__":
    main(Path(*sys.argv[1:2] or ["build/images"]).resolve())
