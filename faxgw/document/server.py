"""The page server: loads the converters once, then forks a child for every request (started by `document.client`).

It is the template: a fork costs 5 ms where the imports cost 300. It reads no document itself; it hands descriptors to
children, keeps their time, and says why one ended. It runs in the sandbox of `document.sandbox`, sees no folder of the
gateway, and ends with its pipe.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import resource
import signal
import socket
import sys
import time
from dataclasses import dataclass, field

from PIL import Image

from faxgw import pipe
from faxgw.document import (
    barcode,
    child,
    fonts,
    layout,
    memory,
    ocr,
    office_pool,
    pdf_text,
    printer,
    protocol,
    refusal,
    sandbox,
    seccomp,
)
from faxgw.document.limits import MAX_STDERR, Limits
from faxgw.document.office_pool import OfficePool
from faxgw.document.refusal import DocumentRefused
from faxgw.document.types import Conversion, Document, Ending, Kind, Progress, Use

MAX_MESSAGES = 10_000
"""Messages of one child; each page is one, and even unlimited pages would take longer than a job may."""
# Signals by which a decoder ends that a document has broken.
_CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGTRAP, signal.SIGFPE, signal.SIGSYS}


@dataclass(slots=True)
class _Job:
    """One request and the child that does it."""

    number: int
    pid: int
    names: tuple[str, ...]
    """Names of the documents, to say which one broke the child."""
    what: str
    """Type of the request."""
    limits: Limits
    seconds: float
    at: Progress | None = None
    """Where the child is."""
    answer: tuple[protocol.Message, tuple[int, ...]] | None = None
    outside: asyncio.Task[None] | None = None
    """A conversion by a program outside that the child waits for."""
    outside_seconds: float = 0.0
    """Seconds on the clock that conversions outside took."""
    heard: int = 0
    """Messages so far."""
    timed_out: bool = False
    cancelled: bool = False


@dataclass(slots=True)
class PageServer:
    """The daemon's pipe and the jobs under way."""

    daemon: pipe.Pipe
    office: OfficePool | None = None
    """Converts Office documents; None: they are refused."""
    printers: frozenset[Kind] = frozenset()
    """Printer languages that are converted."""
    started: int = 0
    """LibreOffices started, as far as the daemon was told."""
    jobs: dict[int, _Job] = field(default_factory=dict)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self) -> None:
        """Take requests until the daemon closes the pipe."""
        self.daemon.send(protocol.pack({"type": "ready"}))
        try:
            while (frame := await self.daemon.receive()) is not None:
                self._take(frame)
        finally:
            for job in self.jobs.values():
                _kill(job.pid)
            await asyncio.gather(*self.tasks, return_exceptions=True)

    @property
    def outside(self) -> frozenset[Kind]:
        """Kinds that programs outside convert."""
        return self.printers | (office_pool.installed() if self.office is not None else frozenset())

    def _take(self, frame: pipe.Frame) -> None:
        message = protocol.unpack(frame.payload)
        number = protocol.number(message, "id")
        if message["type"] == "cancel":
            job = self.jobs.get(number)
            if job is not None:
                job.cancelled = True
                _kill(job.pid)
            return
        task = asyncio.create_task(self._do(number, message, frame.descriptors), name=f"page-request-{number}")
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _do(self, number: int, message: protocol.Message, descriptors: tuple[int, ...]) -> None:
        """One request from fork to answer."""
        stderr = os.memfd_create("stderr", os.MFD_CLOEXEC)
        try:
            try:
                job, channel = _fork(number, message, descriptors, stderr, self.outside)
            except OSError as exc:
                self._send({"type": "failed", "id": number, "detail": f"no child: {exc}"})
                return
            finally:
                _close(descriptors)
            self.jobs[number] = job
            try:
                status, usage = await self._accompany(job, channel)
            finally:
                del self.jobs[number]
            self._log(job, stderr)
            self._report(job, status, usage)
        finally:
            os.close(stderr)

    async def _accompany(self, job: _Job, channel: pipe.Pipe) -> tuple[int, resource.struct_rusage]:
        """Read what a child says until it has ended. The answer counts only then: nothing can change it any more."""
        ended = _Ended(job.pid)
        try:
            async with asyncio.timeout(job.seconds):
                while (frame := await channel.receive()) is not None:
                    self._hear(job, frame, channel)
                await ended.wait()
        except TimeoutError:
            job.timed_out = True
            _kill(job.pid)
        except (pipe.PipeClosed, protocol.BadMessage) as exc:
            _kill(job.pid)
            job.answer = ({"type": "failed", "detail": f"child broke the protocol: {exc}"}, ())
        except asyncio.CancelledError:
            _kill(job.pid)
            raise
        finally:
            if job.outside is not None:
                job.outside.cancel()
            channel.close()
        await ended.wait()
        ended.close()
        _pid, status, usage = os.wait4(job.pid, 0)  # noqa: ASYNC222 - it has ended
        return status, usage

    def _hear(self, job: _Job, frame: pipe.Frame, channel: pipe.Pipe) -> None:
        message = protocol.unpack(frame.payload)
        job.heard += 1
        if job.heard > MAX_MESSAGES:
            raise protocol.BadMessage("too many messages")
        if message["type"] == "progress":
            _close(frame.descriptors)
            job.at = protocol.value(Progress, message.get("value"))
            self._send({"type": "progress", "id": job.number, "value": message["value"]})
        elif message["type"] in ("result", "refused", "outside") and job.answer is None:
            job.answer = (message, frame.descriptors)
        elif message["type"] == "convert" and _is_idle(job.outside) and len(frame.descriptors) == 1:
            work = self._convert(job, message, frame.descriptors[0], channel)
            job.outside = asyncio.create_task(work, name=f"page-request-{job.number}-outside")
            self.tasks.add(job.outside)
            job.outside.add_done_callback(self.tasks.discard)
        else:
            _close(frame.descriptors)
            raise protocol.BadMessage("unexpected message")

    async def _convert(self, job: _Job, message: protocol.Message, source: int, channel: pipe.Pipe) -> None:
        """Have a program outside make a PDF for a child that waits for it."""
        began = time.monotonic()
        answer: tuple[protocol.Message, tuple[int, ...]]
        kind: Kind | None = None
        ending = Ending.FAILED
        try:
            kind, pages = Kind(str(message.get("kind"))), protocol.number(message, "pages")
            if kind in printer.PROGRAMS:
                made = await printer.convert(source, kind, pages, job.limits, self.printers)
            elif self.office is None:
                raise office_pool.NoOffice("there is no office")
            else:
                made = await self.office.convert(source, kind, pages, job.limits)
            answer, ending = ({"type": "converted"}, (made,)), Ending.MADE
        except office_pool.Declined as exc:
            ending = Ending.DECLINED
            answer = ({"type": "declined", "why": exc.why.value}, ())
        except office_pool.NoOffice as exc:
            answer = ({"type": "failed", "detail": str(exc)}, ())
        except (protocol.BadMessage, ValueError, KeyError) as exc:
            answer = ({"type": "failed", "detail": f"bad request: {exc}"}, ())
        finally:
            os.close(source)
            seconds = time.monotonic() - began
            job.outside_seconds += seconds
            if kind is not None:
                self._tell(kind, ending, seconds)
        with contextlib.suppress(pipe.PipeClosed):  # the child is gone: `_accompany` says why
            channel.send(protocol.pack(answer[0]), answer[1])
        _close(answer[1])

    def _tell(self, kind: Kind, ending: Ending, seconds: float) -> None:
        started = self.office.started if self.office is not None else 0
        facts = Conversion(kind, ending, seconds, started - self.started)
        self.started = started
        self._send({"type": "conversion", "value": protocol.plain(facts)})

    def _report(self, job: _Job, status: int, usage: resource.struct_rusage) -> None:
        message, descriptors = job.answer or ({}, ())
        if job.cancelled or job.timed_out or not os.WIFEXITED(status) or os.WEXITSTATUS(status) != 0:
            _close(descriptors)
            descriptors = ()
            message = _explain(job, status, usage)
        elif not message:
            message = {"type": "failed", "detail": "child ended without an answer"}
        self._send(message | {"id": job.number}, descriptors)
        _close(descriptors)

    def _log(self, job: _Job, stderr: int) -> None:
        text = os.pread(stderr, MAX_STDERR, 0)
        if text:
            self._send({"type": "log", "id": job.number, "text": text.decode("utf-8", "replace")})

    def _send(self, message: protocol.Message, descriptors: tuple[int, ...] = ()) -> None:
        with contextlib.suppress(pipe.PipeClosed):  # the daemon is gone: `serve` ends by itself
            self.daemon.send(protocol.pack(message), descriptors)


