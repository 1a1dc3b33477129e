"""The call worker as a real process: real UDP, real time, descriptors, and what happens when the daemon goes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from faxgw import pipe
from faxgw.foip import control
from faxgw.foip.control import (
    Ack,
    Cfr,
    Confirmed,
    Document,
    Gate,
    Hangup,
    Heard,
    Message,
    PageReceived,
    PhaseB,
    PhaseE,
    Ping,
    Pong,
    SwitchT38,
    T38Media,
    Trace,
)
from faxgw.t30.worker import PING_TIMEOUT
from tests.patience import PATIENCE_S
from tests.t30.conftest import answer, memory_file, page_image, pixels, read_all, receive_start, send_start, tiff

ONE = tiff([page_image(1, 150)])


class Harness:
    """The daemon's side of one worker."""

    def __init__(self, process: subprocess.Popen[bytes], link: pipe.Pipe) -> None:
        self.process = process
        self.link = link
        self.messages: list[Message] = []
        self.pages: list[bytes] = []
        self.pinging = True
        self.acknowledging = True
        self.changed = asyncio.Event()

    def send(self, message: Message, descriptors: list[int] | None = None) -> None:
        self.link.send(control.encode(message), descriptors or [])

    async def read(self) -> None:
        while (frame := await self.link.receive()) is not None:
            message = control.decode(frame.payload)
            self.messages.append(message)
            self.pages += [read_all(descriptor) for descriptor in frame.descriptors]
            ack = answer(message)
            if ack is not None and self.acknowledging:
                self.send(ack)
            self.changed.set()
        self.changed.set()

    async def ping(self) -> None:
        for serial in range(10_000):
            if self.pinging:
                with contextlib.suppress(pipe.PipeClosed):
                    self.send(Ping(serial))
            await asyncio.sleep(0.5)

    async def wait_for(self, *kinds: type[Message], count: int = 1, seconds: float = PATIENCE_S) -> None:
        async with asyncio.timeout(seconds):
            while sum(isinstance(message, kinds) for message in self.messages) < count:
                self.changed.clear()
                await self.changed.wait()

    async def exit_status(self, seconds: float = PATIENCE_S) -> int:
        return await asyncio.to_thread(self.process.wait, seconds)


@pytest.fixture
async def worker() -> AsyncIterator[Harness]:
    ours, theirs = pipe.pair()
    process = subprocess.Popen(
        [sys.executable, "-m", "faxgw.t30.worker", "--fd", str(theirs.fileno())], pass_fds=[theirs.fileno()]
    )
    theirs.close()
    harness = Harness(process, pipe.Pipe(ours))
    tasks = [asyncio.create_task(harness.read()), asyncio.create_task(harness.ping())]
    yield harness
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    harness.link.close()
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def sockets() -> list[socket.socket]:
    made = []
    for _ in range(4):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        made.append(sock)
    return made


def start_pair(harness: Harness, document: bytes, page_range: tuple[int, int] | None = None) -> list[int]:
    """Sender 1 and receiver 2 in the same worker, RTP first; returns the UDPTL ports of both."""
    rtp_a, udptl_a, rtp_b, udptl_b = made = sockets()
    pages = len(pixels(document))
    first, last = page_range or (1, pages)
    file = memory_file(document)
    send = replace(
        send_start(),
        rtp_remote=rtp_b.getsockname(),
        documents=(Document("FN0", pages, first, last),),
        station_id="+49 30 1",
    )
    receive = replace(receive_start(), rtp_remote=rtp_a.getsockname())
    harness.send(send, [rtp_a.fileno(), udptl_a.fileno(), file])
    harness.send(receive, [rtp_b.fileno(), udptl_b.fileno()])
    ports = [udptl_a.getsockname()[1], udptl_b.getsockname()[1]]
    for sock in made:
        sock.close()
    os.close(file)
    return ports


def switch(harness: Harness, ports: list[int]) -> None:
    harness.send(SwitchT38(1, T38Media(("127.0.0.1", ports[1]))))
    harness.send(SwitchT38(2, T38Media(("127.0.0.1", ports[0]))))


@pytest.mark.realtime
async def test_a_fax_in_real_time_over_real_udp(worker: Harness) -> None:
    """Audio until CED is heard, then T.38; one page; two calls in one worker."""
    ports = start_pair(worker, ONE)
    await worker.wait_for(Heard, count=2)
    switch(worker, ports)
    await worker.wait_for(PhaseE, count=2)
    results = {m.call: m for m in worker.messages if isinstance(m, PhaseE)}
    assert [results[n].code for n in (1, 2)] == [0, 0]
    assert results[1].statistics.transport == "t38"
    assert results[1].remote_ident == "+49 40 2"
    assert [p for page in worker.pages for p in pixels(page)] == pixels(ONE)
    assert (1, "FN0", 1) in [(m.call, m.fax, m.page) for m in worker.messages if isinstance(m, Confirmed)]
    frames = [f for m in worker.messages if isinstance(m, Trace) for f in m.frames]
    assert len(frames) == 16
    await worker.wait_for(Pong, count=sum(isinstance(m, Pong) for m in worker.messages) + 2)
    assert [m for m in worker.messages if isinstance(m, Pong)][-1].calls == 0


