"""The text behind a received page: unseen, where its words are, whatever way the page lies."""

from __future__ import annotations

import io
import re

import pytest
from fontTools.ttLib import TTFont

from faxgw.document.pdf_text import Sheet, font_file, layer, objects
from faxgw.fax.reading import Box, Word

POINTS = (612.0, 792.0)


def sheet(turned: int = 0) -> Sheet:
    return Sheet(1224, 1584, POINTS, turned)


def word(text: str, left: int, top: int, right: int, bottom: int, line: int = 0) -> Word:
    return Word(text, Box(left, top, right, bottom), 90, line, 0)


def shown(drawn: bytes) -> list[tuple[tuple[float, ...], str]]:
    """(text matrix, text) of each piece."""
    pieces = re.findall(rb"([-0-9. ]+) Tm <([0-9A-F]*)> Tj", drawn)
    return [
        (tuple(map(float, matrix.split())), bytes.fromhex(text.decode()).decode("utf-16-be")) for matrix, text in pieces
    ]


def test_a_page_without_words_has_no_text() -> None:
    assert layer([], sheet()) == b""


def test_it_is_drawn_unseen() -> None:
    """ISO 32000-1 section 9.3.6, text rendering mode 3."""
    assert b"3 Tr\n" in layer([word("fax", 0, 0, 60, 20)], sheet())


@pytest.mark.parametrize(
    ("turned", "matrix"),
    [
        (0, (1, 0, 0, 1, 50.0, 692.0)),
        (90, (0, 1, -1, 0, 100.0, 692.0)),
        (180, (-1, 0, 0, -1, 100.0, 742.0)),
        (270, (0, -1, 1, 0, 50.0, 742.0)),
    ],
)
def test_a_word_begins_where_it_is_read_from(turned: int, matrix: tuple[float, ...]) -> None:
    """Pixels 100 to 200 across and 100 to 200 down, half a point each; PDF counts from the bottom."""
    (found,) = shown(layer([word("fax", 100, 100, 200, 200)], sheet(turned)))
    assert found == (matrix, "fax")


def test_words_of_a_line_are_parted_by_spaces_and_have_one_size() -> None:
    drawn = layer([word("two", 0, 0, 60, 20), word("words", 80, 2, 180, 22), word("below", 0, 40, 60, 60, 1)], sheet())
    assert [text for _matrix, text in shown(drawn)] == ["two ", "words", "below"]
    assert len(re.findall(rb" Tf\n", drawn)) == 2


@pytest.mark.parametrize(
    ("text", "kept"),
    [("Ünï", "Ünï"), ("日本", "日本"), ("a😀b", "a\ufffdb"), ("\ufeffa\ufffeb\uffff", "\ufffda\ufffdb\ufffd")],
)
def test_every_character_is_found_again_or_told_to_be_none(text: str, kept: str) -> None:
    assert shown(layer([word(text, 0, 0, 60, 20)], sheet()))[0][1] == kept


def test_a_word_that_cannot_be_so_wide_is_stretched_within_bounds() -> None:
    """Horizontal scaling of readers ends somewhere; a word of one letter across the whole page is an error of OCR."""
    for box, least in ((word("i", 0, 0, 1_224, 4), 1.0), (word("m" * 500, 0, 0, 2, 200), 1.0)):
        (scale,) = re.findall(rb"([0-9.]+) Tz", layer([box], sheet()))
        assert least <= float(scale) <= 1_000.0


def test_the_font_is_one_and_the_same_at_every_start() -> None:
    """Two documents of one fax are the same octets."""
    first = font_file()
    font_file.cache_clear()
    assert font_file() == first and objects(7) == objects(7)
    assert TTFont(io.BytesIO(first)).getGlyphOrder() == [".notdef", "box"]
