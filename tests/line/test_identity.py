"""Who calls whom, on the wire: numbers, From, identity headers, and what calls to us say (features E2)."""

from __future__ import annotations

import pytest

from faxgw.foip.events import CallId, IncomingCall
from faxgw.foip.headers import NameAddr, split_list
from faxgw.foip.uri import parse_uri
from faxgw.line import identity
from faxgw.line.identity import ANONYMOUS, Caller, dialled, identified
from faxgw.line.trunk import Trunk, TrunkSettings
from faxgw.settings import Secret

FAR, OURS = "+33199000001", "+33188000000"


def settings(**values: object) -> TrunkSettings:
    return TrunkSettings(**{"name": "t", "host": "sip.example.net", "domain": "example.org", **values})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "uri"),
    [
        ({}, "sip:+33199000001@sip.example.net"),
        ({"port": 5062}, "sip:+33199000001@sip.example.net:5062"),
        ({"number_format": "digits"}, "sip:33199000001@sip.example.net"),
        ({"number_format": "zeros"}, "sip:0033199000001@sip.example.net"),
        ({"number_format": "national"}, "sip:0199000001@sip.example.net"),
        ({"number_format": "national", "country": "DE"}, "sip:0033199000001@sip.example.net"),
        ({"number_format": "national", "dial_prefix": "0"}, "sip:00199000001@sip.example.net"),
        ({"dial_prefix": "#9"}, "sip:%239+33199000001@sip.example.net"),
        ({"strip": "+3319900"}, "sip:0001@sip.example.net"),
        ({"strip": "+3319901"}, "sip:+33199000001@sip.example.net"),
        ({"strip": FAR}, "sip:+33199000001@sip.example.net"),
        ({"uri": "phone"}, "sip:+33199000001@sip.example.net;user=phone"),
        ({"uri": "tel"}, "tel:+33199000001"),
        ({"uri": "tel", "number_format": "national"}, "tel:0199000001;phone-context=example.org"),
        ({"uri": "phone", "transport": "tcp"}, "sip:+33199000001@sip.example.net;user=phone;transport=tcp"),
    ],
)  # fmt: skip
def test_the_request_uri(values: dict[str, object], uri: str) -> None:
    made = Trunk(settings(**values)).target(FAR)
    assert made == uri
    assert str(parse_uri(made)) == uri


@pytest.mark.parametrize(
    ("values", "to"),
    [
        ({"port": 5062}, "<sip:+33199000001@example.org>"),
        ({"uri": "phone"}, "<sip:+33199000001@example.org;user=phone>"),
        ({"uri": "tel"}, "<tel:+33199000001>"),
        ({"domain": ""}, "<sip:+33199000001@sip.example.net>"),
    ],
)
def test_the_to(values: dict[str, object], to: str) -> None:
    assert Trunk(settings(**values)).to(FAR) == to


CALLER, HIDDEN = Caller(OURS, "Fax, Ltd"), Caller(OURS, "Fax, Ltd", withheld=True)
LOGIN = {"login": "fax12", "password": Secret("x"), "caller": "+33177000000"}
FROM = '"Fax, Ltd" <sip:+33188000000@example.org>'
PAI, PPI = "P-Asserted-Identity", "P-Preferred-Identity"


@pytest.mark.parametrize(
    ("values", "caller", "from_", "fields"),
    [
        ({}, CALLER, FROM, []),
        ({}, Caller(), ANONYMOUS, []),
        (LOGIN, Caller(), "<sip:+33177000000@example.org>", []),
        ({**LOGIN, "caller": ""}, Caller(), "<sip:fax12@example.org>", []),
        ({"caller_format": "digits"}, CALLER, '"Fax, Ltd" <sip:33188000000@example.org>', []),
        ({"uri": "phone"}, CALLER, '"Fax, Ltd" <sip:+33188000000@example.org;user=phone>', []),
        ({**LOGIN, "identity": "pai"}, CALLER, "<sip:fax12@example.org>", [(PAI, FROM)]),
        ({**LOGIN, "identity": "ppi"}, CALLER, "<sip:fax12@example.org>", [(PPI, FROM)]),
        ({"identity": "pai", "caller": "+33177000000"}, CALLER, "<sip:+33177000000@example.org>", [(PAI, FROM)]),
        ({**LOGIN, "identity": "from+pai"}, CALLER, FROM, [(PAI, FROM)]),
        ({**LOGIN, "identity": "from+ppi"}, CALLER, FROM, [(PPI, FROM)]),
        (
            {**LOGIN, "identity": "from+pai", "asserted": "trunk"}, CALLER, FROM,
            [(PAI, '"Fax, Ltd" <sip:+33177000000@example.org>')],
        ),
        ({}, HIDDEN, ANONYMOUS, [(PAI, "<sip:+33188000000@example.org>"), ("Privacy", "id")]),
        ({**LOGIN, "identity": "ppi"}, HIDDEN, ANONYMOUS, [(PPI, "<sip:+33188000000@example.org>"), ("Privacy", "id")]),
        ({}, Caller(withheld=True), ANONYMOUS, [("Privacy", "id")]),
        (
            {"diversion": "+33166000000"}, CALLER, FROM,
            [("Diversion", "<sip:+33166000000@example.org>;reason=unconditional;counter=1;privacy=off")],
        ),
        (
            {"diversion": "+33166000000", "divert_with": "history_info"}, CALLER, FROM,
            [("History-Info", "<sip:+33166000000@example.org>;index=1, "
              "<sip:+33199000001@sip.example.net;cause=302>;index=1.1;mp=1")],
        ),
    ],
)  # fmt: skip
def test_who_calls(values: dict[str, object], caller: Caller, from_: str, fields: list[tuple[str, str]]) -> None:
    """RFC 3325 section 9.1, RFC 3323 section 4.1, RFC 5806 section 4, RFC 7044 section 5."""
    made = settings(**values)
    assert identity.from_value(caller, made) == from_
    assert list(identity.headers(caller, FAR, made)) == fields
    for _name, value in [("From", from_), *(field for field in fields if field[0] != "Privacy")]:
        assert [str(NameAddr.parse(part)) for part in split_list(value)] == split_list(value)


