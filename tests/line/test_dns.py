"""Trunks by name: NAPTR, SRV and addresses from a name server of our own on the loopback."""

from __future__ import annotations

import pytest

from faxgw.foip.location import Srv
from faxgw.foip.stack import Transport
from faxgw.line import dns as module
from faxgw.line.dns import TTL_CEILING, TTL_FLOOR, TTL_UNKNOWN, Resolver
from tests.line.name_server import NameServer

CARRIER = (
    "carrier.test. 300 IN NAPTR 20 10 \"s\" \"SIP+D2U\" \"\" _sip._udp.core.carrier.test.",
    "carrier.test. 300 IN NAPTR 10 10 \"s\" \"SIPS+D2T\" \"\" _sips._tcp.carrier.test.",
    "carrier.test. 300 IN A 192.0.2.99",
    "_sip._udp.carrier.test. 300 IN SRV 1 0 5060 wrong.carrier.test.",
    "_sip._udp.core.carrier.test. 120 IN SRV 10 5 5070 one.carrier.test.",
    "_sip._udp.core.carrier.test. 120 IN SRV 20 0 5060 two.carrier.test.",
    "_sips._tcp.carrier.test. 300 IN SRV 10 0 5061 one.carrier.test.",
    "one.carrier.test. 600 IN A 192.0.2.1",
    "one.carrier.test. 600 IN AAAA 2001:db8::1",
    "two.carrier.test. 90 IN A 192.0.2.2",
    "two.carrier.test. 90 IN A 192.0.2.3",
)  # fmt: skip


async def test_an_address_needs_nobody() -> None:
    found = await Resolver().locate("[2001:db8::7]", None, Transport.TLS)
    assert found.hosts == {"2001:db8::7"}
    assert found.servers[0].record.port == 5061


async def test_naptr_leads_to_srv_and_srv_to_addresses() -> None:
    """RFC 3263 section 4: NAPTR names the SRV records, their hosts the addresses; the shortest time counts."""
    async with NameServer(*CARRIER) as server:
        found = await Resolver([server.listener]).locate("carrier.test", None, Transport.UDP)
    assert [server.record for server in found.servers] == [
        Srv(10, 5, "one.carrier.test", 5070),
        Srv(20, 0, "two.carrier.test", 5060),
    ]
    assert found.hosts == {"192.0.2.1", "2001:db8::1", "192.0.2.2", "192.0.2.3"}
    assert found.ttl == 90 and found.certain


async def test_the_transport_of_the_settings_decides_which_records_are_meant() -> None:
    async with NameServer(*CARRIER) as server:
        found = await Resolver([server.listener]).locate("carrier.test", None, Transport.TLS)
    assert [server.record.port for server in found.servers] == [5061]


async def test_without_naptr_the_usual_name_is_asked() -> None:
    """RFC 3263 section 4.1; nor does it matter when NAPTR is never answered."""
    zone = [line for line in CARRIER if "NAPTR" not in line]
    async with NameServer(*zone, "wrong.carrier.test. 5 IN A 192.0.2.7") as server:
        found = await Resolver([server.listener]).locate("carrier.test", None, Transport.UDP)
        assert found.hosts == {"192.0.2.7"}
        assert found.ttl == TTL_FLOOR


async def test_a_port_or_a_name_without_a_dot_asks_for_addresses_only() -> None:
    """RFC 3263 section 4.2."""
    async with NameServer(*CARRIER, "pbx. 1000000 IN A 192.0.2.44") as server:
        resolver = Resolver([server.listener])
        found = await resolver.locate("carrier.test", 5080, Transport.UDP)
        assert (set(found.hosts), found.servers[0].record.port) == ({"192.0.2.99"}, 5080)
        found = await resolver.locate("pbx", None, Transport.UDP)
        assert (set(found.hosts), found.servers[0].record.port, found.ttl) == ({"192.0.2.44"}, 5060, TTL_CEILING)
        assert {name.split()[0] for name in server.asked} == {"A", "AAAA"}


async def test_without_srv_records_the_name_itself_is_the_server() -> None:
    async with NameServer("plain.test. 300 IN A 192.0.2.5") as server:
        found = await Resolver([server.listener]).locate("plain.test", None, Transport.TCP)
    assert (set(found.hosts), found.servers[0].record.port, found.certain) == ({"192.0.2.5"}, 5060, True)


async def test_a_host_of_srv_without_an_address_is_left_out() -> None:
    zone = [line for line in CARRIER if not line.startswith("two.")]
    async with NameServer(*zone) as server:
        found = await Resolver([server.listener]).locate("carrier.test", None, Transport.UDP)
        assert [server.record.host for server in found.servers] == ["one.carrier.test"]
        server.zone = [line for line in zone if not line.startswith("one.")]
        with pytest.raises(OSError, match="none of their hosts"):
            await Resolver([server.listener]).locate("carrier.test", None, Transport.UDP)


async def test_a_name_that_is_not_there_and_a_server_that_cannot_say_are_errors() -> None:
    async with NameServer(*CARRIER) as server:
        resolver = Resolver([server.listener])
        with pytest.raises(OSError):
            await resolver.locate("no.such.test", None, Transport.UDP)
        with pytest.raises(OSError):
            await resolver.locate("a..b", 5060, Transport.UDP)
        server.broken = True
        with pytest.raises(OSError):
            await resolver.locate("carrier.test", None, Transport.UDP)


async def test_silence_about_srv_is_no_certainty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The addresses serve for want of better; whoever knows more from before keeps to it."""
    monkeypatch.setattr(module, "ASK_WITHIN", 0.2)
    async with NameServer(*CARRIER) as server:
        server.silent = {"SRV", "NAPTR"}
        found = await Resolver([server.listener]).locate("carrier.test", None, Transport.UDP)
    assert (set(found.hosts), found.certain) == ({"192.0.2.99"}, False)


async def test_silence_about_naptr_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ASK_WITHIN", 0.2)
    async with NameServer(*CARRIER, "wrong.carrier.test. 300 IN A 192.0.2.7") as server:
        server.silent = {"NAPTR"}
        found = await Resolver([server.listener]).locate("carrier.test", None, Transport.UDP)
    assert (set(found.hosts), found.certain) == ({"192.0.2.7"}, True)


async def test_plain_names_are_the_systems_business() -> None:
    """/etc/hosts counts."""
    found = await Resolver().locate("localhost", None, Transport.UDP)
    assert found.hosts & {"127.0.0.1", "::1"}
    assert found.ttl == TTL_UNKNOWN
    with pytest.raises(OSError):
        await Resolver().locate("a..b", 5060, Transport.UDP)
