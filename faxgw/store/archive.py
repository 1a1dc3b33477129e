"""A backup as a container of files: a folder, or one uncompressed tar file. Names and hashes; no knowledge of rows.

    manifest.json   what the backup is, and the SHA-256 of SHA256SUMS; written last
    SHA256SUMS      one line per file, as sha256sum(1) reads it
    faxgw.db        the database
    spool/…, objects/…  the spool objects under their keys

Every octet is hashed when it is written and when it is read. A target is written under a temporary name, synced and
renamed, so that a backup that is there is whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import secrets
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Protocol

from faxgw.fax.errors import FaxError
from faxgw.store.durable import sync_folder

MANIFEST = "manifest.json"
SUMS = "SHA256SUMS"
DATABASE = "faxgw.db"
"""Name of the database in a backup, and of SQLite's in the data folder."""
CHUNK = 1024 * 1024
"""Octets copied at a time."""
MAX_MANIFEST = 64 * 2**20
"""Octets of the manifest at most: it lists damaged objects."""
_NAME = re.compile(r"faxgw\.db|(?:spool|objects)/[0-9a-f]{2}/[0-9a-z.-]{1,100}")
_LINE = re.compile(r"([0-9a-f]{64})  (\S+)")


class BackupFailed(FaxError):
    """A backup cannot be made, or is not what was written."""

    default_public = "The backup could not be made or read."
    default_temporary = False


class Writer(Protocol):
    """A backup being written."""

    def add(self, name: str, source: IO[bytes], size: int) -> str:
        """Add a file of `size` octets; returns its SHA-256."""

    def commit(self) -> None:
        """Make it durable under its name."""

    def discard(self) -> None:
        """Remove what was written; nothing after `commit`."""


class Reader(Protocol):
    """A backup being read."""

    def open(self, name: str) -> contextlib.AbstractContextManager[IO[bytes]]:
        """Open a file of it. Raises BackupFailed if there is none."""


def writer(target: Path) -> Writer:
    """A new backup: a tar file if the name ends in `.tar`, else a folder.

    Raises:
        BackupFailed: If the target exists, or cannot be made.
    """
    if target.exists() or target.is_symlink():
        raise BackupFailed(f"{target} exists", public=f"{target} exists; a backup never overwrites anything.")
    if not target.parent.is_dir():
        raise BackupFailed(f"no folder {target.parent}", public=f"There is no folder {target.parent}.")
    return _TarWriter(target) if target.suffix == ".tar" else _FolderWriter(target)


@contextlib.contextmanager
def reader(source: Path) -> Iterator[Reader]:
    """A backup that exists.

    Raises:
        BackupFailed: If it is none.
    """
    if source.is_dir():
        yield _FolderReader(source)
        return
    try:
        with tarfile.open(source, "r:") as file:
            yield _TarReader(file)
    except (OSError, tarfile.TarError) as exc:
        raise BackupFailed(f"{source}: {exc}", public=f"{source} is no backup: {exc}") from exc


def read_sums(text: str) -> dict[str, str]:
    """Name → SHA-256 of SHA256SUMS.

    Raises:
        BackupFailed: If a line is none of ours, or names a file outside the backup.
    """
    found = {}
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if match is None or _NAME.fullmatch(match[2]) is None or ".." in match[2]:
            raise BackupFailed(f"bad line in {SUMS}: {line[:80]!r}", public=f"{SUMS} of the backup is damaged.")
        found[match[2]] = match[1]
    return found


def copy(source: IO[bytes], target: IO[bytes] | None) -> tuple[str, int]:
    """Copy to the end, or only read; returns SHA-256 and octets."""
    digest, size = hashlib.sha256(), 0
    while data := source.read(CHUNK):
        digest.update(data)
        size += len(data)
        if target is not None:
            target.write(data)
    return digest.hexdigest(), size


def create(path: Path) -> IO[bytes]:
    """A new private file."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb")


def part_of(target: Path) -> Path:
    """A temporary name beside a target."""
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")


class _FolderWriter:
    def __init__(self, target: Path) -> None:
        self._target = target
        self._part = part_of(target)
        self._part.mkdir(mode=0o700)

    def add(self, name: str, source: IO[bytes], size: int) -> str:
        path = self._part / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with create(path) as file:
            digest, written = copy(source, file)
            file.flush()
            os.fsync(file.fileno())
        if written != size:
            raise BackupFailed(f"{name}: {written} octets instead of {size}")
        return digest

    def commit(self) -> None:
        sync_tree(self._part)
        self._part.rename(self._target)
        sync_folder(self._target.parent)

    def discard(self) -> None:
        shutil.rmtree(self._part, ignore_errors=True)


class _Hashed(io.RawIOBase):
    """Reads through to a file and hashes what passes."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        self.digest.update(data)
        return data


class _TarWriter:
    def __init__(self, target: Path) -> None:
        self._target = target
        self._part = part_of(target)
        self._file = create(self._part)
        self._tar = tarfile.open(fileobj=self._file, mode="w:", format=tarfile.PAX_FORMAT)  # noqa: SIM115

    def add(self, name: str, source: IO[bytes], size: int) -> str:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = size, 0o600
        hashed = _Hashed(source)
        try:
            self._tar.addfile(entry, hashed)
        except OSError as exc:
            raise BackupFailed(f"{name}: {exc}") from exc
        if source.read(1):
            raise BackupFailed(f"{name}: more than {size} octets")
        return hashed.digest.hexdigest()

    def commit(self) -> None:
        self._tar.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._part.rename(self._target)
        sync_folder(self._target.parent)

    def discard(self) -> None:
        self._file.close()
        self._part.unlink(missing_ok=True)


class _FolderReader:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        try:
            fd = os.open(self._folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as exc:
            raise BackupFailed(f"{name}: {exc}", public=f"{name} is missing in the backup.") from exc
        with os.fdopen(fd, "rb") as file:
            yield file


class _TarReader:
    def __init__(self, file: tarfile.TarFile) -> None:
        self._tar = file
        self._members = {member.name: member for member in file if member.isreg()}

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        member = self._members.get(name)
        source = self._tar.extractfile(member) if member is not None else None
        if source is None:
            raise BackupFailed(f"no {name}", public=f"{name} is missing in the backup.")
        with source:
            yield source


def sync_tree(folder: Path) -> None:
    """Make the names in a folder and beneath it durable."""
    for path, _folders, _files in os.walk(folder):
        sync_folder(Path(path))
