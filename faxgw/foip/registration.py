"""A registration as a client: our contacts bound to an address of record, and kept bound (RFC 3261 section 10.2).

The machine makes REGISTER requests, takes in their outcome and names the moment of the next one. Where a request is
sent and over what is its user's business, who tries the registrar's servers in their order (RFC 3263) and reports that
none is left. Challenges are answered by `foip.client`; nonces are kept here from one request to the next.

One Call-ID and rising CSeq numbers per life (section 10.2), 423 and Min-Expires (10.2.8), redirections (8.1.3.4),
Retry-After, back-off after failures in the manner of RFC 5626 section 4.5, Service-Route (RFC 3608), and the address
others see us at from Via (RFC 3581). Bindings of others in an answer are left alone; `Contact: *` is never sent.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from faxgw.foip.client import MAX_ATTEMPTS, Sending
from faxgw.foip.digest import Authenticator, Credentials, Random
from faxgw.foip.errors import RemoteProtocolError
from faxgw.foip.events import RequestDone, Why
from faxgw.foip.headers import NameAddr, Via, parse_seconds, split_list
from faxgw.foip.stack import ALLOW
from faxgw.foip.transaction import Address
from faxgw.foip.uri import DEFAULT_PORT, DEFAULT_TLS_PORT, MAX_PORT, SipUri, is_ip_literal, parse_uri

MAX_EXPIRES: Final = 86_400
"""Seconds we ask for at most, whatever Min-Expires says."""
SHORTEST: Final = 10.0
"""Seconds between two refreshes at least, however little is granted."""
MANY_SECONDS: Final = 120.0
"""Below so many granted seconds half of them pass before the refresh, else about four fifths."""
BACK_OFF_FIRST: Final = 30.0
"""Seconds of the first pause when no server works (RFC 5626 section 4.5: base-time when all have failed)."""
BACK_OFF_LONGEST: Final = 600.0
"""Seconds of the longest; RFC 5626 has 1,800, but a trunk has one registrar, and faxes wait for it."""
REFUSED_FIRST: Final = 120.0
"""Seconds of the first pause after a refusal (401, 403, 404 …): registrars lock accounts that insist."""
REFUSED_LONGEST: Final = 3600.0
"""Seconds of the longest pause after a refusal, and of any that Retry-After asks for."""
MAX_AGAIN: Final = 4
"""Requests sent again at once (423, redirection, a new address) before that counts as a failure."""
MAX_BINDINGS: Final = 64
"""Contact values of an answer that are looked at."""
MAX_SERVICE_ROUTES: Final = 8
"""Service-Route values that are kept."""
_ELSEWHERE: Final = frozenset({408, 430, 500, 502, 503, 504})
"""Statuses that say something about this server rather than about us: the next one may do better."""


class Verdict(enum.Enum):
    """What follows from the outcome of a request."""

    BOUND = "bound"
    """Registered; the next request is due at `deadline`."""
    REMOVED = "removed"
    """No binding of ours is left."""
    AGAIN = "again"
    """Send the next request at once, to the same server, or to `redirected` if that is set."""
    ELSEWHERE = "elsewhere"
    """This server does not work: send to the next one, or report `exhausted`."""
    LATER = "later"
    """Refused; the next request is due at `deadline`."""


@dataclass(frozen=True, slots=True)
class Account:
    """What is registered where."""

    registrar: str
    """Request-URI: `sip:` and the registrar's domain, without a user (RFC 3261 section 10.2)."""
    address: str
    """The address of record: a SIP URI."""
    expires: int = 600
    """Seconds asked for."""
    follow_address: bool = False
    """Whether contacts follow the address others see us at (`learnt`): they are registered again when it changes."""


