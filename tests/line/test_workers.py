"""Call workers as processes: places, silence, crashes, stopping."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from faxgw.foip import control
from faxgw.line import workers as module
from faxgw.line.workers import CallWorkers, NoWorker, Place, Received, WorkerGone
from tests.line.far_end import until

FAKE = (sys.executable, str(Path(__file__).with_name("fake_worker.py")))


def start(place: Place, script: str) -> None:
    """Give the worker a call with two descriptors it may close."""
    descriptor = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    try:
        documents = (control.Document(f"{script}-FN1", 1, 1, 1),)
        place.send(control.Start(place.number, control.Role.SEND, None, 8, None, "", documents), [descriptor] * 3)
    finally:
        os.close(descriptor)


async def next_of(inbox: asyncio.Queue[object]) -> object:
    async with asyncio.timeout(40):
        return await inbox.get()


async def test_calls_fill_one_worker_before_the_next_is_started() -> None:
    workers = CallWorkers(2, FAKE)
    await workers.start()
    try:
        places = [await workers.reserve(asyncio.Queue()) for _ in range(3)]
        assert len(workers.pids) == 2
        assert len({place.number for place in places}) == 3
        places[0].release()
        await workers.reserve(asyncio.Queue())
        assert len(workers.pids) == 2
    finally:
        await workers.stop()
    assert workers.pids == []
    with pytest.raises(NoWorker):
        await workers.reserve(asyncio.Queue())


async def test_calls_of_two_groups_never_share_a_worker() -> None:
    """A page made to crash the fax engine comes with a call to us; the faxes that we send live on."""
    workers = CallWorkers(8, FAKE)
    await workers.start()
    try:
        out = [await workers.reserve(asyncio.Queue(), group="out") for _ in range(2)]
        (first,) = workers.pids
        incoming = await workers.reserve(asyncio.Queue(), group="in")
        assert len(workers.pids) == 2 and first in workers.pids
        await workers.reserve(asyncio.Queue(), group="in")
        assert len(workers.pids) == 2
        for place in out:
            place.release()
        incoming.release()
        again = [await workers.reserve(asyncio.Queue(), group="third") for _ in range(3)]  # the empty one changes hands
        assert len(workers.pids) == 2 and len(again) == 3
    finally:
        await workers.stop()


async def test_messages_come_back_to_their_call() -> None:
    workers = CallWorkers(8, FAKE)
    inboxes: list[asyncio.Queue[object]] = [asyncio.Queue(), asyncio.Queue()]
    try:
        for inbox in inboxes:
            start(await workers.reserve(inbox), "ok")
        for inbox in inboxes:
            received = await next_of(inbox)
            assert isinstance(received, Received)
            assert isinstance(received.message, control.PhaseB)
    finally:
        await workers.stop()
    gone = await next_of(inboxes[0])
    assert isinstance(gone, WorkerGone)
    assert gone.our_doing


async def test_a_crash_is_told_to_each_call_and_named(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "faxgw.line")
    workers = CallWorkers(8, FAKE)
    inboxes: list[asyncio.Queue[object]] = [asyncio.Queue(), asyncio.Queue()]
    try:
        places = [await workers.reserve(inbox) for inbox in inboxes]
        start(places[1], "crash")
        for inbox in inboxes:
            assert await next_of(inbox) == WorkerGone("killed by SIGSEGV", False)
        assert not places[0].alive
        places[0].send(control.Hangup(places[0].number))  # lost without harm
        await until(lambda: any(getattr(record, "text", "") == "start crash 1" for record in caplog.records))
    finally:
        await workers.stop()


async def test_a_silent_worker_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PING_EVERY", 0.1)
    monkeypatch.setattr(module, "SILENT_AFTER", 0.6)
    workers = CallWorkers(8, FAKE)
    inbox: asyncio.Queue[object] = asyncio.Queue()
    try:
        place = await workers.reserve(inbox)
        start(place, "ok")
        assert isinstance(await next_of(inbox), Received)
        start(place, "mute")
        gone = await next_of(inbox)
        assert isinstance(gone, WorkerGone)
        assert gone.text.startswith("silent for")
    finally:
        await workers.stop()


BUSY = (
    "import re, sys; from faxgw.t30 import worker;"
    "worker.MediaCall = lambda *args: re.match('(a+)+$', 'a' * 60 + 'b');"
    "sys.argv[0] = 'busy'; worker.main()"
)
"""The real worker, but the first call drives it into a C function that does not come back."""


@pytest.mark.parametrize("how", ["stopped", "busy"])
async def test_a_real_worker_that_hangs_is_killed_and_each_of_its_calls_is_told(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spine section 5: no answer for 3 s. The calls of the other worker go on."""
    assert module.SILENT_AFTER <= 3.0
    monkeypatch.setattr(module, "PING_EVERY", 0.2)
    monkeypatch.setattr(module, "SILENT_AFTER", 2.0)
    victims = CallWorkers(8, (sys.executable, "-c", BUSY) if how == "busy" else module.COMMAND)
    others = CallWorkers(8)
    inboxes: list[asyncio.Queue[object]] = [asyncio.Queue() for _ in range(3)]
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    try:
        places = [
            await victims.reserve(inboxes[0]),
            await victims.reserve(inboxes[1]),
            await others.reserve(inboxes[2]),
        ]
        for place in (places[0], places[2]):
            begin = control.Start(place.number, control.Role.RECEIVE, None, 8, None, "", calling_party=False)
            place.send(begin, [sock.fileno() for sock in sockets])
        [pid] = victims.pids
        if how == "stopped":
            os.kill(pid, signal.SIGSTOP)
        for inbox in inboxes[:2]:
            gone = await next_of(inbox)
            assert isinstance(gone, WorkerGone)
            assert gone.text.startswith("silent for")
            assert not gone.our_doing
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        assert places[2].alive
        places[2].send(control.Hangup(places[2].number))
        ended = await next_of(inboxes[2])
        while isinstance(ended, Received) and isinstance(ended.message, control.Trace):
            ended = await next_of(inboxes[2])
        assert isinstance(ended, Received)
        assert isinstance(ended.message, control.PhaseE)
    finally:
        await asyncio.gather(victims.stop(), others.stop())
        for sock in sockets:
            sock.close()


