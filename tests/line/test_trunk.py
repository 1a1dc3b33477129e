"""Trunk settings: number formats, ports, what is refused."""

from __future__ import annotations

import asyncio
import socket

import pytest
from pydantic import ValidationError

from faxgw.line import trunk as module
from faxgw.line.ports import NoMediaPorts, PortRange, bind_media
from faxgw.line.trunk import SipSettings, Trunk, TrunkSettings
from faxgw.settings import Listener, Secret


def trunk(**values: object) -> Trunk:
    return Trunk(TrunkSettings(**{"name": "t", "host": "sip.example.net", **values}))  # type: ignore[arg-type]


@pytest.mark.parametrize(("form", "dialled"), [("plus", "+33199"), ("digits", "33199"), ("zeros", "0033199")])
def test_numbers_are_dialled_in_the_trunks_form(form: str, dialled: str) -> None:
    made = trunk(number_format=form, domain="example.org", caller="+4930")
    assert made.target("+33199") == f"sip:{dialled}@sip.example.net:5060"
    assert made.to("+33199") == f"<sip:{dialled}@example.org>"
    assert made.from_("+33199") == f"<sip:{dialled}@example.org>"
    assert made.from_("").endswith("@example.org>")


def test_without_a_number_the_login_calls_or_nobody() -> None:
    assert trunk(login="u", password=Secret("p")).from_("") == "<sip:u@sip.example.net>"
    assert "anonymous.invalid" in trunk().from_("")
    assert trunk(login="u", password=Secret("p")).credentials is not None
    assert trunk().credentials is None


def test_codings_become_payload_types() -> None:
    assert trunk().payload_types == (8, 0)
    assert trunk(audio=("pcmu",)).payload_types == (0,)


@pytest.mark.parametrize(
    "values", [{"login": "u"}, {"password": Secret("p")}, {"audio": ()}, {"port": 0}, {"name": ""}]
)
def test_settings_that_cannot_be_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        trunk(**values)


def test_listening_everywhere_needs_a_public_address() -> None:
    with pytest.raises(ValidationError):
        SipSettings(listen=Listener("0.0.0.0", 5060))
    with pytest.raises(ValidationError):
        SipSettings(public_address="fax.example.org")
    assert SipSettings(listen=Listener("0.0.0.0", 5060), public_address="192.0.2.1").public_address == "192.0.2.1"


@pytest.mark.parametrize("text", ["", "20000", "1-2", "20000-20010", "30000-20000", "60000-70000", 5])
def test_a_port_range_is_read_strictly(text: object) -> None:
    with pytest.raises(ValueError):
        PortRange.parse(text)


def test_media_ports_are_bound_in_pairs_until_there_are_none() -> None:
    ports = PortRange(22000, 22039)
    bound = []
    try:
        while True:
            try:
                bound.append(bind_media("127.0.0.1", ports))
            except NoMediaPorts as exc:
                assert exc.temporary
                break
        assert 1 <= len(bound) <= 10
        assert all(is_taken(port) or is_taken(port + 2) for port in range(22000, 22040, 4))
        assert all(media.rtp_port % 2 == 0 and media.udptl_port == media.rtp_port + 2 for media in bound)
        assert len({media.rtp_port for media in bound}) == len(bound)
    finally:
        for media in bound:
            media.close()


def is_taken(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def test_without_descriptors_there_are_no_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(socket, "socket", fail)
    with pytest.raises(NoMediaPorts):
        bind_media("127.0.0.1", PortRange(22000, 22039))


class Names:
    """Answers look-ups with `addresses`, or an error when there are none; waits for `may_answer`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
        self.addresses = addresses
        self.asked = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", self._look_up)

    async def _look_up(self, _host: str, port: int, **_kind: object) -> list[tuple[object, ...]]:
        self.asked += 1
        await self.may_answer.wait()
        if not self.addresses:
            raise socket.gaierror(-3, "Temporary failure in name resolution")
        return [(0, 0, 0, "", (address, port)) for address in self.addresses]


async def test_an_address_of_the_listeners_family_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with both kinds of address often has the longer one first; our socket reaches one kind only."""
    Names(monkeypatch, "2001:db8::1", "192.0.2.1")
    made = trunk()
    assert await made.address(socket.AF_INET) == ("192.0.2.1", 5060)
    assert await made.address(socket.AF_INET6) == ("2001:db8::1", 5060)
    assert made.is_known_host("192.0.2.1") and made.is_known_host("2001:db8::1")


async def test_the_last_address_serves_while_the_name_cannot_be_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 8767: an outage of the name servers is none of the trunk."""
    monkeypatch.setattr(module, "RESOLVED_FOR", 0.0)
    monkeypatch.setattr(module, "RESOLVE_WITHIN", 0.05)
    names = Names(monkeypatch, "192.0.2.1")
    made = trunk()
    assert await made.address() == ("192.0.2.1", 5060)
    names.addresses = ()
    assert await made.address() == ("192.0.2.1", 5060)
    names.may_answer.clear()
    assert await made.address() == ("192.0.2.1", 5060)


async def test_a_silent_name_server_holds_a_call_up_for_a_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """And one thread, not one per call."""
    monkeypatch.setattr(module, "RESOLVE_WITHIN", 0.05)
    names = Names(monkeypatch, "192.0.2.1")
    names.may_answer.clear()
    made = trunk()
    for _ in range(3):
        with pytest.raises(OSError):
            await made.address()
    assert names.asked == 1
    names.may_answer.set()
    assert await made.address() == ("192.0.2.1", 5060)


async def test_a_host_that_is_no_name_is_told_like_one_that_is_unknown() -> None:
    with pytest.raises(OSError):
        await trunk(host="a..b").address()


async def test_a_host_is_resolved_and_remembered() -> None:
    made = trunk(host="localhost", port=5070)
    assert not made.is_known_host("127.0.0.1")
    host, port = await made.address()
    assert (host, port) == await made.address() and port == 5070
    assert made.is_known_host(host)
    assert not made.is_known_host("192.0.2.1")
    with pytest.raises(OSError):
        await trunk(host="no.such.host.invalid").address()


async def test_peers_are_known_without_a_look_up() -> None:
    made = trunk(host="198.51.100.1", port=5070, peers=("192.0.2.0/28", "2001:db8::1"))
    assert all(made.is_known_host(host) for host in ("198.51.100.1", "192.0.2.5", "2001:db8::1"))
    assert not any(made.is_known_host(host) for host in ("192.0.2.16", "2001:db8::2", "127.0.0.1"))


def test_calls_to_us_have_their_share_of_the_channels() -> None:
    assert trunk(channels=4).inbound_channels == 4
    assert trunk(channels=4, inbound_channels=2).inbound_channels == 2
    assert trunk(channels=4, inbound_channels=9).inbound_channels == 4
