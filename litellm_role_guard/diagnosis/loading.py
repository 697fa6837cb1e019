"""How a config puts the guard in: under `callbacks`, once, by its name."""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..config.proxy_config import ProxyConfig, at, walk
from ..config.settings import KEY
from ..config.yaml_file import KeyPath
from .finding import Finding
from .places import CALLBACK_SETTINGS

PACKAGE = "litellm_role_guard"

CALLBACK = f"{PACKAGE}.role_guard"

GUARDRAIL = f"{PACKAGE}.RoleGuardrail"

LINE = f'callbacks: ["{CALLBACK}"]'

CALLBACKS: KeyPath = ("litellm_settings", "callbacks")

# What LiteLLM imports for a callback, and what brings it; `litellm[proxy]` does not.
_PACKAGES = {"prometheus": ("prometheus_client", "prometheus-client")}


def loading_faults(config: ProxyConfig) -> Iterator[Finding]:
    """Yield what is wrong with the lines that name the guard, and no word where none does."""
    found = list(_named(config))
    right = [path for path, name in found if _is_callback(path) and name == CALLBACK]
    for path, name in found:
        if path in right[1:]:
            yield Finding("warning", path, "the guard stands here twice", f"{LINE}, once")
        elif _is_callback(path) and name != CALLBACK:
            yield Finding("fatal", path, f"LiteLLM cannot load {name!r}", LINE)
        elif _is_guardrail(path) and path[-1] == "guardrail" and name != GUARDRAIL:
            what = f"{name!r} is no guardrail"
            yield Finding("error", path, what, f"guardrail: {GUARDRAIL}")
        elif not _is_callback(path) and not _is_guardrail(path):
            yield _elsewhere(path, bool(right))


def not_loaded(config: ProxyConfig) -> Iterator[Finding]:
    """Yield why the guard is not put in at all, for who is not the guard itself."""
    if _is_beside(config, PACKAGE):
        what = f"{PACKAGE}.py beside the config is loaded in place of the installed package"
        yield Finding("error", CALLBACKS, what, "another name for that file")
    is_put_in = bool(_named(config)) or _is_put_in_by_a_module(config)
    if not is_put_in and not list(replaced_sections(config)):
        what = "no line puts the guard in, so that it does nothing"
        yield Finding("error", CALLBACKS, what, f"litellm_settings: {{{LINE}}}")


def missing_packages(config: ProxyConfig) -> Iterator[Finding]:
    """Yield the callbacks beside the guard for which LiteLLM lacks a package in this environment.

    The proxy ends with a traceback then. Where LiteLLM is not installed, nobody can tell.
    """
    if importlib.util.find_spec("litellm") is None:
        return
    for path, name in walk(at(config.written, CALLBACKS[:1])):
        needed = _PACKAGES.get(name) if isinstance(name, str) else None
        if needed and "callback" in str(path[0]) and importlib.util.find_spec(needed[0]) is None:
            what = f"{name} needs {needed[1]}, which is not installed here"
            yield Finding("fatal", (*CALLBACKS[:1], *path), what, f"pip install {needed[1]}")


def replaced_sections(config: ProxyConfig) -> Iterator[Finding]:
    """Yield the guard's lines that an included file replaces with its own section.

    LiteLLM lengthens lists and replaces mappings as a whole.
    """
    for path in (CALLBACKS, (CALLBACK_SETTINGS, KEY)):
        with_section = [file for file in config.files if path[0] in file.data]
        for file in with_section[:-1]:
            mine = at(file.data, path)
            is_ours = mine is not None and (path != CALLBACKS or CALLBACK in _strings(mine))
            if is_ours and at(config.written, path) != mine:
                last = with_section[-1].name
                what = f"lost, since {last}, which is included, has a {path[0]} of its own"
                yield Finding("error", path, f"{what} ({file.name})", f"it in {last}")


def repeated_keys(config: ProxyConfig) -> Iterator[Finding]:
    """Yield the keys that stand twice in one mapping, of which YAML keeps the last."""
    for file in config.files:
        for path, first in file.repeated.items():
            what = f"stands twice: what {file.name}:{first} says is lost"
            yield Finding("warning", path, what, f"one {path[-1]}: with the keys of both")


def _named(config: ProxyConfig) -> list[tuple[KeyPath, str]]:
    """Return where a callback or a guardrail is named that is the guard, or nearly."""
    return [
        (path, value)
        for path, value in walk(config.written)
        if isinstance(value, str)
        and any("callback" in str(step) or "guardrail" in str(step) for step in path)
        and path[:1] != (CALLBACK_SETTINGS,)
        and path[-1] != "guardrail_name"
        and _is_nearly_ours(value)
        and not _is_their_own(value, config)
    ]


def _is_nearly_ours(name: str) -> bool:
    if len(name) > 100 or any(each.isspace() for each in name.strip()):
        return False
    module = name.strip().partition(".")[0].replace("-", "_").lower()
    return bool(difflib.get_close_matches(module, [PACKAGE, KEY], cutoff=0.8))


def _is_their_own(name: str, config: ProxyConfig) -> bool:
    """Return whether a name leads to another module that is there: one of the operator's own."""
    module = name.strip().rpartition(".")[0]
    top = module.partition(".")[0]
    if not top or top == PACKAGE:
        return False
    return _is_beside(config, module) or importlib.util.find_spec(top) is not None


def _is_beside(config: ProxyConfig, module: str) -> bool:
    """Return whether a module is a file beside the config, which comes before installed ones."""
    return config.folder is not None and _file_of(config.folder, module).is_file()


def _is_put_in_by_a_module(config: ProxyConfig) -> bool:
    """Return whether a callback comes from a file beside the config that speaks of the guard."""
    for name in _strings(at(config.written, CALLBACKS)):
        if config.folder is not None and isinstance(name, str):
            file = _file_of(config.folder, name.rpartition(".")[0])
            if file.is_file() and PACKAGE in file.read_text(errors="replace"):
                return True
    return False


def _file_of(folder: Path, module: str) -> Path:
    return folder.joinpath(*module.split(".")).with_suffix(".py")


def _is_callback(path: KeyPath) -> bool:
    return path[:2] == CALLBACKS


def _is_guardrail(path: KeyPath) -> bool:
    return path[0] == "guardrails"


def _elsewhere(path: KeyPath, is_loaded: bool) -> Finding:
    key = next(str(step) for step in path if "callback" in str(step) or "guardrail" in str(step))
    if is_loaded:
        what = f"{key} is of no use to the guard, which stands under callbacks"
        return Finding("warning", path, what, f"{key} without it")
    what = "the guard does nothing here: LiteLLM runs its hooks for litellm_settings.callbacks only"
    return Finding("error", path, what, f"litellm_settings: {{{LINE}}}")


def _strings(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
