"""PDF to fax pages with PDFium, drawn directly on the fax grid (page process only).

The page is drawn grey at 204 × 98 or 204 × 196, with independent scales. Text is not smoothed: its strokes keep at
least one pixel, and only real tones are grey. Lines and shapes are: unsmoothed, PDFium drops every third horizontal
line of half a point at 98 rows per inch (measured with 5.15.2: 46 of 69 drawn); smoothed, each survives the threshold.

PDFium aborts its process when it runs out of memory: one document per process.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator

import numpy as np
import pypdfium2
import pypdfium2.raw as pdfium

from faxgw.document import bitmap, fit, halftone, refusal
from faxgw.document.bitmap import Bits, Grey
from faxgw.document.fit import Placement, Target
from faxgw.document.pdf_fonts import SystemFonts
from faxgw.document.tiff import WIDTH

MM_PER_POINT = 25.4 / 72
_FLAGS = pdfium.FPDF_ANNOT | pdfium.FPDF_PRINTING | pdfium.FPDF_RENDER_NO_SMOOTHTEXT


_fonts = SystemFonts()
_fonts.install()


def sample() -> bytes:
    """A page with the standard faces Helvetica and Times, upright and bold (PDF 1.7 section 9.6.2.2)."""
    faces = ("Helvetica", "Helvetica-Bold", "Times-Roman", "Times-Bold")
    fonts = "".join(f"/F{n} << /Type /Font /Subtype /Type1 /BaseFont /{face} >> " for n, face in enumerate(faces))
    text = "".join(f"/F{n} 10 Tf 0 -12 Td (The quick brown fox, 0123456789) Tj " for n in range(len(faces)))
    content = f"BT 50 800 Td {text}ET"
    return (
        "%PDF-1.4\n"
        "1 0 obj << /Type /Catalog /Pages 2 0 R >> endobj\n"
        "2 0 obj << /Type /Pages /Kids [3 0 R] /Count 1 >> endobj\n"
        f"3 0 obj << /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << {fonts}>> >> "
        "/Contents 4 0 R >> endobj\n"
        f"4 0 obj << /Length {len(content)} >> stream\n{content}\nendstream endobj\n"
        "trailer << /Root 1 0 R >>\nstartxref\n0\n%%EOF\n"
    ).encode("ascii")


def pages(data: bytes, name: str, target: Target) -> Iterator[tuple[int, Bits]]:
    """Render all pages.

    Yields:
        The page's number from 1 and its pixels; a long page several times.

    Raises:
        DocumentRefused: If it asks for a password, is damaged or has too many pages.
    """
    document = open_pdf(data, name)
    try:
        document.init_forms()
        count = len(document)
        for index in range(count):
            target.begin(index + 1, count)
            yield from ((index + 1, bits) for bits in _page(document, index, name, target))
    finally:
        document.close()


def count(data: bytes, name: str) -> int:
    """Pages of a PDF.

    Raises:
        DocumentRefused: If it cannot be opened.
    """
    document = open_pdf(data, name)
    try:
        return len(document)
    finally:
        document.close()


def open_pdf(data: bytes, name: str) -> pypdfium2.PdfDocument:
    """Open a PDF; the caller closes it.

    Raises:
        DocumentRefused: If it asks for a password or is damaged.
    """
    try:
        return pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as exc:
        if exc.err_code in (pdfium.FPDF_ERR_PASSWORD, pdfium.FPDF_ERR_SECURITY):
            raise refusal.encrypted(name) from exc
        raise refusal.damaged(name) from exc


def _page(document: pypdfium2.PdfDocument, index: int, name: str, target: Target) -> Iterator[Bits]:
    try:
        page = document[index]
    except pypdfium2.PdfiumError as exc:
        raise refusal.damaged(name, index + 1) from exc
    try:
        width_mm, height_mm = (points * MM_PER_POINT for points in page.get_size())
        if not (math.isfinite(width_mm) and math.isfinite(height_mm) and width_mm > 0 and height_mm > 0):
            raise refusal.damaged(name, index + 1)
        placement = fit.place(width_mm, height_mm, target)
        first = sheet = 0
        while first < placement.height:
            if sheet:
                target.begin(index + 1, len(document) + max(sheet, placement.sheets - 1))
            bits, rows = _sheet(document, page, placement, first, target)
            yield bits
            first, sheet = first + rows, sheet + 1
    finally:
        page.close()


def _sheet(
    document: pypdfium2.PdfDocument, page: pypdfium2.PdfPage, placement: Placement, first: int, target: Target
) -> tuple[Bits, int]:
    """One sheet, and how many of the page's rows from `first` on are on it."""
    grey = bitmap.blank(target.rows)
    _draw(document, page, grey, placement, first)
    rows = placement.height - first
    if placement.top + rows > target.rows:
        # what lies beyond the sheet is not known and does not matter: the first cut is within it
        white = np.append(grey.min(axis=1) >= halftone.THRESHOLD, np.False_)
        rows = fit.cuts(white, target)[1]
        grey[rows:] = 255
    return halftone.to_bits(grey, target.resolution, target.mode), rows


def _draw(
    document: pypdfium2.PdfDocument, page: pypdfium2.PdfPage, grey: Grey, placement: Placement, first: int
) -> None:
    """Draw one sheet's part of a page upon white; `first` is the row of the page that the sheet begins with."""
    rows = len(grey)
    buffer = grey.ctypes.data_as(ctypes.c_void_p)
    canvas = pdfium.FPDFBitmap_CreateEx(WIDTH, rows, pdfium.FPDFBitmap_Gray, buffer, WIDTH)
    top = placement.top - first
    turns = 1 if placement.turned else 0
    where = (placement.left, top, placement.width, placement.height, turns, _FLAGS)
    try:
        pdfium.FPDF_RenderPageBitmap(canvas, page, *where)
        if document.formenv is not None:
            pdfium.FPDF_FFLDraw(document.formenv, canvas, page, *where)
    finally:
        pdfium.FPDFBitmap_Destroy(canvas)
