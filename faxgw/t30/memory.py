"""Files in memory (memfd): documents that are sent, pages that came in; no disk can stall the ticks of a process."""

from __future__ import annotations

import os
from typing import Final

MAX_DOCUMENT: Final = 256 * 1024 * 1024
"""Octets of one document to be sent."""


def copy(descriptor: int) -> int:
    """A document in memory: from here on no disk can stall the ticks of the process.

    Raises:
        OSError: If it cannot be read, or is shorter than it says.
        ValueError: If it is longer than MAX_DOCUMENT.
    """
    size = os.fstat(descriptor).st_size
    if size > MAX_DOCUMENT:
        raise ValueError(f"document of {size} octets")
    copied = os.memfd_create("document", os.MFD_CLOEXEC)
    try:
        offset = 0
        while offset < size:
            sent = os.sendfile(copied, descriptor, offset, size - offset)
            if sent == 0:
                raise OSError("document is shorter than it says")
            offset += sent
    except BaseException:
        os.close(copied)
        raise
    return copied


def file_of(octets: bytes) -> int:
    """A file in memory that holds the octets, at its beginning.

    Raises:
        OSError: If there is no memory for it.
    """
    descriptor = os.memfd_create("page", os.MFD_CLOEXEC)
    try:
        if os.write(descriptor, octets) != len(octets):
            raise OSError("no memory for a page")
        os.lseek(descriptor, 0, os.SEEK_SET)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def name_of(descriptor: int) -> str:
    """A name by which the library opens the file."""
    return f"/proc/self/fd/{descriptor}"
