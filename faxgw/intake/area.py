"""One account's folders on the disk, and the places that show them (docs/sftp.md).

    owner                  whose they are
    in/  in.partial/       what was uploaded; what is being uploaded, or was left half
    out/                   results
    work/<id>/             taken: a job file and its documents, until the job is committed

A file is complete when its client closed it: synced, then moved from `in.partial` to `in`, which is one rename and
survives a power cut. Where a file lies is what is known of it: after a crash nothing half can be taken for whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import json
import logging
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from faxgw.intake.shelf import MAX_ENTRIES, Entry, Shelf
from faxgw.intake.threads import Threads
from faxgw.intake.tree import Fault, Opening, Place, TreeError
from faxgw.store.durable import NO_SPACE
from faxgw.store.errors import OutOfSpace

T = TypeVar("T")

log = logging.getLogger(__name__)

MAX_FILE = 100 * 2**20
"""Octets of one file."""
MAX_ACCOUNT = 2 * 2**30
"""Octets in one account's folders."""
MAX_READ = 256 * 1024
"""Octets of one answer."""
ROOM_EVERY = 4 * 2**20
"""Octets that are written between two looks at the free space."""
COUNTED_S = 5.0
"""Seconds for which the count of an account's octets holds."""

RECENT_S = 15.0
"""Seconds for which a file that a client laid down, and that is taken already, can still be asked about by its name.
Longer, and who lays down another one of the name would be asked whether it is to be written over."""
MAX_RECENT = 1_000
"""Such files of one inbox."""

Room = Callable[[], Awaitable[None]]
"""Raises OutOfSpace below the watermark."""


def owner_folder(base: Path, customer: str, login: str) -> Path:
    """Where a login's folders are: a name without any of its own characters."""
    return base / hashlib.sha256(f"{customer}\0{login}".encode()).hexdigest()[:32]


class Area:
    """The folders of one login; shared by its sessions.

    Args:
        folder: Where; made when it does not exist.
        customer: Customer id.
        login: Login name.
    """

    def __init__(self, folder: Path, customer: str, login: str) -> None:
        self.folder = folder
        self.customer = customer
        self.login = login
        self.lock = asyncio.Lock()
        """Held by whoever takes jobs."""
        self.work = folder / "work"
        self._open: dict[str, Shelf] = {}
        self._counted = (0.0, 0)

    def make(self) -> None:
        """Make what must be there; blocking."""
        self.folder.parent.mkdir(mode=0o700, exist_ok=True)
        with Shelf(self.folder) as root:
            if root.entry("owner") is None:
                root.put("owner", json.dumps({"customer": self.customer, "login": self.login}).encode())
        with contextlib.suppress(FileExistsError):
            self.work.mkdir(mode=0o700)

    def shelf(self, name: str) -> Shelf:
        """A folder of it, opened once; blocking."""
        if name not in self._open:
            self._open[name] = Shelf(self.folder / name)
        return self._open[name]

    def used(self) -> int:
        """Octets in its folders, counted anew every COUNTED_S; blocking."""
        now = time.monotonic()
        if now - self._counted[0] > COUNTED_S:
            self._counted = (now, sum(e.size for shelf in list(self._open.values()) for e in shelf.entries()))
        return self._counted[1]

    def more(self, octets: int) -> None:
        """Octets were written."""
        self._counted = (self._counted[0], self._counted[1] + octets)

    def close(self) -> None:
        """Close the folders; blocking."""
        for shelf in self._open.values():
            shelf.close()
        self._open.clear()


class Areas:
    """The folders of all logins.

    Args:
        base: Their parent.
        room: Whether the disk has room.
        threads: For what blocks.
    """

    def __init__(self, base: Path, room: Room, threads: Threads) -> None:
        self.base = base
        self.room = room
        self._areas: dict[Path, Area] = {}
        self._threads = threads

    async def area(self, customer: str, login: str) -> Area:
        """A login's folders, made where they do not exist. Raises OSError."""
        folder = owner_folder(self.base, customer, login)
        if (known := self._areas.get(folder)) is not None:
            return known
        made = Area(folder, customer, login)
        await self.run(made.make)
        return self._areas.setdefault(folder, made)

    async def all(self) -> Sequence[Area]:
        """Every login's folders that are on the disk."""
        return [await self.area(*owner) for owner in await self.run(self._owners)]

    async def run(self, work: Callable[[], T]) -> T:
        """Do something that blocks."""
        return await self._threads.run(work)

    async def close(self) -> None:
        """Close everything, after the last session."""
        for area in self._areas.values():
            area.close()
        self._areas.clear()

    def _owners(self) -> list[tuple[str, str]]:
        self.base.mkdir(mode=0o700, exist_ok=True)
        found = []
        for folder in sorted(path for path in self.base.iterdir() if path.is_dir() and not path.is_symlink()):
            with contextlib.suppress(FileNotFoundError, ValueError, KeyError), Shelf(folder) as root:
                owner = json.loads(root.read("owner", 10_000))
                if owner_folder(self.base, owner["customer"], owner["login"]) == folder:
                    found.append((owner["customer"], owner["login"]))
        return found


