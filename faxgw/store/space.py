"""Room on the disk: when to refuse before a promise, and a ballast that keeps state changes possible.

Reliability section 2.3 (ENOSPC) and rule 11. A full disk is a predictable shortage (RFC 1123 section 5.3.3):
it must be answered before the 250, never discovered after it.
"""

from __future__ import annotations

import contextlib
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from faxgw.store.durable import NO_SPACE, sync_folder
from faxgw.store.errors import StoreDown

MESSAGE_FACTOR = 1.5
"""Free space per largest message; Postfix refuses MAIL FROM below 1.5 x message_size_limit (postconf(5),
queue_minfree)."""
RENDER_BYTES = 256 * 2**20
"""Room for the pages of what is being rendered: 1,000 pages of 100 kB in several steps."""
FREE_PERCENT = 10
"""Share of the file system to keep free, for other writers on it."""
FREE_PERCENT_CAP_BYTES = 2 * 2**30
"""The share asks for no more than this: a tenth of a large disk is no shortage."""
FREE_INODES = 1_000
"""Inodes to keep free: a fax takes a few."""
BALLAST_BYTES = 64 * 2**20
"""Size of the ballast: some 10,000 transactions of 6 kB."""


@dataclass(frozen=True, slots=True)
class FreeSpace:
    """What a file system has left for an unprivileged writer."""

    free: int
    """Octets."""
    total: int
    """Octets."""
    inodes: int | None
    """None where the file system does not count them (Btrfs)."""

    @classmethod
    def of(cls, path: Path) -> Self:
        """Ask the file system that holds `path`; blocking."""
        answer = os.statvfs(path)
        inodes = answer.f_favail if answer.f_files else None
        return cls(answer.f_bavail * answer.f_frsize, answer.f_blocks * answer.f_frsize, inodes)


@dataclass(frozen=True, slots=True)
class Watermark:
    """The least free space with which something new is accepted."""

    message_limit: int
    """Octets of the largest input."""
    render_budget: int = RENDER_BYTES
    """Octets its pages may take."""
    percent: int = FREE_PERCENT
    """Share of the file system, at most FREE_PERCENT_CAP_BYTES."""

    def floor(self, space: FreeSpace) -> int:
        """Return the least octets that must be free."""
        share = min(space.total * self.percent // 100, FREE_PERCENT_CAP_BYTES)
        return max(share, int(MESSAGE_FACTOR * self.message_limit) + self.render_budget)

    def refuses(self, space: FreeSpace) -> bool:
        """Say whether nothing new may be accepted."""
        return space.free < self.floor(space) or (space.inodes is not None and space.inodes < FREE_INODES)


class Ballast:
    """A file of nothing on the database's file system, given up when the disk is full.

    Its methods block; any thread may call them.

    Args:
        path: The file; its folder exists.
        size: Octets.
    """

    def __init__(self, path: Path, size: int = BALLAST_BYTES) -> None:
        self._path = path
        self._size = size
        self._lock = threading.Lock()

    def in_place(self) -> bool:
        """Say whether it can be released."""
        try:
            return self._path.lstat().st_size == self._size
        except FileNotFoundError:
            return False

    def restore(self, spare: int) -> bool:
        """Take the room (again) if at least `spare` octets stay free; say whether it is in place.

        Raises:
            StoreDown: If the file cannot be made for another reason than want of space.
        """
        with self._lock:
            if self.in_place():
                return True
            if FreeSpace.of(self._path.parent).free < self._size + spare:
                return False
            return self._allocate()

    def release(self) -> bool:
        """Give the room up; say whether there was any. Never raises."""
        with self._lock:
            try:
                self._path.unlink()
                sync_folder(self._path.parent)  # freed blocks count once the journal has committed
            except OSError:
                return False
            return True

    def _allocate(self) -> bool:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            fd = os.open(self._path, flags, 0o600)
            try:
                os.posix_fallocate(fd, 0, self._size)
                os.fsync(fd)
            finally:
                os.close(fd)
        except OSError as error:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)
            if error.errno in NO_SPACE:
                return False
            raise StoreDown(f"ballast: {error}") from error
        return True
