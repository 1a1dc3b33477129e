"""Merged documents: the control commands in their text found and painted over, their pages taken apart (page process).

A word processor's mail merge writes `@@+33123456789@@` into each letter (docs/smtp.md). Where the commands stand and
what they say is found here; what they mean is `formats.job_commands`' business. A command must stand on one page, as
text: a scanned one is none.
"""

from __future__ import annotations

import ctypes
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pypdfium2
import pypdfium2.raw as pdfium

from faxgw.document import convert, office, pdf, refusal, sniff
from faxgw.document.limits import Limits
from faxgw.document.office import Programs
from faxgw.document.render import allow_cpu, memory_file, read_all
from faxgw.document.types import Cut, Document, Kind, Merged, MergedPage, Sliced

MAX_RUN = 1_000
"""Characters of one command's text at most."""
MAX_RUNS = 20
"""Commands of one page at most."""
MAX_CHARACTERS = 100_000
"""Characters of one page that are looked at."""
MARGIN = 1.0
"""Points that are painted over beyond the characters: strokes are drawn up to a pixel wider than they are."""
_RUN = re.compile(r"(?<!@)@@(?!@)([^@]|@(?!@)){0," + str(MAX_RUN) + r"}?(?<!@)@@(?!@)", re.DOTALL)
_LONE = re.compile(r"(?<!@)@@(?!@)")
_SPACES = re.compile(r"[\s\x00-\x1f\ufffe\uffff]+")


@dataclass(frozen=True, slots=True)
class _Box:
    """A rectangle on a page, in points, the origin below on the left."""

    left: float
    bottom: float
    right: float
    top: float

    def joins(self, other: _Box) -> bool:
        """Whether the other stands on the same line."""
        overlap = min(self.top, other.top) - max(self.bottom, other.bottom)
        return overlap > 0.5 * min(self.top - self.bottom, other.top - other.bottom)

    def with_(self, other: _Box) -> _Box:
        return _Box(
            min(self.left, other.left),
            min(self.bottom, other.bottom),
            max(self.right, other.right),
            max(self.top, other.top),
        )


def merge(document: Document, limits: Limits, programs: Programs) -> Merged:
    """Find the commands of a document, and make it a PDF on which they are not to be seen.

    Raises:
        DocumentRefused: If it is neither PDF nor Office document, damaged, or has too many pages or commands.
        Unavailable: If a program outside fails without its fault.
    """
    allow_cpu(limits.page_cpu)
    made = _as_pdf(document, limits, programs)
    opened = pdf.open_pdf(made, document.name)
    try:
        if len(opened) > limits.pages:
            raise refusal.too_many_pages(document.name, len(opened), limits.pages)
        found = []
        for index in range(len(opened)):
            allow_cpu(limits.page_cpu)
            found.append(MergedPage(tuple(_take_out(opened, index, document.name))))
        fd = memory_file(_saved(opened))
    finally:
        opened.close()
    assert fd is not None  # memory_file of octets
    return Merged(fd, tuple(found))


def cut(merged_fd: int, wanted: Cut) -> Sliced:
    """Take pages of a merged document out, as PDFs of their own.

    Raises:
        DocumentRefused: If they are not there.
    """
    source = pdf.open_pdf(read_all(merged_fd), "merged document")
    made: list[Document] = []
    try:
        for piece in wanted.slices:
            if not 1 <= piece.first <= piece.last <= len(source):
                raise refusal.damaged("merged document", piece.first)
            part = pypdfium2.PdfDocument.new()
            try:
                part.import_pages(source, list(range(piece.first - 1, piece.last)))
                octets = _saved(part)
            finally:
                part.close()
            fd = memory_file(octets)
            assert fd is not None  # memory_file of octets
            made.append(Document(fd, "merged document", Kind.PDF, size=len(octets)))
    finally:
        source.close()
    return Sliced(tuple(made))