class _Ended:
    """Waits for the end of a child without reaping it."""

    def __init__(self, pid: int) -> None:
        self._fd = os.pidfd_open(pid)
        self._event = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._fd, self._set)

    async def wait(self) -> None:
        await self._event.wait()

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)

    def _set(self) -> None:
        self._event.set()
        asyncio.get_running_loop().remove_reader(self._fd)


def _is_idle(task: asyncio.Task[None] | None) -> bool:
    return task is None or task.done()


def _fork(
    number: int, message: protocol.Message, descriptors: tuple[int, ...], stderr: int, outside: frozenset[Kind]
) -> tuple[_Job, pipe.Pipe]:
    ours, theirs = pipe.pair()
    parent = os.getpid()
    names = tuple(document.name for document in _documents(message, descriptors))
    limits = protocol.value(Limits, message.get("limits"))
    pid = os.fork()
    if pid == 0:
        child.run(message, descriptors, theirs, stderr, parent, outside, limits)
    theirs.close()
    job = _Job(number, pid, names, message["type"], limits, float(message["seconds"]))
    return job, pipe.Pipe(ours)


def _documents(message: protocol.Message, descriptors: tuple[int, ...]) -> tuple[Document, ...]:
    if message["type"] not in ("render", "merge"):
        return ()
    return protocol.value(tuple[Document, ...], message.get("documents"), descriptors)


