"""Install a wheel into a clean environment, beside `litellm[proxy]`, and load what the docs say.

    python -m scripts.release.check_wheel dist/*.whl [PYTHON]

PYTHON is the interpreter of the clean environment; by default the one that runs this. All is run
from another folder than the repository, so that nothing of the checkout is imported. Then each
extra is resolved, without installing it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
CLEAN = REPOSITORY / "build" / "clean"

# LiteLLM's own loader of callbacks and guardrails, as its proxy calls it.
LOAD = """
from litellm.proxy.types_utils.utils import get_instance_fn
for name in ("litellm_role_guard.role_guard", "litellm_role_guard.RoleGuardrail"):
    print(name, "is", get_instance_fn(name, config_file_path="config.yaml"))
import litellm_role_guard
print("from", litellm_role_guard.__file__)
assert all(hasattr(litellm_role_guard, name) for name in litellm_role_guard.__all__)
"""


def readme_config() -> str:
    """Return the README's whole config.yaml."""
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    texts: list[str] = re.findall(r"^```yaml\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    return next(text for text in texts if text.startswith("model_list"))


def extras() -> list[str]:
    """Return the names of the package's extras."""
    project = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    section = project.partition("[project.optional-dependencies]\n")[2].partition("\n[")[0]
    return re.findall(r"^([a-z]+) = \[", section, re.MULTILINE)


def main(wheel: Path, interpreter: str = sys.executable) -> None:
    """Check a wheel.

    Args:
        wheel: The wheel.
        interpreter: The Python of the clean environment.

    Raises:
        subprocess.CalledProcessError: Something did not work; its output says what.
    """
    python = CLEAN / "bin" / "python"
    uv = [sys.executable, "-m", "uv"]
    _run(*uv, "venv", "-q", "--clear", "--python", interpreter, str(CLEAN))
    _run(*uv, "pip", "install", "-q", "--python", str(python), f"{wheel}[proxy]")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "config.yaml").write_text(readme_config(), encoding="utf-8")
        _run(str(CLEAN / "bin" / "role-guard"), "--version", folder=folder)
        doctor = ("doctor", "config.yaml", "--offline")
        _run(str(CLEAN / "bin" / "role-guard"), *doctor, folder=folder)
        _run(str(python), "-I", "-c", LOAD, folder=folder)
        for extra in extras():
            resolve = (*uv, "pip", "install", "-q", "--dry-run", "--python", str(python))
            _run(*resolve, f"{wheel}[{extra}]", folder=folder)
            print(f"[{extra}] resolves", flush=True)


def _run(*command: str, folder: Path = REPOSITORY) -> None:
    print("$", *(part if len(part) < 80 else "..." for part in command), flush=True)
    # LiteLLM would look for prices on the internet, three times.
    environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    subprocess.run(command, cwd=folder, env=environment, check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), *sys.argv[2:3])
