"""Damage in the fax codings of a TIFF page: how many rows of it cannot be read (page process only; ITU-T T.4, T.6).

Pillow draws what it can read and says nothing of the rest: a page of which half is missing looks like one that is half
white. Here libtiff reads every row of such a page once more and is listened to. It finds its place again after a bad
row of T.4 one-dimensional coding, at the next end of line; in T.6, and in T.4 without ends of line, the rest is lost.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any, Final  # the library has no types

import cffi

CODINGS: Final = frozenset({2, 3, 4})
"""Compression (tag 259): Modified Huffman, T.4 and T.6."""

_ffi = cffi.FFI()
_ffi.cdef(
    """
    typedef struct tiff TIFF;
    typedef void (*Handler)(const char *, const char *, void *);
    TIFF *TIFFFdOpen(int fd, const char *name, const char *mode);
    int TIFFSetSubDirectory(TIFF *tiff, uint64_t offset);
    int TIFFIsTiled(TIFF *tiff);
    int64_t TIFFScanlineSize64(TIFF *tiff);
    int TIFFReadScanline(TIFF *tiff, void *data, uint32_t row, uint16_t sample);
    void TIFFClose(TIFF *tiff);
    Handler TIFFSetErrorHandler(Handler handler);
    Handler TIFFSetWarningHandler(Handler handler);
    """
)
_library: Any = _ffi.dlopen("libtiff.so.6")
_heard = [0]


def _count(_module: int | None, _format: int | None, _arguments: int | None) -> None:
    _heard[0] += 1


# ctypes' machine code lies in the system's libffi: cffi would write its own into memory, which systemd forbids.
_HANDLER: Final = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(_count)
_hear: Any = _ffi.cast("Handler", ctypes.cast(_HANDLER, ctypes.c_void_p).value or 0)


class Listener:
    """One file, open for `bad_rows`; a context manager.

    Args:
        data: The whole file, whose directories were checked.

    Raises:
        ValueError: If libtiff does not open the file.
        OSError: If the memory for it cannot be had.
    """

    def __init__(self, data: bytes) -> None:
        self._before = _library.TIFFSetErrorHandler(_hear), _library.TIFFSetWarningHandler(_hear)
        file = os.memfd_create("pages", os.MFD_CLOEXEC)
        with os.fdopen(os.dup(file), "wb") as copy:
            copy.write(data)
        os.lseek(file, 0, os.SEEK_SET)
        self._handle = _library.TIFFFdOpen(file, b"pages", b"rm")  # m: not mapped into memory
        if self._handle == _ffi.NULL:
            os.close(file)
            self._quiet()
            raise ValueError("libtiff does not open the file")

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_exception: object) -> None:
        _library.TIFFClose(self._handle)
        self._quiet()

    def bad_rows(self, directory: int, rows: int) -> list[int]:
        """The rows of a page that cannot be read, from 0.

        Args:
            directory: Where the page's directory stands in the file.
            rows: Of the page.

        Raises:
            ValueError: If libtiff does not open the page at all.
        """
        if not _library.TIFFSetSubDirectory(self._handle, directory):
            raise ValueError("libtiff does not open the page")
        if _library.TIFFIsTiled(self._handle):
            return []  # Pillow says so itself when a tile cannot be read
        row = _ffi.new("char[]", max(1, _library.TIFFScanlineSize64(self._handle)))
        found = []
        for number in range(rows):
            heard = _heard[0]
            if _library.TIFFReadScanline(self._handle, row, number, 0) < 0 or _heard[0] != heard:
                found.append(number)
        return found

    def _quiet(self) -> None:
        _library.TIFFSetErrorHandler(self._before[0])
        _library.TIFFSetWarningHandler(self._before[1])
