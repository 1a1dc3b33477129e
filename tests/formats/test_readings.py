"""Text, barcodes and XML of what was read, and the page as rows and columns."""

from __future__ import annotations

from datetime import UTC, datetime
from xml.etree import ElementTree as ET

import pytest

from faxgw.fax.reading import Barcode, Box, PageReading, Symbology, Word
from faxgw.formats import readings
from faxgw.formats.readings import NAMESPACE, ReadFax, grid

NASTY = '<b>&"=1+1'


def words(*rows: tuple[int, list[tuple[int, str]]], line: int = 0) -> tuple[Word, ...]:
    """Words 20 pixels a letter wide: rows of (top, [(left, text)])."""
    return tuple(
        Word(text, Box(left, top, left + 20 * len(text), top + 30), 90, line + at, 0)
        for at, (top, row) in enumerate(rows)
        for left, text in row
    )


TABLE = words(
    (100, [(100, "Unsere"), (240, "Rechnung"), (420, "vom"), (500, "Tage")]),
    (200, [(100, "Artikel"), (600, "Menge"), (900, "Preis")]),
    (250, [(100, "Schraube"), (640, "100"), (920, "5,00")]),
    (300, [(100, "="), (140, "Summe"), (920, "5,00")]),
)


def fax(*pages: PageReading, count: int | None = None) -> ReadFax:
    when = datetime(2026, 11, 22, 4, 5, 6, tzinfo=UTC)
    return ReadFax("rcv_1", f"Fax {NASTY}", "+33199", "+4989", NASTY, when, count or len(pages), True, pages)


def test_text_has_a_form_feed_between_pages_even_where_nothing_was_read() -> None:
    made = readings.text(fax(PageReading(1, 1, 1, "one\n"), PageReading(3, 1, 1, "drei ß\n"), count=3))
    assert made == "one\n\f\fdrei ß\n".encode()
    assert fax(PageReading(1, 1, 1), PageReading(2, 1, 1, problem="text: x"), count=3).unread == (2, 3)


def test_barcodes_are_lines_that_nothing_breaks() -> None:
    codes = (
        Barcode(Symbology.CODE128, "A-1", Box(0, 0, 1, 1)),
        Barcode(Symbology.QR, "two\nlines\tand \\ \x1d", Box(0, 0, 1, 1)),
    )
    made = readings.barcodes(fax(PageReading(1, 1, 1), PageReading(2, 1, 1, barcodes=codes)))
    assert made == b"2\tcode128\tA-1\n2\tqr\ttwo\\nlines\\tand \\\\ \\x1d\n"


def test_xml_says_it_all_and_is_well_formed() -> None:
    code = Barcode(Symbology.QR, f"{NASTY}\x1d", Box(5, 6, 7, 8))
    page = PageReading(1, 1728, 2200, "x", (Word(NASTY, Box(1, 2, 3, 4), 88, 0, 0),), (code,), "deu", 180, 1.0, "late")
    root = ET.fromstring(readings.xml(fax(page)))
    space = {"r": NAMESPACE}
    assert root.get("ident") == NASTY and root.get("received") == "2026-11-22T04:05:06+00:00"
    (found,) = root.findall("r:page", space)
    assert (found.get("turned"), found.get("problem"), found.get("language")) == ("180", "late", "deu")
    (word,) = found.findall("r:line/r:word", space)
    assert word.text == NASTY and word.attrib == {
        "left": "1", "top": "2", "right": "3", "bottom": "4", "confidence": "88"
    }  # fmt: skip
    (barcode,) = found.findall("r:barcode", space)
    assert (barcode.get("kind"), barcode.text) == ("qr", f"{NASTY}\N{SYMBOL FOR GROUP SEPARATOR}")


def test_what_stands_apart_is_a_cell_and_what_stands_below_a_column() -> None:
    rows = [[(cell.column, cell.text) for cell in row] for row in grid(PageReading(1, 1728, 2200, words=TABLE))]
    assert rows == [
        [(0, "Unsere Rechnung vom Tage")],
        [(0, "Artikel"), (1, "Menge"), (2, "Preis")],
        [(0, "Schraube"), (1, "100"), (2, "5,00")],
        [(0, "= Summe"), (2, "5,00")],
    ]


def test_columns_read_one_after_the_other_are_rows_again() -> None:
    left = words((200, [(100, "Artikel")]), (250, [(100, "Schraube")]))
    right = words((202, [(900, "Preis")]), (249, [(920, "5,00")]), line=2)
    rows = [[(cell.column, cell.text) for cell in row] for row in grid(PageReading(1, 1728, 2200, words=left + right))]
    assert rows == [[(0, "Artikel"), (1, "Preis")], [(0, "Schraube"), (1, "5,00")]]


@pytest.mark.parametrize("turned", [90, 180, 270])
def test_a_page_that_lies_otherwise_gives_the_same_table(turned: int) -> None:
    width, rows = 1728, 2200

    def lie(box: Box) -> Box:
        """Where a box of the upright page (as high as wide for the quarter turns) lies on the page as received."""
        match turned:
            case 180:
                return Box(width - box.right, rows - box.bottom, width - box.left, rows - box.top)
            case 90:  # received with its top on the left
                return Box(box.top, rows - box.right, box.bottom, rows - box.left)
            case _:
                return Box(width - box.bottom, box.left, width - box.top, box.right)

    lying = tuple(Word(w.text, lie(w.box), w.confidence, w.line, w.block) for w in TABLE)
    upright = grid(PageReading(1, width, rows, words=TABLE))
    assert grid(PageReading(1, width, rows, words=lying, turned=turned)) == upright


def test_an_empty_page_is_no_rows() -> None:
    assert grid(PageReading(1, 1728, 2200)) == []
