"""Photographs of documents become text; photographs of anything else stay pictures."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from faxgw.document import bitmap, images, paper
from faxgw.document.fit import Target
from faxgw.document.types import Mode, Resolution

Floats = npt.NDArray[np.float64]
WIDTH, HEIGHT = 900, 1200
WORDS = "The undersigned confirms that the goods named below were received in good order and without claims. " * 3


def letter(points: int = 20) -> Image.Image:
    """A page of text, black on nearly white."""
    page = Image.new("L", (WIDTH, HEIGHT), 245)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(points)
    for row, top in enumerate(range(100, HEIGHT - 100, points * 2)):
        draw.text((100, top), WORDS[row % 40 :][: 1400 // points], font=font, fill=30)
    return page


def lit(picture: Image.Image, seed: int, fall: float, noise: float) -> Image.Image:
    """Light that falls off across the picture, a soft shadow, a lens, and a sensor's noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0 : picture.height, 0 : picture.width] / (picture.height, picture.width)[0]
    angle = random.uniform(0, 2 * np.pi)
    slope = np.cos(angle) * x + np.sin(angle) * y
    light = 0.9 - fall * (slope - slope.min()) / np.ptp(slope)
    light -= 0.15 * np.exp(-((x - random.uniform(0.2, 0.6)) ** 2 + (y - random.uniform(0.2, 0.8)) ** 2) / 0.1)
    grey = np.asarray(picture.filter(ImageFilter.GaussianBlur(0.6)), np.float64) * light
    return eight_bit(grey + random.normal(0, noise, grey.shape))


def tilted(picture: Image.Image, seed: int, desk: int) -> Image.Image:
    """The page as seen from a little aside, upon a desk."""
    random = np.random.default_rng(seed)
    corners = [(0, 0), (WIDTH, 0), (WIDTH, HEIGHT), (0, HEIGHT)]
    rows, wanted = [], []
    for x, y in corners:
        u, v = ((0.05 + 0.9 * at / side + random.uniform(-0.02, 0.02)) * side for at, side in ((x, WIDTH), (y, HEIGHT)))
        rows += [[u, v, 1, 0, 0, 0, -x * u, -x * v], [0, 0, 0, u, v, 1, -y * u, -y * v]]
        wanted += [x, y]
    quad = np.linalg.solve(np.array(rows), np.array(wanted, np.float64)).tolist()
    return picture.transform(
        picture.size, Image.Transform.PERSPECTIVE, quad, Image.Resampling.BICUBIC, fillcolor=desk
    )  # fmt: skip


def eight_bit(values: Floats) -> Image.Image:
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def clouds(seed: int, power: float) -> Floats:
    """Natural texture: noise whose amplitude falls with the frequency; mean 0, standard deviation 1."""
    random = np.random.default_rng(seed)
    across, down = np.meshgrid(np.fft.fftfreq(WIDTH), np.fft.fftfreq(HEIGHT))
    scale = np.hypot(across, down)
    scale[0, 0] = 1.0
    made = np.fft.ifft2(np.exp(2j * np.pi * random.random(scale.shape)) / scale**power).real
    return np.asarray((made - made.mean()) / made.std(), np.float64)


def scenery(seed: int) -> Floats:
    y = np.mgrid[0:HEIGHT, 0:WIDTH][0]
    return np.where(y < 0.55 * HEIGHT, 230 - 60 * y / HEIGHT, 90 + 45 * clouds(seed, 0.7))


def portrait(seed: int) -> Floats:
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    face = ((x - WIDTH / 2) / (WIDTH * 0.25)) ** 2 + ((y - HEIGHT / 2) / (HEIGHT * 0.35)) ** 2
    grey = np.where(face < 1, 170 - 60 * face, 225.0) + 7 * clouds(seed, 1.2)
    return np.where((face < 1.2) & (y < HEIGHT * 0.35), 50 + 15 * clouds(seed + 1, 1), grey)


def windows(seed: int) -> Floats:
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.where((y % 150 < 80) & (x % 120 < 50), 60, 205) + 8 * clouds(seed, 1)


def grass(seed: int) -> Floats:
    random = np.random.default_rng(seed)
    picture = eight_bit(170 + 25 * clouds(seed, 1.2))
    draw = ImageDraw.Draw(picture)
    for _blade in range(3_000):
        x, y = random.uniform(0, WIDTH), random.uniform(0.3 * HEIGHT, HEIGHT)
        end = (x + random.normal(0, 8), y - random.uniform(15, 60))
        draw.line((x, y, *end), fill=int(random.integers(30, 160)), width=int(random.integers(1, 4)))
    return np.asarray(picture, np.float64)


PHOTOGRAPHS = {
    "texture": lambda seed: 128 + 50 * clouds(seed, 1.4),
    "fine texture": lambda seed: 128 + 50 * clouds(seed, 1.0),
    "bright": lambda seed: 200 + 25 * clouds(seed, 1.2),
    "scenery": scenery,
    "portrait": portrait,
    "windows": windows,
    "grass": grass,
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_a_photograph_stays_as_it_is(name: str, seed: int) -> None:
    grey = PHOTOGRAPHS[name](seed)
    assert paper.levelled(eight_bit(grey + np.random.default_rng(seed).normal(0, 4, grey.shape))) is None


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("desk", [50, 110, 200])
@pytest.mark.parametrize(("fall", "noise"), [(0.3, 4), (0.5, 6), (0.65, 6), (0.4, 7)])
def test_a_page_upon_a_desk_is_found(seed: int, desk: int, fall: float, noise: float) -> None:
    assert paper.levelled(lit(tilted(letter(), seed, desk), seed, fall, noise)) is not None


@pytest.mark.parametrize("points", [14, 20, 40])
@pytest.mark.parametrize(("fall", "noise"), [(0.3, 4), (0.6, 6)])
def test_the_text_comes_out_as_it_was_written(points: int, fall: float, noise: float) -> None:
    """Black where the page is, and nowhere else: the edges of strokes apart, one pixel to each side."""
    page = letter(points)
    found = paper.levelled(lit(page, 1, fall, noise))
    assert found is not None
    black, ink = np.asarray(found) < 176, page.point(lambda grey: 255 if grey < 128 else 0)
    thick, core = np.asarray(ink.filter(ImageFilter.MaxFilter(5))) > 0, np.asarray(page) < 60
    assert black[core].mean() > 0.97
    assert black[~thick].mean() < 0.0005


@pytest.mark.parametrize("resolution", list(Resolution))
def test_the_page_costs_far_fewer_octets(resolution: Resolution) -> None:
    picture = lit(letter(), 2, 0.5, 6)
    size = {}
    for mode in (Mode.AUTO, Mode.PHOTO):
        (bits,) = images.sheets(picture, (96, 96), 1, 1, Target(resolution, mode=mode))
        size[mode] = len(bitmap.encode(bits).data)
    assert size[Mode.AUTO] < 0.5 * size[Mode.PHOTO]


def test_what_is_clean_already_is_not_touched() -> None:
    assert paper.levelled(letter().point(lambda grey: 255 if grey > 128 else 0)) is None
    assert paper.levelled(Image.new("L", (400, 300), 120)) is None
    assert paper.levelled(Image.new("L", (1, 1), 120)) is None
