"""Which releases are installed, and whether they go together."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires

from .coverage import installed
from .finding import Finding

GUARD = "litellm-role-guard"

_BOUNDS = re.compile(r"litellm\s*([!<>=][^;]*)")


def versions() -> dict[str, str]:
    """Return the versions of the guard and of LiteLLM where the command runs."""
    return {
        "role guard": installed(GUARD) or "not installed, only its files are here",
        "LiteLLM": installed("litellm") or "not installed here",
    }


def version_faults(found: str | None, wanted: str | None = None) -> Iterator[Finding]:
    """Yield why a LiteLLM is not to be used, or that nobody has tried the guard with it.

    The package's own metadata name the range that `make test-matrix` has tried, and the releases
    within it that are not to be used.

    Args:
        found: Its version; None where it is not installed here.
        wanted: What the guard requires of it, as its package says; by default that.
    """
    wanted = _requirement() if wanted is None else wanted
    if found is None:
        return
    bounds = re.findall(r"(!=|>=|<)\s*([\w.]+)", wanted)
    fix = f"pip install '{wanted}'"
    here = _order(found)
    if any(sign == "!=" and here == _order(bound) for sign, bound in bounds):
        yield Finding("error", (), f"LiteLLM {found} is not to be used: malicious or broken", fix)
    elif any(sign == ">=" and here < _order(bound) for sign, bound in bounds):
        what = f"LiteLLM {found} is too old for the guard, which wants {wanted}"
        yield Finding("error", (), what, fix)
    elif any(sign == "<" and here >= _order(bound) for sign, bound in bounds):
        what = f"LiteLLM {found} was not tried with the guard, which wants {wanted}"
        yield Finding("warning", (), what, fix)


def _requirement() -> str:
    try:
        listed = requires(GUARD) or []
    except PackageNotFoundError:
        return ""
    # The upper bound stands in an extra: pip leaves a newer LiteLLM where it is. hatch writes it
    # once more for each extra that has it.
    bounds = dict.fromkeys(found[1].strip() for each in listed if (found := _BOUNDS.match(each)))
    return "litellm" + ",".join(bounds) if bounds else ""


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
