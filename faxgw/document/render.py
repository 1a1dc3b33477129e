"""A render request: several documents to the body of one fax (page process only)."""

from __future__ import annotations

import math
import mmap
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from faxgw.document import bitmap, convert, refusal, tiff
from faxgw.document.bitmap import Bits
from faxgw.document.fit import Target
from faxgw.document.limits import MAX_THUMBNAIL, Limits
from faxgw.document.office import Programs, Unavailable
from faxgw.document.refusal import DocumentRefused
from faxgw.document.types import Document, PageFacts, Progress, Rendered, RenderOptions

BLANK = 2e-5
"""Black part below which a page is blank: 79 of 3.9 million pixels, a speck; a single short line has 500."""


@dataclass(slots=True)
class _Body:
    strips: list[tiff.Strip] = field(default_factory=list)
    facts: list[PageFacts] = field(default_factory=list)
    thumbnail: bytes | None = None


def needs(documents: Sequence[Document], programs: Programs) -> bool:
    """True if a program outside is needed for one of the documents."""
    return any(convert.kind_of(read_all(document.fd), document.kind) in programs.kinds for document in documents)


def render(
    documents: Sequence[Document],
    options: RenderOptions,
    limits: Limits,
    progress: Callable[[Progress], None],
    programs: Programs,
) -> Rendered:
    """Render documents, in order, into a new memory file.

    Raises:
        DocumentRefused: If one of them cannot be faxed, or nothing is left.
        Unavailable: If a program outside fails without a document's fault.
    """
    body = _Body()
    for index, document in enumerate(documents):
        repaired: dict[int, int] = {}
        for number, bits in _document(index, document, options, limits, len(body.facts), progress, programs, repaired):
            black = bitmap.black_ratio(bits)
            if options.suppress_blank and black < BLANK:
                continue
            strip = bitmap.encode(bits)
            if options.thumbnail_px and body.thumbnail is None:
                width = min(options.thumbnail_px, MAX_THUMBNAIL)
                body.thumbnail = bitmap.thumbnail(bits, options.resolution, width)
            body.strips.append(strip)
            mended = repaired.pop(number, 0)
            body.facts.append(PageFacts(tiff.WIDTH, strip.rows, len(strip.data), black, index, number, mended))
    if not body.strips:
        raise refusal.empty("All pages of the fax are blank: there is nothing to fax.")
    fd = os.memfd_create("body", os.MFD_CLOEXEC)
    with tiff.open_sink(fd) as sink:
        tiff.write(sink, body.strips, options.resolution, len(body.strips))
    return Rendered(fd, tuple(body.facts), options.resolution, memory_file(body.thumbnail))


def memory_file(data: bytes | None) -> int | None:
    """A new memory file with these octets, readable from the start."""
    if data is None:
        return None
    fd = os.memfd_create("result", os.MFD_CLOEXEC)
    with tiff.open_sink(fd) as sink:
        sink.write(data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def read_all(fd: int) -> bytes:
    """The octets of a document's descriptor, wherever it is positioned."""
    size = os.fstat(fd).st_size
    if size == 0:
        return b""
    with mmap.mmap(fd, size, access=mmap.ACCESS_READ) as mapped:
        return bytes(mapped)


def _document(
    index: int,
    document: Document,
    options: RenderOptions,
    limits: Limits,
    before: int,
    progress: Callable[[Progress], None],
    programs: Programs,
    repaired: dict[int, int],
) -> Iterator[tuple[int, Bits]]:
    """Pages of one document. Whatever a converter stumbles over is the document's fault, and told so.

    Damaged rows of its pages that are let pass are written down in `repaired`.
    """
    page = 0

    def begin(number: int, pages: int) -> None:
        nonlocal page
        page = number
        if before + pages > limits.pages:
            raise refusal.too_many_pages(document.name, before + pages, limits.pages)
        allow_cpu(limits.page_cpu)
        progress(Progress(index, number, pages))

    target = Target(options.resolution, options.paper, options.mode, limits, begin, repaired.__setitem__)
    allow_cpu(limits.page_cpu)
    made = 0
    try:
        for number, bits in convert.pages(
            read_all(document.fd), document.kind, document.charset, document.name, target, programs
        ):
            made += 1
            if before + made > limits.pages:
                raise refusal.too_many_pages(document.name, before + made, limits.pages, counted=False)
            yield number, bits
    except (DocumentRefused, Unavailable):
        raise
    except MemoryError as exc:
        raise refusal.too_much_memory(document.name, page or None) from exc
    except Exception as exc:
        traceback.print_exc(file=sys.stderr)
        raise refusal.damaged(document.name, page or None) from exc


def allow_cpu(seconds: int) -> None:
    """Give this page process so many more seconds of CPU, within its hard limit; beyond them it dies by SIGXCPU.

    A process without a hard limit is none of ours to end, and is left as it is.
    """
    _soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    if hard != resource.RLIM_INFINITY:
        wanted = math.ceil(time.process_time()) + seconds
        resource.setrlimit(resource.RLIMIT_CPU, (min(wanted, hard), hard))
