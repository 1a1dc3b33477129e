"""Memory of the page server, laid out so that a child is forked and ended cheaply (page process only).

Of the 40 ms of CPU that a letter cost, 13 went into copying the template's page tables and taking them down again:
60 MB of Python objects in pages of 4 KiB. Put together into large pages of 2 MiB, that is 6 ms. The interpreter has to
take its objects from malloc(3) for that (`document.sandbox.environment`), for its own arenas of 1 MiB lie scattered
between the libraries.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

LARGE = 2 * 1024 * 1024
"""Octets of a large page of memory (x86-64, arm64 with 4 KiB pages)."""
KEPT = 32 * 1024 * 1024
"""Octets, the most that M_MMAP_THRESHOLD takes: several pages of grey."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""mallopt(3)."""
_MADV_COLLAPSE = 25
"""madvise(2), Linux 6.1."""
_ANONYMOUS = ("", "[heap]")
"""Names in /proc/self/maps of memory that belongs to no file."""


def keep() -> None:
    """Let freed pages' worth of memory be used again instead of given back to the kernel: a third of a text page's CPU
    went into fresh zeroed memory for 4 MB arrays. A child lives for one document, so nothing stays behind.

    Raises:
        OSError: If the C library refuses.
    """
    libc = ctypes.CDLL(None)
    for what in (_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD):
        if not libc.mallopt(what, KEPT):
            raise OSError(f"mallopt({what}) is refused")


def gather() -> int:
    """Put this process's own memory into large pages, once, before children are forked.

    Returns:
        How many large pages; 0 where the kernel does not do it or /proc is not to be seen.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    try:
        maps = Path("/proc/self/maps").read_text()
    except OSError:
        return 0
    return sum(libc.madvise(start, LARGE, _MADV_COLLAPSE) == 0 for start in _large_parts(maps))


def _large_parts(maps: str) -> list[int]:
    """Addresses of the whole large pages within the writable memory of no file."""
    starts: list[int] = []
    for line in maps.splitlines():
        words = line.split(maxsplit=5)
        name = words[5].strip() if len(words) > 5 else ""
        if words[1] == "rw-p" and name in _ANONYMOUS:
            low, high = (int(address, 16) for address in words[0].split("-"))
            starts += range(-(-low // LARGE) * LARGE, high - LARGE + 1, LARGE)
    return starts
