"""What a document may cost: every limit of the page processes, by name (reliability rule 9).

The daemon may lower or raise the fields of `Limits`; the constants that are not fields belong to our own parsers.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_PAGES = 500
"""Pages of one fax."""
PAGE_CPU = 20
"""Seconds of CPU for one page."""
JOB_SECONDS = 300.0
"""Seconds on the clock for one render request."""
WALK_SECONDS = 30.0
"""Seconds on the clock for one mail walk; a walk within the limits needs less than 2 s of CPU."""
COMPOSE_SECONDS = 60.0
"""Seconds on the clock for one composition; a page needs about 20 ms."""
CHILD_MEMORY = 1024 * 1024 * 1024
"""Octets of address space a child may use beyond those of the template it was forked from."""
READ_SECONDS = 60.0
"""Seconds on the clock for reading one received page; it needs 1.3 s of CPU, twice that when it lies upside down."""
OFFICE_SECONDS = 60.0
"""Seconds on the clock for turning one Office document into PDF; an ordinary one needs 0.1 to 0.3."""
OFFICE_MEMORY = 1536 * 1024 * 1024
"""Octets of memory of one LibreOffice with its document; measured 85 MB idle, 280 MB after ordinary ones."""
MAX_PIXELS = 100_000_000
"""Pixels of one picture before it is decoded. A0 at 300 dpi has 140 million, A3 at 600 dpi 70 million."""
MAX_OUTPUT = 256 * 1024 * 1024
"""Octets of one result file: 500 raw fine pages."""
MAX_OPEN_FILES = 256
"""File descriptors of one child."""
MAX_STDERR = 16 * 1024
"""Octets of a child's error output that are kept for the log."""

MAX_MAIL = 256 * 1024 * 1024
"""Octets of one mail; what may be submitted is limited by the intake, far below."""
MAX_PARTS = 1_000
"""MIME parts of one mail, containers included."""
MAX_NESTING = 20
"""Depth of MIME parts within parts (Postfix: 100)."""
MAX_HEADER = 102_400
"""Octets of one header block (Postfix header_size_limit)."""
MAX_BOUNDARY = 200
"""Octets of a MIME boundary; RFC 2046 section 5.1.1 allows 70."""
MAX_DOCUMENTS = 60
"""Documents of one fax; each is a descriptor in one message (`pipe.MAX_DESCRIPTORS` is 64)."""
MAX_TEXT = 4 * 1024 * 1024
"""Octets of one text document or mail body, HTML included."""
MAX_LIST = 1024 * 1024
"""Octets of a mail's distribution lists: 5,000 recipients with 200 characters each."""
MAX_NAME = 80
"""Characters of a document's name as it is shown."""
MAX_SUBJECT = 500
"""Characters of a subject as it is handed on."""
MAX_IFD = 100_000
"""Directories of a TIFF file that are counted before we stop counting."""
MAX_PAGE_OCTETS = 165_000
"""Octets of a halftoned page above which a screen that codes better is taken.

A photograph of a whole page measures 158 kB in the ordinary screen, 88 s at 14,400 bit/s.
"""
MAX_THUMBNAIL = 600
"""Pixels of a thumbnail's width."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits that a system may set for itself. They travel with every request."""

    pages: int = MAX_PAGES
    """Pages of one fax."""
    page_cpu: int = PAGE_CPU
    """Seconds of CPU for one page, or for opening a document."""
    job_seconds: float = JOB_SECONDS
    """Seconds on the clock for one render request."""
    walk_seconds: float = WALK_SECONDS
    """Seconds on the clock for one mail walk."""
    compose_seconds: float = COMPOSE_SECONDS
    """Seconds on the clock for one composition."""
    read_seconds: float = READ_SECONDS
    """Seconds on the clock for reading one received page."""
    memory: int = CHILD_MEMORY
    """Octets of address space beyond the template's."""
    pixels: int = MAX_PIXELS
    """Pixels of one picture before it is decoded."""
    office_seconds: float = OFFICE_SECONDS
    """Seconds on the clock for turning one Office document into PDF."""
    office_memory: int = OFFICE_MEMORY
    """Octets of memory of one LibreOffice."""
    output: int = MAX_OUTPUT
    """Octets of one result file."""
