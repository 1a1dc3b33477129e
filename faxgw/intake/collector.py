"""Looks into folders, takes what is complete, and has it dealt with: one folder at a time each, several together.

What a file means is its handler's business (`job_files`, `plain_files`, `directory_files`). A handler chooses what is
to be taken, the collector takes it durably, and the handler finishes it, now or at the next start.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from faxgw.fax.access import Interface
from faxgw.fax.errors import Refused
from faxgw.fax.ports import Principal
from faxgw.intake import taking
from faxgw.intake.shelf import MAX_ENTRIES, Entry, Shelf
from faxgw.intake.taking import Take, Taken
from faxgw.intake.threads import Threads
from faxgw.store.errors import StoreError

WAIT_S = 600.0
"""Seconds for which a file waits for what belongs to it, or for its own end, before it is refused."""
SCAN_S = 10.0
"""Seconds between two looks at folders in which something waits."""
AT_ONCE = 8
"""Folders that are worked at together."""
BATCH = 16
"""Files that are taken from a folder, and finished, together."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends what lies in a folder."""

    principal: Principal
    owner: str
    """As `Caller.name`, or a folder's: the name of the drop."""
    interface: Interface


class Turned(Refused):
    """The folder's owner may not send at present; `code` is a word for programs."""

    def __init__(self, code: str, public: str) -> None:
        super().__init__(public=public)
        self.code = code


@dataclass(eq=False)
class Drop:
    """A folder that is looked into."""

    name: str
    """Unique, for logs and results."""
    inbox: Callable[[], Shelf]
    """Opens the folder; blocking, may be called again."""
    out: Callable[[], Shelf]
    """The same of the folder for results."""
    work: Path
    """Where taken files lie; on the same file system."""
    kinds: tuple[Take, ...]
    """What is taken here."""
    sender: Callable[[], Awaitable[Sender]]
    """Raises Turned, StoreError."""
    customer: str
    """Whose it is; with the name of the drop, the owner of its jobs."""
    settled: Callable[[Entry], bool] = lambda entry: True
    """Whether a file is complete; blocking."""
    ignored: Callable[[str], bool] = lambda name: False
    """Names that are none of our business: such files do not count."""
    arriving: Callable[[str], bool] = lambda name: False
    """Whether somebody is laying down a file of a name at this moment."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while files are chosen and taken."""
    first_seen: dict[Entry, float] = field(default_factory=dict)
    """When what waits was first seen, monotonic seconds; another file of the same name begins anew."""
    tidy: bool = False
    """What was being taken when an earlier life ended is put back."""

    def waited(self, entry: Entry, now: float) -> float:
        """Seconds for which a file waits."""
        return now - self.first_seen.setdefault(entry, now)


@dataclass(frozen=True, slots=True)
class Choice:
    """What a handler wants to be taken."""

    cause: str
    parts: tuple[str, ...] = ()


class Handler(Protocol):
    """Knows one kind of file."""

    def choose(self, drop: Drop, inbox: Shelf, entries: Sequence[Entry], now: float) -> tuple[list[Choice], bool]:
        """What is to be taken next, at most BATCH, and whether something waits; blocking.

        Args:
            drop: The folder.
            inbox: Its files.
            entries: Those that are complete, oldest first.
            now: Monotonic seconds.
        """
        ...

    async def ask(self, drop: Drop, now: float) -> bool:
        """Find out what lets something be taken that waits; whether anything new is known, and `choose` is to be asked.

        Args:
            drop: The folder.
            now: Monotonic seconds.

        Raises:
            StoreError: When that is not possible now; it is tried again.
        """
        ...

    async def finish(self, drop: Drop, taken: Taken) -> None:
        """Deal with what was taken, and forget it. May be called again after a crash.

        Raises:
            StoreError: When that is not possible now; it is tried again.
        """
        ...