class ShelfPlace(Place):
    """A folder that is read and emptied, not written: results.

    Args:
        name: Its name for clients.
        areas: Does what blocks.
        shelf: Opens the folder; blocking, called once.
        removable: Whether clients may remove files.
    """

    def __init__(self, name: str, areas: Areas, shelf: Callable[[], Shelf], *, removable: bool = True) -> None:
        super().__init__(name)
        self._areas = areas
        self._shelf = shelf
        self._removable = removable

    async def entries(self) -> Sequence[Entry]:
        """See the base: the newest, for whoever removes nothing looks for those."""
        found = await self._areas.run(lambda: self._shelf().newest())
        return [entry for entry in found if not entry.name.startswith(".")]

    async def entry(self, name: str) -> Entry | None:
        """See the base."""
        return None if name.startswith(".") else await self._areas.run(lambda: self._shelf().entry(name))

    async def open(self, name: str, how: Opening) -> ReadFile:
        """See the base."""
        if how.write:
            raise TreeError(Fault.DENIED)
        if name.startswith("."):
            raise TreeError(Fault.MISSING)
        return await _opened(self._areas, self._shelf, name)

    async def remove(self, name: str) -> None:
        """See the base."""
        if not self._removable:
            raise TreeError(Fault.DENIED)
        if name.startswith(".") or not await self._areas.run(lambda: self._shelf().remove(name)):
            raise TreeError(Fault.MISSING)


async def _opened(areas: Areas, shelf: Callable[[], Shelf], name: str) -> ReadFile:
    try:
        fd = await areas.run(lambda: shelf().open_read(name))
    except FileNotFoundError as exc:
        raise TreeError(Fault.MISSING) from exc
    return ReadFile(areas, name, fd)


class ReadFile:
    """A file open to be read."""

    writable = False

    def __init__(self, areas: Areas, name: str, fd: int) -> None:
        self._areas = areas
        self._name = name
        self._fd = fd

    async def entry(self) -> Entry:
        """See OpenFile."""
        facts = os.fstat(self._fd)
        return Entry(self._name, facts.st_size, facts.st_mtime)

    async def read(self, offset: int, size: int) -> bytes:
        """See OpenFile."""
        return await self._areas.run(lambda: os.pread(self._fd, min(size, MAX_READ), min(offset, MAX_FILE)))

    async def write(self, offset: int, data: bytes) -> None:
        """See OpenFile."""
        raise TreeError(Fault.DENIED)

    async def resize(self, size: int) -> None:
        """See OpenFile."""
        raise TreeError(Fault.DENIED)

    async def sync(self) -> None:
        """See OpenFile."""

    async def close(self, *, complete: bool) -> None:
        """See OpenFile."""
        os.close(self._fd)


@dataclass(slots=True)
class _Recent:
    """A file that was laid down not long ago."""

    entry: Entry
    until: float
    """Monotonic seconds."""
    told: bool = False
    """A client was told of it when it was taken already."""


