"""One SFTP session on a tree of places (draft-ietf-secsh-filexfer-02, which is version 3): the subsystem alone.

No shell, no command, no terminal, no link, no folder to be made. A file that the client closes is complete; one that
is open when the session ends, for whatever reason, is half. asyncssh tells its server of both alike, so the handler
notes the end of the session before it closes what is left (written against asyncssh 2.24).
"""

from __future__ import annotations

import asyncio
import functools
import logging
import stat
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar  # Any: handles and coroutines as asyncssh types them

import asyncssh
from asyncssh.packet import SSHPacket
from asyncssh.sftp import SFTPServerHandler
from asyncssh.stream import SSHServerStreamSession

from faxgw.fax.errors import FaxError
from faxgw.intake.shelf import Entry
from faxgw.intake.tree import Fault, OpenFile, Opening, Place, Tree, TreeError, read_path

P = ParamSpec("P")
T = TypeVar("T")

MAX_OPEN = 32
"""Files that one session has open at a time."""
MAX_LISTINGS = 16
"""Folders that one session has open at a time."""
VERSION = 3
"""The one version that all clients speak."""
_FOLDER = stat.S_IFDIR | 0o500
_OPEN_FOLDER = stat.S_IFDIR | 0o700
_FILE = stat.S_IFREG | 0o600
_ERRORS: dict[Fault, Callable[[str], asyncssh.SFTPError]] = {
    Fault.MISSING: asyncssh.SFTPNoSuchFile,
    Fault.DENIED: asyncssh.SFTPPermissionDenied,
    Fault.EXISTS: asyncssh.SFTPFileAlreadyExists,
    Fault.NAME: asyncssh.SFTPInvalidFilename,
    Fault.FULL: asyncssh.SFTPQuotaExceeded,
    Fault.NO_ROOM: asyncssh.SFTPNoSpaceOnFilesystem,
    Fault.UNSUPPORTED: asyncssh.SFTPOpUnsupported,
}
"""All others are SSH_FX_FAILURE, as these are for a client of version 3 that does not know them."""

log = logging.getLogger(__name__)


