"""The fonts that faxgw itself writes with: text pages and header lines (page process only).

DejaVu, from the Debian package `fonts-dejavu-core`: its glyphs stay legible at 98 rows per inch, and it covers Latin,
Greek and Cyrillic. Glyphs are drawn hinted and without smoothing.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

FOLDERS = ("/usr/share/fonts/truetype/dejavu", "/usr/share/fonts/dejavu-sans-fonts", "/usr/share/fonts/TTF")
"""Where the fonts are looked for."""
MONOSPACED = "DejaVuSansMono.ttf"
PROPORTIONAL = "DejaVuSans.ttf"
BOLD = "DejaVuSans-Bold.ttf"
SAMPLE_PX = 24
"""A size to look at a font in."""


class NoFont(Exception):
    """The fonts are not installed."""


def check() -> None:
    """Make sure that all fonts are there.

    Raises:
        NoFont: If one is missing.
    """
    for name in (MONOSPACED, PROPORTIONAL, BOLD):
        load(name, SAMPLE_PX)


@cache
def load(name: str, size_px: int) -> ImageFont.FreeTypeFont:
    """Load a font.

    Args:
        name: One of the constants.
        size_px: Size of the em in pixels.

    Raises:
        NoFont: If it is missing.
    """
    for folder in FOLDERS:
        path = Path(folder) / name
        if path.exists():
            return ImageFont.truetype(str(path), size_px, layout_engine=ImageFont.Layout.BASIC)
    raise NoFont(f"{name} is missing; install the package fonts-dejavu-core")


class Canvas:
    """A white sheet to write on."""

    def __init__(self, width: int, rows: int) -> None:
        self._image = Image.new("1", (width, rows), 1)
        self._draw = ImageDraw.Draw(self._image)
        self._draw.fontmode = "1"

    def write(self, x: int, y: int, text: str, font: ImageFont.FreeTypeFont) -> None:
        """Write one line with the top of its em at `y`."""
        self._draw.text((x, y), text, fill=0, font=font)

    def box(self, left: int, top: int, right: int, bottom: int) -> None:
        """Draw a frame, its edges included."""
        self._draw.rectangle((left, top, right, bottom), outline=0, width=2)

    def bits(self) -> npt.NDArray[np.uint8]:
        """Packed rows, 1 = black."""
        packed = self._image.tobytes("raw", "1;I")
        return np.frombuffer(packed, np.uint8).reshape(self._image.height, -1)
