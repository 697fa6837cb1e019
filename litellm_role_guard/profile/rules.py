"""What a template does with each shape of a conversation, one field per question."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from .states import KINDS, STATES, SYSTEM_RUNS, Kind

Answer = Literal["accepted", "refused", "not_read", "unknown"]
"""`accepted`: taken and read, in order. `refused`: an error. `not_read`: taken, but some text is
missing from the prompt, or stands elsewhere than where it was said. `unknown`: every text is
there, in a turn that the template prints for any role, even for one that it does not know."""


Follows = dict[str, dict[Kind, Answer]]


_FORMS = (*KINDS, "late system")

_NAMES: Mapping[str, Collection[str]] = {
    "leading_system": SYSTEM_RUNS,
    "follows": STATES,
    "follows_with_system": STATES,
    "ends": STATES,
    "ends_with_system": STATES,
    "without_user": (
        *("leading_system", "several_systems", "assistant", "led_assistant", "call", "tool"),
    ),
    "ignored_empty": STATES,
    "parts": _FORMS,
    "media": (*_FORMS, "first user"),
    "null": _FORMS,
    "blank": _FORMS,
    "empty_turns": ("user", "assistant"),
    "stray_results": ("call", "tool"),
}
"""The keys that each field may have: a profile may come from another process."""


class Rules(BaseModel):
    """What a template does with the shapes of a conversation.

    Every shape that a field does not name counts as accepted: an empty `Rules` changes nothing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    leading_system: dict[str, Answer] = Field(
        default_factory=dict,
        description="Runs of system and developer messages before the first turn, by their roles.",
    )
    follows: Follows = Field(
        default_factory=dict,
        description="What may come next, by where the conversation stands.",
    )
    follows_with_system: Follows = Field(
        default_factory=dict,
        description="What may come next besides where a system message stands at the front: some "
        "templates move the first one there from wherever it stands, and no other.",
    )
    follows_with_several_systems: dict[Kind, Answer] = Field(
        default_factory=dict,
        description="What may follow several system messages at the front, though not a single "
        "one: some templates take the last of them for the first user turn.",
    )
    ends: dict[str, Answer] = Field(
        default_factory=dict,
        description="Where a conversation may stand when a reply is asked for.",
    )
    ends_with_system: dict[str, Answer] = Field(
        default_factory=dict,
        description="The same with a system message at the front, whose text may stand anywhere: "
        "some templates show it in the last user turn only.",
    )
    prefill_with_system: Answer = Field(
        default="accepted",
        description="A system message at the front of a conversation that ends with the opening "
        "of the reply, which is to be continued.",
    )
    without_user: dict[str, Answer] = Field(
        default_factory=dict,
        description="A conversation without any user turn: one system message (`leading_system`), "
        "several (`several_systems`), one that the assistant opened (`assistant`), behind a "
        "system message (`led_assistant`), with a call and its result (`call`), or one that a tool "
        "result opened (`tool`).",
    )
    ignored_empty: dict[str, dict[Kind, str]] = Field(
        default_factory=dict,
        description="Where a conversation stands after an empty message of a kind that is not "
        "read there: mostly where it stood before.",
    )
    hoisted_kinds: list[Kind] = Field(
        default_factory=list,
        description="Kinds whose text is moved to the front from wherever it stands. `developer`: "
        "one developer message, and all system text goes there, too.",
    )
    developer_then_system: Answer = Field(
        default="accepted",
        description="A leading developer message with a system message later on.",
    )
    developer_then_empty: Answer = Field(
        default="accepted",
        description="The same with an empty system message, which a backend may merge with it.",
    )
    developer_before_last: Answer = Field(
        default="not_read",
        description="A developer message right before the last user turn, where it is read only "
        "because all system text is shown there.",
    )
    empty_developer: Answer = Field(
        default="accepted",
        description="An empty developer message after the first turn, where no other system text "
        "is that it would take along.",
    )
    parts: dict[str, Answer] = Field(
        default_factory=dict,
        description="Content of several text parts, by the kind of message; `late system` is a "
        "system message after the first turn.",
    )
    media: dict[str, Answer] = Field(
        default_factory=dict,
        description="An image in the content, by the kind of message as for `parts`, where the "
        "template shows those of a user message; `first user` is the first turn, of which some "
        "templates show the text alone.",
    )
    media_with_system: Answer = Field(
        default="accepted",
        description="An image of the user's in a conversation that a system message leads.",
    )
    other_parts: Answer = Field(
        default="accepted",
        description="Text in a part whose type is not `text`, such as `refusal`.",
    )
    reasoning: Answer = Field(
        default="accepted",
        description="A message with `reasoning`, which few templates show again: that of its "
        "content is what counts.",
    )
    null: dict[str, Answer] = Field(
        default_factory=dict,
        description="Content that is null, by the kind of message as for `parts`.",
    )
    blank: dict[str, Answer] = Field(
        default_factory=dict,
        description="Content that is an empty string, by the kind of message as for `parts`.",
    )
    empty_turns: dict[str, Answer] = Field(
        default_factory=dict,
        description="An empty message of the user or the assistant where it has to be a turn: "
        "`not_read` if it leaves no trace in the prompt.",
    )
    call_text: Answer = Field(
        default="accepted",
        description="Text in the same message as a tool call, once an answer has followed.",
    )
    open_call_text: Answer = Field(
        default="accepted", description="The same as long as no answer has followed."
    )
    parallel_calls: Answer = Field(
        default="accepted", description="Several tool calls in one message, then their results."
    )
    result_pairing: Answer = Field(
        default="accepted",
        description="Results in another order than their calls, which the prompt has to tell "
        "apart by their ids.",
    )
    stray_results: dict[str, Answer] = Field(
        default_factory=dict,
        description="A tool result that answers no open call, after a call or a result of another.",
    )
    half_answered: Answer = Field(
        default="accepted", description="Several tool calls in one message, not all with a result."
    )
    late_results: Answer = Field(
        default="not_read",
        description="A tool result in a later turn than all calls, where none is taken unless "
        "there was a call.",
    )
    long_call_ids: Answer = Field(
        default="accepted", description="Tool call ids that are not 9 letters and digits."
    )
    short_call_ids: Answer = Field(
        default="accepted", description="Tool call ids of fewer than nine characters."
    )
    long_result_ids: Answer = Field(
        default="accepted", description="The same of a result that answers no call."
    )
    call_names: Answer = Field(
        default="accepted",
        description="The name of a called tool, which some templates show in the call's id alone.",
    )
    repeated_call_ids: Answer = Field(
        default="accepted", description="A tool call id that an earlier call had, too."
    )
    shared_call_ids: Answer = Field(
        default="accepted", description="Two tool calls of one message with the same id."
    )
    repeated_lone_ids: Answer = Field(
        default="accepted",
        description="The same where the earlier call had only one result, or the first of several.",
    )

    @field_validator(*_NAMES)
    @classmethod
    def _has_known_names(cls, field: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        if not field.keys() <= set(_NAMES[info.field_name or ""]):
            raise PydanticCustomError("name", "must name nothing that nobody asks for")
        return field

    @field_validator("ignored_empty")
    @classmethod
    def _leads_to_known_states(cls, field: dict[str, Any]) -> dict[str, Any]:
        if any(state not in STATES for row in field.values() for state in row.values()):
            raise PydanticCustomError("state", "must lead to known states")
        return field

    def may_follow(self, state: str, kind: Kind, *, has_leading_system: bool = False) -> bool:
        """Return whether a message of this kind is taken and read in this state.

        Args:
            state: Where the conversation stands.
            kind: The message's kind.
            has_leading_system: Whether a system message stands at the front.
        """
        if self.follows.get(state, {}).get(kind, "accepted") == "accepted":
            return True
        return (
            has_leading_system and self.follows_with_system.get(state, {}).get(kind) == "accepted"
        )

    def forbid(
        self, states: Iterable[str], kinds: Iterable[Kind], answer: Answer = "refused"
    ) -> Follows:
        """Return `follows` with these kinds ruled out in these states."""
        follows = {state: dict(row) for state, row in self.follows.items()}
        for state in states:
            row = follows.setdefault(state, {})
            for kind in kinds:
                if row.get(kind, "accepted") == "accepted":
                    row[kind] = answer
        return follows


def strict_turns(rules: Rules) -> Follows:
    """Return `follows` for a template that wants user and assistant turns to alternate."""
    for states, kinds in _NOT_IN_STRICT_TURNS:
        rules = Rules(follows=rules.forbid(states, kinds))
    return rules.follows


_NOT_IN_STRICT_TURNS: tuple[tuple[tuple[str, ...], tuple[Kind, ...]], ...] = (
    (("start", "leading_system"), ("assistant", "call", "tool")),
    (("user", "user+call", "user+system"), ("user",)),
    (("assistant", "assistant+system"), ("assistant",)),
)
