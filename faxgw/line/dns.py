"""Where a trunk's servers are, by DNS: NAPTR, SRV and addresses (RFC 3263 section 4), asked without blocking.

Plain addresses come from the system (`getaddrinfo`, so that /etc/hosts counts), unless `[sip] nameservers` names
others to ask. NAPTR and SRV are asked of the same name servers; what they say becomes `foip.location`'s business. It is
the caller who keeps what was found for `Found.ttl` seconds, and longer while name servers are silent (RFC 8767).
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import dns.asyncresolver
import dns.exception
import dns.nameserver
import dns.rdatatype
import dns.resolver
from dns.rdtypes.IN.NAPTR import NAPTR
from dns.rdtypes.IN.SRV import SRV

from faxgw.foip.location import (
    MAX_RECORDS,
    MAX_TARGETS,
    SRV_PREFIXES,
    Naptr,
    Server,
    Srv,
    default_port,
    order_naptr,
)
from faxgw.foip.stack import Transport
from faxgw.foip.uri import is_ip_literal
from faxgw.settings import Listener

ASK_WITHIN: Final = 4.0
"""Seconds for one question, all name servers and repetitions together."""
TTL_FLOOR: Final = 30.0
"""Seconds an answer is kept at least: less, and each call would ask."""
TTL_CEILING: Final = 3600.0
"""Seconds an answer is kept at most: a carrier that moves is found within the hour."""
TTL_UNKNOWN: Final = 60.0
"""Seconds for answers without a time to live: the system's own, and "there is no such record"."""


@dataclass(frozen=True, slots=True)
class Found:
    """What DNS said about a name."""

    servers: tuple[Server, ...]
    """Not empty."""
    ttl: float
    """Seconds for which it may be kept, between TTL_FLOOR and TTL_CEILING."""
    certain: bool = True
    """False: no answer came about SRV records, these are plain addresses. What was known before is better."""

    @property
    def hosts(self) -> frozenset[str]:
        """All addresses."""
        return frozenset(host for server in self.servers for host in server.hosts)


