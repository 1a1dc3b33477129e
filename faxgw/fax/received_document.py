"""The documents that can be made of a received fax, and how they are asked for (features G2, G4).

Who delivers a fax asks `ReceivedDocuments.make` for a format with its options and gets stored files, each named by a
row, so that they are there as long as the fax is. A file is made once, however many deliveries want it.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from faxgw.fax.ports import EnclosedFile


class Format(enum.StrEnum):
    """Formats of documents."""

    PDF = "pdf"
    """The fax's own data in a PDF, nothing coded again."""
    PDFA = "pdfa"
    """The same as PDF/A-2b."""
    PDF_TEXT = "pdf_text"
    """A PDF whose text can be searched and copied."""
    PDFA_TEXT = "pdfa_text"
    """The same as PDF/A-2b."""
    TIFF = "tiff"
    """One TIFF of all pages, each coded as it came over the line."""
    TIFF_G4 = "tiff_g4"
    """One TIFF of all pages, each coded as G4 (ITU-T T.6)."""
    TIFF_PAGES = "tiff_pages"
    """A TIFF for each page, as it came over the line."""
    TEXT = "text"
    """The text, UTF-8, a form feed between pages."""
    XML = "xml"
    """Pages, lines, words with their places, barcodes."""
    XLSX = "xlsx"
    """A sheet for each page: lines are rows, words that stand apart are cells; a sheet of barcodes."""
    XLS = "xls"
    """The same for programs that know no XLSX."""
    HTML = "html"
    RTF = "rtf"
    BARCODES = "barcodes"
    """Text: a line for each barcode, page, kind and content with tabs between."""


@dataclass(frozen=True, slots=True)
class FormatFacts:
    """What a format is."""

    extension: str
    """With its dot."""
    content_type: str
    needs_text: bool = False
    """Empty without `ocr`: refused where a delivery is configured for a number that has none."""
    needs_barcodes: bool = False
    """The same of `barcodes`."""
    many: bool = False
    """One file for each page."""


FACTS: Mapping[Format, FormatFacts] = {
    Format.PDF: FormatFacts(".pdf", "application/pdf"),
    Format.PDFA: FormatFacts(".pdf", "application/pdf"),
    Format.PDF_TEXT: FormatFacts(".pdf", "application/pdf", needs_text=True),
    Format.PDFA_TEXT: FormatFacts(".pdf", "application/pdf", needs_text=True),
    Format.TIFF: FormatFacts(".tif", "image/tiff"),
    Format.TIFF_G4: FormatFacts(".tif", "image/tiff"),
    Format.TIFF_PAGES: FormatFacts(".tif", "image/tiff", many=True),
    Format.TEXT: FormatFacts(".txt", "text/plain; charset=utf-8", needs_text=True),
    Format.XML: FormatFacts(".xml", "application/xml"),
    Format.XLSX: FormatFacts(".xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    Format.XLS: FormatFacts(".xls", "application/vnd.ms-excel"),
    Format.HTML: FormatFacts(".html", "text/html; charset=utf-8", needs_text=True),
    Format.RTF: FormatFacts(".rtf", "application/rtf", needs_text=True),
    Format.BARCODES: FormatFacts(".barcodes.txt", "text/plain; charset=utf-8", needs_barcodes=True),
}
"""Facts of every format."""
ARCHIVAL = frozenset({Format.PDFA, Format.PDFA_TEXT})
"""PDF/A: never encrypted (ISO 19005-2 section 6.1.3)."""
SEARCHABLE = frozenset({Format.PDF_TEXT, Format.PDFA_TEXT})
PDFS = frozenset({Format.PDF, Format.PDFA, Format.PDF_TEXT, Format.PDFA_TEXT})
TIFFS = frozenset({Format.TIFF, Format.TIFF_G4, Format.TIFF_PAGES})
WRITTEN = frozenset({Format.TEXT, Format.XML, Format.XLSX, Format.XLS, Format.HTML, Format.RTF, Format.BARCODES})
"""Made of what was read, without the pages' pictures."""


@dataclass(frozen=True, slots=True)
class DocumentOptions:
    """How a document is made."""

    upright: bool = False
    """Pages that lie upside down or on their side are turned, as far as their text says how they lie. In a PDF only
    the viewer is told; a TIFF's page is coded again. What was received stays as it is."""

    @property
    def suffix(self) -> str:
        """Part of a variant's name."""
        return "+upright" if self.upright else ""


def variant(form: Format, options: DocumentOptions) -> str:
    """The name under which a reception's files of a format with options are kept."""
    return f"{form.value}{options.suffix}"


class ReceivedDocuments(Protocol):
    """Makes documents of received faxes (implemented by `dispatch.documents`)."""

    async def make(
        self, reception: str, form: Format, options: DocumentOptions = DocumentOptions()
    ) -> tuple[EnclosedFile, ...]:
        """The files of a format: one, or one for each page; stored, named by rows, made once.

        What could not be read is missing in what is made of text, never the page itself. Call it when the fax's pages
        have been read (`store.readings.waits` is false): routing does.

        Raises:
            PagesDamaged: If a page cannot be used; no further try can help, the TIFF pages go as they are.
            PagesUnavailable: Try again later.
            StoreError: If it cannot be stored, or a page cannot be read from the store.
        """
        ...
