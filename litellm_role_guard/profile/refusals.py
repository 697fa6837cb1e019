"""What the message of a backend's 400 teaches about its template.

The families, by the words that name them; each template has its own, so they are matched by
pattern and never by equality:

    turns           roles must alternate; not this role after that one
    system_role     there is no system role
    system_place    a system message stands where it may not
    unknown_role    a role that the template does not know (developer, function, tool)
    no_user         there is no user turn
    last_turn       no reply is given after a turn of the assistant
    tool_result     a tool result without its call, or a call without its result
    parallel_calls  more than one tool call at once
    call_id         the form of a tool call's id
    call_text       text in the same message as a tool call, or neither of them
    no_tools        there are no tool calls and results
    reasoning       what an assistant thought in an earlier turn
    content         content in parts, or null, where a string is wanted

Everything else (context length, `max_tokens`, unknown parameters, a bad schema) is not a refusal of
the conversation, and is never retried.

A family is a ladder of lessons, from the likeliest to the most drastic. `next_lesson` is the first
one that a profile does not hold yet. Sources of the words: vLLM, mistral-common and the chat
templates that ship with open models.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any, NamedTuple

from .rules import Rules, strict_turns
from .states import KINDS, LATE_ROLES, STATES, SYSTEM_RUNS
from .template_profile import TemplateProfile


class Refusal(NamedTuple):
    """A refusal that a repair may answer.

    Attributes:
        family: One of the families of this module.
    """

    family: str


class Lesson(NamedTuple):
    """One thing that a refusal may teach.

    Attributes:
        family: The family of the refusal.
        rung: How far up the family's ladder; 0 is the likeliest.
    """

    family: str
    rung: int


_Change = Callable[[Rules], Mapping[str, Any]]
"""Returns the fields of the rules that a lesson replaces."""


MAX_WORDS = 2000
"""How many characters of an error are read. The longest refusal of a template has some 200."""


MAX_NAMED = 8
"""In how many different words an error may name a fault; those behind are not looked for in what
the client said, which may be long."""


_WITH_PLAIN_TURNS = (
    "start",
    "leading_system",
    "user",
    "user+system",
    "assistant",
    "assistant+system",
)


def read_refusal(text: str, said: str = "") -> Refusal | None:
    """Return the refusal that a backend's error text expresses; None if it is about something else.

    Args:
        text: The error's message, or the whole body that holds it.
        said: What the client itself said. An error may repeat it, and what names a fault counts
            only where it does not stand there.
    """
    if not is_about_conversation(text):
        return None
    said = said.casefold()
    for family, pattern in _PATTERNS.items():
        named = dict.fromkeys(
            found.group().casefold() for found in pattern.finditer(text[:MAX_WORDS])
        )
        if any(words not in said for words in islice(named, MAX_NAMED)):
            return Refusal(family)
    return None


def is_about_conversation(text: str) -> bool:
    """Return whether a 400 may be the template's: it has no words that only the server uses.

    Args:
        text: The error's message, or the whole body that holds it.
    """
    return _OTHER.search(text[:MAX_WORDS]) is None


def next_lesson(profile: TemplateProfile, refusal: Refusal) -> Lesson | None:
    """Return the first lesson of a refusal that the profile does not hold; None if none is left."""
    for rung in range(len(_LADDERS[refusal.family])):
        lesson = Lesson(refusal.family, rung)
        if with_lessons(profile, [lesson]) != profile:
            return lesson
    return None


def with_lessons(profile: TemplateProfile, lessons: Iterable[Lesson]) -> TemplateProfile:
    """Return the profile with lessons added to it; the same object without any."""
    for family, rung in lessons:
        profile = _changed(profile, _LADDERS[family][rung])
    return profile


def teach(profile: TemplateProfile, refusal: Refusal) -> TemplateProfile:
    """Return the profile with the next lesson of a refusal; the same object if none is left."""
    lesson = next_lesson(profile, refusal)
    return profile if lesson is None else with_lessons(profile, [lesson])


def _changed(profile: TemplateProfile, change: _Change) -> TemplateProfile:
    with_tools = profile.with_tools
    if with_tools is not None:
        with_tools = with_tools.model_copy(update=dict(change(with_tools)))
    return profile.model_copy(update={**change(profile), "with_tools": with_tools})


def _turns_alternate(rules: Rules) -> Mapping[str, Any]:
    strict = Rules(follows=strict_turns(rules))
    return {"follows": strict.forbid(STATES, LATE_ROLES)}


def _tool_turns_do_not_count(rules: Rules) -> Mapping[str, Any]:
    after_user = Rules(follows=rules.forbid(("user+call", "user+tool"), ("user",)))
    return {"follows": after_user.forbid(("assistant+call", "assistant+tool"), ("assistant",))}


def _tools_are_text(rules: Rules) -> Mapping[str, Any]:
    return {"follows": rules.forbid(STATES, ("call", "tool"))}


def _one_system_message(rules: Rules) -> Mapping[str, Any]:
    return {
        "leading_system": {
            **rules.leading_system,
            **dict.fromkeys((run for run in SYSTEM_RUNS if " " in run), "refused"),
        },
        "follows": rules.forbid(STATES, ("system", "developer")),
        "developer_then_system": "refused",
    }


def _no_system_role(rules: Rules) -> Mapping[str, Any]:
    return {**_one_system_message(rules), "leading_system": dict.fromkeys(SYSTEM_RUNS, "refused")}


def _known_roles_only(rules: Rules) -> Mapping[str, Any]:
    return {
        "leading_system": {
            **rules.leading_system,
            "developer": "refused",
            "system developer": "refused",
            "developer system": "refused",
        },
        "follows": rules.forbid(STATES, ("developer", "function")),
    }


def _user_needed(rules: Rules) -> Mapping[str, Any]:
    return {"without_user": {"leading_system": "refused", "assistant": "refused"}}


def _user_opens(rules: Rules) -> Mapping[str, Any]:
    return {"follows": rules.forbid(("start", "leading_system"), [k for k in KINDS if k != "user"])}


def _user_ends(rules: Rules) -> Mapping[str, Any]:
    return {
        "ends": {**rules.ends, "assistant": "refused"},
        "follows": rules.forbid(("assistant",), ("assistant",)),
    }


def _results_answer_calls(rules: Rules) -> Mapping[str, Any]:
    orphans = Rules(follows=rules.forbid(_WITH_PLAIN_TURNS, ("tool",)))
    calls = ("user+call", "assistant+call")
    return {"follows": orphans.forbid(calls, [k for k in KINDS if k != "tool"])}


def _one_call(rules: Rules) -> Mapping[str, Any]:
    return {"parallel_calls": "refused"}


def _short_ids(rules: Rules) -> Mapping[str, Any]:
    return {"long_call_ids": "refused"}


def _call_or_text(rules: Rules) -> Mapping[str, Any]:
    return {
        "call_text": "refused",
        "null": {**rules.null, "assistant": "refused"},
        "blank": {**rules.blank, "assistant": "refused"},
    }


def _no_reasoning(rules: Rules) -> Mapping[str, Any]:
    return {"reasoning": "refused"}


def _strings_only(rules: Rules) -> Mapping[str, Any]:
    kinds = ("system", "developer", "user", "assistant", "tool")
    return {
        "parts": dict.fromkeys(kinds, "refused"),
        "null": dict.fromkeys(kinds, "refused"),
        "other_parts": "refused",
    }


_LADDERS: Mapping[str, tuple[_Change, ...]] = {
    "turns": (_turns_alternate, _tool_turns_do_not_count, _tools_are_text, _no_system_role),
    "system_role": (_no_system_role,),
    "system_place": (_one_system_message, _no_system_role),
    "unknown_role": (_known_roles_only, _one_system_message, _tools_are_text, _no_system_role),
    "no_user": (_user_needed, _user_opens, _tools_are_text),
    "last_turn": (_user_ends,),
    "tool_result": (_results_answer_calls, _tools_are_text),
    "parallel_calls": (_one_call, _tools_are_text),
    "call_id": (_short_ids, _tools_are_text),
    "call_text": (_call_or_text, _tools_are_text),
    "no_tools": (_tools_are_text,),
    "reasoning": (_no_reasoning,),
    "content": (_strings_only,),
}


_PATTERNS: Mapping[str, re.Pattern[str]] = {
    family: re.compile(pattern, re.IGNORECASE)
    for family, pattern in {
        "call_id": r"tool[ _]call[ _]ids? (should|must|was .{1,80} but must|has to be defined)"
        # mistral-common's KeyError, where a message lacks the field
        r"|(^|[\"\s])'tool_call_id'($|\")",
        "call_text": r"either content or tool_calls|tool calls and content (defined|cannot)",
        "no_tools": r"tools not implemented for tokenizer",
        "parallel_calls": r"single tool[- ]calls? at once|only (supports? )?(one|a single) tool",
        "tool_result": r"no previous assistant message with a tool call"
        r"|unexpected role .?tool.? after"
        r"|not the same number of function calls and responses|more tool responses than tool calls"
        r"|(duplicate|unexpected) tool call id"
        r"|tool (results?|messages?|responses?) must (follow|be preceded)",
        "last_turn": r"expected last role|2 or more assistant messages at the end"
        r"|when the last message is from the assistant"
        r"|last message (should|must) (be|come) (from )?(a |an |the )?(user|tool)",
        "no_user": r"no user (query|message)|first message (should|must) be (a |from the )?user"
        r"|(must|should) (start|begin) with (a )?user",
        "system_role": r"system (role|messages?|prompts?) (is |are )?not supported"
        r"|does ?n[o']t support (the )?system",
        "system_place": r"system messages? (must|should|can|may) (only )?(be|appear|come)"
        r"|unexpected role .?system.? after"
        r"|(only|at most) one system message|multiple system messages",
        "turns": r"roles? (must|should) alternate|alternate (between )?user"
        r"|unexpected role .{1,20} after role",
        "unknown_role": r"(unexpected|unknown|unsupported|invalid) (message )?role"
        r"|roles? (is|are) supported|role .{1,20} (is )?not supported",
        "reasoning": r"thinkchunk|think not implemented",
        "content": r"invalid content type|only string content|content (must|should) be a string"
        r"|can only concatenate str|is not a valid chunktypes|system prompt must have content"
        r"|(^|[\"\s])'content'($|\")",
    }.items()
}


_OTHER = re.compile(
    r"context length|max_tokens|max_completion_tokens|maximum (input|model) length"
    r"|is not a multimodal model|json schema|extra_forbidden|unexpected keyword"
    r"|validation error|input should be|response_format"
    # The server's own options: "... requires --tool-call-parser to be set".
    r"|(^|\s)--[a-z]+-[a-z]",
    re.IGNORECASE,
)
