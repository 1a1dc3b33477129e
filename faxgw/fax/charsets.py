"""Octets to characters: the charsets of texts, mails and mark-up.

A byte order mark decides, then UTF-16 that shows by its own, then the declared charset if it is one of those we know,
then UTF-8 if the octets are UTF-8, else Windows-1252. A charset that is declared and wrong is not believed where the
octets prove it: UTF-8 declared as Latin, Latin declared as UTF-8.
"""

from __future__ import annotations

import re
import unicodedata

SAMPLE = 8_192
"""Octets at the start that are looked at for UTF-16 without a byte order mark."""
MAX_STRANGE = 0.02
"""Part of the characters of a text that may be controls, or no characters at all."""
MIN_PLAIN = 0.03
"""Part of the characters of a text in UTF-16 that are blanks, line ends or ASCII."""

_CHARSETS = {
    "us-ascii": "cp1252",  # senders who declare it and use octets above 127 mean this
    "ascii": "cp1252",
    "ansi_x3.4-1968": "cp1252",
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "utf-16": "utf-16-be",  # without a byte order mark it is big-endian (RFC 2781 section 4.3)
    "utf-16be": "utf-16-be",
    "utf-16le": "utf-16-le",
    "iso-8859-1": "cp1252",  # as the WHATWG encoding standard does
    "latin1": "cp1252",
    "windows-1252": "cp1252",
    "cp1252": "cp1252",
} | {
    name: name
    for name in (
        *(f"iso-8859-{n}" for n in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)),
        *(f"windows-{n}" for n in (1250, 1251, 1253, 1254, 1255, 1256, 1257, 1258)),
        *(f"cp{n}" for n in (437, 850, 852, 866, 874, 932, 949)),
        *("koi8-r", "koi8-u", "mac-roman", "gb18030", "big5hkscs", "utf-7", "hz"),
    )
}
_BY_CODEC = {
    "windows-1254": "iso-8859-9",
    "iso-8859-8": "iso-8859-8-i iso-8859-8-e",
    "cp874": "tis-620 iso-8859-11 windows-874",
    "mac-roman": "macintosh x-mac-roman",
    "cp932": "shift-jis sjis x-sjis ms-kanji ms932 windows-31j windows-932",
    "iso-2022-jp": "iso-2022-jp csiso2022jp iso-2022-jp-1 iso-2022-jp-2 iso-2022-jp-ms cp50220 cp50221 cp50222",
    "euc-jp": "euc-jp x-euc-jp x-euc eucjp eucjp-ms cp51932",
    "cp949": "euc-kr ks-c-5601-1987 ks-c-5601-1989 ksc5601 ksc-5601 korean uhc windows-949",
    "iso2022_kr": "iso-2022-kr",
    "gb18030": "gb2312 gbk x-gbk gb-2312-80 chinese cp936 windows-936",
    "hz": "hz-gb-2312",
    "big5hkscs": "big5 big5-hkscs cn-big5 x-x-big5 cp950 windows-950",
    "utf-7": "unicode-1-1-utf-7",
}
"""Other names of a codec, and names of charsets that it holds. Senders who declare Shift_JIS, GB 2312, KS C 5601 or
Big5 use what Windows has beyond them, as the WHATWG encoding standard knows."""
_CHARSETS |= {name: codec for codec, names in _BY_CODEC.items() for name in names.split()}
_JIS = {"iso-2022-jp": "iso2022_jp_ext", "euc-jp": "euc_jp"}
"""Charsets in which Japanese senders use rows of Windows that the standards do not have (①, ㈱, 髙)."""
_JIS_PIECES = re.compile(rb"\x1b(\([BJIH]|\$[@B]|\$\([@BD])([^\x1b]*)")
_EUC_PIECES = re.compile(rb"([\xa1-\xfe]{2})|\x8e([\xa1-\xdf])|(\x8f[\xa1-\xfe]{2})|(.)", re.DOTALL)
_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_SURROGATES = range(0xD8, 0xE0)
_PLAIN = frozenset("\t\n\r\f" + "".join(map(chr, range(32, 127))))
_STRANGE = frozenset(("Cc", "Cn", "Co", "Cs"))


