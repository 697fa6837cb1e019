"""The forms of messages: developer messages, content, tool calls and their results."""

from __future__ import annotations

from ..answers import Answers
from ..asker import Asker, Step
from ..probe import judge
from ..probe_builder import repeated_id
from .call_content import ask_call_names
from .content_forms import ask_empty_turns, content_questions
from .developer import developer_questions
from .tool_calls import result_questions, tool_call_questions


def ask_details(asker: Asker) -> Step[None]:
    """Ask about all forms in one batch, then about what depends on one of the answers."""
    reads_calls = _reads_calls(asker.answers)
    reads_results = asker.answers.is_accepted("follows", "user", "tool")
    yield from asker.ask(
        {
            **developer_questions(asker.answers),
            **(tool_call_questions() if reads_calls else {}),
            **(result_questions() if reads_calls or reads_results else {}),
            **content_questions(asker.answers, reads_calls=reads_calls),
        }
    )
    yield from ask_empty_turns(asker)
    if reads_calls:
        yield from ask_call_names(asker)
        # If several calls are taken at once, an id may be used up by standing among others.
        count = 2 if asker.answers.is_accepted("parallel_calls") else 1
        yield from _ask_repeated_id(asker, "repeated_lone_ids", 1)
        yield from _ask_repeated_id(asker, "repeated_call_ids", count)


def _ask_repeated_id(asker: Asker, field: str, count: int) -> Step[None]:
    """Ask whether an id may come again; not if a result is shown behind both calls that had it."""
    builder = repeated_id(count)
    (rendering,) = yield from asker.render([builder], (field,))
    answer = judge(rendering, builder.marks)
    if rendering is not None and rendering.count(builder.marks[-1]) > 1:
        answer = "not_read"
    asker.answers.update({(field,): answer})


def _reads_calls(answers: Answers) -> bool:
    return answers.is_accepted("follows", "user", "call")
