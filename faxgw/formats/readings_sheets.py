"""What was read on a received fax as a workbook: a sheet for each page, one for the barcodes; XLSX and XLS.

Every cell is a text, whatever it looks like: `=1+1` on a fax is no formula, and 007 keeps its noughts.
"""

from __future__ import annotations

import io
from collections.abc import Iterator

import xlsxwriter
import xlwt

from faxgw.formats.readings import ReadFax, grid

MAX_ROWS, MAX_COLUMNS = 65_536, 256
"""Of a sheet of XLS (BIFF8)."""
MAX_CELL = 32_767
"""Characters of a cell, of both."""
WIDTH = 22
"""Characters that a column shows."""

Row = list[tuple[int, str]]
"""Cells: column, text."""


def xlsx(fax: ReadFax) -> bytes:
    """Office Open XML (ECMA-376)."""
    out = io.BytesIO()
    options = {
        "in_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
    }
    with xlsxwriter.Workbook(out, options) as book:
        book.set_properties({"title": fax.title[:250], "created": fax.received_at.replace(tzinfo=None)})
        bold = book.add_format({"bold": True})
        for name, head, rows in _sheets(fax):
            sheet = book.add_worksheet(name)
            sheet.set_column(0, 20, WIDTH)
            for at, row in enumerate(rows):
                for column, content in row:
                    sheet.write_string(at, column, content, bold if head and at == 0 else None)
    return out.getvalue()


def xls(fax: ReadFax) -> bytes:
    """BIFF8, of Excel 97 to 2003."""
    book = xlwt.Workbook(encoding="utf-8")
    bold = xlwt.easyxf("font: bold on")
    plain = xlwt.easyxf()
    for name, head, rows in _sheets(fax):
        sheet = book.add_sheet(name)
        for column in range(20):
            sheet.col(column).width = WIDTH * 256
        for at, row in enumerate(rows):
            for column, content in row:
                sheet.write(at, column, content, bold if head and at == 0 else plain)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def _sheets(fax: ReadFax) -> Iterator[tuple[str, bool, list[Row]]]:
    """Name, whether it has a head line, rows."""
    by_page = {reading.page: reading for reading in fax.readings}
    for page in range(1, fax.pages + 1):
        reading = by_page.get(page)
        rows = [] if reading is None else [[(cell.column, cell.text) for cell in row] for row in grid(reading)]
        yield f"Page {page}", False, _bounded(rows)
    codes = [(reading.page, code) for reading in fax.readings for code in reading.barcodes]
    if codes:
        head: Row = list(enumerate(("Page", "Kind", "Text")))
        found: list[Row] = [[(0, str(page)), (1, code.kind.value), (2, code.text)] for page, code in codes]
        yield "Barcodes", True, _bounded([head, *found])


def _bounded(rows: list[Row]) -> list[Row]:
    return [
        [(column, content[:MAX_CELL]) for column, content in row if column < MAX_COLUMNS] for row in rows[:MAX_ROWS]
    ]
