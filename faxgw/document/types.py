"""Requests to the page processes and their results: values that both sides know. No converter is imported here.

A descriptor in a result belongs to whoever received the result; `close` closes all of one result. Descriptors in a
request stay the caller's.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from faxgw.document import limits
from faxgw.fax.header import HeaderContext
from faxgw.fax.overlay import OverlayMode
from faxgw.fax.received_document import Format
from faxgw.fax.resolution import Resolution as Resolution

PNG = b"\x89PNG\r\n\x1a\n"
"""How a PNG file begins (RFC 2083 section 3.1)."""


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
class Ignored:
    """A part of a mail that is not faxed, and why."""

    name: str
    """Its name, or its content type."""
    why: str
    """In a few public words: "signature", "inline image", …."""


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


@dataclass(frozen=True, slots=True)
class WalkOptions:
    """How a mail becomes documents."""

    attachments_only: bool = False
    """The body is not faxed."""
    body_only: bool = False
    """Attachments are not faxed."""
    ignore_inline_images: bool = False
    """Images that the HTML body shows, by `cid:` or between two of its pieces, are not faxed."""
    min_image_px: int = 0
    """Attached images narrower or lower than this are not faxed, nor images within the body that are smaller in both
    directions (signature logos, icons); 0: all are."""
    list_name: str = ""
    """Name, in lower case, of attachments that are distribution lists: read, not faxed; empty: none is."""
    lists_only: bool = False
    """Only distribution lists are wanted; the mail may have no documents."""
    cover_text: int = 0
    """Characters of text that may stand on a cover page: a shorter text, without pictures, is no document then."""


@dataclass(frozen=True, slots=True)
class Walked:
    """The documents of a mail, in the order in which they are faxed.

    At least one, unless `text` is all there is, or only lists were wanted.
    """

    documents: tuple[Document, ...]
    subject: str = ""
    """Decoded, one line."""
    message_id: str = ""
    """As written, without the angle brackets' surroundings."""
    ignored: tuple[Ignored, ...] = ()
    lists: tuple[str, ...] = ()
    """What its distribution lists say, decoded, at most limits.MAX_LIST octets all together."""
    text: str = ""
    """What the cover page shall say, if the mail's text is to stand there."""

    def close(self) -> None:
        """Close the documents' descriptors."""
        _close(*(document.fd for document in self.documents))


@dataclass(frozen=True, slots=True)
class SigningKey:
    """What DNS says of a signing key."""

    name: str
    """`selector._domainkey.domain`, in lower case."""
    record: str


@dataclass(frozen=True, slots=True)
class SignedOptions:
    """What a mail's signatures are to prove."""

    domain: str
    """That this domain has sent it; in lower case."""
    recipients: tuple[str, ...]
    """To these addresses."""
    sealers: tuple[str, ...]
    """Domains whose ARC seals are believed, in lower case."""
    now: float
    """Unix seconds."""
    keys: tuple[SigningKey, ...] | None = None
    """Keys at hand; None: say first which are needed."""


@dataclass(frozen=True, slots=True)
class Signed:
    """What a mail's signatures prove, or the keys that are needed to say so."""

    wanted: tuple[str, ...] = ()
    """Names of keys."""
    how: str = ""
    """`dkim`, `arc`; empty: nothing is proven."""
    why: str = ""
    """What is missing, as a clause for the sender."""

    def close(self) -> None:
        """It has no descriptors."""


@dataclass(frozen=True, slots=True)
class MergedPage:
    """One page of a merged document."""

    commands: tuple[str, ...]
    """What stands between `@@` and `@@` on it, marks and all, in order."""


@dataclass(frozen=True, slots=True)
class Merged:
    """A merged document, its commands painted over."""

    fd: int
    """PDF."""
    pages: tuple[MergedPage, ...]

    def close(self) -> None:
        """Close the descriptor."""
        _close(self.fd)


@dataclass(frozen=True, slots=True)
class Slice:
    """Some pages of a merged document, from 1."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Cut:
    """How a merged document is taken apart."""

    slices: tuple[Slice, ...]
    """At most limits.MAX_DOCUMENTS."""


@dataclass(frozen=True, slots=True)
class Sliced:
    """The pieces of a merged document, each a PDF, in the order asked for."""

    documents: tuple[Document, ...]

    def close(self) -> None:
        """Close the descriptors."""
        _close(*(document.fd for document in self.documents))


@dataclass(frozen=True, slots=True)
class RenderOptions:
    """How documents become fax pages."""

    resolution: Resolution = Resolution.FINE
    paper: Paper = Paper.A4
    mode: Mode = Mode.AUTO
    suppress_blank: bool = False
    """Pages without ink are left out."""
    thumbnail_px: int = 0
    """Width of a grey PNG of page 1, at most limits.MAX_THUMBNAIL; 0: none."""


@dataclass(frozen=True, slots=True)
class PageFacts:
    """One page of the body, or of an attempt's file."""

    width: int
    """Pixels, always 1728."""
    rows: int
    octets: int
    """Of its G4 strip; 8 * octets / 14400 is its time on a 14,400 bit/s line with MMR."""
    black: float
    """Black pixels / all pixels."""
    document: int = 0
    """Index of its document in the request, from 0."""
    page: int = 1
    """Page of that document, from 1. A long page that was split has the same number several times."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """The body of a fax: all its pages without header line."""

    fd: int
    """TIFF-F: G4, one strip per page, min-is-white, 1728 wide, one resolution."""
    pages: tuple[PageFacts, ...]
    resolution: Resolution
    thumbnail_fd: int | None = None
    """PNG of page 1, if asked for."""

    def close(self) -> None:
        """Close the descriptors."""
        _close(self.fd, self.thumbnail_fd)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a render request is."""

    document: int
    """Index of the document being rendered, from 0."""
    page: int
    """Its page being rendered, from 1."""
    pages: int
    """Pages of that document."""


