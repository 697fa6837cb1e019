"""What is known of each backend: its settings, and what its template takes, lessons included."""

from __future__ import annotations

import itertools
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ..backend.address import shown_address
from ..config.settings import (
    KEY,
    DeploymentSettings,
    GuardSettings,
    SettingsError,
    read_settings,
)
from ..observability.counts import Counts
from ..observability.metrics import OFF, DeploymentMetrics
from ..profile.lessons import ConversationId, Lessons
from ..profile.refusals import Lesson, with_lessons
from ..profile.template_profile import TemplateProfile
from ..template.chat_template import ChatTemplate
from .profile_cache import Cache, ProfileCache
from .profile_files import ProfileFiles, default_folder
from .profile_refresher import ProfileRefresher
from .steering import SteeredSettings, Steering, tell_unusable
from .template_roles import TemplateRoles

GLOBAL_PATH = f"callback_settings.{KEY}"

OWN_PATH = f"model_info.{KEY}"


MAX_DEPLOYMENTS = 4096
"""How many deployments are remembered, those used last. LiteLLM makes up a new one for every key
or address that a client may bring along, and a wildcard one serves models of any name, so their
number is not bounded by the config."""


_TELLING = ("chat_template", "learn", "learn_max_age")
"""The settings that say from whom it is known what a template takes."""


MAX_SHOWN = 200
"""How many deployments are shown to admins, those used last."""


