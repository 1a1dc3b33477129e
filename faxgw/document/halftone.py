"""Grey to black and white: threshold for text and drawings, clustered dots for pictures.

Text is thresholded at 176, which keeps thin strokes and coloured type solid. Pictures are found by the tone mask:
blocks of 8 × 8 in which most pixels are neither black nor white. Within it stands a clustered screen, turned by 45°
and longer along the rows, where MMR codes a run at the price of its ends: beside round dots of 8 × 8 a photograph
takes a fifth less time on the line and comes closer to the original (error diffusion would take five times as long).
Flat tints, such as the light panel behind a text, get a clip curve first: what is nearly white becomes white. Up to a
third of ink they are white wherever text stands too, for dots around small letters make them illegible. Coloured type
and lines upon them are solid; a dark tint is black around white type.
What a large panel loses so is its edge: there it keeps a rim of its tint in fine dots, which fades out inwards and
keeps off text.
Pages that still come out too large get the next coarser screen, and no rim.
"""

from __future__ import annotations

from typing import Any  # of any width

import numpy as np
import numpy.typing as npt

from faxgw.document import bitmap, native
from faxgw.document.bitmap import ROW_OCTETS, Bits, Grey
from faxgw.document.limits import MAX_PAGE_OCTETS
from faxgw.document.tiff import WIDTH
from faxgw.document.types import Mode, Resolution

Blocks = npt.NDArray[np.bool_]
"""One value for each block of BLOCK × BLOCK pixels."""

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
FLAT_CLIP = (0.16, 0.90)
"""Ink of a flat tint below which it is white, above which it is black."""
PHOTO_CLIP = (0.0, 1.0)
"""The same for a picture: its lights and shadows have tones of their own, and nothing is cut off."""
DARK_INK = 0.6
"""Ink of a flat tint from which it is black beside white type: between dots nobody could read it."""
FLAT_SPREAD = 2
"""Grey levels that the tones of a block may lie apart and still be one flat tint."""
FLAT_PART = 0.8
"""Part of a region's blocks from which all of it is flat tint; the blocks at its edges are mixed."""
RIM = 6
"""Blocks over which the rim of a light panel fades out: 6 mm. A panel not twice as wide, such as the stripe behind
every other row of a table, has none."""
RIM_GAP = 2
"""Blocks that belong to a panel although they have no tone, for the heavy strokes of a heading cover them."""
KEEP_OFF = (4, 10)
"""Pixels at fine that the rim's dots keep off strokes, above and beside them. Dots in the space between two words, 6
pixels at 8 points, are read as points and commas."""


def to_bits(grey: Grey, resolution: Resolution, mode: Mode) -> Bits:
    """Turn a grey page into black and white.

    Args:
        grey: rows × 1728, 0 = black.
        resolution: Of the page; pixels of standard are twice as high as wide.
        mode: TEXT thresholds everything, PHOTO screens everything, AUTO looks.
    """
    if mode is Mode.TEXT:
        return threshold(grey)
    if mode is Mode.PHOTO:
        mask, flat = np.ones(grey.shape, np.bool_), np.zeros(grey.shape, np.bool_)
        rim = np.zeros((0, 0), np.uint8)
    else:
        bits, tones = _look(grey)
        if (blocks := _blocks_of(tones)) is None:
            return threshold(grey) if bits is None else bits
        even = _flat_regions(grey, blocks)
        rim = np.zeros(even.shape, np.uint8)
        if even.any():
            darkest, brightest = _darkest(grey), 255 - _darkest(255 - grey)
            depth = _depth(brightest, even)
            blocks &= ~_strokes(darkest, brightest, even)
            kept = _kept(darkest, even)
            even &= ~kept
            rim = depth * (even & ~_grown(kept))
        mask, flat = _pixels(blocks, grey.shape), _pixels(even, grey.shape)
    screens = _SCREENS[resolution]
    for screen in screens:
        screened = _screened(grey, mask, flat, screen)
        if screen is screens[0] and resolution in _RIM_SCREENS and rim.any():
            screened |= _rim(grey, rim, resolution)
        if screen is screens[-1] or len(bitmap.encode(screened).data) <= MAX_PAGE_OCTETS:
            break
    return screened


