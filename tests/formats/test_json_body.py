"""JSON with documents in it that comes in pieces: the same as if it had come at once, in bounded memory."""

from __future__ import annotations

import base64
import json
import os
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faxgw.formats import json_body
from faxgw.formats.json_body import LONG_STRING, BadJson, Base64Stream, JsonBody, decode_base64, parse_json


def feed(text: bytes, *cuts: int) -> tuple[JsonBody, dict[int, bytes]]:
    """The body after all of it came, cut at these places; what its long strings decode to."""
    body = JsonBody("nonce")
    found: dict[int, bytes] = {}
    for begin, end in zip((0, *cuts), (*cuts, len(text)), strict=True):
        for number, octets in body.feed(text[begin:end]):
            found[number] = found.get(number, b"") + octets
    return body, found


def cuts(length: int, count: int, seed: int) -> list[int]:
    chosen = random.Random(seed)
    return sorted(chosen.randrange(length) for _ in range(count))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("slashes", [False, True])
def test_long_strings_are_taken_out_wherever_the_pieces_end(seed: int, slashes: bool) -> None:
    documents = [os.urandom(LONG_STRING + 10_000 * n) for n in range(3)]
    value: dict[str, Any] = {"a\\": ['say "x" \\', "é", 1, None]}
    value |= {f"d{n}": base64.b64encode(octets).decode() for n, octets in enumerate(documents)}
    value["short"] = base64.b64encode(b"short").decode()
    text = json.dumps(value)
    octets = (text.replace("/", "\\/") if slashes else text).encode()
    body, found = feed(octets, *cuts(len(octets), 50, seed))
    parsed = body.finish()
    assert [found[n] for n in range(3)] == documents
    for n in range(3):
        blob = body.blob_of(parsed[f"d{n}"])
        assert blob is not None and blob.number == n
    assert parsed["a\\"] == value["a\\"] and parsed["short"] == value["short"]
    assert body.blob_of("blob nonce 0") is None and body.blob_of(1) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(json_values, st.booleans(), st.integers(0, 1_000))
def test_a_text_without_long_strings_is_itself(value: Any, ascii_only: bool, seed: int) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only).encode(errors="replace")
    body, found = feed(text, *cuts(len(text), 5, seed))
    assert found == {}
    assert body.finish() == json.loads(text)


def test_one_octet_at_a_time_is_enough() -> None:
    document = os.urandom(LONG_STRING)
    text = json.dumps({"data": base64.b64encode(document).decode()}).replace("+", "\\u002b").encode()
    body, found = feed(text, *range(1, len(text)))
    assert found == {0: document}
    assert body.blob_of(body.finish()["data"]) is not None


def test_memory_holds_the_text_without_its_long_strings() -> None:
    body = JsonBody("n")
    body.feed(b'{"data": "')
    for _ in range(500):
        body.feed(b"A" * 10_000)
    assert len(body._text) < 2 * LONG_STRING


@pytest.mark.parametrize("tail", [b"*", b'\\"', b"\\x", b"A=A", b"\\u00e9", "é".encode()])
def test_a_long_string_that_is_no_base64_is_refused(tail: bytes) -> None:
    with pytest.raises(BadJson):
        feed(b'{"d": "' + b"A" * (LONG_STRING + 4) + tail + b'AAAA"}', 70_000)[0].finish()


def test_a_text_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_body, "MAX_TEXT", 100_000)
    with pytest.raises(BadJson):
        feed(b"[" + b'"' + b"x" * 60_000 + b'","' + b"x" * 60_000 + b'"]')


@pytest.mark.parametrize("length", range(9))
def test_base64_in_both_alphabets_padded_or_not(length: int) -> None:
    """RFC 4648 sections 4 and 5."""
    octets = bytes(range(256 - length, 256))
    for text in (base64.b64encode(octets), base64.urlsafe_b64encode(octets), base64.encodebytes(octets)):
        assert decode_base64(text.decode()) == decode_base64(text.decode().rstrip("=\n")) == octets
        stream = Base64Stream()
        assert b"".join([*(stream.feed(text[n : n + 1]) for n in range(len(text))), stream.finish()]) == octets


@pytest.mark.parametrize("text", ["A", "AB=C", "AA==AA==", "====", "AB*=", "é", "AAAA="])
def test_what_is_no_base64_is_refused(text: str) -> None:
    with pytest.raises(BadJson):
        decode_base64(text)


@pytest.mark.parametrize("text", [b"", b"{", b"NaN", b"[Infinity]", b"\xff", b"[" * 100_000, b"1" * 5_000, b"{} x"])
def test_what_is_no_json_is_refused(text: bytes) -> None:
    with pytest.raises(BadJson):
        parse_json(text)


def test_a_byte_order_mark_is_taken() -> None:
    assert parse_json(b"\xef\xbb\xbf{}") == {}


@pytest.mark.parametrize("seed", range(10))
def test_thousands_of_short_strings_arrive_as_they_were_sent(seed: int) -> None:
    """Whole strings are passed together; those with escapes, long ones and those cut in two are among them."""
    chance = random.Random(seed)
    texts = ["", "Ann", 'say "x"', "back\\slash", "é\u2028", "\\" * 300, "y" * 999, "y" * 1_001, "z" * 5_000]
    value = [{chance.choice(texts): chance.choice(texts), "n": chance.choice(texts)} for _ in range(2_000)]
    octets = json.dumps(value, ensure_ascii=bool(seed % 2)).encode()
    body, found = feed(octets, *cuts(len(octets), 40, seed))
    assert body.finish() == value
    assert found == {}
