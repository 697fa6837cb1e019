"""Tool calls with text, several at once, and results that do not fit their call."""

from __future__ import annotations

from ..asker import Questions
from ..probe_builder import (
    ProbeBuilder,
    add_all,
    half_answered,
    late_result,
    parallel_round,
    shared_id,
    swapped_results,
)


def tool_call_questions() -> Questions:
    """Return what to ask about a template that reads tool calls."""
    return {
        # Some templates take a call's text for a thought, and drop it once an answer follows.
        ("call_text",): [
            add_all(ProbeBuilder("user").call(1, text=True), ("tool", "assistant", "user"))
        ],
        ("open_call_text",): [add_all(ProbeBuilder("user").call(1, text=True), ("tool",))],
        ("parallel_calls",): [parallel_round(2)],
        ("result_pairing",): [swapped_results()],
        ("half_answered",): [half_answered()],
        ("stray_results", "call"): [ProbeBuilder("user", "call").answer("another00")],
        ("stray_results", "tool"): [ProbeBuilder("user", "call", "tool").answer("another00")],
        ("shared_call_ids",): [shared_id()],
        ("late_results", "user"): [late_result("user")],
        ("late_results", "assistant"): [late_result()],
        ("long_call_ids",): [ProbeBuilder("user").call(1, call_id="call_0123456789").add("tool")],
        ("short_call_ids",): [ProbeBuilder("user").call(1, call_id="call_s1").add("tool")],
    }


def result_questions() -> Questions:
    """Return what to ask about a template that reads results, be it without their calls."""
    return {("long_result_ids",): [ProbeBuilder("user").answer("call_0123456789")]}
