"""A lenient chat template: the repairs of a profile, written as Jinja in front of the original.

For a backend with no proxy before it (`vllm serve --chat-template`). The steps are those of
`repair.py`, in templates/relax.jinja; what they go by is written into each template as a table.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import Any

import jinja2

from ..profile.rules import Rules
from ..profile.states import KINDS, SYSTEM_KINDS, Kind
from ..profile.template_profile import TemplateProfile
from ..repair.call_ids import ID_PRIME
from ..repair.chain import SEPARATOR
from ..repair.context import is_not_read
from ..template.chat_template import ChatTemplate
from ..template.content_format import detect_content_format

MADE_BY = "made by role-guard relax"


class NotRelaxable(ValueError):  # noqa: N818 - named like TemplateInvalid
    """No lenient template can be made of this one; the message tells why."""


def relax(template: ChatTemplate, profile: TemplateProfile, *, source: str) -> str:
    """Give a template that repairs a conversation, then renders it as the original does.

    It always comes out the same for the same template, profile and version of this package.

    Args:
        template: The original, which stands in the result as it is.
        profile: What the original accepts and drops.
        source: Where the original is from, for the comment at the top.

    Raises:
        NotRelaxable: It is a relaxed one already, or has a second template for tools.
    """
    if MADE_BY in template.text:
        raise NotRelaxable(f"was {MADE_BY} already")
    if template.tool_use is not None:
        raise NotRelaxable("has a second template for tools; relax each as a .jinja file")
    plain, armed = profile.rules(tools=False), profile.rules(tools=True)
    # Tables, since `rules.parts` and the like are asked for what they do not name, too.
    tables = [_table(plain), _table(armed)]
    written = json.dumps(tables[0], indent=1)
    if tables[0] != tables[1]:
        written = f"{json.dumps(tables[1], indent=1)} if tools else {written}"
    preamble = _generator().render(
        head=_head(template, (plain, armed), source),
        rules=written,
        uses=_uses(tables),
        in_parts=template.content_format == "openai",
        nothing="none" if template.content_format == "openai" else "''",
        merges_developer=not template.knows_developer,
        kinds=json.dumps(KINDS),
        separator=json.dumps(SEPARATOR),
        prime=ID_PRIME,
    )
    # After the preamble's last tag comes one line break, which is left out (`trim_blocks`), and
    # behind which the original stands as at the beginning of a file.
    relaxed = preamble + template.text
    if detect_content_format(relaxed) != template.content_format:
        raise NotRelaxable("would be given its messages in another form")
    return relaxed


@cache
def _generator() -> jinja2.Template:
    environment = jinja2.Environment(
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        comment_start_string="<#",
        comment_end_string="#>",
        line_statement_prefix="%%",
        trim_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,
    )
    source = files(__package__).joinpath("relax.jinja")
    return environment.from_string(source.read_text(encoding="utf-8"))


def _table(rules: Rules) -> dict[str, Any]:
    """Give what the preamble asks about a template, as far as it is not simply accepted."""
    no = {
        state: [kind for kind in KINDS if not rules.may_follow(state, kind)]
        for state in rules.follows
    }
    forms = (*KINDS, "late system")
    return {
        "no": {state: kinds for state, kinds in no.items() if kinds},
        "no_but_fronted": {
            state: kinds
            for state, row in rules.follows_with_system.items()
            if (kinds := [kind for kind in no.get(state, ()) if row.get(kind) == "accepted"])
        },
        "not_read": {
            state: kinds
            for state, row in rules.follows.items()
            if (kinds := [kind for kind, answer in row.items() if answer == "not_read"])
            and state in ("start", "leading_system")
        },
        "follows_with_several_systems": _named(rules.follows_with_several_systems, accepted=True),
        "ignored_empty": rules.ignored_empty,
        "no_null": [form for form in forms if _rejects_form(rules.null, form)],
        "no_blank": [form for form in forms if _rejects_form(rules.blank, form)],
        "no_parts": [form for form in forms if _rejects_form(rules.parts, form)],
        "no_front_media": [kind for kind in SYSTEM_KINDS if is_not_read(rules.parts, kind)],
        "fillers": {
            kind: "..." if is_not_read(rules.blank, kind) else "" for kind in ("user", "assistant")
        },
        "leading_system": _named(rules.leading_system),
        "last_system_counts": rules.leading_system.get("system empty") == "not_read",
        "gathers_system": "system" in rules.hoisted_kinds,
        "gathers_developer": "developer" in rules.hoisted_kinds,
        "moves_first_only": bool(rules.follows_with_system),
        "developer_takes_system": rules.developer_then_system != "accepted",
        "empty_developer": rules.empty_developer == "accepted",
        "said_last": rules.developer_before_last == "accepted",
        "no_reasoning": rules.reasoning != "accepted",
        "short_ids": rules.long_call_ids != "accepted",
        "short_result_ids": rules.long_result_ids != "accepted",
        "new_ids": rules.repeated_call_ids != "accepted",
        "forgets_lone_ids": rules.repeated_lone_ids == "accepted",
        "single_calls": rules.parallel_calls != "accepted",
        "all_answered": rules.half_answered != "accepted" and rules.parallel_calls == "accepted",
        "text_apart": rules.call_text != "accepted",
        "open_call_text": rules.open_call_text == "accepted",
        "stray_results": {
            place: answer for place, answer in rules.stray_results.items() if answer != "accepted"
        },
        "late_results": rules.late_results == "accepted",
        "no_end": _named(rules.ends),
        "no_front_end": _named(rules.ends_with_system),
        "no_user": _named(rules.without_user),
        "knows_fronts": "several_systems" in rules.without_user,
    }


def _uses(tables: Sequence[Mapping[str, Any]]) -> dict[str, bool]:
    """Tell which parts of the preamble a template needs."""
    uses = {name: any(table[name] for table in tables) for name in tables[0]}
    uses["folds"] = uses["gathers_developer"] or uses["said_last"]
    return uses


def _named(answers: Mapping[Any, str], *, accepted: bool = False) -> list[str]:
    return [shape for shape, answer in answers.items() if (answer == "accepted") is accepted]


def _rejects_form(answers: Mapping[str, str], form: str) -> bool:
    # As in arrange.py: what holds for a user message holds for kinds that were not asked about.
    known = form if form in answers else form.removeprefix("late ")
    return answers.get(known, answers.get("user", "accepted")) != "accepted"


def _head(template: ChatTemplate, rules: Sequence[Rules], source: str) -> str:
    digest = hashlib.sha256(template.text.encode()).hexdigest()
    made = f"{MADE_BY} {version('litellm-role-guard')}"
    shown = source.replace("#}", "#").replace("\n", " ")
    repairs = [told for told, applies in _TOLD if any(map(applies, rules))]
    return "\n".join(
        [
            f"A lenient chat template, {made}",
            f"from {shown} (sha256 {digest}),",
            "which stands below as it was. What it would refuse, or take without reading, is",
            "repaired first, by what it was seen to do:",
            *(f"- {told}" for told in repairs),
            "A conversation that it reads as it is stays as it is. Do not edit: make it anew.",
        ]
    )


def _says(kinds: Sequence[Kind]) -> Callable[[Rules], bool]:
    return lambda rules: any(
        not rules.may_follow(state, kind) for state in rules.follows for kind in kinds
    )


_TOLD: tuple[tuple[str, Callable[[Rules], bool]], ...] = (
    (
        "several system or developer messages at the front are joined, or said by the user",
        lambda rules: bool(_named(rules.leading_system)),
    ),
    (
        "system and developer messages further on are said by the user, with a label",
        _says(("system", "developer")),
    ),
    ("turns of one role in a row are joined with a blank line", _says(("user", "assistant"))),
    ("tool calls, and results, are written out as text", _says(("call", "tool"))),
    ("results of functions are written out as text", _says(("function",))),
    (
        "tool calls are brought into the form that it shows",
        lambda rules: any(
            answer != "accepted"
            for answer in (
                rules.call_text,
                rules.parallel_calls,
                rules.half_answered,
                rules.long_call_ids,
                rules.repeated_call_ids,
            )
        ),
    ),
    (
        "an empty turn is added where it needs one",
        lambda rules: (
            any(map(_named, (rules.ends, rules.without_user)))
            or not rules.may_follow("start", "assistant")
        ),
    ),
)
