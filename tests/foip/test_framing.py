"""Messages cut out of a stream: any chunking gives the same, what breaks a stream is told, nothing grows endlessly."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faxgw.foip.framing import MAX_BUFFERED, MAX_HEAD, PING, Broken, Frame, Ping, StreamDecoder, Whole
from faxgw.foip.message import MAX_MESSAGE, Request, parse

OPTIONS = (
    b"OPTIONS sip:fax@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.2;branch=z9hG4bK1\r\nContent-Length: 0\r\n\r\n"
)


def message(body: bytes = b"", length: str | None = None, *more: str) -> bytes:
    fields = [*more, f"Content-Length: {len(body) if length is None else length}"]
    return "\r\n".join(["INFO sip:a@192.0.2.1 SIP/2.0", "Call-ID: c", *fields, "", ""]).encode() + body


def decode(*chunks: bytes) -> list[Frame]:
    decoder = StreamDecoder()
    return [frame for chunk in chunks for frame in decoder.feed(chunk)]


def test_messages_that_follow_one_another_are_told_apart() -> None:
    """RFC 3261 section 18.3."""
    first, second = message(b"abc\r\n\r\ndef"), message()
    assert decode(first + second + OPTIONS) == [Whole(first), Whole(second), Whole(OPTIONS)]


@pytest.mark.parametrize(
    "field", ["l: 3", "L:3", "content-length : 3", "CONTENT-LENGTH:  \r\n  3", "Content-Length: 003"]
)
def test_content_length_in_all_its_spellings(field: str) -> None:
    """RFC 3261 sections 7.3.1, 7.3.3 and 20.14."""
    data = f"INFO sip:a@192.0.2.1 SIP/2.0\r\n{field}\r\nSubject: x\r\n\r\nabc".encode()
    assert decode(data + OPTIONS) == [Whole(data), Whole(OPTIONS)]


@pytest.mark.parametrize("length", ["", "-1", "x", "1 2", "0x3", "1234567890", "3\r\nl: 3"])
def test_a_length_that_cannot_be_read_breaks_the_stream(length: str) -> None:
    data = message(b"", length)
    assert decode(data + OPTIONS) == [Broken(data, 400)]


def test_a_message_without_a_length_breaks_the_stream() -> None:
    """RFC 3261 section 20.14: with a stream-based transport it must be used."""
    data = b"INFO sip:a@192.0.2.1 SIP/2.0\r\nCall-ID: c\r\nX-Content-Length: 3\r\nSubject: a\n l: 3\r\n\r\n"
    [broken] = decode(data)
    assert broken == Broken(data, 400)
    assert isinstance(parse(data), Request)


@pytest.mark.parametrize("data", [b"\x16\x03\x01\x02\x00", b"\n\n", b"\rX", b"\0\0\0\0", b" INVITE", b"\r\n\xff"])
def test_what_is_no_sip_is_told_at_its_first_octet(data: bytes) -> None:
    """A TLS hello on a TCP port must not wait for the end of a header block."""
    assert decode(data) == [Broken(b"", 400)]


def test_nothing_is_read_after_a_break() -> None:
    decoder = StreamDecoder()
    assert len(decoder.feed(message(b"", "x"))) == 1
    assert decoder.feed(OPTIONS) == []
    assert not decoder.is_inside


def test_line_breaks_before_a_message_are_ignored_and_two_are_a_ping() -> None:
    """RFC 3261 section 7.5, RFC 5626 section 3.5.1."""
    assert decode(b"\r\n" + OPTIONS) == [Whole(OPTIONS)]
    assert decode(PING) == [Ping()]
    assert decode(b"\r", b"\n", b"\r", b"\n") == [Ping()]
    assert decode(OPTIONS + PING + PING + OPTIONS) == [Whole(OPTIONS), Ping(), Ping(), Whole(OPTIONS)]
    assert decode(b"\r\n" + OPTIONS + b"\r\n" + OPTIONS) == [Whole(OPTIONS), Whole(OPTIONS)]
    assert decode(b"\r\n\r\n\r\n" + OPTIONS + b"\r\n") == [Ping(), Whole(OPTIONS)]


def test_a_header_block_is_bounded() -> None:
    """The start of it still tells whom to answer."""
    endless = b"INFO sip:a@192.0.2.1 SIP/2.0\r\nCall-ID: c\r\n" + b"X: y\r\n" * 10_000
    [broken] = decode(endless)
    assert isinstance(broken, Broken)
    assert broken.status == 513
    assert MAX_HEAD < len(broken.head) <= MAX_HEAD + 6
    assert parse(broken.head).call_id == "c"


def test_the_longest_header_block_and_one_octet_more() -> None:
    start = b"INFO sip:a@192.0.2.1 SIP/2.0\r\nl: 0\r\nX: "
    fits = start + b"x" * (MAX_HEAD - len(start)) + PING
    assert decode(fits) == [Whole(fits)]
    [broken] = decode(start + b"x" * (MAX_HEAD - len(start) + 1) + PING)
    assert isinstance(broken, Broken) and broken.status == 513


def test_a_body_is_bounded() -> None:
    head = len(message(b"", "60000"))
    whole = message(b"x" * (MAX_MESSAGE - head))
    assert decode(whole) == [Whole(whole)]
    [broken] = decode(message(b"", str(MAX_MESSAGE - head + 1)))
    assert isinstance(broken, Broken) and broken.status == 513


def test_a_message_that_does_not_end_can_be_given_up() -> None:
    """RFC 4475 clerr: the head tells whom to answer."""
    decoder = StreamDecoder()
    data = message(b"abc", "9999")
    assert decoder.feed(data) == []
    assert decoder.is_inside
    assert decoder.give_up() == Broken(data[:-3], 400)
    assert decoder.feed(OPTIONS) == []
    half = StreamDecoder()
    half.feed(OPTIONS[:50])
    assert half.give_up() == Broken(b"", 400)


PIECES = st.sampled_from(
    [
        OPTIONS, message(b"body"), message(b"\r\n\r\n"), message(b"", None, "l2: 7", "Subject: a\r\n b"), PING, b"\r\n",
        b"\r", b"\n", b"SIP/2.0 200 OK\r\nl:2\r\n\r\nok", message(b"", "x"), message(b"zz", "9"), b"INVITE ", b"\x16",
        b"Content-Length: 4\r\n", b"\r\n\t1\r\n",
    ]
)  # fmt: skip
STREAMS = st.lists(st.one_of(PIECES, st.binary(max_size=30)), max_size=12).map(b"".join)


@given(STREAMS, st.lists(st.integers(1, 60), max_size=40))
@settings(max_examples=300, deadline=None)
def test_any_chunking_gives_the_same_frames(stream: bytes, sizes: list[int]) -> None:
    chunks, at = [], 0
    for size in sizes:
        chunks.append(stream[at : at + size])
        at += size
    chunks.append(stream[at:])
    assert decode(*chunks) == decode(stream)


@given(st.binary(max_size=400), st.lists(st.sampled_from([OPTIONS, message(b"x" * 50)]), max_size=4))
@settings(max_examples=200, deadline=None)
def test_octet_by_octet_gives_the_same_frames(noise: bytes, messages: list[bytes]) -> None:
    stream = b"".join(messages) + noise
    frames = decode(*(stream[i : i + 1] for i in range(len(stream))))
    assert frames == decode(stream)
    assert [frame for frame in frames if isinstance(frame, Whole)][: len(messages)] == [Whole(m) for m in messages]


def test_what_waits_is_bounded() -> None:
    decoder = StreamDecoder()
    decoder.feed(message(b"", str(MAX_MESSAGE - 200)))
    decoder.feed(b"x" * (MAX_MESSAGE - 400))
    assert len(decoder._buffer) <= MAX_BUFFERED
    assert isinstance(decoder.feed(b"x" * 200 + OPTIONS)[0], Whole)
    assert len(decoder._buffer) <= MAX_BUFFERED
