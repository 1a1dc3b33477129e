"""ITU-T T.6 (MMR) of one page by the system's libtiff, called directly (page process only).

Pillow drives the same coder row by row and unpacks every pixel into an octet of its own on the way: twice the time.
libtiff writes into a memory file; the strip is its first content after the header of 8 octets (TIFF 6.0 section 2).
`libtiff.so.6` comes with libspandsp2, which every gateway has.
"""

from __future__ import annotations

import os
from typing import Any, Final  # the library has no types

import cffi

HEADER: Final = 8
"""Octets of a TIFF file before its first strip."""
_G4: Final = 4
"""Compression (tag 259): ITU-T T.6."""

_ffi = cffi.FFI()
_ffi.cdef(
    """
    typedef struct tiff TIFF;
    TIFF *TIFFFdOpen(int fd, const char *name, const char *mode);
    int TIFFSetField(TIFF *tiff, uint32_t tag, ...);
    int64_t TIFFWriteEncodedStrip(TIFF *tiff, uint32_t strip, const void *data, int64_t size);
    uint64_t TIFFRawStripSize64(TIFF *tiff, uint32_t strip);
    void TIFFCleanup(TIFF *tiff);
    """
)
_library: Any = _ffi.dlopen("libtiff.so.6")


def encode_t6(packed: bytes | memoryview, width: int, rows: int) -> bytes:
    """Code a page.

    Args:
        packed: Rows of `width` / 8 octets each, most significant bit leftmost, 1 = black.
        width: Pixels of a row, a multiple of 8.
        rows: Rows, at least one.

    Raises:
        ValueError: If there are more or fewer octets than that.
        OSError: If the memory for it cannot be had.
    """
    if rows < 1 or memoryview(packed).nbytes != width // 8 * rows:
        raise ValueError(f"{memoryview(packed).nbytes} octets are not {rows} rows of {width} pixels")
    file = os.memfd_create("strip", os.MFD_CLOEXEC)
    try:
        return _encode(file, packed, width, rows)
    finally:
        os.close(file)


def _encode(file: int, packed: bytes | memoryview, width: int, rows: int) -> bytes:
    handle = _library.TIFFFdOpen(file, b"strip", b"w")
    if handle == _ffi.NULL:
        raise OSError("libtiff does not open a memory file")
    try:
        # 256 ImageWidth, 257 ImageLength, 278 RowsPerStrip: 32 bits wide; the others are ints
        for tag, value in ((256, width), (257, rows), (278, rows)):
            _library.TIFFSetField(handle, tag, _ffi.cast("uint32_t", value))
        for tag, value in ((258, 1), (259, _G4), (262, 0), (266, 1), (277, 1), (284, 1)):
            _library.TIFFSetField(handle, tag, _ffi.cast("int", value))
        if _library.TIFFWriteEncodedStrip(handle, 0, _ffi.from_buffer(packed), width // 8 * rows) < 0:
            raise OSError("libtiff does not code the page")
        size = int(_library.TIFFRawStripSize64(handle, 0))
    finally:
        _library.TIFFCleanup(handle)
    data = os.pread(file, size, HEADER)
    if len(data) != size:
        raise OSError("the coded page is not whole")
    return data
