"""Which writing a text is in, and whether a font is there that has its characters (page process only).

Fontconfig is asked once, in the template, which characters all installed fonts have together. Of what no font has,
letters refuse the document by name, for it could not be read; symbols are written out: "[unicorn face]".
"""

from __future__ import annotations

import ctypes
import re
import unicodedata
from functools import cache

from faxgw.document import fonts, refusal

MAX_NAMED = 5
"""Characters that a refusal names."""

_SIMPLE_ABOVE = 0x590
"""Below Hebrew lie Latin, Greek, Cyrillic and Armenian, whose letters stand one beside the other."""
_SHAPED = ((0x590, 0x10FF), (0x1700, 0x1CFF), (0xA800, 0xABFF), (0xFB1D, 0xFDFF), (0xFE70, 0xFEFE), (0x10800, 0x1EFFF))
"""Blocks of writings that run from right to left, join, stack or reorder their letters (Unicode chapter 2.11)."""
_NUMBERED = re.compile(r"&#(?:x([0-9a-f]{2,6})|([0-9]{3,7}));", re.I)
_FIRST_FLAG, _LAST_FLAG = 0x1F1E6, 0x1F1FF
"""Regional indicator symbols: two make a flag."""
_SILENT = frozenset(("Cc", "Cf", "Cs", "Mn", "Me", "Sk", "Zl", "Zp", "Zs"))
"""Categories of what is nothing by itself: formats, marks, modifiers, blanks."""


class _FontSet(ctypes.Structure):
    """FcFontSet of fontconfig.h."""

    _fields_ = (("count", ctypes.c_int), ("size", ctypes.c_int), ("fonts", ctypes.POINTER(ctypes.c_void_p)))


class Coverage:
    """The characters of some fonts.

    Args:
        path: A font file; none: all installed fonts.
    """

    def __init__(self, path: str = "") -> None:
        self._library = library = ctypes.CDLL("libfontconfig.so.1")
        for name in ("FcCharSetCreate", "FcPatternCreate", "FcObjectSetCreate", "FcFreeTypeQuery"):
            getattr(library, name).restype = ctypes.c_void_p
        library.FcFontList.restype = ctypes.POINTER(_FontSet)
        self._set = ctypes.c_void_p(library.FcCharSetCreate())
        if path:
            count = ctypes.c_int()
            self._add(ctypes.c_void_p(library.FcFreeTypeQuery(path.encode(), 0, None, ctypes.byref(count))))
            return
        asked = ctypes.c_void_p(library.FcObjectSetCreate())
        library.FcObjectSetAdd(asked, b"charset")
        found = library.FcFontList(None, ctypes.c_void_p(library.FcPatternCreate()), asked).contents
        for index in range(found.count):
            self._add(ctypes.c_void_p(found.fonts[index]))

    def __contains__(self, character: str) -> bool:
        return bool(self._library.FcCharSetHasChar(self._set, ord(character)))

    def _add(self, font: ctypes.c_void_p) -> None:
        characters, changed = ctypes.c_void_p(), ctypes.c_int()
        if font.value and not self._library.FcPatternGetCharSet(font, b"charset", 0, ctypes.byref(characters)):
            self._library.FcCharSetMerge(self._set, characters, ctypes.byref(changed))


@cache
def installed() -> Coverage:
    """What all fonts together have."""
    return Coverage()


@cache
def monospaced() -> Coverage:
    """What the font of plain texts has."""
    return Coverage(str(fonts.load(fonts.MONOSPACED, fonts.SAMPLE_PX).path))


def is_simple(text: str) -> bool:
    """True for a text that can be written one character beside the other, in the font of plain texts."""
    return all(ord(each) < _SIMPLE_ABOVE or _is_simple(each) for each in set(text)) and not any(
        each not in monospaced() for each in set(text) if not _is_silent(each)
    )


def is_right_to_left(line: str) -> bool:
    """The direction of a line by its first letter that has one (UAX 9, P2 and P3)."""
    for each in line:
        direction = unicodedata.bidirectional(each)
        if direction in ("L", "R", "AL"):
            return direction != "L"
    return False


def printable(text: str, name: str) -> str:
    """A text with symbols written out that no font has.

    Args:
        text: The text.
        name: For refusals.

    Raises:
        DocumentRefused: If no font has its letters.
    """
    missing = [each for each in sorted(set(text)) if each > "\x7f" and each not in installed()]
    if not missing:
        return text
    written = {ord(each): _written(each) for each in missing}
    letters = [chr(code) for code, said in written.items() if said is None]
    if letters:
        raise refusal.no_font(name, letters[:MAX_NAMED], len(letters))
    return text.translate({code: said or "" for code, said in written.items()})


def printable_markup(markup: str, name: str) -> str:
    """As `printable`, of HTML: characters given by their number are looked at, too.

    Raises:
        DocumentRefused: If no font has its letters.
    """
    return printable(_NUMBERED.sub(_numbered, markup), name)


def _numbered(match: re.Match[str]) -> str:
    code = int(match[1], 16) if match[1] else int(match[2])
    return chr(code) if 0x100 <= code <= 0x10FFFF and not 0xD800 <= code < 0xE000 else match[0]


def _written(character: str) -> str | None:
    """What stands for a character that no font has; None for a letter."""
    simpler = unicodedata.normalize("NFKC", character)
    if simpler != character and all(each in installed() for each in simpler):
        return simpler
    category = unicodedata.category(character)
    if _is_silent(character):
        return ""
    if _FIRST_FLAG <= ord(character) <= _LAST_FLAG:
        return chr(ord("A") + ord(character) - _FIRST_FLAG)
    if category[0] in "LN":
        return None
    return f"[{unicodedata.name(character, 'unknown sign').lower()}]"


def _is_simple(character: str) -> bool:
    return not any(first <= ord(character) <= last for first, last in _SHAPED)


def _is_silent(character: str) -> bool:
    return unicodedata.category(character) in _SILENT
