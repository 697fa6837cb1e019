"""Two interpreters of one policy, Python and Jinja, held to repairs that are written down."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest

from litellm_role_guard import repair
from scripts.make_golden_corpus import OUT, TOOLS, templates, written
from testing.learnt import learnt
from testing.relaxed import as_known, relaxed, rendered

Entry = tuple[list[dict[str, Any]], bool, bool, Any]

LOST_BEFORE_SHARE = 0.45
"""Of how many conversations at most a template is not handed all, such as malformed arguments."""


@cache
def corpus() -> dict[str, list[Entry]]:
    """Return the entries by the name of the template."""
    found: dict[str, list[Entry]] = {}
    for line in gzip.decompress(OUT.read_bytes()).decode().splitlines():
        name, messages, with_tools, prefill, expected = json.loads(line)
        found.setdefault(name, []).append((messages, with_tools, prefill, expected))
    return found


each_template = pytest.mark.parametrize("name", list(templates()))


def test_the_corpus_is_large_and_mostly_broken() -> None:
    """At least 2,000 conversations, three in four of which need a repair, for every template."""
    entries = [entry for each in corpus().values() for entry in each]
    assert set(corpus()) == set(templates())
    assert len(entries) >= 2000
    assert sum(entry[3] is not None for entry in entries) >= 0.75 * len(entries)


@each_template
def test_python_repairs_as_written_down(name: str) -> None:
    """The same messages, the same changes, and the very same list where nothing changes."""
    _, profile = learnt(templates()[name])
    for messages, with_tools, prefill, expected in corpus()[name]:
        tools = TOOLS if with_tools else None
        repaired = repair(messages, profile, tools=tools, prefill=prefill)
        if expected is None:
            assert repaired.messages is messages
        else:
            changes = [[change.what, list(change.messages)] for change in repaired.changes]
            assert [list(repaired.messages), changes] == expected


@pytest.mark.slow
@each_template
def test_jinja_renders_what_is_written_down(name: str) -> None:
    """To the last character, refusals included, of all that the server hands to a template."""
    template, profile = learnt(templates()[name])
    lenient = relaxed(template, profile)
    as_written = 0
    for messages, with_tools, prefill, expected in corpus()[name]:
        tools = TOOLS if with_tools else None
        wanted: Sequence[Any] = messages if expected is None else expected[0]
        known = as_known(template, messages)
        of_known = repair(known, profile, tools=tools, prefill=prefill).messages
        if as_known(template, of_known) == as_known(template, wanted):
            as_written += 1
        else:  # something is lost before the template, which repairs what it is handed
            wanted = of_known
        prompt = rendered(lenient, messages, tools=tools, prefill=prefill)
        assert prompt == rendered(template, wanted, tools=tools, prefill=prefill)
    assert as_written >= (1 - LOST_BEFORE_SHARE) * len(corpus()[name])


@pytest.mark.slow
def test_the_script_writes_the_same_bytes_again() -> None:
    """What is committed is what the script makes of today's code."""
    assert written() == OUT.read_bytes()