class Inbox(Place):
    """A folder that clients fill. One inbox serves all sessions of a login, so that it knows who writes what.

    Args:
        name: Its name, for clients and on the disk.
        areas: Does what blocks.
        area: Whose folders.
        arrived: Called when a file is complete, or has a new name.
        take: Takes the jobs that are complete, at once; called, with the area's lock held, before a complete file is
            changed, so that no job gets what its sender lays down for the next one. Raises OSError.
    """

    def __init__(
        self,
        name: str,
        areas: Areas,
        area: Area,
        arrived: Callable[[], None],
        take: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__(name, writable=True)
        self._areas = areas
        self._area = area
        self._arrived = arrived
        self._take = take
        self._writers: dict[str, WriteFile] = {}
        self._recent: dict[str, _Recent] = {}

    @property
    def whole(self) -> Shelf:
        """Complete files; blocking at first."""
        return self._area.shelf(self.name)

    @property
    def partial(self) -> Shelf:
        """Files that are being written, or were left; blocking at first."""
        return self._area.shelf(f"{self.name}.partial")

    async def entries(self) -> Sequence[Entry]:
        """See the base: both kinds, for a client that resumes looks for what it has sent."""
        whole, partial = await self._areas.run(lambda: (self.whole.entries(), self.partial.entries()))
        return sorted((*whole, *partial), key=lambda entry: entry.name)

    async def entry(self, name: str) -> Entry | None:
        """See the base; for a while also a file that is taken already.

        Many clients ask for the size of what they have just laid down, or set its times, and take it for lost when it
        is gone (Paramiko's `put`, WinSCP).
        """
        found = await self._areas.run(lambda: self._entry(name))
        recent = self._recent.get(name)
        if found is not None or recent is None or time.monotonic() > recent.until:
            return found
        recent.told = True
        return recent.entry

    def _remember(self, entry: Entry | None) -> None:
        if entry is not None:
            self._recent.pop(entry.name, None)
            self._recent[entry.name] = _Recent(entry, time.monotonic() + RECENT_S)
            if len(self._recent) > MAX_RECENT:
                del self._recent[next(iter(self._recent))]

    def _entry(self, name: str) -> Entry | None:
        return self.partial.entry(name) or self.whole.entry(name)

    async def open(self, name: str, how: Opening) -> ReadFile | WriteFile:
        """See the base. Who opens a file to write takes it from a session that still has it open."""
        if not how.write:
            found = await self._areas.run(lambda: self.partial.entry(name) is not None)
            return await _opened(self._areas, lambda: self.partial if found else self.whole, name)
        await _has_room(self._areas)
        async with self._area.lock:
            await self._take_with(name)
            await self._areas.run(lambda: self._check_open(name, how))  # who is refused takes it from nobody
            if (other := self._writers.pop(name, None)) is not None:
                await other.lose()
            self._recent.pop(name, None)
            fd = await self._areas.run(lambda: self._open_write(name, how))
            writer = WriteFile(self._areas, self._area, self, name, fd)
            self._writers[name] = writer
            return writer

    async def _take_with(self, *names: str) -> None:
        """Have jobs taken whose documents, or whose own files, are about to be changed; most changes are of none."""
        if await self._areas.run(lambda: any(self.whole.entry(name) is not None for name in names)):
            await self._take()

    def _check_open(self, name: str, how: Opening) -> None:
        found = self._entry(name)
        if found is not None and how.exclusive:
            raise TreeError(Fault.EXISTS)
        recent = self._recent.get(name)
        resumes = recent is not None and recent.told and not how.truncate and not how.exclusive
        if found is None and (resumes or not how.create):
            raise TreeError(Fault.MISSING)  # who resumes what is taken already would lay down its end alone
        if self._area.used() > MAX_ACCOUNT:
            raise TreeError(Fault.FULL)
        if found is None and len(self.whole.entries()) + len(self.partial.entries()) >= MAX_ENTRIES:
            raise TreeError(Fault.FULL)

    def _open_write(self, name: str, how: Opening) -> int:
        try:
            if self.partial.entry(name) is None and self.whole.entry(name) is not None:
                self.whole.move(name, self.partial)  # half from now on, whatever happens
            else:
                self.whole.remove(name)
            return self.partial.open_write(name, truncate=how.truncate)
        except OSError as exc:
            raise _fault(exc) from exc

    async def remove(self, name: str) -> None:
        """See the base."""
        async with self._area.lock:
            await self._take_with(name)
            if (writer := self._writers.pop(name, None)) is not None:
                await writer.lose()
            self._recent.pop(name, None)
            gone = await self._areas.run(lambda: self.whole.remove(name) | self.partial.remove(name))
        if not gone:
            raise TreeError(Fault.MISSING)

    async def rename(self, name: str, new: str, *, replace: bool) -> None:
        """See the base. What is half stays half under its new name."""
        async with self._area.lock:
            if name in self._writers or new in self._writers:
                raise TreeError(Fault.IN_USE)
            await self._take_with(name, new)
            self._recent.pop(name, None)
            self._remember(await self._areas.run(lambda: self._rename(name, new, replace=replace)))
        self._arrived()

    def _rename(self, name: str, new: str, *, replace: bool) -> Entry | None:
        source = next((shelf for shelf in (self.partial, self.whole) if shelf.entry(name) is not None), None)
        if source is None:
            raise TreeError(Fault.MISSING)
        if name == new:
            return self.whole.entry(new)
        if self._entry(new) is not None:
            if not replace:
                raise TreeError(Fault.EXISTS)
            other = self.whole if source is self.partial else self.partial
            other.remove(new)
        source.move(name, source, new)
        source.sync()
        return self.whole.entry(new)

    async def complete(self, writer: WriteFile) -> None:
        """A client has closed its file, which is synced. Only the last one that opened it can complete it."""
        async with self._area.lock:
            if self._writers.get(writer.name) is not writer:
                raise TreeError(Fault.IN_USE)
            del self._writers[writer.name]
            self._remember(await self._areas.run(lambda: self._complete(writer.name)))
        self._arrived()

    def left(self, writer: WriteFile) -> None:
        """A client went away without closing its file: it stays half."""
        if self._writers.get(writer.name) is writer:
            del self._writers[writer.name]
            facts = {"customer": self._area.customer, "login": self._area.login, "file": writer.name}
            log.info("file left half", extra={"event": "files.half", **facts})

    def is_open(self, name: str) -> bool:
        """Whether somebody writes to a file now."""
        return name in self._writers

    def _complete(self, name: str) -> Entry | None:
        try:
            self.partial.move(name, self.whole)
            self.whole.sync()
        except OSError as exc:
            raise _fault(exc) from exc
        return self.whole.entry(name)


class WriteFile:
    """A file open to be written."""

    writable = True

    def __init__(self, areas: Areas, area: Area, inbox: Inbox, name: str, fd: int) -> None:
        self.name = name
        self._areas = areas
        self._area = area
        self._inbox = inbox
        self._fd = fd
        self._since_look = 0
        self._lost = False
        self._busy = asyncio.Lock()

    async def entry(self) -> Entry:
        """See OpenFile."""
        async with self._busy:
            facts = os.fstat(self._held())
        return Entry(self.name, facts.st_size, facts.st_mtime)

    async def read(self, offset: int, size: int) -> bytes:
        """See OpenFile."""
        async with self._busy:
            fd = self._held()
            return await self._areas.run(lambda: os.pread(fd, min(size, MAX_READ), min(offset, MAX_FILE)))

    async def write(self, offset: int, data: bytes) -> None:
        """See OpenFile."""
        if offset + len(data) > MAX_FILE:
            raise TreeError(Fault.TOO_LARGE)
        self._since_look += len(data)
        if self._since_look >= ROOM_EVERY:
            self._since_look = 0
            await _has_room(self._areas)
        async with self._busy:
            fd = self._held()
            await self._areas.run(lambda: self._write(fd, offset, data))

    def _write(self, fd: int, offset: int, data: bytes) -> None:
        if self._area.used() + len(data) > MAX_ACCOUNT:
            raise TreeError(Fault.FULL)
        done = 0
        try:
            while done < len(data):
                done += os.pwrite(fd, data[done:], offset + done)
        except OSError as exc:
            raise _fault(exc) from exc
        self._area.more(len(data))

    async def resize(self, size: int) -> None:
        """See OpenFile."""
        if size > MAX_FILE:
            raise TreeError(Fault.TOO_LARGE)
        async with self._busy:
            fd = self._held()
            await self._areas.run(lambda: os.ftruncate(fd, size))

    async def sync(self) -> None:
        """See OpenFile."""
        async with self._busy:
            fd = self._held()
            await self._areas.run(lambda: os.fsync(fd))

    async def close(self, *, complete: bool) -> None:
        """See OpenFile."""
        synced = False
        async with self._busy:
            if self._lost and complete:
                raise TreeError(Fault.IN_USE)
            if self._lost:
                return
            self._lost = True
            try:
                if complete:
                    await self._areas.run(lambda: os.fsync(self._fd))
                    synced = True
            except OSError as exc:
                raise _fault(exc) from exc
            finally:
                os.close(self._fd)
                if not synced:
                    self._inbox.left(self)
        if synced:
            await self._inbox.complete(self)

    async def lose(self) -> None:
        """Somebody else has opened or removed the file: what this session still writes goes nowhere."""
        async with self._busy:  # nothing may be writing to a descriptor that is closed
            if not self._lost:
                self._lost = True
                os.close(self._fd)

    def _held(self) -> int:
        if self._lost:
            raise TreeError(Fault.IN_USE)
        return self._fd


async def _has_room(areas: Areas) -> None:
    try:
        await areas.room()
    except OutOfSpace as exc:
        raise TreeError(Fault.NO_ROOM) from exc


def _fault(error: OSError) -> TreeError:
    if error.errno in NO_SPACE:
        return TreeError(Fault.NO_ROOM, str(error))
    if error.errno in (errno.EACCES, errno.EPERM, errno.ELOOP):
        return TreeError(Fault.DENIED, str(error))
    if error.errno == errno.ENOENT:
        return TreeError(Fault.MISSING, str(error))
    return TreeError(Fault.FAILED, str(error))