class Deployment:
    """One backend.

    Args:
        settings: The settings that hold for it.
        profile: What its template takes, as far as known.
        template: Its template, where the config names it.
        metrics: Where to count what it learns.

    Attributes:
        profile: What is known of its template, with the lessons that hold for all conversations.
        learnt: The same without any lesson, as it was last told.
        lessons: What its refusals have taught.
        learner: Asks the backend what its template takes; None where nobody is to ask.
        roles: Which further roles its template takes.
    """

    def __init__(
        self,
        settings: DeploymentSettings,
        profile: TemplateProfile,
        template: ChatTemplate | None = None,
        *,
        metrics: DeploymentMetrics = OFF,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.profile = self.learnt = profile
        self.template = template
        self.metrics = metrics
        self._proven: tuple[Lesson, ...] = ()
        self.lessons = Lessons()
        self.learner: ProfileRefresher | None = None
        self.roles = TemplateRoles(template, clock)

    def install(self, profile: TemplateProfile) -> None:
        """Replace the profile, and with it the lessons that hold for all.

        Where it says nothing new, what single conversations have learnt still holds for these.
        """
        if profile == self.learnt:
            self.lessons.forget_proofs()
        else:
            self.lessons.forget()
            self.roles.forget()
            self.learnt = profile
        unconfirmed = [each for each in self._proven if with_lessons(profile, [each]) != profile]
        self.metrics.lessons("dropped", len(unconfirmed))
        self._proven = ()
        self.profile = self.learnt

    def shown(self, now: float) -> dict[str, Any]:
        """Return from what it is known what its template takes, and since how many seconds.

        Args:
            now: The time in seconds since the epoch.
        """
        learnt_at = None if self.learner is None else self.learner.learnt_at
        source = "template" if self.template is not None else "caution"
        for_some = "some conversations" if self.lessons.are_remembered else "none"
        return {
            "source": source if learnt_at is None else "backend",
            "age": None if learnt_at is None else max(0.0, now - learnt_at),
            "lessons": "all" if self.profile != self.learnt else for_some,
            "mode": self.settings.mode,
        }

    def forget(self) -> None:
        """Stop its background work; nobody uses it any more."""
        if self.learner is not None:
            self.learner.stop()

    def keep(
        self,
        conversation: ConversationId,
        learnt: TemplateProfile,
        lessons: tuple[Lesson, ...],
        *,
        proof: bytes | None,
    ) -> None:
        """Keep lessons that got a conversation answered, for all once another has proven them.

        Args:
            conversation: The conversation.
            learnt: `learnt` at the time of its refusal. If another template was learnt since, the
                lessons are the former's, and nothing is kept.
            lessons: What it was repaired with.
            proof: What its answer is as a proof for all (`proof_of`); None for no proof.
        """
        if self.learnt is learnt:
            self._teach(self.lessons.keep(conversation, lessons, proof=proof))

    def answered(self, conversation: ConversationId, lessons: tuple[Lesson, ...]) -> None:
        """Keep the lessons that a conversation was to try, since it was answered with them."""
        self._teach(self.lessons.answered(conversation, lessons))

    def _teach(self, proven: list[Lesson]) -> None:
        taught = with_lessons(self.profile, proven)
        if taught != self.profile:
            self.profile = taught
            self.metrics.lessons("proven", len(set(proven) - set(self._proven)))
            self._proven = tuple({*self._proven, *proven})


class Deployments:
    """The backends that were seen, each with its own profile.

    Args:
        settings: The settings of the whole guard.
        path: Where these stand, for error messages.
        counts: Where to count what was learnt.
        cache: Returns the cache in which proxies share what they learnt; None where there is none.
        clock: Returns the time in seconds, which never goes back.

    Raises:
        SettingsError: The chat template or the folder for profiles cannot be used.
    """

    def __init__(
        self,
        settings: GuardSettings,
        path: str = GLOBAL_PATH,
        *,
        counts: Counts | None = None,
        cache: Callable[[], Cache | None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self.settings = settings
        self._counts = Counts() if counts is None else counts
        self._cache = cache
        self._files = ProfileFiles(_folder(settings.profile_cache, path))
        self._learning: set[ProfileRefresher] = set()
        self._templates: dict[str, tuple[ChatTemplate, TemplateProfile]] = {}
        self._read_at: dict[str, float] = {}
        self._known: OrderedDict[Hashable, tuple[object, Deployment]] = OrderedDict()
        self._read: dict[str, DeploymentSettings] = {}
        self._steered = SteeredSettings()
        self._unusable: set[str] = set()
        self._make(settings, path)

    def prepare(self, configured: Iterable[object]) -> None:
        """Learn the templates that a config names, before the first request.

        Args:
            configured: The config's `model_list`.

        Raises:
            SettingsError: A setting or a chat template of a deployment cannot be used.
        """
        for position, entry in enumerate(configured):
            info = entry.get("model_info") if isinstance(entry, Mapping) else None
            if isinstance(info, Mapping) and KEY in info:
                where = f"model_list[{position}].model_info.{KEY}"
                self._make(self._settings(info[KEY], where), where)

    def get(
        self,
        key: Hashable,
        own: object,
        metrics: Callable[[], DeploymentMetrics] = lambda: OFF,
    ) -> Deployment:
        """Return a deployment with its profile and lessons.

        Args:
            key: What tells this deployment from the others.
            own: Its own settings as written, or None.
            metrics: Returns its metrics, where it is used for the first time.

        Raises:
            SettingsError: These cannot be used.
        """
        written, deployment = self._known.get(key, (None, None))
        if deployment is None or written != own:
            if deployment is not None:
                deployment.forget()
            deployment = self._make(self.settings_for(own), OWN_PATH, metrics())
            self._known[key] = (own, deployment)
            if len(self._known) > MAX_DEPLOYMENTS:
                _, (_, oldest) = self._known.popitem(last=False)
                oldest.forget()
        self._known.move_to_end(key)
        return deployment

    def shown(self, now: float) -> list[dict[str, Any]]:
        """Return what is known of each deployment, those used last first, without credentials.

        Args:
            now: The time in seconds since the epoch.
        """
        listed = []
        for key, (_, deployment) in itertools.islice(reversed(self._known.items()), MAX_SHOWN):
            told, model = key if isinstance(key, tuple) and len(key) == 2 else (key, "")
            if isinstance(told, tuple):  # steered apart from the others by a key's metadata
                told, model = told
            name = shown_address(str(told))[:100]
            listed.append({"deployment": name, "model": str(model)[:100], **deployment.shown(now)})
        return listed

    def steered(
        self,
        key: Hashable,
        own: object,
        steering: Steering,
        metrics: Callable[[], DeploymentMetrics] = lambda: OFF,
    ) -> tuple[Deployment, DeploymentSettings]:
        """Return a deployment for a request, and the settings that hold for the request.

        What is known of it is shared by all requests, but for those that are steered to another
        template or to another way of learning it.

        Args:
            key: What tells this deployment from the others.
            own: Its own settings as written, or None.
            steering: What was written for the request.
            metrics: Returns its metrics, where it is used for the first time.

        Raises:
            SettingsError: The deployment's own settings cannot be used.
        """
        deployment = self.get(key, own, metrics)
        settings = self.steer(deployment.settings, steering)
        if settings is deployment.settings:
            return deployment, settings
        usual, told = _telling(deployment.settings), _telling(settings)
        if told != usual and repr(told) not in self._unusable:
            try:
                deployment = self.get((key, repr(told)), {**_as_written(own), **told}, metrics)
            except SettingsError as error:
                # What the admin wrote for this key is wrong; the deployment's own still holds.
                tell_unusable("key", steering.alias, str(error).removeprefix("model_info."))
                if len(self._unusable) >= MAX_DEPLOYMENTS:
                    self._unusable.clear()
                self._unusable.add(repr(told))
        if repr(told) in self._unusable:
            settings = settings.model_copy(update=usual)
        if settings.verify and deployment.template is None:
            settings = settings.model_copy(update={"verify": False})
        return deployment, settings

    def steer(self, settings: DeploymentSettings, steering: Steering) -> DeploymentSettings:
        """Return a deployment's settings with what was written for a request."""
        return self._steered.of(settings, steering)

    def settings_for(self, own: object) -> DeploymentSettings:
        """Return the settings that hold for a deployment.

        Args:
            own: Its own settings as written, or None.

        Raises:
            SettingsError: These cannot be used.
        """
        if own is None:
            return self.settings
        # Several hooks of each request ask; to compare what YAML gives costs a tenth of reading it.
        written = repr(own)
        settings = self._read.get(written)
        if settings is None:
            settings = self._settings(own, OWN_PATH)
            if len(self._read) >= MAX_DEPLOYMENTS:
                self._read.clear()
            self._read[written] = settings
        return settings

    def _settings(self, own: object, path: str) -> DeploymentSettings:
        return self.settings.overridden(read_settings(own, path, DeploymentSettings))

    def _make(
        self, settings: DeploymentSettings, path: str, metrics: DeploymentMetrics = OFF
    ) -> Deployment:
        name = settings.chat_template
        if name is None:
            if settings.verify:
                raise SettingsError(f"{path}.verify: needs a chat_template to render with")
            return self._untold(settings, metrics)
        if name not in self._templates:
            try:
                template = ChatTemplate.from_path(name)
            except (OSError, RuntimeError, ValueError) as error:
                # RuntimeError: no such user's home. ValueError: TemplateInvalid, or no UTF-8.
                raise SettingsError(f"{path}.chat_template: {name}: {error}") from None
            self._templates[name] = template, TemplateProfile.learn(template)
            self._read_at[name] = time.time()
        template, profile = self._templates[name]
        metrics.has_profile("chat_template", self._read_at[name])
        return Deployment(settings, profile, template, metrics=metrics, clock=self._clock)

    def _untold(self, settings: DeploymentSettings, metrics: DeploymentMetrics) -> Deployment:
        """Return a deployment whose template nobody has named."""
        cautious = TemplateProfile.cautious(late_system=settings.late_system == "in_place")
        deployment = Deployment(settings, cautious, metrics=metrics, clock=self._clock)
        metrics.has_profile("cautious")
        if settings.learn:
            deployment.learner = ProfileRefresher(
                deployment.install,
                max_age=settings.learn_max_age,
                counts=self._counts,
                metrics=metrics,
                busy=self._learning,
                shared=ProfileCache(self._cache, settings.learn_max_age),
                kept=self._files,
                clock=self._clock,
            )
        return deployment


def _folder(setting: str | None, path: str) -> Path | None:
    """Return where profiles are kept; None for nowhere."""
    if setting is None:
        return default_folder()
    try:
        return None if setting == "off" else Path(setting).expanduser()
    except RuntimeError as error:  # no such user's home
        raise SettingsError(f"{path}.profile_cache: {setting}: {error}") from None


def _telling(settings: DeploymentSettings) -> dict[str, object]:
    return {name: getattr(settings, name) for name in _TELLING}


def _as_written(own: object) -> Mapping[str, object]:
    return own if isinstance(own, Mapping) else {}