class Resolver:
    """Asks the system, or name servers of the settings.

    Args:
        nameservers: Whom to ask; none: those of the system.
    """

    def __init__(self, nameservers: Sequence[Listener] = ()) -> None:
        self._own = bool(nameservers)
        self._nameservers = [dns.nameserver.Do53Nameserver(one.host, one.port) for one in nameservers]
        self._stub: dns.asyncresolver.Resolver | None = None

    async def locate(self, host: str, port: int | None, transport: Transport) -> Found:
        """Find the servers of a name; an IP literal is its own.

        Args:
            host: Name or IP literal.
            port: With a port, and for a name without a dot, SRV records are not asked for (section 4.2).
            transport: What we speak there. NAPTR says which SRV records are meant, never another transport: the
                operator has chosen it (section 4.1).

        Raises:
            OSError: If nothing is found, or nobody answers.
        """
        plain = port or default_port(transport)
        if is_ip_literal(host):
            address = host.strip("[]")
            return Found((Server(Srv(0, 0, address, plain), (address,)),), TTL_CEILING)
        certain = True
        if port is None and "." in host.strip("."):
            try:
                records, ttl = await self._services(host, transport)
            except OSError:
                certain = False
            else:
                if records is not None:
                    return await self._with_addresses(host, records, ttl)
        hosts, ttl = await self._addresses(host)
        return Found((Server(Srv(0, 0, host, plain), hosts),), _clamp(ttl), certain)

    async def _services(self, host: str, transport: Transport) -> tuple[list[Srv] | None, float]:
        """SRV records, of the name that NAPTR gives or of the usual one; None when there are none at all."""
        usual = f"{SRV_PREFIXES[transport]}.{host}"
        naptr, srv = await asyncio.gather(self._naptr(host), self._srv(usual), return_exceptions=True)
        if isinstance(naptr, OSError):
            naptr = ([], TTL_CEILING)  # some name servers never answer a question they do not know
        elif isinstance(naptr, BaseException):
            raise naptr
        names = [name for wanted, name in order_naptr(naptr[0], [transport]) if wanted is transport]
        if names and names[0].lower() != usual.lower():
            records, ttl = await self._srv(names[0])
            if records is not None:
                return records, min(ttl, naptr[1])
        if isinstance(srv, BaseException):
            raise srv
        return srv

    async def _with_addresses(self, host: str, records: list[Srv], ttl: float) -> Found:
        """Look the servers' addresses up, all at once; those that cannot be found are left out."""
        wanted = sorted((record for record in records if record.host), key=lambda record: record.priority)
        names = list(dict.fromkeys(record.host for record in wanted))[:MAX_TARGETS]
        answers = await asyncio.gather(*(self._addresses(name) for name in names), return_exceptions=True)
        known: dict[str, tuple[str, ...]] = {}
        for name, answer in zip(names, answers, strict=True):
            if isinstance(answer, tuple):
                known[name], ttl = answer[0], min(ttl, answer[1])
            elif not isinstance(answer, OSError):
                raise answer
        servers = [Server(record, known[record.host]) for record in wanted if record.host in known]
        if not servers:
            raise OSError(f"{host} has SRV records, but none of their hosts an address")
        return Found(tuple(servers), _clamp(ttl))

    async def _naptr(self, name: str) -> tuple[list[Naptr], float]:
        answer = await self._ask(name, "NAPTR")
        if answer is None:
            return [], TTL_UNKNOWN
        found = [
            Naptr(
                record.order,
                record.preference,
                record.flags.decode("ascii", "replace"),
                record.service.decode("ascii", "replace"),
                record.replacement.to_text(omit_final_dot=True).removesuffix("."),
            )
            for record in list(answer)[:MAX_RECORDS]
            if isinstance(record, NAPTR)
        ]
        return found, _ttl(answer)

    async def _srv(self, name: str) -> tuple[list[Srv] | None, float]:
        answer = await self._ask(name, "SRV")
        if answer is None:
            return None, TTL_UNKNOWN
        found = [
            Srv(record.priority, record.weight, record.target.to_text(omit_final_dot=True).strip("."), record.port)
            for record in list(answer)[:MAX_RECORDS]
            if isinstance(record, SRV)
        ]
        return found, _ttl(answer)

    async def _addresses(self, name: str) -> tuple[tuple[str, ...], float]:
        """IP literals of a host name, and for how long.

        Raises:
            OSError: If there are none.
        """
        if not self._own:
            return await self._system_addresses(name), TTL_UNKNOWN
        answers = await asyncio.gather(self._ask(name, "A"), self._ask(name, "AAAA"), return_exceptions=True)
        given = [answer for answer in answers if isinstance(answer, dns.resolver.Answer)]
        records = [record for answer in given for record in list(answer)[:MAX_RECORDS]]
        hosts = [str(ipaddress.ip_address(record.to_text())) for record in records]
        if not hosts:
            silent = next((answer for answer in answers if isinstance(answer, BaseException)), None)
            raise silent or OSError(f"{name} has no address")
        return tuple(hosts), min(_ttl(answer) for answer in given)

    async def _system_addresses(self, name: str) -> tuple[str, ...]:
        try:
            entries = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_DGRAM)
        except UnicodeError as exc:  # no host name at all, such as `a..b`
            raise OSError(f"{name}: {exc}") from exc
        hosts = tuple(dict.fromkeys(str(entry[4][0]) for entry in entries))
        if not hosts:
            raise OSError(f"{name} has no address")
        return hosts

    async def _ask(self, name: str, kind: str) -> dns.resolver.Answer | None:
        """One question. None: there is no such record.

        Raises:
            OSError: If nobody answers, or the name is none.
        """
        try:
            return await self._resolver().resolve(name, kind, lifetime=ASK_WITHIN, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return None
        except dns.exception.DNSException as exc:
            self._stub = None  # the system may have others to ask by now
            raise OSError(f"{kind} of {name}: {exc}") from exc

    def _resolver(self) -> dns.asyncresolver.Resolver:
        if self._stub is None:
            self._stub = dns.asyncresolver.Resolver(configure=not self._own)
            if self._own:
                self._stub.nameservers = list(self._nameservers)
        return self._stub


def _ttl(answer: dns.resolver.Answer) -> float:
    return float(answer.rrset.ttl) if answer.rrset is not None else TTL_UNKNOWN


def _clamp(ttl: float) -> float:
    return min(max(ttl, TTL_FLOOR), TTL_CEILING)
