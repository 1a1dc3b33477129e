"""The store's asynchronous face: units of work in, committed results out.

Spine section 7. The database engine behind it is chosen by URL; units of work are the same on each. Nothing
here knows tables. After `run` has returned, the unit's rows survive kill -9 and power loss.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar
from weakref import WeakSet

from sqlalchemy import make_url

from faxgw.store.errors import SchemaMismatch, StoreDown, StoreError
from faxgw.store.sqlite import SqliteEngine
from faxgw.store.unit import EVERY_TOPIC, Counters, Settled, Unit, Work, notify, unit_name

__all__ = ["Engine", "Leadership", "Store", "Unit", "notify", "open_store"]

T = TypeVar("T")

log = logging.getLogger(__name__)


class Engine(Protocol):
    """A database that runs units in threads of its own. Both sides of `submit` are the loop's thread."""

    counters: Counters
    """Read by metrics."""

    def start(
        self, deliver: Callable[[Sequence[Settled], Iterable[str]], None], on_fatal: Callable[[StoreError], None]
    ) -> None:
        """Open and check the database; blocking.

        Args:
            deliver: Takes settled units and the topics of the committed ones; called from the engine's threads.
            on_fatal: Called once, from one of the engine's threads, when the database can no longer be trusted.

        Raises:
            StoreError: If it cannot be opened or is not set up durably.
        """

    def submit(self, work: Work) -> None:
        """Hand in a unit that writes. Raises StoreBusy if too many wait."""

    def submit_read(self, work: Work) -> None:
        """Hand in a unit that only reads. Raises StoreBusy if too many wait."""

    def waiting(self) -> int:
        """Return how many write units wait for their transaction."""

    def lead(self, name: str, changed: Callable[[float], None]) -> Callable[[], None]:
        """Stand for a leadership until the returned function is called (it blocks), or the engine closes.

        Args:
            name: Of the leadership; one node at a time has it.
            changed: Told until when, monotonic seconds, this node leads without a further word; 0: not any more.
                Called from any thread.
        """

    def close(self) -> None:
        """Run what was handed in, then close; blocking."""


class Leadership:
    """Whether this node leads: between `Store.lead` and its end, on the loop."""

    def __init__(self, name: str) -> None:
        self.name = name
        """Of the leadership."""
        self._until = 0.0
        self._next = asyncio.Event()

    @property
    def held(self) -> bool:
        """True while this node leads; asks the clock, so that a process that was frozen knows at once."""
        return time.monotonic() < self._until

    async def gained(self) -> None:
        """Return when this node leads."""
        while not self.held:
            await self._next.wait()

    async def lost(self) -> None:
        """Return when this node does not lead, or not any more."""
        while self.held:
            left = None if self._until == math.inf else self._until - time.monotonic()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._next.wait(), left)

    def set_until(self, until: float) -> None:
        """Note until when this node leads, monotonic seconds; for Store only."""
        self._until = until
        done, self._next = self._next, asyncio.Event()
        done.set()


