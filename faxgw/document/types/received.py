"""Pages that were received: read, and made into PDF, TIFF and files of what they say."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from faxgw.document.types.descriptors import close_all
from faxgw.fax.received_document import Format


@dataclass(frozen=True, slots=True)
class TiffPart:
    """One page's TIFF file within a request's octets."""

    offset: int
    octets: int


@dataclass(frozen=True, slots=True)
class PdfOptions:
    """How received pages become a PDF."""

    parts: tuple[TiffPart, ...]
    """The pages, in order."""
    title: str
    """Title of the document."""
    created: datetime
    """Its date, with a time zone."""
    thumbnail_px: int = 0
    """Width of a grey PNG of page 1, at most limits.MAX_THUMBNAIL; 0: none."""
    archival: bool = False
    """A PDF/A-2b."""
    searchable: bool = False
    """With the text that was read, unseen."""
    upright: bool = False
    """Viewers turn pages that lie the wrong way round, as far as what was read says so."""


@dataclass(frozen=True, slots=True)
class PdfPage:
    """One page of a PDF."""

    width: int
    """Pixels."""
    rows: int
    width_pt: float
    """On paper, in points."""
    height_pt: float
    octets: int
    """Of its coded picture."""
    passed: bool
    """True when the fax's own data went through; False when they were coded again."""
    ink: float = -1.0
    """Share of the page that is black; -1: not measured, for there is no print."""
    print: bytes = b""
    """How it looks (`fax.likeness`); of the first pages, with a thumbnail."""


@dataclass(frozen=True, slots=True)
class PdfMade:
    """A received fax as PDF, read back and compared."""

    fd: int
    pages: tuple[PdfPage, ...]
    thumbnail_fd: int | None = None
    """PNG of page 1, if asked for."""

    def close(self) -> None:
        """Close the descriptors."""
        close_all(self.fd, self.thumbnail_fd)


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What of a received page is to be read."""

    page: int
    """Its number, from 1."""
    languages: tuple[str, ...] = ()
    """Codes of Tesseract's languages, the likeliest first; empty: no text."""
    barcodes: bool = False


@dataclass(frozen=True, slots=True)
class TiffOptions:
    """How received pages become TIFF files."""

    parts: tuple[TiffPart, ...]
    """The pages, in order."""
    recode: bool = False
    """Pages in another coding than G4 are coded again."""
    separate: bool = False
    """A file for each page."""
    turns: tuple[int, ...] = ()
    """Degrees clockwise by which each page is turned; empty: none is. A turned page is coded again."""


@dataclass(frozen=True, slots=True)
class TiffMade:
    """TIFF files of received pages, one behind the other."""

    fd: int
    parts: tuple[TiffPart, ...]

    def close(self) -> None:
        """Close the descriptor."""
        close_all(self.fd)


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """What of a received fax is written into a file of what was read."""

    form: Format
    """One of `received_document.WRITTEN`."""
    reception: str
    title: str
    number: str
    caller: str
    ident: str
    received_at: datetime
    pages: int
    complete: bool


@dataclass(frozen=True, slots=True)
class Written:
    """A file of what was read."""

    fd: int

    def close(self) -> None:
        """Close the descriptor."""
        close_all(self.fd)
