"""A template's profile: its rules, for requests with and without tools."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any

from pydantic import Field

from .rules import Answer, Rules, strict_turns
from .states import LATE_ROLES, STATES, SYSTEM_RUNS

MAX_MARKERS = 64
"""How many markers of turns a profile may name. Of 77 real templates none has more than seven of
turns, and nine of rounds."""

MAX_CHARS = 64
"""How many characters of a marker it names."""

Marker = Annotated[str, Field(min_length=1, max_length=MAX_CHARS)]


class TemplateProfile(Rules):
    """What one chat template, or one backend, accepts and drops.

    The fields are the answers for requests without `tools`; `with_tools` holds those for requests
    that bring some, where they differ.
    """

    with_tools: Rules | None = Field(
        default=None, description="The answers for requests that bring tools, where they differ."
    )
    turn_markers: tuple[Marker, ...] = Field(
        default=(),
        max_length=MAX_MARKERS,
        description="The pieces of text with which the template opens and closes turns.",
    )
    round_markers: tuple[Marker, ...] = Field(
        default=(),
        max_length=MAX_MARKERS,
        description="Further ones of calls and results; a reply may hold these as words.",
    )

    @classmethod
    def learn(cls, template: Any) -> TemplateProfile:
        """Learn a profile from a `ChatTemplate`: `litellm_role_guard.learn_from_template`."""
        profile: TemplateProfile = _public("learn_from_template")(template)
        return profile

    @classmethod
    async def learn_from_vllm(
        cls, base_url: str, model: str, api_key: str | None = None
    ) -> TemplateProfile:
        """Learn a profile from a running vLLM: `litellm_role_guard.learn_from_vllm`.

        Args:
            base_url: The server's address, with or without `/v1`.
            model: The name of a served model.
            api_key: Sent as the bearer token.

        Raises:
            LearningFailed: The backend cannot be reached or asked, or not in time.
        """
        profile: TemplateProfile = await _public("learn_from_vllm")(base_url, model, api_key)
        return profile

    @classmethod
    def cautious(cls, *, late_system: bool = False) -> TemplateProfile:
        """Return the profile for a backend of which nothing is known.

        It is strict where a repair costs a lenient template nothing: turns alternate, and one
        system message stands first. It trusts the backend with tools, which a repair would degrade.

        Args:
            late_system: Whether to trust it with system messages after the first turn, too.
        """
        late = [kind for kind in LATE_ROLES if not (late_system and kind == "system")]
        leading_system: dict[str, Answer] = dict.fromkeys(SYSTEM_RUNS, "not_read")
        return cls(
            # Not even an empty system message may stand beside the first one.
            leading_system={**leading_system, "system": "accepted", "system empty": "refused"},
            follows=Rules(follows=strict_turns(Rules())).forbid(STATES, late, "not_read"),
            without_user={"leading_system": "not_read", "assistant": "refused"},
            developer_then_system="not_read",
            parts={"system": "not_read"},
        )

    def with_markers_of(self, other: TemplateProfile) -> TemplateProfile:
        """Return this profile with the markers of another one of the same template."""
        if self.turn_markers == other.turn_markers and self.round_markers == other.round_markers:
            return self
        markers = {"turn_markers": other.turn_markers, "round_markers": other.round_markers}
        return self.model_copy(update=markers)

    def rules(self, *, tools: bool) -> Rules:
        """Return the answers for a request with or without tools."""
        return self.with_tools if tools and self.with_tools is not None else self


def _public(name: str) -> Any:
    # By name: what learns a profile needs this module, and an import back would be a circle.
    return getattr(import_module(__name__.partition(".")[0]), name)
