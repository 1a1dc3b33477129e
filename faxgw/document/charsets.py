"""Octets to characters: the charsets of texts, mails and mark-up (page process only).

A byte order mark decides, then UTF-16 that shows by its own, then the declared charset if it is one of those we know,
then UTF-8 if the octets are UTF-8, else Windows-1252. A charset that is declared and wrong is not believed where the
octets prove it: UTF-8 declared as Latin, Latin declared as UTF-8.
"""

from __future__ import annotations

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
        *(f"iso-8859-{n}" for n in (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16)),
        *(f"windows-{n}" for n in (1250, 1251, 1253, 1254, 1255, 1256, 1257, 1258)),
        *("koi8-r", "koi8-u", "gb2312", "gbk", "gb18030", "big5", "shift_jis", "euc-jp", "iso-2022-jp", "euc-kr"),
        *("cp437", "cp850", "cp852", "cp866", "mac-roman"),
    )
}
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
    return data.decode(codec or "utf-8", "replace")


def codec_of(charset: str | None) -> str | None:
    """Python's name of a declared charset; None if it is none of those we know."""
    name = (charset or "").strip().strip("\"'").lower().replace("_", "-").replace("shift-jis", "shift_jis")
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
