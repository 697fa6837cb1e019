"""`RepairPolicy`: the one doorway between what is known of a template and what is repaired.

It is compiled once from a profile's rules. The fast scan, the steps and `relax.jinja` go by it, and
none of them reads the rules themselves.
"""

from __future__ import annotations

import weakref
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

from ..profile.rules import Answer, Rules
from ..profile.states import BEFORE_TURNS, KINDS, SYSTEM_KINDS, Kind
from ..profile.states import after as next_state
from .scan_table import ScanTable

_ORDINARY: tuple[Kind, ...] = ("user", "assistant", "call", "system")
"""Kinds that a template without labels takes everywhere behind the first turn."""

FORMS: tuple[str, ...] = (*KINDS, "late system")
"""Kinds of messages as the forms of content know them; a `late system` follows a turn."""


@dataclass(frozen=True)
class RepairPolicy:
    """What a template needs, as tables that JSON can hold. Everything not named here is accepted.

    Attributes:
        not_taken: Kinds that may not come next, by state.
        taken_with_system: Those of them that may where a system message leads the conversation.
        assistant_as_user: The states in which the assistant's words would pass for the user's.
        taken_unread: Kinds that are taken without being read, in the states before the first turn.
        taken_after_systems: Kinds that may follow several leading system messages, not one.
        after_empty: Empty messages that the template ignores: the state after each, by state.
        rejects_null: Forms whose content may not be null.
        rejects_blank: Forms whose content may not be an empty string.
        rejects_parts: Forms whose content may not be several text parts.
        rejects_leading_media: Kinds before the first turn that show a single text only.
        hides_media: Forms whose images leave no placeholder, where those of the user do; `first
            user` is the first turn.
        rejects_system_with_media: No system message may lead a conversation with media.
        fillers: The text of an invented turn, by its kind; empty where an empty turn is taken.
        passed_turns: Kinds whose empty turns leave no trace, as if nobody had spoken.
        unread_leading: Runs of leading system and developer messages that are not read.
        last_system_counts: Of several leading system messages only the last one is read.
        hoists_system: The template itself moves system text to the front.
        hoists_developer: The server itself merges all system text at the front, once there is a
            developer message.
        refuses_late_system: The states in which it refuses system text that it would move, even
            empty.
        hoists_first_only: Of several system messages, the template moves the first one only.
        developer_takes_system: A leading developer message takes later system text along.
        developer_takes_empty: It is not even read where an empty system message comes later.
        ignores_empty_developer: An empty late developer message changes nothing.
        shows_system_last: All system text is shown before the last user turn.
        rejects_reasoning: A message with reasoning is not taken.
        rejects_other_parts: Text in a part of another type than `text` is not taken.
        short_ids: Tool call ids need nine letters and digits.
        short_result_ids: So do those of results that answer no call.
        new_ids: An id that was used before is not read again.
        names_in_ids: The name of a called tool is shown in the call's id alone.
        unique_ids: Calls of one message may not have the same id.
        forgets_lone_ids: But for that of a lone result.
        orders_results: The prompt shows which result answers which call by their order alone.
        single_calls: One tool call at a time.
        all_answered: Several calls of a message need a result each.
        blank_call_content: Beside a tool call, an empty string is taken and null is not.
        text_apart: Text beside a tool call is not read once an answer has followed.
        open_call_text: Until then it is.
        stray_results: The answer to a result of no open call, after a `call` or a `tool` turn.
        late_results: A result is read in a later turn than all calls.
        no_end: States after which no reply may be asked for.
        no_end_with_system: States in which a leading system message is not read at the end.
        hides_system_before_prefill: A leading system message is not read where the last message
            is the opening of the reply.
        needs_user: Openings that need a user turn: `leading_system`, `several_systems`,
            `assistant`, `led_assistant`, `call`, `tool`.
        knows_several_systems: Whether `several_systems` was asked about.
        needs_labels: Some order of ordinary messages has to be written with labels.
    """

    not_taken: Mapping[str, tuple[Kind, ...]]
    taken_with_system: Mapping[str, tuple[Kind, ...]]
    assistant_as_user: tuple[str, ...]
    taken_unread: Mapping[str, tuple[Kind, ...]]
    taken_after_systems: tuple[Kind, ...]
    after_empty: Mapping[str, Mapping[Kind, str]]
    rejects_null: tuple[str, ...]
    rejects_blank: tuple[str, ...]
    rejects_parts: tuple[str, ...]
    rejects_leading_media: tuple[Kind, ...]
    hides_media: tuple[str, ...]
    rejects_system_with_media: bool
    fillers: Mapping[str, str]
    passed_turns: tuple[Kind, ...]
    unread_leading: tuple[str, ...]
    last_system_counts: bool
    hoists_system: bool
    hoists_developer: bool
    refuses_late_system: tuple[str, ...]
    hoists_first_only: bool
    developer_takes_system: bool
    developer_takes_empty: bool
    ignores_empty_developer: bool
    shows_system_last: bool
    rejects_reasoning: bool
    rejects_other_parts: bool
    short_ids: bool
    short_result_ids: bool
    new_ids: bool
    names_in_ids: bool
    unique_ids: bool
    forgets_lone_ids: bool
    orders_results: bool
    single_calls: bool
    all_answered: bool
    blank_call_content: bool
    text_apart: bool
    open_call_text: bool
    stray_results: Mapping[str, Answer]
    late_results: bool
    no_end: tuple[str, ...]
    no_end_with_system: tuple[str, ...]
    hides_system_before_prefill: bool
    needs_user: tuple[str, ...]
    knows_several_systems: bool
    needs_labels: bool

    @classmethod
    def of(cls, rules: Rules) -> RepairPolicy:
        """Return the policy of these rules; it is compiled once for each `Rules` object."""
        known = _compiled.get(id(rules))
        if known is not None and known[0]() is rules:
            return known[1]
        policy, key = _compile(rules), id(rules)
        _compiled[key] = weakref.ref(rules, lambda _: _compiled.pop(key, None)), policy
        return policy

    @property
    def merges_developer(self) -> bool:
        """Whether a developer message has the server merge all system text in one place."""
        return self.hoists_developer or self.shows_system_last

    @property
    def takes_calls(self) -> bool:
        """Whether the template reads tool calls at all."""
        return self.may_follow("user", "call")

    def after(self, state: str, kind: Kind, *, ignored_empty: bool = False) -> str:
        """Return the state after a message.

        Args:
            state: The state before it.
            kind: The message's kind.
            ignored_empty: Whether it is empty and the template ignores it.
        """
        if ignored_empty:
            return self.after_empty.get(state, {}).get(kind, state)
        return next_state(state, kind)

    def may_follow(self, state: str, kind: Kind, *, has_leading_system: bool = False) -> bool:
        """Return whether a message of this kind is taken and read in this state.

        Args:
            state: Where the conversation stands.
            kind: The message's kind.
            has_leading_system: Whether a system message leads the conversation.
        """
        if kind not in self.not_taken.get(state, ()):
            return True
        return has_leading_system and kind in self.taken_with_system.get(state, ())

    def may_end(self, state: str) -> bool:
        """Return whether a reply may be asked for in this state."""
        return state not in self.no_end

    @cached_property
    def scan_tables(self) -> tuple[ScanTable, ScanTable]:
        """The tables of the fast scan: without and with a leading system message."""
        return self._scan_table(False), self._scan_table(True)

    def _scan_table(self, has_leading_system: bool) -> ScanTable:
        def goes_on(state: str, kind: Kind) -> bool:
            # Whether system text or an empty message is in the way needs a closer look.
            return (
                kind not in SYSTEM_KINDS
                and kind not in self.after_empty.get(state, {})
                and self.may_follow(state, kind, has_leading_system=has_leading_system)
            )

        unread_ends = self.no_end_with_system if has_leading_system else ()
        # Parts may be empty, too.
        without_media = (*self.hides_media, *self.rejects_blank)
        if has_leading_system and self.rejects_system_with_media:
            without_media = FORMS
        return ScanTable.build(
            goes_on,
            opens=not has_leading_system or "system" not in self.unread_leading,
            ends=lambda state: state not in self.no_end and state not in unread_ends,
            single_part=self.rejects_parts,
            no_media=[form.rpartition(" ")[2] for form in without_media],
            any_parts=not self.rejects_other_parts,
            strict_results=tuple(self.stray_results),
            reasoning=not self.rejects_reasoning,
        )


