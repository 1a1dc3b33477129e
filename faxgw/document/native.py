"""What is done with every pixel of a page, in C (`_pixels.c`), where it could be built (page process only).

`python -m faxgw.document.build` makes the library where a compiler is at hand; without it, or when it belongs to
another source, `halftone` and `bitmap` do the same with numpy and libtiff: a dense page costs 8 ms more. Both give
the same octets, and the tests compare them.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any, Final  # the library has no types

import cffi
import numpy as np
import numpy.typing as npt

from faxgw.compiled import version_of

SOURCE: Final = Path(__file__).with_name("_pixels.c")
LIBRARY: Final = Path(__file__).with_name("libfaxgwpixels.so")
MAX_WIDTH: Final = 4096
"""Pixels of a row at most, as MAX_WIDTH of the source."""
BLOCK: Final = 8
"""Pixels of a block's side, as BLOCK of the source."""
_BITS_PER_PIXEL: Final = 7
"""T.6 takes no more of any row, but for `_ROW_MARGIN` octets."""
_ROW_MARGIN: Final = 64

_ffi = cffi.FFI()
_ffi.cdef(
    """
    const char *pixels_version(void);
    int64_t pixels_t6(const uint8_t *packed, int width, int rows, uint8_t *out, int64_t room);
    void pixels_look(const uint8_t *grey, int width, int rows, int threshold, int low, int high, uint8_t *bits,
                     uint8_t *tones);
    """
)
Octets = npt.NDArray[np.uint8]


@functools.cache
def library() -> Any:
    """The library; None where it was not built, or from another source."""
    try:
        wanted = version_of(SOURCE.read_bytes())
        loaded: Any = _ffi.dlopen(str(LIBRARY))
        found = _ffi.string(loaded.pixels_version())
    except OSError:
        return None
    if found != wanted.encode():
        sys.stderr.write("libfaxgwpixels.so was built from another source: not used\n")
        return None
    return loaded


def encode_t6(packed: Octets, width: int) -> bytes:
    """Code a page as ITU-T T.6; only where there is a `library`.

    Args:
        packed: rows × `width` / 8, most significant bit leftmost, 1 = black.
        width: Pixels of a row, a multiple of 8.

    Raises:
        ValueError: If it is not such a page.
    """
    rows = len(packed)
    if not 8 <= width <= MAX_WIDTH or width % 8 or rows < 1 or packed.shape != (rows, width // 8):
        raise ValueError(f"{packed.shape} octets are no page {width} pixels wide")
    packed = np.ascontiguousarray(packed, np.uint8)
    out = np.empty((rows + 1) * (width * _BITS_PER_PIXEL // 8 + _ROW_MARGIN), np.uint8)
    size = library().pixels_t6(_address(packed), width, rows, _address(out), out.size)
    if size < 0:
        raise ValueError("the page does not fit into the room for it")
    return out[:size].tobytes()


def look(grey: Octets, threshold: int, low: int, high: int) -> tuple[Octets, Octets]:
    """Black and white by threshold, and the tones of each block; only where there is a `library`.

    Args:
        grey: rows × columns, 0 = black; columns are a multiple of 8.
        threshold: Grey below it is black.
        low: Grey from which a pixel counts as tone.
        high: The highest that does.

    Returns:
        The packed bits, and for each block of 8 × 8 how many of its pixels are tones.

    Raises:
        ValueError: If it is not such a page, or a grey is not within 1 to 254.
    """
    rows, columns = grey.shape
    if columns % BLOCK or not all(0 < value < 255 for value in (threshold, low, high)):
        raise ValueError(f"no page of {grey.shape}, or no greys: {threshold}, {low}, {high}")
    grey = np.ascontiguousarray(grey, np.uint8)
    bits = np.empty((rows, columns // 8), np.uint8)
    tones = np.empty((-(-rows // BLOCK), columns // BLOCK), np.uint8)
    library().pixels_look(_address(grey), columns, rows, threshold, low, high, _address(bits), _address(tones))
    return bits, tones


def _address(octets: Octets) -> Any:
    return _ffi.cast("uint8_t *", octets.ctypes.data)
