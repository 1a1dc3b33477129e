"""What was read on the pages of a received fax: words with their places, barcodes, how the page lies (features G4).

Values only, bounded: whatever a page holds, its reading has an upper size. Boxes are in the pixels of the page as it
was received, so standard resolution has rows twice as high as its columns are wide.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any  # JSON

MAX_TEXT = 200_000
"""Characters of one page's text; a page full of 5 point type has 20,000."""
MAX_WORDS = 20_000
"""Words of one page."""
MAX_WORD = 400
"""Characters of one word."""
MAX_BARCODES = 64
"""Barcodes of one page."""
MAX_BARCODE = 8_000
"""Characters of one barcode; a QR code holds 7,089 digits at most (ISO/IEC 18004 table 7)."""


class ReadingState(enum.StrEnum):
    """What became of reading a page."""

    WAITING = "waiting"
    """It will be read, or is being read."""
    READ = "read"
    FAILED = "failed"
    """Given up: the page is delivered without what it says, and the delivery says so."""


class Symbology(enum.StrEnum):
    """Kinds of barcodes."""

    CODE128 = "code128"
    CODE39 = "code39"
    CODE93 = "code93"
    CODABAR = "codabar"
    EAN13 = "ean13"
    EAN8 = "ean8"
    UPCA = "upca"
    UPCE = "upce"
    ITF = "itf"
    DATABAR = "databar"
    QR = "qr"
    DATAMATRIX = "datamatrix"
    PDF417 = "pdf417"
    AZTEC = "aztec"


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of the page as received, in its pixels; right and bottom lie outside."""

    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True, slots=True)
class Word:
    """One word."""

    text: str
    box: Box
    confidence: int
    """Per cent, as the engine says."""
    line: int
    """Number of its line on the page, from 0, in reading order."""
    block: int
    """Number of its block (a column, a paragraph, a cell), from 0."""


@dataclass(frozen=True, slots=True)
class Barcode:
    """One barcode."""

    kind: Symbology
    text: str
    box: Box


@dataclass(frozen=True, slots=True)
class PageReading:
    """What one page says."""

    page: int
    """From 1."""
    width: int
    """Pixels of the page as received."""
    rows: int
    text: str = ""
    """Lines ended by a line feed, blocks by an empty line; empty when no text was asked for."""
    words: tuple[Word, ...] = ()
    """In reading order."""
    barcodes: tuple[Barcode, ...] = ()
    """From the top down."""
    language: str = ""
    """Languages that the text was read in, `eng+fra`; empty: no text was asked for."""
    turned: int = 0
    """Degrees clockwise by which the page must be turned to be read: 0, 90, 180 or 270."""
    seconds: float = 0.0
    """CPU that reading took."""
    problem: str = ""
    """What could not be read, in a few words: `text: too slow`; else empty."""

    @property
    def confidence(self) -> float:
        """Mean confidence of the words, per cent; 0 without words."""
        return sum(word.confidence for word in self.words) / len(self.words) if self.words else 0.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of a page is to be read."""

    languages: tuple[str, ...] = ()
    """Codes of Tesseract's languages; empty: no text."""
    barcodes: bool = False

    def __bool__(self) -> bool:
        return bool(self.languages) or self.barcodes


@dataclass(frozen=True, slots=True)
class ReadPage:
    """A page of a reception with what is known of its reading."""

    page: int
    state: ReadingState
    reading: PageReading | None = None
    """Of READ pages."""
    why: str = ""
    """Of FAILED pages, for operators."""


@dataclass(frozen=True, slots=True)
class Readings:
    """What is known of the pages of one reception; pages of which nothing is to be read are not in it."""

    pages: tuple[ReadPage, ...] = field(default=())

    @property
    def waiting(self) -> tuple[int, ...]:
        """Pages that are still to be read."""
        return tuple(page.page for page in self.pages if page.state is ReadingState.WAITING)

    @property
    def missing(self) -> tuple[int, ...]:
        """Pages whose reading was given up, in whole or in part."""
        return tuple(
            page.page
            for page in self.pages
            if page.state is ReadingState.FAILED or (page.reading is not None and page.reading.problem)
        )

    @property
    def read(self) -> tuple[PageReading, ...]:
        """What was read, by page."""
        return tuple(page.reading for page in self.pages if page.reading is not None)

    @property
    def text(self) -> str:
        """The text of all pages, a form feed between two."""
        return "\f".join(reading.text for reading in self.read)

    @property
    def barcodes(self) -> tuple[tuple[int, Barcode], ...]:
        """Every barcode with its page."""
        return tuple((reading.page, barcode) for reading in self.read for barcode in reading.barcodes)


def bounded(reading: PageReading) -> PageReading:
    """The reading cut down to the limits of this module; without control characters but line feeds in its text."""
    return replace(
        reading,
        text=_clean(reading.text[:MAX_TEXT], "\n"),
        words=tuple(replace(word, text=_clean(word.text[:MAX_WORD])) for word in reading.words[:MAX_WORDS]),
        barcodes=tuple(
            replace(code, text=_clean(code.text[:MAX_BARCODE], "\n\x1d")) for code in reading.barcodes[:MAX_BARCODES]
        ),
        problem=_clean(reading.problem[:200]),
    )


def _clean(text: str, keep: str = "") -> str:
    """Without what is no character of XML 1.0 (section 2.2) or would upset a terminal; GS of GS1 codes may stay."""
    return "".join(c for c in text if c in keep or (c.isprintable() and not "\ud800" <= c <= "\udfff"))


def to_json(reading: PageReading) -> dict[str, Any]:
    """A JSON-able form; words are lists, for there are thousands."""
    return {
        "page": reading.page,
        "width": reading.width,
        "rows": reading.rows,
        "text": reading.text,
        "words": [[w.text, *_sides(w.box), w.confidence, w.line, w.block] for w in reading.words],
        "barcodes": [[code.kind.value, code.text, *_sides(code.box)] for code in reading.barcodes],
        "language": reading.language,
        "turned": reading.turned,
        "seconds": round(reading.seconds, 3),
        "problem": reading.problem,
    }


def from_json(data: Mapping[str, Any]) -> PageReading:
    """The inverse of `to_json`."""
    return PageReading(
        page=data["page"],
        width=data["width"],
        rows=data["rows"],
        text=data["text"],
        words=tuple(Word(w[0], _box(w[1:5]), w[5], w[6], w[7]) for w in data["words"]),
        barcodes=tuple(Barcode(Symbology(code[0]), code[1], _box(code[2:6])) for code in data["barcodes"]),
        language=data["language"],
        turned=data["turned"],
        seconds=data["seconds"],
        problem=data["problem"],
    )


def _sides(box: Box) -> tuple[int, int, int, int]:
    return box.left, box.top, box.right, box.bottom


def _box(sides: Sequence[int]) -> Box:
    return Box(*sides)


_BY_LANGUAGE = {"en": "eng", "fr": "fra", "de": "deu"}
"""Tesseract's name of the language that a number's texts are in, where `ocr_languages` names none."""


def wanted(settings: Mapping[str, Any]) -> Wanted:
    """What is to be read on the pages that come for a number with these settings (keys of `account.SETTINGS`)."""
    languages: Sequence[str] = settings["ocr_languages"] or (_BY_LANGUAGE[settings["language"]],)
    return Wanted(tuple(languages) if settings["ocr"] else (), bool(settings["barcodes"]))
