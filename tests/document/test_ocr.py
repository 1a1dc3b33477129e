"""The reader of letters: what it finds and where, which way a page lies, and what it says when it lacks something."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageDraw, ImageFont

from faxgw.document import ocr
from faxgw.document.ocr import Found, NoText, Recognised
from tests.document.test_read import FONT

Grey = npt.NDArray[np.uint8]
LINES = ("The quick brown fox jumps", "over the lazy dog and then", "rests until the next morning")


def picture(lines: tuple[str, ...] = LINES, turn: int = 0) -> Grey:
    """Black letters on white at 200 dpi."""
    image = Image.new("L", (1200, 500), 255)
    draw, font = ImageDraw.Draw(image), ImageFont.truetype(FONT, 44)
    for row, line in enumerate(lines):
        draw.text((60, 60 + 120 * row), line, font=font, fill=0)
    return np.asarray(image.rotate(-turn, expand=True, fillcolor=255))


def test_words_are_found_where_they_stand_in_reading_order() -> None:
    found = ocr.read(picture(), 200, ["eng"], 30_000)
    assert [word.text for word in found.words][:5] == ["The", "quick", "brown", "fox", "jumps"]
    first = found.words[0]
    assert 50 <= first.left <= 70 and 55 <= first.top <= 85 and first.right - first.left < 130
    assert found.whole and found.confidence > 80
    assert [word.line for word in found.words] == sorted(word.line for word in found.words)


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_which_way_a_page_must_be_turned_is_seen(turn: int) -> None:
    """A page that lies turned by `turn` must be turned the rest of the way."""
    lines = tuple(line for _ in range(2) for line in LINES)
    image = Image.new("L", (1500, 1000), 255)
    draw, font = ImageDraw.Draw(image), ImageFont.truetype(FONT, 52)
    for row, line in enumerate(lines):
        draw.text((60, 60 + 140 * row), line + " " + LINES[row % 3], font=font, fill=0)
    lying = np.asarray(image.rotate(-turn, expand=True, fillcolor=255))
    assert ocr.orientation(lying, 200) == (360 - turn) % 360


def test_a_page_without_letters_has_no_way_up() -> None:
    assert ocr.orientation(np.full((400, 400), 255, np.uint8), 200) is None
    assert ocr.read(np.full((400, 400), 255, np.uint8), 200, ["eng"], 30_000).words == ()


def test_a_language_that_is_not_installed_is_named() -> None:
    with pytest.raises(NoText, match="no language data for tlh"):
        ocr.read(picture(), 200, ["eng", "tlh"], 30_000)


def test_what_is_installed_is_what_can_be_asked_for() -> None:
    assert {"eng", "fra", "deu"} <= ocr.installed() and "tlh" not in ocr.installed()


def word(text: str, confidence: int) -> Found:
    return Found(text, 0, 0, 9, 9, confidence, 0, 0)


def test_much_read_surely_outweighs_more_read_badly() -> None:
    """Two readings of one page are compared so; single letters are the specks of a bad line and count nothing."""
    sure = Recognised((word("invoice", 95), word("4711", 90)), "", True)
    unsure = Recognised(tuple(word("inv0lce", 40) for _ in range(5)), "", True)
    specks = Recognised(tuple(word("i", 99) for _ in range(500)), "", True)
    assert sure.weight > unsure.weight > specks.weight == 0.0
    assert Recognised((), "", True).confidence == 0.0