def is_rejected(forms: Collection[str], kind: str) -> bool:
    """Return whether one of `rejects_null`, `rejects_blank`, `rejects_parts` names a kind.

    A role of the template's own was not asked about: what holds for a user message holds for it.
    """
    return (kind if kind in FORMS else "user") in forms


# By identity: rules never change, and hold dictionaries, which cannot be hashed.
_compiled: dict[int, tuple[weakref.ref[Rules], RepairPolicy]] = {}


def _compile(rules: Rules) -> RepairPolicy:
    no = {
        state: tuple(kind for kind in KINDS if not rules.may_follow(state, kind))
        for state in rules.follows
    }
    return RepairPolicy(
        not_taken={state: kinds for state, kinds in no.items() if kinds},
        taken_with_system={
            state: kinds
            for state, row in rules.follows_with_system.items()
            if (kinds := tuple(kind for kind in no.get(state, ()) if row.get(kind) == "accepted"))
        },
        assistant_as_user=tuple(
            state for state, row in rules.follows.items() if row.get("assistant") == "unknown"
        ),
        taken_unread={
            state: kinds
            for state, row in rules.follows.items()
            if state in BEFORE_TURNS
            and (kinds := tuple(kind for kind, answer in row.items() if answer == "not_read"))
        },
        taken_after_systems=tuple(
            kind
            for kind, answer in rules.follows_with_several_systems.items()
            if answer == "accepted"
        ),
        after_empty=rules.ignored_empty,
        rejects_null=_rejected(rules.null),
        rejects_blank=_rejected(rules.blank),
        rejects_parts=_rejected(rules.parts),
        rejects_leading_media=tuple(kind for kind in SYSTEM_KINDS if kind in _unread(rules.parts)),
        hides_media=_hides_media(rules.media),
        rejects_system_with_media=rules.media_with_system != "accepted",
        fillers={
            kind: "..." if kind in _unread(rules.blank) + _unread(rules.empty_turns) else ""
            for kind in ("user", "assistant")
        },
        passed_turns=tuple(kind for kind in KINDS if kind in _unread(rules.empty_turns)),
        unread_leading=_unread(rules.leading_system),
        last_system_counts=rules.leading_system.get("system empty") == "not_read",
        hoists_system="system" in rules.hoisted_kinds,
        hoists_developer="developer" in rules.hoisted_kinds,
        refuses_late_system=tuple(
            state
            for state, row in rules.follows.items()
            if "system" in rules.hoisted_kinds and row.get("system") == "refused"
        ),
        hoists_first_only=bool(rules.follows_with_system),
        developer_takes_system=rules.developer_then_system != "accepted",
        developer_takes_empty=rules.developer_then_empty != "accepted",
        ignores_empty_developer=rules.empty_developer == "accepted",
        shows_system_last=rules.developer_before_last == "accepted",
        rejects_reasoning=rules.reasoning != "accepted",
        rejects_other_parts=rules.other_parts != "accepted",
        short_ids=rules.long_call_ids != "accepted" or rules.short_call_ids != "accepted",
        short_result_ids=rules.long_result_ids != "accepted",
        new_ids=rules.repeated_call_ids != "accepted",
        names_in_ids=rules.call_names != "accepted",
        unique_ids=rules.shared_call_ids != "accepted" and rules.parallel_calls == "accepted",
        forgets_lone_ids=rules.repeated_lone_ids == "accepted",
        orders_results=(not rules.may_follow("user", "call") or rules.result_pairing != "accepted"),
        single_calls=rules.parallel_calls != "accepted",
        all_answered=rules.half_answered != "accepted" and rules.parallel_calls == "accepted",
        blank_call_content=rules.null.get("call", "accepted") != "accepted",
        text_apart=rules.call_text != "accepted",
        open_call_text=rules.open_call_text == "accepted",
        stray_results={
            place: answer for place, answer in rules.stray_results.items() if answer != "accepted"
        },
        late_results=rules.late_results == "accepted",
        no_end=_unread(rules.ends),
        no_end_with_system=_unread(rules.ends_with_system),
        hides_system_before_prefill=rules.prefill_with_system == "not_read",
        needs_user=_unread(
            {
                **dict.fromkeys(("call", "tool"), rules.without_user.get("assistant", "accepted")),
                **rules.without_user,
            }
        ),
        knows_several_systems="several_systems" in rules.without_user,
        needs_labels=any(
            not rules.may_follow(state, kind)
            for state in rules.follows
            if state not in BEFORE_TURNS
            for kind in _ORDINARY
        ),
    )


def _unread(answers: Mapping[str, Answer]) -> tuple[str, ...]:
    return tuple(shape for shape, answer in answers.items() if answer != "accepted")


def _hides_media(answers: Mapping[str, Answer]) -> tuple[str, ...]:
    """Return the forms whose images are not shown; a developer's is that of system text."""

    known = {"developer": answers.get("system", "accepted"), **answers}
    forms = (*FORMS, "first user")
    return tuple(form for form in forms if known.get(form, "accepted") != "accepted")


def _rejected(answers: Mapping[str, Answer]) -> tuple[str, ...]:
    """Return the forms that are not taken; what was not asked about is taken like the user's."""

    def answer(form: str) -> Answer:
        known = form if form in answers else form.removeprefix("late ")
        return answers.get(known, answers.get("user", "accepted"))

    return tuple(form for form in FORMS if answer(form) != "accepted")
