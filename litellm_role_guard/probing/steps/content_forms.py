"""Content as parts, null and empty, by the kind of message."""

from __future__ import annotations

from ..answers import Answers, Path
from ..asker import Asker, Questions, Step
from ..probe_builder import ProbeBuilder, add_all

_FRAMES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "system": ((), ("user",)),
    "developer": ((), ("user",)),
    "user": ((), ("assistant", "user")),
    "assistant": (("user",), ("user",)),
}
"""What stands before and after a message, by its kind."""

_RESULT_FRAME = (("user", "call"), ("assistant", "user"))

_AFTER_LATE_SYSTEM = ("user", "assistant", "user")


def ask_empty_turns(asker: Asker) -> Step[None]:
    """Ask whether an empty message stands as a turn, or leaves no trace in the prompt.

    Whoever needs a turn there has to say something.
    """
    for kind in ("user", "assistant"):
        if asker.answers.is_accepted("blank", kind):
            before, after = _FRAMES[kind]
            empty = add_all(ProbeBuilder(*before).say(kind, ""), after)
            path = ("empty_turns", kind)
            both = [empty, ProbeBuilder(*before, *after)]
            shown, without = yield from asker.render(both, path)
            if shown == without:
                asker.answers.update({path: "not_read"})


def content_questions(answers: Answers, *, reads_calls: bool) -> Questions:
    """Return what to ask about the forms of content.

    Args:
        answers: The answers so far.
        reads_calls: Whether tool calls are read; if not, results may be all the same.
    """
    questions: dict[Path, list[ProbeBuilder]] = {}
    frames = dict(_FRAMES)
    if reads_calls:
        frames["tool"] = _RESULT_FRAME
    elif answers.is_accepted("follows", "user", "tool"):
        frames["tool"] = (("user",), ("assistant", "user"))
    for kind, (before, after) in frames.items():
        questions["parts", kind] = [add_all(ProbeBuilder(*before).parts(kind), after)]
        questions["null", kind] = [add_all(ProbeBuilder(*before).say(kind, None), after)]
        questions["blank", kind] = [add_all(ProbeBuilder(*before).say(kind, ""), after)]
    questions["other_parts",] = [add_all(ProbeBuilder("user").refuse(), ("user",))]
    questions["reasoning",] = [add_all(ProbeBuilder("user").think(), ("user",))]
    if answers.is_accepted("follows", "user", "system"):
        for field, builder in {
            "null": ProbeBuilder("user").say("system", None),
            "blank": ProbeBuilder("user").say("system", ""),
            "parts": ProbeBuilder("user").parts("system"),
        }.items():
            questions[field, "late system"] = [add_all(builder, _AFTER_LATE_SYSTEM)]
    return questions
