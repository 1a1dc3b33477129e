"""The print of a received page, made where strangers' data are decoded (page process only; `fax.likeness`)."""

from __future__ import annotations

from PIL import Image, ImageFilter

from faxgw.fax import likeness

BLUR = 0.8
"""Radius in cells: half a cell of shift changes little then."""
_STEPS = bytes((255 - value) * (likeness.STEPS + 1) // 256 for value in range(256))
"""Grey of a cell, 255 white, to its step."""


def of_page(grey: Image.Image, width_mm: float, height_mm: float) -> tuple[float, bytes]:
    """Share of black, and the print, of a page.

    Args:
        grey: Its pixels, 255 white.
        width_mm: Its width.
        height_mm: Its height.
    """
    across = max(1, round(width_mm / likeness.CELL_MM))
    down = max(1, min(likeness.MAX_HEIGHT, round(height_mm / likeness.CELL_MM)))
    ink = 1.0 - sum(value * count for value, count in enumerate(grey.histogram())) / (255.0 * grey.width * grey.height)
    cells = grey.resize((across, down), Image.Resampling.BOX).filter(ImageFilter.GaussianBlur(BLUR))
    if across != likeness.WIDTH:
        page = Image.new("L", (likeness.WIDTH, down), 255)
        page.paste(cells, (0, 0))
        cells = page
    return ink, likeness.packed(cells.tobytes().translate(_STEPS))
