"""What a response says beyond its status: Reason, Retry-After and Warning (RFC 3326, RFC 3261 sections 20.33, 20.43).

Peers write these by hand: what cannot be read is left out, and texts are cleaned for logs and stores.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from faxgw.foip.errors import RemoteProtocolError
from faxgw.foip.headers import Cause, parse_seconds, unquote
from faxgw.foip.message import Request, Response, clean_text

MAX_CAUSES = 4
"""Reason values read from one message at most."""
MAX_WARNINGS = 4
"""Warning values read from one message at most."""

_WARNING = re.compile(r'\s*(?P<code>\d{3})\s+(?P<agent>\S{1,255})\s+"(?P<text>(?:[^"\\]|\\.)*)"\s*', re.DOTALL)


@dataclass(frozen=True, slots=True)
class WarningValue:
    """One value of a Warning header field, for example `304 gw "Media type not available"`."""

    code: int
    """300 to 399; 304 and 305 speak of media types and formats (RFC 3261 section 20.43)."""
    agent: str
    """Who warns."""
    text: str
    """For people."""

    def __str__(self) -> str:
        return f"{self.code} {self.text}"


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a refusal says of itself."""

    causes: tuple[Cause, ...] = ()
    """Reason values, for example of Q.850."""
    retry_after: int | None = None
    """Seconds the peer asks us to wait, if it does."""
    warnings: tuple[WarningValue, ...] = ()
    """Warning values."""

    @classmethod
    def of(cls, response: Response) -> Refusal:
        """Read them all."""
        return cls(causes_of(response), retry_after_of(response), warnings_of(response))


def causes_of(message: Request | Response) -> tuple[Cause, ...]:
    """The Reason values that can be read (RFC 3326)."""
    causes = []
    for value in _values(message, "Reason")[:MAX_CAUSES]:
        try:
            cause = Cause.parse(value)
        except RemoteProtocolError:
            continue
        causes.append(Cause(clean_text(cause.protocol, 20), cause.code, clean_text(cause.text)))
    return tuple(causes)


def retry_after_of(response: Response) -> int | None:
    """Seconds of Retry-After (RFC 3261 section 20.33); None without it, or if it begins with no number."""
    value = response.headers.get("Retry-After")
    try:
        return None if value is None else parse_seconds(value)
    except RemoteProtocolError:
        return None


def warnings_of(response: Response) -> tuple[WarningValue, ...]:
    """The Warning values that can be read (RFC 3261 section 20.43)."""
    found = []
    for value in _values(response, "Warning")[:MAX_WARNINGS]:
        match = _WARNING.fullmatch(value)
        if match is not None:
            text = clean_text(unquote(f'"{match["text"]}"'))
            found.append(WarningValue(int(match["code"]), clean_text(match["agent"], 255), text))
    return tuple(found)


def _values(message: Request | Response, name: str) -> list[str]:
    try:
        return message.headers.values(name)
    except RemoteProtocolError:
        return []