class Registration:
    """One account's registration.

    Args:
        account: What is registered where.
        credentials: For challenges.
        random: Hexadecimal digits of so many random octets.
        host: What Call-IDs end in.
    """

    def __init__(self, account: Account, credentials: Credentials | None, random: Random, host: str) -> None:
        self._account = account
        self._random = random
        self._credentials = credentials
        self._auth = Authenticator(credentials, random)
        self._call_id = f"{random(12)}@{host}"
        self._tag = random(8)
        self._cseq = 1
        self._expires = account.expires
        self._bound: tuple[str, ...] = ()
        self._asked: tuple[str, ...] = ()
        self._until: float | None = None
        self._failures = 0
        self._refusals = 0
        self._again = 0
        self.deadline: float | None = 0.0
        """When the next request is due; 0: at once; None: never, for it was removed."""
        self.detail = "not registered yet"
        """How it stands, in words."""
        self.learnt: Address | None = None
        """Where others see us, as the last answer's Via says (RFC 3581)."""
        self.service_route: tuple[str, ...] = ()
        """Route values for requests to come (RFC 3608 section 5)."""
        self.retry_after: float | None = None
        """Seconds that the last answer asked us to stay away, if it did."""
        self.redirected: SipUri | None = None
        """Where the next request goes instead, once (RFC 3261 section 8.1.3.4)."""

    def is_bound(self, now: float) -> bool:
        """Whether calls to us find us: the time granted is not over."""
        return self._until is not None and now < self._until

    # Requests

    def request(self, destination: Address, contacts: Sequence[SipUri], route: Sequence[str] = ()) -> Sending:
        """The next REGISTER.

        Args:
            destination: Where it is sent.
            contacts: What is to be bound, one or several; earlier ones that are not among them are removed.
            route: Preloaded Route values.
        """
        self._asked = tuple(str(contact) for contact in contacts)
        gone = [old for old in self._bound if old not in self._asked]
        fields = [("Contact", f"<{uri}>;expires={self._expires}") for uri in self._asked]
        fields += [("Contact", f"<{uri}>;expires=0") for uri in gone]
        return self._sending(destination, [*fields, ("Expires", str(self._expires))], route)

    def removal(self, destination: Address, route: Sequence[str] = ()) -> Sending | None:
        """The REGISTER that removes our bindings (section 10.2.2), ours only; None if there are none."""
        everything = tuple(dict.fromkeys((*self._bound, *self._asked)))
        self._asked = ()
        if not everything:
            return None
        fields = [("Contact", f"<{uri}>;expires=0") for uri in everything]
        return self._sending(destination, [*fields, ("Expires", "0")], route)

    def _sending(self, destination: Address, fields: list[tuple[str, str]], route: Sequence[str]) -> Sending:
        target = self._account.registrar if self.redirected is None else str(self.redirected)
        self.redirected = None
        cseq = self._cseq
        self._cseq += MAX_ATTEMPTS  # also when nobody tells us which numbers were used
        return Sending(
            "REGISTER",
            target,
            destination,
            from_=f"<{self._account.address}>",
            to=f"<{self._account.address}>",
            headers=[*fields, ("Allow", ALLOW)],
            route=route,
            call_id=self._call_id,
            from_tag=self._tag,
            cseq=cseq,
            credentials=self._auth,
        )

    # Outcomes

    def done(self, outcome: RequestDone, now: float) -> Verdict:
        """Take in what became of the last request."""
        self._cseq = outcome.cseq + 1
        self.retry_after = next((float(_seconds(value, 0)) for value in _values(outcome, "Retry-After")), None)
        if outcome.why is Why.ANSWERED:
            self._learn(outcome)
        status = outcome.status
        if status < 300:
            return self._granted(outcome, now)
        self.detail = f"{status} {outcome.reason}" if outcome.why is Why.ANSWERED else f"no answer ({outcome.why})"
        if status == 423 and self._lengthen(outcome):
            self._auth.accepted()
            return self._once_more(now)
        if status < 400 and self._redirect(outcome):
            return self._once_more(now)
        if outcome.why is not Why.ANSWERED or status in _ELSEWHERE:
            return Verdict.ELSEWHERE
        return self._refused(now)

    def exhausted(self, now: float) -> None:
        """No server works: the next request is due after a pause that grows (RFC 5626 section 4.5)."""
        self._again = 0
        pause = self._back_off(self._failures, BACK_OFF_FIRST, BACK_OFF_LONGEST)
        self._failures += 1
        if self.retry_after is not None:
            pause = max(SHORTEST, min(self.retry_after, REFUSED_LONGEST))
        self._wait(now, pause)

    def hasten(self, now: float) -> None:
        """The way is free again: the next request is due now, unless we are registered or were refused."""
        if self._failures and not self._refusals and self.deadline is not None:
            self.deadline = min(self.deadline, now)

    def _granted(self, outcome: RequestDone, now: float) -> Verdict:
        self._failures = self._refusals = 0
        for name, value in outcome.headers:
            if name in ("Authentication-Info", "Proxy-Authentication-Info"):
                self._auth.informed(name, value)
        self._bound = self._asked
        if not self._asked:
            self._until = self.deadline = None
            self.detail = "not registered any more"
            return Verdict.REMOVED
        seconds = self._seconds_granted(outcome)
        if seconds <= 0:
            self._until = None
            self.detail = "the registrar has bound us for no time at all"
            return self._refused(now)
        self._until = now + seconds
        self.service_route = tuple(_values(outcome, "Service-Route")[:MAX_SERVICE_ROUTES])
        self.detail = f"registered for {seconds} s"
        if self._has_moved() and self._again < MAX_AGAIN:
            return self._once_more(now)
        self._again = 0
        share = 0.5 if seconds < MANY_SECONDS else 0.75 + 0.1 * self._draw()
        self.deadline = now + max(SHORTEST, seconds * share)
        return Verdict.BOUND

    def _seconds_granted(self, outcome: RequestDone) -> int:
        """The shortest time of our contacts: each its own, else the answer's Expires, else what we asked for."""
        default = next((_seconds(value, 3600) for value in _values(outcome, "Expires")), self._expires)
        wanted = [uri for text in self._asked if isinstance(uri := parse_uri(text), SipUri)]
        granted = []
        for value in _values(outcome, "Contact")[:MAX_BINDINGS]:
            try:
                binding = NameAddr.parse(value)
            except RemoteProtocolError:
                continue
            if isinstance(binding.uri, SipUri) and any(_same(binding.uri, ours) for ours in wanted):
                text = binding.param("expires")
                granted.append(default if text is None else _seconds(text, 3600))
        return min(granted, default=default)

    def _lengthen(self, outcome: RequestDone) -> bool:
        """Whether the registrar asks for a longer time that we can ask for (section 10.2.8)."""
        least = next((_seconds(value, 0) for value in _values(outcome, "Min-Expires")), 0)
        if not self._expires < least <= MAX_EXPIRES:
            return False
        self._expires = least
        return True

    def _redirect(self, outcome: RequestDone) -> bool:
        for value in _values(outcome, "Contact")[:MAX_BINDINGS]:
            try:
                uri = NameAddr.parse(value).uri
            except RemoteProtocolError:
                continue
            if isinstance(uri, SipUri) and not uri.headers:
                self.redirected = SipUri(uri.host, None, uri.port, uri.scheme, params=uri.params)
                return True
        return False

    def _once_more(self, now: float) -> Verdict:
        self._again += 1
        if self._again > MAX_AGAIN:
            self.redirected = None
            self.exhausted(now)
            return Verdict.LATER
        self.deadline = now
        return Verdict.AGAIN

    def _refused(self, now: float) -> Verdict:
        self._again = 0
        self._auth = Authenticator(self._credentials, self._random)  # next time a fresh challenge is worth an answer
        pause = self._back_off(self._refusals, REFUSED_FIRST, REFUSED_LONGEST)
        self._refusals += 1
        self._wait(now, max(pause, min(self.retry_after or 0.0, REFUSED_LONGEST)))
        return Verdict.LATER

    # Bits

    def _learn(self, outcome: RequestDone) -> None:
        """What the topmost Via says about our address: it is ours, with what the server has added."""
        value = next(iter(_values(outcome, "Via")), "")
        try:
            via = Via.parse(value)
        except RemoteProtocolError:
            return
        host = (via.param("received") or via.host).strip("[]")
        port = via.param("rport") or str(via.port or DEFAULT_PORT)
        if is_ip_literal(host) and port.isascii() and port.isdigit() and len(port) < 6 and 0 < int(port) <= MAX_PORT:
            self.learnt = (host, int(port))

    def _has_moved(self) -> bool:
        """Whether what we have bound is not where others see us."""
        if not self._account.follow_address or self.learnt is None:
            return False
        bound = [uri for text in self._bound if isinstance(uri := parse_uri(text), SipUri)]
        return all((uri.host.strip("[]"), uri.port or DEFAULT_PORT) != self.learnt for uri in bound)

    def _wait(self, now: float, pause: float) -> None:
        self.deadline = now + pause
        if self._until is not None and now >= self._until:
            self._until = None

    def _back_off(self, times: int, first: float, longest: float) -> float:
        """Half to all of a time that doubles (RFC 5626 section 4.5)."""
        return min(longest, first * 2.0 ** min(times, 16)) * (0.5 + 0.5 * self._draw())

    def _draw(self) -> float:
        return int(self._random(4), 16) / 2**32


def _values(outcome: RequestDone, name: str) -> list[str]:
    """All values of a header field, lists taken apart; those that cannot be read are left out."""
    found: list[str] = []
    for key, text in outcome.headers:
        if key == name:
            try:
                found += split_list(text)
            except RemoteProtocolError:
                continue
    return found


def _seconds(text: str, otherwise: int) -> int:
    try:
        return parse_seconds(text)
    except RemoteProtocolError:
        return otherwise


def _same(one: SipUri, other: SipUri) -> bool:
    """Whether two contacts are the same binding (section 19.1.4, without the parameters that registrars add)."""
    return _place(one) == _place(other)


def _place(uri: SipUri) -> tuple[str, str, int, str]:
    transport = (uri.param("transport") or ("tls" if uri.scheme == "sips" else "udp")).lower()
    port = uri.port or (DEFAULT_TLS_PORT if transport == "tls" else DEFAULT_PORT)
    return uri.username, uri.host.lower(), port, transport
