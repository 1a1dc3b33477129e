"""The call workers: child processes that hold media and libspandsp, and may die at any time.

Each worker is `python -m faxgw.t30.worker --fd N` at the other end of a pipe that carries `foip.control`
(docs/spine.md section 8). This module starts them, gives out places, pings them, kills the silent, reads what a dead
one still said, and tells each of its calls. It knows nothing of SIP and decides nothing about faxes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count

from faxgw.foip import control
from faxgw.foip.errors import LocalProtocolError
from faxgw.pipe import Frame, Pipe, PipeClosed, pair

log = logging.getLogger(__name__)

PING_EVERY = 1.0
"""Seconds between pings."""
SILENT_AFTER = 3.0
"""Seconds without an answer after which a worker is killed (a tick that late has lost its calls anyway)."""
START_WITHIN = 20.0
"""Seconds a new worker may take for its first answer: it loads the library on a busy machine."""
STOP_WITHIN = 3.0
"""Seconds a worker may take to end by itself."""
MAX_WORKERS = 64
"""Workers at most."""
MAX_LOG_LINE = 500
"""Characters of one line of a worker's stderr that are logged."""
COMMAND = (sys.executable, "-m", "faxgw.t30.worker")
"""What a worker is."""


@dataclass(frozen=True, slots=True)
class WorkerGone:
    """The worker of a call is gone; everything it had said before was delivered first."""

    text: str
    """How it ended: `killed by SIGSEGV`, `silent for 3 s`, `exit status 1`."""
    our_doing: bool = False
    """True when we stopped it: no fault of the call."""


@dataclass(frozen=True, slots=True)
class Received:
    """A message of a worker, with the descriptors that came with it; the receiver owns them."""

    message: control.Message
    descriptors: tuple[int, ...] = ()


Inbox = asyncio.Queue[object]
"""Whatever concerns one call: `Received`, `WorkerGone`, and what its owner puts there."""


class NoWorker(Exception):
    """There is no place for another call."""


class Place:
    """One call's place in a worker."""

    def __init__(self, worker: _Worker, number: int, inbox: Inbox) -> None:
        self.number = number
        """What the control messages call it; unique for the life of the worker."""
        self.inbox = inbox
        """Gets `Received` and, last of all, `WorkerGone`."""
        self._worker = worker

    @property
    def alive(self) -> bool:
        """Whether the worker still runs and is not being killed."""
        return not self._worker.dying

    def send(self, message: control.Message, descriptors: Sequence[int] = ()) -> None:
        """Send a control message; lost when the worker is gone: WorkerGone is on its way then."""
        self._worker.send(message, descriptors)

    def release(self) -> None:
        """Give the place back. Nothing is put into the inbox any more."""
        self._worker.release(self.number)


class CallWorkers:
    """All call workers of the daemon.

    Args:
        calls_per_worker: Places in one worker.
        command: What to start; `--fd N` is appended.
    """

    def __init__(self, calls_per_worker: int, command: Sequence[str] = COMMAND) -> None:
        self._calls_per_worker = calls_per_worker
        self._command = tuple(command)
        self._workers: list[_Worker] = []
        self._numbers = count(1)
        self._choosing = asyncio.Lock()
        self._stopping = False

    async def start(self) -> None:
        """Start one worker, so that the first call finds it warm."""
        await self._spawn(isolated=False)

    async def reserve(self, inbox: Inbox, *, isolated: bool = False, group: str = "") -> Place:
        """Take a place for a call; a new worker is started when all are full.

        Args:
            inbox: Where what the worker says about the call goes.
            isolated: A worker of its own, ended with the call (a number that has killed workers).
            group: Calls of different groups never share a worker: whoever may call us can send what kills the fax
                engine, and shall not end the faxes that we send.

        Raises:
            NoWorker: If there are MAX_WORKERS already, one cannot be started, or we are stopping.
        """
        if self._stopping:
            raise NoWorker("the line is stopping")
        if isolated:
            return (await self._spawn(isolated=True)).take(next(self._numbers), inbox)
        async with self._choosing:  # calls that come together share the worker that the first of them starts
            worker = self._roomiest(group) or await self._spawn(isolated=False)
            worker.group = group
            return worker.take(next(self._numbers), inbox)

    async def stop(self) -> None:
        """End all workers; those that do not end by themselves are killed."""
        self._stopping = True
        await asyncio.gather(*(worker.stop() for worker in list(self._workers)))

    @property
    def pids(self) -> list[int]:
        """Process ids of the living workers."""
        return [worker.pid for worker in self._workers if not worker.gone]

    def _roomiest(self, group: str) -> _Worker | None:
        """The fullest worker that has room and no call of another group: fewer cost less, and the others can end."""
        open_workers = [
            worker
            for worker in self._workers
            if worker.accepts and worker.calls < self._calls_per_worker and (worker.group == group or not worker.calls)
        ]
        return max(open_workers, key=lambda worker: worker.calls, default=None)

    async def _spawn(self, *, isolated: bool) -> _Worker:
        if len(self._workers) >= MAX_WORKERS:
            raise NoWorker("too many call workers")
        worker = _Worker(self._command, isolated, self._forget)
        self._workers.append(worker)
        try:
            await worker.start()
        except OSError as exc:
            self._forget(worker)
            raise NoWorker(f"call worker not started: {exc}") from exc
        except BaseException:  # we were cancelled: it is nobody's
            self._forget(worker)
            raise
        if self._stopping:
            await worker.stop()
            raise NoWorker("the line is stopping")
        return worker

    def _forget(self, worker: _Worker) -> None:
        if worker in self._workers:
            self._workers.remove(worker)


