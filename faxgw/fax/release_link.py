"""Links by which the owner of a number releases a fax that was set aside as junk: made, and read again. Pure.

A link names one fax, one owner and the time until which it holds, and does one thing. Its token is the time (5 octets
of Unix seconds), a mark of the owner's address, and HMAC-SHA-256 over both, the fax and the purpose, cut to 128 bits
(RFC 2104 section 5), in base64url without padding (RFC 4648 section 5). The address itself is not in it: what stands in
a path stands in logs.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable

PATH = "/junk"
"""Below it the pages of links are."""
TOKEN = 39
"""Characters of a token."""
_PURPOSE = b"faxgw release of junk\0"
_TIME, _MARK, _SIGNATURE = 5, 8, 16
"""Octets."""


def path(key: bytes, reception: str, address: str, until: float) -> str:
    """The path of a link.

    Args:
        key: Of this purpose.
        reception: The fax.
        address: The owner who is sent it.
        until: Unix seconds until which it holds.
    """
    return f"{PATH}/{reception}/{_token(key, reception, int(until).to_bytes(_TIME, 'big') + _mark(address))}"


def owner(key: bytes, reception: str, token: str, owners: Iterable[str], *, now: float) -> str | None:
    """Which of a fax's owners was sent a token; None: it is not one of ours, of another fax or owner, or it is over.

    Args:
        key: Of this purpose.
        reception: The fax.
        token: Anybody's words.
        owners: Addresses of the fax's owners.
        now: Unix seconds.
    """
    try:
        octets = base64.b64decode(token.encode("ascii") + b"=", altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
    told = octets[: _TIME + _MARK]
    if len(token) != TOKEN or not hmac.compare_digest(_token(key, reception, told), token):
        return None
    if int.from_bytes(told[:_TIME], "big") < now:
        return None
    return next((address for address in owners if _mark(address) == told[_TIME:]), None)


def _token(key: bytes, reception: str, told: bytes) -> str:
    signature = hmac.digest(key, _PURPOSE + reception.encode() + b"\0" + told, "sha256")[:_SIGNATURE]
    return base64.urlsafe_b64encode(told + signature).decode().rstrip("=")


def _mark(address: str) -> bytes:
    return hashlib.sha256(address.casefold().encode()).digest()[:_MARK]
