"""TIFF documents to fax pages (page process only).

The directories (TIFF 6.0 section 2, and BigTIFF's with their longer fields) are walked by our own bounded reader
before Pillow sees the file: loops, counts, sizes, strips outside the file and codings that we do not take are refused
there. A page that is a fax already (one bit, at most 1728 wide, 204 × 98, 204 × 196 or 204 × 391 within 5 %) is kept
pixel for pixel; everything else is a picture. Thumbnails and masks beside the pages are no pages.
"""

from __future__ import annotations

import io
import itertools
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops

from faxgw.document import bitmap, ccitt_in, images, refusal
from faxgw.document.bitmap import Bits
from faxgw.document.fit import Target
from faxgw.document.limits import MAX_IFD
from faxgw.document.tiff import DPI_X, DPI_Y, WIDTH
from faxgw.document.types import Resolution

CODINGS = {1, 2, 3, 4, 5, 7, 8, 32773, 32946}
"""Compression tags taken: none, the CCITT ones, LZW, JPEG, Deflate, PackBits. Others belong to rare, old decoders."""
TOLERANCE = 0.05
"""Part by which a resolution may differ from the fax grid."""
KEEP_ABOVE = 1.1
"""A fax page longer than this many sheets is fitted instead of kept."""
MAX_STANDARD_ROWS = 1_500
"""A 1728 wide page without resolution tags and with no more rows is taken for standard."""
MAX_BAD = 0.01
"""Part of a page's rows that may be unreadable, as fax machines take it too; a page that lacks more is refused."""
MAX_BAD_RUN = 4
"""Unreadable rows one below the other, but for those at the end: no line of text goes lost."""
_MAX_TAGS = 512
_MAX_STRIPS = 100_000
_NO_PAGE = 0b101  # NewSubfileType: bit 0 a reduced copy of another picture, bit 2 a mask (TIFF 6.0 section 8)
_TURNED = range(5, 9)  # Orientation: rows and columns change places (TIFF 6.0 section 8)
_SIZES = {3: 2, 4: 4, 16: 8}  # octets of SHORT, LONG and LONG8
_LETTERS = {3: "H", 4: "I", 16: "Q"}
_TAGS = {254, 256, 257, 259, 273, 279, 324, 325}


@dataclass(frozen=True, slots=True)
class _Layout:
    """How the numbers of a file lie: octet order and sizes."""

    order: str
    """Of `struct`: < or >."""
    count: str
    """Number of a directory's entries."""
    entry: str
    """Tag, type and number of an entry's values, without the values or their place."""
    place: str
    """An offset, at the end of an entry and of a directory."""
    first: int
    """Where the first directory's offset stands."""

    def read(self, letters: str, data: bytes, at: int) -> tuple[int, ...]:
        """Numbers at a place within the file."""
        return struct.unpack_from(self.order + letters, data, at)

    def octets(self, letters: str) -> int:
        """Octets of such numbers."""
        return struct.calcsize(self.order + letters)


def pages(data: bytes, name: str, target: Target) -> Iterator[tuple[int, Bits]]:
    """Render all pages.

    Raises:
        DocumentRefused: If it is damaged, has too many pages, or a page is too large or in a coding not taken.
    """
    layout = _layout(data, name)
    offsets, counted = _chain(data, layout, name)
    target.begin(1, len(offsets))
    if not counted:
        raise refusal.too_many_pages(name, len(offsets), target.limits.pages, counted=False)
    tags = [_tags(data, offset, layout, number, name) for number, offset in enumerate(offsets, 1)]
    frames = [index for index, found in enumerate(tags) if not found.get(254, [0])[0] & _NO_PAGE]
    frames = frames or list(range(len(tags)))
    for number, index in enumerate(frames, 1):
        _check(tags[index], len(data), number, name, target)
    with ExitStack() as stack:
        image = stack.enter_context(Image.open(io.BytesIO(data), formats=("TIFF",)))
        coded = any(tags[index].get(259, [1])[0] in ccitt_in.CODINGS for index in frames)
        listener = stack.enter_context(ccitt_in.Listener(data)) if coded else None
        for number, index in enumerate(frames, 1):
            if number > 1:
                target.begin(number, len(frames))
            if listener is not None and tags[index].get(259, [1])[0] in ccitt_in.CODINGS:
                rows = tags[index][257][0]
                bad = listener.bad_rows(offsets[index], rows)
                _check_rows(bad, rows, number, name)
                if bad:
                    target.repaired(number, len(bad))
            image.seek(index)
            images.check_pixels(image, name, target, number)
            yield from ((number, bits) for bits in _page(image, number, len(frames), target))


def _page(image: Image.Image, number: int, count: int, target: Target) -> Iterator[Bits]:
    dpi = _dpi(image)
    drawn_for = _fax_resolution(image, dpi)
    if drawn_for is not None:
        bits = _as_fax(image, drawn_for, target.resolution)
        if len(bits) <= KEEP_ABOVE * target.rows:
            yield bits
            return
    yield from images.sheets(_grey(image), dpi, number, count, target)


def _dpi(image: Image.Image) -> tuple[float, float]:
    """Dots per inch across and down as the page is seen; the tags speak of it as it is stored."""
    stated = images.stated_dpi(image)
    if stated is None:
        return _guessed_dpi(image)
    return stated[::-1] if _tag(image, 274, 1) in _TURNED else stated


def _tag(image: Image.Image, tag: int, default: int) -> int:
    value = image.tag_v2.get(tag, default)  # type: ignore[attr-defined]  # of TiffImageFile
    return value if isinstance(value, int) else default


def _grey(image: Image.Image) -> Image.Image:
    """8 bit grey. Pillow turns it upright, and takes white for 0 where the file says so, except in 16 bits."""
    inverted = _tag(image, 262, 1) == 0 and image.mode.startswith("I;16")
    grey = images.to_grey(image)
    return ImageChops.invert(grey) if inverted else grey