class _Worker:
    """One process with its pipe and the tasks that watch it."""

    def __init__(self, command: tuple[str, ...], isolated: bool, forget: Callable[[_Worker], None]) -> None:
        self._command = command
        self._isolated = isolated
        self._forget = forget
        self._places: dict[int, Place] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._pipe: Pipe | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._why = ""
        self._last_pong = 0.0
        self._answered = False
        self._used = False
        self._stopped = False
        self.gone = False
        self.pid = 0
        self.group = ""
        """Whose calls it has, or had last."""

    @property
    def calls(self) -> int:
        return len(self._places)

    @property
    def accepts(self) -> bool:
        """Whether it takes calls: started, alive, not told to stop, and not another call's own."""
        return self._pipe is not None and not self.dying and not self._stopped and not self._isolated

    @property
    def dying(self) -> bool:
        """Whether it is gone, or will be in a moment."""
        return self.gone or self._why != ""

    async def start(self) -> None:
        ours, theirs = pair()
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                "--fd",
                str(theirs.fileno()),
                pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self.pid = self._process.pid
        self._pipe = Pipe(ours)
        self._last_pong = asyncio.get_running_loop().time()
        name = f"call worker {self.pid}"
        self._tasks = [
            asyncio.create_task(self._watch(self._pipe, self._process), name=name),
            asyncio.create_task(self._ping_for_ever(), name=f"{name} ping"),
            asyncio.create_task(self._log_stderr(self._process), name=f"{name} log"),
        ]
        log.info("call worker started", extra={"event": "worker.started", "pid": self.pid})

    def take(self, number: int, inbox: Inbox) -> Place:
        place = self._places[number] = Place(self, number, inbox)
        self._used = True
        if self.gone:  # between its start and now
            self._tell_all()
        return place

    def release(self, number: int) -> None:
        self._places.pop(number, None)
        if self._isolated and not self._places and self._used:
            self._stopped = True
            self._signal(signal.SIGTERM)

    def send(self, message: control.Message, descriptors: Sequence[int] = ()) -> None:
        if self._pipe is None or self.gone:
            return
        try:
            self._pipe.send(control.encode(message), descriptors)
        except PipeClosed as exc:
            self._kill(f"pipe: {exc}")

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL; returns when everything of it is gone."""
        self._stopped = True
        self._signal(signal.SIGTERM)
        if self._tasks:
            _done, pending = await asyncio.wait(self._tasks[:1], timeout=STOP_WITHIN)
            if pending:
                self._kill("did not stop")
                await asyncio.wait(self._tasks[:1])

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    def _kill(self, why: str) -> None:
        self._why = self._why or why
        self._signal(signal.SIGKILL)

    # Tasks

    async def _watch(self, pipe: Pipe, process: asyncio.subprocess.Process) -> None:
        """Read the pipe to its end, see the process to its end, tell the calls."""
        try:
            while (frame := await pipe.receive()) is not None:
                self._on_frame(frame)
        except (PipeClosed, LocalProtocolError) as exc:
            self._kill(f"talks nonsense: {exc}")
        except Exception:  # the task's owner: its calls must hear of its end in any case
            log.exception("call worker not understood", extra={"event": "worker.fault", "pid": self.pid})
            self._kill("talks nonsense")
        if process.returncode is None:
            await self._wait_or_kill(process)
        self.gone = True
        self._why = self._why or _ending(process.returncode or 0)
        level = logging.INFO if self._stopped else logging.ERROR
        log.log(level, "call worker ended", extra={"event": "worker.ended", "pid": self.pid, "why": self._why})
        pipe.close()
        self._tell_all()
        for task in self._tasks[1:]:
            task.cancel()
        await asyncio.gather(*self._tasks[1:], return_exceptions=True)
        self._forget(self)

    async def _wait_or_kill(self, process: asyncio.subprocess.Process) -> None:
        try:
            async with asyncio.timeout(STOP_WITHIN):
                await process.wait()
        except TimeoutError:
            self._kill("closed its pipe and did not end")
            await process.wait()

    async def _ping_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        for serial in count(1):
            self.send(control.Ping(serial))
            asleep = loop.time()
            await asyncio.sleep(PING_EVERY)
            if loop.time() - asleep > 2 * PING_EVERY:  # it was us who were away: what it said is still unread
                self._last_pong = loop.time()
            silent = loop.time() - self._last_pong
            if silent > (SILENT_AFTER if self._answered else START_WITHIN):
                log.error("call worker silent", extra={"event": "worker.silent", "pid": self.pid})
                self._kill(f"silent for {silent:.0f} s")

    async def _log_stderr(self, process: asyncio.subprocess.Process) -> None:
        """What the process prints; libtiff's complaints among it (docs/transport.md J.7 rule 7)."""
        if process.stderr is None:
            return
        while True:
            try:
                line = await process.stderr.readline()
            except ValueError:  # longer than the reader's buffer: that much of it is dropped
                continue
            if not line:
                return
            text = line.decode("utf-8", "replace").strip()[:MAX_LOG_LINE]
            if text:
                log.info("call worker says", extra={"event": "worker.stderr", "pid": self.pid, "text": text})

    def _on_frame(self, frame: Frame) -> None:
        place: Place | None = None
        try:
            message = control.decode(frame.payload)
            place = self._places.get(getattr(message, "call", -1))
        finally:
            if place is None:
                _close(frame.descriptors)
        self._last_pong = asyncio.get_running_loop().time()
        self._answered = True
        if place is not None:
            place.inbox.put_nowait(Received(message, frame.descriptors))

    def _tell_all(self) -> None:
        for place in list(self._places.values()):
            place.inbox.put_nowait(WorkerGone(self._why, self._stopped))
        self._places.clear()


def _ending(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    with contextlib.suppress(ValueError):
        return f"killed by {signal.Signals(-status).name}"
    return f"killed by signal {-status}"


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)
