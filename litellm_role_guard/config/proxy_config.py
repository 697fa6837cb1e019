"""A proxy's config.yaml as LiteLLM reads it: with its includes, and with its variables.

Source: LiteLLM `proxy/proxy_server.py` (`_process_includes`, `_check_for_os_environ_vars`),
`proxy/common_utils/config_includes.py`, `secret_managers/main.py` (`get_secret`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .yaml_file import KeyPath, UnreadableConfigError, YamlFile, parse_yaml

VARIABLE = "os.environ/"
"""What the value of a key begins with that LiteLLM takes from a variable."""

_MOST_NESTED = 100


@dataclass(frozen=True)
class ProxyConfig:
    """A proxy's config.

    Attributes:
        written: The config as written, includes merged in; `os.environ/NAME` stands as it is.
        resolved: The same with the variables' values; None for one that is not set.
        files: The files that it was read from, the first is the one that was named.
        places: The file and the line of each key, as far as known.
        is_litellms: Whether LiteLLM itself has resolved it.
        folder: Where the file that was named is; None for a config without files.
    """

    written: Mapping[str, Any]
    resolved: Mapping[str, Any]
    files: Sequence[YamlFile] = ()
    places: Mapping[KeyPath, tuple[str, int]] = field(default_factory=dict)
    is_litellms: bool = False
    folder: Path | None = None

    @classmethod
    def of_data(cls, data: Mapping[str, Any]) -> ProxyConfig:
        """Return a config whose text nobody has: from a database, say, with its values in it."""
        return cls(data, data, is_litellms=True)

    @classmethod
    def read(
        cls,
        path: Path,
        variables: Mapping[str, str] = os.environ,
        resolved: Mapping[str, Any] | None = None,
    ) -> ProxyConfig:
        """Read a config from its files.

        Args:
            path: The config.yaml.
            variables: The environment.
            resolved: The config as LiteLLM itself has resolved it, where that is known.

        Raises:
            UnreadableConfigError: A file cannot be read.
        """
        files, merged, places = _with_includes(path)
        known = dict(resolve(merged, variables.get)) if resolved is None else resolved
        return cls(merged, known, files, places, resolved is not None, path.parent)

    def mapping(self, *path: str | int) -> Mapping[str, Any]:
        """Return the mapping at a path of the resolved config; an empty one if there is none."""
        found = at(self.resolved, path)
        return found if isinstance(found, Mapping) else {}

    def entries(self, key: str) -> list[Any]:
        """Return the list at a key of the resolved config; an empty one if there is none."""
        found = self.resolved.get(key)
        return found if isinstance(found, list) else []

    def variable(self, path: KeyPath) -> str | None:
        """Return the name of the variable that a key's value is taken from, if it is."""
        return variable_named(at(self.written, path))

    def is_unknown(self, path: KeyPath) -> bool:
        """Return whether a value may come from a secret manager, which only the proxy can ask."""
        manager = self.mapping("general_settings").get("key_management_system")
        is_missing = self.variable(path) is not None and at(self.resolved, path) is None
        return is_missing and manager is not None and not self.is_litellms

    def place(self, path: KeyPath) -> str | None:
        """Return the file and line of a path, or of what it stands in: `config.yaml:12`."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.places:
                name, line = self.places[path[:length]]
                return f"{name}:{line}"
        return None


def at(config: object, path: KeyPath) -> Any:
    """Return what stands at a path, or None."""
    for step in path:
        if isinstance(config, Mapping) and step in config:
            config = config[step]
        elif isinstance(config, list) and isinstance(step, int) and step < len(config):
            config = config[step]
        else:
            return None
    return config


def dotted(path: KeyPath) -> str:
    """Return a path as people write it: `model_list[1].litellm_params.api_base`."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return "".join(steps).removeprefix(".")


def variable_named(value: object) -> str | None:
    """Return NAME of the value `os.environ/NAME`; None for every other value."""
    if isinstance(value, str) and value.startswith(VARIABLE):
        return value.replace(VARIABLE, "")
    return None


