"""Octets to characters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faxgw.document import charsets


@pytest.mark.parametrize(
    ("data", "charset", "said"),
    [
        ("Grüße €".encode(), None, "Grüße €"),
        ("Grüße €".encode("cp1252"), None, "Grüße €"),
        ("Grüße".encode("iso-8859-1"), "ISO-8859-1", "Grüße"),
        ("Grüße €".encode("utf-16"), None, "Grüße €"),
        ("Grüße".encode("utf-16-be"), "UTF-16BE", "Grüße"),
        ("\ufeffGrüße".encode(), "us-ascii", "Grüße"),
        ("Привет".encode("koi8-r"), "koi8-r", "Привет"),
        ("日本".encode("shift_jis"), "Shift_JIS", "日本"),
        ("Grüße".encode(), "unknown-charset", "Grüße"),
        ("Grüße".encode(), "idna", "Grüße"),
        ("Grüße".encode() + b"\xff", "utf-8", "Grüße\ufffd"),
        (b"", "utf-8", ""),
    ],
)
def test_texts_are_read_in_their_charset(data: bytes, charset: str | None, said: str) -> None:
    assert charsets.decode(data, charset) == said


@pytest.mark.parametrize(
    ("charset", "said"),
    [
        ("us-ascii", "Total: 12.50 EUR, thanks & regards"),
        ("utf-8", "Grüße, señor €, Žluťoučký, Привет, שלום, 你好"),
        ("utf-16", "Grüße, señor €, Žluťoučký, Привет, שלום, 你好"),
        ("iso-8859-1", "Grüße, señor, façade"),
        ("iso-8859-15", "Grüße, señor, 20 €, œuvre"),
        ("windows-1252", "Grüße – “20 €” …"),
        ("koi8-r", "Привет, мир"),
    ],
)
def test_the_seven_charsets_of_texts(charset: str, said: str) -> None:
    """Feature C1."""
    assert charsets.decode(said.encode(charset), charset) == said


@pytest.mark.parametrize(
    "said", ["Grüße an alle\r\n", "שלום עולם", "مرحبا بالعالم", "你好，世界\n再见", "日本語 テキスト", "a 😀"]
)
@pytest.mark.parametrize("order", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("declared", [None, "utf-16", "us-ascii"])
def test_utf_16_without_a_mark_is_read_in_either_order(said: str, order: str, declared: str | None) -> None:
    assert charsets.utf16_of(said.encode(order)) == order
    assert charsets.decode(said.encode(order), declared) == said
    long = (said + " ") * 5_000
    assert charsets.decode(long.encode(order), declared) == long


@pytest.mark.parametrize(
    "data", [b"", b"\0" * 100, bytes(range(256)) * 4, b"\x01\0\x02\0\x03\0", b"\0\x01\0\x02\x20", b"text\0\0\0\0\0\0"]
)
def test_octets_with_zeros_are_not_taken_for_a_text(data: bytes) -> None:
    assert charsets.utf16_of(data) is None


def test_a_charset_that_lies_is_not_believed() -> None:
    assert charsets.decode("Grüße aus Köln".encode(), "iso-8859-1") == "Grüße aus Köln"
    assert charsets.decode("Grüße aus Köln".encode("cp1252"), "utf-8") == "Grüße aus Köln"
    assert charsets.decode("Grüße".encode("cp1252"), "us-ascii") == "Grüße"


@given(data=st.binary(max_size=200), charset=st.sampled_from([None, "utf-8", "utf-16", "koi8-r", "big5", "x"]))
def test_any_octets_are_read(data: bytes, charset: str | None) -> None:
    assert isinstance(charsets.decode(data, charset), str)