def _explain(job: _Job, status: int, usage: resource.struct_rusage) -> protocol.Message:
    """Why a child ended badly: the document's fault, or ours."""
    cpu = usage.ru_utime + usage.ru_stime
    ended_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -1
    detail = f"child ended by signal {ended_by}, status {code}, after {cpu:.1f} s of CPU"
    name, page = _where(job)
    refused: DocumentRefused | None = None
    if job.cancelled or job.what in ("compose", "pdf", "tiff", "write"):
        pass
    elif (
        ended_by == signal.SIGXCPU
        or (job.timed_out and cpu + job.outside_seconds > job.seconds / 3)
        or cpu > job.limits.job_seconds
    ):
        refused = refusal.too_slow(name, page)
    elif code == child.OUT_OF_MEMORY:
        refused = refusal.too_much_memory(name, page)
    elif code == child.FILE_TOO_LARGE or ended_by == signal.SIGXFSZ:
        refused = refusal.too_large(name, "the fax would be too large")
    elif ended_by in _CRASHES:
        refused = refusal.unreadable(name, page)
    if refused is None:
        return {"type": "failed", "detail": detail}
    return {"type": "refused", "value": protocol.plain(refused.refused)}


def _where(job: _Job) -> tuple[str, int | None]:
    if job.at is not None and 0 <= job.at.document < len(job.names):
        return job.names[job.at.document], job.at.page
    return (job.names[0] if job.names else ""), None


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _close(descriptors: tuple[int, ...]) -> None:
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)


async def _main(sock: socket.socket, offices: int, printers: frozenset[Kind]) -> None:
    office = OfficePool(offices) if offices else None
    try:
        await PageServer(pipe.Pipe(sock), office, printers).serve()
    finally:
        if office is not None:
            await office.close()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The words that say which programs outside are used."""
    parser.add_argument("--office", choices=[use.value for use in Use], default=Use.AUTO.value)
    parser.add_argument("--offices", type=int, default=1, help="LibreOffices at the same time")
    parser.add_argument("--postscript", choices=[use.value for use in Use], default=Use.OFF.value)
    parser.add_argument("--pcl", choices=[use.value for use in Use], default=Use.OFF.value)


def offices(arguments: argparse.Namespace) -> int:
    """How many LibreOffices there may be; 0: none.

    Raises:
        NoOffice: If one must be there and is not.
    """
    if arguments.office == Use.OFF:
        return 0
    if not office_pool.installed():
        if arguments.office == Use.ON:
            raise office_pool.NoOffice("LibreOffice is to be used, and it or python3-uno is not installed")
        return 0
    return int(arguments.offices)


def printers(arguments: argparse.Namespace) -> frozenset[Kind]:
    """Which printer languages are converted.

    Raises:
        NoOffice: If a program must be there and is not.
    """
    return printer.chosen(Use(arguments.postscript), Use(arguments.pcl))


def preload() -> None:
    """Load what every child needs, once.

    Raises:
        NoFont: If a font is missing.
        NoSeccomp: If there is no libseccomp.
    """
    memory.keep()
    fonts.check()
    Image.init()
    child.rehearse()
    layout.warm_up()
    ocr.preload()
    barcode.preload()
    pdf_text.font_file()
    seccomp.child_program()
    gc.collect()
    gc.freeze()
    memory.gather()


def main() -> int:
    """Entry point: `python -m faxgw.document.server --fd N`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True)
    add_arguments(parser)
    arguments = parser.parse_args()
    sandbox.prctl_child()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sock = socket.socket(fileno=arguments.fd)
    sock.set_inheritable(False)
    preload()
    asyncio.run(_main(sock, offices(arguments), printers(arguments)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