async def test_without_a_ping_the_worker_ends_its_calls_and_exits(worker: Harness) -> None:
    start_pair(worker, ONE)
    await worker.wait_for(Pong)
    worker.pinging = False
    before = time.monotonic()
    await worker.wait_for(PhaseE, count=2)
    assert await worker.exit_status() == 0
    assert time.monotonic() - before > PING_TIMEOUT - 1
    assert {m.reason for m in worker.messages if isinstance(m, PhaseE)} == {"late"}


async def test_when_the_pipe_closes_the_worker_exits_at_once(worker: Harness) -> None:
    start_pair(worker, ONE)
    await worker.wait_for(Pong)
    worker.link.close()
    assert await worker.exit_status() == 0


async def test_sigterm_ends_the_calls_and_sigint_does_not(worker: Harness) -> None:
    start_pair(worker, ONE)
    await worker.wait_for(Heard)
    worker.process.send_signal(signal.SIGINT)
    await worker.wait_for(Pong, count=3)
    worker.process.send_signal(signal.SIGTERM)
    await worker.wait_for(PhaseE, count=2)
    assert await worker.exit_status() == 0


async def test_a_hangup_ends_one_call_only(worker: Harness) -> None:
    start_pair(worker, ONE)
    await worker.wait_for(Heard)
    worker.send(Hangup(1))
    await worker.wait_for(PhaseE)
    (result,) = [m for m in worker.messages if isinstance(m, PhaseE)]
    assert (result.call, result.code, result.reason) == (1, 49, "hangup")
    pongs = sum(isinstance(m, Pong) for m in worker.messages)
    await worker.wait_for(Pong, count=pongs + 2)
    last = [m for m in worker.messages if isinstance(m, Pong)][-1]
    assert last.calls == 1


@pytest.mark.parametrize(
    ("document", "page_range"), [(ONE, (1, 2)), (b"no TIFF", None)], ids=["range beyond the file", "no TIFF"]
)
async def test_a_call_that_cannot_begin_is_reported(
    worker: Harness, document: bytes, page_range: tuple[int, int] | None
) -> None:
    rtp, udptl, *others = sockets()
    file = memory_file(document)
    first, last = page_range or (1, 1)
    start = replace(send_start(), documents=(Document("FN0", 1, first, last),))
    worker.send(start, [rtp.fileno(), udptl.fileno(), file])
    await worker.wait_for(PhaseE)
    (result,) = [m for m in worker.messages if isinstance(m, PhaseE)]
    assert (result.code, result.reason) == (-1, "start")
    os.close(file)
    for sock in (rtp, udptl, *others):
        sock.close()


async def test_garbage_in_the_pipe_harms_no_call(worker: Harness) -> None:
    start_pair(worker, ONE)
    worker.link.send(b"garbage")
    worker.send(start_without_descriptors())
    worker.send(Ack(99, Gate.PAGE, "", 1))
    await worker.wait_for(Heard, count=2)
    assert not [m for m in worker.messages if isinstance(m, PhaseE | Cfr | PhaseB | PageReceived)]


def start_without_descriptors() -> control.Start:
    return replace(receive_start(), call=7)


async def test_a_message_that_breaks_one_call_ends_that_call_only(worker: Harness) -> None:
    """The fault of one call is no end of the process, whatever the message was."""
    start_pair(worker, ONE)
    worker.send(Heard(1, control.Tone.CED))  # none that a call takes
    await worker.wait_for(PhaseE)
    [end] = [message for message in worker.messages if isinstance(message, PhaseE)]
    assert (end.call, end.code, end.reason) == (1, -1, "fault")
    pongs = sum(isinstance(message, Pong) for message in worker.messages)
    await worker.wait_for(Pong, count=pongs + 2)
    assert worker.process.poll() is None


def test_a_worker_with_a_strange_library_says_so_and_runs() -> None:
    """Calls that send still work; those that receive are refused one by one (`test_decoder.py`)."""
    ours, theirs = socket.socketpair()
    program = (
        f"from faxgw.t30 import decoder, worker\ndecoder._BEGUN = ()\nworker.main(['--fd', '{theirs.fileno()}'])\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stderr=subprocess.PIPE, pass_fds=(theirs.fileno(),), text=True
    )
    theirs.close()
    ours.close()  # the daemon goes at once
    _out, told = process.communicate(timeout=60)
    assert process.returncode == 0, told
    assert "no call can be received" in told
    assert "nothing is received" in told