def _as_pdf(document: Document, limits: Limits, programs: Programs) -> bytes:
    data = read_all(document.fd)
    kind = convert.kind_of(data, document.kind)
    if kind is Kind.PDF:
        return data
    if isinstance(kind, sniff.Unknown):
        raise refusal.unsupported(document.name, kind.what)
    if kind in programs.kinds and programs.to_pdf is not None:
        office.check(data, kind, document.name)
        return programs.to_pdf(data, kind, document.name, limits.pages + 1)
    raise refusal.merged(document.name, "“{name}” is no merged document: those are PDF or Office documents.")


def _take_out(opened: pypdfium2.PdfDocument, index: int, name: str) -> Iterator[str]:
    """The commands of a page, each with its marks; painted over."""
    try:
        page = opened[index]
    except pypdfium2.PdfiumError as exc:
        raise refusal.damaged(name, index + 1) from exc
    try:
        text = page.get_textpage()
        try:
            if "@@" not in text.get_text_range():
                return
            characters = "".join(map(_character, _codes(text)))
            runs = list(_RUN.finditer(characters))
            if _LONE.search(_RUN.sub(" ", characters)):
                raise _refused(name, index + 1, "a command begins with @@ and does not end with @@")
            if len(runs) > MAX_RUNS:
                raise _refused(name, index + 1, "it has more than {limit} commands", limit=MAX_RUNS)
            boxes = [box for run in runs for box in _lines(text, run.start(), run.end())]
        finally:
            text.close()
        _paint(page, boxes)
        for run in runs:
            yield _SPACES.sub(" ", run[0]).strip()
    finally:
        page.close()


def _refused(name: str, page: int, what: str, **values: int) -> refusal.DocumentRefused:
    return refusal.merged(name, "“{name}”, page {page}: {clause}.", page, what, **values)


def _codes(text: pypdfium2.PdfTextPage) -> Iterator[int]:
    for index in range(min(text.count_chars(), MAX_CHARACTERS)):
        yield pdfium.FPDFText_GetUnicode(text, index)


def _character(code: int) -> str:
    """One character for each of PDFium's, so that their places stay the same."""
    return chr(code) if 0 < code < 0x110000 and not 0xD800 <= code < 0xE000 else " "


def _lines(text: pypdfium2.PdfTextPage, first: int, end: int) -> list[_Box]:
    """Where characters stand, one rectangle a line."""
    found: list[_Box] = []
    for index in range(first, end):
        box = _box(text, index)
        if box is None:
            continue
        if found and found[-1].joins(box):
            found[-1] = found[-1].with_(box)
        else:
            found.append(box)
    return found


def _box(text: pypdfium2.PdfTextPage, index: int) -> _Box | None:
    """Where a character stands; None for one that is not drawn."""
    rectangle = pdfium.FS_RECTF()
    left, right, bottom, top = (ctypes.c_double() for _ in range(4))
    boxes: list[_Box] = []
    if pdfium.FPDFText_GetLooseCharBox(text, index, rectangle):
        boxes.append(_Box(rectangle.left, rectangle.bottom, rectangle.right, rectangle.top))
    if pdfium.FPDFText_GetCharBox(text, index, left, right, bottom, top):
        boxes.append(_Box(left.value, bottom.value, right.value, top.value))
    drawn = [box for box in boxes if box.right > box.left and box.top > box.bottom]
    if not drawn:
        return None
    return drawn[0].with_(drawn[-1])


def _paint(page: pypdfium2.PdfPage, boxes: Sequence[_Box]) -> None:
    """Paint rectangles white, above all else."""
    for box in boxes:
        width, height = box.right - box.left + 2 * MARGIN, box.top - box.bottom + 2 * MARGIN
        rectangle = pdfium.FPDFPageObj_CreateNewRect(box.left - MARGIN, box.bottom - MARGIN, width, height)
        pdfium.FPDFPageObj_SetFillColor(rectangle, 255, 255, 255, 255)
        pdfium.FPDFPath_SetDrawMode(rectangle, pdfium.FPDF_FILLMODE_WINDING, False)
        pdfium.FPDFPage_InsertObject(page, rectangle)
    if boxes:
        pdfium.FPDFPage_GenerateContent(page)


def _saved(document: pypdfium2.PdfDocument) -> bytes:
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()
