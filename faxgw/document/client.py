"""The daemon's side of the page processes: all of `document` that the daemon sees.

`PageClient` keeps one page server (`document.server`) running in its sandbox and sends it requests over a Unix socket
pair, or is connected to a page service (`document.service`) that the service manager shuts off. Documents and results
are descriptors (docs/spine.md section 8). It never opens a document itself; of a result it checks the frame of the
TIFF file with `document.tiff`, which parses nothing but our own layout.

Three answers to a request: a result; `Refused`, a value, when the document is at fault and no further try can help;
an exception, `PagesUnavailable` (temporary) or `PagesDamaged`, when it is us.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from asyncio.subprocess import Process
from collections.abc import Callable, Sequence
from pathlib import Path

from faxgw import pipe
from faxgw.document import protocol, sandbox, tiff
from faxgw.document.faults import PagesDamaged as PagesDamaged
from faxgw.document.faults import PagesUnavailable as PagesUnavailable
from faxgw.document.places import Places
from faxgw.document.places import charged_to as charged_to
from faxgw.document.received_client import ReceivedRequests, T
from faxgw.document.types import (
    OUTSIDE,
    Composed,
    ComposeOptions,
    Conversion,
    Cut,
    Document,
    Merged,
    PageFacts,
    PageSettings,
    Progress,
    Refused,
    Rendered,
    RenderOptions,
    Signed,
    SignedOptions,
    Slice,
    Sliced,
    Walked,
    WalkOptions,
)
from faxgw.fax.errors import FaxError

START_SECONDS = 60.0
"""Seconds until a started server must say that it is ready; alone on a machine it needs about 0.5."""
GRACE_SECONDS = 10.0
"""Seconds beyond a request's own limit (kept by the server) until the server itself is taken for hung."""
CONNECT_SECONDS = 5.0
"""Seconds until a page service must take the connection."""
STOP_SECONDS = 2.0
"""Seconds a server may take to end after its pipe was closed."""
MAX_PAUSE = 30.0
"""Seconds at most between two attempts to start a server that does not start."""

log = logging.getLogger(__name__)


class _NeedsOutside(Exception):
    """A document needs a program outside: the request is to be made again, in a place for those."""


