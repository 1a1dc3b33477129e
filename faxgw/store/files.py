"""Spool objects: the only module that names, writes, syncs, renames and removes them.

Spine sections 5 (250) and 7. An object is durable when `commit` has returned: file synced, renamed, folder synced
(without the last step a power cut brings the temporary name back); a small one lies under its final name from the
beginning (`rounds`). Then a row may name it. Every name carries node and incarnation, so that the sweep touches only
what an earlier life of this node left without a row, whole or not.
A failed fsync is final (reliability rule 2): the file is dropped, never synced again.
Names from outside never get here: an object's name is 128 random bits (reliability rule 14).

    tmp/<random>.<node>.<incarnation>             being written, where it is larger than BUFFER_BYTES
    spool/ab/<random>.<node>.<incarnation>        mails; `spool/ab/…` is the object's key
    objects/ab/<random>.<node>.<incarnation>      everything else
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import errno
import functools
import hashlib
import os
import re
import secrets
import stat
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from faxgw.fax.ports import StoredFile
from faxgw.store import rounds
from faxgw.store.durable import NO_SPACE, sync_folder
from faxgw.store.errors import FileFailed, ObjectDamaged, ObjectMissing, ObjectTooLarge, OutOfSpace, StoreError
from faxgw.store.gathering import Gathering
from faxgw.store.shared_read import SharedRead
from faxgw.store.space import FreeSpace, Watermark

T = TypeVar("T")

BUFFER_BYTES = 256 * 1024
"""Most octets of one file kept in memory before they are written."""
COPY_BYTES = 1024 * 1024
"""Octets read at a time when a descriptor is copied or checked."""
OBJECT_BYTES = 1024 * 2**20
"""Most octets of one object unless the caller allows less: 1 GiB, 10,000 G4 pages of 100 kB."""
THREADS = 8
"""Threads that write and sync; the file system's journal commits what they sync together."""
GATHERED_FILES = 12
"""Small files of one thread's round: all written, then all synced, then their folder once. Files of 20 kB per second,
medians of four runs beside other work: rounds of 12 in 4 threads 1,029, of 6 in 8 896, of 25 in 2 455, one by one in 50
threads 941; with a rename of each file 548 to 724."""
GATHERING_THREADS = 4
"""Rounds at a time; the other threads are left for what is not gathered, such as received pages."""
AMPLE_BYTES = 4 * 2**30
"""Octets above the watermark that nobody fills within AMPLE_S."""
AMPLE_S = 0.5
"""Seconds for which ample space is believed."""
SWEEP_KEYS = 500
"""Keys asked about at once by the sweep: below SQLite's 32,766 parameters, and well below 100 ms."""
SWEEP_SHARDS = 32
"""Folders listed at once by the sweep; with a million objects some 60,000 names."""

Known = Callable[[Sequence[str]], Awaitable[Collection[str]]]
"""Says which of some keys a row names."""
_Theirs = Callable[[re.Match[str] | None, int], bool]
"""Whether a name is one of those to be swept; the second argument is the number of the group with its node, after that
of the random part."""
MARK_DIGITS = 12
"""Of a name's 32 random digits, those that say which process made it."""
_MARK = re.compile(rf"(?:[0-9a-f]{{{MARK_DIGITS}}})?")
_NODE = re.compile(r"[a-z0-9-]{1,32}")
_KEY = re.compile(r"(?:spool|objects)/([0-9a-f]{2})/([0-9a-f]{32})\.([a-z0-9-]{1,32})\.([0-9]{1,18})")
_DAMAGE = {errno.EIO, errno.ELOOP, errno.ENOTDIR, errno.ENXIO}
_TEMPORARY = re.compile(r"([0-9a-f]{32})\.([a-z0-9-]{1,32})\.([0-9]{1,18})")


class Kind(enum.Enum):
    """Where an object lies; the value is its folder."""

    MAIL = "spool"
    """A mail as received."""
    OBJECT = "objects"
    """Documents, pages, received pages, reports."""