def _fax_resolution(image: Image.Image, dpi: tuple[float, float]) -> Resolution | None:
    """Of a page that is on the fax grid."""
    if image.mode != "1" or not WIDTH * (1 - TOLERANCE) <= image.width <= WIDTH:
        return None
    across, down = dpi
    if abs(across - DPI_X) > TOLERANCE * DPI_X:
        return None
    return next((each for each, rows in DPI_Y.items() if abs(down - rows) <= TOLERANCE * rows), None)


def _guessed_dpi(image: Image.Image) -> tuple[float, float]:
    """Dots per inch of a picture that does not say them: the width of a fax makes it one."""
    if image.width != WIDTH:
        return images.DEFAULT_DPI, images.DEFAULT_DPI
    return DPI_X, DPI_Y[Resolution.STANDARD if image.height <= MAX_STANDARD_ROWS else Resolution.FINE]


def _as_fax(image: Image.Image, drawn_for: Resolution, wanted: Resolution) -> Bits:
    """The page's own pixels, upright, padded to the full width on both sides."""
    image.load()
    rows = np.frombuffer(image.tobytes("raw", "1;I"), np.uint8).reshape(image.height, -1)
    if image.width < WIDTH:
        spare = WIDTH - image.width
        black = np.unpackbits(rows, axis=1)[:, : image.width]
        rows = np.packbits(np.pad(black, ((0, 0), (spare // 2, spare - spare // 2))), axis=1)
    return bitmap.rescale(rows, drawn_for, wanted)


def _layout(data: bytes, name: str) -> _Layout:
    order = "<" if data[:2] == b"II" else ">"
    if data[:2] in (b"II", b"MM") and len(data) >= 16:
        version, *rest = struct.unpack_from(order + "HHH", data, 2)
        if version == 42:
            return _Layout(order, "H", "HHI", "I", 4)
        if version == 43 and rest == [8, 0] and order == "<":  # BigTIFF; Pillow 13.0 reads it in this order only
            return _Layout(order, "Q", "HHQ", "Q", 8)
    raise refusal.damaged(name)


def _chain(data: bytes, layout: _Layout, name: str) -> tuple[list[int], bool]:
    """Offsets of all directories; False when counting stopped."""
    (offset,) = layout.read(layout.place, data, layout.first)
    head, entry = layout.octets(layout.count), layout.octets(layout.entry + layout.place)
    offsets: list[int] = []
    seen: set[int] = set()
    while offset:
        if len(offsets) == MAX_IFD:
            return offsets, False
        if offset in seen or offset + head > len(data):
            raise refusal.damaged(name, len(offsets) + 1)
        seen.add(offset)
        offsets.append(offset)
        (count,) = layout.read(layout.count, data, offset)
        after = offset + head + entry * count
        if count == 0 or count > _MAX_TAGS or after + layout.octets(layout.place) > len(data):
            raise refusal.damaged(name, len(offsets))
        (offset,) = layout.read(layout.place, data, after)
    if not offsets:
        raise refusal.damaged(name)
    return offsets, True


def _check(tags: dict[int, list[int]], size: int, number: int, name: str, target: Target) -> None:
    """Look at one page's size, coding and strips; `size` is the file's in octets."""
    width, height = (tags.get(tag, [0])[0] for tag in (256, 257))
    if not width or not height:
        raise refusal.damaged(name, number)
    if width * height > target.limits.pixels:
        what = "it has {width} × {height} pixels; at most {limit} in all are allowed"
        raise refusal.too_large(name, what, number, width=width, height=height, limit=target.limits.pixels)
    if tags.get(259, [1])[0] not in CODINGS:
        raise refusal.unsupported(name, "a TIFF file with a rare kind of compression")
    starts, lengths = (tags.get(273) or tags.get(324) or []), (tags.get(279) or tags.get(325) or [])
    if not starts or (lengths and len(lengths) != len(starts)):
        raise refusal.damaged(name, number)
    if any(start >= size for start in starts) or any(
        start + length > size for start, length in zip(starts, lengths, strict=False)
    ):
        raise refusal.damaged(name, number)


def _check_rows(bad: list[int], rows: int, number: int, name: str) -> None:
    """Refuse a page of which too much cannot be read."""
    longest = run = 0
    for row, following in itertools.pairwise([*bad, -1]):
        run += 1
        if following != row + 1:
            longest = max(longest, run if row != rows - 1 else 0)  # a page that ends early lacks white rows
            run = 0
    if len(bad) > max(1, MAX_BAD * rows) or longest > MAX_BAD_RUN:
        raise refusal.damaged(name, number, "{bad} of its {rows} rows cannot be read", bad=len(bad), rows=rows)


def _tags(data: bytes, offset: int, layout: _Layout, number: int, name: str) -> dict[int, list[int]]:
    """The integer values of the tags that we look at."""
    (count,) = layout.read(layout.count, data, offset)
    inline, first = layout.octets(layout.place), offset + layout.octets(layout.count)
    entry = layout.octets(layout.entry)
    found: dict[int, list[int]] = {}
    for at in range(first, first + count * (entry + inline), entry + inline):
        tag, kind, items = layout.read(layout.entry, data, at)
        if tag not in _TAGS or kind not in _SIZES or not items:
            continue
        if items > _MAX_STRIPS:
            raise refusal.damaged(name, number)
        octets = items * _SIZES[kind]
        start = at + entry if octets <= inline else layout.read(layout.place, data, at + entry)[0]
        if start + octets > len(data):
            raise refusal.damaged(name, number)
        found[tag] = list(layout.read(f"{items}{_LETTERS[kind]}", data, start))
    return found
