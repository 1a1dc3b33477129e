"""The composed bitmap as PNG: the same pixels, with rows repeated until pixels are square."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from PIL import Image

from faxgw.document import bitmap, preview
from faxgw.document.client import PageClient
from faxgw.document.types import (
    PNG,
    Composed,
    ComposeOptions,
    Document,
    PageFacts,
    Picture,
    Rendered,
    RenderOptions,
    Resolution,
)
from faxgw.fax.header import HeaderContext

Make = Any  # conftest's class; tests import nothing from one another


def page(rows: int) -> bitmap.Bits:
    """A page no two rows of which are alike."""
    bits = bitmap.white(rows)
    bits[:, 0], bits[:, 1] = np.arange(rows) >> 8, np.arange(rows) & 255
    return bits


@pytest.mark.parametrize(("resolution", "rows", "height"), [("fine", 2286, 2379), ("standard", 1143, 2379)])
def test_every_row_is_shown_in_order_as_often_as_its_height_asks(resolution: str, rows: int, height: int) -> None:
    shown = preview.squared(page(rows), Resolution(resolution))
    numbers = shown[:, 0].astype(int) * 256 + shown[:, 1]
    assert len(shown) == height
    assert (np.diff(numbers) >= 0).all() and set(numbers) == set(range(rows))
    often = np.bincount(numbers)
    assert often.max() - often.min() <= 1


def test_the_file_is_one_bit_with_square_pixels_and_ink_is_black() -> None:
    bits = page(300)
    image = Image.open(io.BytesIO(preview.png(bits, Resolution.STANDARD)))
    assert (image.mode, image.size) == ("1", (1728, 624))
    across, down = image.info["dpi"]
    assert across == down == pytest.approx(204, abs=0.1)
    ink = ~np.asarray(image)
    assert (np.packbits(ink, axis=1) == preview.squared(bits, Resolution.STANDARD)).all()


def test_a_superfine_page_is_shown_at_twice_the_dots_and_loses_no_row() -> None:
    bits = page(4572)
    image = Image.open(io.BytesIO(preview.png(bits, Resolution.SUPERFINE)))
    assert image.size == (3456, 4771) and image.info["dpi"] == pytest.approx((408, 408), abs=0.1)
    ink = ~np.asarray(image)
    assert (ink[:, 0::2] == ink[:, 1::2]).all()
    shown = np.packbits(ink[:, 0::2], axis=1)
    assert set(shown[:, 0].astype(int) * 256 + shown[:, 1]) == set(range(4572))


@pytest.mark.asyncio(loop_scope="module")
async def test_the_client_gets_a_picture_of_each_page_that_it_composes(client: PageClient, make: Make) -> None:
    """Pictures are asked for with the composition, so they show its header, marks and resolution."""
    a4 = (595.28, 841.89)
    body = await client.render([Document(make.fd(make.pdf(a4, a4, a4)), "a.pdf")], RenderOptions())
    assert isinstance(body, Rendered)
    context = HeaderContext(datetime(2026, 11, 21, tzinfo=UTC))
    options = ComposeOptions(context, "%r%P/%T", first_page=2, resolution=Resolution.STANDARD, pictures=True)
    composed = await client.compose(body.fd, options)
    body.close()
    pages = make.pages(composed.fd)
    assert len(composed.pictures) == len(pages) == 2
    for at, bits in enumerate(pages):
        image = Image.open(io.BytesIO(composed.picture(at)))
        assert (np.packbits(~np.asarray(image), axis=1) == preview.squared(bits, Resolution.STANDARD)).all()
    composed.close()


@pytest.mark.asyncio(loop_scope="module")
async def test_none_are_made_unless_asked_for(client: PageClient, make: Make) -> None:
    body = await client.render([Document(make.fd(make.pdf()), "a.pdf")], RenderOptions())
    assert isinstance(body, Rendered)
    composed = await client.compose(body.fd, ComposeOptions(HeaderContext(datetime(2026, 11, 21, tzinfo=UTC))))
    body.close()
    assert (composed.pictures_fd, composed.pictures) == (None, ())
    composed.close()


@pytest.mark.parametrize(
    "places",
    [
        (),
        (Picture(0, 10),),
        (Picture(0, 10), Picture(10, 10), Picture(0, 10)),
        (Picture(0, 10), Picture(10, 11)),
        (Picture(0, 10), Picture(-1, 10)),
        (Picture(0, 10), Picture(10, 1 << 40)),
        (Picture(0, 10), Picture(9, 10)),
    ],
)
def test_wrong_facts_on_pictures_are_noticed(make: Make, places: tuple[Picture, ...]) -> None:
    """A page process that was taken over can say what it likes of its file."""
    facts = (PageFacts(1728, 1, 1, 0.0),) * 2
    fd = make.fd((PNG + b"..") * 2)
    right = (Picture(0, 10), Picture(10, 10))
    assert Composed(-1, facts, Resolution.FINE, None, fd, right).is_shown()
    assert not Composed(-1, facts, Resolution.FINE, None, fd, places).is_shown()
    assert not Composed(-1, facts, Resolution.FINE, None, None, right).is_shown()