def test_both_ways_to_say_that_a_call_was_diverted() -> None:
    made = settings(diversion="+33166000000", divert_with="both", uri="tel")
    assert [name for name, _value in identity.headers(CALLER, FAR, made)] == ["Diversion", "History-Info"]


def incoming(*headers: tuple[str, str], caller: str = "0188", display: str = "Desk") -> IncomingCall:
    return IncomingCall(CallId("c"), "0199000001", caller, display, None, ("192.0.2.1", 5060), headers)


@pytest.mark.parametrize(
    ("headers", "caller", "where", "expected"),
    [
        ([], "0188", "asserted", ("0188", "Desk")),
        ([("P-Asserted-Identity", "<sip:+33188000000@x>")], "0188", "asserted", ("+33188000000", "Desk")),
        ([("P-Asserted-Identity", '"Head" <sip:+33188000000@x>')], "0188", "asserted", ("+33188000000", "Head")),
        ([("P-Asserted-Identity", "<tel:+33188000000;cpc=fax>")], "anonymous", "asserted", ("+33188000000", "")),
        ([("P-Asserted-Identity", "<sip:x.example>, <tel:+33188000000>")], "0188", "asserted",
         ("+33188000000", "Desk")),
        ([("P-Asserted-Identity", "<sip:+33188000000@x>")], "0188", "from", ("0188", "Desk")),
        ([("P-Asserted-Identity", "nonsense<")], "0188", "asserted", ("0188", "Desk")),
        ([("P-Asserted-Identity", "<sip:+33188000000@x>"), ("Privacy", "id")], "anonymous", "asserted", ("", "")),
        ([("Privacy", "header; user;critical")], "0188", "asserted", ("", "")),
        ([("Privacy", "none")], "0188", "asserted", ("0188", "Desk")),
        ([], "Anonymous", "asserted", ("", "")),
        ([("P-Preferred-Identity", "<sip:+33188000000@x>")], "0188", "asserted", ("0188", "Desk")),
    ],
)  # fmt: skip
def test_who_calls_us(headers: list[tuple[str, str]], caller: str, where: str, expected: tuple[str, str]) -> None:
    """RFC 3325 section 9.1; section 9.3 and RFC 3323 section 4.2: privacy is respected. A preferred identity is a
    wish of the caller's, which proves nothing (RFC 3325 section 9.2)."""
    found = identified(incoming(*headers, caller=caller), where)
    assert (found.caller, found.display) == expected


HISTORY = "<sip:+33199000042@pbx;user=phone>;index=1, <sip:+33199000099@trunk;cause=302>;index=1.1;mp=1"


@pytest.mark.parametrize(
    ("headers", "number"),
    [
        ([], "0199000001"),
        ([("History-Info", "<sip:+33199000042@pbx>;index=1")], "0199000001"),
        ([("History-Info", HISTORY)], "+33199000042"),
        ([("History-Info", part) for part in HISTORY.split(", ")], "+33199000042"),
        ([("History-Info", part) for part in reversed(HISTORY.split(", "))], "+33199000042"),
        ([("History-Info", "<sip:1@a>;index=1, <sip:2@a>;index=1.1;rc=1, <sip:3@a>;index=1.2;mp=1")], "1"),
        ([("History-Info", "<sip:1@a>;index=1, <sip:2@a>;index=1.1, <sip:3@a>;index=1.1.1")], "2"),
        ([("History-Info", "<sip:1@a>;index=x, nonsense<")], "0199000001"),
    ],
)
def test_the_number_dialled_by_the_history(headers: list[tuple[str, str]], number: str) -> None:
    """RFC 7044 section 5: `mp`, `rc` and `np` name the entry that this one was mapped from."""
    assert dialled(incoming(*headers), "history_info") == number


def test_a_tel_uri_is_a_number_without_its_parameters() -> None:
    assert dialled(incoming(("To", "<tel:+33199000042;phone-context=x>")), "to") == "+33199000042"
