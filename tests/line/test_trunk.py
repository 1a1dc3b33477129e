"""Trunk settings: number formats, ports, what is refused."""

from __future__ import annotations

import secrets
import socket

import pytest
from pydantic import ValidationError

from faxgw.foip.registration import Registration
from faxgw.foip.uri import SipUri
from faxgw.line.ports import NoMediaPorts, PortRange, bind_media
from faxgw.line.trunk import SipSettings, Trunk, TrunkSettings
from faxgw.settings import Duration, Listener, Secret
from tests.line.test_targets import Names


def trunk(**values: object) -> Trunk:
    return Trunk(TrunkSettings(**{"name": "t", "host": "sip.example.net", **values}))  # type: ignore[arg-type]


@pytest.mark.parametrize(("form", "dialled"), [("plus", "+33199"), ("digits", "33199"), ("zeros", "0033199")])
def test_numbers_are_dialled_in_the_trunks_form(form: str, dialled: str) -> None:
    made = trunk(number_format=form, domain="example.org", caller="+4930")
    assert made.target("+33199") == f"sip:{dialled}@sip.example.net"
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


@pytest.mark.parametrize("seconds", [1, 89])
def test_a_session_timer_is_none_or_long_enough(seconds: int) -> None:
    """RFC 4028 section 5."""
    with pytest.raises(ValidationError, match="RFC 4028"):
        SipSettings(session_timer=Duration(seconds))
    assert [float(SipSettings(session_timer=Duration(good)).session_timer) for good in (0, 90)] == [0, 90]


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


async def test_a_host_is_resolved_and_remembered() -> None:
    made = trunk(host="localhost", port=5070)
    assert not made.is_known_host("127.0.0.1")
    host, port = await made.address()
    assert (host, port) == await made.address() and port == 5070
    assert made.is_known_host(host)
    assert not made.is_known_host("192.0.2.1")
    with pytest.raises(OSError):
        await trunk(host="no.such.host.invalid", port=5060).address()


async def test_peers_are_known_without_a_look_up() -> None:
    made = trunk(host="198.51.100.1", port=5070, peers=("192.0.2.0/28", "2001:db8::1"))
    assert all(made.is_known_host(host) for host in ("198.51.100.1", "192.0.2.5", "2001:db8::1"))
    assert not any(made.is_known_host(host) for host in ("192.0.2.16", "2001:db8::2", "127.0.0.1"))


def test_calls_to_us_have_their_share_of_the_channels() -> None:
    assert trunk(channels=4).inbound_channels == 4
    assert trunk(channels=4, inbound_channels=2).inbound_channels == 2
    assert trunk(channels=4, inbound_channels=9).inbound_channels == 4


def registered(**values: object) -> Trunk:
    return trunk(login="user", password=Secret("p"), registration=True, **values)


