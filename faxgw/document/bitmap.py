"""One page's pixels: packed rows, and their way into and out of ITU-T T.6 (MMR).

A bitmap is a numpy array of shape rows × 216, octets, most significant bit leftmost, 1 = black: a row of 1728
pixels. Coding is done in C where that was built (`native`), else by libtiff; decoding is Pillow's (which is libtiff's
too, behind more checks).
"""

from __future__ import annotations

import contextlib
import io
import mmap

import numpy as np
import numpy.typing as npt
from PIL import Image

from faxgw.document import libtiff, native, tiff
from faxgw.document.tiff import WIDTH, Strip
from faxgw.document.types import Resolution

ROW_OCTETS = WIDTH // 8
"""Octets of a packed row."""

_LARGE = 2 * 1024 * 1024
"""Octets of a large page of memory (x86-64, arm64 with 4 KiB pages)."""

Bits = npt.NDArray[np.uint8]
"""rows × ROW_OCTETS, 1 = black."""
Grey = npt.NDArray[np.uint8]
"""rows × columns, 0 = black, 255 = white."""


def white(rows: int) -> Bits:
    """A blank page."""
    return np.zeros((rows, ROW_OCTETS), np.uint8)


def blank(rows: int) -> Grey:
    """A white page of grey, rows × 1728, in large pages of memory where the system has them.

    A child just forked pays for each fresh page of 4 KiB; a page of grey has a thousand of them, or two of 2 MiB.
    """
    size = (-(-rows * WIDTH // _LARGE) + 1) * _LARGE
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):  # a kernel without large pages
        memory.madvise(mmap.MADV_HUGEPAGE)
    grey = np.frombuffer(memory, np.uint8)
    start = -grey.ctypes.data % _LARGE
    grey = grey[start : start + rows * WIDTH].reshape(rows, WIDTH)
    grey.fill(255)
    return grey


def pack(black: npt.NDArray[np.bool_]) -> Bits:
    """Pack rows × 1728 truth values."""
    return np.packbits(black, axis=1)


def unpack(bits: Bits) -> npt.NDArray[np.uint8]:
    """Rows × 1728 values 0 (white) or 1 (black)."""
    return np.unpackbits(bits, axis=1)


def black_ratio(bits: Bits) -> float:
    """Black pixels / all pixels."""
    words = np.ascontiguousarray(bits).view(np.uint64)  # eight octets at once: a row has a multiple of them
    return float(np.bitwise_count(words).sum(dtype=np.int64)) / (bits.size * 8) if bits.size else 0.0


def halve_rows(bits: Bits) -> Bits:
    """Fine to standard: each two rows become one that is black where either was (no stroke is lost)."""
    if len(bits) % 2:
        bits = np.concatenate((bits, white(1)))
    return bits[0::2] | bits[1::2]


def double_rows(bits: Bits) -> Bits:
    """Standard to fine."""
    return np.repeat(bits, 2, axis=0)


def halve_columns(bits: npt.NDArray[np.uint8]) -> Bits:
    """Rows × 432 octets to rows × 216: each two pixels become one that is black where either was."""
    black = np.unpackbits(bits, axis=1)
    return np.packbits(black[:, 0::2] | black[:, 1::2], axis=1)


def rescale(bits: Bits, drawn_for: Resolution, resolution: Resolution) -> Bits:
    """Another resolution without drawing anew: rows are repeated, or put together so that no stroke is lost."""
    multiple = drawn_for.multiple
    while multiple < resolution.multiple:
        bits, multiple = double_rows(bits), 2 * multiple
    while multiple > resolution.multiple:
        bits, multiple = halve_rows(bits), multiple // 2
    return bits


def encode(bits: Bits) -> Strip:
    """Code a page as ITU-T T.6."""
    if native.library() is None:
        return Strip(libtiff.encode_t6(np.ascontiguousarray(bits).data, WIDTH, len(bits)), len(bits))
    return Strip(native.encode_t6(bits, WIDTH), len(bits))


def decode(strip: Strip, resolution: Resolution) -> Bits:
    """Decode a page.

    Raises:
        tiff.BadTiff: If the data are not a page of that many rows.
    """
    file = io.BytesIO()
    tiff.write(file, (strip,), resolution, 1)
    try:
        with Image.open(file) as image:
            image.load()
            packed = image.tobytes("raw", "1;I")
    except (OSError, ValueError) as exc:
        raise tiff.BadTiff(f"strip cannot be decoded: {exc}") from exc
    return np.frombuffer(packed, np.uint8).reshape(strip.rows, ROW_OCTETS)


def thumbnail(bits: Bits, resolution: Resolution, width_px: int) -> bytes:
    """A grey PNG with square pixels.

    Args:
        bits: The page.
        resolution: Of the page.
        width_px: Its width; its height follows, at most three times the width (the rest is cut off).
    """
    height = max(1, round(len(bits) * width_px / WIDTH * tiff.DPI_X / tiff.DPI_Y[resolution]))
    limit = 3 * width_px
    if height > limit:
        bits, height = bits[: max(1, len(bits) * limit // height)], limit
    image = Image.frombytes("1", (WIDTH, len(bits)), np.ascontiguousarray(bits).tobytes(), "raw", "1;I")
    small = image.convert("L").resize((width_px, height), Image.Resampling.BOX)
    out = io.BytesIO()
    small.quantize(16, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    return out.getvalue()
