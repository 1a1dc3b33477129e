"""The pipe between the daemon and its children: framed messages with file descriptors.

A Unix stream socket carries frames `length (4 octets, big endian) | number of descriptors (1 octet) | payload`;
descriptors travel by SCM_RIGHTS with the frame's first octets (docs/spine.md section 8). The module knows frames
and descriptors, nothing of what they mean: payloads are made by `foip.control` and `document.protocol`.

`Pipe` is for a process with an event loop, `BlockingPipe` for one without. Both refuse frames above `MAX_FRAME`
and more than `MAX_DESCRIPTORS` descriptors, so a mad child cannot make its parent grow.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import os
import socket
import struct
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

MAX_FRAME = 16 * 1024 * 1024
"""Octets of one payload at most; a 500-page result's facts are well below 1 MiB."""
MAX_DESCRIPTORS = 64
"""Descriptors with one frame at most (the kernel's own limit is 253)."""
MAX_BACKLOG = 64 * 1024 * 1024
"""Octets waiting to be written at most, before `send` refuses: the other side has stopped reading."""
_HEADER = struct.Struct("!IB")
_CHUNK = 256 * 1024


class PipeClosed(Exception):
    """The other side is gone, or it broke the framing. Nothing more can be sent or received."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One received frame."""

    payload: bytes
    """The octets, 0 to MAX_FRAME."""
    descriptors: tuple[int, ...] = ()
    """Open file descriptors, close-on-exec; the receiver owns and closes them."""


class _Reassembly:
    """Octets and descriptors in, frames out. No I/O."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._descriptors: deque[int] = deque()

    def feed(self, data: bytes, descriptors: Sequence[int]) -> None:
        self._buffer += data
        self._descriptors.extend(descriptors)

    def next(self) -> Frame | None:
        if len(self._buffer) < _HEADER.size:
            return None
        length, count = _HEADER.unpack_from(self._buffer)
        if length > MAX_FRAME or count > MAX_DESCRIPTORS:
            raise PipeClosed(f"frame of {length} octets with {count} descriptors is over the limit")
        if len(self._buffer) < _HEADER.size + length:
            return None
        if len(self._descriptors) < count:
            raise PipeClosed("frame names more descriptors than arrived")
        payload = bytes(self._buffer[_HEADER.size : _HEADER.size + length])
        del self._buffer[: _HEADER.size + length]
        return Frame(payload, tuple(self._descriptors.popleft() for _ in range(count)))

    def close(self) -> None:
        while self._descriptors:
            os.close(self._descriptors.popleft())


def _check(payload: bytes, descriptors: Sequence[int]) -> bytes:
    if len(payload) > MAX_FRAME or len(descriptors) > MAX_DESCRIPTORS:
        raise ValueError(f"frame of {len(payload)} octets with {len(descriptors)} descriptors is over the limit")
    return _HEADER.pack(len(payload), len(descriptors)) + payload


def _receive(sock: socket.socket) -> tuple[bytes, list[int]]:
    """One recvmsg. Empty octets mean end of file."""
    room = socket.CMSG_SPACE(MAX_DESCRIPTORS * array.array("i").itemsize)
    data, ancillary, _flags, _address = sock.recvmsg(_CHUNK, room, socket.MSG_CMSG_CLOEXEC)
    descriptors = array.array("i")
    for level, kind, octets in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(octets[: len(octets) - len(octets) % descriptors.itemsize])
    return data, list(descriptors)


def _rights(descriptors: Sequence[int]) -> list[tuple[int, int, array.array[int]]]:
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []


def pair() -> tuple[socket.socket, socket.socket]:
    """A connected pair of stream sockets, neither inheritable until the caller says so."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)


class BlockingPipe:
    """The pipe for a process without an event loop. Not thread-safe."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._sock.setblocking(True)
        self._in = _Reassembly()

    def fileno(self) -> int:
        """The socket's descriptor, for select."""
        return self._sock.fileno()

    def send(self, payload: bytes, descriptors: Sequence[int] = ()) -> None:
        """Write one frame, waiting as long as it takes. The caller keeps its own copies of the descriptors.

        Raises:
            PipeClosed: If the other side is gone.
            ValueError: If the frame is over the limits.
        """
        frame = _check(payload, descriptors)
        try:
            sent = self._sock.sendmsg([frame], _rights(descriptors))
            self._sock.sendall(memoryview(frame)[sent:])
        except OSError as exc:
            raise PipeClosed(str(exc)) from exc

    def receive(self) -> Frame | None:
        """The next frame, or None at the end of the stream.

        Raises:
            PipeClosed: If the framing is broken.
        """
        while (frame := self._in.next()) is None:
            try:
                data, descriptors = _receive(self._sock)
            except OSError as exc:
                raise PipeClosed(str(exc)) from exc
            if not data:
                return None
            self._in.feed(data, descriptors)
        return frame

    def close(self) -> None:
        """Close the socket and every descriptor that nobody took."""
        self._in.close()
        self._sock.close()


