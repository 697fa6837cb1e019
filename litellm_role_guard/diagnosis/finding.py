"""One thing that is wrong with a set-up, where, and what to write instead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import yaml

from ..config.proxy_config import ProxyConfig, dotted
from ..config.yaml_file import KeyPath

Severity = Literal["fatal", "error", "warning"]
"""fatal: the proxy does not start. error: requests fail, or the guard does not guard. warning: it
works, and not as it is written."""

_MOST_CHARS = 300


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        severity: What becomes of it.
        path: Where it stands in the config.
        what: What is wrong, in a few words.
        write: The line to write instead; empty where none is to be written.
    """

    severity: Severity
    path: KeyPath
    what: str
    write: str = ""

    @property
    def where(self) -> str:
        """The path as people write it."""
        return dotted(self.path)

    def line(self, config: ProxyConfig) -> str:
        """Return all of it in one line, for a log.

        Args:
            config: The config that it is about.
        """
        place = config.place(self.path)
        return (
            (f"{self.where}: " if self.path else "")
            + self.what
            + (f"; write {self.write}" if self.write else "")
            + (f" ({place})" if place else "")
        )


def as_yaml(value: Any) -> str:
    """Return a value as one line of YAML, cut where it is long."""
    line = yaml.safe_dump(
        value, default_flow_style=True, width=10**6, sort_keys=False, allow_unicode=True
    )
    line = line.strip().removesuffix("\n...").strip()
    return line if len(line) <= _MOST_CHARS else line[:_MOST_CHARS] + " ..."


def pair(key: str, value: Any) -> str:
    """Return `key: value` as one line of YAML."""
    return f"{key}: {as_yaml(value)}"
