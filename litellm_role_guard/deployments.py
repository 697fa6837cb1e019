"""What is known of each backend: its settings, and what its template takes, lessons included."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path

from .profile import TemplateProfile
from .refusals import Refusal, teach
from .settings import DeploymentSettings, GuardSettings, SettingsError, read_settings
from .template import ChatTemplate, TemplateInvalid

GLOBAL_PATH = "callback_settings.role_guard"
OWN_PATH = "model_info.role_guard"

MAX_DEPLOYMENTS = 4096
"""How many deployments are remembered. LiteLLM makes up a new one for every key or address that
a client may bring along, so their number is not bounded by the config."""


class Deployment:
    """One backend.

    Args:
        settings: The settings that hold for it.
        profile: What its template takes, as far as known.
    """

    def __init__(self, settings: DeploymentSettings, profile: TemplateProfile) -> None:
        self.settings = settings
        self.profile = profile

    def learn(self, refusal: Refusal) -> None:
        """Take a lesson from a refusal of this backend, for all later requests."""
        self.profile = teach(self.profile, refusal)

    def keep(self, base: TemplateProfile, proven: TemplateProfile) -> None:
        """Take over a profile that got a request answered.

        Args:
            base: The profile that it was made from. If another request has taught this deployment
                something since, that stays: two requests refused for the same reason must not
                both add a lesson.
            proven: The profile with its lessons.
        """
        if self.profile is base:
            self.profile = proven


class Deployments:
    """The backends that were seen, each with its own profile.

    Args:
        settings: The settings of the whole guard.
        path: Where these stand, for error messages.

    Raises:
        SettingsError: The chat template cannot be used.
    """

    def __init__(self, settings: GuardSettings, path: str = GLOBAL_PATH) -> None:
        self.settings = settings
        self._profiles: dict[str, TemplateProfile] = {}
        self._known: OrderedDict[str, tuple[object, Deployment]] = OrderedDict()
        self._make(settings, path)

    def check(self, configured: Iterable[object]) -> None:
        """Read the deployments' own settings as a config has them.

        Args:
            configured: The config's `model_list`.

        Raises:
            SettingsError: A setting or a chat template of a deployment cannot be used.
        """
        for position, entry in enumerate(configured):
            info = entry.get("model_info") if isinstance(entry, Mapping) else None
            if isinstance(info, Mapping) and "role_guard" in info:
                where = f"model_list[{position}].{OWN_PATH}"
                self._make(self._settings(info["role_guard"], where), where)

    def get(self, key: str, own: object) -> Deployment:
        """Give a deployment with all that was learnt of it.

        Args:
            key: What tells this deployment from the others.
            own: Its own settings as written, or None.

        Raises:
            SettingsError: These cannot be used.
        """
        written, deployment = self._known.get(key, (None, None))
        if deployment is None or written != own:
            deployment = self._make(self._settings(own, OWN_PATH), OWN_PATH)
            self._known[key] = (own, deployment)
            if len(self._known) > MAX_DEPLOYMENTS:
                self._known.popitem(last=False)
        return deployment

    def settings_for(self, own: object) -> DeploymentSettings:
        """Give the settings that hold for a deployment.

        Args:
            own: Its own settings as written, or None.
        """
        return self._settings(own, OWN_PATH)

    def _settings(self, own: object, path: str) -> DeploymentSettings:
        return self.settings.overridden(read_settings(own, path, DeploymentSettings))

    def _make(self, settings: DeploymentSettings, path: str) -> Deployment:
        if settings.chat_template is None:
            return Deployment(settings, TemplateProfile.cautious())
        name = settings.chat_template
        if name not in self._profiles:
            try:
                template = ChatTemplate.from_path(Path(name).expanduser())
            except (OSError, TemplateInvalid) as error:
                raise SettingsError(f"{path}.chat_template: {name}: {error}") from None
            self._profiles[name] = TemplateProfile.learn(template)
        return Deployment(settings, self._profiles[name])
