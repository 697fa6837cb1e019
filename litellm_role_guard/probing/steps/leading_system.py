"""System text before the first turn, and conversations without a user turn."""

from __future__ import annotations

from ...profile.states import SYSTEM_RUNS
from ..answers import Path
from ..asker import Asker, Questions, Step
from ..probe_builder import ProbeBuilder

_THREE = ("leading_system", "system system system")


def reads_second_system(asker: Asker) -> Step[bool]:
    """Return whether a later system message is read if one stands at the start, too.

    If not, nothing is asked for `follows_with_system`. The answer is not kept: only what is asked
    there goes into the profile.
    """
    path = ("follows_with_system", "assistant", "system")
    builder = ProbeBuilder(
        "system", "user", "assistant", "system", "user", "assistant", "user", unordered_marks=1
    )
    answers = yield from asker.try_out({path: [builder]})
    return answers[path] == "accepted"


def ask_leading_system(asker: Asker) -> Step[None]:
    """Ask which runs of system and developer messages may stand before the first turn.

    Three only where two may: some templates look at the second message, and no further. And whether
    one is read where the reply is begun already: some show it in a last user turn only.
    """
    questions: dict[Path, list[ProbeBuilder]] = {
        ("leading_system", run): [ProbeBuilder(*run.split(), "user")] for run in SYSTEM_RUNS
    }
    three: Questions = {_THREE: questions.pop(_THREE)}
    yield from asker.ask(questions)
    if asker.answers.is_accepted("leading_system", "system system"):
        yield from asker.ask(three)
    if asker.answers.is_accepted("leading_system", "system"):
        opened = ProbeBuilder("system", "user", "assistant", unordered_marks=1)
        yield from asker.ask({("prefill_with_system",): [opened.to_be_continued()]})


def ask_without_user(asker: Asker) -> Step[None]:
    """Ask which conversations without a user turn are read.

    Some templates know no system message at the front, and a developer's.

    `opened` is a conversation that the assistant began and the user went on with. If even that is
    not read, the assistant's message alone proves nothing. `led_assistant` and `led_opened` are the
    same behind a system message.
    """
    leads = "system" if asker.answers.is_accepted("leading_system", "system") else "developer"
    conversations = {
        "leading_system": ProbeBuilder(leads),
        "several_systems": ProbeBuilder("system", "system"),
        "assistant": ProbeBuilder("assistant"),
        "opened": ProbeBuilder("assistant", "user"),
        "led_assistant": ProbeBuilder("system", "assistant", unordered_marks=1),
        "led_opened": ProbeBuilder("system", "assistant", "user", unordered_marks=1),
    }
    yield from asker.ask(
        {("without_user", name): [builder] for name, builder in conversations.items()}
    )