class Store:
    """Runs units of work and wakes listeners after their commit.

    Args:
        engine: The database; this object owns it.
        on_fatal: Called on the loop when the database failed for good: the daemon ends at once and recovers at
            its next start (reliability rule 2).
    """

    def __init__(self, engine: Engine, on_fatal: Callable[[StoreError], None]) -> None:
        self._engine = engine
        self._on_fatal = on_fatal
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = False
        self._listeners: dict[str, WeakSet[asyncio.Event]] = {}

    @property
    def counters(self) -> Counters:
        """What the engine has done since its start."""
        return self._engine.counters

    def waiting(self) -> int:
        """Return how many write units wait for their transaction."""
        return self._engine.waiting()

    async def start(self) -> None:
        """Open and check the database.

        Raises:
            StoreError: If it cannot be opened or is not set up durably.
        """
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._engine.start, self._deliver, self._report_fatal)

    async def run(self, unit: Unit[T]) -> T:
        """Run a unit that writes, and return its result once it is committed.

        Cancelling the caller does not stop the unit: what is committed is committed.

        Raises:
            StoreError: If it is not committed (CommitUncertain: perhaps).
            Exception: What the unit itself raised; it alone is rolled back.
        """
        work = self._work(unit)
        self._engine.submit(work)
        result: T = await work.future
        return result

    async def read(self, unit: Unit[T]) -> T:
        """Run a unit that only reads, on a snapshot of what is committed, and return its result."""
        work = self._work(unit)
        self._engine.submit_read(work)
        result: T = await work.future
        return result

    def listen(self, topic: str) -> asyncio.Event:
        """Return an event of the caller's own that is set after each commit, on any node, that noted `topic`.

        It is also set when commits of other nodes may have been missed. The caller clears it *before* it looks at
        the rows. It is forgotten when the caller drops it.
        """
        event = asyncio.Event()
        self._listeners.setdefault(topic, WeakSet()).add(event)
        return event

    @contextlib.asynccontextmanager
    async def lead(self, name: str) -> AsyncIterator[Leadership]:
        """Stand for a leadership; left, it is given up.

        On SQLite there is one node, and it leads at once. On PostgreSQL another node leads within 10 s of the
        leader's death. A leadership only spares work: what must not happen twice is decided in units.
        """
        loop = self._loop
        if loop is None or self._closing:
            raise StoreDown("the store is not open")
        leadership = Leadership(name)

        def changed(until: float) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody leads any more
                loop.call_soon_threadsafe(leadership.set_until, until)

        resign = self._engine.lead(name, changed)
        try:
            yield leadership
        finally:
            leadership.set_until(0.0)
            await asyncio.shield(asyncio.to_thread(resign))

    async def close(self) -> None:
        """Take no more, finish what was handed in, close the database."""
        if self._closing or self._loop is None:
            return
        self._closing = True
        await asyncio.to_thread(self._engine.close)
        await asyncio.sleep(0)  # what the engine delivered last is settled by now

    def _work(self, unit: Unit[T]) -> Work:
        if self._loop is None or self._closing:
            raise StoreDown("the store is not open")
        return Work(unit, self._loop.create_future(), time.monotonic())

    def _deliver(self, settled: Sequence[Settled], topics: Iterable[str]) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(self._settle, settled, topics)
        except RuntimeError:  # the loop is closed: nobody is left to tell, the rows are as durable as ever
            log.warning("loop closed before the store", extra={"event": "store.late", "units": len(settled)})

    def _settle(self, settled: Sequence[Settled], topics: Iterable[str]) -> None:
        for item in settled:
            _resolve(item)
        for topic in topics:
            groups = self._listeners.values() if topic == EVERY_TOPIC else [self._listeners.get(topic, ())]
            for event in [event for group in list(groups) for event in group]:
                event.set()

    def _report_fatal(self, error: StoreError) -> None:
        assert self._loop is not None
        log.critical("database failed", extra={"event": "store.fatal"}, exc_info=error)
        self._loop.call_soon_threadsafe(self._on_fatal, error)


def _resolve(item: Settled) -> None:
    future: asyncio.Future[Any] = item.work.future  # Any: see Work.unit
    if not future.done():
        if item.error is None:
            future.set_result(item.result)
        else:
            future.set_exception(_passable(item.error))
    elif item.error is not None:
        name = unit_name(item.work.unit)
        log.warning(
            "unit failed after its caller had gone",
            extra={"event": "store.orphan", "unit": name},
            exc_info=item.error,
        )


def _passable(error: BaseException) -> BaseException:
    """Return an error a future can carry: StopIteration, of a bare next() in a unit, would never arrive."""
    if not isinstance(error, StopIteration):
        return error
    wrapped = RuntimeError("a unit raised StopIteration")
    wrapped.__cause__ = error
    return wrapped


def open_store(url: str, on_fatal: Callable[[StoreError], None], on_full: Callable[[], bool] | None = None) -> Store:
    """Return a store, not yet started, for a SQLAlchemy database URL.

    Args:
        url: `sqlite:////absolute/path` or `postgresql://user:password@host/name`.
        on_fatal: See Store.
        on_full: SQLite: called in the writer's thread when the disk is full; returns True if it made room
            (`Ballast.release`). The disk of a PostgreSQL server is not ours.

    Raises:
        SchemaMismatch: If no engine of ours speaks to such a database.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database not in (None, "", ":memory:"):
        return Store(SqliteEngine(Path(str(parsed.database)), on_full or (lambda: False)), on_fatal)
    if parsed.get_backend_name() == "postgresql":
        from faxgw.store.postgres import PostgresEngine  # its driver is loaded only where it is used

        return Store(PostgresEngine(parsed), on_fatal)
    raise SchemaMismatch(f"no store engine for {parsed.render_as_string(hide_password=True)}")