def _look(grey: Grey) -> tuple[Bits | None, npt.NDArray[np.integer[Any]]]:
    """Tones of each block, and the page by threshold where that comes with it."""
    if native.library() is None:
        return None, _tones(grey)
    return native.look(grey, THRESHOLD, TONE_LOW, TONE_HIGH)


def threshold(grey: Grey) -> Bits:
    """Black where it is darker than THRESHOLD, packed."""
    bits = np.empty((len(grey), ROW_OCTETS), np.uint8)
    for top in range(0, len(grey), BAND):
        bits[top : top + BAND] = bitmap.pack(grey[top : top + BAND] < THRESHOLD)
    return bits


def tone_blocks(grey: Grey) -> Blocks | None:
    """Blocks of pictures, grown by one on each side; None: there are none."""
    return _blocks_of(_look(grey)[1])


def _blocks_of(tones: npt.NDArray[np.integer[Any]]) -> Blocks | None:
    found = tones > int(TONE_PART * BLOCK * BLOCK)
    return _grown(found) if found.any() else None


def _pixels(blocks: Blocks, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    return np.repeat(np.repeat(blocks, BLOCK, axis=0), BLOCK, axis=1)[: shape[0], : shape[1]]


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


def _flat_regions(grey: Grey, blocks: Blocks) -> Blocks:
    """Of the blocks those whose whole region is flat tint: a picture with a smooth sky is one picture."""
    flat = _flat(grey)
    regions = _regions(blocks)
    size = np.bincount(regions.ravel())
    even = np.bincount(regions.ravel(), weights=flat.ravel())
    return np.asarray((even >= FLAT_PART * size)[regions] & blocks)


def _kept(darkest: Grey, even: Blocks) -> Blocks:
    """Of the blocks of flat tint those of a light one that stay dots: darker than the clip, and not beside text."""
    tinted = (darkest >= THRESHOLD) & (darkest <= round(255 * (1 - FLAT_CLIP[0])))
    return np.asarray(even & tinted & ~_grown(even & (darkest < THRESHOLD)))


def _depth(brightest: Grey, even: Blocks) -> npt.NDArray[np.uint8]:
    """How much of its tint each block of a large panel keeps for the rim, in parts of RIM: most at the edge, nothing
    within, and nothing of what is no large panel. White between two stripes is no part of a panel.
    """
    kept = np.zeros(even.shape, np.uint8)
    left = even | ((brightest <= TONE_HIGH) & ~_grown(~_grown(even, RIM_GAP), RIM_GAP))
    for _ in range(RIM):
        kept += left
        left = ~_grown(~left)
    shown = _grown(left, RIM) & ~left & (kept > 0)
    return np.where(shown, RIM + 1 - kept, 0).astype(np.uint8)


def _rim(grey: Grey, rim: npt.NDArray[np.uint8], resolution: Resolution) -> Bits:
    """The dots of large panels' rims.

    Args:
        grey: The page.
        rim: Of each block, how many parts of its tint out of RIM are shown.
        resolution: Of the page.
    """
    screen = _RIM_SCREENS[resolution]
    bits = bitmap.white(len(grey))
    down, beside = KEEP_OFF[0] * resolution.multiple // Resolution.FINE.multiple, KEEP_OFF[1]
    for first, end in _bands(np.asarray(rim.any(axis=1))):
        top, bottom = max(0, first * BLOCK - down), min(len(grey), end * BLOCK + down)
        here = slice(first * BLOCK, min(len(grey), end * BLOCK))
        strokes = _widened(_widened(grey[top:bottom] < THRESHOLD, down, 0), beside, 1)
        parts = np.repeat(np.repeat(rim[first:end], BLOCK, axis=0), BLOCK, axis=1)[: here.stop - here.start, :WIDTH]
        ink = (255 - grey[here]).astype(np.uint16) * parts // RIM
        tiled = np.tile(255 - screen, (-(-len(ink) // screen.shape[0]), -(-WIDTH // screen.shape[1])))
        dots = ink > tiled[: len(ink), :WIDTH]
        bits[here] = bitmap.pack(dots & ~strokes[here.start - top : here.stop - top])
    return bits


def _bands(rows: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and end of each run of truth."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], rows.view(np.int8), [0])))).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def _widened(mask: npt.NDArray[np.bool_], reach: int, axis: int) -> npt.NDArray[np.bool_]:
    """With everything that lies up to `reach` pixels away along one axis."""
    done = 0
    mask = mask.swapaxes(0, axis)
    while done < reach:
        step = min(reach - done, done + 1)
        wider = mask.copy()
        wider[step:] |= mask[:-step]
        wider[:-step] |= mask[step:]
        mask, done = wider, done + step
    return mask.swapaxes(0, axis)


def _strokes(darkest: Grey, brightest: Grey, even: Blocks) -> Blocks:
    """Of the blocks of flat tint those that are thresholded: coloured type and lines on a light ground are solid, and
    so is a dark ground around white ones.

    Where a whole block nearby is dark, or white, it is a panel's edge.
    """
    coloured = even & (darkest < THRESHOLD) & (brightest >= THRESHOLD) & ~_grown(even & (brightest < THRESHOLD))
    dark = even & (darkest <= round(255 * (1 - DARK_INK)))
    white = _grown(dark & (brightest > TONE_HIGH) & ~_grown(darkest > TONE_HIGH)) & dark
    return np.asarray(coloured | white)


def _darkest(grey: Grey) -> Grey:
    """The lowest grey of each block."""
    rows, columns = grey.shape
    low = np.full((-(-rows // BLOCK) * BLOCK, -(-columns // BLOCK) * BLOCK), 255, np.uint8)
    low[:rows, :columns] = grey
    return np.asarray(low.reshape(-1, BLOCK, low.shape[1]).min(axis=1).reshape(-1, low.shape[1] // BLOCK, BLOCK).min(2))


def _grown(blocks: Blocks, times: int = 1) -> Blocks:
    """With the eight neighbours of each block, so many times."""
    wide = np.pad(blocks, times)
    for _ in range(times):
        for axis in (0, 1):
            wide |= np.roll(wide, 1, axis) | np.roll(wide, -1, axis)
    return wide[times:-times, times:-times]


def _regions(blocks: Blocks) -> npt.NDArray[np.int64]:
    """Number of the region that a block belongs to, 0 for none; blocks that touch, at a corner too, are one region."""
    numbers = np.zeros(blocks.shape, np.int64)
    parent = [0]
    above: list[tuple[int, int, int]] = []
    for row, line in enumerate(blocks):
        edges = np.flatnonzero(np.diff(np.concatenate(([0], line.view(np.int8), [0]))))
        runs = []
        for first, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            number = 0
            for other_first, other_end, other in above:
                if other_first <= end and first <= other_end:
                    root = _root(parent, other)
                    if number:
                        parent[max(root, number)] = number = min(root, number)
                    number = number or root
            if not number:
                number = len(parent)
                parent.append(number)
            runs.append((first, end, number))
            numbers[row, first:end] = number
        above = runs
    return np.array([_root(parent, number) for number in range(len(parent))])[numbers]


def _root(parent: list[int], number: int) -> int:
    while parent[number] != number:
        parent[number] = parent[parent[number]]
        number = parent[number]
    return number


def _flat(grey: Grey) -> Blocks:
    """Blocks whose light tones are one tint, and their dark ones too: coloured type upon a panel.

    Black and white pixels (the text on it) do not count.
    """
    rows, columns = grey.shape
    wide = -(-columns // BLOCK)
    flat = np.empty((-(-rows // BLOCK), wide), np.bool_)
    for top in range(0, rows, BAND):
        band = np.full((BAND, wide * BLOCK), 255, np.uint8)
        band[: len(grey[top : top + BAND]), :columns] = grey[top : top + BAND]
        light = (band >= THRESHOLD) & (band <= TONE_HIGH)
        one = _one_tint(band, light) & _one_tint(band, (band >= TONE_LOW) & (band < THRESHOLD))
        part = flat[top // BLOCK : (top + BAND) // BLOCK]
        part[:] = one[: len(part)]
    return flat


def _one_tint(band: Grey, where: npt.NDArray[np.bool_]) -> Blocks:
    """Blocks whose pixels there lie no more than FLAT_SPREAD apart."""
    shape = (-1, BLOCK, band.shape[1] // BLOCK, BLOCK)
    low = np.where(where, band, 255).reshape(shape).min(axis=1).min(axis=2)
    high = np.where(where, band, 0).reshape(shape).max(axis=1).max(axis=2)
    return np.asarray(high <= low + np.minimum(FLAT_SPREAD, 255 - low))


def _screened(grey: Grey, mask: npt.NDArray[np.bool_], flat: npt.NDArray[np.bool_], screen: Grey) -> Bits:
    """Dots where the mask is, threshold elsewhere; the flat part of the mask by the steeper curve."""
    columns = grey.shape[1]
    high, wide = screen.shape
    tiled = np.tile(screen, (-(-BAND // high) + 1, -(-columns // wide)))[:, :columns]
    bits = np.empty((len(grey), ROW_OCTETS), np.uint8)
    for top in range(0, len(grey), BAND):
        band, where, even = grey[top : top + BAND], mask[top : top + BAND], flat[top : top + BAND]
        black = band < THRESHOLD
        if where.any():
            phase = top % high
            toned = np.where(even, _FLAT[band], _PHOTO[band])
            black ^= (black ^ (toned < tiled[phase : phase + len(band)])) & where
        bits[top : top + BAND] = bitmap.pack(black)
    return bits


def _curve(white: float, black: float) -> Grey:
    """Grey in, grey out: ink up to `white` becomes none, from `black` on full, linear between."""
    ink = 1.0 - np.arange(256) / 255.0
    clipped = np.clip((ink - white) / (black - white), 0.0, 1.0)
    return np.asarray(np.round(255.0 * (1.0 - clipped)), np.uint8)


def _screen(distance: npt.NDArray[np.float64]) -> Grey:
    """Thresholds of 1 to 255, growing towards the dot's centre: a darker tone makes a larger dot."""
    order = np.argsort(np.argsort(distance, axis=None, kind="stable"), kind="stable").reshape(distance.shape)
    return np.asarray(255 - order * 254 // max(1, distance.size - 1), np.uint8)


def _angled(high: int, wide: int) -> Grey:
    """Dots at 45°: two in a cell of 2·high × 2·wide, so that a row of dots lies `high` rows below the last."""
    y, x = np.mgrid[0 : 2 * high, 0 : 2 * wide]
    return _screen(-np.cos(np.pi * (x + 0.5) / wide) * np.cos(np.pi * (y + 0.5) / high))


def _lines(high: int) -> Grey:
    """A horizontal line in the middle of `high` rows, growing row by row and in short runs within a row."""
    y, x = np.mgrid[0:high, 0:16]
    return _screen(np.abs(y - (high - 1) / 2) + x / 1000 + y / 10000)


_ONES = np.uint64(0x0101010101010101)
"""Times a number of eight octets: their sum in the highest octet, as long as it stays below 256."""
_FLAT, _PHOTO = _curve(*FLAT_CLIP), _curve(*PHOTO_CLIP)
_FLAT[THRESHOLD:] = 255  # what text is thresholded against is white
_SCREENS = {
    Resolution.SUPERFINE: (_angled(8, 6), _angled(8, 8), _lines(12)),
    Resolution.FINE: (_angled(4, 6), _angled(4, 8), _lines(6)),
    Resolution.STANDARD: (_angled(2, 6), _angled(2, 8), _lines(3)),
}
"""From fine to coarse. Measured on a photograph of a whole page at fine: 158, 132 and 94 kB."""
_RIM_SCREENS = {
    Resolution.SUPERFINE: _angled(4, 5),
    Resolution.FINE: _angled(2, 5),
}
"""Dots so small that readers take them for specks: of 2 pixels at fine where the tint is light. At standard one pixel
is as high as two, and was read as a point: 6 % of the characters on such a panel were wrong."""
