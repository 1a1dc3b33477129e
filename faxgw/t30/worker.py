"""The call worker: `python -m faxgw.t30.worker --fd N`, the media of many calls in one expendable process.

The daemon hands over sockets and documents as descriptors and speaks `foip.control` through the pipe at N; the
worker needs no folder and no name of the daemon's. One ticker on absolute time drives all calls: ticks that are late
up to `MAX_LATENESS` are made up, beyond it the calls are ended (docs/transport.md, "Lateness"). When the pipe closes
or no ping comes for `PING_TIMEOUT`, nothing more is confirmed or exposed, the calls end and the process exits
(docs/spine.md section 5, "Processes dying"). Whatever the C library prints goes to stderr, which is the parent's.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final  # the C library's object has no types

import cffi

from faxgw.foip import control
from faxgw.foip.control import Documents, Message, PhaseE, Ping, Pong, Start, Statistics
from faxgw.foip.errors import LocalProtocolError
from faxgw.foip.recording import Medium
from faxgw.pipe import Frame, Pipe, PipeClosed
from faxgw.t30 import native, tiff
from faxgw.t30.binding import LibraryFault, library
from faxgw.t30.call import MediaCall
from faxgw.t30.native import Crowd, NativeTerminal, Run
from faxgw.t30.recorder import Recorder, RecordingSocket
from faxgw.t30.remote import DatagramSocket

log = logging.getLogger(__name__)

TICK: Final = 0.02
"""Seconds of one tick."""
MAX_LATENESS: Final = 2.0
"""Seconds that are made up tick by tick; the far ends' timers do not bear more."""
PING_TIMEOUT: Final = 5.0
"""Seconds without a ping after which the daemon is taken for dead."""
CHECK_EVERY: Final = 5
"""Ticks in C at most until Python has its turn and looks at the bounds (100 ms; the narrowest bound is 400 ms)."""
IDLE: Final = 0.1
"""Seconds between two looks at the clock of a worker without calls; the first tick of a call is as late at most."""
ROUNDS: Final = 5
"""Turns of the event loop until what came through the pipe has reached its call."""
MAX_CALLS: Final = 256
"""Calls of one worker at most, whatever the daemon asks."""
_ADDRESS_SPACE: Final = 4 << 30
"""Octets of memory at most: a library that runs away dies alone."""
_FILE_SIZE: Final = 256 << 20
"""Octets of one received file at most."""
_PR_SET_PDEATHSIG: Final = 1
"""prctl(2)."""


@dataclass(frozen=True, slots=True)
class _Shift:
    """The calls of this process, sorted by how they are ticked; made anew when one begins, ends or changes engine."""

    crowd: Crowd
    pumped: dict[NativeTerminal, MediaCall]
    """Calls by their engine in C."""
    others: list[MediaCall]
    """Calls whose sockets Python reads."""


