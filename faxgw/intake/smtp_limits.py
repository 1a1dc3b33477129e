"""Who may have a connection, when the server is under stress, and who guesses passwords. No clock, no sockets."""

from __future__ import annotations

import enum
import ipaddress
from collections import Counter, OrderedDict
from collections.abc import Iterable

STRESS_SHARE = 0.8
"""Share of the connections in use above which deadlines shrink; all in use in Postfix (STRESS_README), which can
start no process for the one that would notice."""
MAX_TRACKED = 10_000
"""Addresses whose failed logins are remembered; the longest unseen is forgotten first."""
_V6_CLIENT_BITS = 64


class Admission(enum.Enum):
    """Answer to a connection."""

    WELCOME = "welcome"
    SERVER_FULL = "server_full"
    CLIENT_FULL = "client_full"


def client_of(address: str) -> str:
    """What counts as one client: an IPv4 address, or an IPv6 /64; empty when it is no address."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(ipaddress.ip_network((int(ip), _V6_CLIENT_BITS), strict=False))
    return str(ip)


def is_within(address: str, networks: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    """Whether an address belongs to one of the networks; an IPv4 address mapped into IPv6 counts as what it is."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return any((mapped or ip) in network for network in networks)


class Connections:
    """The connections that are open.

    Args:
        total: Most at a time.
        per_client: Most at a time of one client.
    """

    def __init__(self, total: int, per_client: int) -> None:
        self._total = total
        self._per_client = per_client
        self._clients: Counter[str] = Counter()
        self._open = 0

    @property
    def open(self) -> int:
        """How many there are."""
        return self._open

    @property
    def stressed(self) -> bool:
        """More than 80 % are in use."""
        return self._open > STRESS_SHARE * self._total

    def admit(self, client: str) -> Admission:
        """Take one more of this client, if that may be."""
        if self._open >= self._total:
            return Admission.SERVER_FULL
        if self._clients[client] >= self._per_client:
            return Admission.CLIENT_FULL
        self._open += 1
        self._clients[client] += 1
        return Admission.WELCOME

    def leave(self, client: str) -> None:
        """One that was admitted is over."""
        self._open -= 1
        self._clients[client] -= 1
        if not self._clients[client]:
            del self._clients[client]


class Failures:
    """Failed logins per key within a window.

    Args:
        limit: From so many on, the key is barred until the window ends.
        window: Seconds from the first failure.
    """

    def __init__(self, limit: int, window: float) -> None:
        self._limit = limit
        self._window = window
        self._seen: OrderedDict[tuple[str, ...], tuple[float, int]] = OrderedDict()

    def barred(self, key: tuple[str, ...], now: float) -> bool:
        """Whether the key has failed too often."""
        since, count = self._seen.get(key, (now, 0))
        return count >= self._limit and now - since < self._window

    def note(self, key: tuple[str, ...], now: float) -> None:
        """The key failed."""
        since, count = self._seen.pop(key, (now, 0))
        self._seen[key] = (since, count + 1) if now - since < self._window else (now, 1)
        while len(self._seen) > MAX_TRACKED:
            self._seen.popitem(last=False)
