"""The plan of the probes for one set of rules."""

from __future__ import annotations

from ..profile.rules import Rules
from .asker import Asker, Step
from .assembly import rules_from
from .steps.call_content import ask_call_content
from .steps.details import ask_details
from .steps.hoisting import ask_hoisting
from .steps.ignored_empty import ask_ignored_empty
from .steps.late_systems import ask_late_systems
from .steps.leading_system import ask_leading_system, ask_without_user, reads_second_system
from .steps.media import ask_media
from .steps.turns import ask_follows_with_several_systems, ask_states


def rules_plan(*, tools: bool) -> Step[Rules]:
    """Yield the probes for one set of rules in batches, and return the rules.

    Args:
        tools: Whether tool definitions go with the probes.
    """
    asker = Asker(tools=tools)
    yield from ask_call_content(asker)
    with_second_system = yield from reads_second_system(asker)
    yield from ask_leading_system(asker)
    yield from ask_without_user(asker)
    paths = yield from ask_states(asker, with_second_system=with_second_system)
    yield from ask_late_systems(asker)
    yield from ask_follows_with_several_systems(asker)
    yield from ask_ignored_empty(asker, paths)
    yield from ask_hoisting(asker)
    yield from ask_details(asker)
    yield from ask_media(asker)
    return rules_from(asker.answers)
