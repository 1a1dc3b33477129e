"""Option tags and methods: what we understand, and what a peer says it does (RFC 3261 sections 19.2 and 20.5)."""

from __future__ import annotations

from faxgw.foip.errors import RemoteProtocolError
from faxgw.foip.message import Headers, Request

TIMER = "timer"
"""Session timers, RFC 4028."""
RELIABLE = "100rel"
"""Reliable provisional responses, RFC 3262."""
SUPPORTED = (TIMER, RELIABLE)
"""What a peer may require of us."""


def lists(headers: Headers, name: str, token: str) -> bool:
    """Whether a list of tokens (Supported, Require, Allow) has one, in any case; a list nobody can read has none."""
    try:
        return token.lower() in (value.lower() for value in headers.tokens(name))
    except RemoteProtocolError:
        return False


def unsupported(request: Request) -> list[str]:
    """What a request requires and we do not have (section 8.2.2.3).

    Raises:
        RemoteProtocolError: 400 if its Require cannot be read.
    """
    return [tag for tag in request.headers.tokens("Require") if tag.lower() not in SUPPORTED]
