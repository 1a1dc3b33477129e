"""What was read on a received fax, as files for people and programs: plain text, a list of barcodes, XML.

Spreadsheets are made by `readings_sheets`, HTML and RTF by `readings_pages`. Nothing of a fax is trusted: each format
escapes it, and no text becomes a formula, a link or a tag.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from xml.etree import ElementTree as ET

from faxgw.fax.reading import Box, PageReading, Word

NAMESPACE = "urn:faxgw:reading:1"
"""Of the XML."""
APART = 2.5
"""Widths of a letter between two words from which they stand in cells of their own; a space is about one."""
SAME_ROW = 0.5
"""Share of the lower one's height by which two pieces must overlap to stand in one row."""


@dataclass(frozen=True, slots=True)
class ReadFax:
    """A received fax and what was read on it."""

    reception: str
    title: str
    number: str
    """Our number, E.164."""
    caller: str
    """The caller's, as it came; empty when withheld."""
    ident: str
    """The sender's identification."""
    received_at: datetime
    pages: int
    """Of the fax; of some there may be no reading."""
    complete: bool
    readings: tuple[PageReading, ...]

    @property
    def unread(self) -> tuple[int, ...]:
        """Pages whose text is missing, in whole or in part."""
        whole = {reading.page for reading in self.readings if not reading.problem}
        return tuple(page for page in range(1, self.pages + 1) if page not in whole)


@dataclass(frozen=True, slots=True)
class Cell:
    """Words that stand together in a row."""

    text: str
    left: int
    right: int
    column: int


def text(fax: ReadFax) -> bytes:
    """UTF-8, pages with a form feed between."""
    by_page = {reading.page: reading.text for reading in fax.readings}
    return "\f".join(by_page.get(page, "") for page in range(1, fax.pages + 1)).encode()


def barcodes(fax: ReadFax) -> bytes:
    """UTF-8, a line for each: page, kind, text; what would break the line is escaped as in C."""
    lines = [
        f"{reading.page}\t{code.kind.value}\t{_one_line(code.text)}\n"
        for reading in fax.readings
        for code in reading.barcodes
    ]
    return "".join(lines).encode()


def xml(fax: ReadFax) -> bytes:
    """Pages, lines, words, barcodes."""
    root = ET.Element(
        "fax",
        {
            "xmlns": NAMESPACE,
            "id": fax.reception,
            "number": fax.number,
            "caller": fax.caller,
            "ident": fax.ident,
            "received": fax.received_at.isoformat(timespec="seconds"),
            "pages": str(fax.pages),
            "complete": "true" if fax.complete else "false",
        },
    )
    for reading in fax.readings:
        page = ET.SubElement(root, "page", _page_facts(reading))
        for line in lines(reading.words):
            element = ET.SubElement(page, "line", {"block": str(line[0].block)})
            for word in line:
                facts = {**_sides(word.box), "confidence": str(word.confidence)}
                ET.SubElement(element, "word", facts).text = word.text
        for code in reading.barcodes:
            facts = {"kind": code.kind.value, **_sides(code.box)}
            ET.SubElement(page, "barcode", facts).text = code.text.replace("\x1d", "\N{SYMBOL FOR GROUP SEPARATOR}")
    ET.indent(root)
    return bytes(ET.tostring(root, "utf-8", xml_declaration=True)) + b"\n"


def lines(words: Sequence[Word]) -> Iterator[list[Word]]:
    """Words by their lines, in reading order."""
    line: list[Word] = []
    for word in words:
        if line and line[-1].line != word.line:
            yield line
            line = []
        line.append(word)
    if line:
        yield line


def grid(reading: PageReading) -> list[list[Cell]]:
    """The page as rows of cells: words that stand apart are cells, cells below one another a column.

    Rows are made of what stands side by side, for the columns of a table may have been read one after the other.
    """
    pieces = [_upright(line, reading) for line in lines(reading.words)]
    letter = _letter(pieces)
    rows = [_cells(row, APART * letter) for row in _rows(pieces)]
    bounds = _columns(rows)
    return [_placed(row, bounds) for row in rows]


