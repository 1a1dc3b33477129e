"""Header values: round trips and refusals (RFC 3261 section 20)."""

import pytest

from faxgw.foip.errors import RemoteProtocolError
from faxgw.foip.headers import Cause, CSeq, NameAddr, Via, parse_params, parse_seconds, split_list
from faxgw.foip.uri import SipUri, parse_uri


@pytest.mark.parametrize(
    ("text", "display", "uri", "tag"),
    [
        ('"A. G. Bell" <sip:agb@bell-telephone.com>;tag=a48s', "A. G. Bell", "sip:agb@bell-telephone.com", "a48s"),
        ("Anonymous <sip:c8oqz84zk7z@privacy.org>;tag=hyh8", "Anonymous", "sip:c8oqz84zk7z@privacy.org", "hyh8"),
        ("sip:+12125551212@server.phone2net.com;tag=887s", "", "sip:+12125551212@server.phone2net.com", "887s"),
        ("caller<sip:caller@example.com>;tag=323", "caller", "sip:caller@example.com", "323"),
        ('"J \\"R\\", \\\\" <sip:j@example.com> ; x ; tag = 9', 'J "R", \\', "sip:j@example.com", "9"),
        (
            "token1~` token2'+_ token3*%!.- <sip:m@example.com>;tag=_t~1'+`*%!-.",
            None,
            "sip:m@example.com",
            "_t~1'+`*%!-.",
        ),
        ("<sip:u@example.com;lr?Route=%3Csip:x%3E>", "", "sip:u@example.com;lr?Route=%3Csip:x%3E", ""),
        ("sip:+1@gw.example.net;unknownparam", "", "sip:+1@gw.example.net", ""),
        ("<http://www.example.com>;tag=3", "", "http://www.example.com", "3"),
    ],
)
def test_an_address_is_read(text: str, display: str | None, uri: str, tag: str) -> None:
    value = NameAddr.parse(text)
    assert display is None or value.display == display
    assert str(value.uri) == uri
    assert value.tag == tag
    assert NameAddr.parse(str(value)) == value


@pytest.mark.parametrize(
    "text",
    [
        '"Mr. J. User <sip:j.user@example.com>',
        "Bell, Alexander <sip:a.g.bell@example.com>;tag=43",
        '"Joe" <sip:joe@example.org>;;;;',
        '"Watson" < sip:t.watson@example.org >',
        "sip:user@example.com?Route=%3Csip:sip.example.com%3E",
        "<sip:a@example.com> trailing",
        "",
        "<sip:a@example.com>" + ";p=1" * 100,
    ],
)
def test_a_malformed_address_is_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        NameAddr.parse(text)


def test_a_tag_is_replaced_and_removed() -> None:
    value = NameAddr.parse("<sip:a@example.com>;x=1;tag=old")
    assert str(value.tagged("new")) == "<sip:a@example.com>;x=1;tag=new"
    assert value.tagged("").tag == ""


def test_via_is_read_with_all_its_white_space() -> None:
    """RFC 4475 section 3.1.1.1 (wsinv)."""
    via = Via.parse("SIP  / 2.0  / TCP     spindle.example.com   ;  branch  =   z9hG4bK9ikj8  ")
    assert (via.transport, via.host, via.port, via.branch) == ("TCP", "spindle.example.com", None, "z9hG4bK9ikj8")
    assert via.has_unique_branch
    assert str(Via.parse("SIP/2.0/UDP [2001:db8::1]:5070;branch=z9hG4bKx;rport")) == (
        "SIP/2.0/UDP [2001:db8::1]:5070;branch=z9hG4bKx;rport"
    )
    assert not Via.parse("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK").has_unique_branch


@pytest.mark.parametrize(
    "text",
    ["SIP/2.0/UDP 192.0.2.15;;,;,,", "SIP/7.0/UDP c.example.com", "SIP/2.0/UDP a:99999", "SIP/2.0/UDP", "UDP a", ""],
)
def test_a_malformed_via_is_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        Via.parse(text)


def test_received_and_rport_are_set_from_the_source() -> None:
    """RFC 3261 section 18.2.1, RFC 3581 section 4."""
    plain = Via.parse("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa")
    assert plain.received_from("192.0.2.1", 4000) is plain
    assert plain.received_from("192.0.2.9", 4000).param("received") == "192.0.2.9"
    symmetric = Via.parse("SIP/2.0/UDP 192.0.2.1;rport;branch=z9hG4bKa;received=6.6.6.6").received_from(
        "192.0.2.9", 4000
    )
    assert (symmetric.param("received"), symmetric.param("rport")) == ("192.0.2.9", "4000")
    assert str(symmetric).count("received") == 1


def test_cseq_keeps_to_its_range() -> None:
    assert CSeq.parse("0009\t INVITE") == CSeq(9, "INVITE")
    assert str(CSeq(1, "BYE")) == "1 BYE"
    for text in ("36893488147419103232 REGISTER", "2147483648 INVITE", "-1 INVITE", "1", "INVITE 1", "1" * 5000 + " A"):
        with pytest.raises(RemoteProtocolError):
            CSeq.parse(text)


def test_reason_is_read_and_written() -> None:
    """RFC 3326."""
    cause = Cause.parse('Q.850 ;cause=16 ;text="Terminated, normally"')
    assert cause == Cause("Q.850", 16, "Terminated, normally")
    assert Cause.parse(str(cause)) == cause
    for text in ("Q.850", "Q.850;cause=x", "Q.850;cause=99999", ";cause=1", "Q.850;cause=²"):
        with pytest.raises(RemoteProtocolError):
            Cause.parse(text)


def test_lists_are_split_outside_quotes_and_brackets() -> None:
    assert split_list('"a, b" <sip:x,y@example.com>, <sip:z@example.com> , q') == [
        '"a, b" <sip:x,y@example.com>',
        "<sip:z@example.com>",
        "q",
    ]
    for text in ('"open, x', "<sip:a@b, c", "a,,b", "", "a,", " ", '"a\\", b'):
        with pytest.raises(RemoteProtocolError):
            split_list(text)


def test_seconds_are_clamped() -> None:
    """RFC 3261 sections 20.19 and 20.33."""
    assert parse_seconds("120 (I'm in a meeting);duration=3600") == 120
    assert parse_seconds("9" * 100) == 2**32 - 1
    assert parse_seconds("0" * 100 + "7") == 7
    with pytest.raises(RemoteProtocolError):
        parse_seconds("soon")


def test_parameters_with_and_without_values() -> None:
    assert parse_params('; a = "b;c" ;d ; e=f==') == (("a", '"b;c"'), ("d", None), ("e", "f=="))
    assert parse_params(";lr") == (("lr", None),)
    with pytest.raises(RemoteProtocolError):
        parse_params(";=x")


def test_equal_text_parses_to_one_value() -> None:
    assert isinstance(parse_uri("sip:a@b"), SipUri)
    assert parse_uri("sip:a@b") is parse_uri("sip:a@b")
