"""The address of a backend as a log, a page or an error may show it."""

from __future__ import annotations

import re

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def shown_address(url: str) -> str:
    """Return an address without anything in it that may be a credential.

    That is the name and password before the host, the query and the fragment. Where an odd `@`
    leaves it open what is what, less is shown rather than more.

    Args:
        url: The address as somebody wrote it, which need not be valid.
    """
    found = _SCHEME.match(url)
    scheme = found.group() if found else ""
    # A password may hold any of the characters that end a host.
    rest = url[len(scheme) :].rpartition("@")[2]
    for end in "?#":
        rest = rest.partition(end)[0]
    return scheme + rest
