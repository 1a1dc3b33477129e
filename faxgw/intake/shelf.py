"""Flat folders on the disk that strangers see: every name is looked up below an open folder, and no link is followed.

A shelf holds plain files and nothing else; whatever else lies there is not there. It has no folders within, so a path
cannot lead out of it: a name is one component, checked before the kernel sees it, opened with O_NOFOLLOW below a
folder that was opened once (reliability X-03). All of it blocks: callers run it in a thread.
"""

from __future__ import annotations

import contextlib
import errno
import heapq
import itertools
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

MAX_NAME = 200
"""Octets of a name."""
MAX_ENTRIES = 10_000
"""Files of a shelf that are listed and counted at most."""
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def is_name(name: str, limit: int = MAX_NAME) -> bool:
    """Whether a name may be that of a file here: one component, printable, not too long."""
    try:
        octets = name.encode()
    except UnicodeEncodeError:
        return False
    return 0 < len(octets) <= limit and "/" not in name and name.isprintable() and name not in (".", "..")


@dataclass(frozen=True, slots=True)
class Entry:
    """One file."""

    name: str
    size: int
    """Octets."""
    modified: float
    """Unix seconds."""


class Shelf:
    """One folder, opened; made where it does not exist.

    Args:
        folder: Where it is; its parent exists, and is nobody else's to change.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            _sync(folder.parent)
        self.fd = os.open(folder, FOLDER)

    def close(self) -> None:
        """Close the folder."""
        os.close(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def entries(self, limit: int = MAX_ENTRIES, skip: Callable[[str], bool] = lambda name: False) -> Sequence[Entry]:
        """The plain files, by name; at most `limit`, without those whose names are to be skipped."""
        return sorted(itertools.islice(self._all(skip), limit), key=lambda entry: entry.name)

    def newest(self, limit: int = MAX_ENTRIES) -> Sequence[Entry]:
        """The plain files that were last changed, by name; at most `limit`."""
        return sorted(heapq.nlargest(limit, self._all(), lambda entry: entry.modified), key=lambda entry: entry.name)

    def _all(self, skip: Callable[[str], bool] = lambda name: False) -> Iterator[Entry]:
        with os.scandir(self.fd) as names:
            for each in names:
                if skip(each.name) or not is_name(each.name, MAX_NAME + 2):
                    continue
                with contextlib.suppress(FileNotFoundError):
                    facts = each.stat(follow_symlinks=False)
                    if _is_plain(facts):
                        yield Entry(each.name, facts.st_size, facts.st_mtime)

    def entry(self, name: str) -> Entry | None:
        """One file; None where there is no plain file of the name."""
        try:
            facts = os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None
        return Entry(name, facts.st_size, facts.st_mtime) if _is_plain(facts) else None

    def open_read(self, name: str) -> int:
        """A descriptor of a plain file; the caller closes it. Raises FileNotFoundError for anything else."""
        try:
            fd = os.open(name, _READ, dir_fd=self.fd)
        except OSError as exc:
            if exc.errno in (errno.ELOOP, errno.ENXIO, errno.ENODEV):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from exc
            raise
        if not _is_plain(os.fstat(fd)):
            os.close(fd)
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return fd

    def open_write(self, name: str, *, truncate: bool) -> int:
        """A descriptor to write to a plain file, made where it does not exist. A file of two names is refused."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        fd = os.open(name, flags, 0o600, dir_fd=self.fd)
        facts = os.fstat(fd)
        if not _is_plain(facts):
            os.close(fd)
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        if truncate and facts.st_size:
            os.ftruncate(fd, 0)
        return fd

    def read(self, name: str, limit: int) -> bytes:
        """A file's octets, at most `limit`."""
        fd = self.open_read(name)
        with os.fdopen(fd, "rb") as file:
            return file.read(limit)

    def put(self, name: str, octets: bytes) -> None:
        """Write a file whole: a temporary name, synced, renamed, the folder synced. Replaces what has the name."""
        temporary = f".{os.urandom(8).hex()}.new"
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=self.fd)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(octets)
                file.flush()
                os.fsync(fd)
            os.rename(temporary, name, src_dir_fd=self.fd, dst_dir_fd=self.fd)
        except OSError:
            self.remove(temporary)
            raise
        self.sync()

    def move(self, name: str, target: Shelf, new: str = "") -> None:
        """Rename a file into a shelf of the same file system; not synced."""
        os.rename(name, new or name, src_dir_fd=self.fd, dst_dir_fd=target.fd)

    def remove(self, name: str) -> bool:
        """Remove a file; whether there was one."""
        try:
            os.unlink(name, dir_fd=self.fd)
        except FileNotFoundError:
            return False
        return True

    def sync(self) -> None:
        """Make the names durable."""
        os.fsync(self.fd)

    def prune(self, before: float) -> int:
        """Remove files that were last changed before a time, however many there are; how many."""
        old = [entry.name for entry in self._all() if entry.modified < before]
        return sum(self.remove(name) for name in old)


def _is_plain(facts: os.stat_result) -> bool:
    """A regular file of one name: another one may stand where its owner has more rights than here."""
    return stat.S_ISREG(facts.st_mode) and facts.st_nlink == 1


def _sync(folder: Path) -> None:
    fd = os.open(folder, FOLDER)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
