"""Prints made of TIFF pages: at both resolutions, again after a scan, bad input (features G8)."""

from __future__ import annotations

import io
import random

import pytest
from PIL import Image, ImageDraw

from faxgw.document.likeness import of_page
from faxgw.fax.likeness import WIDTH, compare, unpacked

SIZE = (1728, 2200)


def drawn(seed: int) -> Image.Image:
    """Words as bars: what text is in cells of 2 mm."""
    rng = random.Random(seed)
    image = Image.new("L", SIZE, 255)
    pen = ImageDraw.Draw(image)
    for top in range(150, 2000, 45):
        at = 130
        while at < 1500 and rng.random() < 0.95:
            width = rng.randint(40, 150)
            for left in range(at, at + width, 9):
                pen.line((left, top, left + rng.randint(0, 6), top + 24), fill=0, width=4)
            at += width + 25
    return image


def tiff(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.convert("1", dither=Image.Dither.NONE).save(out, "TIFF", compression="group4")
    return out.getvalue()


def made(image: Image.Image, rows_per_mm: float = 7.7) -> tuple[float, bytes]:
    with Image.open(io.BytesIO(tiff(image))) as page:
        return of_page(page.convert("L"), image.width / 8.03, image.height / rows_per_mm)


def scanned_again(image: Image.Image, seed: int) -> Image.Image:
    """Moved by some millimetres, turned a little, with specks."""
    rng = random.Random(seed)
    moved = (rng.randint(-20, 20), rng.randint(-20, 20))
    turned = image.rotate(rng.uniform(-0.3, 0.3), Image.Resampling.BICUBIC, translate=moved, fillcolor=255)
    for _ in range(2_000):
        turned.putpixel((rng.randrange(SIZE[0]), rng.randrange(SIZE[1])), 0)
    return turned


@pytest.mark.parametrize("seed", range(5))
def test_a_page_scanned_again_is_the_same_and_another_is_not(seed: int) -> None:
    ink, one = made(drawn(seed))
    assert 0.005 < ink < 0.3 and len(one) < 8_000
    assert compare(unpacked(one), unpacked(made(scanned_again(drawn(seed), seed))[1])).same
    assert not compare(unpacked(one), unpacked(made(scanned_again(drawn(seed + 50), seed))[1])).same


def test_standard_resolution_is_compared_with_fine() -> None:
    half = drawn(1).resize((1728, 1100))
    assert compare(unpacked(made(drawn(1))[1]), unpacked(made(half, 3.85)[1])).same


def test_a_narrow_page_and_a_blank_one_have_prints_of_the_same_width() -> None:
    ink, blank = made(Image.new("L", (800, 1000), 255))
    cells = unpacked(blank)
    assert ink == 0.0 and {len(row) for row in cells} == {WIDTH} and not any(map(any, cells))


def test_a_black_page_is_black() -> None:
    ink, _print = made(Image.new("L", SIZE, 0))
    assert ink == pytest.approx(1.0)
