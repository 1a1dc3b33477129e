"""Workbooks of what was read: every cell a text, whatever it looks like."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, datetime

from faxgw.fax.reading import Barcode, Box, PageReading, Symbology, Word
from faxgw.formats import readings_sheets
from faxgw.formats.readings import ReadFax

FORMULA = "=cmd|'/c calc'!A1"


def fax() -> ReadFax:
    page = PageReading(
        1,
        1728,
        2200,
        "x",
        (Word(FORMULA, Box(100, 100, 400, 130), 90, 0, 0), Word("007", Box(900, 100, 960, 130), 90, 0, 0)),
        (Barcode(Symbology.EAN13, "4006381333931", Box(0, 0, 9, 9)),),
    )
    when = datetime(2026, 11, 22, 4, 5, 6, tzinfo=UTC)
    return ReadFax("rcv_1", "Fax", "+33", "+49", "", when, 2, True, (page,))


def test_xlsx_has_a_sheet_for_each_page_and_no_formula() -> None:
    with zipfile.ZipFile(io.BytesIO(readings_sheets.xlsx(fax()))) as book:
        workbook = book.read("xl/workbook.xml").decode()
        strings = book.read("xl/sharedStrings.xml").decode()
        sheets = "".join(book.read(name).decode() for name in book.namelist() if name.startswith("xl/worksheets/"))
    assert workbook.index('name="Page 1"') < workbook.index('name="Page 2"') < workbook.index('name="Barcodes"')
    assert "<t>=cmd|'/c calc'!A1</t>" in strings and "<t>007</t>" in strings and "<t>4006381333931</t>" in strings
    assert "<f>" not in sheets and "hyperlink" not in sheets and '<c r="B1" t="s">' in sheets


def test_xls_is_a_compound_file_with_the_texts() -> None:
    made = readings_sheets.xls(fax())
    assert made.startswith(bytes.fromhex("d0cf11e0a1b11ae1"))
    assert FORMULA.encode() in made or FORMULA.encode("utf-16-le") in made
    assert b"4006381333931" in made