@dataclass(frozen=True, slots=True)
class Overlay:
    """A letterhead for pages of an attempt."""

    fd: int
    """A letterhead as `render` made it: its first page is laid over the fax's; stays the caller's."""
    mode: OverlayMode
    """The pages that bear it."""
    first_file: int = 0
    """Pages of the body that come from the first document."""


@dataclass(frozen=True, slots=True)
class Cover:
    """The pages before the body of one fax: a run of the pages of a file that may hold those of many."""

    fd: int
    """Pages as `render` made them; stays the caller's."""
    first: int = 1
    """First page of the run, from 1."""
    pages: int = 1


@dataclass(frozen=True, slots=True)
class ComposeOptions:
    """How the body becomes the file of one attempt."""

    context: HeaderContext
    header: str = ""
    """Header template; empty: no header line."""
    first_page: int = 1
    """First page of the fax, the cover's counted, that goes into the file."""
    last_page: int | None = None
    """Last page, inclusive; None: the fax's last."""
    marked: tuple[int, ...] = ()
    """Pages (numbers in the fax) that bear `mark`."""
    mark: str = "POSSIBLE DUPLICATE"
    """What marked pages bear."""
    resolution: Resolution | None = None
    """Another one than the body's rescales it (the far end takes no finer); None or the body's own: as it is."""
    thumbnail_px: int = 0
    """Width of a grey PNG of the first composed page; 0: none."""
    pictures: bool = False
    """Each composed page as PNG, too."""
    overlay: Overlay | None = None
    """The letterhead; None: no page bears one."""
    cover: Cover | None = None
    """The cover, whose pages come first and are counted; the body's file may be empty then. None: the fax has none."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One page's PNG file within a result's octets: one bit a pixel, square pixels."""

    offset: int
    octets: int


@dataclass(frozen=True, slots=True)
class Composed:
    """One attempt's file: pages `first_page` to `last_page` with their header lines."""

    fd: int
    """TIFF-F as in Rendered."""
    pages: tuple[PageFacts, ...]
    """`page` is the page's number in the fax."""
    resolution: Resolution
    thumbnail_fd: int | None = None
    pictures_fd: int | None = None
    """The pages as PNG files one behind the other, if asked for."""
    pictures: tuple[Picture, ...] = ()
    """Where each of them stands."""

    def picture(self, index: int) -> bytes:
        """The PNG file of a page, by its index in `pages`; blocking.

        Raises:
            ValueError: If there is none.
        """
        if self.pictures_fd is None or not 0 <= index < len(self.pictures):
            raise ValueError("no pictures were asked for, or none of this page")
        place, size = self.pictures[index], os.fstat(self.pictures_fd).st_size
        if not 0 <= place.offset <= place.offset + place.octets <= size:
            raise ValueError("the picture does not lie in its file")
        return os.pread(self.pictures_fd, place.octets, place.offset)

    def is_shown(self) -> bool:
        """Whether there is a PNG file for each page: a converter's word is not taken for it; blocking."""
        try:
            shown = [self.picture(at).startswith(PNG) for at in range(len(self.pages))]
        except ValueError:
            return False
        return all(shown) and len(self.pictures) == len(self.pages)

    def close(self) -> None:
        """Close the descriptors."""
        _close(self.fd, self.thumbnail_fd, self.pictures_fd)


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
        _close(self.fd, self.thumbnail_fd)


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
        _close(self.fd)


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
        _close(self.fd)


class Sandbox(StrEnum):
    """How the page processes are shut off from the network and from our files."""

    AUTO = "auto"
    """Bubblewrap where it works, else unshare, else the service does not start."""
    BUBBLEWRAP = "bubblewrap"
    UNSHARE = "unshare"
    """Own network and mount namespaces made by ourselves; needs root."""
    NONE = "none"
    """Not at all: only the limits of section setrlimit hold. For machines where nothing else works."""


class Use(StrEnum):
    """Whether a program that need not be there is used."""

    AUTO = "auto"
    """Where it is installed."""
    ON = "on"
    """Always; the page server does not start without it."""
    OFF = "off"


class Ending(StrEnum):
    """How a conversion by a program outside ended."""

    MADE = "made"
    DECLINED = "declined"
    """It was the document's fault."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Conversion:
    """A conversion by a program outside that is over; for the operator's eyes."""

    kind: Kind
    ending: Ending
    seconds: float
    """On the clock, waiting for the program included."""
    started: int
    """LibreOffices that were started since the last conversion."""


@dataclass(frozen=True, slots=True)
class PageSettings:
    """What the daemon decides about its page processes."""

    sandbox: Sandbox = Sandbox.AUTO
    children: int = 2
    """Documents converted at the same time; compositions have as many places of their own."""
    limits: limits.Limits = field(default_factory=limits.Limits)
    office: Use = Use.AUTO
    """LibreOffice for Office documents."""
    offices: int = 1
    """LibreOffices at the same time, each for one document."""
    readers: int = 1
    """Received pages read at the same time; each takes a processor for a second or two."""
    postscript: Use = Use.OFF
    """Ghostscript for PostScript files."""
    pcl: Use = Use.OFF
    """GhostPCL for PCL files."""
    socket: Path | None = None
    """Where a page service of its own listens (`faxgw pages`); None: the daemon starts a server in `sandbox`."""


def _close(*descriptors: int | None) -> None:
    for descriptor in descriptors:
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(descriptor)
