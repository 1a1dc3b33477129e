"""The LibreOffices of a page server: started when first needed, kept warm, limited, recycled, replaced when they die.

A LibreOffice and its host (`document.office_host`) live beside the children in the server's sandbox. Each converts one
document at a time; the children wait in order. A document that ended one is tried once more in a fresh one; when that
ends too, it was the document.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import resource
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from faxgw import pipe
from faxgw.document import sandbox
from faxgw.document.limits import MAX_OUTPUT, Limits
from faxgw.document.types import Kind

PYTHON = Path("/usr/bin/python3")
"""Debian's own: `uno` (package python3-uno) belongs to it."""
UNO = Path("/usr/lib/python3/dist-packages/uno.py")
LIBREOFFICE = Path("/usr/lib/libreoffice/program")
START_SECONDS = 60.0
"""Seconds until a started host must be ready; 2 to 5 are usual."""
LOOK_SECONDS = 0.25
"""Seconds between two looks at the memory and CPU of a LibreOffice that converts."""
MAX_DOCUMENTS = 200
"""Documents of one LibreOffice."""
MAX_RESTING = 600 * 1024 * 1024
"""Octets of memory above which a LibreOffice is replaced after a document; measured 174 to 281 MB."""
MAX_PAUSE = 30.0
"""Seconds at most between two attempts to start one that does not start."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Filter:
    """How LibreOffice opens a kind."""

    module: str
    """writer, calc, impress or draw; its PDF filter is named after it."""
    name: str
    """LibreOffice's name of the import filter."""


FILTERS = {
    Kind.DOCX: Filter("writer", "MS Word 2007 XML"),
    Kind.DOC: Filter("writer", "MS Word 97"),
    Kind.RTF: Filter("writer", "Rich Text Format"),
    Kind.ODT: Filter("writer", "writer8"),
    Kind.XLSX: Filter("calc", "Calc MS Excel 2007 XML"),
    Kind.XLSB: Filter("calc", "Calc MS Excel 2007 Binary"),
    Kind.XLS: Filter("calc", "MS Excel 97"),
    Kind.ODS: Filter("calc", "calc8"),
    Kind.PPTX: Filter("impress", "Impress MS PowerPoint 2007 XML"),
    Kind.PPT: Filter("impress", "MS PowerPoint 97"),
    Kind.ODP: Filter("impress", "impress8"),
    Kind.ODG: Filter("draw", "draw8"),
}
_LIBRARIES = {"writer": "libswlo.so", "calc": "libsclo.so", "impress": "libsdlo.so", "draw": "libsdlo.so"}


class Why(StrEnum):
    """Why there is no PDF, and it is the document's fault."""

    PASSWORD = "password"
    DAMAGED = "damaged"
    EMPTY = "empty"
    SLOW = "slow"
    MEMORY = "memory"


class Declined(Exception):
    """The document cannot be converted, however often it is tried."""

    def __init__(self, why: Why) -> None:
        super().__init__(why.value)
        self.why = why


class NoOffice(Exception):
    """LibreOffice is not installed, or does not start."""


class _Died(Exception):
    """A LibreOffice ended, or was ended, over a document; `why` is what would be said of the document."""

    def __init__(self, why: Why) -> None:
        super().__init__(why.value)
        self.why = why


def installed() -> frozenset[Kind]:
    """What can be converted with what is installed; empty without LibreOffice or its Python."""
    if not (PYTHON.exists() and UNO.exists() and (LIBREOFFICE / "soffice.bin").exists()):
        return frozenset()
    modules = {module for module, library in _LIBRARIES.items() if (LIBREOFFICE / library).exists()}
    return frozenset(kind for kind, each in FILTERS.items() if each.module in modules)


@dataclass(slots=True)
class _Slot:
    """A place for one LibreOffice."""

    office: _Office | None = None
    failures: int = 0
    not_before: float = 0.0
    """Monotonic time before which no start is tried."""


@dataclass(slots=True)
class OfficePool:
    """Converts documents, as many at the same time as there are places. Create it on the running loop."""

    size: int = 1
    slots: asyncio.Queue[_Slot] = field(default_factory=asyncio.Queue)
    offices: set[_Office] = field(default_factory=set)
    closed: bool = False
    started: int = 0
    """How many were started so far."""

    def __post_init__(self) -> None:
        for _ in range(self.size):
            self.slots.put_nowait(_Slot())

    async def convert(self, source: int, kind: Kind, pages: int, limits: Limits) -> int:
        """Turn a document into PDF.

        Args:
            source: Its descriptor; stays the caller's.
            kind: What it is.
            pages: How many pages are made at most.
            limits: Of the request.

        Returns:
            A descriptor of the PDF, the caller's.

        Raises:
            Declined: If it is the document's fault.
            NoOffice: If LibreOffice does not start.
        """
        slot = await self.slots.get()
        try:
            try:
                return await self._try(slot, source, kind, pages, limits)
            except _Died as exc:
                if exc.why is Why.SLOW:
                    raise Declined(exc.why) from exc
                log.warning("office died", extra={"event": "pages.office_died", "why": exc.why.value})
            try:
                return await self._try(slot, source, kind, pages, limits)
            except _Died as exc:
                raise Declined(exc.why) from exc
        finally:
            self.slots.put_nowait(slot)

    async def close(self) -> None:
        """End them all."""
        self.closed = True
        for office in tuple(self.offices):
            await self._end(office)

    async def _try(self, slot: _Slot, source: int, kind: Kind, pages: int, limits: Limits) -> int:
        office = await self._running(slot, limits)
        try:
            made = await office.convert(source, FILTERS[kind], pages, limits)
        except Declined:
            raise
        except BaseException:  # whatever ended it, this LibreOffice is not to be asked again
            slot.office = None
            await self._end(office)
            raise
        if office.worn():
            slot.office = None
            await self._end(office)
        return made

    async def _running(self, slot: _Slot, limits: Limits) -> _Office:
        if slot.office is not None and not slot.office.ended:
            return slot.office
        if slot.office is not None:
            await self._end(slot.office)
            slot.office = None
        if self.closed or time.monotonic() < slot.not_before:
            raise NoOffice("LibreOffice does not start; waiting before the next attempt")
        office = _Office.start(limits)
        self.offices.add(office)
        try:
            await office.until_ready()
        except BaseException as exc:
            await self._end(office)
            if isinstance(exc, NoOffice):
                slot.failures += 1
                slot.not_before = time.monotonic() + min(2.0 ** (slot.failures - 1), MAX_PAUSE)
            raise
        slot.failures = 0
        slot.office = office
        self.started += 1
        log.info("office started", extra={"event": "pages.office_started", "pid": office.pid})
        return office

    async def _end(self, office: _Office) -> None:
        self.offices.discard(office)
        await office.end()


