"""Faces for PDF files that bring none: Liberation in place of Helvetica, Arial, Times and Courier (page process only).

PDF readers must know fourteen standard faces (PDF 1.7 section 9.6.2.2), and much software writes Arial and Times New
Roman without embedding them. PDFium's own substitutes are drawn unhinted and read badly at 98 rows per inch: at 8
points Tesseract misread 0.33 % of the characters, with Liberation, which has the same widths, 0.05 %. The files are
read once, in the template: a child opens none. Faces that we have not are PDFium's business, as before.
"""

from __future__ import annotations

import ctypes
import re
import struct
from pathlib import Path
from typing import Any, Final

import pypdfium2.raw as pdfium

FOLDER: Final = Path("/usr/share/fonts/truetype/liberation")
"""Where Debian's fonts-liberation puts them."""
BOLD: Final = 600
"""Weight from which a face is bold."""
MAX_NAME: Final = 128
"""Octets of a face's name that are looked at."""

_FAMILIES: Final = (
    (re.compile(rb"^(helvetica|arial)(?!.*(narrow|condensed|black))"), "Sans"),
    (re.compile(rb"^times"), "Serif"),
    (re.compile(rb"^courier"), "Mono"),
)
_TYPES: Final = dict(pdfium.FPDF_SYSFONTINFO._fields_)


class _Face:
    """One font file in memory."""

    def __init__(self, data: bytes, name: str) -> None:
        self.data = data
        self.name = name.encode("ascii") + b"\0"
        self._tables: dict[int, tuple[int, int]] = {}
        for index in range(struct.unpack_from(">H", data, 4)[0]):  # OpenType table directory
            tag, _checksum, offset, length = struct.unpack_from(">IIII", data, 12 + 16 * index)
            self._tables[tag] = (offset, length)

    def table(self, tag: int) -> bytes:
        """A table by its tag; the whole file for 0, nothing for one that is not there."""
        if tag == 0:
            return self.data
        offset, length = self._tables.get(tag, (0, 0))
        return self.data[offset : offset + length]


class SystemFonts:
    """What PDFium asks when a document has no face of its own (fpdf_sysfontinfo.h).

    Args:
        folder: Where the files are; those that are missing are not offered.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        self._faces: list[_Face] = []
        self._handles: dict[tuple[str, bool, bool], int] = {}
        for family in ("Sans", "Serif", "Mono"):
            for style, bold, italic in (
                ("Regular", False, False),
                ("Bold", True, False),
                ("Italic", False, True),
                ("BoldItalic", True, True),
            ):
                path = folder / f"Liberation{family}-{style}.ttf"
                if path.is_file():
                    self._faces.append(_Face(path.read_bytes(), path.stem))
                    self._handles[family, bold, italic] = len(self._faces)
        self._info = pdfium.FPDF_SYSFONTINFO()
        self._info.version = 1
        self._info.MapFont = _TYPES["MapFont"](self._map)
        self._info.GetFontData = _TYPES["GetFontData"](self._data)
        self._info.GetFaceName = _TYPES["GetFaceName"](self._name)

    def install(self) -> None:
        """Let PDFium ask us from now on; this object must live as long as PDFium does."""
        pdfium.FPDF_SetSystemFontInfo(self._info)

    def handle_of(self, face: bytes, weight: int, italic: bool) -> int:
        """The handle of what stands in for a face; 0: nothing of ours.

        Args:
            face: Its PostScript or family name, such as `Arial,Bold`.
            weight: 400 is regular, 700 bold.
            italic: Slanted.
        """
        name = face.lower().replace(b" ", b"")
        bold = weight >= BOLD or b"bold" in name
        slanted = italic or b"italic" in name or b"oblique" in name
        for pattern, family in _FAMILIES:
            if pattern.match(name):
                return self._handles.get((family, bold, slanted), 0)
        return 0

    # PDFium's side. Nothing may be raised here: ctypes would print it and answer with whatever.

    def _map(self, _this: Any, weight: int, italic: int, _charset: int, _pitch: int, face: Any, _exact: Any) -> int:
        return self.handle_of(ctypes.string_at(face)[:MAX_NAME], weight, bool(italic)) if face else 0

    def _data(self, _this: Any, handle: int | None, tag: int, buffer: Any, size: int) -> int:
        if not handle or handle > len(self._faces):
            return 0
        table = self._faces[handle - 1].table(tag)
        if buffer and size >= len(table):
            ctypes.memmove(buffer, table, len(table))
        return len(table)

    def _name(self, _this: Any, handle: int | None, buffer: Any, size: int) -> int:
        if not handle or handle > len(self._faces):
            return 0
        name = self._faces[handle - 1].name
        if buffer and size >= len(name):
            ctypes.memmove(buffer, name, len(name))
        return len(name)
