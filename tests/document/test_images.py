"""Long pictures are cut between their lines, with every row on exactly one sheet."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from faxgw.document import bitmap, fit, images, office, render
from faxgw.document.fit import Target
from faxgw.document.limits import Limits
from faxgw.document.refusal import DocumentRefused
from faxgw.document.types import Document, Kind, Reason, RenderOptions, Resolution

Make = Any  # conftest's class; tests import nothing from one another


@pytest.mark.parametrize("resolution", list(Resolution))
@pytest.mark.parametrize("pitch", [37, 50, 61])
def test_a_receipt_is_cut_between_its_lines(resolution: Resolution, pitch: int) -> None:
    """80 mm × 1 m at 203 dots per inch, as a till prints it."""
    roll = np.full((8_000, 640), 255, np.uint8)
    lines = range(40, 7_900, pitch)
    for top in lines:
        roll[top : top + 24, 30:600] = 0
    announced: list[tuple[int, int]] = []
    target = Target(resolution, begin=lambda page, pages: announced.append((page, pages)))
    sheets = list(images.sheets(Image.fromarray(roll), (203, 203), 1, 1, target))
    assert announced == [(1, len(sheets))] * (len(sheets) - 1)
    rows_per_line = 24 / 203 * 25.4 * fit.ROWS_PER_MM[resolution]
    found = 0
    for bits in sheets:
        black = np.concatenate(([0], bitmap.unpack(bits).any(axis=1), [0])).astype(int)
        starts, ends = np.flatnonzero(np.diff(black) == 1), np.flatnonzero(np.diff(black) == -1)
        assert np.abs(ends - starts - rows_per_line).max() <= 1.5
        found += len(starts)
    assert found == len(lines)


def test_a_picture_without_a_gap_loses_and_doubles_nothing() -> None:
    roll = Image.new("L", (640, 8_000), 0)
    sheets = list(images.sheets(roll, (203, 203), 1, 1, Target()))
    rows = sum(int(bitmap.unpack(bits).any(axis=1).sum()) for bits in sheets)
    assert rows == round(8_000 / 203 * 25.4 * 7.7)


@pytest.mark.parametrize("mode", ["CMYK", "L", "RGB"])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpegs_of_every_kind_are_black_on_white(mode: str, progressive: bool) -> None:
    """CMYK of JPEG is stored inverted, as Adobe's programs do."""
    picture = Image.new("L", (400, 300), 255)
    picture.paste(0, (0, 0, 100, 300))
    out = io.BytesIO()
    picture.convert("RGB").convert(mode).save(out, "JPEG", progressive=progressive, quality=90, dpi=(100, 100))
    with Image.open(out) as opened:
        grey = np.asarray(images.to_grey(opened))
    assert grey[:, :95].max() < 40 and grey[:, 105:].min() > 230


@pytest.mark.parametrize("orientation", [1, 6, 8])
def test_resolutions_turn_with_the_picture(orientation: int) -> None:
    """EXIF 2.32 section 4.6.4: the resolutions are those of the rows and columns as they are stored."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    Image.new("L", (400, 300), 0).save(out, "PNG", dpi=(200, 100), exif=exif)
    ((_number, bits),) = images.pages(out.getvalue(), Kind.PNG, "a.png", Target())
    black = bitmap.unpack(bits)
    size_mm = (black.any(axis=0).sum() * 215 / 1728, black.any(axis=1).sum() / 7.7)
    wanted = (400 / 200 * 25.4, 300 / 100 * 25.4)
    assert size_mm == pytest.approx(wanted if orientation == 1 else wanted[::-1], abs=0.3)


@pytest.mark.parametrize("mode", ["L;16", "LA", "RGBA", "P", "P clear"])
def test_pngs_of_every_kind_are_black_on_white(mode: str) -> None:
    levels = np.full((60, 80), 255, np.uint8)
    levels[:, :20] = 0
    grey = Image.fromarray(levels)
    options: dict[str, object] = {}
    if mode == "L;16":
        picture = Image.fromarray(levels.astype(np.uint16) * 257)
    elif mode == "P clear":
        picture = Image.fromarray(levels // 255).convert("P")
        picture.putpalette([0, 0, 0, 0, 0, 0])  # both black, the second one clear
        options["transparency"] = 1
    else:
        picture = grey.convert("RGB").quantize(4) if mode == "P" else grey.convert(mode)
    out = io.BytesIO()
    picture.save(out, "PNG", **options)
    with Image.open(out) as opened:
        found = np.asarray(images.to_grey(opened))
    assert (found == levels).all()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_bitmaps_of_every_depth_are_black_on_white(mode: str) -> None:
    levels = np.full((60, 77), 255, np.uint8)
    levels[:10, :20] = 0
    out = io.BytesIO()
    Image.fromarray(levels).convert("RGB").convert(mode).save(out, "BMP")
    with Image.open(out) as opened:
        assert (np.asarray(images.to_grey(opened)) == levels).all()


@pytest.mark.parametrize("part", [0.3, 0.7, 0.98])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
def test_a_picture_that_is_cut_off_is_refused(make: Make, kind: str, part: float) -> None:
    """P-12: half a picture is not sent."""
    noise = Image.effect_noise((400, 500), 60).convert("RGB")
    data = make.image(noise, kind)
    document = Document(make.fd(data[: int(len(data) * part)]), "photo")
    with pytest.raises(DocumentRefused) as refused:
        render.render([document], RenderOptions(), Limits(), lambda _progress: None, office.NONE)
    assert refused.value.refused.reason is Reason.DAMAGED and "“photo”" in str(refused.value)


def test_a_jpeg_with_zeros_for_its_end_is_refused(make: Make) -> None:
    """As a telephone leaves one that it could not copy: it would decode, grey from there on."""
    data = make.image(Image.effect_noise((400, 500), 60), "JPEG")
    holed = data[: len(data) // 2] + bytes(len(data) // 2)
    with pytest.raises(DocumentRefused, match="its end is missing"):
        list(images.pages(holed, Kind.JPEG, "photo.jpg", Target()))
    assert list(images.pages(data + bytes(2_000), Kind.JPEG, "photo.jpg", Target()))
