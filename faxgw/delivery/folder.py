"""Received faxes into folders of this machine, and into the pick-up areas of the built-in file servers.

A file is written beside its place under a hidden name, synced, renamed, and the folder synced: whoever watches the
folder never sees half of one, and a power cut loses none that was reported as delivered. A folder must be one that the
operator has opened for it: it lies below one of `[deliveries] folders`, with every link followed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from faxgw.delivery.received import Consignment, Undelivered, lay

FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class FolderWay:
    """Writes files.

    Args:
        allowed: Folders below which targets may lie.
    """

    def __init__(self, allowed: Sequence[Path]) -> None:
        self._allowed = allowed

    async def deliver(self, consignment: Consignment) -> str:
        """See `received.Way`."""
        path = await asyncio.to_thread(self._checked, Path(consignment.target.address))
        folder = await asyncio.to_thread(DiskFolder, path)
        try:
            return await lay(folder, consignment)
        finally:
            folder.close()

    def _checked(self, path: Path) -> Path:
        """The folder, where it really is. Raises Undelivered."""
        try:
            real = path.resolve(strict=True)
        except (OSError, RuntimeError) as exc:
            raise Undelivered(f"the folder cannot be found: {path}") from exc
        if not any(real.is_relative_to(each.resolve()) for each in self._allowed):
            raise Undelivered(f"the folder is none that [deliveries] folders opens: {path}")
        return real


class PickupWay:
    """Lays files where the customer's programs fetch them from the built-in SFTP and FTP servers.

    Args:
        folder: A pick-up area (customer, login, name), made where it does not exist; None: no such login.
    """

    def __init__(self, folder: Callable[[str, str, str], Awaitable[Path | None]]) -> None:
        self._folder = folder

    async def deliver(self, consignment: Consignment) -> str:
        """See `received.Way`."""
        login = consignment.target.address
        path = await self._folder(consignment.report.customer, login, consignment.target.params.get("folder", ""))
        if path is None:
            raise Undelivered(f"there is no login {login} of this customer, no folder of that name, or no file server")
        folder = await asyncio.to_thread(DiskFolder, path)
        try:
            return await lay(folder, consignment)
        finally:
            folder.close()


class DiskFolder:
    """A folder, opened once; whatever becomes of its path meanwhile. Opening blocks, and raises OSError."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, FLAGS)

    def close(self) -> None:
        """Close it."""
        os.close(self._fd)

    async def size(self, name: str) -> int | None:
        """See `received.Folder`."""
        try:
            return (await asyncio.to_thread(os.stat, name, dir_fd=self._fd, follow_symlinks=False)).st_size
        except FileNotFoundError:
            return None

    async def read(self, name: str, size: int) -> bytes:
        """See `received.Folder`."""
        return await asyncio.to_thread(self._read, name, size)

    def _read(self, name: str, size: int) -> bytes:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            fd = os.open(name, flags, dir_fd=self._fd)
        except OSError:
            return b""
        try:
            return os.pread(fd, size + 1, 0)
        except OSError:
            return b""
        finally:
            os.close(fd)

    async def put(self, name: str, octets: bytes) -> None:
        """See `received.Folder`."""
        await asyncio.to_thread(self._put, name, octets)

    def _put(self, name: str, octets: bytes) -> None:
        half = f".{name}.part"
        with contextlib.suppress(FileNotFoundError):  # of a try that was cut off
            os.unlink(half, dir_fd=self._fd)
        fd = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640, dir_fd=self._fd)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(octets)
                file.flush()
                os.fsync(fd)
            os.rename(half, name, src_dir_fd=self._fd, dst_dir_fd=self._fd)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(half, dir_fd=self._fd)
            raise
        os.fsync(self._fd)
