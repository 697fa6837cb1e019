"""What a user may write about the guard in config.yaml, and how a mistake there is named.

Global settings stand under `callback_settings.role_guard`, those of one deployment under its
`model_info.role_guard`. The deployment's own win, key by key.
"""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal, TypeVar

import regex
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from ..repair.labels import MAX_OPENING, LabelForm
from .yaml_file import KeyPath

KEY = "role_guard"
"""Under which key the settings stand, in either place."""


Mode = Literal["repair", "observe", "reject", "off"]


Routing = Literal["prefix_affinity", "off"]


ErrorTurns = Literal["keep", "drop"]


Owner = Literal["key", "team"]


Override = Literal["mode", "error_turns", "remember_responses", "long_run"]
"""What a client may be allowed to set for its own request: nothing that costs others, names a file
or puts a text of the client's into another's turn."""


ControlTokens = Literal["allow", "escape", "reject"]


LateSystem = Literal["auto", "in_place", "front"]


LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


class SettingsError(ValueError):
    """A setting that cannot be used; the message starts with the setting's full path.

    Attributes:
        words_are_safe: The message holds no client's text, so that the log may show it.
    """

    words_are_safe = True


def _regular_expression(pattern: str) -> str:
    try:
        matches_nothing = re.compile(pattern).search("") is not None
        regex.compile(pattern)  # which it is searched with: it has a time limit
    except (re.error, regex.error, OverflowError, RecursionError) as error:
        raise PydanticCustomError(
            "pattern", "must be a regular expression ({reason})", {"reason": str(error)}
        ) from error
    if matches_nothing:
        raise PydanticCustomError("pattern", "must not match an empty text")
    return pattern


def _label_form(written: str) -> str:
    opening, placeholder, closing = written.partition("{label}")
    signs = opening + closing
    if (
        not placeholder
        or not opening.strip()
        or not closing.strip()
        or opening[0].isspace()
        or max(len(opening), len(closing)) > MAX_OPENING
        or any(sign.isalnum() or not sign.isprintable() or sign in _NO_SIGNS for sign in signs)
    ):
        raise PydanticCustomError(
            "label_form",
            "must be {label} with up to {most} signs before and behind it, such as ({label}), "
            "none of them a letter, a digit or one of {banned}",
            {"label": "{label}", "most": MAX_OPENING, "banned": " ".join(_NO_SIGNS)},
        )
    return written


_SHORT = reprlib.Repr()
"""Shows what was written instead of a setting; a client may write anything, of any depth."""
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 200


_NO_SIGNS = "<>|\uff5c:#{}"
"""What markers of turns are made of, and what a label itself holds."""