@dataclass(frozen=True, slots=True)
class SpoolPlace:
    """Where spool objects are made, and what their names carry: enough to make them from another process."""

    root: str
    """The data folder."""
    node: str
    incarnation: int
    mark: str = ""
    """How the random part of every name ends, so that one process's objects can be told from all others'."""


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep removed."""

    temporary: int
    """Files that were never finished."""
    orphans: int
    """Objects no row names, finished or not: their 250 was never given."""


class Files:
    """The spool objects below one data folder.

    Args:
        root: The data folder; it exists and is ours alone (`node.lock_folder`).
        node: This node's name, lower-case letters, digits and hyphens, at most 32.
        incarnation: Serial of this life of the node, from `node.register`.
        mark: MARK_DIGITS hexadecimal digits with which the random part of each name ends; empty: none.
    """

    def __init__(self, root: Path, node: str, incarnation: int, mark: str = "") -> None:
        if _NODE.fullmatch(node) is None or incarnation < 1:
            raise ValueError("node must be a lower-case label and its incarnation positive")
        if _MARK.fullmatch(mark) is None:
            raise ValueError(f"a mark has {MARK_DIGITS} hexadecimal digits")
        self._mark = mark
        self._root = root
        self._place = str(root)
        self._node = node
        self._incarnation = incarnation
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="store-files")
        self._seen = (0.0, FreeSpace(0, 0, 0))
        self._space = SharedRead[None, FreeSpace](lambda _: self.free_space())
        self._small = Gathering(self._keep_all, most=GATHERED_FILES, lanes=GATHERING_THREADS)

    @property
    def place(self) -> SpoolPlace:
        """Where another process of this node makes objects as well."""
        return SpoolPlace(self._place, self._node, self._incarnation, self._mark)

    async def start(self) -> None:
        """Make the folders, durably."""
        await self._in_thread(self._make_folders)

    async def close(self) -> None:
        """Finish what runs."""
        await self._small.finish()
        await asyncio.to_thread(self._threads.shutdown)

    async def open_temp(self, kind: Kind, limit: int = OBJECT_BYTES) -> SpoolFile:
        """Begin a new file; use it as an asynchronous context, which discards it unless committed.

        Nothing of it is on the disk before BUFFER_BYTES have come: what is smaller is written by its commit.

        Args:
            kind: Where it will lie.
            limit: Most octets it may have.

        Raises:
            StoreError: If it cannot be made.
        """
        return SpoolFile(self._threads, self._small, self._writer(kind, limit))

    async def keep(self, data: bytes, kind: Kind = Kind.OBJECT) -> StoredFile:
        """Make octets in memory a durable object, in one step of one thread: for what is small.

        Raises:
            StoreError: If they cannot be kept.
        """
        writer = self._writer(kind, len(data))
        if len(data) > BUFFER_BYTES:
            return await self._in_thread(functools.partial(writer.finish, data))
        return await self._small.add((writer, data))

    async def adopt_fd(self, fd: int, kind: Kind = Kind.OBJECT, limit: int = OBJECT_BYTES) -> StoredFile:
        """Copy a descriptor's content, from its beginning, into a durable object.

        Args:
            fd: A regular file or memfd of anyone's; stays the caller's and keeps its position.
            kind: Where the object lies.
            limit: Most octets.

        Raises:
            ObjectTooLarge: If there is more.
            StoreError: If it cannot be kept.
        """
        async with await self.open_temp(kind, limit) as file:
            await file.copy_from(fd)
            return await file.commit()

    async def open_read(self, file: StoredFile) -> int:
        """Return a descriptor at position 0 of an object whose content was just checked; the caller closes it.

        Raises:
            ObjectDamaged: If it is not what was written, or is gone.
        """
        return await self._in_thread(lambda: _open_checked(self._path(file.key), file))

    async def remove(self, key: str) -> None:
        """Remove an object, after the commit that took its row away; one that is gone already is no error.

        The removal is not synced: what a power cut brings back has no row and falls to the next sweep.
        """
        await self._in_thread(lambda: self._path(key).unlink(missing_ok=True))

    async def sweep(self, known: Known) -> Swept:
        """Remove what earlier incarnations of this node left behind and no row names; safe beside live work.

        Args:
            known: Returns those of at most SWEEP_KEYS keys that a row names.
        """
        return await self._sweep(self._is_earlier, known, Kind)

    async def sweep_marked(self, mark: str, known: Known, spared: Collection[str] = ()) -> Swept:
        """Remove what a process of this incarnation made that has ended, and no row names; safe beside live work.

        Args:
            mark: In the names that it made; nobody else's have it.
            known: As for `sweep`, once nothing of that process is on its way to a row any more.
            spared: Keys of which nobody knows whether a row will name them; they wait for the next start.
        """
        if _MARK.fullmatch(mark) is None or not mark:
            raise ValueError(f"a mark has {MARK_DIGITS} hexadecimal digits")

        def made(match: re.Match[str] | None, node: int) -> bool:
            if match is None or match[node] != self._node or int(match[node + 1]) != self._incarnation:
                return False
            return match[node - 1].endswith(mark)

        return await self._sweep(made, known, (Kind.MAIL,), frozenset(spared))

    async def _sweep(self, theirs: _Theirs, known: Known, kinds: Iterable[Kind], spared: Collection[str] = ()) -> Swept:
        temporary = await self._in_thread(functools.partial(self._sweep_temporary, theirs))
        orphans = 0
        shards = await self._in_thread(functools.partial(self._shards, kinds))
        for first in range(0, len(shards), SWEEP_SHARDS):
            some = shards[first : first + SWEEP_SHARDS]
            keys = await self._in_thread(functools.partial(self._keys_of, some, theirs))
            for start in range(0, len(keys), SWEEP_KEYS):
                batch = keys[start : start + SWEEP_KEYS]
                named = {*spared, *await known(batch)}
                for key in batch:
                    if key not in named:
                        await self.remove(key)
                        orphans += 1
        return Swept(temporary, orphans)

    async def free_space(self) -> FreeSpace:
        """Return what is left on the data folder's file system."""
        return await self._in_thread(lambda: FreeSpace.of(self._root))

    async def require_room(self, watermark: Watermark, octets: int = 0) -> None:
        """Refuse before anything is promised (reliability rule 11). Ample space is not looked at for each request.

        Args:
            watermark: What must be left.
            octets: What is to come, and must not take the space below it.

        Raises:
            OutOfSpace: If free space is below the watermark, or would be.
        """
        seen_at, seen = self._seen
        ample = replace(seen, free=seen.free - AMPLE_BYTES - octets)
        if time.monotonic() < seen_at + AMPLE_S and not watermark.refuses(ample):
            return
        space = await self._space.ask(None)
        self._seen = (time.monotonic(), space)
        if watermark.refuses(replace(space, free=space.free - octets)):
            raise OutOfSpace(f"{space.free} octets and {space.inodes} inodes free, watermark {watermark.floor(space)}")

    def _writer(self, kind: Kind, limit: int) -> _Writer:
        random = secrets.token_hex(16)[len(self._mark) :] + self._mark
        return _Writer(self._place, f"{random}.{self._node}.{self._incarnation}", kind.value, limit)

    async def _keep_all(self, small: Sequence[tuple[_Writer, bytes]]) -> Sequence[StoredFile | Exception]:
        return await self._in_thread(functools.partial(_write_all, small))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.wrap_future(self._threads.submit(work))

    def _path(self, key: str) -> Path:
        if _KEY.fullmatch(key) is None:
            raise ObjectMissing(f"not a key of ours: {key!r}")
        return self._root / key

    def _make_folders(self) -> None:
        for folder in ("tmp", *(kind.value for kind in Kind)):
            (self._root / folder).mkdir(mode=0o700, exist_ok=True)
        for kind in Kind:
            for shard in range(256):
                (self._root / kind.value / f"{shard:02x}").mkdir(mode=0o700, exist_ok=True)
            sync_folder(self._root / kind.value)
        sync_folder(self._root)

    def _is_earlier(self, match: re.Match[str] | None, node: int) -> bool:
        """Say whether a name is of this node's earlier life; `node` is the number of the group with its name."""
        return match is not None and match[node] == self._node and int(match[node + 1]) < self._incarnation

    def _shards(self, kinds: Iterable[Kind]) -> list[Path]:
        return [folder for kind in kinds for folder in sorted((self._root / kind.value).iterdir()) if folder.is_dir()]

    def _keys_of(self, shards: list[Path], theirs: _Theirs) -> list[str]:
        keys = (f"{shard.parent.name}/{shard.name}/{path.name}" for shard in shards for path in shard.iterdir())
        return [key for key in keys if theirs(_KEY.fullmatch(key), 3)]

    def _sweep_temporary(self, theirs: _Theirs) -> int:
        removed = 0
        for entry in list((self._root / "tmp").iterdir()):
            if theirs(_TEMPORARY.fullmatch(entry.name), 2):
                entry.unlink(missing_ok=True)
                removed += 1
        return removed