async def test_a_worker_that_talks_nonsense_is_killed() -> None:
    script = "import os, sys, time; os.write(int(sys.argv[-1]), b'\\0\\0\\0\\2\\0zz'); time.sleep(60)"
    workers = CallWorkers(8, (sys.executable, "-c", script))
    inbox: asyncio.Queue[object] = asyncio.Queue()
    try:
        await workers.reserve(inbox)
        gone = await next_of(inbox)
        assert isinstance(gone, WorkerGone)
        assert gone.text.startswith("talks nonsense")
    finally:
        await workers.stop()


async def test_calls_that_come_together_share_a_worker_that_is_still_starting() -> None:
    """What the second says at once must not be lost because its worker has no pipe yet."""
    workers = CallWorkers(8, FAKE)

    async def go() -> object:
        inbox: asyncio.Queue[object] = asyncio.Queue()
        start(await workers.reserve(inbox), "ok")
        return await next_of(inbox)

    try:
        said = await asyncio.gather(*(go() for _ in range(4)))
        assert all(isinstance(item, Received) for item in said)
        assert len(workers.pids) == 1
    finally:
        await workers.stop()


async def test_a_start_that_is_cancelled_leaves_no_worker_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    workers = CallWorkers(8, FAKE)
    original = asyncio.create_subprocess_exec
    monkeypatch.setattr(asyncio, "create_subprocess_exec", lambda *_a, **_k: asyncio.sleep(60))
    starting = asyncio.create_task(workers.reserve(asyncio.Queue()))
    await asyncio.sleep(0.05)
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    monkeypatch.setattr(asyncio, "create_subprocess_exec", original)
    inbox: asyncio.Queue[object] = asyncio.Queue()
    try:
        start(await workers.reserve(inbox), "ok")
        assert isinstance(await next_of(inbox), Received)
    finally:
        await workers.stop()


async def test_a_worker_whose_start_outlasts_the_line_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    workers = CallWorkers(8, FAKE)
    original, may_start = asyncio.create_subprocess_exec, asyncio.Event()
    started: list[asyncio.subprocess.Process] = []

    async def slow(*command: str, **how: object) -> asyncio.subprocess.Process:
        await may_start.wait()
        started.append(await original(*command, **how))  # type: ignore[arg-type]
        return started[0]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", slow)
    starting = asyncio.create_task(workers.reserve(asyncio.Queue()))
    await asyncio.sleep(0.05)
    await workers.stop()
    may_start.set()
    with pytest.raises(NoWorker):
        await starting
    assert started[0].returncode is not None


async def test_a_worker_that_says_what_cannot_be_is_killed_and_its_calls_hear_of_it() -> None:
    script = (
        "import socket, sys, time; from faxgw.foip import control; from faxgw.pipe import BlockingPipe;"
        "pipe = BlockingPipe(socket.socket(fileno=int(sys.argv[-1])));"
        "pipe.send(control.encode(control.Heard({}, control.Tone.CED))); time.sleep(60)"
    )
    workers = CallWorkers(8, (sys.executable, "-c", script))
    inbox: asyncio.Queue[object] = asyncio.Queue()
    try:
        await workers.reserve(inbox)
        gone = await next_of(inbox)
        assert isinstance(gone, WorkerGone)
        assert gone.text.startswith("talks nonsense")
    finally:
        await workers.stop()


async def test_a_worker_that_will_not_stop_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STOP_WITHIN", 0.3)
    script = "import signal, time, sys; signal.signal(15, signal.SIG_IGN); sys.stderr.write('deaf\\n'); time.sleep(60)"
    workers = CallWorkers(8, (sys.executable, "-c", script))
    await workers.start()
    [pid] = workers.pids
    await asyncio.sleep(0.2)
    await workers.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_program_that_is_none_gives_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    workers = CallWorkers(8, ("/no/such/program",))
    with pytest.raises(NoWorker):
        await workers.reserve(asyncio.Queue())
    monkeypatch.setattr(module, "MAX_WORKERS", 0)
    with pytest.raises(NoWorker):
        await workers.start()
    await workers.stop()