def _rows(pieces: list[list[Word]]) -> list[list[Word]]:
    rows: list[list[Word]] = []
    for piece in sorted(pieces, key=lambda words: (min(w.box.top for w in words), min(w.box.left for w in words))):
        top, bottom = min(w.box.top for w in piece), max(w.box.bottom for w in piece)
        for row in reversed(rows[-8:]):
            upper, lower = min(w.box.top for w in row), max(w.box.bottom for w in row)
            shared = min(bottom, lower) - max(top, upper)
            beside = all(w.box.left >= o.box.right or w.box.right <= o.box.left for w in piece for o in row)
            if beside and shared >= SAME_ROW * min(bottom - top, lower - upper):
                row.extend(piece)
                break
        else:
            rows.append(list(piece))
    return [sorted(row, key=lambda word: word.box.left) for row in rows]


def _cells(row: list[Word], gap: float) -> list[Cell]:
    cells: list[Cell] = []
    for word in row:
        if cells and word.box.left - cells[-1].right <= gap:
            last = cells[-1]
            cells[-1] = Cell(f"{last.text} {word.text}", last.left, max(last.right, word.box.right), 0)
        else:
            cells.append(Cell(word.text, word.box.left, word.box.right, 0))
    return cells


def _columns(rows: list[list[Cell]]) -> list[tuple[int, int]]:
    """What lies below one another in rows of several cells is a column, left-aligned or right-aligned."""
    spans = sorted((cell.left, cell.right) for row in rows if len(row) > 1 for cell in row)
    merged: list[tuple[int, int]] = []
    for left, right in spans:
        if merged and left < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(right, merged[-1][1]))
        else:
            merged.append((left, right))
    return merged


def _placed(row: list[Cell], bounds: list[tuple[int, int]]) -> list[Cell]:
    placed: list[Cell] = []
    for cell in row:
        column = next((at for at, (left, right) in enumerate(bounds) if cell.left < right and cell.right > left), 0)
        if placed and column <= placed[-1].column:
            last = placed[-1]
            placed[-1] = Cell(f"{last.text} {cell.text}", last.left, cell.right, last.column)
        else:
            placed.append(Cell(cell.text, cell.left, cell.right, column))
    return placed


def _letter(pieces: list[list[Word]]) -> float:
    """Width of a letter, the median's."""
    widths = [(w.box.right - w.box.left) / len(w.text) for piece in pieces for w in piece if w.text]
    return statistics.median(widths) if widths else 1.0


def _upright(words: list[Word], reading: PageReading) -> list[Word]:
    """Words with their places on the page as it is read."""
    if not reading.turned:
        return words
    return [Word(w.text, _turned(w.box, reading), w.confidence, w.line, w.block) for w in words]


def _turned(box: Box, reading: PageReading) -> Box:
    width, rows = reading.width, reading.rows
    match reading.turned:
        case 90:
            return Box(rows - box.bottom, box.left, rows - box.top, box.right)
        case 180:
            return Box(width - box.right, rows - box.bottom, width - box.left, rows - box.top)
        case _:
            return Box(box.top, width - box.right, box.bottom, width - box.left)


def _page_facts(reading: PageReading) -> dict[str, str]:
    facts = {"number": str(reading.page), "width": str(reading.width), "rows": str(reading.rows)}
    if reading.language:
        facts |= {"language": reading.language, "confidence": f"{reading.confidence:.0f}"}
    if reading.turned:
        facts["turned"] = str(reading.turned)
    if reading.problem:
        facts["problem"] = reading.problem
    return facts


def _sides(box: Box) -> dict[str, str]:
    return {"left": str(box.left), "top": str(box.top), "right": str(box.right), "bottom": str(box.bottom)}


def _one_line(content: str) -> str:
    return content.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\x1d", "\\x1d")
