"""What a composed page will look like, as a PNG file (page process only).

It is the very bitmap that goes over the line, one bit a pixel; only its rows are repeated until pixels are square (204
dots per inch both ways), for a screen knows no others. No pixel is made up and none is smoothed.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from faxgw.document import tiff
from faxgw.document.bitmap import Bits
from faxgw.document.types import Resolution


def squared(bits: Bits, resolution: Resolution) -> Bits:
    """Repeat rows until there are 204 of them per inch.

    Args:
        bits: The page, 1 = black; at least one row.
        resolution: Of the page.
    """
    height = max(1, round(len(bits) * tiff.DPI_X / tiff.DPI_Y[resolution]))
    middles = (np.arange(height) + 0.5) * len(bits) / height
    return bits[middles.astype(np.intp)]


def png(bits: Bits, resolution: Resolution) -> bytes:
    """A page as PNG: grey of one bit, square pixels, as small as it goes.

    Args:
        bits: The page, 1 = black; at least one row.
        resolution: Of the page.
    """
    square = squared(bits, resolution)
    image = Image.frombytes("1", (tiff.WIDTH, len(square)), np.invert(square).tobytes())
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True, dpi=(tiff.DPI_X, tiff.DPI_X))
    return out.getvalue()
