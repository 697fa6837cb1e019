"""Text that only somebody with the same secret can have written."""

from __future__ import annotations

import hashlib
import hmac

_PURPOSE = b"litellm-role-guard shared profile"  # the secret signs other things elsewhere


def signed(text: str, place: str, secret: str) -> str:
    """Return a text with its signature.

    Args:
        text: The text.
        place: Where it is to stand; elsewhere it does not hold.
        secret: The secret.
    """
    return f"{_signature(text, place, secret)}:{text}"


def verified(signed_text: str, place: str, secret: str) -> str | None:
    """Return a text without its signature; None where that is not this secret's for this place.

    Args:
        signed_text: What `signed` returned, or what somebody else has put there.
        place: Where it stands.
        secret: The secret.
    """
    signature, _, text = signed_text.partition(":")
    expected = _signature(text, place, secret)
    return (
        text if hmac.compare_digest(signature.encode(errors="replace"), expected.encode()) else None
    )


def _signature(text: str, place: str, secret: str) -> str:
    key = hmac.digest(secret.encode(errors="surrogatepass"), _PURPOSE, hashlib.sha256)
    told = f"{place}\n{text}".encode(errors="surrogatepass")
    return hmac.new(key, told, hashlib.sha256).hexdigest()
