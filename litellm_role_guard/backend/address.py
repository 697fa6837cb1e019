"""The address of a backend: what is wrong with it, and what of it an error or a log may show."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

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


def address_fault(url: str) -> str | None:
    """Return why nobody can be asked at an address; None where that is not plain to see.

    Args:
        url: The address as somebody wrote it.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        return f"is no address: {error}"
    if parts.scheme not in ("http", "https"):
        return "is no address: it begins with neither http:// nor https://"
    if not parts.hostname:
        return "is no address: it has no host"
    if any(each.isspace() for each in url):
        return "has white space in it"
    return None