class SpoolFile:
    """A file being written; made by `Files.open_temp`, used by one task.

    Its context, left before `commit` has returned, removes whatever of it exists: no row can name it yet. So a
    caller that must not be cancelled between commit and row shields both together (spine section 5, 250, step 4).
    """

    def __init__(
        self, threads: ThreadPoolExecutor, small: Gathering[tuple[_Writer, bytes], StoredFile], writer: _Writer
    ) -> None:
        self._threads = threads
        self._small = small
        self._writer = writer
        self._buffer = bytearray()
        self._state = _State.OPEN

    @property
    def size(self) -> int:
        """Octets written so far, buffered ones included."""
        return self._writer.size + len(self._buffer)

    async def write(self, data: bytes) -> None:
        """Append octets; returns at once until BUFFER_BYTES have gathered.

        Raises:
            ObjectTooLarge: If the limit is passed.
            StoreError: If they cannot be written; the file is lost.
        """
        self._require_open()
        self._buffer += data
        if self.size > self._writer.limit:
            raise ObjectTooLarge(f"more than {self._writer.limit} octets")
        if len(self._buffer) >= BUFFER_BYTES:
            await self._flush()

    async def copy_from(self, fd: int) -> None:
        """Append a regular file's or memfd's content from its beginning. Raises as `write`."""
        self._require_open()
        await self._flush()
        await self._step(lambda: self._writer.copy(fd))

    async def commit(self) -> StoredFile:
        """Make the file durable under its final name: synced, and its folder synced.

        Raises:
            StoreError: If any of it failed; the file is dropped.
        """
        self._require_open()
        rest = bytes(self._buffer)
        self._buffer.clear()
        self._state = _State.LOST
        if self._writer.begun:
            stored = await asyncio.wrap_future(self._threads.submit(self._writer.finish, rest))
        else:
            stored = await self._small.add((self._writer, rest))
        self._state = _State.KEPT
        return stored

    async def discard(self) -> None:
        """Remove the file, unless `commit` has returned; may be called again."""
        if self._state is _State.KEPT:
            return
        self._state = _State.LOST
        await asyncio.shield(asyncio.wrap_future(self._threads.submit(self._writer.drop)))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.discard()

    async def _flush(self) -> None:
        if self._buffer:
            data = bytes(self._buffer)
            self._buffer.clear()
            await self._step(lambda: self._writer.append(data))

    async def _step(self, work: Callable[[], T]) -> T:
        """Do one blocking step; failed or cancelled, nothing can follow it."""
        self._state = _State.LOST
        result = await asyncio.wrap_future(self._threads.submit(work))
        self._state = _State.OPEN
        return result

    def _require_open(self) -> None:
        if self._state is not _State.OPEN:
            raise FileFailed("the file is committed, lost or in use")


