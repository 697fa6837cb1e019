"""Which deployments are guarded, which are not and why, and what is known of their templates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from ..config.deployment import ConfiguredDeployment
from ..config.settings import DeploymentSettings, GuardSettings
from .settings_faults import is_guarded, settings_of

_MOST_NAMED = 20


@dataclass(frozen=True)
class Coverage:
    """What the guard does for the deployments of a proxy.

    Attributes:
        settings: The settings of the whole guard.
        guarded: The guarded deployments of each group, with their settings.
        unguarded: Why a group, or some of it, is not guarded.
    """

    settings: GuardSettings
    guarded: Mapping[str, Sequence[DeploymentSettings]]
    unguarded: Mapping[str, str]

    def line(self) -> str:
        """Return all of it in one line, for a log."""
        guarded = [_counted(group, members) for group, members in self.guarded.items()]
        unguarded = [f"{group} ({why})" for group, why in self.unguarded.items()]
        parts = [
            f"role guard {installed('litellm-role-guard')}: mode {self.settings.mode}",
            f"guards {_some(guarded)}" if guarded else "guards nothing",
        ]
        if unguarded:
            parts.append(f"does not guard {_some(unguarded)}")
        if guarded:
            parts.append(f"profiles: {self.profiles()}")
        return "; ".join(parts)

    def profiles(self) -> str:
        """Return where what is known of the templates comes from."""
        sources = Counter(
            profile_source(settings) for members in self.guarded.values() for settings in members
        )
        if len(sources) == 1:
            return next(iter(sources))
        return ", ".join(f"{source} ({count})" for source, count in sources.items())


def profile_source(settings: DeploymentSettings) -> str:
    """Return where the profile of a deployment comes from."""
    if settings.chat_template is not None:
        return "the chat_template"
    return "the backend is asked" if settings.learn else "none, a strict template is assumed"


def coverage_of(settings: GuardSettings, deployments: Iterable[ConfiguredDeployment]) -> Coverage:
    """Return what the guard does for deployments.

    Args:
        settings: The settings of the whole guard.
        deployments: The deployments.
    """
    guarded: dict[str, list[DeploymentSettings]] = {}
    unguarded: dict[str, str] = {}
    for deployment in deployments:
        own = settings_of(settings, deployment)
        if not is_guarded(settings, deployment):
            unguarded.setdefault(deployment.group, _why(settings, deployment))
        elif own.mode == "off":
            unguarded.setdefault(deployment.group, "mode off")
        else:
            guarded.setdefault(deployment.group, []).append(own)
    return Coverage(settings, guarded, unguarded)


def installed(package: str) -> str | None:
    """Return the version of an installed package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _why(settings: GuardSettings, deployment: ConfiguredDeployment) -> str:
    if settings.model_groups is not None:
        return "not named in model_groups"
    return f"{deployment.model or 'no model'}, not hosted_vllm"


def _counted(group: str, members: Sequence[DeploymentSettings]) -> str:
    modes = Counter(each.mode for each in members)
    plural = "" if len(members) == 1 else "s"
    mode = f", {' and '.join(modes)}" if set(modes) != {"repair"} else ""
    return f"{group} ({len(members)} deployment{plural}{mode})"


def _some(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
