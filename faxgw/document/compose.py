"""A compose request: cover, body and a page range to the file of one attempt (page process only).

The cover's pages come first, and pages are counted from the first of them. Page k stays page k: another resolution
rescales it, nothing is split or renumbered (docs/spine.md section 2).
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass

from faxgw.document import bitmap, header, overlay, preview, tiff
from faxgw.document.bitmap import Bits
from faxgw.document.limits import MAX_THUMBNAIL
from faxgw.document.refusal import DocumentRefused
from faxgw.document.render import memory_file
from faxgw.document.types import Composed, ComposeOptions, Cover, PageFacts, Picture, Reason, Refused, Resolution
from faxgw.fax.header import HeaderRefused, HeaderTemplate, expand, parse


@dataclass(frozen=True, slots=True)
class _Sheet:
    """A stored page of the fax, and the file in which it lies."""

    fd: int
    page: tiff.Page


def compose(body_fd: int, options: ComposeOptions) -> Composed:
    """Make an attempt's file in a new memory file.

    Raises:
        DocumentRefused: If body, cover or letterhead is damaged, the range is not within the fax, or the header
            template is wrong.
    """
    try:
        cover = _cover(options.cover)
        sheets = [*cover, *_body(body_fd, alone=not cover)]
        template = parse(options.header)
    except tiff.BadTiff as exc:
        raise _refused(f"The stored pages of this fax are damaged ({exc}).") from exc
    except HeaderRefused as exc:
        raise _refused(exc.public) from exc
    letterhead = _letterhead(options)
    last = len(sheets) if options.last_page is None else options.last_page
    if not sheets or not 1 <= options.first_page <= last <= len(sheets):
        raise _refused(f"The fax has {len(sheets)} pages, not pages {options.first_page} to {last}.")
    resolution = options.resolution or sheets[-1].page.resolution
    chosen = range(options.first_page, last + 1)
    facts: list[PageFacts] = []
    thumbnail: bytes | None = None
    shown: list[bytes] = []
    fd = os.memfd_create("attempt", os.MFD_CLOEXEC)
    with tiff.open_sink(fd) as sink:
        writer = tiff.Writer(sink, resolution, len(chosen))
        for number in chosen:
            bits = _page(sheets, number, options, template, letterhead, resolution)
            strip = bitmap.encode(bits)
            writer.add(strip)
            black = bitmap.black_ratio(bits)
            facts.append(PageFacts(tiff.WIDTH, strip.rows, len(strip.data), black, 0, number))
            if options.thumbnail_px and thumbnail is None:
                thumbnail = bitmap.thumbnail(bits, resolution, min(options.thumbnail_px, MAX_THUMBNAIL))
            if options.pictures:
                shown.append(preview.png(bits, resolution))
        writer.finish()
    pictures_fd = memory_file(b"".join(shown) or None)
    return Composed(fd, tuple(facts), resolution, memory_file(thumbnail), pictures_fd, _places(shown))


def _places(files: Sequence[bytes]) -> tuple[Picture, ...]:
    """Where files stand that are written one behind the other."""
    starts = itertools.accumulate(map(len, files), initial=0)
    return tuple(Picture(start, len(file)) for start, file in zip(starts, files, strict=False))


def _cover(cover: Cover | None) -> list[_Sheet]:
    """The pages of the cover."""
    if cover is None:
        return []
    pages = tiff.read(cover.fd)
    if not 1 <= cover.first <= cover.first + cover.pages - 1 <= len(pages):
        raise tiff.BadTiff(f"no pages {cover.first} to {cover.first + cover.pages - 1} in the cover's {len(pages)}")
    return [_Sheet(cover.fd, page) for page in pages[cover.first - 1 : cover.first - 1 + cover.pages]]


def _body(fd: int, *, alone: bool) -> list[_Sheet]:
    """The pages of the body; an empty file has none, which a fax without a cover must not have."""
    if not alone and os.fstat(fd).st_size == 0:
        return []
    return [_Sheet(fd, page) for page in tiff.read(fd)]


def _letterhead(options: ComposeOptions) -> overlay.Letterhead | None:
    if options.overlay is None:
        return None
    try:
        return overlay.read(options.overlay)
    except tiff.BadTiff as exc:
        raise _refused(f"The stored letterhead of this fax is damaged ({exc}).") from exc


def _page(
    sheets: Sequence[_Sheet],
    number: int,
    options: ComposeOptions,
    template: HeaderTemplate,
    letterhead: overlay.Letterhead | None,
    resolution: Resolution,
) -> Bits:
    sheet = sheets[number - 1]
    page = sheet.page
    try:
        bits = bitmap.decode(tiff.read_strip(sheet.fd, page), page.resolution)
    except tiff.BadTiff as exc:
        raise _refused(f"The stored page {number} of this fax is damaged ({exc}).") from exc
    if page.resolution is not resolution:
        bits = bitmap.rescale(bits, page.resolution, resolution)
    if letterhead is not None:
        bits = letterhead.over(bits, resolution, number, len(sheets), cover=options.cover.pages if options.cover else 0)
    lines = () if template.empty else expand(template, options.context, number, len(sheets))
    return header.stamp(bits, lines, options.mark if number in options.marked else "", resolution)


def _refused(public: str) -> DocumentRefused:
    return DocumentRefused(Refused(Reason.DAMAGED, public))
