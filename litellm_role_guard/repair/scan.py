"""The fast scan: is there surely nothing to do?

Most conversations are fine, and every request pays for finding that out. The scan passes over sound
messages by a table, at a small part of what placing each of them costs. It gives up at whatever
needs a closer look; that may be fine all the same, and is for the steps to decide.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..messages.message import Message, is_empty, part_text, tool_calls
from .call_check import tool_calls_are_clean
from .labels import DEFAULT_FORM, LabelForm
from .policy import RepairPolicy
from .scan_table import CALL, RESULT, ScanState, ScanTable
from .turn import REASONING


def needs_no_repair(
    messages: Sequence[Message], policy: RepairPolicy, form: LabelForm = DEFAULT_FORM
) -> bool:
    """Return whether it is sure at little cost that the template reads a conversation as it is.

    Args:
        messages: A conversation in which `find_validation_error` finds nothing.
        policy: What its template needs.
        form: How labels are written.
    """
    if not messages:
        return True
    has_leading_system = messages[0]["role"] == "system"
    table = policy.scan_tables[has_leading_system]
    ahead = iter(messages)
    if not table.opens or (has_leading_system and not _opens(next(ahead), table)):
        return False
    called: list[Message] = []
    doubtful: list[Message] = [messages[0]] if has_leading_system else []
    opening = form.opening[0] if policy.needs_labels else _NO_OPENING
    begin = table.states["leading_system" if has_leading_system else "start"]
    end = scan(ahead, begin, table, called, doubtful, opening)
    return (
        end is not None
        and end.ends
        and (end.state.startswith("user") or any(each["role"] == "user" for each in messages))
        and (not called or tool_calls_are_clean(messages, called, policy))
        and not (policy.needs_labels and form.is_in(called + doubtful))
    )


_NO_OPENING = "\ud800"
"""Half a character, which hardly any text holds, and which costs nothing to look for."""


def scan(
    ahead: Iterator[Message],
    state: ScanState,
    table: ScanTable,
    called: list[Message],
    doubtful: list[Message],
    opening: str,
) -> ScanState | None:
    """Return the state after all messages, None where one of them needs a closer look.

    Calls are judged by where they stand; whether they are in a form that is read is for
    `call_check.tool_calls_are_clean` to say.

    Args:
        ahead: The messages.
        state: Where the conversation stands.
        table: What is let through.
        called: Takes the messages with tool calls and results.
        doubtful: Takes those of the others that may hold a label.
        opening: The character with which labels begin.
    """
    # This loop is what every request pays for, so that it is written for speed.
    parts, answering = table.parts, table.answering
    open_calls: set[object] | tuple[()] = ()
    try:
        for message in ahead:
            if len(message) == 2:
                content = message["content"]
                if not content or (
                    type(content) is not str
                    and (type(content) is not list or len(content) > parts[message["role"]])
                    and not _has_text_parts(content, message["role"], table)
                ):
                    return None
                if opening in content or type(content) is not str:
                    doubtful.append(message)
                state = state[message["role"]]
            elif message["role"] == "tool":
                if len(message) != 3 and (len(message) != 4 or "name" not in message):
                    return None
                if type(message["content"]) is not str or not message["content"]:
                    return None
                call_id = message["tool_call_id"]
                if answering and not state.state.endswith(("+call", "+tool")):
                    open_calls = ()
                elif state.state in answering and call_id not in open_calls:
                    return None
                state = state[RESULT]
                called.append(message)
            elif not _is_shown(message, table):
                return None
            elif message.get("tool_calls") and message["role"] == "assistant":
                state = state[CALL]
                called.append(message)
                if answering:
                    open_calls = {call.get("id") for call in tool_calls(message)}
            else:
                doubtful.append(message)
                state = state[message["role"]]
    except KeyError:
        return None
    return state


def _opens(message: Message, table: ScanTable) -> bool:
    """Return whether a system message is surely read at the front."""
    content = message.get("content")
    if isinstance(content, str):
        return bool(content.strip()) and (len(message) == 2 or _is_shown(message, table))
    return not is_empty(message) and _is_shown(message, table)


def _is_shown(message: Message, table: ScanTable) -> bool:
    """Return whether a message has some text, and nothing but what the template is shown."""
    content = message.get("content")
    if type(content) is not str or not content:
        if content:
            if not _has_parts(content, message["role"], table):
                return False
        elif not tool_calls(message):
            return False
    if message.get("refusal") or message.get("function_call"):
        return False
    return table.reasoning or not any(message.get(key) for key in REASONING)


def _has_parts(content: object, role: str, table: ScanTable) -> bool:
    if not isinstance(content, list):
        return False
    return len(content) <= table.parts.get(role, 0) or _has_text_parts(content, role, table)


def _has_text_parts(content: object, role: str, table: ScanTable) -> bool:
    """Return whether a content is parts of text alone, of a kind that may hold nothing else."""
    if not isinstance(content, list) or len(content) > table.text_parts.get(role, 0):
        return False
    texts = list(map(part_text, content))
    return None not in texts and any(texts)
