"""Variables that a config takes values from, and that are not there."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from ..config.proxy_config import VARIABLE, ProxyConfig, at, variable_named, walk
from ..config.yaml_file import KeyPath
from .finding import Finding

# What people write where LiteLLM wants `os.environ/NAME`.
_NEARLY = re.compile(
    r"^(?:\$\{?(?P<shell>\w+)\}?"
    r"|(?:os[./])?env(?:iron(?:ment)?)?[/.:](?P<other>\w+)"
    r"|os\.environ[.:\[(]+['\"]?(?P<python>\w+)['\"]?[\])]*)$",
    re.IGNORECASE,
)


def variable_faults(config: ProxyConfig, known: Collection[KeyPath] = ()) -> Iterator[Finding]:
    """Yield the variables that are not set, and what is written in place of one.

    Args:
        config: The config.
        known: Where something else is wrong already, of which the variable is the reason.
    """
    for path, value in walk(config.written):
        if not isinstance(value, str) or path in known or path[0] == "environment_variables":
            continue
        name = variable_named(value)
        if name is not None:
            yield from _of_variable(config, path, name)
        elif VARIABLE in value:
            what = f"{VARIABLE}NAME is read only where it is the whole value"
            yield Finding("warning", path, what, f"{path[-1]}: {VARIABLE}NAME, with all of it")
        elif near := _NEARLY.match(value):
            named = next(each for each in near.groups() if each)
            what = f"LiteLLM takes {value} as it stands, and reads no variable"
            yield Finding("warning", path, what, f"{path[-1]}: {VARIABLE}{named}")


def _of_variable(config: ProxyConfig, path: KeyPath, name: str) -> Iterator[Finding]:
    if name.startswith("oidc/"):
        return
    if isinstance(path[-1], int):
        what = f"LiteLLM reads no variable in a list, so that {VARIABLE}{name} stands as it is"
        yield Finding("warning", path, what, "the value itself")
    elif at(config.resolved, path) in (None, "") and not config.is_unknown(path):
        yield Finding("warning", path, unset(config, path, name), f"export {name}=...")


def unset(config: ProxyConfig, path: KeyPath, name: str) -> str:
    """Return that a variable is not set, or empty, and why where the config seems to set it."""
    state = "not set" if at(config.resolved, path) is None else "empty"
    late = name in config.mapping("environment_variables")
    return f"the variable {name} is {state}" + (
        "; environment_variables is read too late for it" if late else ""
    )
