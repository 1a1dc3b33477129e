"""SPF: each mechanism, the limits, macros and wrong records (RFC 7208)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from faxgw.dispatch.spf import MAX_LOOKUPS, Verdict, check_host

HOST, SIX = "192.0.2.7", "2001:db8::7"
ZONE: Mapping[str, Mapping[str, Sequence[str]]] = {
    "a.example": {"A": ["192.0.2.7"], "AAAA": ["2001:db8::7"]},
    "b.example": {"A": ["198.51.100.9"]},
    "mx.example": {"MX": ["b.example", "a.example"]},
    "many.example": {"MX": [f"h{n}.example" for n in range(11)]},
    "good.example": {"TXT": ["v=spf1 ip4:192.0.2.0/24 -all"]},
    "none.example": {"TXT": ["google-site-verification=1"]},
    "two.example": {"TXT": ["v=spf1 -all", "v=spf1 +all"]},
    "loop.example": {"TXT": ["v=spf1 include:loop.example"]},
    "silent.example": {},
    "7.2.0.192.in-addr.arpa": {"PTR": ["a.example"]},
    "bob.7.2.0.192.in-addr._spf.x.example": {"A": ["127.0.0.2"]},
}


async def verdict(record: str, host: str = HOST, sender: str = "bob@x.example", **more: Sequence[str]) -> Verdict:
    zone = {**ZONE, "x.example": {"TXT": [record], **{kind.upper(): values for kind, values in more.items()}}}

    async def ask(name: str, kind: str) -> Sequence[str]:
        if name == "silent.example":
            raise OSError("nobody answers")
        return zone.get(name.lower().rstrip("."), {}).get(kind, ())

    return await check_host(ask, host, sender, "client.example")


@pytest.mark.parametrize(
    "record, host, expected",
    [
        ("v=spf1 -all", HOST, "fail"),
        ("v=spf1 ~all", HOST, "softfail"),
        ("v=spf1 ?all", HOST, "neutral"),
        ("v=spf1 +all", HOST, "pass"),
        ("v=spf1", HOST, "neutral"),
        ("V=SPF1 -ALL", HOST, "fail"),
        ("v=spf10 -all", HOST, "none"),
        ("v=spf1 ip4:192.0.2.7 -all", HOST, "pass"),
        ("v=spf1 ip4:192.0.2.0/25 -all", HOST, "pass"),
        ("v=spf1 ip4:192.0.2.128/25 -all", HOST, "fail"),
        ("v=spf1 ip6:2001:db8::/32 -all", SIX, "pass"),
        ("v=spf1 ip6:2001:db8::/32 -all", HOST, "fail"),
        ("v=spf1 ip4:192.0.2.7 -all", f"::ffff:{HOST}", "pass"),
        ("v=spf1 a:a.example -all", HOST, "pass"),
        ("v=spf1 a:a.example -all", SIX, "pass"),
        ("v=spf1 a:b.example -all", HOST, "fail"),
        ("v=spf1 a:b.example/0 -all", HOST, "pass"),
        ("v=spf1 a:a.example//64 -all", "2001:db8::1", "pass"),
        ("v=spf1 mx:mx.example -all", HOST, "pass"),
        ("v=spf1 mx:many.example -all", HOST, "permerror"),
        ("v=spf1 include:good.example -all", HOST, "pass"),
        ("v=spf1 include:good.example ?all", "203.0.113.1", "neutral"),
        ("v=spf1 include:none.example -all", HOST, "permerror"),
        ("v=spf1 include:silent.example -all", HOST, "temperror"),
        ("v=spf1 redirect=good.example", HOST, "pass"),
        ("v=spf1 redirect=none.example", HOST, "permerror"),
        ("v=spf1 redirect=good.example -all", "203.0.113.1", "fail"),
        ("v=spf1 include:loop.example", HOST, "permerror"),
        ("v=spf1 ptr:example -all", HOST, "permerror"),
        ("v=spf1 ptr:a.example -all", HOST, "pass"),
        ("v=spf1 ptr:b.example -all", HOST, "fail"),
        ("v=spf1 exists:%{l}.%{i}.in-addr._spf.%{d} -all", HOST, "fail"),
        ("v=spf1 exists:%{l}.%{ir}.%{v}._spf.%{d} -all", HOST, "pass"),
        ("v=spf1 exists:%{d1r}.%{d} -all", HOST, "fail"),
        ("v=spf1 a:%{p} -all", HOST, "pass"),
        ("v=spf1 exists:gone1.example exists:gone2.example exists:gone3.example +all", HOST, "permerror"),
        ("v=spf1 unknown=thing -all", HOST, "fail"),
        ("v=spf1 exp=why.example -all", HOST, "fail"),
    ],
)
async def test_a_record_decides(record: str, host: str, expected: str) -> None:
    assert (await verdict(record, host)).value == expected


@pytest.mark.parametrize(
    "record",
    [
        "v=spf1 ip4:192.0.2 -all",
        "v=spf1 ip4:192.0.2.0/33 -all",
        "v=spf1 ip6:192.0.2.1 -all",
        "v=spf1 a/33 -all",
        "v=spf1 include: -all",
        "v=spf1 include -all",
        "v=spf1 all:x -all",
        "v=spf1 alll",
        "v=spf1 -all redirect=a.example redirect=b.example",
        "v=spf1 exists:%{z}.example -all",
        "v=spf1 exists:%{d0}.example -all",
        "v=spf1 exists:%x.example -all",
        "v=spf1 a:localhost -all",
        "v=spf1 ip4:192.0.2.7 é -all",
        "v=spf1" + " a" * 201,
        "v=spf1 " + "x" * 5000,
    ],
)
async def test_a_wrong_record_is_an_error_even_if_a_term_before_would_match(record: str) -> None:
    """Section 4.6: syntax errors anywhere."""
    assert await verdict(record.replace("v=spf1", "v=spf1 +ip4:192.0.2.7", 1)) is Verdict.PERMERROR


async def test_lookups_are_counted_over_all_records() -> None:
    """Section 4.6.4."""
    most = "v=spf1" + " a:b.example" * MAX_LOOKUPS
    assert await verdict(f"{most} -all") is Verdict.FAIL
    assert await verdict(f"{most} a:b.example -all") is Verdict.PERMERROR


@pytest.mark.parametrize(
    "sender, expected",
    [
        ("bob@two.example", "permerror"),
        ("bob@none.example", "none"),
        ("bob@nowhere.example", "none"),
        ("bob@silent.example", "temperror"),
        ("bob@localhost", "none"),
        ("bob@a..example", "none"),
        (f"bob@{'x' * 64}.example", "none"),
        ("@good.example", "pass"),
    ],
)
async def test_a_sender_has_one_record_or_none(sender: str, expected: str) -> None:
    assert (await verdict("v=spf1 -all", sender=sender)).value == expected


async def test_a_client_without_an_address_is_nobody() -> None:
    assert await verdict("v=spf1 +all", host="unix") is Verdict.NONE
