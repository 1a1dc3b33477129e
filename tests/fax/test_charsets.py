"""Octets to characters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faxgw.fax import charsets


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


def iso_2022_jp(said: str) -> bytes:
    """As Outlook writes it: the rows of Windows in ISO-2022-JP."""
    made, shifted = bytearray(), b"(B"
    for character in said:
        octets = character.encode("cp932")
        if len(octets) == 1:
            wanted = b"(B" if octets[0] < 0x80 else b"(I"
            octets = bytes((octets[0] & 0x7F,))
        else:
            wanted = b"$B"
            lead, trail = octets[0] - (0x81 if octets[0] < 0xA0 else 0xC1), octets[1]
            second = trail >= 0x9F
            octets = bytes((lead * 2 + 0x21 + second, trail - (0x7E if second else 0x20 if trail >= 0x80 else 0x1F)))
        made += (b"\x1b" + wanted if wanted != shifted else b"") + octets
        shifted = wanted
    return bytes(made) + (b"\x1b(B" if shifted != b"(B" else b"")


@pytest.mark.parametrize("said", ["見積書 ①②㈱山田商事 髙橋様 Ⅲ\r\nﾊﾝｶｸ ok", "いつも。\r\n①", "株式会社ａｂｃ", "①"])
def test_japanese_with_the_rows_of_windows_is_read(said: str) -> None:
    """What Japanese senders call ISO-2022-JP, EUC-JP or Shift_JIS has circled digits and company marks."""
    assert charsets.decode(iso_2022_jp(said), "iso-2022-jp") == said
    assert charsets.decode(said.encode("cp932"), "Shift_JIS") == said
    euc = b"".join(
        bytes(each | 0x80 for each in jis[3:5]) if len(jis := iso_2022_jp(c)) > 6 and jis[1:3] == b"$B"
        else b"\x8e" + c.encode("cp932") if jis[:1] == b"\x1b" else c.encode("ascii")
        for c in said
    )  # fmt: skip
    assert charsets.decode(euc, "EUC-JP") == said


def test_japanese_of_the_standards_stays_what_it_is() -> None:
    said = "日本語のテキスト、丂丄（補助漢字）"
    assert charsets.decode(said.encode("iso2022_jp_ext"), "iso-2022-jp") == said
    assert charsets.decode(said.encode("euc_jp"), "euc-jp") == said
    mixed = b"\x1b$(D\x30\x21\x1b(B " + iso_2022_jp("①")
    assert charsets.decode(mixed, "iso-2022-jp") == "丂 ①"


@pytest.mark.parametrize(
    ("said", "codec", "charset"),
    [
        ("안녕하세요 똠방각하 펲시", "cp949", "ks_c_5601-1987"),
        ("안녕하세요 똠방각하", "cp949", "EUC-KR"),
        ("安徽 镕基 發票 €", "gb18030", "gb2312"),
        ("電子發票 香港 嘅", "big5hkscs", "Big5"),
        ("สวัสดีครับ €", "cp874", "TIS-620"),
        ("שלום", "iso-8859-8", "iso-8859-8-i"),
        ("İstanbul €", "cp1254", "iso-8859-9"),
        ("Grüße – 5 €", "utf-7", "utf-7"),
        ("Café", "mac-roman", "macintosh"),
    ],
)
def test_charsets_go_by_the_names_and_letters_that_senders_use(said: str, codec: str, charset: str) -> None:
    assert charsets.decode(said.encode(codec), charset) == said


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


@given(
    data=st.binary(max_size=200),
    charset=st.sampled_from([None, "utf-8", "utf-16", "koi8-r", "big5", "iso-2022-jp", "euc-jp", "utf-7", "hz", "x"]),
)
def test_any_octets_are_read(data: bytes, charset: str | None) -> None:
    assert isinstance(charsets.decode(data, charset), str)
