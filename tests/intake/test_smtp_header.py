"""The header at the final dot: what is found, and that nothing makes it slow."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faxgw.intake.smtp_header import (
    ENCODED_WORDS,
    FIELD_OCTETS,
    TEXT_CHARACTERS,
    Header,
    HeaderTap,
    decode_field,
    parse_header,
)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        (b"plain", "plain"),
        (b"=?utf-8?B?R3LDvMOfZQ==?=", "Grüße"),
        (b"=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"),
        (b"=?ISO-8859-1?Q?a?= b", "a b"),
        (b"=?ISO-8859-1?Q?a_b?=", "a b"),
        (b"=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=", "a b"),
        (b"Re: =?utf-8?q?Gr=C3=BC=C3?= =?utf-8?q?=9Fe?= an alle", "Re: Grüße an alle"),
        (b"=?utf-8*de?q?Gr=C3=BC=C3=9Fe?=", "Grüße"),
        (b"=?iso-8859-1?q?Offer_=96_today?=", "Offer – today"),
        (b"Offer \x96 today", "Offer – today"),
        (b"=?iso-2022-jp?B?GyRCLSEtahsoQg==?=", "①㈱"),
        (b"=?ks_c_5601-1987?B?x9GxuSCBQQ==?=", "한국 갂"),
        (b"=?unknown-8bit?q?x?= y", "=?unknown-8bit?q?x?= y"),
        (b"=?idna?q?xn--a?=", "=?idna?q?xn--a?="),
        (b"=?utf-8?b?R3L?=", "Gr"),
        (b"=?utf-8?q?a=0D=0ABcc:_x?=", "a Bcc: x"),
        ("Grüße".encode(), "Grüße"),
        (b"Gr\xfc\xdfe", "Grüße"),
        (b"a\x00\x1b[31mb", "a [31mb"),
        (b"=?iso-2022-jp?b?GyRCRnxLXBsoQg==?=", "日本"),
    ],
)
def test_encoded_words_become_text(field: bytes, text: str) -> None:
    """RFC 2047 sections 2, 6.2 and the examples of section 8; charsets that are no text stay as they are."""
    assert decode_field(field) == text


def test_the_fields_that_matter_are_found() -> None:
    header = parse_header(
        b"Received: one\r\nRECEIVED: two\r\n\tfolded\r\nFrom : Anna <a@b>\r\nSubject: first\r\n second\r\n"
        b"subject: later\r\nMessage-Id:\t<1@b>\r\nAuto-Submitted: Auto-Replied (vacation); x=y\r\n"
    )
    assert header == Header("Anna <a@b>", "first second", "<1@b>", "auto-replied", 2)


def test_a_header_ends_at_the_first_line_that_is_no_field() -> None:
    assert parse_header(b"A: b\r\nhello there\r\nSubject: no\r\n").subject == ""
    assert parse_header(b" Subject: no\r\n") == Header()


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_the_tap_takes_the_header_and_leaves_the_body(size: int) -> None:
    octets = b"Subject: a\r\n b\r\n\r\nSubject: body\r\n\r\n"
    tap = HeaderTap(1000)
    for start in range(0, len(octets), size):
        tap.feed(octets[start : start + size])
    assert tap.header().subject == "a b"
    assert not tap.too_large


def test_a_mail_without_header_has_none_however_long_it_is() -> None:
    tap = HeaderTap(1000)
    tap.feed(b"\r\nSubject: body\r\n\r\n")
    assert tap.header() == Header()
    tap = HeaderTap(1000)
    tap.feed(b"To: x\r\nDear all,\r\n" + b"x" * 5000)
    assert not tap.too_large


def test_a_header_over_the_limit_is_noticed_and_not_kept() -> None:
    tap = HeaderTap(1000)
    for _ in range(1000):
        tap.feed(b"X-Header: some text\r\n")
    assert tap.too_large
    assert len(tap._octets) <= 1004


def lines_run(work: Callable[[], object]) -> int:
    """How many lines of Python a piece of work runs through."""
    count = 0

    def trace(frame: FrameType, event: str, _value: object) -> Any:  # Any: itself
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize(
    "value",
    [
        b"=?utf-8?q?a?= " * 20_000,
        b"=?utf-8?q?" * 20_000,
        b"=?" * 100_000,
        b"=?utf-8?q?" + b"=41" * 60_000 + b"?=",
        b"=?utf-8?b?" + b"A" * 100_000 + b"?=",
        b"(" * 100_000,
        b"=?utf-8?b??= " * 20_000,
    ],
)
def test_a_bomb_of_encoded_words_is_no_more_work_than_its_beginning(value: bytes) -> None:
    """Reliability finding 8: 5.1 s in Python's parser for 20,000 words."""
    beginning = value[:FIELD_OCTETS]
    assert len(beginning) < len(value)
    assert lines_run(lambda: decode_field(value)) == lines_run(lambda: decode_field(beginning)) < 20 * ENCODED_WORDS
    assert decode_field(value) == decode_field(beginning)
    assert len(decode_field(value)) <= TEXT_CHARACTERS


@pytest.mark.parametrize(
    "octets",
    [b"X: y\r\n" * 17_000, b"Subject: x\r\n" + b" y\r\n" * 25_000, b"A" * 102_400, b"\r" * 102_400, b":\r\n" * 34_000],
)
def test_a_header_within_the_limit_is_work_by_its_lines(octets: bytes) -> None:
    def read() -> None:
        tap = HeaderTap(102_400)
        for start in range(0, len(octets), 1000):
            tap.feed(octets[start : start + 1000])
        tap.header()

    assert lines_run(read) < 20 * (octets.count(b"\n") + len(octets) // 1000 + 100)


@given(st.binary(max_size=300), st.sampled_from([b"Subject: ", b"From: =?", b"Message-ID: <", b"=?utf-16?b?"]))
def test_whatever_comes_is_text_that_can_be_stored(octets: bytes, prefix: bytes) -> None:
    header = parse_header(prefix + octets)
    for text in (header.author, header.subject, header.message_id, header.auto_submitted):
        assert text.encode().decode() == text
        assert text.isprintable() or all(c.isprintable() or c.isspace() or ord(c) > 0x9F for c in text)
        assert "\n" not in text
        assert "\0" not in text
