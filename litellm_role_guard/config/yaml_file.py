"""A YAML file as data, with the line of each key, and the keys that it has twice.

PyYAML, like LiteLLM's reading of a config, keeps the last of two equal keys and says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

KeyPath = tuple[str | int, ...]
"""Where something stands in a config: keys of mappings and positions in lists."""


class UnreadableConfigError(ValueError):
    """A config that cannot be read; `str()` names the file and the reason, in one line."""


@dataclass(frozen=True)
class YamlFile:
    """One file of a config.

    Attributes:
        name: What people call it.
        data: The mapping at its top.
        lines: The line of each key and list entry, from 1.
        repeated: The keys that stand twice in one mapping, with the line of the first, which is
            lost.
    """

    name: str
    data: Mapping[str, Any]
    lines: Mapping[KeyPath, int]
    repeated: Mapping[KeyPath, int]


def parse_yaml(text: str | bytes, name: str) -> YamlFile:
    """Read a YAML file as `yaml.safe_load` does.

    Args:
        text: What the file holds.
        name: What people call it.

    Raises:
        UnreadableConfigError: It is no YAML, or no mapping.
    """
    try:
        loader = yaml.SafeLoader(text)  # it reads the first characters
        try:
            node = loader.get_single_node()
            data = {} if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f":{mark.line + 1}"
        reason = getattr(error, "problem", None) or str(error) or type(error).__name__
        reason = _one_line(reason) + _begun(error)
        raise UnreadableConfigError(f"{name}{where}: is no YAML: {reason}") from None
    if not isinstance(data, Mapping):
        raise UnreadableConfigError(f"{name}: must be a mapping, not {type(data).__name__}")
    lines: dict[KeyPath, int] = {}
    repeated: dict[KeyPath, int] = {}
    for keys in _keys(node):
        first: dict[KeyPath, int] = {}
        for path, line in keys:
            lines[path] = line
            if first.setdefault(path, line) != line:
                repeated[path] = first[path]
    return YamlFile(name, data, lines, repeated)


def _begun(error: Exception) -> str:
    """Return where what is wrong began, since a key or a quote may be missed only lines later."""
    began, found = getattr(error, "context_mark", None), getattr(error, "problem_mark", None)
    if began is None or found is None or began.line == found.line:
        return ""
    return f" ({_one_line(getattr(error, 'context', None) or 'begun')}, line {began.line + 1})"


def _keys(root: yaml.Node | None) -> Iterator[list[tuple[KeyPath, int]]]:
    """Yield the paths and lines of the keys or entries of each mapping and list.

    What an alias repeats has its place where it stands first: a file of nested aliases would be
    larger than any memory.
    """
    seen: set[int] = set()
    waiting: list[tuple[KeyPath, yaml.Node]] = [] if root is None else [((), root)]
    while waiting:
        path, node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        children: list[tuple[str | int, yaml.Node, yaml.Node]] = []
        if isinstance(node, yaml.MappingNode):
            children = [
                (key.value, key, value)
                for key, value in node.value
                if isinstance(key, yaml.ScalarNode) and key.value != "<<"
            ]
        elif isinstance(node, yaml.SequenceNode):
            children = [(at, child, child) for at, child in enumerate(node.value)]
        yield [((*path, step), named.start_mark.line + 1) for step, named, _ in children]
        # The last in the file is popped last, so that a path's later place wins.
        waiting += [((*path, step), child) for step, _, child in children]


def _one_line(words: object) -> str:
    return " ".join(str(words).split())[:200]
