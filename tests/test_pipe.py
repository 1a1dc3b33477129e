"""Frames and descriptors through the pipe, and what a mad peer may not do."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from faxgw.pipe import MAX_BACKLOG, MAX_DESCRIPTORS, MAX_FRAME, BlockingPipe, Frame, Pipe, PipeClosed, pair
from tests.patience import PATIENCE_S


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    a, b = pair()
    yield a, b
    a.close()
    b.close()


def memory_file(octets: bytes) -> int:
    descriptor = os.memfd_create("test", os.MFD_CLOEXEC)
    os.write(descriptor, octets)
    return descriptor


def contents(frame: Frame) -> list[bytes]:
    read = [os.pread(descriptor, 1000, 0) for descriptor in frame.descriptors]
    for descriptor in frame.descriptors:
        os.close(descriptor)
    return read


def open_files() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


async def test_frames_and_descriptors_arrive_in_order(ends: tuple[socket.socket, socket.socket]) -> None:
    one, other = Pipe(ends[0]), Pipe(ends[1])
    files = [memory_file(text) for text in (b"a", b"b", b"c")]
    one.send(b"first", files[:2])
    one.send(b"")
    one.send(b"third", files[2:])
    for descriptor in files:
        os.close(descriptor)  # the pipe has its own copies
    first, second, third = [await other.receive() for _ in range(3)]
    assert first is not None and second is not None and third is not None
    assert (first.payload, contents(first)) == (b"first", [b"a", b"b"])
    assert second == Frame(b"")
    assert (third.payload, contents(third)) == (b"third", [b"c"])
    one.close()
    other.close()


async def test_a_frame_larger_than_the_socket_holds_does_not_block(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    one, other = Pipe(ends[0]), Pipe(ends[1])
    payload = os.urandom(5_000_000)
    one.send(payload)
    one.send(b"after")
    async with asyncio.timeout(PATIENCE_S):
        assert await other.receive() == Frame(payload)
        assert await other.receive() == Frame(b"after")
    one.close()
    other.close()


async def test_everything_sent_before_the_end_is_delivered(ends: tuple[socket.socket, socket.socket]) -> None:
    """The daemon reads a dead worker's pipe to its end (spine section 5)."""
    one, other = Pipe(ends[0]), Pipe(ends[1])
    for number in range(100):
        one.send(bytes((number,)))
    one.close()
    got = []
    async with asyncio.timeout(PATIENCE_S):
        while (frame := await other.receive()) is not None:
            got.append(frame.payload[0])
    assert got == list(range(100))
    with pytest.raises(PipeClosed):
        one.send(b"late")
    other.close()


async def test_frames_over_the_limits_are_refused_by_the_sender(ends: tuple[socket.socket, socket.socket]) -> None:
    one = Pipe(ends[0])
    with pytest.raises(ValueError, match="limit"):
        one.send(bytes(MAX_FRAME + 1))
    with pytest.raises(ValueError, match="limit"):
        one.send(b"", [0] * (MAX_DESCRIPTORS + 1))
    one.close()


@pytest.mark.parametrize(
    "head", [struct.pack("!IB", MAX_FRAME + 1, 0), struct.pack("!IB", 0, 255), struct.pack("!IB", 0, 1)]
)
async def test_frames_over_the_limits_are_refused_by_the_receiver(
    ends: tuple[socket.socket, socket.socket], head: bytes
) -> None:
    other = Pipe(ends[1])
    ends[0].sendall(head)
    with pytest.raises(PipeClosed):
        await other.receive()
    other.close()


async def test_a_peer_that_does_not_read_is_given_up(ends: tuple[socket.socket, socket.socket]) -> None:
    one = Pipe(ends[0])
    chunk = bytes(MAX_FRAME)
    with pytest.raises(PipeClosed, match="stopped reading"):
        for _ in range(MAX_BACKLOG // MAX_FRAME + 2):
            one.send(chunk)
    one.close()


async def test_closing_leaks_no_descriptor(ends: tuple[socket.socket, socket.socket]) -> None:
    before = len(os.listdir("/proc/self/fd"))
    one, other = Pipe(ends[0]), Pipe(ends[1])
    file = memory_file(b"x")
    one.send(b"nobody takes this", [file])
    os.close(file)
    await asyncio.sleep(0)
    one.close()
    other.close()
    assert len(os.listdir("/proc/self/fd")) == before - 2


async def test_descriptors_that_are_given_need_no_duplicates(ends: tuple[socket.socket, socket.socket]) -> None:
    """A process at its limit of descriptors still hands them on; what it cannot duplicate it does not leak."""
    one, other = Pipe(ends[0]), Pipe(ends[1])
    before = open_files()
    given, kept = [memory_file(b"a"), memory_file(b"b")], memory_file(b"c")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(*given, kept) + 2, hard))  # room for one, never for two
    try:
        with pytest.raises(OSError, match="Too many open files"):
            one.send(b"", [kept, kept, kept])
        one.send(b"x", given, given=True)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    frame = await asyncio.wait_for(other.receive(), PATIENCE_S)
    assert frame is not None and contents(frame) == [b"a", b"b"]
    os.close(kept)
    one.close()
    with pytest.raises(PipeClosed):
        one.send(b"x", [memory_file(b"d")], given=True)
    other.close()
    assert open_files() < before  # the pipe's own are closed too


async def test_what_the_system_does_not_take_ends_the_stream(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frame lost for want of memory is missed: the other side must not wait for it, nor read what follows."""
    one, other = Pipe(ends[0]), Pipe(ends[1])

    class Exhausted:
        """The socket, from which the system takes nothing at this moment."""

        def sendmsg(self, *args: object) -> int:
            raise OSError(errno.ENOBUFS, "No buffer space available")

        def __getattr__(self, name: str) -> object:
            return getattr(ends[0], name)

    one.send(b"before")
    with monkeypatch.context() as patch:
        patch.setattr(one, "_sock", Exhausted())
        one.send(b"lost")
    one.send(b"after")
    frame = await asyncio.wait_for(other.receive(), PATIENCE_S)
    assert frame == Frame(b"before")
    assert await asyncio.wait_for(other.receive(), PATIENCE_S) is None
    one.close()
    other.close()


async def test_closing_wakes_the_reader(ends: tuple[socket.socket, socket.socket]) -> None:
    other = Pipe(ends[1])
    reader = asyncio.ensure_future(other.receive())
    await asyncio.sleep(0)
    other.close()
    assert await reader is None


def test_the_blocking_pipe_speaks_the_same(ends: tuple[socket.socket, socket.socket]) -> None:
    one, other = BlockingPipe(ends[0]), BlockingPipe(ends[1])
    file = memory_file(b"content")
    payload = os.urandom(3_000_000)
    writer = threading.Thread(target=one.send, args=(payload, [file]))
    writer.start()
    frame = other.receive()
    writer.join()
    os.close(file)
    assert frame is not None
    assert (frame.payload, contents(frame)) == (payload, [b"content"])
    one.close()
    assert other.receive() is None
    with pytest.raises(PipeClosed):
        other.send(bytes(1_000_000))
    other.close()


def test_the_blocking_pipe_refuses_broken_framing(ends: tuple[socket.socket, socket.socket]) -> None:
    other = BlockingPipe(ends[1])
    ends[0].sendall(struct.pack("!IB", MAX_FRAME + 1, 0))
    with pytest.raises(PipeClosed):
        other.receive()
    with pytest.raises(ValueError, match="limit"):
        other.send(bytes(MAX_FRAME + 1))
    assert other.fileno() == ends[1].fileno()
