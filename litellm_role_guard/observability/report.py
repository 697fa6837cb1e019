"""What the guard did to a request: as a response header, a log line and its fields.

Message text is never part of any of them.
"""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..repair.change import Change
from .log import logger

HEADER = "x-role-guard"

MANY_PROMPTS = (
    "{} user messages in a row were answered as one turn; if these are many prompts in one list, "
    "a batch answers each of them"
)
"""What the log says where somebody seems to send many prompts in one list."""


_NOT_PRINTABLE = re.compile(r"[^\x20-\x7e]")

# What would end a value, or begin another field, where a line is read as `name=value` pairs.
_NEEDS_QUOTES = re.compile(r'[\s"=\\]|^$')


class Report:
    """What was done, or in mode observe would be done, to one request on its way to a deployment.

    Args:
        group: The model group that the client asked for.
        deployment: The id of the deployment that is to answer; empty where none was chosen yet.
        observed: Whether the request itself is left as it is.
        details: Returns what else the log line names, such as the request's id. It is called once,
            and only where the line is written.
        on_logged: Takes the report when its line is written.

    Attributes:
        changes: What was changed.
        rejected: Whether the client was told so instead of being answered.
        retried: How many calls were sent once more.
        routed: Where it was sent, `home`, `moved` or `overruled`; None where nothing was chosen.
        remembered: Whether what its `previous_response_id` stands for was put in its place.
        long_run: The length of the longest run of user messages that was merged, where it is long
            enough to be told; else 0.
        roles: The roles of the messages before and after, each as one text such as `user x3`.
    """

    def __init__(
        self,
        group: str,
        deployment: str,
        *,
        observed: bool = False,
        details: Callable[[], Mapping[str, str]] = dict,
        on_logged: Callable[[Report], None] | None = None,
    ) -> None:
        self.group = group
        self.deployment = deployment
        self.observed = observed
        self.changes: tuple[Change, ...] = ()
        self.rejected = False
        self.retried = 0
        self.routed: str | None = None
        self.remembered = False
        self.long_run = 0
        self.roles: tuple[str, str] | None = None
        self._details = details
        self._on_logged = on_logged
        self._began = time.perf_counter()
        self._is_logged = False

    @property
    def kinds(self) -> dict[str, int]:
        """The changes' kinds, each with its count."""
        # Most requests have none, and a Counter is dear.
        return dict(Counter(change.what for change in self.changes)) if self.changes else {}

    def header(self) -> str | None:
        """Return the header's value, such as `merged=2; system=1; retried=1`; None for nothing."""
        said = self._done()
        if self.remembered:
            said.append("remembered=1")
        if self.routed is not None:
            said.append(f"routed={self.routed}")
        # A line break in a header value makes the server drop the connection.
        return _clean("; ".join(said)) if said else None

    def log(self) -> None:
        """Write the line of the request, once, however often it is asked for.

        Its level is INFO where something was done, and else DEBUG; where a request went is not
        worth more.
        """
        if self._is_logged:
            return
        self._is_logged = True
        done = self._done()
        level = logging.INFO if done else logging.DEBUG
        if logger.isEnabledFor(level):
            fields = self._fields()
            names = " ".join(f"{name}={_quoted(str(value))}" for name, value in fields.items())
            what = _clean("; ".join(done)) or "untouched"
            extra = {**fields, **self._what_was_done()}
            logger.log(level, "%s %s", what, names, extra=extra)
        if done and self._on_logged is not None:
            self._on_logged(self)

    def _fields(self) -> dict[str, Any]:
        named = {"group": self.group, "deployment": self.deployment, **self._details()}
        fields: dict[str, Any] = {name: _clean(value) for name, value in named.items() if value}
        if self.routed is not None:
            fields["routed"] = self.routed
        fields["milliseconds"] = round((time.perf_counter() - self._began) * 1000)
        if self.long_run:
            fields["note"] = MANY_PROMPTS.format(self.long_run)
        return fields

    def _what_was_done(self) -> dict[str, Any]:
        """Return what the line says in words, as fields for a log of JSON."""
        return {
            "changes": self.kinds,
            "retried": self.retried,
            "observed": self.observed,
            "rejected": self.rejected,
        }

    def _done(self) -> list[str]:
        done = [self._counted(what, count) for what, count in self.kinds.items()]
        if self.retried:
            done.append(f"retried={self.retried}")
        if not done:
            return done
        if self.rejected and "bad_input" not in self.kinds:
            return ["reject", *done]
        return ["observe", *done] if self.observed else done

    def _counted(self, what: str, count: int) -> str:
        if what != "merged" or not self.long_run:
            return f"{what}={count}"
        merged = sum(len(change.messages) for change in self.changes if change.what == what)
        return f"{what}={count} of {merged} messages"


def explain(changes: Iterable[Change], location: Callable[[int], str]) -> str:
    """Say for each change what the backend would refuse or not read, and where.

    Args:
        changes: What a repair would do.
        location: Gives the place in the request where a message comes from.
    """
    return "; ".join(
        ": ".join([*_places(change, location), change.what, change.why]) for change in changes
    )


def _places(change: Change, location: Callable[[int], str]) -> list[str]:
    """Return where a change is, as one text; none where it concerns no message."""
    return [", ".join(map(location, change.messages))] if change.messages else []


def role_runs(roles: Sequence[str], most: int = 12) -> str:
    """Return the roles of a conversation in order, such as `system, user x3, assistant`.

    Args:
        roles: The roles.
        most: How many runs are shown; of more, those at the end.
    """
    runs: list[tuple[str, int]] = []
    for role in roles:
        if runs and runs[-1][0] == role:
            runs[-1] = role, runs[-1][1] + 1
        else:
            runs.append((role, 1))
    said = [role if count == 1 else f"{role} x{count}" for role, count in runs[-most:]]
    return ", ".join(["..."] * (len(runs) > most) + said)


def _clean(text: str) -> str:
    return _NOT_PRINTABLE.sub(" ", text)


def _quoted(value: str) -> str:
    """Return a value that cannot pass for several: names may come from clients."""
    if not _NEEDS_QUOTES.search(value):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
