"""What is to be faxed, and why something cannot be: kinds, documents, refusals."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from faxgw.fax import refusal_texts


class Kind(StrEnum):
    """What a document is, by its content."""

    PDF = "pdf"
    TIFF = "tiff"
    JPEG = "jpeg"
    PNG = "png"
    GIF = "gif"
    BMP = "bmp"
    WEBP = "webp"
    TEXT = "text"
    HTML = "html"
    DOCX = "docx"
    DOC = "doc"
    XLSX = "xlsx"
    XLSB = "xlsb"
    XLS = "xls"
    PPTX = "pptx"
    PPT = "ppt"
    RTF = "rtf"
    ODT = "odt"
    ODS = "ods"
    ODP = "odp"
    ODG = "odg"
    POSTSCRIPT = "postscript"
    PCL = "pcl"


OUTSIDE = frozenset(
    {
        *(Kind.DOCX, Kind.DOC, Kind.RTF, Kind.ODT),
        *(Kind.XLSX, Kind.XLSB, Kind.XLS, Kind.ODS),
        *(Kind.PPTX, Kind.PPT, Kind.ODP, Kind.ODG),
        *(Kind.POSTSCRIPT, Kind.PCL),
    }
)
"""Kinds that a program outside the page processes turns into PDF first, where it is installed."""


class Origin(StrEnum):
    """Where in a mail a document stood."""

    BODY = "body"
    ATTACHMENT = "attachment"


class Paper(StrEnum):
    """The sheet that pages are fitted to."""

    A4 = "A4"
    LETTER = "Letter"
    LEGAL = "Legal"


class Mode(StrEnum):
    """How grey becomes black and white."""

    AUTO = "auto"
    TEXT = "text"
    PHOTO = "photo"


class Reason(StrEnum):
    """Why a document cannot be faxed. Always the document's own fault."""

    EMPTY = "empty"
    ENCRYPTED = "encrypted"
    DAMAGED = "damaged"
    UNSUPPORTED = "unsupported"
    TOO_LARGE = "too large"
    TOO_MANY_PAGES = "too many pages"
    TOO_MANY_PARTS = "too many parts"
    TOO_SLOW = "too slow"
    UNSAFE = "unsafe"


@dataclass(frozen=True, slots=True)
class Document:
    """One document to be faxed."""

    fd: int
    """Descriptor of the document's octets, readable from the start."""
    name: str
    """Name as its sender knows it, cleaned; for texts, never for paths."""
    kind: Kind | None = None
    """What it is; None: the page process looks."""
    charset: str | None = None
    """Charset of a text as declared; None or unknown: guessed."""
    origin: Origin = Origin.ATTACHMENT
    """Body or attachment."""
    size: int = 0
    """Octets; informative."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that cannot succeed because of the document, however often it is tried."""

    reason: Reason
    public: str
    """One or two polite sentences for the sender that name the document."""
    document: str | None = None
    """Name of the document at fault."""
    page: int | None = None
    """Its page, from 1."""
    said: str = ""
    """What `public` says, as a template of `fax.refusal_texts`; empty: it stands in English alone."""
    values: tuple[tuple[str, str], ...] = ()
    """What stands in the template's braces."""

    def told(self, language: str) -> str:
        """What the sender is told, in a language."""
        return refusal_texts.in_words(self.said, self.values, language) or self.public
