"""URIs: round trips, meanings, refusals (RFC 3261 section 19.1)."""

import pytest

from faxgw.foip.errors import LocalProtocolError, RemoteProtocolError
from faxgw.foip.uri import OtherUri, SipUri, is_ip_literal, parse_uri, sip_uri


@pytest.mark.parametrize(
    "text",
    [
        "sip:example.com",
        "sip:alice@atlanta.com",
        "sip:alice:secretword@atlanta.com;transport=tcp",
        "sips:alice@atlanta.com?subject=project%20x&priority=urgent",
        "sip:+1-212-555-1212:1234@gateway.com;user=phone",
        "sips:1212@gateway.com",
        "sip:alice@192.0.2.4",
        "sip:alice;day=tuesday@atlanta.com",
        "sip:fax@[2001:db8::1]:5070;lr",
        "sip:user;par=u%40example.net@example.com",
        "tel:+49891234;phone-context=example.com",
        "isbn:2983792873",
    ],
)
def test_a_uri_is_written_as_it_was_read(text: str) -> None:
    assert str(parse_uri(text)) == text


def test_the_parts_of_a_uri_are_told_apart() -> None:
    uri = parse_uri("SIP:%75se%72:pw@Example.com:5070;transport=udp;lr?a=b")
    assert uri == SipUri("Example.com", "%75se%72", 5070, "sip", "pw", (("transport", "udp"), ("lr", None)), "a=b")
    assert uri.username == "user"
    assert uri.param("LR".lower()) == ""
    assert uri.param("maddr") is None
    assert parse_uri("tel:5") == OtherUri("tel", "5")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sip:",
        "nothing",
        "sip:user@",
        "sip:user@example.com; lr",
        " sip:user@example.com",
        "<sip:user@example.com>",
        "sip:user@example.com:0",
        "sip:user@example.com:65536",
        "sip:us%er@example.com",
        "sip:user@exa mple.com",
        "sip:user@[192.0.2.1",
        "sip:a\r\nb@example.com",
    ],
)
def test_what_is_no_uri_is_refused_with_400(text: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        parse_uri(text)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("sip:a@b", 5060),
        ("sips:a@b", 5061),
        ("sip:a@b;transport=TLS", 5061),
        ("sip:a@b;transport=tcp", 5060),
        ("sips:a@b:7", 7),
    ],
)
def test_the_default_port_is_that_of_the_transport(text: str, port: int) -> None:
    """RFC 3261 section 19.1.2."""
    uri = parse_uri(text)
    assert isinstance(uri, SipUri) and uri.effective_port == port


def test_an_endless_uri_is_refused_with_414() -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        parse_uri("sip:" + "a" * 3000 + "@example.com")
    assert caught.value.status == 414


def test_a_uri_of_ours_is_escaped_and_bracketed() -> None:
    assert str(sip_uri("+49 89#1", "2001:db8::1", 5060)) == "sip:+49%2089%231@[2001:db8::1]:5060"
    assert str(sip_uri("", "192.0.2.1")) == "sip:192.0.2.1"
    with pytest.raises(LocalProtocolError):
        sip_uri("x", "not a host")


def test_ip_literals_are_recognised() -> None:
    assert is_ip_literal("127.0.0.1")
    assert is_ip_literal("[::1]")
    assert not is_ip_literal("example.com")
