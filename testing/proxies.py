"""Real LiteLLM proxies with the config that a test needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from .processes import proxy

MASTER_KEY = "sk-role-guard-tests"


def write_config(config: Mapping[str, Any], folder: Path) -> Path:
    """Write a proxy's config.yaml, with a master key; give its path."""
    general = {"master_key": MASTER_KEY, **config.get("general_settings", {})}
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({**config, "general_settings": general}))
    return path


@contextmanager
def start_proxy(config: Mapping[str, Any], folder: Path) -> Iterator[str]:
    """Run a LiteLLM proxy until the block is left; give its address.

    Args:
        config: What its config.yaml says; the master key is added.
        folder: Where to put config.yaml and the log. Python modules in it can be callbacks.
    """
    with proxy(write_config(config, folder), folder / "proxy.log") as url:
        yield url
