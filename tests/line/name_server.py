"""A name server for tests: answers from a zone in memory, over UDP on the loopback, or is silent."""

from __future__ import annotations

import asyncio

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

from faxgw.settings import Listener


class NameServer(asyncio.DatagramProtocol):
    """`zone` is a list of records as a zone file has them: `name. TTL IN SRV 10 0 5060 host.`"""

    def __init__(self, *zone: str) -> None:
        self.zone = list(zone)
        self.asked: list[str] = []
        self.silent: set[str] = set()
        """Record types that get no answer; `*`: all."""
        self.broken = False
        """SERVFAIL for everything."""
        self._transport: asyncio.DatagramTransport | None = None

    async def __aenter__(self) -> NameServer:
        loop = asyncio.get_running_loop()
        self._transport, _protocol = await loop.create_datagram_endpoint(lambda: self, ("127.0.0.1", 0))
        return self

    async def __aexit__(self, *_exc: object) -> None:
        if self._transport is not None:
            self._transport.close()
            await asyncio.sleep(0)

    @property
    def listener(self) -> Listener:
        assert self._transport is not None
        return Listener("127.0.0.1", self._transport.get_extra_info("sockname")[1])

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append(f"{kind} {question.name.to_text()}")
        if self.silent & {kind, "*"}:
            return
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.RA
        if self.broken:
            reply.set_rcode(dns.rcode.SERVFAIL)
        else:
            self._fill(reply, question.name.to_text().lower(), kind)
        assert self._transport is not None
        self._transport.sendto(reply.to_wire(), addr)

    def _fill(self, reply: dns.message.Message, name: str, kind: str) -> None:
        known = False
        for line in self.zone:
            owner, ttl, _class, rdtype, rdata = line.split(maxsplit=4)
            known = known or owner.lower() == name
            if owner.lower() == name and rdtype == kind:
                rrset = dns.rrset.from_text(owner, int(ttl), "IN", rdtype, rdata)
                found = reply.get_rrset(reply.answer, rrset.name, rrset.rdclass, rrset.rdtype)
                if found is None:
                    reply.answer.append(rrset)
                else:
                    found += rrset
        if not known:
            reply.set_rcode(dns.rcode.NXDOMAIN)