@pytest.mark.parametrize(
    "values",
    [
        {"registration": True},
        {"proxy": "sip:x"},
        {"proxy": "a b"},
        {"keepalive": "-1s"},
        {"answer_within": "40s"},
        {"login": "u", "password": Secret("p"), "registration_time": "5s"},
    ],
)
def test_settings_of_registration_and_failover_are_checked(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        trunk(**values)


def test_what_is_registered_is_the_account_at_its_domain() -> None:
    """RFC 3261 section 10.2: the Request-URI has no user."""
    account = registered(port=5070, registration_time="5m").account()
    assert (account.registrar, account.address) == ("sip:sip.example.net:5070", "sip:user@sip.example.net")
    assert account.expires == 300
    account = registered(domain="ims.example", registered_user="+4930", transport="tls").account()
    assert (account.registrar, account.address) == ("sip:ims.example;transport=tls", "sip:+4930@ims.example")


def test_the_contact_bears_a_secret_that_tells_its_calls() -> None:
    made, other = registered(transport="tcp"), registered()
    contact = made.contact("192.0.2.1", 5060)
    assert str(contact).startswith("sip:user@192.0.2.1:5060;transport=tcp;line=")
    assert made.is_ours(contact)
    assert not made.is_ours(other.contact("192.0.2.1", 5060))
    assert not made.is_ours(SipUri("192.0.2.1", "user", 5060))
    assert not trunk().is_ours(SipUri("192.0.2.1", "user", params=(("line", ""),)))


def test_a_proxy_is_where_everything_goes_with_a_route() -> None:
    made = trunk(host="ims.example", proxy="192.0.2.5:5070", transport="tcp")
    assert made.route == ("<sip:192.0.2.5:5070;transport=tcp;lr>",)
    assert made.target("+33199") == "sip:+33199@ims.example;transport=tcp"
    assert made.is_known_host("192.0.2.5") and made.has_one_server
    assert trunk(proxy="[2001:db8::1]").route == ("<sip:[2001:db8::1];lr>",)
    assert trunk().route == ()
    assert not trunk(proxy="sbc.example").has_one_server


def test_the_route_that_the_registrar_asked_for_follows_the_proxy() -> None:
    """RFC 3608 section 6.1; one that begins with the proxy needs no other."""
    made = registered(proxy="sbc.example")
    made.registration = Registration(made.account(), made.credentials, secrets.token_hex, "192.0.2.1")
    made.registration.service_route = ("<sip:core.example;lr>",)
    assert made.route == ("<sip:sbc.example;lr>", "<sip:core.example;lr>")
    made.registration.service_route = ("<sip:sbc.example:5060;lr>", "<sip:core.example;lr>")
    assert made.route == ("<sip:sbc.example:5060;lr>", "<sip:core.example;lr>")
    assert made.proxy_route == ("<sip:sbc.example;lr>",)


def test_a_trunk_that_is_not_registered_says_so() -> None:
    made = registered()
    assert made.fault(0.0) == "not registered (just started)"
    made.registration = Registration(made.account(), made.credentials, secrets.token_hex, "192.0.2.1")
    assert made.fault(0.0) == "not registered (not registered yet)"
    assert trunk().fault(0.0) == ""


async def test_a_trunk_without_a_server_that_lives_says_so() -> None:
    made = trunk(host="192.0.2.1", port=5070)
    (server,) = await made.servers()
    made.targets.failed(server, unreachable=True)
    assert made.fault(0.0) == "no server answers"
    made.targets.served(server)
    assert made.fault(0.0) == ""


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("sip:+33199@192.0.2.2:5070", ("192.0.2.2", 5070)),
        ("sip:+33199@192.0.2.2;user=phone", ("192.0.2.2", 5060)),
        ("sip:+33199@192.0.2.1", ("192.0.2.1", 5060)),
        ("sip:+33199@SIP.example.net", ("192.0.2.1", 5060)),
        ("sip:+33900@192.0.2.2", None),
        ("sip:+33199@198.51.100.9", None),
        ("sip:+33199@elsewhere.example", None),
        ("sip:+33199@[2001:db8::1]", None),
        ("tel:+33199", None),
        ("nonsense", None),
    ],
)
async def test_a_redirection_leads_to_servers_of_the_trunk_and_to_the_same_number(
    uri: str, place: tuple[str, int] | None
) -> None:
    """RFC 3261 section 8.1.3.4; anything else would be a number nobody has allowed."""
    hosts = ("192.0.2.1", "192.0.2.2", "2001:db8::1")
    made = Trunk(TrunkSettings(name="t", host="sip.example.net"), Names(*hosts))
    server = (await made.servers())[0]
    assert made.redirected(server, "+33199", uri) == place


async def test_with_a_proxy_a_redirection_goes_there_too() -> None:
    made = trunk(host="ims.example", proxy="192.0.2.5")
    (server,) = await made.servers()
    assert made.redirected(server, "+33199", "sip:+33199@node7.ims.example") == ("192.0.2.5", 5060)
    assert made.redirected(server, "+33199", "sip:+33199@198.51.100.9") is None