class Collector:
    """Works at folders.

    Args:
        handlers: By kind.
        ticks: Monotonic seconds.
        threads: For what blocks.
    """

    def __init__(self, handlers: Mapping[Take, Handler], ticks: Callable[[], float], threads: Threads) -> None:
        self._handlers = handlers
        self._ticks = ticks
        self._threads = threads
        self._due: set[Drop] = set()
        self._waiting: set[Drop] = set()
        self._busy: set[Drop] = set()
        self._full: set[Drop] = set()
        """Those in which more lies than is looked at; said once."""
        self._wake = asyncio.Event()

    def look(self, drop: Drop) -> None:
        """Look into a folder soon."""
        self._due.add(drop)
        self._wake.set()

    async def run(self) -> None:
        """Work, for ever."""
        places = asyncio.Semaphore(AT_ONCE)
        scan_at = self._ticks() + SCAN_S
        async with asyncio.TaskGroup() as group:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(SCAN_S):
                        await self._wake.wait()
                if self._ticks() >= scan_at:
                    self._due |= self._waiting
                    scan_at = self._ticks() + SCAN_S
                self._wake.clear()
                ready = self._due - self._busy
                self._due -= ready
                self._busy |= ready
                for drop in ready:
                    group.create_task(self._work(drop, places), name=f"files of {drop.name}")

    async def _work(self, drop: Drop, places: asyncio.Semaphore) -> None:
        waits = True
        try:
            async with places:
                waits = await self.work(drop)
        except (StoreError, OSError) as exc:
            log.warning("files put off", extra={"event": "files.away", "drop": drop.name, "why": str(exc)})
        except Exception:  # owner of the task: one folder must not end the others
            log.exception("files failed", extra={"event": "files.failed", "drop": drop.name})
        finally:
            self._busy.discard(drop)
        (self._waiting.add if waits else self._waiting.discard)(drop)
        if drop in self._due:
            self._wake.set()

    async def work(self, drop: Drop) -> bool:
        """Deal with all that lies there; whether something waits.

        Raises:
            StoreError: If the store is away; what was taken is taken up again later.
            OSError: If a folder fails.
            Exception: What went wrong with one of those that were taken, after all others were dealt with.
        """
        faults: list[Exception] = []
        async with drop.lock:
            left = await self._threads.run(lambda: _left(drop))
        drop.tidy = True
        for first in range(0, len(left), BATCH):
            faults += await self._finish(drop, left[first : first + BATCH])
        while True:
            async with drop.lock:
                found, waits = await self._threads.run(lambda: self._next(drop))
            if found:
                faults += await self._finish(drop, found)
            elif not await self._ask(drop):
                break
        if faults:
            raise faults[0]
        return waits

    async def put_back(self, drop: Drop) -> None:
        """Put back what was being taken when an earlier life ended, before anybody lays down files of these names.

        Raises:
            OSError: If a folder fails.
        """
        if drop.tidy:
            return
        async with drop.lock:
            await self._threads.run(lambda: _left(drop))
        drop.tidy = True

    async def take_now(self, drop: Drop) -> None:
        """Take all that is complete at once, to be finished soon; the caller holds the drop's lock.

        A job whose files are all there has these files, whatever its sender lays down next.

        Raises:
            OSError: If a folder fails.
        """
        while (await self._threads.run(lambda: self._next(drop)))[0]:
            self.look(drop)

    async def _ask(self, drop: Drop) -> bool:
        return any([await self._handlers[kind].ask(drop, self._ticks()) for kind in drop.kinds])

    async def _finish(self, drop: Drop, taken: Sequence[Taken]) -> Sequence[Exception]:
        """Finish all that were taken, together; when one cannot be, the others are, and why is returned.

        Raises:
            StoreError: If the store is away.
        """
        ends = [self._handlers[each.kind].finish(drop, each) for each in taken]
        faults = [each for each in await asyncio.gather(*ends, return_exceptions=True) if each is not None]
        for fault in faults:
            if isinstance(fault, StoreError) or not isinstance(fault, Exception):
                raise fault
        return [fault for fault in faults if isinstance(fault, Exception)]

    def _next(self, drop: Drop) -> tuple[Sequence[Taken], bool]:
        """Take the next files that are complete; blocking."""
        inbox, now, waits = drop.inbox(), self._ticks(), False
        entries = []
        there = inbox.entries(skip=drop.ignored)
        if len(there) >= MAX_ENTRIES and drop not in self._full:
            self._full.add(drop)
            log.warning("folder is full", extra={"event": "files.full", "drop": drop.name, "files": len(there)})
        elif len(there) < MAX_ENTRIES:
            self._full.discard(drop)
        for entry in sorted(there, key=lambda e: (e.modified, e.name)):
            if drop.settled(entry):
                entries.append(entry)
            else:
                waits = True
        for kind in drop.kinds:
            choices, more = self._handlers[kind].choose(drop, inbox, entries, now)
            waits |= more
            taken = []
            for choice in choices:
                with contextlib.suppress(FileNotFoundError):  # removed meanwhile, or another job's
                    taken.append(taking.take(kind, inbox, drop.work, choice.cause, choice.parts))
            if taken:
                return taken, True
            waits |= bool(choices)
        here = set(entries)
        drop.first_seen = {entry: at for entry, at in drop.first_seen.items() if entry in here}
        return (), waits


def _left(drop: Drop) -> Sequence[Taken]:
    inbox = drop.inbox()
    drop.work.mkdir(mode=0o700, exist_ok=True)
    return taking.found(drop.work, inbox)
