"""Grey to black and white: threshold for text and drawings, clustered dots for pictures.

Text is thresholded at 176, which keeps thin strokes and coloured type solid. Pictures are found by the tone mask:
blocks of 8 × 8 in which most pixels are neither black nor white. Within it a clip curve clears light panels behind
text, and a clustered screen makes dots that MMR codes well (error diffusion would take five times as long on the line).
Pages that still come out large get a line screen, which codes in two thirds.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from faxgw.document import bitmap
from faxgw.document.bitmap import ROW_OCTETS, Bits, Grey
from faxgw.document.limits import MAX_PAGE_OCTETS
from faxgw.document.types import Mode, Resolution

THRESHOLD = 176
"""Grey below it is black."""
TONE_LOW, TONE_HIGH = 12, 243
"""Grey from and to which a pixel counts as tone."""
BLOCK = 8
"""Pixels of a block's side."""
BAND = 32 * BLOCK
"""Rows worked on at a time: half a megabyte of grey stays in the processor's cache, and a child just forked pays for
every fresh page of memory."""
TONE_PART = 0.6
"""Part of a block's pixels above which it is a picture."""
INK_WHITE, INK_BLACK = 0.14, 0.90
"""Ink below which a tone is white, above which it is black."""


def to_bits(grey: Grey, resolution: Resolution, mode: Mode) -> Bits:
    """Turn a grey page into black and white.

    Args:
        grey: rows × 1728, 0 = black.
        resolution: Of the page; pixels of standard are twice as high as wide.
        mode: TEXT thresholds everything, PHOTO screens everything, AUTO looks.
    """
    if mode is Mode.TEXT:
        return threshold(grey)
    mask = np.ones(grey.shape, np.bool_) if mode is Mode.PHOTO else tone_mask(grey)
    if mask is None:
        return threshold(grey)
    screened = _screened(grey, mask, _DOTS[resolution])
    if len(bitmap.encode(screened).data) > MAX_PAGE_OCTETS:
        return _screened(grey, mask, _LINES[resolution])
    return screened


def threshold(grey: Grey) -> Bits:
    """Black where it is darker than THRESHOLD, packed."""
    bits = np.empty((len(grey), ROW_OCTETS), np.uint8)
    for top in range(0, len(grey), BAND):
        bits[top : top + BAND] = bitmap.pack(grey[top : top + BAND] < THRESHOLD)
    return bits


def tone_mask(grey: Grey) -> npt.NDArray[np.bool_] | None:
    """Where the page is a picture: rows × columns, grown by one block on each side; None: nowhere."""
    rows, columns = grey.shape
    found = np.pad(_tones(grey) > TONE_PART * BLOCK * BLOCK, 1)
    if not found.any():
        return None
    grown = found.copy()
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            grown |= np.roll(found, (down, right), (0, 1))
    inner = grown[1:-1, 1:-1]
    return np.repeat(np.repeat(inner, BLOCK, axis=0), BLOCK, axis=1)[:rows, :columns]


def _tones(grey: Grey) -> npt.NDArray[np.uint64]:
    """Pixels of tone in each block of 8 × 8; what a block lacks at the edges is none."""
    rows, columns = grey.shape
    wide = -(-columns // BLOCK)
    count = np.empty((-(-rows // BLOCK), wide), np.uint64)
    tone = np.zeros((BAND, wide * BLOCK), np.bool_)
    for top in range(0, rows, BAND):
        band = grey[top : top + BAND]
        tone[len(band) :] = False
        # one comparison for both ends: below TONE_LOW the difference wraps around
        np.less_equal(band - np.uint8(TONE_LOW), TONE_HIGH - TONE_LOW, out=tone[: len(band), :columns])
        # eight pixels at a time: octets 0 or 1 are added up as one number, first down the block, then across it
        down = tone.view(np.uint64).reshape(BAND // BLOCK, BLOCK, wide).sum(axis=1, dtype=np.uint64)
        part = count[top // BLOCK : (top + BAND) // BLOCK]
        part[:] = ((down * _ONES) >> np.uint64(56))[: len(part)]
    return count


def _screened(grey: Grey, mask: npt.NDArray[np.bool_], screen: Grey) -> Bits:
    """Dots where the mask is, threshold elsewhere."""
    columns = grey.shape[1]
    high, wide = screen.shape
    tiled = np.tile(screen, (-(-BAND // high) + 1, -(-columns // wide)))[:, :columns]
    bits = np.empty((len(grey), ROW_OCTETS), np.uint8)
    for top in range(0, len(grey), BAND):
        band, where = grey[top : top + BAND], mask[top : top + BAND]
        black = band < THRESHOLD
        if where.any():
            phase = top % high
            dots = _CLIP[band] < tiled[phase : phase + len(band)]
            black ^= (black ^ dots) & where
        bits[top : top + BAND] = bitmap.pack(black)
    return bits


def _clip() -> Grey:
    """Grey in, grey out: light tones to white, dark ones to black, linear between."""
    ink = 1.0 - np.arange(256) / 255.0
    clipped = np.clip((ink - INK_WHITE) / (INK_BLACK - INK_WHITE), 0.0, 1.0)
    return np.asarray(np.round(255.0 * (1.0 - clipped)), np.uint8)


def _screen(distance: npt.NDArray[np.float64]) -> Grey:
    """Thresholds of 1 to 255, growing towards the dot's centre: a darker tone makes a larger dot."""
    order = np.argsort(np.argsort(distance, axis=None, kind="stable"), kind="stable").reshape(distance.shape)
    return np.asarray(255 - order * 254 // max(1, distance.size - 1), np.uint8)


def _dots(high: int, wide: int) -> Grey:
    """A round dot in the middle of a cell; the second term makes ties fall evenly around the centre."""
    y, x = np.mgrid[0:high, 0:wide]
    down, right = (y + 0.5) / high - 0.5, (x + 0.5) / wide - 0.5
    return _screen(down**2 + right**2 + 1e-6 * np.arctan2(down, right))


def _lines(high: int) -> Grey:
    """A horizontal line in the middle of `high` rows, growing row by row and in short runs within a row."""
    y, x = np.mgrid[0:high, 0:16]
    return _screen(np.abs(y - (high - 1) / 2) + x / 1000 + y / 10000)


_ONES = np.uint64(0x0101010101010101)
"""Times a number of eight octets: their sum in the highest octet, as long as it stays below 256."""
_CLIP = _clip()
# Cells that are square on paper: 8 × 8 pixels at fine are 1 mm.
_DOTS = {Resolution.FINE: _dots(8, 8), Resolution.STANDARD: _dots(4, 8)}
_LINES = {Resolution.FINE: _lines(6), Resolution.STANDARD: _lines(3)}
