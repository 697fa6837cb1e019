"""The pieces of text that a template makes turns of, read from the renderings of the probes.

What stands between the marks of two messages is the template's own: among it what closes one turn
and opens the next. Nothing is listed: `<|im_end|>`, `[/INST]` or `[|user|]` are found by their
form, and where a turn opens without such a piece its words, such as `USER:`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from ..messages.message import Message, has_media, tool_calls
from ..profile.template_profile import MAX_CHARS, MAX_MARKERS, TemplateProfile
from .asker import Step
from .probe import TOOLS, Probe, Rendering

_MARK = re.compile(r"zq\d\dvx")

_PIECE = re.compile(r"<\|[^|<>\s]{1,60}\|>|<[^<>\s]{1,60}>|\[[\w|/]{0,60}[A-Za-z][\w|/]{0,60}\]")

_TAG = re.compile(r"</?(\w+)>")

_WORDS = re.compile(r"(?:#+ ?)?\w{2,30}:")
"""A line between turns that opens one in words."""

_OPENING_PIECES = 3
"""How many of the last pieces before the first mark open its turn; before them are instructions."""

_CHAT = {"system", "user", "assistant"}

_CONTROL = "zqthoughtx"  # a tag that no template knows

Renderings = Iterable[tuple[Probe, Rendering]]


def with_markers(
    profile: TemplateProfile, renderings: Renderings, thoughts: Iterable[str] = ()
) -> TemplateProfile:
    """Return a profile with the markers that the renderings show.

    Args:
        profile: What was learnt of them.
        renderings: The probes and their prompts.
        thoughts: Names of tags that are no markers: the template itself reads them in a reply.
    """
    turns: set[str] = set()
    rounds: set[str] = set()
    replies: set[str] = set()  # tags that stand before replies alone open thoughts, and no turn
    words: set[str] = set()
    for probe, rendering in renderings:
        if rendering is None or probe.prefill or any(map(has_media, probe.messages)):
            continue
        first, *gaps = _MARK.split(rendering)
        if not gaps:
            continue
        if _is_chat(probe):
            found = [opening_pieces(first), *map(_PIECE.findall, gaps)]
            for pieces, is_of_reply in zip(found, _before_replies(probe, rendering), strict=True):
                replies.update(filter(_TAG.fullmatch, pieces) if is_of_reply else ())
                turns.update(
                    piece for piece in pieces if not (is_of_reply and _TAG.fullmatch(piece))
                )
            if all(message["role"] in ("user", "assistant") for message in probe.messages):
                words.update(_lines(gap for gap in gaps if not _PIECE.search(gap)))
        elif _has_round(probe.messages):
            rounds.update(*map(_pieces_of_round, gaps))
    tags = {form for name in thoughts for form in (f"<{name}>", f"</{name}>")}
    markers = (turns | words) - tags
    return profile.model_copy(
        update={
            "turn_markers": _few(markers),
            "round_markers": _few((rounds | replies) - turns - tags),
        }
    )


def _few(markers: Iterable[str]) -> tuple[str, ...]:
    """Return markers as a profile has room for them.

    Too long ones, and all where there are too many, are shortened to what they begin with, as far
    as need be: more text is broken then, and no marker is forgotten.
    """
    few: set[str] = set()
    for chars in range(MAX_CHARS, 0, -1):
        few = {marker[:chars] for marker in markers}
        if len(few) <= MAX_MARKERS:
            break
    return tuple(sorted(few)[:MAX_MARKERS])


def opening_pieces(beginning: str) -> list[str]:
    """Return the pieces that may open the first turn.

    Args:
        beginning: What a prompt has before the first mark.
    """
    return _PIECE.findall(beginning)[-_OPENING_PIECES:]


def thought_names(profile: TemplateProfile) -> Step[list[str]]:
    """Ask which tags a template reads in a reply itself, such as `</think>`; return their names.

    Those are rendered otherwise than a tag that no template knows.

    Args:
        profile: With the markers that were found.
    """
    tags = map(_TAG.fullmatch, (*profile.turn_markers, *profile.round_markers))
    names = sorted({tag[1] for tag in tags if tag is not None})
    if not names:
        return []
    control, *renderings = yield [_thought_probe(name) for name in (_CONTROL, *names)]
    if control is None:
        return []
    return [
        name
        for name, rendering in zip(names, renderings, strict=True)
        # A live oracle may add blanks around a prompt.
        if (rendering or "").strip() != control.replace(_CONTROL, name).strip()
    ]


def _thought_probe(name: str) -> Probe:
    messages: list[Message] = [
        {"role": "user", "content": "zq00vx"},
        {"role": "assistant", "content": f"<{name}>zq01vx</{name}>zq02vx"},
        {"role": "user", "content": "zq03vx"},
    ]
    return Probe(messages, ["zq00vx", "zq02vx", "zq03vx"], tools=False)


def _is_chat(probe: Probe) -> bool:
    return not probe.tools and all(
        message["role"] in _CHAT and not tool_calls(message) for message in probe.messages
    )


def _before_replies(probe: Probe, rendering: str) -> list[bool]:
    """Return for each gap between marks whether a reply follows it."""
    replies = str([each["content"] for each in probe.messages if each["role"] == "assistant"])
    marks = _MARK.findall(rendering)
    return [mark in replies for mark in marks] + [True]


def _has_round(messages: Sequence[Message]) -> bool:
    return any(map(tool_calls, messages)) and any(each["role"] == "tool" for each in messages)


_FUNCTION = TOOLS[0]["function"]

_OWN_WORDS = (_FUNCTION["name"], *_FUNCTION["parameters"]["properties"])


def _pieces_of_round(gap: str) -> Iterator[str]:
    """Yield the pieces between two marks of a round.

    Instructions about tools hold examples, of which no turn is made; only what looks like no tag
    of XML is taken of them.
    """
    is_instruction = _FUNCTION["description"] in gap
    for piece in _PIECE.findall(gap):
        if any(f"={word}>" in piece for word in _OWN_WORDS):
            continue  # it holds the name of the probe's own tool
        if not is_instruction or "|" in piece or piece[0] == "[":
            yield piece


def _lines(gaps: Iterable[str]) -> Iterator[str]:
    """Yield what may be words that open a turn: `USER:`, `### Instruction:`."""
    for gap in gaps:
        for line in gap.splitlines():
            if _WORDS.fullmatch(line.strip()):
                yield line.strip()
