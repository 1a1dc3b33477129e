"""One received page's TIFF file as the call worker cut it out: little-endian, one directory, one strip.

What the directory says, read strictly; the strip's data as ITU-T T.6 octets, passed through or coded again
(page process only).
"""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from PIL import Image

REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))
"""Octets with their bits in the other order."""
T6 = 4
"""TIFF's number of ITU-T T.6."""
_CENTIMETRE, _INCH = 3, 2
_MAX_ENTRIES = 64
_SHORT, _LONG, _RATIONAL = 3, 4, 5


@dataclass(frozen=True, slots=True)
class Facts:
    """What the directory says."""

    width: int
    rows: int
    x_resolution: float
    """Pixels per metre."""
    y_resolution: float
    """Pixels per metre."""
    coding: int
    """TIFF's number of the compression."""
    tags: Mapping[int, int]
    """First values of all of it."""


def facts(data: bytes, max_pixels: int) -> Facts:
    """Read the directory.

    Raises:
        ValueError: If it is no such file, or its page is larger than `max_pixels`.
        KeyError: If something is missing in it.
    """
    try:
        tags = _tags(data)
        width, rows = tags[256], tags[257]
        if not 0 < width * rows <= max_pixels:
            raise ValueError("too large")
        return Facts(width, rows, _resolution(data, tags, 282), _resolution(data, tags, 283), tags.get(259, 1), tags)
    except struct.error as exc:
        raise ValueError("cut off") from exc


def as_is(data: bytes, found: Facts, *, keep_order: bool = False) -> bytes:
    """The strip, most significant bit first (but for `keep_order`), otherwise untouched.

    Raises:
        ValueError: If it does not lie in the file.
        KeyError: If the directory does not say where it is.
    """
    tags = found.tags
    start, size = tags[273], tags[279]
    strip = data[start : start + size]
    if not size or len(strip) != size or tags.get(278, found.rows) < found.rows:
        raise ValueError("strip outside the file")
    return strip.translate(REVERSED) if tags.get(266, 1) == 2 and not keep_order else strip


def inverted(found: Facts) -> bool:
    """Whether black and white are exchanged (TIFF's min-is-black)."""
    return found.tags.get(262, 0) == 1


def coded_again(data: bytes, turn: int = 0) -> bytes:
    """Decode whatever it is, turn it clockwise, and code it as ITU-T T.6 with 1 = black.

    Raises:
        ValueError: If it cannot be decoded.
        OSError: The same.
    """
    with Image.open(io.BytesIO(data), formats=("TIFF",)) as image:
        page = image.convert("1")
    if turn:
        page = page.transpose(_TURNS[turn])
    turned = Image.frombytes("1", page.size, page.tobytes("raw", "1;I"), "raw", "1")
    out = io.BytesIO()
    turned.save(out, "TIFF", compression="group4", tiffinfo={278: page.height})
    with Image.open(out) as written:
        tags = getattr(written, "tag_v2")  # noqa: B009 - only TIFF images have it
        (offset,), (length,) = tags[273], tags[279]
    return out.getvalue()[offset : offset + length]


_TURNS = {
    90: Image.Transpose.ROTATE_270,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_90,
}
"""Pillow turns counter-clockwise."""


def _tags(data: bytes) -> dict[int, int]:
    """First values of the first directory; little-endian only, as the call worker writes."""
    if data[:4] != b"II*\0":
        raise ValueError("no TIFF file")
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    if not 0 < count <= _MAX_ENTRIES:
        raise ValueError("damaged directory")
    found = {}
    for index in range(count):
        tag, kind, items = struct.unpack_from("<HHI", data, at + 2 + 12 * index)
        if tag in (273, 279) and items != 1:
            raise ValueError("more than one strip")
        (value,) = struct.unpack_from("<H" if kind == _SHORT else "<I", data, at + 10 + 12 * index)
        if kind in (_SHORT, _LONG, _RATIONAL):
            found[tag] = value
    return found


def _resolution(data: bytes, tags: Mapping[int, int], tag: int) -> float:
    """Pixels per metre."""
    above, below = struct.unpack_from("<II", data, tags[tag])
    unit = {_CENTIMETRE: 100.0, _INCH: 1 / 0.0254}[tags.get(296, _INCH)]
    value = above / below * unit if below else math.nan
    if not 1_000 <= value <= 100_000:  # 25 to 2,540 dots per inch
        raise ValueError("no resolution")
    return value