class Pipe:
    """The pipe for a process with an event loop. Create it on the running loop; single reader."""

    def __init__(self, sock: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._sock.setblocking(False)
        self._in = _Reassembly()
        self._frames: deque[Frame] = deque()
        self._readable = asyncio.Event()
        self._ended = False
        self._fault: PipeClosed | None = None
        self._out: deque[tuple[memoryview, list[int]]] = deque()
        self._backlog = 0
        self._writing = False
        self._closed = False
        self._loop.add_reader(sock.fileno(), self._on_readable)

    def send(self, payload: bytes, descriptors: Sequence[int] = (), *, given: bool = False) -> None:
        """Queue one frame and write what can be written now. Never blocks.

        Args:
            payload: The octets.
            descriptors: Go with them. They are duplicated: the caller may close its own as soon as this returns.
            given: The descriptors are the pipe's from here on, whatever becomes of the frame; none is duplicated.

        Raises:
            PipeClosed: If the pipe is closed, or MAX_BACKLOG octets are waiting.
            ValueError: If the frame is over the limits.
            OSError: If this process may have no more descriptors and duplicates are needed.
        """
        with contextlib.ExitStack() as undone:
            if given:
                undone.callback(_close_all, descriptors)
            if self._closed:
                raise PipeClosed("pipe is closed")
            frame = _check(payload, descriptors)
            if self._backlog + len(frame) > MAX_BACKLOG:
                raise PipeClosed("the other side has stopped reading")
            ours = list(descriptors) if given else _duplicates(descriptors)
            undone.pop_all()
        self._out.append((memoryview(frame), ours))
        self._backlog += len(frame)
        if not self._writing:
            self._on_writable()

    async def receive(self) -> Frame | None:
        """The next frame, or None at the end of the stream (everything sent before it has been delivered).

        Raises:
            PipeClosed: If the framing is broken.
        """
        while not self._frames:
            if self._fault is not None:
                raise self._fault
            if self._ended:
                return None
            self._readable.clear()
            await self._readable.wait()
        return self._frames.popleft()

    def close(self) -> None:
        """Stop, close the socket, drop what was not written and every descriptor that nobody took."""
        if self._closed:
            return
        self._closed = True
        self._stop_reading()
        if self._writing:
            self._loop.remove_writer(self._sock.fileno())
        for _frame, descriptors in self._out:
            _close_all(descriptors)
        self._out.clear()
        for frame in self._frames:
            _close_all(frame.descriptors)
        self._frames.clear()
        self._in.close()
        self._sock.close()
        self._ended = True
        self._readable.set()

    def _stop_reading(self) -> None:
        with contextlib.suppress(ValueError, OSError):
            self._loop.remove_reader(self._sock.fileno())

    def _on_readable(self) -> None:
        try:
            data, descriptors = _receive(self._sock)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data, descriptors = b"", []
        if not data:
            self._ended = True
            self._stop_reading()
        else:
            self._in.feed(data, descriptors)
            try:
                while (frame := self._in.next()) is not None:
                    self._frames.append(frame)
            except PipeClosed as exc:
                self._fault = exc
                self._stop_reading()
        self._readable.set()

    def _on_writable(self) -> None:
        while self._out:
            frame, descriptors = self._out[0]
            try:
                sent = self._sock.sendmsg([frame], _rights(descriptors))
            except (BlockingIOError, InterruptedError):
                self._watch_writable(True)
                return
            except OSError:
                self._drop_output()
                break
            _close_all(descriptors)
            self._backlog -= sent
            if sent == len(frame):
                self._out.popleft()
            else:
                self._out[0] = (frame[sent:], [])
        self._watch_writable(False)

    def _drop_output(self) -> None:
        """The other side is gone, or the system takes no more: what was lost is missed, so nothing may follow it.

        Our reader sees the end of the stream; a reader on the other side, should there be one, sees it as well.
        """
        for _frame, descriptors in self._out:
            _close_all(descriptors)
        self._out.clear()
        self._backlog = 0
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    def _watch_writable(self, wanted: bool) -> None:
        if wanted == self._writing:
            return
        self._writing = wanted
        if wanted:
            self._loop.add_writer(self._sock.fileno(), self._on_writable)
        else:
            self._loop.remove_writer(self._sock.fileno())


def _duplicates(descriptors: Sequence[int]) -> list[int]:
    """All of them, or none and OSError."""
    made: list[int] = []
    try:
        for descriptor in descriptors:
            made.append(os.dup(descriptor))
    except OSError:
        _close_all(made)
        raise
    return made


def _close_all(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)
