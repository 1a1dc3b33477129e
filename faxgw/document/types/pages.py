"""Pages to be sent: rendered once for a fax, composed anew for each attempt."""

from __future__ import annotations

import os
from dataclasses import dataclass

from faxgw.document.types.descriptors import close_all
from faxgw.document.types.documents import Mode, Paper
from faxgw.fax.header import HeaderContext
from faxgw.fax.overlay import OverlayMode
from faxgw.fax.resolution import Resolution

PNG = b"\x89PNG\r\n\x1a\n"
"""How a PNG file begins (RFC 2083 section 3.1)."""


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
    repaired: int = 0
    """Rows of the document's page that cannot be read and were made up from what can; of a page that was split with
    its first part."""


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
        close_all(self.fd, self.thumbnail_fd)


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
        close_all(self.fd, self.thumbnail_fd, self.pictures_fd)