class _State(enum.Enum):
    OPEN = enum.auto()
    LOST = enum.auto()
    KEPT = enum.auto()


class _Writer:
    """The blocking side of a SpoolFile. The lock lets `drop` wait for a step whose caller was cancelled."""

    def __init__(self, root: str, name: str, kind: str, limit: int) -> None:
        self.limit = limit
        self.size = 0
        self.begun = False
        """Whether there is anything on the disk."""
        self._root = root
        self._kind = kind
        self._temporary = f"{root}/tmp/{name}"
        self._name_as(name)
        self._hash = hashlib.sha256()
        self._fd: int | None = None
        self._dropped = False
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def whole(self, shard: str, data: bytes) -> Iterator[str]:
        """Write all of a small file into this folder of the 256; gives the path at which that is to be done.

        Nobody drops it meanwhile; whatever is raised within drops it.
        """
        with self._lock, self._dropped_on_error():
            if self._dropped:
                raise FileFailed("the file was given up")
            self._check(len(data))
            self._name_as(shard + self.key.rpartition("/")[2][2:])
            self._temporary = f"{self._root}/{self.key}"
            self.begun = True
            self._hash.update(data)
            self.size += len(data)
            yield self._temporary

    def finish(self, data: bytes) -> StoredFile:
        """Write the last of it; sync, rename, sync the folder."""
        with self._lock, self._dropped_on_error():
            self._append(data)
            self._sync()
            self._rename()
            sync_folder(self.folder)
            return self.made()

    def made(self) -> StoredFile:
        """What is durable, said within `whole`."""
        return StoredFile(self.key, self._hash.hexdigest(), self.size)

    def append(self, data: bytes) -> None:
        """Write octets and take them into size and hash."""
        with self._lock, self._dropped_on_error():
            self._append(data)

    def copy(self, source: int) -> None:
        """Write what another descriptor holds, from its beginning."""
        with self._lock, self._dropped_on_error():
            if not stat.S_ISREG(os.fstat(source).st_mode):
                raise FileFailed("only regular files are copied", temporary=False)
            offset = 0
            while data := os.pread(source, COPY_BYTES, offset):
                offset += len(data)
                self._append(data)

    def drop(self) -> None:
        """Remove all of it. Never raises: what stays is swept at the next start."""
        with self._lock:
            self._drop()

    def _name_as(self, name: str) -> None:
        self.key = f"{self._kind}/{name[:2]}/{name}"
        self.folder = f"{self._root}/{self._kind}/{name[:2]}"

    def _append(self, data: bytes) -> None:
        if not self.begun:
            self._create()
        self._check(len(data))
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._opened(), rest) :]
        self._hash.update(data)
        self.size += len(data)

    def _check(self, more: int) -> None:
        if self.size + more > self.limit:
            raise ObjectTooLarge(f"more than {self.limit} octets")

    def _create(self) -> None:
        if self._dropped:
            raise FileFailed("the file was given up")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._fd = os.open(self._temporary, flags, 0o600)
        self.begun = True

    def _sync(self) -> None:
        os.fsync(self._opened())
        self._close()

    def _rename(self) -> None:
        if self._dropped:
            raise FileFailed("the file was given up")
        Path(self._temporary).rename(f"{self._root}/{self.key}")

    def _opened(self) -> int:
        if self._fd is None:
            raise FileFailed("the file is closed")
        return self._fd

    def _close(self) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def _drop(self) -> None:
        self._dropped = True
        if not self.begun:
            return
        with contextlib.suppress(OSError):
            self._close()
        for path in (self._temporary, f"{self._root}/{self.key}"):
            with contextlib.suppress(OSError):
                Path(path).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _dropped_on_error(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._drop()
            raise _translate(error) from error
        except StoreError:
            self._drop()
            raise


def _write_all(small: Sequence[tuple[_Writer, bytes]]) -> list[StoredFile | Exception]:
    """Make small files durable, each or not; blocking."""
    shard = secrets.token_hex(1)
    found: dict[_Writer, StoredFile | Exception] = {}
    with contextlib.ExitStack() as held:
        ready: list[tuple[_Writer, str, bytes]] = []
        for writer, data in small:
            try:
                ready.append((writer, held.enter_context(writer.whole(shard, data)), data))
            except StoreError as error:
                found[writer] = error
        if ready:
            faults = rounds.write(ready[0][0].folder, [(path, data) for _writer, path, data in ready])
            for (writer, _path, _data), fault in zip(ready, faults, strict=True):
                found[writer] = writer.made() if fault is None else _translate(fault)
    return [found[writer] for writer, _data in small]


def _translate(error: OSError) -> StoreError:
    return OutOfSpace(str(error)) if error.errno in NO_SPACE else FileFailed(str(error))


def _open_checked(path: Path, expected: StoredFile) -> int:
    """Open an object and compare it with what was written; blocking."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise ObjectMissing(expected.key) from error
    except OSError as error:
        kind = ObjectDamaged if error.errno in _DAMAGE else FileFailed
        raise kind(f"{expected.key}: {error}") from error
    try:
        _check(fd, expected)
    except OSError as error:
        os.close(fd)
        raise ObjectDamaged(f"{expected.key}: {error}") from error
    except ObjectDamaged:
        os.close(fd)
        raise
    return fd


def _check(fd: int, expected: StoredFile) -> None:
    facts = os.fstat(fd)
    if not stat.S_ISREG(facts.st_mode) or facts.st_size != expected.size:
        raise ObjectDamaged(f"{expected.key}: {facts.st_size} octets, {expected.size} were written")
    digest = hashlib.sha256()
    offset = 0
    while data := os.pread(fd, COPY_BYTES, offset):
        digest.update(data)
        offset += len(data)
    if digest.hexdigest() != expected.sha256:
        raise ObjectDamaged(f"{expected.key}: SHA-256 differs")
