"""Faces that a PDF does not bring."""

from __future__ import annotations

import ctypes
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageFont

from faxgw.document import bitmap, pdf
from faxgw.document.fit import Target
from faxgw.document.pdf_fonts import FOLDER, SystemFonts

FONTS = SystemFonts()


def name_of(handle: int) -> bytes:
    buffer = ctypes.create_string_buffer(64)
    assert FONTS._name(None, handle, buffer, 64) > 0
    return buffer.value


@pytest.mark.parametrize(
    ("face", "weight", "italic", "expected"),
    [
        (b"Helvetica", 400, False, b"LiberationSans-Regular"),
        (b"Helvetica", 700, False, b"LiberationSans-Bold"),
        (b"Arial", 400, True, b"LiberationSans-Italic"),
        (b"Arial,Bold", 400, False, b"LiberationSans-Bold"),
        (b"ArialMT", 400, False, b"LiberationSans-Regular"),
        (b"Times-Roman", 400, False, b"LiberationSerif-Regular"),
        (b"TimesNewRomanPS-BoldItalicMT", 400, False, b"LiberationSerif-BoldItalic"),
        (b"Times New Roman", 400, False, b"LiberationSerif-Regular"),
        (b"Courier New", 700, True, b"LiberationMono-BoldItalic"),
        (b"Courier-Oblique", 400, False, b"LiberationMono-Italic"),
    ],
)
def test_the_faces_of_every_office_have_one_of_the_same_widths(
    face: bytes, weight: int, italic: bool, expected: bytes
) -> None:
    assert name_of(FONTS.handle_of(face, weight, italic)) == expected


@pytest.mark.parametrize(
    "face", [b"", b"Symbol", b"ZapfDingbats", b"Arial Narrow", b"ArialBlack", b"Comic Sans MS", b"\xff"]
)
def test_others_are_left_to_pdfium(face: bytes) -> None:
    assert FONTS.handle_of(face, 400, False) == 0


def test_a_table_is_given_by_its_tag_and_the_file_by_none() -> None:
    handle = FONTS.handle_of(b"Arial", 400, False)
    data = (FOLDER / "LiberationSans-Regular.ttf").read_bytes()
    (head,) = struct.unpack(">I", b"head")
    length = FONTS._data(None, handle, head, None, 0)
    buffer = ctypes.create_string_buffer(length)
    assert FONTS._data(None, handle, head, buffer, length) == length == 54
    assert buffer.raw[12:16] == bytes.fromhex("5f0f3cf5")  # OpenType: the magic number of `head`
    assert FONTS._data(None, handle, 0, None, 0) == len(data)
    assert FONTS._data(None, handle, 0x74746366, None, 0) == 0  # it is no collection
    assert FONTS._data(None, handle, head, buffer, 10) == length  # too small: nothing is written beyond it
    assert FONTS._data(None, 0, head, None, 0) == FONTS._data(None, 99, head, None, 0) == 0


def test_without_the_files_nothing_is_offered(tmp_path: Path) -> None:
    assert SystemFonts(tmp_path).handle_of(b"Arial", 400, False) == 0


def test_pdfium_draws_with_them() -> None:
    """The sample page has four faces and brings none: its lines are those of Liberation, letter for letter."""
    (_page, bits), *_ = pdf.pages(pdf.sample(), "sample.pdf", Target())
    seen = bitmap.unpack(bits)
    rows = np.flatnonzero(seen.any(axis=1))
    lines = np.split(rows, np.flatnonzero(np.diff(rows) > 3) + 1)
    widths = [int(np.flatnonzero(seen[line].any(axis=0))[[0, -1]] @ (-1, 1)) for line in lines if len(line) > 8]
    assert len(widths) == 4
    text, scale = "The quick brown fox, 0123456789", 10 * 204 / 72
    for face, width in zip(("Sans-Regular", "Sans-Bold", "Serif-Regular", "Serif-Bold"), widths, strict=True):
        font = ImageFont.truetype(str(FOLDER / f"Liberation{face}.ttf"), 1000)
        assert width == pytest.approx(font.getlength(text) / 1000 * scale, rel=0.02)