class Worker:
    """All calls of this process."""

    def __init__(self, pipe: Pipe, loop: asyncio.AbstractEventLoop, wake: int) -> None:
        """Serve `pipe`, whose socket has the descriptor `wake`."""
        self._pipe = pipe
        self._loop = loop
        self._calls: dict[int, tuple[MediaCall, float]] = {}
        self._worst = 0.0
        self._last_ping = loop.time()
        self._stopping = asyncio.Event()
        self._shift: _Shift | None = None
        self._checked = 0.0
        self._ticks = Run(TICK, MAX_LATENESS, wake)

    async def run(self) -> None:
        """Serve until the daemon is gone or `stop` is called; then end all calls."""
        ticker = asyncio.create_task(self._tick_for_ever(), name="ticker")
        reader = asyncio.create_task(self._read_for_ever(), name="reader")
        stopper = asyncio.create_task(self._stopping.wait(), name="stopper")
        try:
            await asyncio.wait((ticker, reader, stopper), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (ticker, reader, stopper):
                task.cancel()
            results = await asyncio.gather(ticker, reader, stopper, return_exceptions=True)
            self._end_all("late", "the call worker stops")
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, PipeClosed):
                raise result

    def stop(self) -> None:
        """Make `run` return."""
        self._stopping.set()

    # Messages.

    async def _read_for_ever(self) -> None:
        while (frame := await self._pipe.receive()) is not None:
            try:
                self._on_frame(frame)
            except LocalProtocolError:
                log.exception("message not understood")
        log.info("pipe closed")

    def _on_frame(self, frame: Frame) -> None:
        try:
            message = control.decode(frame.payload)
        except LocalProtocolError:
            _close(frame.descriptors)
            raise
        if isinstance(message, Start):
            self._start(message, frame.descriptors)
            return
        try:
            self._on_message(message, frame.descriptors)
        finally:
            _close(frame.descriptors)

    def _on_message(self, message: Message, descriptors: Sequence[int]) -> None:
        if isinstance(message, Ping):
            self._last_ping = self._loop.time()
            self._send(Pong(message.serial, round(self._worst * 1000, 1), len(self._calls)))
            self._worst = 0.0
            return
        number = getattr(message, "call", None)
        if number not in self._calls:
            return  # the call has ended meanwhile
        call, _born = self._calls[number]
        now = self._loop.time()
        try:
            if isinstance(message, Documents):
                call.begin_again(message, descriptors, now)
            else:
                call.receive(message, now)
        except Exception:  # one call's fault ends that call, as in a tick: the others know nothing of it
            log.exception("call failed", extra={"call": call.number})
            call.stop("fault", "internal fault of the media process", now)
        self._shift = None
        self._after(call)

    def _start(self, start: Start, descriptors: Sequence[int]) -> None:
        now = self._loop.time()
        if len(descriptors) != 2 + len(start.documents) + start.record or start.call in self._calls:
            _close(descriptors)
            raise LocalProtocolError(f"start with {len(descriptors)} descriptors")
        if len(self._calls) >= MAX_CALLS:
            _close(descriptors)
            self._refuse(start.call, "the call worker is full")
            return
        sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors[:2]]
        for sock in sockets:
            sock.setblocking(False)
        documents = descriptors[2 : 2 + len(start.documents)]
        ends: list[DatagramSocket] = list(sockets)
        if start.record:
            recorder = Recorder(descriptors[-1], self._loop.time)
            media = (Medium.RTP, Medium.UDPTL)
            ends = [RecordingSocket(sock, recorder, what) for sock, what in zip(sockets, media, strict=True)]
        try:
            call = MediaCall(start, ends[0], ends[1], documents, now)
        except (OSError, ValueError, tiff.PageFault, LibraryFault) as exc:
            log.warning("call not started", extra={"call": start.call, "error": str(exc)})
            for end in ends:
                end.close()
            self._refuse(start.call, f"call not started: {exc}")
            return
        finally:
            _close(documents)
        self._calls[start.call] = (call, now)
        self._shift = None

    def _refuse(self, number: int, text: str) -> None:
        self._send(PhaseE(number, -1, text, "", Statistics(), "start"))

    def _send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        self._pipe.send(control.encode(message), descriptors)

    # Ticks.

    async def _tick_for_ever(self) -> None:
        due = self._loop.time() + TICK
        while True:
            shift = self._shift
            if shift is not None and shift.pumped and not shift.others:
                due = self._run(shift, due)
                for _ in range(ROUNDS if self._ticks.state.interrupted else 1):
                    await asyncio.sleep(0)  # what came through the pipe has its turn
            elif not self._calls:
                await asyncio.sleep(IDLE)
                due = self._loop.time()
            else:
                await asyncio.sleep(max(0.0, due - self._loop.time()))
                due = self._tick(due)
            if self._loop.time() - self._last_ping > PING_TIMEOUT and self._loop.time() - due < TICK:
                log.error("no ping from the daemon")
                return

    def _run(self, shift: _Shift, due: float) -> float:
        """Several ticks of calls with engines in C, as long as no one wants anything; returns when the next one is."""
        state = self._ticks.state
        state.due, state.worst = due, self._worst
        wanting = shift.crowd.run(self._ticks, CHECK_EVERY)
        self._worst = state.worst
        now = self._loop.time()
        for engine in wanting:
            self._guarded(shift.pumped[engine], MediaCall.look, now)
        if now - self._checked >= CHECK_EVERY * TICK - TICK / 2:
            self._check(shift, now)
        return self._too_late(due, now) if now - state.due > MAX_LATENESS else float(state.due)

    def _tick(self, due: float) -> float:
        """20 ms of every call: those with an engine in C at once, the others one after the other; the next time."""
        now = self._loop.time()
        self._worst = max(self._worst, now - due)
        if now - due > MAX_LATENESS:
            return self._too_late(due, now)
        shift = self._shift or self._arrange(due)
        for engine in shift.crowd.pump(now):
            self._guarded(shift.pumped[engine], MediaCall.look, now)
        for call in shift.others:
            self._guarded(call, MediaCall.tick, now)
        if now - self._checked >= CHECK_EVERY * TICK - TICK / 2:
            self._check(shift, now)
        return due + TICK

    def _too_late(self, due: float, now: float) -> float:
        log.error("ticks too late", extra={"seconds": round(now - due, 3), "calls": len(self._calls)})
        self._end_all("late", f"media process stalled for {now - due:.1f} s")
        return now + TICK

    def _check(self, shift: _Shift, now: float) -> None:
        """Look at the bounds of the calls whose engines run in C."""
        self._checked = now
        for call in shift.pumped.values():
            if not call.ended:
                self._guarded(call, MediaCall.check, now)

    def _arrange(self, due: float) -> _Shift:
        """Sort the calls by how they are ticked; those that have begun after `due` wait for a later tick."""
        calls = [call for call, born in self._calls.values() if born <= due]
        pumped = {call.pumped: call for call in calls if call.pumped is not None}
        shift = _Shift(
            Crowd(list(pumped)),
            pumped,
            [call for call in calls if call.pumped is None],
        )
        if len(calls) == len(self._calls):
            self._shift = shift
        return shift

    def _guarded(self, call: MediaCall, what: Callable[[MediaCall, float], None], now: float) -> None:
        """Do something with a call; its fault ends it alone."""
        try:
            what(call, now)
        except Exception:
            log.exception("call failed", extra={"call": call.number})
            call.stop("fault", "internal fault of the media process", now)
        self._after(call)

    def _after(self, call: MediaCall) -> None:
        """Send what a call has to say; forget it when it is over."""
        for outgoing in call.take():
            descriptors = () if outgoing.descriptor is None else (outgoing.descriptor,)
            try:
                self._send(outgoing.message, descriptors)
            finally:
                _close(descriptors)
        if call.rearranged:
            call.rearranged = False
            self._shift = None
        if call.ended:
            self._calls.pop(call.number, None)
            self._shift = None
            call.close()

    def _end_all(self, reason: str, text: str) -> None:
        now = self._loop.time()
        for call, _born in list(self._calls.values()):
            call.stop(reason, text, now)
            try:
                self._after(call)
            except PipeClosed:
                self._calls.pop(call.number, None)
                self._shift = None
                call.close()


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)


