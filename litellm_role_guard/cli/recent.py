"""`role-guard recent`."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import click

from ..backend.key_refusal import is_about_the_key
from .common import BadStart, proxy_option

if TYPE_CHECKING:
    from rich.console import Console

ASKED = 6
"""How many connections are made: each may meet another worker of the proxy."""


_OUTCOMES = ("repaired", "observed", "rejected", "bad_input", "retried")


@click.command(short_help="Show what the guard did lately.")
@proxy_option()
@click.option(
    "--api-key",
    envvar=["LITELLM_API_KEY", "ROLE_GUARD_API_KEY"],
    help="The key of a proxy admin.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@click.option("--last", default=20, show_default=True, help="How many repairs to show.")
def recent(proxy: str, api_key: str | None, as_json: bool, last: int) -> None:
    """Show what the guard did lately on a running proxy, as its page /role_guard does.

    Each worker of the proxy tells of its own; what is shown is of those that were met.

    \b
      LITELLM_API_KEY=sk-... role-guard recent
      role-guard recent --proxy http://gpu-box:4000 --api-key sk-... --json
    """
    processes: dict[str, dict[str, Any]] = {}
    for _ in range(ASKED):
        told = _told(proxy, api_key)
        processes[told["process"]["id"]] = told
    shown = merged(list(processes.values()))
    if as_json:
        click.echo(json.dumps(shown, indent=2))
        return
    from rich.console import Console

    print_tables(shown, Console(), last)


def merged(processes: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what several workers have told, as one.

    Args:
        processes: What each of them has told last.
    """
    groups: dict[str, dict[str, int]] = {}
    for each in processes:
        for group, counts in each["groups"].items():
            sums = groups.setdefault(group, {})
            for name, count in counts.items():
                sums[name] = sums.get(name, 0) + count
    repairs = sorted(
        (one for each in processes for one in each["recent"]), key=lambda one: -one["at"]
    )
    profiles: dict[tuple[str, str], dict[str, Any]] = {}
    for one in (one for each in processes for one in each["profiles"]):
        name = one["deployment"], one["model"]
        if name not in profiles or _age(one) < _age(profiles[name]):
            profiles[name] = one
    return {
        "processes": [each["process"] for each in processes],
        "groups": dict(sorted(groups.items())),
        "recent": repairs[:100],
        "profiles": list(profiles.values()),
    }


def print_tables(shown: dict[str, Any], console: Console, last: int) -> None:
    """Print the groups, the last repairs and the profiles."""
    from rich.table import Table
    from rich.text import Text

    def table(title: str, names: tuple[str, ...], rows: list[list[Any]]) -> None:
        made = Table(*names, title=title, title_justify="left")
        for row in rows:
            made.add_row(*(Text(str(value)) for value in row))  # no markup: names may be clients'
        console.print(made)

    met = len(shown["processes"])
    console.print(
        f"As told by {met} process{'es' * (met != 1)} of the proxy, each of its own requests."
    )
    table(
        "Groups",
        ("group", *_OUTCOMES),
        [
            [group, *(counts.get(name, 0) for name in _OUTCOMES)]
            for group, counts in shown["groups"].items()
        ],
    )
    table(
        "Last repairs",
        ("time", "group", "deployment", "outcome", "what", "roles before", "roles after"),
        [_row(repair) for repair in shown["recent"][:last]],
    )
    table(
        "Profiles",
        ("deployment", "model", "known from", "age", "lessons"),
        [
            [one["deployment"][:12], one["model"], one["source"], _shown_age(one), one["lessons"]]
            for one in shown["profiles"]
        ],
    )


def _row(repair: dict[str, Any]) -> list[Any]:
    what = [f"{kind} {count}" for kind, count in repair["kinds"].items()]
    what += [f"retried {repair['retried']}"] * bool(repair["retried"])
    at = time.strftime("%H:%M:%S", time.localtime(repair["at"]))
    names = repair["group"], repair["deployment"][:12], repair["outcome"]
    return [at, *names, ", ".join(what), repair["before"], repair["after"]]


def _age(profile: dict[str, Any]) -> float:
    return float("inf") if profile["age"] is None else float(profile["age"])


def _shown_age(profile: dict[str, Any]) -> str:
    return "" if profile["age"] is None else f"{profile['age']:.0f} s"


def _told(proxy: str, api_key: str | None) -> dict[str, Any]:
    import httpx

    from ..backend.address import shown_address

    name = shown_address(proxy)
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    try:
        response = httpx.get(proxy.rstrip("/") + "/role_guard/recent", headers=headers, timeout=30)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise BadStart(f"{name}: cannot be reached: {_reason(error)}") from error
    if is_about_the_key(response.status_code, has_key=bool(api_key)):
        raise BadStart(f"{name}: wants the key of a proxy admin (--api-key, LITELLM_API_KEY)")
    if response.status_code == 404:
        raise BadStart(f"{name}: has no /role_guard; is the plugin among its callbacks?")
    try:
        told = response.raise_for_status().json()
    except (httpx.HTTPStatusError, ValueError):
        told = None
    if not isinstance(told, dict) or "process" not in told:
        raise BadStart(f"{name}: answered with {response.status_code}, and no list")
    return told


def _reason(error: Exception) -> str:
    from ..backend.server import one_line

    return one_line(str(error)) or type(error).__name__
