"""Whether a template knows a role, or only prints the name of whatever role it is given.

A control rendering says the same in a role that no template knows. What is printed exactly like
the control is not known: a model has never seen such a turn, though every text is in its prompt.
"""

from __future__ import annotations

import re

CONTROL_ROLE = "zzz"


def is_printed_alike(rendering: str | None, control: str | None, role: str) -> bool:
    """Return whether two prompts differ by nothing but the name of the role.

    Args:
        rendering: The prompt with the role; None for a refusal.
        control: The prompt with the control role in its place.
        role: The role's name.
    """
    if rendering is None or control is None:
        return False
    # Templates may write the name in another case.
    names = re.compile(f"{re.escape(role)}|{CONTROL_ROLE}", re.IGNORECASE)
    # Some oracles add blanks around a prompt.
    printed, other = (names.sub(CONTROL_ROLE, each).strip() for each in (rendering, control))
    return printed == other


def opens_as_at_front(
    late: str | None, mark: str, front: str | None, front_mark: str, role: str
) -> bool:
    """Return whether a late message's turn opens with words that open the prompt's first turn.

    Then the template knows the role as a turn of its own, even if it prints all roles alike.

    Args:
        late: The prompt with the message between turns; None for a refusal.
        mark: Its text.
        front: The prompt of a conversation that begins with a message of this role.
        front_mark: The text of that message.
        role: The role's name, which has to stand in these words.
    """
    if late is None or front is None or mark not in late or front_mark not in front:
        return False
    before, opening = late.partition(mark)[0], front.partition(front_mark)[0]
    at = before.lower().rfind(role)
    # Not as the end of another word.
    return at >= 0 and re.search(r"(?<![^\W_])" + re.escape(before[at:]), opening) is not None