def confine() -> None:
    """Bound what this process can take, and let it die before the daemon when memory runs out."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_FILE_SIZE, _FILE_SIZE))
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")
    ffi = cffi.FFI()
    ffi.cdef("int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d);")
    libc: Any = ffi.dlopen(None)
    libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)


async def serve(sock: socket.socket) -> None:
    """Serve the daemon at the other end of `sock` until it is gone."""
    loop = asyncio.get_running_loop()
    pipe = Pipe(sock)
    worker = Worker(pipe, loop, sock.fileno())
    loop.add_signal_handler(signal.SIGTERM, worker.stop)
    try:
        await worker.run()
        await asyncio.sleep(TICK)  # lets the pipe write what is queued
    finally:
        pipe.close()


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `python -m faxgw.t30.worker`."""
    parser = argparse.ArgumentParser(prog="faxgw-call-worker", description="Media of fax calls; started by faxgw.")
    parser.add_argument("--fd", type=int, required=True, help="descriptor of the pipe to the daemon")
    options = parser.parse_args(arguments)
    logging.basicConfig(format="%(levelname)s %(name)s %(message)s", level=logging.INFO)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the daemon ends us, not the terminal
    library()
    try:
        native.protect()
    except LibraryFault as exc:  # calls that send still work; each that receives says the same again
        log.error("no call can be received: %s", exc, extra={"event": "t30.unguarded"})
    sock = socket.socket(fileno=options.fd)
    sock.set_inheritable(False)
    confine()
    gc.collect()
    gc.freeze()  # what is loaded is not looked through again while calls are ticked
    asyncio.run(serve(sock))


if __name__ == "__main__":
    main()
