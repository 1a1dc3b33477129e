"""The watermark of a page: which load, which page, in squares that survive a fax, and the mark of a duplicate.

A page is white but for ten columns by eight rows of squares, drawn on the grid of a fine fax page, so that it passes
through rendering pixel for pixel; CRC-32 tells a damaged one from a good one.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageSequence
from pypdf import PdfReader

from faxgw.document.header import LINE_ROWS, MARK_ROWS, band

WIDTH, ROWS = 1728, 2290
"""Of a page; A4 at 204 × 196 dpi has some 2,291 rows."""
SQUARE = 40
"""Pixels and rows of one square."""
LEFT, TOP = 400, 600
"""Where the squares begin; well below header line and mark."""
COLUMNS, BANDS = 10, 9
"""Squares across and down: 90 for 88 bits."""
_MAGIC = 0xFA
_FIELDS = struct.Struct("!BIBB")
"""Magic, load, page, 0; CRC-32 follows."""
MARK = "POSSIBLE DUPLICATE"

Black = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Watermark:
    """What a page says of itself."""

    load: int
    page: int
    marked: bool
    """It bears the mark of a possible duplicate."""


def document(load: int, pages: int, ink: int = 0) -> bytes:
    """A TIFF of so many watermarked pages, as a scanner would send it, with so many rows of noise below the mark."""
    images = [_draw(load, page, ink) for page in range(1, pages + 1)]
    out = io.BytesIO()
    images[0].save(
        out, "TIFF", compression="group4", dpi=(204, 196), save_all=True, append_images=images[1:], resolution_unit=2
    )
    return out.getvalue()


def read(tiff: bytes) -> list[Watermark | None]:
    """The watermark of each page; None where there is none, or a damaged one."""
    with Image.open(io.BytesIO(tiff)) as image:
        return [_read_page(page) for page in ImageSequence.Iterator(image)]


def pixel_hashes(document: bytes) -> list[str]:
    """SHA-256 of the pixels of each page of a TIFF or a PDF."""
    if document.startswith(b"%PDF"):
        images = [page.images[0].image for page in PdfReader(io.BytesIO(document)).pages]
    else:
        with Image.open(io.BytesIO(document)) as opened:
            images = [page.copy() for page in ImageSequence.Iterator(opened)]
    return [hashlib.sha256(np.asarray(image.convert("1"), bool).tobytes()).hexdigest() for image in images if image]


def _bits(load: int, page: int) -> Sequence[bool]:
    fields = _FIELDS.pack(_MAGIC, load, page, 0)
    octets = fields + struct.pack("!I", zlib.crc32(fields))
    return [bool(octet >> (7 - bit) & 1) for octet in octets for bit in range(8)]


def _draw(load: int, page: int, ink: int) -> Image.Image:
    black = np.zeros((ROWS, WIDTH), bool)
    for place, bit in enumerate(_bits(load, page)):
        down, across = divmod(place, COLUMNS)
        y, x = TOP + down * SQUARE, LEFT + across * SQUARE
        black[y : y + SQUARE, x : x + SQUARE] = bit
    noise = np.random.default_rng((load, page)).random((ink, WIDTH // 8)) < 0.5
    black[ROWS - 100 - ink : ROWS - 100] = np.repeat(noise, 8, axis=1)
    return Image.fromarray(~black)


def _read_page(image: Image.Image) -> Watermark | None:
    black = ~np.asarray(image.convert("1"), bool)
    rows_per_inch = image.info.get("dpi", (204, 196))[1]
    if rows_per_inch < 150:
        black = np.repeat(black, 2, axis=0)
    elif rows_per_inch > 300:
        black = black[0::2] | black[1::2]
    if len(black) < TOP + BANDS * SQUARE or black.shape[1] != WIDTH:
        return None
    bits = [
        black[y + 8 : y + SQUARE - 8, x + 8 : x + SQUARE - 8].mean() > 0.5
        for y in range(TOP, TOP + BANDS * SQUARE, SQUARE)
        for x in range(LEFT, LEFT + COLUMNS * SQUARE, SQUARE)
    ]
    length = _FIELDS.size + 4
    octets = np.packbits(np.array(bits[: 8 * length])).tobytes()
    fields, crc = octets[: _FIELDS.size], octets[_FIELDS.size :]
    if fields[0] != _MAGIC or struct.pack("!I", zlib.crc32(fields)) != crc:
        return None
    _magic, load, page, _zero = _FIELDS.unpack(fields)
    return Watermark(load, page, _is_marked(black))


def _is_marked(black: Black) -> bool:
    """Whether the mark's own pixels stand where the gateway puts them, below one header line."""
    template = np.unpackbits(band((), MARK), axis=1).astype(bool)
    there = black[LINE_ROWS : LINE_ROWS + MARK_ROWS]
    return bool(there[template].mean() > 0.7)
