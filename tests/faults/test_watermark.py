"""The harness can read what it has drawn, also after the gateway's own rendering, and sees the mark where it is."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from faxgw.document import bitmap, header
from faxgw.document import tiff as tiff_
from faxgw.document.types import Resolution
from faxgw.fax.header import HeaderLine
from tests.faults import watermark
from tests.faults.watermark import Watermark


def composed(tiff: bytes, mark: str, resolution: Resolution) -> bytes:
    """The first page as the gateway sends it."""
    with Image.open(io.BytesIO(tiff)) as image:
        bits = bitmap.pack(~np.asarray(image.convert("1"), bool))
    bits = bitmap.rescale(bits, Resolution.FINE, resolution)
    stamped = header.stamp(bits, (HeaderLine("21.11.2026", "To: +33199000000", "Page 1/2"),), mark, resolution)
    out = io.BytesIO()
    black = bitmap.unpack(stamped).astype(bool)
    dpi = (tiff_.DPI_X, tiff_.DPI_Y[resolution])
    Image.fromarray(~black).save(out, "TIFF", compression="group4", dpi=dpi)
    return out.getvalue()


def test_each_page_says_which_it_is() -> None:
    assert watermark.read(watermark.document(70_000, 3)) == [Watermark(70_000, page, False) for page in (1, 2, 3)]


@pytest.mark.parametrize("resolution", list(Resolution))
@pytest.mark.parametrize("mark", ["", watermark.MARK])
def test_it_survives_header_line_and_mark(resolution: Resolution, mark: str) -> None:
    page = composed(watermark.document(9, 1), mark, resolution)
    assert watermark.read(page) == [Watermark(9, 1, bool(mark))]


def test_a_damaged_one_is_none() -> None:
    with Image.open(io.BytesIO(watermark.document(9, 1))) as image:
        pixels = np.array(image.convert("1"), bool)
    pixels[watermark.TOP : watermark.TOP + 40, watermark.LEFT : watermark.LEFT + 40] ^= True
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "TIFF", compression="group4", dpi=(204, 196))
    assert watermark.read(out.getvalue()) == [None]