class PageClient(ReceivedRequests):
    """Requests to the page processes. Create and use it on one event loop.

    Args:
        settings: Sandbox, places and limits.
        converted: Called after each conversion by a program outside; must not raise or block.
    """

    def __init__(
        self, settings: PageSettings | None = None, converted: Callable[[Conversion], None] = lambda _facts: None
    ) -> None:
        self._converted = converted
        self.settings = settings or PageSettings()
        self._documents = Places(self.settings.children)
        self._outside = Places(self.settings.offices + 1)
        self._compositions = Places(self.settings.children)
        self._readings = Places(self.settings.readers)
        self._starting = asyncio.Lock()
        self._server: _Server | None = None
        self._plan: sandbox.Plan | None = None
        self._failures = 0
        self._not_before = 0.0
        self._closed = False

    @property
    def plan(self) -> sandbox.Plan | None:
        """How the server is shut off; None before the first start."""
        return self._plan

    @property
    def pid(self) -> int | None:
        """Process id of the running server's outermost process."""
        return self._server.pid if self._server is not None else None

    async def start(self) -> None:
        """Start the page server, or connect to the page service.

        Raises:
            PagesUnavailable: If it does not start or answer, or no sandbox can be had and none was not allowed.
        """
        try:
            await self._running()
        except PagesUnavailable as exc:  # whoever starts a gateway is not told of a document, and will not try again
            raise PagesUnavailable(str(exc), public=f"The page processes do not start: {exc}.") from exc

    async def close(self) -> None:
        """End the page server and everything it was doing; requests under way fail as PagesUnavailable."""
        self._closed = True
        if self._server is not None:
            await self._server.close()
            self._server = None

    async def walk(self, mail_fd: int, options: WalkOptions | None = None) -> Walked | Refused:
        """Take a mail apart into the documents to be faxed.

        Args:
            mail_fd: The whole mail, RFC 5322, readable from the start; stays the caller's.
            options: What of it is faxed.

        Raises:
            PagesUnavailable: Try again later.
        """
        fields: protocol.Message = {"type": "walk", "options": protocol.plain(options or WalkOptions())}
        async with self._documents.one():
            return await self._request(fields, (mail_fd,), self.settings.limits.walk_seconds, Walked, None)

    async def render(
        self,
        documents: Sequence[Document],
        options: RenderOptions | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> Rendered | Refused:
        """Turn documents into the pages of a fax, in order.

        Args:
            documents: 1 to limits.MAX_DOCUMENTS; their descriptors stay the caller's.
            options: Resolution, paper, grey.
            progress: Called for every page begun; must not raise or block.

        Raises:
            PagesUnavailable: Try again later.
        """
        options = options or RenderOptions()
        descriptors: list[int] = []
        fields: protocol.Message = {
            "type": "render",
            "options": protocol.plain(options),
            "documents": protocol.plain(tuple(documents), _placer(descriptors)),
        }
        rendered = await self._render(fields, descriptors, progress, any(d.kind in OUTSIDE for d in documents))
        if isinstance(rendered, Rendered):
            await asyncio.to_thread(_check, rendered, rendered.pages)
        return rendered

    async def signed(self, mail_fd: int, options: SignedOptions) -> Signed | Refused:
        """Ask which keys a mail's signatures need, or with these keys what they prove.

        Args:
            mail_fd: The whole mail; stays the caller's.
            options: What is to be proven, and the keys.

        Raises:
            PagesUnavailable: Try again later.
        """
        fields: protocol.Message = {"type": "signed", "options": protocol.plain(options)}
        async with self._documents.one():
            return await self._request(fields, (mail_fd,), self.settings.limits.walk_seconds, Signed, None)

    async def merge(self, document: Document) -> Merged | Refused:
        """Find the commands of a merged document and paint them over.

        Args:
            document: PDF or Office document; its descriptor stays the caller's.

        Raises:
            PagesUnavailable: Try again later.
        """
        descriptors: list[int] = []
        fields: protocol.Message = {
            "type": "merge",
            "documents": protocol.plain((document,), _placer(descriptors)),
        }
        limit = self.settings.limits.job_seconds
        with contextlib.suppress(_NeedsOutside):
            async with self._documents.one():
                return await self._request(fields | {"outside": False}, descriptors, limit, Merged, None)
        async with self._outside.one():
            return await self._request(fields | {"outside": True}, descriptors, limit, Merged, None)

    async def cut(self, merged_fd: int, slices: Sequence[Slice]) -> Sliced:
        """Take a merged document apart.

        Args:
            merged_fd: What `merge` made; stays the caller's.
            slices: 1 to limits.MAX_DOCUMENTS.

        Raises:
            PagesDamaged: If it has no such pages.
            PagesUnavailable: Try again later.
        """
        fields: protocol.Message = {"type": "cut", "options": protocol.plain(Cut(tuple(slices)))}
        async with self._documents.one():
            cut = await self._request(fields, (merged_fd,), self.settings.limits.job_seconds, Sliced, None)
        if isinstance(cut, Refused):
            raise PagesDamaged(cut.public)
        return cut

    async def _render(
        self,
        fields: protocol.Message,
        descriptors: Sequence[int],
        progress: Callable[[Progress], None] | None,
        outside: bool,
    ) -> Rendered | Refused:
        """A render request, in a place of the kind that it needs: what waits for a program outside holds up no other.

        One place more than there are programs: while a program has one document, another's pages are drawn.
        """
        limit = self.settings.limits.job_seconds
        if not outside:
            with contextlib.suppress(_NeedsOutside):
                async with self._documents.one():
                    return await self._request(fields | {"outside": False}, descriptors, limit, Rendered, progress)
        async with self._outside.one():
            return await self._request(fields | {"outside": True}, descriptors, limit, Rendered, progress)

    async def compose(self, body_fd: int, options: ComposeOptions) -> Composed:
        """Make the file of one attempt: a range of the body's pages, header lines and marks drawn.

        Args:
            body_fd: A body that `render` made; stays the caller's.
            options: Range, header, marks, letterhead.

        Raises:
            PagesDamaged: If body or letterhead is damaged or the range is not within the body.
            PagesUnavailable: Try again later.
        """
        descriptors = [body_fd]
        fields: protocol.Message = {"type": "compose", "options": protocol.plain(options, _placer(descriptors))}
        async with self._compositions.one():
            limit = self.settings.limits.compose_seconds
            composed = await self._request(fields, descriptors, limit, Composed, None)
        if isinstance(composed, Refused):
            raise PagesDamaged(composed.public)
        await asyncio.to_thread(_check, composed, composed.pages)
        if options.pictures and not await asyncio.to_thread(composed.is_shown):
            composed.close()
            raise PagesUnavailable("the page process made pictures that differ from their facts")
        return composed

    async def _request(
        self,
        fields: protocol.Message,
        descriptors: Sequence[int],
        seconds: float,
        expected: type[T],
        progress: Callable[[Progress], None] | None,
    ) -> T | Refused:
        server = await self._running()
        fields |= {"limits": protocol.plain(self.settings.limits), "seconds": seconds}
        frame = await server.request(fields, descriptors, seconds + GRACE_SECONDS, progress)
        try:
            return _answer(frame, expected)
        except protocol.BadMessage as exc:
            _close(frame.descriptors)
            raise PagesUnavailable(f"bad answer from the page server: {exc}") from exc
        except FaxError:
            _close(frame.descriptors)
            raise

    async def _running(self) -> _Server:
        async with self._starting:
            if self._closed:
                raise PagesUnavailable("the page client is closed")
            if self._server is not None and self._server.alive:
                return self._server
            if self._server is not None:
                await self._server.close()
                self._server = None
            if time.monotonic() < self._not_before:
                raise PagesUnavailable("the page server does not start; waiting before the next attempt")
            try:
                self._server = await self._start_server()
            except PagesUnavailable:
                self._failures += 1
                self._not_before = time.monotonic() + min(2.0 ** (self._failures - 1), MAX_PAUSE)
                raise
            self._failures = 0
            return self._server

    async def _start_server(self) -> _Server:
        if self.settings.socket is not None:
            server = await _Server.connect(self.settings.socket, self._converted)
            log.info("page service connected", extra={"event": "page_service_connected"})
            return server
        if self._plan is None:
            try:
                self._plan = await asyncio.to_thread(sandbox.choose, self.settings.sandbox)
            except sandbox.NoSandbox as exc:
                raise PagesUnavailable(str(exc)) from exc
            level = logging.INFO if self._plan.isolated else logging.WARNING
            log.log(level, "page sandbox chosen", extra={"event": "page_sandbox", "sandbox": self._plan.kind.value})
        server = await _Server.start(self._plan, self.settings, self._converted)
        log.info("page server started", extra={"event": "page_server_started", "pid": server.pid})
        return server


class _Server:
    """One running page server: its process if it is ours, its pipe, and the requests it has not answered."""

    def __init__(self, process: Process | None, channel: pipe.Pipe, converted: Callable[[Conversion], None]) -> None:
        self._converted = converted
        self._process = process
        self._pipe = channel
        self._next = 0
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending: dict[int, asyncio.Future[pipe.Frame]] = {}
        self._progress: dict[int, Callable[[Progress], None]] = {}
        self._tasks = (
            asyncio.create_task(self._read(), name="page-server-answers"),
            asyncio.create_task(self._read_errors(process), name="page-server-errors"),
        )
        self.alive = True

    @property
    def pid(self) -> int | None:
        """Process id of the outermost process (the sandbox's launcher); None when it is not ours."""
        return self._process.pid if self._process is not None else None

    @classmethod
    async def start(
        cls, plan: sandbox.Plan, settings: PageSettings, converted: Callable[[Conversion], None]
    ) -> _Server:
        """Start a server and wait until it is ready."""
        ours, theirs = pipe.pair()
        try:
            process = await asyncio.create_subprocess_exec(
                *plan.command(["-m", "faxgw.document.server", "--fd", str(theirs.fileno()), *_words(settings)]),
                pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                env=sandbox.environment(),
                cwd="/",
            )
        except OSError as exc:
            ours.close()
            raise PagesUnavailable(f"the page server cannot be started: {exc}") from exc
        finally:
            theirs.close()
        server = cls(process, pipe.Pipe(_nonblocking(ours)), converted)
        await server._until_ready()
        return server

    @classmethod
    async def connect(cls, path: Path, converted: Callable[[Conversion], None]) -> _Server:
        """Connect to a page service and wait until it is ready."""
        sock = _nonblocking(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await asyncio.get_running_loop().sock_connect(sock, str(path))
        except (OSError, TimeoutError) as exc:
            sock.close()
            raise PagesUnavailable(f"the page service cannot be reached: {exc}") from exc
        except BaseException:
            sock.close()
            raise
        server = cls(None, pipe.Pipe(sock), converted)
        await server._until_ready()
        return server

    async def _until_ready(self) -> None:
        try:
            async with asyncio.timeout(START_SECONDS):
                await asyncio.shield(self._ready)
        except TimeoutError as exc:
            await self.close()
            raise PagesUnavailable("the page server did not become ready") from exc
        except BaseException:
            await self.close()
            raise

    async def request(
        self,
        fields: protocol.Message,
        descriptors: Sequence[int],
        seconds: float,
        progress: Callable[[Progress], None] | None,
    ) -> pipe.Frame:
        """Send one request and wait for its answer."""
        self._next += 1
        number = self._next
        answer: asyncio.Future[pipe.Frame] = asyncio.get_running_loop().create_future()
        self._pending[number] = answer
        if progress is not None:
            self._progress[number] = progress
        try:
            self._send(fields | {"id": number}, descriptors)
            async with asyncio.timeout(seconds):
                return await answer
        except TimeoutError as exc:
            self._kill()
            raise PagesUnavailable("the page server hangs") from exc
        except asyncio.CancelledError:
            if answer.done() and not answer.cancelled() and answer.exception() is None:
                _close(answer.result().descriptors)
            with contextlib.suppress(PagesUnavailable):
                self._send({"type": "cancel", "id": number}, ())
            raise
        finally:
            self._pending.pop(number, None)
            self._progress.pop(number, None)

    async def close(self) -> None:
        """End the process, whatever it does; of a service, the connection and with it our requests."""
        self.alive = False
        self._pipe.close()
        if self._process is not None:
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await self._process.wait()
            except TimeoutError:
                self._kill()
                await self._process.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._fail_all("the page server was stopped")

    def _send(self, message: protocol.Message, descriptors: Sequence[int]) -> None:
        try:
            self._pipe.send(protocol.pack(message), descriptors)
        except (pipe.PipeClosed, OSError) as exc:
            raise PagesUnavailable(f"the page server is gone: {exc}") from exc
        except ValueError as exc:
            raise PagesUnavailable(f"the request is too large for the pipe: {exc}") from exc

    def _kill(self) -> None:
        self.alive = False
        if self._process is None:
            self._pipe.close()
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def _read(self) -> None:
        try:
            while (frame := await self._pipe.receive()) is not None:
                self._take(frame)
        except (pipe.PipeClosed, protocol.BadMessage) as exc:
            log.error("page server broke the protocol", extra={"event": "page_server_mad", "detail": str(exc)})
            self._kill()
        finally:
            self.alive = False
            self._fail_all("the page server died")

    def _take(self, frame: pipe.Frame) -> None:
        message = protocol.unpack(frame.payload)
        match message["type"]:
            case "ready":
                if not self._ready.done():
                    self._ready.set_result(None)
            case "log":
                log.warning(
                    "page process wrote errors", extra={"event": "page_stderr", "text": str(message.get("text"))}
                )
            case "conversion":
                self._converted(protocol.value(Conversion, message.get("value")))
            case "progress":
                callback = self._progress.get(protocol.number(message, "id"))
                if callback is not None:
                    callback(protocol.value(Progress, message.get("value")))
            case _:
                answer = self._pending.get(protocol.number(message, "id"))
                if answer is None or answer.done():
                    _close(frame.descriptors)
                else:
                    answer.set_result(frame)

    async def _read_errors(self, process: Process | None) -> None:
        stream = process.stderr if process is not None else None
        if stream is None:
            return
        while chunk := await stream.read(4096):
            text = chunk.decode("utf-8", "replace")
            log.error("page server wrote errors", extra={"event": "page_server_stderr", "text": text})

    def _fail_all(self, why: str) -> None:
        if not self._ready.done():
            self._ready.set_exception(PagesUnavailable(why))
            self._ready.exception()  # marks it as seen: `start` may have given up
        for answer in self._pending.values():
            if not answer.done():
                answer.set_exception(PagesUnavailable(why))
                answer.exception()  # marks it as seen: the waiter may have been cancelled


def _words(settings: PageSettings) -> list[str]:
    """What the server is told when it is started."""
    languages = ["--postscript", settings.postscript.value, "--pcl", settings.pcl.value]
    return ["--office", settings.office.value, "--offices", str(settings.offices), *languages]


def _answer(frame: pipe.Frame, expected: type[T]) -> T | Refused:
    message = protocol.unpack(frame.payload)
    match message["type"]:
        case "result":
            return protocol.value(expected, message.get("value"), frame.descriptors)
        case "refused":
            return protocol.value(Refused, message.get("value"))
        case "outside":
            raise _NeedsOutside
        case "failed":
            raise PagesUnavailable(str(message.get("detail"))[:500])
        case other:
            raise protocol.BadMessage(f"unexpected {other[:40]}")


def _check(result: Rendered | Composed, pages: Sequence[PageFacts]) -> None:
    """Compare a result's file with its facts: a converter's word is not taken for it.

    Raises:
        PagesUnavailable: If the file is not what the facts say.
    """
    try:
        file = tiff.read(result.fd)
    except tiff.BadTiff as exc:
        result.close()
        raise PagesUnavailable(f"the page process made a bad file: {exc}") from exc
    found = [(page.width, page.rows, page.octets) for page in file]
    if not found or found != [(page.width, page.rows, page.octets) for page in pages]:
        result.close()
        raise PagesUnavailable("the page process made a file that differs from its facts")


def _placer(descriptors: list[int]) -> Callable[[int], int]:
    def place(descriptor: int) -> int:
        descriptors.append(descriptor)
        return len(descriptors) - 1

    return place


def _nonblocking(sock: socket.socket) -> socket.socket:
    sock.setblocking(False)
    return sock


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)
