"""Images in messages: whether the template shows a placeholder, and for which kinds."""

from __future__ import annotations

from typing import Any

from ...profile.rules import Answer
from ..answers import Answers, Path
from ..asker import Asker, Step
from ..probe import Rendering, marks_in
from ..probe_builder import FIRST_MARK, ProbeBuilder, add_all
from ..shared_beginning import shared_beginning

# The smallest PNG: one pixel. Some servers decode what they are sent.
_PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
_IMAGE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_PIXEL}"}}

_FRAMES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "system": ((), ("user",)),
    "assistant": (("user",), ("user",)),
    "tool": (("user", "call"), ("assistant", "user")),
    "late system": (("user", "assistant"), ("user",)),
    "first user": ((), ("assistant", "user")),
}
"""What stands before and after a message, by its kind as in `Rules.parts`."""


def ask_media(asker: Asker) -> Step[None]:
    """Ask which kinds of messages may hold an image, where the user's may.

    An image that the template shows changes the prompt. It is shown elsewhere only if it leaves
    there what a user's image leaves.
    """
    # Not of the first turn, of which some templates show the text alone beside tools.
    before, after = ("user", "assistant"), ("assistant", "user")
    shown = yield from _render(asker, "user", (before, after), ("media", "user"))
    placeholder = _placeholder(*shown)
    if not placeholder or marks_in(placeholder):
        return  # no media, a model that takes none, or a template that does more with an image
    answers: dict[Path, Answer] = {}
    if asker.answers.is_accepted("leading_system", "system"):
        path = ("media_with_system",)
        shown = yield from _render(asker, "user", (("system", *before), after), path)
        answer = _answer(placeholder, *shown)
        if shown[0] is not None and FIRST_MARK not in shown[0]:
            answer = "not_read"
        answers[path] = answer
    for kind, frame in _FRAMES.items():
        if _may_be_asked(asker.answers, kind):
            if kind == "tool" and not _reads_rounds(asker.answers):
                frame = (frame[0][:1], frame[1])
            shown = yield from _render(asker, kind, frame, ("media", kind))
            answer = _answer(placeholder, *shown)
            if answer != "accepted":  # else as if it was not asked, on a text model's server say
                answers["media", kind] = answer
    asker.answers.update(answers)


def _may_be_asked(answers: Answers, kind: str) -> bool:
    if kind == "tool":
        return _reads_rounds(answers) or answers.is_accepted("follows", "user", "tool")
    if kind == "late system":
        return answers.is_accepted("follows", "assistant", "system")
    return kind != "system" or answers.is_accepted("leading_system", "system")


def _reads_rounds(answers: Answers) -> bool:
    return answers.is_accepted("follows", "user", "call") and answers.is_accepted(
        "follows", "user+call", "tool"
    )


def _render(
    asker: Asker, kind: str, frame: tuple[tuple[str, ...], tuple[str, ...]], path: Path
) -> Step[tuple[Rendering, Rendering]]:
    """Return the prompts of a conversation with an image and without it."""
    with_image, without = yield from asker.render(
        [_conversation(kind, frame, image) for image in ([_IMAGE], [])], path
    )
    return with_image, without


def _conversation(
    kind: str, frame: tuple[tuple[str, ...], tuple[str, ...]], image: list[Any]
) -> ProbeBuilder:
    before, after = frame
    builder = add_all(ProbeBuilder(), before)
    first, second = ({"type": "text", "text": builder.mark()} for _ in range(2))
    return add_all(builder.say(kind.rpartition(" ")[2], [first, *image, second]), after)


def _answer(placeholder: str, with_image: Rendering, without: Rendering) -> Answer:
    if without is None:
        return "accepted"  # nothing is proven of the image
    if with_image is None:
        return "refused"
    is_shown = with_image.count(placeholder) > without.count(placeholder)
    return "accepted" if is_shown else "not_read"


def _placeholder(with_image: Rendering, without: Rendering) -> str:
    """Return what stands for an image; empty where nothing does.

    An image may change more of a prompt than its own place, which is between the two texts or, in
    some templates, elsewhere.
    """
    if with_image is None or without is None:
        return ""
    between = _added(*(_between_marks(each) for each in (with_image, without)))
    return between or _added(with_image, without)


def _between_marks(prompt: str) -> str:
    """Return what stands between the two texts of the user's message with the image."""
    first, second = 2, 3  # of the marks, behind those of the turns before
    marks = marks_in(prompt)
    if len(marks) <= second:
        return ""
    return prompt.partition(marks[first])[2].partition(marks[second])[0]


def _added(with_image: str, without: str) -> str:
    """Return what an image adds to a text; empty where it adds nothing."""
    begin = shared_beginning(without, with_image)
    end = len(with_image) - shared_beginning(without[begin:][::-1], with_image[begin:][::-1])
    return with_image[begin:end].strip()
