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
    clipped = (ink - halftone.FLAT_CLIP[0]) / (halftone.FLAT_CLIP[1] - halftone.FLAT_CLIP[0])
    assert inside == pytest.approx(ink if ink < 0.31 else clipped, abs=0.04)


def test_darker_tones_are_never_lighter() -> None:
    inks = [black(page(value, 64), Mode.PHOTO).mean() for value in range(0, 256, 5)]
    assert inks == sorted(inks, reverse=True)
    assert inks[0] == 1 and inks[-1] == 0


def test_a_light_stripe_behind_text_is_cleared() -> None:
    grey = page()
    grey[160:230, 100:900] = 224  # 12 % ink, 9 mm high
    grey[200:204, 200:800] = 0
    seen = black(grey)
    assert seen[200:204, 200:800].all()
    assert seen.sum() == 4 * 600


def test_a_large_light_panel_keeps_a_rim_that_fades_out() -> None:
    """Its edge is seen: nearly all the ink at it, none from RIM blocks within on, nothing outside."""
    grey = page()
    grey[104:504, 104:1304] = 224
    seen = black(grey)
    assert not seen[:104].any() and not seen[504:].any() and not seen[:, :104].any() and not seen[:, 1304:].any()
    within = 8 * halftone.RIM
    assert not seen[104 + within : 504 - within, 104 + within : 1304 - within].any()
    rings = [seen[104 + at : 112 + at, 160:1240].mean() for at in range(0, within, 8)]
    assert rings == sorted(rings, reverse=True)
    assert rings[0] == pytest.approx(0.12, abs=0.03) and rings[-1] < 0.03


@pytest.mark.parametrize("resolution", [Resolution.FINE, Resolution.SUPERFINE])
def test_the_rim_keeps_off_text_and_out_of_the_space_between_words(resolution: Resolution) -> None:
    """A word space of 8 points is 6 pixels: a dot in it would be read as a point or a comma."""
    times = resolution.multiple // 2
    grey = page(rows=800 * times)
    grey[104 * times : 504 * times, 104:1304] = 224
    for left in range(150, 1200, 40):
        grey[125 * times : 140 * times, left : left + 30] = 0
    seen = black(grey, resolution=resolution)
    down, beside = halftone.KEEP_OFF
    line = seen[(125 - down) * times : (140 + down) * times, 150 - beside : 1180 + beside].copy()
    for left in range(150, 1200, 40):
        at = left - 150 + beside
        assert line[down * times : (down + 15) * times, at : at + 30].all()
        line[down * times : (down + 15) * times, at : at + 30] = 0
    assert not line.any()
    assert seen[104 * times : (125 - down) * times, 150:1180].mean() > 0.05


def test_stripes_are_no_panel_together() -> None:
    """Every other row of a table: white between them, 12.5 points high."""
    grey = page()
    for top in range(100, 700, 70):
        grey[top : top + 35, 100:1500] = 224
    assert not black(grey).any()


def test_a_panel_that_stays_dots_has_no_rim_beside_them() -> None:
    """The smoothed edge of a quarter of ink is light: no other dots there."""
    grey = page()
    grey[104:504, 104:1304] = 190
    grey[102:104, 104:1304] = 222
    assert not black(grey)[:104].any()


def test_pages_for_standard_have_no_rim() -> None:
    grey = page()
    grey[104:504, 104:1304] = 224
    assert not black(grey, resolution=Resolution.STANDARD).any()


def test_a_heading_upon_a_panel_makes_no_edge_within_it() -> None:
    grey = page()
    grey[104:704, 104:1304] = 224
    grey[380:404, 500:900] = 0  # a block of strokes three blocks high
    seen = black(grey)
    assert seen[380:404, 500:900].all()
    assert not seen[300:380, 300:1100].any() and not seen[404:500, 300:1100].any()


