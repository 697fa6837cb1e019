"""A lenient chat template: the repairs of a profile, written as Jinja in front of the original.

For a backend with no proxy before it (`vllm serve --chat-template`). The steps are those of
`repair/chain.py`, in relax.jinja; the `RepairPolicy` is written into each template as a table.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import Any

import jinja2

from ..messages.inert_mark import INERT_MARK
from ..profile.states import KINDS, Kind
from ..profile.template_profile import TemplateProfile
from ..repair.call_ids import ID_PRIME
from ..repair.chain import SEPARATOR
from ..repair.labels import MAX_NAME, NOT_IN_NAMES, SEAM, WORDS
from ..repair.policy import RepairPolicy
from ..template.chat_template import ChatTemplate
from ..template.content_format import detect_content_format
from ..template.environment import parse_template

MADE_BY = "made by role-guard relax"
MAX_TRIES = 99_999
"""How many ids are tried for one that no call has; a sandbox's longest `range`, nearly."""


class NotRelaxable(ValueError):  # noqa: N818 - named like TemplateInvalid
    """No lenient template can be made of this one; the message tells why."""


def relax(template: ChatTemplate, profile: TemplateProfile, *, source: str) -> str:
    """Return a template that repairs a conversation, then renders it as the original does.

    The result is the same for the same template, profile and version of this package.

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
        raise NotRelaxable(
            "has a second template for tools; relax each, with --named default and --named tool_use"
        )
    policies = [RepairPolicy.of(profile.rules(tools=tools)) for tools in (False, True)]
    tables = [_table(policy) for policy in policies]
    written = json.dumps(tables[0], indent=1)
    if tables[0] != tables[1]:
        written = f"{json.dumps(tables[1], indent=1)} if tools else {written}"
    preamble = _generator().render(
        head=_head(template, policies, source),
        policy=written,
        uses=_uses(tables),
        in_parts=template.content_format == "openai",
        nothing="none" if template.content_format == "openai" else "''",
        merges_developer=not template.knows_developer,
        kinds=json.dumps(KINDS),
        separator=json.dumps(SEPARATOR),
        prime=ID_PRIME,
        label_words=json.dumps(WORDS),
        label_mark=json.dumps(INERT_MARK),
        not_in_names=json.dumps(NOT_IN_NAMES),
        max_name=MAX_NAME,
        seam=SEAM,
        max_tries=MAX_TRIES,
    )
    # After the preamble's last tag comes one line break, which is left out (`trim_blocks`), and
    # behind which the original stands as at the beginning of a file.
    relaxed = preamble + template.text
    if detect_content_format(parse_template(relaxed)) != template.content_format:
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


def _table(policy: RepairPolicy) -> dict[str, Any]:
    """Return the policy without what the preamble never sees: parts of other types than text."""
    return {name: value for name, value in asdict(policy).items() if name != "rejects_other_parts"}


def _uses(tables: Sequence[Mapping[str, Any]]) -> dict[str, bool]:
    """Return which parts of the preamble a template needs."""
    uses = {name: any(table[name] for table in tables) for name in tables[0]}
    uses["merges_on_server"] = uses["hoists_developer"] or uses["shows_system_last"]
    return uses


def _head(template: ChatTemplate, policies: Sequence[RepairPolicy], source: str) -> str:
    digest = hashlib.sha256(template.text.encode()).hexdigest()
    made = f"{MADE_BY} {version('litellm-role-guard')}"
    shown = source.replace("#}", "#").replace("\n", " ")
    repairs = [what for what, applies in _SUMMARY if any(map(applies, policies))]
    return "\n".join(
        [
            f"A lenient chat template, {made}",
            f"from {shown} (sha256 {digest}),",
            "which stands below as it was. What it would refuse, or take without reading, is",
            "repaired first, by what it was seen to do:",
            *(f"- {what}" for what in repairs),
            "A conversation that it reads as it is stays as it is. Do not edit: make it anew.",
        ]
    )


def _says(*kinds: Kind) -> Callable[[RepairPolicy], bool]:
    return lambda policy: any(
        kind in not_taken for not_taken in policy.not_taken.values() for kind in kinds
    )


_SUMMARY: tuple[tuple[str, Callable[[RepairPolicy], bool]], ...] = (
    (
        "several system or developer messages at the front are joined, or said by the user",
        lambda policy: bool(policy.unread_leading),
    ),
    (
        "system and developer messages further on are said by the user, with a label",
        _says("system", "developer"),
    ),
    ("turns of one role in a row are joined with a blank line", _says("user", "assistant")),
    ("tool calls, and results, are written out as text", _says("call", "tool")),
    ("results of functions are written out as text", _says("function")),
    (
        "tool calls are brought into the form that it shows",
        lambda policy: (
            policy.text_apart
            or policy.single_calls
            or policy.all_answered
            or policy.short_ids
            or policy.new_ids
        ),
    ),
    (
        "an empty turn is added where it needs one",
        lambda policy: (
            bool(policy.no_end or policy.needs_user) or not policy.may_follow("start", "assistant")
        ),
    ),
)
