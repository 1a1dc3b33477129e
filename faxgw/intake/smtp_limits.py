"""Who may have a connection, when the server is under stress, and who guesses passwords. No clock, no sockets."""

from __future__ import annotations

import enum
import ipaddress
from collections import Counter
from collections.abc import Iterable

from faxgw.fax.limits import MAX_TRACKED, Failures, client_of

__all__ = [
    "DESCRIPTORS", "MAX_TRACKED", "Admission", "Connections", "Failures", "client_of", "connections_within",
    "is_within",
]  # fmt: skip

STRESS_SHARE = 0.8
"""Share of the connections in use above which deadlines shrink; all in use in Postfix (STRESS_README), which can
start no process for the one that would notice."""

DESCRIPTORS = 64
"""Descriptors of a mail process besides those of its connections and of the file that each may be writing."""


def connections_within(descriptors: int) -> int:
    """Connections at a time for which so many descriptors are enough; one at least, or nobody could send anything."""
    return max(1, (descriptors - DESCRIPTORS) // 2)


class Admission(enum.Enum):
    """Answer to a connection."""

    WELCOME = "welcome"
    SERVER_FULL = "server_full"
    CLIENT_FULL = "client_full"


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

    Attributes:
        total: May be changed; connections that are open stay.
    """

    def __init__(self, total: int, per_client: int) -> None:
        self.total = total
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
        return self._open > STRESS_SHARE * self.total

    def admit(self, client: str) -> Admission:
        """Take one more of this client, if that may be."""
        if self._open >= self.total:
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
