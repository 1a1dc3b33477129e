"""Grey to black and white."""

from __future__ import annotations

import numpy as np
import pytest

from faxgw.document import bitmap, halftone
from faxgw.document.bitmap import Grey
from faxgw.document.limits import MAX_PAGE_OCTETS
from faxgw.document.types import Mode, Resolution


def page(value: int = 255, rows: int = 800) -> Grey:
    return np.full((rows, 1728), value, np.uint8)


def black(grey: Grey, mode: Mode = Mode.AUTO, resolution: Resolution = Resolution.FINE) -> np.ndarray:
    return bitmap.unpack(halftone.to_bits(grey, resolution, mode))


def test_text_is_thresholded() -> None:
    """rendering.md 1.3: 176 keeps thin and coloured strokes solid."""
    grey = page()
    grey[100:104, 200:1000] = 0
    grey[200:203, 200:1000] = 175
    grey[300:303, 200:1000] = 176
    seen = black(grey)
    assert seen[100:104, 200:1000].all() and seen[200:203, 200:1000].all()
    assert not seen[300:303].any()
    assert seen.sum() == 7 * 800


@pytest.mark.parametrize("resolution", list(Resolution))
@pytest.mark.parametrize("ink", [0.25, 0.5, 0.75])
def test_a_tone_keeps_its_darkness(ink: float, resolution: Resolution) -> None:
    grey = page()
    grey[160:640, 320:1280] = round(255 * (1 - ink))
    seen = black(grey, resolution=resolution)
    inside = seen[200:600, 400:1200].mean()
    clipped = (ink - halftone.INK_WHITE) / (halftone.INK_BLACK - halftone.INK_WHITE)
    assert inside == pytest.approx(clipped, abs=0.04)


def test_darker_tones_are_never_lighter() -> None:
    inks = [black(page(value, 64), Mode.PHOTO).mean() for value in range(0, 256, 5)]
    assert inks == sorted(inks, reverse=True)
    assert inks[0] == 1 and inks[-1] == 0


def test_a_light_panel_behind_text_is_cleared() -> None:
    grey = page()
    grey[100:300, 100:900] = 224  # 12 % ink
    grey[200:204, 200:800] = 0
    seen = black(grey)
    assert seen[200:204, 200:800].all()
    assert seen.sum() == 4 * 600


def test_text_only_and_photo_are_what_they_say() -> None:
    grey = page(120)
    assert black(grey, Mode.TEXT).all()
    assert 0.3 < black(grey, Mode.PHOTO).mean() < 0.8
    assert 0.3 < black(grey, Mode.AUTO).mean() < 0.8


def test_a_line_of_text_is_no_picture() -> None:
    grey = page()
    grey[100:103, ::2] = 100  # thin and grey, but not an area
    assert halftone.tone_mask(grey) is None
    grey[200:240, 300:400] = 100
    mask = halftone.tone_mask(grey)
    assert mask is not None
    assert mask[200:240, 304:400].all() and not mask[:180].any()


def test_a_page_that_codes_badly_gets_the_line_screen() -> None:
    """A fax page must not take minutes: 200 kB are 111 s at 14,400 bit/s."""
    grey = np.random.default_rng(1).integers(40, 215, (2286 // 8, 1728 // 8), np.uint8).repeat(8, 0).repeat(8, 1)
    grey = np.vstack([grey, page(128, 6)])
    bits = halftone.to_bits(grey, Resolution.FINE, Mode.PHOTO)
    dots = halftone._screened(grey, np.ones_like(grey, bool), halftone._DOTS[Resolution.FINE])
    assert len(bitmap.encode(dots).data) > MAX_PAGE_OCTETS
    assert len(bitmap.encode(bits).data) < 0.8 * len(bitmap.encode(dots).data)
    assert bitmap.black_ratio(bits) == pytest.approx(bitmap.black_ratio(dots), abs=0.03)


@pytest.mark.parametrize("rows", [1, 7, 8, 255, 256, 257, 1143, 2286])
def test_working_in_bands_changes_no_pixel(rows: int) -> None:
    """The plain formula over the whole page, against what is done band by band, at heights around a band's."""
    source = np.random.default_rng(rows)
    grey = source.integers(0, 256, (rows, 1728), np.uint8)
    grey[: rows // 2] = 255
    tone = np.zeros((-(-rows // 8) * 8, 1728), bool)
    tone[:rows] = (grey >= halftone.TONE_LOW) & (grey <= halftone.TONE_HIGH)
    assert (halftone._tones(grey) == tone.reshape(-1, 8, 216, 8).sum(axis=(1, 3))).all()
    screen = halftone._DOTS[Resolution.FINE]
    mask = source.integers(0, 2, (rows, 1728), np.uint8).astype(bool)
    tiled = np.tile(screen, (-(-rows // screen.shape[0]), 1728 // screen.shape[1]))[:rows]
    expected = np.where(mask, halftone._CLIP[grey] < tiled, grey < halftone.THRESHOLD)
    assert (halftone._screened(grey, mask, screen) == bitmap.pack(expected)).all()
    assert (halftone.threshold(grey) == bitmap.pack(grey < halftone.THRESHOLD)).all()