def decode(data: bytes, charset: str | None) -> str:
    """Octets to characters; never fails, undecodable octets become U+FFFD."""
    for mark, name in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(name, "replace")
    wide = utf16_of(data)
    if wide is not None:
        return data.decode(wide, "replace")
    codec = codec_of(charset)
    if codec in (None, "utf-8", "cp1252"):
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            return data.decode("utf-8" if codec == "utf-8" and _mostly_utf8(data) else "cp1252", "replace")
    return _japanese(data, codec) if codec in _JIS else data.decode(codec or "utf-8", "replace")


def _japanese(data: bytes, charset: str) -> str:
    """By the standard if the octets are of it, else with the rows that Windows has besides (NEC's and IBM's)."""
    try:
        return data.decode(_JIS[charset])
    except UnicodeDecodeError:
        pass
    if charset == "euc-jp":
        return "".join(_euc_piece(match) for match in _EUC_PIECES.finditer(data))
    start = data.partition(b"\x1b")[0]
    rest = data[len(start) :]
    pieces = [_iso_2022_piece(match) for match in _JIS_PIECES.finditer(rest)]
    return start.decode("ascii", "replace") + "".join(pieces)


def _iso_2022_piece(match: re.Match[bytes]) -> str:
    """What stands behind one escape sequence (RFC 1468)."""
    escape, octets = match[1], match[2]
    if escape in (b"$@", b"$B", b"$(@", b"$(B"):
        return _rows(octets)
    if escape == b"$(D":
        return (b"\x1b$(D" + octets + b"\x1b(B").decode("iso2022_jp_ext", "replace")
    if escape == b"(I":
        return bytes(each | 0x80 if 0x21 <= each < 0x60 else each for each in octets).decode("cp932", "replace")
    return octets.decode("ascii", "replace")


def _euc_piece(match: re.Match[bytes]) -> str:
    if match[1]:
        return _rows(bytes(each & 0x7F for each in match[1]))
    if match[2]:
        return match[2].decode("cp932", "replace")
    return match[0].decode("euc_jp", "replace")


def _rows(octets: bytes) -> str:
    """Characters of JIS X 0208 and of what Windows has in its empty rows; line ends stand as they are."""
    out = bytearray()
    at = 0
    while at < len(octets):
        row, cell = octets[at], octets[at + 1] if at + 1 < len(octets) else 0
        if row < 0x21 or cell < 0x21:
            out.append(row if row < 0x21 else 0x3F)
            at += 1
            continue
        lead = (row - 0x21) // 2 + 0x81
        trail = cell + 0x7E if row % 2 == 0 else cell + (0x1F if cell < 0x60 else 0x20)
        out += bytes((lead if lead < 0xA0 else lead + 0x40, trail))
        at += 2
    return out.decode("cp932", "replace")


def codec_of(charset: str | None) -> str | None:
    """Python's name of a declared charset; None if it is none of those we know."""
    name = (charset or "").strip().strip("\"'").lower().replace("_", "-")
    return _CHARSETS.get(name)


def utf16_of(data: bytes) -> str | None:
    """The octet order of a text in UTF-16 without a byte order mark; None if it is no such text.

    Such a text has a zero octet in each blank and line end, which no text of another charset has. Read in the wrong
    order those blanks are something else, and many characters are none.
    """
    sample = data[: min(SAMPLE, len(data) & ~1)]
    if b"\0" not in sample:
        return None
    if sample[-2:] and len(sample) < len(data):  # not to end between the halves of a pair
        sample = sample[: -2 if sample[-2] in _SURROGATES or sample[-1] in _SURROGATES else None]
    best, order = 0.0, None
    for name in ("utf-16-le", "utf-16-be"):
        try:
            found = sample.decode(name)
        except UnicodeDecodeError:
            continue
        plain = sum(character in _PLAIN for character in found) / len(found)
        strange = sum(unicodedata.category(each) in _STRANGE and each not in _PLAIN for each in found) / len(found)
        if strange <= MAX_STRANGE and plain >= MIN_PLAIN and plain > best:
            best, order = plain, name
    return order


def _mostly_utf8(data: bytes) -> bool:
    """Whether octets declared as UTF-8 that are not are damaged UTF-8, and not an old charset under a wrong name."""
    read = data.decode("utf-8", "replace")
    wrong = read.count("\ufffd")
    return sum(ord(character) > 127 for character in read) - wrong >= wrong or wrong * 100 <= len(read)
