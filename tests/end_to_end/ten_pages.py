"""A fax of ten pages as a sender's machine would scan it: text, tables, and codes, each page with words of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import zxingcpp
from PIL import Image, ImageDraw, ImageFont

from tests.t30.conftest import tiff

WIDTH, ROWS = 1728, 620
"""Of a page at 204 × 196 dpi; eight centimetres, that a call takes a minute and not three."""
FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"
SIZE = 44
"""Pixels; some 16 points."""
LEFT = 120
TOWNS = ("Paris", "London", "Berlin", "Madrid", "Vienna", "Lisbon", "Dublin", "Athens", "Prague", "Warsaw")
TABLES, CODES = (4, 5, 6), {7: "QRCode", 8: "Code128", 9: "DataMatrix"}
"""Pages with a table, and with a code of a kind."""
ITEMS = ("Apples", "Bananas", "Cherries")


def words(page: int) -> Sequence[str]:
    """What stands on a page and on no other, as somebody would look for it."""
    return (TOWNS[page - 1], f"Order {page}{page}047")


def code(page: int) -> str:
    """The text of a page's code."""
    return f"CODE-{page:02}-4711"


def document() -> bytes:
    """The fax as TIFF."""
    return tiff([_page(number) for number in range(1, 11)])


def _page(number: int) -> Image.Image:
    image = Image.new("L", (WIDTH, ROWS), 255)
    draw, font = ImageDraw.Draw(image), ImageFont.truetype(FONT, SIZE)
    town, order = words(number)
    draw.text((LEFT, 40), f"{order} from {town}", font=font, fill=0)
    if number in TABLES:
        _table(draw, font, number)
    elif number in CODES:
        _code(image, number)
    else:
        for line, text in enumerate(("Please deliver the goods", "before the end of the week", "Many thanks")):
            draw.text((LEFT, 150 + 90 * line), text, font=font, fill=0)
    return image.point(lambda value: 255 if value > 127 else 0).convert("1")


def _table(draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont, number: int) -> None:
    for row, item in enumerate(ITEMS):
        top = 140 + 100 * row
        for left, text in ((LEFT, item), (LEFT + 600, str(100 * number + row)), (LEFT + 1000, f"{row + 1}.50")):
            draw.rectangle((left, top, left + (600 if left == LEFT else 400), top + 100), outline=0, width=3)
            draw.text((left + 25, top + 22), text, font=font, fill=0)


def _code(image: Image.Image, number: int) -> None:
    kind = getattr(zxingcpp.BarcodeFormat, CODES[number])
    modules = np.asarray(zxingcpp.create_barcode(code(number), kind).to_image(scale=1))
    scale = min(12, 1400 // modules.shape[1], 400 // modules.shape[0] if modules.shape[0] > 8 else 12)
    drawn = Image.fromarray(np.repeat(np.repeat(modules, scale, axis=0), scale, axis=1))
    image.paste(drawn, (LEFT, 160))
