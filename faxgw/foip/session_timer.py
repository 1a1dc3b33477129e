"""Session timers: how long a session lasts without a refresh, and who refreshes it (RFC 4028).

Pure: `SessionTimer` holds what the two sides have agreed on and writes and reads the header fields; the moments it
names are the owner's to keep. Section numbers are those of RFC 4028.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from faxgw.foip.errors import RemoteProtocolError
from faxgw.foip.headers import parse_params, parse_seconds
from faxgw.foip.message import Headers, Request, Response
from faxgw.foip.options import TIMER, lists
from faxgw.foip.uri import find_param

LEAST_INTERVAL = 90
"""Seconds a session interval has at least (section 4); also Min-SE where a message has none (section 5)."""
BYE_BEFORE = 32.0
"""Seconds before the expiry that the BYE leaves, or a third of the interval if that is less (section 10)."""


class Refresher(enum.StrEnum):
    """Who refreshes, as seen from the transaction that says so (section 4)."""

    UAC = "uac"
    UAS = "uas"


@dataclass(frozen=True, slots=True)
class SessionExpires:
    """A Session-Expires value (section 4)."""

    interval: int
    """Seconds."""
    refresher: Refresher | None = None
    """Who refreshes; None if it is left open."""

    @classmethod
    def parse(cls, text: str) -> SessionExpires:
        """Read a value; a refresher nobody knows is none.

        Raises:
            RemoteProtocolError: 400 if it begins with no number.
        """
        interval = parse_seconds(text)
        _, semicolon, params = text.partition(";")
        named = find_param(parse_params(semicolon + params), "refresher") if semicolon else None
        refresher = Refresher(named.lower()) if named and named.lower() in ("uac", "uas") else None
        return cls(interval, refresher)

    def __str__(self) -> str:
        return f"{self.interval}" + (f";refresher={self.refresher}" if self.refresher else "")


@dataclass(frozen=True, slots=True)
class Terms:
    """What both sides have agreed on."""

    interval: int
    """Seconds from one refresh to the expiry."""
    ours: bool
    """Whether we refresh."""

    @property
    def refresh_after(self) -> float:
        """Seconds after a refresh at which the next one is due: half the interval (section 7.2)."""
        return self.interval / 2

    @property
    def bye_after(self) -> float:
        """Seconds after a refresh at which the session counts as lost (section 10)."""
        return self.interval - min(BYE_BEFORE, self.interval / 3)


class SessionTimer:
    """The session timer of one dialog, both roles.

    Args:
        interval: Seconds we ask for; 0 asks for none, and a peer's wish is granted all the same.
        min_se: The shortest interval we take, at least LEAST_INTERVAL.
    """

    def __init__(self, interval: int, min_se: int = LEAST_INTERVAL) -> None:
        self._interval = interval
        self._own_floor = max(min_se, LEAST_INTERVAL)
        self._floor = self._own_floor
        self._asked = 0
        self.terms: Terms | None = None
        """What is agreed on; None: the session does not expire."""

    @property
    def min_se(self) -> int:
        """The shortest interval we take, for a 422."""
        return self._own_floor

    # As UAC

    def ask(self, headers: Headers, *, first: bool = False) -> None:
        """Put Session-Expires and Min-SE into an INVITE or UPDATE of ours (sections 7.1 and 7.4).

        Args:
            headers: Where they go.
            first: The INVITE that begins the call; a later request says only what goes on.
        """
        interval = self._interval if first else 0 if self.terms is None else self.terms.interval
        if not interval:
            return
        role = None
        if self.terms is not None:
            role = Refresher.UAC if self.terms.ours else Refresher.UAS
        self._asked = max(interval, self._floor)
        headers.set("Session-Expires", SessionExpires(self._asked, role))
        if self._floor > LEAST_INTERVAL:
            headers.set("Min-SE", self._floor)

    def may_retry(self, response: Response) -> bool:
        """Take in a 422: whether its Min-SE is a reason to ask again with more (section 7.3)."""
        asked = min_se_of(response.headers)
        if asked <= self._asked:
            return False
        self._floor = asked
        return True

    def confirm(self, response: Response) -> None:
        """Take in the 2xx of a session refresh request of ours (section 7.2): without the field there is no timer."""
        said = _said(response)
        self.terms = None
        if said is not None:
            self.terms = Terms(max(said.interval, LEAST_INTERVAL), said.refresher is not Refresher.UAS)

    # As UAS

    def grant(self, request: Request) -> Terms | None:
        """What our 2xx to a session refresh request will say (section 9, table 2); None: nothing.

        A UAC that knows the timer and leaves the refresher open refreshes itself. One whose proxy asks for it is
        refreshed by us, unless the interval is shorter than the RFC allows. A request in mid-call that forgets the
        timer is answered with what was agreed on, and we refresh from then on.

        Raises:
            RemoteProtocolError: 422 if the interval is too small.
        """
        asked = _said(request)
        supported = lists(request.headers, "Supported", TIMER)
        if asked is None:
            if self.terms is None:
                return None
            return Terms(max(self.terms.interval, min_se_of(request.headers)), True)
        if asked.interval < self._own_floor:
            if supported:
                raise RemoteProtocolError("session interval too small", 422)
            if asked.interval < LEAST_INTERVAL:
                return None
        return Terms(asked.interval, not supported or asked.refresher is Refresher.UAS)

    def write(self, response: Response, terms: Terms | None) -> None:
        """Put what was granted into our 2xx (section 9): Require, unless the caller does not know the timer."""
        if terms is None:
            return
        response.headers.add(
            "Session-Expires", SessionExpires(terms.interval, Refresher.UAS if terms.ours else Refresher.UAC)
        )
        if not terms.ours:
            response.headers.add("Require", TIMER)


def min_se_of(headers: Headers) -> int:
    """The Min-SE of a message; LEAST_INTERVAL without one that can be read (section 5)."""
    try:
        return max(LEAST_INTERVAL, parse_seconds(headers.get("Min-SE") or ""))
    except RemoteProtocolError:
        return LEAST_INTERVAL


def _said(message: Request | Response) -> SessionExpires | None:
    """The Session-Expires of a message; one that cannot be read is none: no call fails of it."""
    try:
        return SessionExpires.parse(message.headers.get("Session-Expires") or "")
    except RemoteProtocolError:
        return None
