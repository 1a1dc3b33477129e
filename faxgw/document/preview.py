"""What a composed page will look like, as a PNG file (page process only).

It is the very bitmap that goes over the line, one bit a pixel; only its rows are repeated until pixels are square, for
a screen knows no others: 204 dots per inch both ways, at superfine 408, where columns are repeated too. No pixel is
made up, none is smoothed and none is left out.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from faxgw.document import tiff
from faxgw.document.bitmap import Bits
from faxgw.document.types import Resolution


def squared(bits: Bits, resolution: Resolution) -> Bits:
    """Repeat rows, at superfine columns too, until there are as many per inch down as across.

    Args:
        bits: The page, 1 = black; at least one row.
        resolution: Of the page.
    """
    height = max(1, round(len(bits) * dots_per_inch(resolution) / tiff.DPI_Y[resolution]))
    middles = (np.arange(height) + 0.5) * len(bits) / height
    rows = bits[middles.astype(np.intp)]
    if resolution is not Resolution.SUPERFINE:
        return rows
    return np.packbits(np.repeat(np.unpackbits(rows, axis=1), 2, axis=1), axis=1)


def dots_per_inch(resolution: Resolution) -> int:
    """Of the PNG file of a page, both ways."""
    return 2 * tiff.DPI_X if resolution is Resolution.SUPERFINE else tiff.DPI_X


def png(bits: Bits, resolution: Resolution) -> bytes:
    """A page as PNG: grey of one bit, square pixels, as small as it goes.

    Args:
        bits: The page, 1 = black; at least one row.
        resolution: Of the page.
    """
    square = squared(bits, resolution)
    image = Image.frombytes("1", (8 * square.shape[1], len(square)), np.invert(square).tobytes())
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True, dpi=(dots_per_inch(resolution),) * 2)
    return out.getvalue()