class DeploymentSettings(BaseModel):
    """What may be set for one deployment, under `model_info.role_guard`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    mode: Mode = Field(
        default="repair",
        description="repair: change what the backend would refuse or not read. observe: only "
        "report what would be changed. reject: answer 400 and explain. off: do nothing.",
    )
    chat_template: str | None = Field(
        default=None,
        description="Where the backend's chat template is: a .jinja file, a tokenizer_config.json, "
        "a GGUF file, a model directory, or a model in the Hugging Face cache by its name or "
        "folder. Without it the backend is asked.",
    )
    separator: str = Field(
        default="\n\n", description="What stands between the texts of messages that are joined."
    )
    label_form: Annotated[str, AfterValidator(_label_form)] = Field(
        default="[{label}]",
        description="How a label is written that says who said the text behind it: `{label}` with "
        "signs before and behind.",
    )
    control_tokens: ControlTokens = Field(
        default="allow",
        description="Text of a client's that the backend would read as a marker of a turn. allow: "
        "it is left as it is. escape: an invisible character keeps it from being one. reject: "
        "a 400 that names the message.",
    )
    placeholder: str = Field(
        default="", description="The text of a turn that has to be invented to close a gap."
    )
    extra_roles: list[str] = Field(
        default_factory=list,
        description="Further role names that this backend's template knows.",
    )
    routing: Routing = Field(
        default="off",
        description="prefix_affinity: a group's requests go to the deployment whose KV cache has "
        "seen their conversation, as far as its load allows it. off: as LiteLLM shares them out.",
    )

    learn: bool = Field(
        default=True,
        description="Whether a live vLLM is asked what its template takes where no chat_template "
        "is set.",
    )
    learn_wait: float = Field(
        default=1.0,
        ge=0,
        le=60,
        description="For how many seconds a request may be held up until the backend has told; "
        "ten times as long where it has only to confirm what was known before a restart.",
    )
    learn_max_age: float = Field(
        default=3600.0,
        gt=0,
        allow_inf_nan=False,
        description="After how many seconds the backend is asked again.",
    )
    verify: bool = Field(
        default=False,
        description="Whether each result is rendered by the chat_template before it is sent.",
    )
    remember_responses: bool = Field(
        default=True,
        description="Whether the conversation behind a previous_response_id is kept for a backend "
        "that keeps none: in the memory of the proxy's process alone, for a day at most.",
    )
    late_system: LateSystem = Field(
        default="auto",
        description="auto: a system message after the first turn stays one where the template is "
        "known to read it there, and is else said by the user, labelled, where it stands. "
        "in_place: it also stays one on a backend of which nothing is known yet. front: it moves "
        "to the front, for models that heed no other; the prompt is then computed anew.",
    )
    error_turns: ErrorTurns = Field(
        default="keep",
        description="drop: take errors that a client keeps as the assistant's words out of the "
        "conversation. keep: let the model read them.",
    )
    error_patterns: list[Annotated[str, AfterValidator(_regular_expression)]] = Field(
        default_factory=list,
        description="Regular expressions that match where such an error begins, beside those of "
        "known clients.",
    )

    max_messages: int = Field(
        default=20_000,
        ge=1,
        description="How many messages, content parts and tool calls a conversation may have in "
        "all; a longer one is passed on as it is, which header, log and metrics tell.",
    )
    max_characters: int = Field(
        default=50_000_000,
        ge=1,
        description="The same for the characters of its texts, base64 of images among them.",
    )
    long_run: int = Field(
        default=8,
        ge=2,
        description="From how many user messages in a row that are merged the header and the log "
        "say how many they were: somebody may send many prompts in one list.",
    )

    @field_validator("separator")
    @classmethod
    def _no_boundary(cls, separator: str) -> str:
        if not separator:
            raise PydanticCustomError(
                "separator", "must not be empty: the texts of two messages would become one word"
            )
        return separator

    @field_validator("chat_template", "profile_cache", check_fields=False)
    @classmethod
    def _no_path(cls, path: str | None) -> str | None:
        if path is not None and (not path.strip() or "\0" in path):
            raise PydanticCustomError("path", "must be the path of a file or a directory")
        return path

    @property
    def labels(self) -> LabelForm:
        """How labels are written."""
        opening, _, closing = self.label_form.partition("{label}")
        return LabelForm(opening, closing)

    @field_validator("mode", "routing", "profile_cache", mode="before", check_fields=False)
    @classmethod
    def _yaml_off(cls, value: object) -> object:
        # YAML 1.1 reads a bare `off` as the boolean false.
        return "off" if value is False else value


class GuardSettings(DeploymentSettings):
    """What may be set for the whole guard, under `callback_settings.role_guard`."""

    model_groups: list[str] | None = Field(
        default=None,
        description="Names or globs of the model groups to guard, whatever their provider. "
        "Without it every hosted_vllm deployment is guarded.",
    )

    metadata_override: list[Owner] = Field(
        default=["key", "team"],
        description="Whose metadata may hold settings under `role_guard`: those of the API key, "
        "those of its team.",
    )
    request_override: list[Override] = Field(
        default_factory=list,
        description="Which settings a client may set for its own request, in the header "
        "`x-role-guard: mode=observe` or the body's field `role_guard`.",
    )
    log_level: LogLevel | None = Field(
        default=None,
        description="The level of the guard's logger. Without it that of the variable "
        "LITELLM_LOG, or else INFO.",
    )

    profile_cache: str | None = Field(
        default=None,
        description="Folder in which profiles are kept across restarts, or off. Without it "
        "litellm-role-guard in the user's cache folder.",
    )

    def names(self, group: str) -> bool:
        """Return whether `model_groups` names a model group, by its name or by a glob."""
        return any(fnmatchcase(group, pattern) for pattern in self.model_groups or ())

    def overridden(self, own: DeploymentSettings) -> DeploymentSettings:
        """Return the settings of a deployment: its own where it has some, else these.

        Args:
            own: What the deployment's `model_info.role_guard` says.
        """
        return self.model_copy(update={name: getattr(own, name) for name in own.model_fields_set})


_Settings = TypeVar("_Settings", bound=DeploymentSettings)


def read_settings(written: object, path: str, model: type[_Settings]) -> _Settings:
    """Read settings as written in a config.

    Args:
        written: What stands there, as YAML gives it; None counts as nothing set.
        path: Where it stands, such as `callback_settings.role_guard`.
        model: The settings that may stand there.

    Raises:
        SettingsError: A key is unknown or its value cannot be used.
    """
    found = faults(written, model)
    if found:
        raise SettingsError("\n".join(f"{path}{_steps(where)}: {what}" for where, what in found))
    return model.model_validate(dict(written) if isinstance(written, Mapping) else {})


def faults(written: object, model: type[DeploymentSettings]) -> list[tuple[KeyPath, str]]:
    """Return what is wrong with settings as written in a config, each with its place in them.

    Args:
        written: What stands there, as YAML gives it; None counts as nothing set.
        model: The settings that may stand there.
    """
    if written is None:
        return []
    if not isinstance(written, Mapping):
        return [((), f"must be a mapping, not {_SHORT.repr(written)}")]
    try:
        model.model_validate(dict(written))
    except ValidationError as error:
        return [(detail["loc"], _fault(detail, model)) for detail in error.errors()]
    return []


def is_nearly(key: object) -> bool:
    """Return whether a key is nearly, and not quite, `role_guard`."""
    return (
        isinstance(key, str)
        and key != KEY
        and bool(difflib.get_close_matches(key.lower(), [KEY], cutoff=0.7))
    )


def _fault(detail: ErrorDetails, model: type[DeploymentSettings]) -> str:
    if detail["type"] != "extra_forbidden":
        return f"{_expected(detail)}, not {_SHORT.repr(detail['input'])}"
    name = str(detail["loc"][-1])
    if name in GuardSettings.model_fields:
        return "can only be set under callback_settings.role_guard"
    known = list(model.model_fields)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    guess = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown setting; {guess}known are {', '.join(known)}"


def _steps(where: KeyPath) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in where)


def _expected(detail: ErrorDetails) -> str:
    context: Mapping[str, Any] = detail.get("ctx", {})
    if detail["type"] == "literal_error":
        return f"must be {context['expected']}"
    if "ge" in context or "gt" in context:
        return f"must be {'at least' if 'ge' in context else 'more than'} {_bound(context)}"
    if "le" in context:
        return f"must be at most {_bound(context)}"
    kinds = {
        "string_type": "a string",
        "list_type": "a list",
        "bool_type": "true or false",
        "float_type": "a number",
        "int_type": "a whole number",
        "finite_number": "a finite number",
    }
    return f"must be {kinds[detail['type']]}" if detail["type"] in kinds else detail["msg"]


def _bound(context: Mapping[str, Any]) -> str:
    return f"{next(iter(context.values())):g}"
