"""TIFF documents to fax pages (page process only).

The directories are walked by our own bounded reader before Pillow sees the file: loops, counts, sizes, strips outside
the file and codings that we do not take are refused there. A page that is a fax already (one bit, at most 1728 wide,
204 × 98 or 204 × 196 within 5 %) is kept pixel for pixel; everything else is a picture.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

import numpy as np
from PIL import Image

from faxgw.document import bitmap, images, refusal
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
SUPERFINE_DPI = 391
_MAX_TAGS = 512
_MAX_STRIPS = 100_000
_SIZES = {3: 2, 4: 4}  # octets of SHORT and LONG


def pages(data: bytes, name: str, target: Target) -> Iterator[tuple[int, Bits]]:
    """Render all pages.

    Raises:
        DocumentRefused: If it is damaged, has too many pages, or a page is too large or in a coding not taken.
    """
    offsets, counted = _chain(data, name)
    target.begin(1, len(offsets))
    if not counted:
        raise refusal.too_many_pages(name, len(offsets), target.limits.pages, counted=False)
    for number, offset in enumerate(offsets, 1):
        _check(data, offset, number, name, target)
    with Image.open(io.BytesIO(data), formats=("TIFF",)) as image:
        for number in range(1, len(offsets) + 1):
            if number > 1:
                target.begin(number, len(offsets))
            image.seek(number - 1)
            images.check_pixels(image, name, target, number)
            yield from ((number, bits) for bits in _page(image, number, len(offsets), target))


def _page(image: Image.Image, number: int, count: int, target: Target) -> Iterator[Bits]:
    down = _fax_rows_per_inch(image)
    if down is not None:
        bits = _as_fax(image, down, target.resolution)
        if bits is not None and len(bits) <= KEEP_ABOVE * target.rows:
            yield bits
            return
    dpi = images.stated_dpi(image) or _guessed_dpi(image)
    yield from images.sheets(images.to_grey(image), dpi, number, count, target)


def _fax_rows_per_inch(image: Image.Image) -> int | None:
    """98, 196 or 391 if the page is on the fax grid."""
    if image.mode != "1" or not WIDTH * (1 - TOLERANCE) <= image.width <= WIDTH:
        return None
    across, down = images.stated_dpi(image) or _guessed_dpi(image)
    if abs(across - DPI_X) > TOLERANCE * DPI_X:
        return None
    for dpi in (DPI_Y[Resolution.STANDARD], DPI_Y[Resolution.FINE], SUPERFINE_DPI):
        if abs(down - dpi) <= TOLERANCE * dpi:
            return dpi
    return None


def _guessed_dpi(image: Image.Image) -> tuple[float, float]:
    """Dots per inch of a picture that does not say them: the width of a fax makes it one."""
    if image.width != WIDTH:
        return images.DEFAULT_DPI, images.DEFAULT_DPI
    return DPI_X, DPI_Y[Resolution.STANDARD if image.height <= MAX_STANDARD_ROWS else Resolution.FINE]


def _as_fax(image: Image.Image, down: int, wanted: Resolution) -> Bits | None:
    """The page's own pixels, padded to the full width on both sides."""
    image.load()
    orientation = image.getexif().get(0x0112, 1)
    if orientation != 1:
        return None
    rows = np.frombuffer(image.tobytes("raw", "1;I"), np.uint8).reshape(image.height, -1)
    if image.width < WIDTH:
        spare = WIDTH - image.width
        black = np.unpackbits(rows, axis=1)[:, : image.width]
        rows = np.packbits(np.pad(black, ((0, 0), (spare // 2, spare - spare // 2))), axis=1)
    if down == SUPERFINE_DPI:
        rows, down = bitmap.halve_rows(rows), DPI_Y[Resolution.FINE]
    if down == DPI_Y[wanted]:
        return rows
    return bitmap.halve_rows(rows) if wanted is Resolution.STANDARD else bitmap.double_rows(rows)


def _chain(data: bytes, name: str) -> tuple[list[int], bool]:
    """Offsets of all directories; False when counting stopped."""
    order = "<" if data[:2] == b"II" else ">"
    if len(data) < 8 or data[:2] not in (b"II", b"MM") or struct.unpack_from(order + "H", data, 2)[0] != 42:
        raise refusal.damaged(name)
    (offset,) = struct.unpack_from(order + "I", data, 4)
    offsets: list[int] = []
    seen: set[int] = set()
    while offset:
        if len(offsets) == MAX_IFD:
            return offsets, False
        if offset in seen or offset + 2 > len(data):
            raise refusal.damaged(name, len(offsets) + 1)
        seen.add(offset)
        offsets.append(offset)
        (count,) = struct.unpack_from(order + "H", data, offset)
        after = offset + 2 + 12 * count
        if count == 0 or count > _MAX_TAGS or after + 4 > len(data):
            raise refusal.damaged(name, len(offsets))
        (offset,) = struct.unpack_from(order + "I", data, after)
    if not offsets:
        raise refusal.damaged(name)
    return offsets, True


def _check(data: bytes, offset: int, number: int, name: str, target: Target) -> None:
    """Look at one directory's size, coding and strips."""
    order = "<" if data[:2] == b"II" else ">"
    tags = _tags(data, offset, order, number, name)
    width, height = (tags.get(tag, [0])[0] for tag in (256, 257))
    if not width or not height:
        raise refusal.damaged(name, number)
    if width * height > target.limits.pixels:
        what = f"it has {width:,} × {height:,} pixels; at most {target.limits.pixels:,} in all are allowed"
        raise refusal.too_large(name, what, number)
    if tags.get(259, [1])[0] not in CODINGS:
        raise refusal.unsupported(name, "a TIFF file with a rare kind of compression")
    starts, lengths = (tags.get(273) or tags.get(324) or []), (tags.get(279) or tags.get(325) or [])
    if not starts or (lengths and len(lengths) != len(starts)):
        raise refusal.damaged(name, number)
    if any(start >= len(data) for start in starts) or any(
        start + length > len(data) for start, length in zip(starts, lengths, strict=False)
    ):
        raise refusal.damaged(name, number)


def _tags(data: bytes, offset: int, order: str, number: int, name: str) -> dict[int, list[int]]:
    """The integer values of the tags that we look at."""
    wanted = {256, 257, 259, 273, 279, 324, 325}
    (count,) = struct.unpack_from(order + "H", data, offset)
    found: dict[int, list[int]] = {}
    for index in range(count):
        at = offset + 2 + 12 * index
        tag, kind, items = struct.unpack_from(order + "HHI", data, at)
        if tag not in wanted or kind not in (3, 4):
            continue
        if items > _MAX_STRIPS:
            raise refusal.damaged(name, number)
        octets = items * _SIZES[kind]
        start = at + 8 if octets <= 4 else struct.unpack_from(order + "I", data, at + 8)[0]
        if start + octets > len(data):
            raise refusal.damaged(name, number)
        found[tag] = list(struct.unpack_from(f"{order}{items}{'H' if kind == 3 else 'I'}", data, start))
    return found