def test_a_page_too_large_has_no_rim() -> None:
    grey = page(rows=2286)
    grey[1800:2200, 104:1304] = 224
    noise = np.random.default_rng(3).integers(40, 215, (1600 // 8, 1728 // 8), np.uint8)
    grey[:1600] = noise.repeat(8, 0).repeat(8, 1)
    bits = halftone.to_bits(grey, Resolution.FINE, Mode.AUTO)
    assert not bitmap.unpack(bits)[1800:2200].any()
    grey[:1600] = 255
    assert bitmap.unpack(halftone.to_bits(grey, Resolution.FINE, Mode.AUTO))[1800:2200].any()


@pytest.mark.parametrize("reach", [0, 1, 2, 4, 10, 13])
def test_widened_reaches_that_far(reach: int) -> None:
    mask = np.zeros((60, 70), bool)
    mask[30, 35] = mask[2, 0] = True
    for axis in (0, 1):
        expected = np.zeros_like(mask)
        for row, column in ((30, 35), (2, 0)):
            if axis == 0:
                expected[max(0, row - reach) : row + reach + 1, column] = True
            else:
                expected[row, max(0, column - reach) : column + reach + 1] = True
        assert (halftone._widened(mask, reach, axis) == expected).all()


def test_dots_of_a_darker_panel_keep_away_from_its_text() -> None:
    """A quarter of ink: no dot within a block of a letter, dots where there is none."""
    grey = page()
    grey[100:300, 100:900] = 191
    grey[200:204, 200:208] = 0
    seen = black(grey)
    assert seen[192:216, 192:216].sum() == 4 * 8
    assert seen[104:184, 104:896].mean() == pytest.approx(0.25, abs=0.04)


@pytest.mark.parametrize("panel", [224, 190])
@pytest.mark.parametrize("colour", [29, 76, 130])
def test_coloured_type_on_a_light_panel_is_solid(colour: int, panel: int) -> None:
    grey = page()
    grey[100:400, 100:900] = panel
    for top in range(120, 380, 32):
        grey[top : top + 20, 200:204] = colour
        grey[top : top + 3, 200:800] = colour
    seen = black(grey)
    for top in range(120, 380, 32):
        assert seen[top : top + 3, 200:800].all() and seen[top : top + 20, 200:204].all()


def test_a_dark_panel_is_black_around_white_type_and_nowhere_else() -> None:
    grey = page()
    grey[100:400, 100:1500] = 70
    for left in range(200, 500, 16):
        grey[240:260, left : left + 3] = 255
    seen = black(grey)
    for left in range(200, 484, 16):
        assert not seen[240:260, left : left + 3].any()
        assert seen[240:260, left + 3 : left + 16].all()
    assert seen[232:268, 190:500].mean() > 0.8
    assert 0.6 < seen[300:380, 200:500].mean() < 0.85
    assert 0.6 < seen[104:112, 200:1400].mean() < 0.85, "no black rim"


def test_a_dark_panel_upon_a_light_one_gets_no_black_rim() -> None:
    grey = page()
    grey[100:500, 100:900] = 224
    grey[203:403, 301:701] = 128
    seen = black(grey)
    inner = seen[203:403, 301:701]
    assert 0.3 < inner[:8].mean() < 0.7 and 0.3 < inner[:, :8].mean() < 0.7
    assert 0.4 < inner.mean() < 0.6


def test_text_only_and_photo_are_what_they_say() -> None:
    grey = page(120)
    assert black(grey, Mode.TEXT).all()
    assert 0.3 < black(grey, Mode.PHOTO).mean() < 0.8
    assert 0.3 < black(grey, Mode.AUTO).mean() < 0.8


def test_a_line_of_text_is_no_picture() -> None:
    grey = page()
    grey[100:103, ::2] = 100  # thin and grey, but not an area
    assert halftone.tone_blocks(grey) is None
    grey[200:240, 300:400] = 100
    blocks = halftone.tone_blocks(grey)
    assert blocks is not None
    assert blocks[25:30, 38:50].all() and not blocks[:22].any()


def test_a_page_that_codes_badly_gets_the_line_screen() -> None:
    """A fax page must not take minutes: 200 kB are 111 s at 14,400 bit/s."""
    grey = np.random.default_rng(1).integers(40, 215, (2286 // 8, 1728 // 8), np.uint8).repeat(8, 0).repeat(8, 1)
    grey = np.vstack([grey, page(128, 6)])
    bits = halftone.to_bits(grey, Resolution.FINE, Mode.PHOTO)
    dots = halftone._screened(
        grey, np.ones_like(grey, bool), np.zeros_like(grey, bool), halftone._SCREENS[Resolution.FINE][0]
    )
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
    screen = halftone._SCREENS[Resolution.FINE][0]
    mask, flat = source.integers(0, 2, (2, rows, 1728), np.uint8).astype(bool)
    tiled = np.tile(screen, (-(-rows // screen.shape[0]), 1728 // screen.shape[1] + 1))[:rows, :1728]
    toned = np.where(flat, halftone._FLAT[grey], halftone._PHOTO[grey])
    expected = np.where(mask, toned < tiled, grey < halftone.THRESHOLD)
    assert (halftone._screened(grey, mask, flat, screen) == bitmap.pack(expected)).all()
    assert (halftone.threshold(grey) == bitmap.pack(grey < halftone.THRESHOLD)).all()


def test_a_flat_tint_is_told_from_a_picture() -> None:
    grey = page()
    grey[80:160, 80:400] = 225  # a panel of 12 % ink, with text on it
    grey[100:110, 100:200] = 0
    grey[400:480, 80:400] = np.random.default_rng(2).integers(215, 235, (80, 320), np.uint8)
    blocks = halftone.tone_blocks(grey)
    assert blocks is not None
    flat = halftone._flat_regions(grey, blocks)
    assert flat[10:20, 10:50].all() and not flat[50:60, 10:50].any()
    bits = bitmap.unpack(halftone.to_bits(grey, Resolution.FINE, Mode.AUTO))
    assert bits[100:110, 100:200].all() and bits[80:160, 80:400].sum() == 1000  # the text and nothing else
    assert bitmap.black_ratio(bitmap.pack(bits[400:480, 80:400] > 0)) == pytest.approx(0.11, abs=0.03)


def test_regions_are_those_of_a_flood() -> None:
    """Against the plain definition, on random blocks: U shapes and spirals join late."""
    for seed in range(40):
        blocks = np.random.default_rng(seed).random((12, 15)) < 0.3 + seed / 100
        found = halftone._regions(blocks)
        assert ((found > 0) == blocks).all()
        seen: dict[int, set[tuple[int, int]]] = {}
        for at in zip(*np.nonzero(blocks), strict=True):
            seen.setdefault(int(found[at]), set()).add((int(at[0]), int(at[1])))
        for region in seen.values():
            reached, fresh = set(), {min(region)}
            while fresh:
                reached |= fresh
                near = {(r + i, c + j) for r, c in fresh for i in (-1, 0, 1) for j in (-1, 0, 1)}
                fresh = {(r, c) for r, c in near if 0 <= r < 12 and 0 <= c < 15 and blocks[r, c]} - reached
            assert reached == region