def resolve(config: Mapping[Any, Any], lookup: Callable[[str], str | None]) -> dict[Any, Any]:
    """Return a config with the values of its variables.

    As LiteLLM does it: the values of keys, and not the entries of a list, are looked up; `true` and
    `false` become booleans.

    Args:
        config: The config.
        lookup: Returns the value of a variable, or None.
    """
    return {key: _resolved(value, lookup, 0) for key, value in config.items()}


def _resolved(value: object, lookup: Callable[[str], str | None], depth: int) -> Any:
    if depth > _MOST_NESTED:
        return value
    if isinstance(value, Mapping):
        return {key: _resolved(each, lookup, depth + 1) for key, each in value.items()}
    if isinstance(value, list):
        return [
            _resolved(each, lookup, depth + 1) if isinstance(each, Mapping) else each
            for each in value
        ]
    name = variable_named(value)
    if name is None:
        return value
    found = lookup(name)
    words = None if found is None else found.strip().lower()
    return {"true": True, "false": False}.get(words or "", found)


def walk(config: object) -> Iterator[tuple[KeyPath, Any]]:
    """Yield each path of a config with what stands there, in the order of the file."""
    waiting: list[tuple[KeyPath, Any]] = [((), config)]
    while waiting:
        path, value = waiting.pop()
        if path:
            yield path, value
        if len(path) > _MOST_NESTED:
            continue
        if isinstance(value, Mapping):
            steps: list[tuple[Any, Any]] = list(value.items())
        else:
            steps = list(enumerate(value)) if isinstance(value, list) else []
        waiting += [((*path, step), each) for step, each in reversed(steps)]


def _with_includes(
    path: Path,
) -> tuple[list[YamlFile], dict[str, Any], dict[KeyPath, tuple[str, int]]]:
    files = [_file(path, path.name or str(path))]
    merged = dict(files[0].data)
    places = {key: (path.name, line) for key, line in files[0].lines.items()}
    waiting = [(entry, path) for entry in _includes(files[0])]
    loaded = {path.absolute()}
    while waiting:
        entry, declared_in = waiting.pop(0)
        beside = Path(os.path.abspath(declared_in.parent / entry))
        beside_root = Path(os.path.abspath(path.parent / entry))
        location = beside if beside.exists() or not beside_root.exists() else beside_root
        if location in loaded:
            continue
        loaded.add(location)
        file = _file(location, entry)
        files.append(file)
        waiting += [(each, location) for each in _includes(file)]
        _merge(file, merged, places)
    merged.pop("include", None)
    return files, merged, places


def _merge(file: YamlFile, merged: dict[str, Any], places: dict[KeyPath, tuple[str, int]]) -> None:
    """Put an included file's keys in: lists are lengthened, everything else is replaced."""
    shifts: dict[str, int] = {}
    for key, value in file.data.items():
        before = merged.get(key)
        if isinstance(value, list) and isinstance(before, list):
            shifts[key] = len(before)
            merged[key] = [*before, *value]
        else:
            merged[key] = value
            for stale in [each for each in places if each[0] == key]:
                del places[stale]
    for path, line in file.lines.items():
        first, *rest = path
        if first in shifts and rest:
            assert isinstance(first, str)
            assert isinstance(rest[0], int)
            rest[0] += shifts[first]
        places.setdefault((first, *rest), (file.name, line))


def _file(path: Path, name: str) -> YamlFile:
    try:
        return parse_yaml(path.read_bytes(), name)
    except OSError as error:
        raise UnreadableConfigError(f"{name}: {error.strerror or error}") from None


def _includes(file: YamlFile) -> list[str]:
    entries = file.data.get("include", [])
    if not isinstance(entries, list) or not all(isinstance(each, str) for each in entries):
        raise UnreadableConfigError(f"{file.name}: include: must be a list of file paths")
    return entries
