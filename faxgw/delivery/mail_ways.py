"""How the ways of mails fare: the relay, and servers that routes name; what the gateway's health says of them.

A mail that stays behind is tried again for days, and whoever waits for it hears nothing meanwhile: the operator has to
know at once that a way is closed, but not of a single server that was restarted. Servers of strangers' domains (MX) are
no way of the operator's, and are not watched.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import aiosmtplib

FAILURES = 2
"""Tries in a row that must have failed before a way counts as closed."""
CLOSED_AFTER_S = 60.0
"""Seconds from the first to the last of these; a mail is tried again after 15 s and after another 60 s."""
RELAY = "relay"
"""Name of the relay's way; the others are called like their routes' domains."""
_LOGIN = frozenset({454, 530, 534, 535, 538})
"""Replies about a login (RFC 4954 section 6)."""


@dataclass(frozen=True, slots=True)
class Failing:
    """Failures of a way since its last success."""

    count: int
    since: float
    """The first of them, Unix seconds."""
    last: float
    why: str
    """Of the last one, a few plain words."""


class MailWays:
    """Remembers failures in a row.

    Args:
        clock: Unix seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failing: dict[str, Failing] = {}

    def tried(self, way: str, why: str) -> None:
        """A mail was handed to a way, which took it or said what was wrong with the mail, or else `why` not."""
        if not why:
            self._failing.pop(way, None)
            return
        now = self._clock()
        before = self._failing.get(way, Failing(0, now, now, why))
        self._failing[way] = replace(before, count=before.count + 1, last=now, why=why)

    def keep(self, names: Collection[str]) -> None:
        """Forget the ways that the settings have no more."""
        self._failing = {name: found for name, found in self._failing.items() if name in names}

    @property
    def fault(self) -> str:
        """The ways that are closed, why, and since when; empty: none is."""
        closed = [
            f"{name if name == RELAY else f'mail route {name}'}: {found.why} (since {_moment(found.since)})"
            for name, found in sorted(self._failing.items())
            if found.count >= FAILURES and found.last - found.since >= CLOSED_AFTER_S
        ]
        return "; ".join(closed)


def trouble(error: Exception, *, connected: bool, about_us: bool) -> str:
    """What a failed conversation says of the way, in plain words without hosts; empty: the way is good.

    Args:
        error: What ended it.
        connected: It got beyond greeting, TLS and login.
        about_us: A reply speaks of us, not of the mail.
    """
    if isinstance(error, aiosmtplib.SMTPResponseException):
        if not about_us:
            return ""
        if error.code in _LOGIN:
            return "the server refuses our login"
        return "the server refuses our mails" if connected else "the server refuses the connection"
    if isinstance(error, TimeoutError):
        return "the server does not answer in time"
    if connected and isinstance(error, ValueError):
        return ""  # what the client itself does not say of this mail
    if connected:
        return "the server breaks the conversation off"
    return "the server cannot be reached, or not as the settings want it"


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