def _told(
    method: Callable[Concatenate[SftpFolders, P], Awaitable[T]],
) -> Callable[Concatenate[SftpFolders, P], Coroutine[Any, Any, T]]:
    """Turns what goes wrong into what the protocol can say, free of our internals."""

    async def wrapped(self: SftpFolders, /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await method(self, *args, **kwargs)
        except TreeError as exc:
            raise _ERRORS.get(exc.fault, asyncssh.SFTPFailure)(exc.public) from exc
        except FaxError as exc:
            raise asyncssh.SFTPFailure(exc.public) from exc
        except OSError as exc:
            log.error("file server failed", extra={"event": "sftp.failed", "why": str(exc)})
            raise asyncssh.SFTPFailure(Fault.FAILED.value) from exc

    return wrapped


class _Listing:
    """The names of a folder, read out in pieces."""

    def __init__(self, names: Callable[[], Awaitable[list[asyncssh.SFTPName]]]) -> None:
        self._names = names
        self._left: list[asyncssh.SFTPName] | None = None

    def __aiter__(self) -> AsyncIterator[asyncssh.SFTPName]:
        return self

    async def __anext__(self) -> asyncssh.SFTPName:
        if self._left is None:
            self._left = (await self._names())[::-1]
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop()


class SftpFolders(asyncssh.SFTPServer):
    """What asyncssh asks for, answered from a tree.

    Args:
        chan: The session's channel.
        tree: What the client sees.
    """

    def __init__(self, chan: asyncssh.SSHServerChannel[bytes], tree: Tree) -> None:
        super().__init__(chan)
        self._tree = tree
        self._open = 0
        self._listings: weakref.WeakSet[_Listing] = weakref.WeakSet()
        self.over = False
        """The session is at its end: files that are closed now were not closed by the client."""

    def format_user(self, uid: int | None) -> str:
        """No name of this machine."""
        return "fax"

    def format_group(self, gid: int | None) -> str:
        """No name of this machine."""
        return "fax"

    @_told
    async def realpath(self, path: bytes) -> bytes:
        """The path in full."""
        return str(read_path(path)).encode()

    @_told
    async def stat(self, path: bytes) -> asyncssh.SFTPAttrs:
        """What is known of a path; there are no links, so `lstat` is the same."""
        return _attributes(await self._tree.entry(read_path(path)))

    lstat = stat

    def scandir(self, path: bytes) -> AsyncIterator[asyncssh.SFTPName]:
        """The names of a folder."""
        if len(self._listings) >= MAX_LISTINGS:
            raise asyncssh.SFTPFailure(Fault.TOO_MANY.value)
        listing = _Listing(functools.partial(self._names, path))
        self._listings.add(listing)
        return listing

    @_told
    async def _names(self, path: bytes) -> list[asyncssh.SFTPName]:
        spot = read_path(path)
        found = await self._tree.entry(spot)
        if isinstance(found, Entry):
            raise TreeError(Fault.MISSING)
        names = [_name(".", None), _name("..", None)]
        if found is None:
            return names + [_name(place.name, place) for place in self._tree.places.values()]
        return names + [_name(entry.name, entry) for entry in await found.entries()]

    @_told
    async def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> OpenFile:
        """Open a file."""
        if self._open >= MAX_OPEN:
            raise TreeError(Fault.TOO_MANY)
        write = bool(pflags & (asyncssh.FXF_WRITE | asyncssh.FXF_APPEND))
        create = bool(pflags & asyncssh.FXF_CREAT)
        how = Opening(
            write=write or create,
            truncate=bool(pflags & asyncssh.FXF_TRUNC),
            exclusive=create and bool(pflags & asyncssh.FXF_EXCL),
            create=create,
        )
        file = await self._tree.open(read_path(path), how)
        self._open += 1
        return _Appending(file) if pflags & asyncssh.FXF_APPEND else file

    @_told
    async def read(self, file_obj: Any, offset: int, size: int) -> bytes:
        """Read octets; fewer than asked for where that is too much."""
        file: OpenFile = file_obj
        return await file.read(offset, size)

    @_told
    async def write(self, file_obj: Any, offset: int, data: bytes) -> int:
        """Write octets."""
        file: OpenFile = file_obj
        await file.write(offset, data)
        return len(data)

    @_told
    async def close(self, file_obj: Any) -> None:
        """Close a file: complete where the client said so."""
        file: OpenFile = file_obj
        self._open -= 1
        await file.close(complete=not self.over)

    @_told
    async def fstat(self, file_obj: Any) -> asyncssh.SFTPAttrs:
        """What is known of an open file."""
        file: OpenFile = file_obj
        return _attributes(await file.entry())

    @_told
    async def setstat(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        """Times, owners and permissions are ours; clients that set them after an upload are not troubled."""
        await self._tree.entry(read_path(path))
        if attrs.size is not None:
            raise TreeError(Fault.UNSUPPORTED)

    lsetstat = setstat

    @_told
    async def fsetstat(self, file_obj: Any, attrs: asyncssh.SFTPAttrs) -> None:
        """The size alone can be set."""
        file: OpenFile = file_obj
        if attrs.size is not None:
            await file.resize(attrs.size)

    @_told
    async def fsync(self, file_obj: Any) -> None:
        """Make what was written durable."""
        file: OpenFile = file_obj
        await file.sync()

    @_told
    async def remove(self, path: bytes) -> None:
        """Remove a file."""
        await self._tree.remove(read_path(path))

    @_told
    async def rename(self, oldpath: bytes, newpath: bytes) -> None:
        """Rename a file; never over another."""
        await self._tree.rename(read_path(oldpath), read_path(newpath), replace=False)

    @_told
    async def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        """Rename a file, over another where there is one."""
        await self._tree.rename(read_path(oldpath), read_path(newpath), replace=True)

    @_told
    async def mkdir(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        """The folders are what they are."""
        spot = read_path(path)
        if not spot.place or (spot.place in self._tree.places and not spot.name):
            raise TreeError(Fault.EXISTS)
        raise TreeError(Fault.DENIED)

    @_told
    async def rmdir(self, path: bytes) -> None:
        """The folders are what they are."""
        raise TreeError(Fault.DENIED)

    @_told
    async def readlink(self, path: bytes) -> bytes:
        """There are no links."""
        raise TreeError(Fault.UNSUPPORTED)

    @_told
    async def symlink(self, oldpath: bytes, newpath: bytes) -> None:
        """There are no links."""
        raise TreeError(Fault.UNSUPPORTED)

    link = symlink

    @_told
    async def statvfs(self, path: bytes) -> asyncssh.SFTPVFSAttrs:
        """How full the disk is concerns nobody."""
        raise TreeError(Fault.UNSUPPORTED)

    @_told
    async def fstatvfs(self, file_obj: object) -> asyncssh.SFTPVFSAttrs:
        """How full the disk is concerns nobody."""
        raise TreeError(Fault.UNSUPPORTED)


class _Appending:
    """A file that was opened to append to: where the client says that it writes does not count."""

    writable = True

    def __init__(self, file: OpenFile) -> None:
        self._file = file
        self.entry, self.read, self.resize = file.entry, file.read, file.resize
        self.sync, self.close = file.sync, file.close

    async def write(self, offset: int, data: bytes) -> None:
        await self._file.write((await self._file.entry()).size, data)


def _name(name: str, what: Entry | Place | None) -> asyncssh.SFTPName:
    return asyncssh.SFTPName(name.encode(), attrs=_attributes(what))


def _attributes(what: Entry | Place | None) -> asyncssh.SFTPAttrs:
    if isinstance(what, Entry):
        at = int(what.modified)
        return asyncssh.SFTPAttrs(size=what.size, uid=0, gid=0, permissions=_FILE, atime=at, mtime=at)
    mode = _OPEN_FOLDER if what is not None and what.writable else _FOLDER
    return asyncssh.SFTPAttrs(size=0, uid=0, gid=0, permissions=mode, atime=0, mtime=0)


class _Handler(SFTPServerHandler):
    """Reads requests one after the other, in bounded time, and knows why files are closed."""

    _extensions: list[tuple[bytes, bytes]] = [  # noqa: RUF012 - as asyncssh has it
        (b"posix-rename@openssh.com", b"1"),
        (b"fsync@openssh.com", b"1"),
        (b"lsetstat@openssh.com", b"1"),
        (b"limits@openssh.com", b"1"),
    ]

    def __init__(self, folders: SftpFolders, reader: Any, writer: Any, idle: float) -> None:
        super().__init__(folders, reader, writer, VERSION)
        self._folders = folders
        self._idle = idle
        known = ("hardlink@openssh.com", "copy-data", "ranges@asyncssh.com")
        self._packet_handlers = {
            kind: handler
            for kind, handler in SFTPServerHandler._packet_handlers.items()
            if kind not in [name.encode() for name in known]
        }

    async def recv_packet(self) -> SSHPacket:
        try:
            async with asyncio.timeout(self._idle):
                return await super().recv_packet()
        except TimeoutError as exc:
            raise EOFError from exc

    async def _cleanup(self, exc: Exception | None) -> None:
        self._folders.over = True
        await super()._cleanup(exc)


class SftpSession(SSHServerStreamSession[bytes]):
    """A session channel on which nothing but the subsystem can be asked for.

    Args:
        tree: What the client sees.
        idle: Seconds without a request after which it is ended.
        ended: Called when it is over.
    """

    def __init__(self, tree: Tree, idle: float, ended: Callable[[], None]) -> None:
        super().__init__(None)
        self._tree = tree
        self._idle = idle
        self._ended = ended

    def pty_requested(self, *_terminal: object) -> bool:
        """No terminal."""
        return False

    def shell_requested(self) -> bool:
        """No shell."""
        return False

    def exec_requested(self, command: str) -> bool:
        """No command, which is how old clients ask for scp too."""
        return False

    def subsystem_requested(self, subsystem: str) -> bool:
        """SFTP alone."""
        return subsystem == "sftp"

    def session_started(self) -> None:
        """Serve."""
        assert self._chan is not None and self._conn is not None  # it has just been opened
        channel: Any = self._chan
        folders = SftpFolders(channel, self._tree)
        reader = asyncssh.SSHReader[bytes](self, channel)
        writer = asyncssh.SSHWriter[bytes](self, channel)
        self._conn.create_task(self._serve(_Handler(folders, reader, writer, self._idle)))

    async def _serve(self, handler: _Handler) -> None:
        try:
            await handler.run()
        except EOFError:
            await handler._cleanup(None)  # before the first request

    def connection_lost(self, exc: Exception | None) -> None:
        """The channel is closed."""
        super().connection_lost(exc)
        self._ended()
