"""Who may have a connection, when the server is under stress, and who guesses passwords. No clock, no sockets."""

from __future__ import annotations

import enum
import ipaddress
from collections import Counter
from collections.abc import Iterable

from faxgw.fax.limits import MAX_TRACKED, Failures, client_of

__all__ = ["MAX_TRACKED", "Admission", "Connections", "Failures", "client_of", "is_within"]

STRESS_SHARE = 0.8
"""Share of the connections in use above which deadlines shrink; all in use in Postfix (STRESS_README), which can
start no process for the one that would notice."""


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