class _Office:
    """A host and its LibreOffice."""

    def __init__(self, process: subprocess.Popen[bytes], channel: pipe.Pipe, folder: Path) -> None:
        self._process = process
        self._pipe = channel
        self._folder = folder
        self._done = 0
        self.pid = 0

    @classmethod
    def start(cls, limits: Limits) -> _Office:
        """Start one; `until_ready` must follow."""
        ours, theirs = pipe.pair()
        folder = Path(tempfile.mkdtemp(prefix="office-"))
        words = [str(PYTHON), "-P", "-B", "-m", "faxgw.document.office_host", "--fd", str(theirs.fileno())]
        words += ["--folder", str(folder), "--memory", str(limits.office_memory), "--output", str(MAX_OUTPUT)]
        try:
            process = subprocess.Popen(
                words,
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=sandbox.environment(),
                cwd="/",
            )
        except OSError as exc:
            ours.close()
            folder.rmdir()
            raise NoOffice(str(exc)) from exc
        finally:
            theirs.close()
        return cls(process, pipe.Pipe(ours), folder)

    @property
    def ended(self) -> bool:
        """True if it is gone, unasked."""
        return self._process.poll() is not None

    async def until_ready(self) -> None:
        """Wait for it.

        Raises:
            NoOffice: If it does not come up.
        """
        try:
            async with asyncio.timeout(START_SECONDS):
                frame = await self._pipe.receive()
        except (TimeoutError, pipe.PipeClosed) as exc:
            raise NoOffice("LibreOffice does not answer") from exc
        if frame is None:
            raise NoOffice("LibreOffice does not start")
        self.pid = int(json.loads(frame.payload)["pid"])

    async def convert(self, source: int, how: Filter, pages: int, limits: Limits) -> int:
        """One document.

        Raises:
            Declined: If LibreOffice says no.
            _Died: If it ended, or took too long or too much.
        """
        self._done += 1
        asked = {"module": how.module, "filter": how.name, "pages": pages}
        try:
            self._pipe.send(json.dumps(asked).encode(), (source,))
            frame = await self._answer(limits)
        except pipe.PipeClosed as exc:
            raise _Died(Why.DAMAGED) from exc
        if frame is None:
            raise _Died(Why.DAMAGED)
        return _result(frame)

    async def _answer(self, limits: Limits) -> pipe.Frame | None:
        """Wait for an answer, looking at what it costs."""
        deadline = time.monotonic() + limits.office_seconds
        waiting = asyncio.create_task(self._pipe.receive(), name="office-answer")
        try:
            while True:
                done, _pending = await asyncio.wait({waiting}, timeout=LOOK_SECONDS)
                if done:
                    return waiting.result()
                if time.monotonic() > deadline:
                    raise _Died(Why.SLOW)
                if self.memory() > limits.office_memory:
                    raise _Died(Why.MEMORY)
        finally:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)

    def memory(self) -> int:
        """Octets of memory it has; 0 where /proc does not tell: then its address space is the limit."""
        try:
            return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * resource.getpagesize()
        except (OSError, IndexError, ValueError):
            return 0

    def worn(self) -> bool:
        """True if it is to be replaced."""
        return self._done >= MAX_DOCUMENTS or self.memory() > MAX_RESTING

    async def end(self) -> None:
        """End it and clear away what it left; its LibreOffice dies with the host."""
        self._pipe.close()
        self._process.kill()
        await asyncio.to_thread(self._process.wait)
        await asyncio.to_thread(shutil.rmtree, self._folder, True)


def _result(frame: pipe.Frame) -> int:
    """The PDF's descriptor of an answer.

    Raises:
        Declined: If there is none because of the document.
        _Died: If the answer makes no sense.
    """
    try:
        message = json.loads(frame.payload)
        if message["type"] == "made" and len(frame.descriptors) == 1:
            return frame.descriptors[0]
        why = Why(message["why"])
    except (ValueError, KeyError, TypeError) as exc:
        for descriptor in frame.descriptors:
            with contextlib.suppress(OSError):
                os.close(descriptor)
        raise _Died(Why.DAMAGED) from exc
    raise Declined(why)
