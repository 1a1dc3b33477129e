"""Where a SIP server is: the order in which the targets that DNS names are tried (RFC 3263, RFC 2782).

Records in, targets out. Nothing here asks a name server, draws a random number or looks at a clock: the records, the
source of random numbers and the time are arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from faxgw.foip.stack import Transport
from faxgw.foip.transaction import Address
from faxgw.foip.uri import DEFAULT_PORT, DEFAULT_TLS_PORT, bracket

MAX_RECORDS = 32
"""NAPTR or SRV records of one name that are looked at."""
MAX_TARGETS = 8
"""Targets of one name that are tried at most."""
HOLD_FIRST = 30.0
"""Seconds a target that has failed is passed over; doubled by each further failure."""
HOLD_LONGEST = 600.0
"""Seconds it is passed over at most, whatever Retry-After says."""

Draw = Callable[[], float]
"""Gives a number from 0 to below 1, as `random.random` does."""

SERVICES = {Transport.UDP: "SIP+D2U", Transport.TCP: "SIP+D2T", Transport.TLS: "SIPS+D2T"}
"""NAPTR services (RFC 3263 section 4.1)."""
SRV_PREFIXES = {Transport.UDP: "_sip._udp", Transport.TCP: "_sip._tcp", Transport.TLS: "_sips._tcp"}
"""What stands before the name in a query for SRV records."""


@dataclass(frozen=True, slots=True)
class Naptr:
    """A NAPTR record (RFC 3403 section 4.1)."""

    order: int
    """Lower ones first, always."""
    preference: int
    """Lower ones first among equal orders."""
    flags: str
    """`s`: the replacement has SRV records."""
    service: str
    """`SIP+D2U`, `SIP+D2T`, `SIPS+D2T` …"""
    replacement: str
    """Name of the SRV records, without the final dot."""


@dataclass(frozen=True, slots=True)
class Srv:
    """An SRV record (RFC 2782)."""

    priority: int
    """Lower ones first, always."""
    weight: int
    """Share among equal priorities."""
    host: str
    """Name of the server, without the final dot; empty: the service is not offered here."""
    port: int
    """Its port."""


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """One place to send a request to."""

    host: str
    """IP literal without brackets."""
    port: int
    transport: Transport = Transport.UDP

    @property
    def address(self) -> Address:
        """Host and port."""
        return self.host, self.port

    def __str__(self) -> str:
        return f"{self.transport.lower()}:{bracket(self.host)}:{self.port}"


@dataclass(frozen=True, slots=True)
class Server:
    """An SRV record with the addresses of its host; without SRV records, the host itself at one port."""

    record: Srv
    hosts: tuple[str, ...]
    """IP literals, of both families."""


def targets_of(servers: Sequence[Server], transport: Transport, draw: Draw, *, ipv6: bool) -> list[Target]:
    """Where to try, in this order: servers as RFC 2782 says, each with its addresses of one family.

    Args:
        servers: What DNS said.
        transport: Over what.
        draw: Source of random numbers; drawn anew for each request, so that load is shared.
        ipv6: Whether our socket reaches IPv6 addresses; it reaches no others then.
    """
    hosts = {(server.record.host, server.record.port): server.hosts for server in servers}
    ordered = order_srv((server.record for server in servers), draw)
    found = [
        Target(host, record.port, transport)
        for record in ordered
        for host in hosts[record.host, record.port]
        if (":" in host) == ipv6
    ]
    return list(dict.fromkeys(found))[:MAX_TARGETS]


def default_port(transport: Transport) -> int:
    """The port of a URI that names none (RFC 3261 section 19.1.2)."""
    return DEFAULT_TLS_PORT if transport is Transport.TLS else DEFAULT_PORT


def order_naptr(records: Iterable[Naptr], supported: Collection[Transport]) -> list[tuple[Transport, str]]:
    """The transports a server wants, each with the name of its SRV records, best first (RFC 3263 section 4.1).

    Services that we do not speak, and records that end in anything but SRV, are left out.
    """
    wanted = {SERVICES[transport]: transport for transport in supported}
    found: list[tuple[Transport, str]] = []
    for record in sorted(list(records)[:MAX_RECORDS], key=lambda record: (record.order, record.preference)):
        transport = wanted.get(record.service.upper())
        if transport is not None and record.flags.lower() == "s" and record.replacement:
            found.append((transport, record.replacement))
    return found


def order_srv(records: Iterable[Srv], draw: Draw) -> list[Srv]:
    """Servers in the order to be tried: by priority, equal ones drawn by their weight (RFC 2782).

    A single record with an empty host means that there is no such service: the list is empty.
    """
    left = [record for record in list(records)[:MAX_RECORDS] if record.host and record.port]
    ordered: list[Srv] = []
    for priority in sorted({record.priority for record in left}):
        equal = sorted((record for record in left if record.priority == priority), key=lambda record: record.weight > 0)
        while equal:
            ordered.append(equal.pop(_drawn(equal, draw)))
    return ordered


def _drawn(equal: Sequence[Srv], draw: Draw) -> int:
    """The place of the one drawn: the first whose running sum of weights reaches the number, those without first."""
    total = sum(record.weight for record in equal)
    number = int(draw() * (total + 1))
    running = 0
    for place, record in enumerate(equal):
        running += record.weight
        if running >= number:
            return place
    return len(equal) - 1


@dataclass(slots=True)
class _Fault:
    """What is known of a target that has failed."""

    until: float
    times: int


class HoldDown:
    """Targets that have failed lately: they are tried last until their time is over, which grows with each failure.

    Bounded by MAX_TARGETS times four: of more, those whose time is over first are forgotten.
    """

    def __init__(self) -> None:
        self._faults: dict[Target, _Fault] = {}

    def failed(self, target: Target, now: float, retry_after: float | None = None) -> float:
        """A target gave no answer, cannot be reached, or is overloaded; returns for how many seconds it is held.

        Args:
            target: Which.
            now: Loop time.
            retry_after: Seconds that it asked for itself (503, RFC 3261 section 21.5.4).
        """
        fault = self._faults.setdefault(target, _Fault(0.0, 0))
        fault.times += 1
        seconds = min(HOLD_FIRST * 2.0 ** min(fault.times - 1, 16), HOLD_LONGEST)
        if retry_after is not None:
            seconds = min(max(retry_after, 1.0), HOLD_LONGEST)
        fault.until = now + seconds
        while len(self._faults) > 4 * MAX_TARGETS:
            del self._faults[min(self._faults, key=lambda known: self._faults[known].until)]
        return seconds

    def served(self, target: Target) -> None:
        """A target has answered: nothing is held against it."""
        self._faults.pop(target, None)

    def is_held(self, target: Target, now: float) -> bool:
        """Whether a target is to be passed over while there is another."""
        fault = self._faults.get(target)
        return fault is not None and fault.until > now

    def sort(self, targets: Sequence[Target], now: float) -> list[Target]:
        """The same targets: first those that nothing is held against, then the others, soonest free first."""
        free = [target for target in targets if not self.is_held(target, now)]
        held = [target for target in targets if self.is_held(target, now)]
        return free + sorted(held, key=lambda target: self._faults[target].until)
