"""The SQLite engine: one writer thread with group commit, a few reader threads.

Spine section 7, reliability rules 1 and 2. One transaction takes all units that wait: BEGIN IMMEDIATE, a
SAVEPOINT around each, one COMMIT, then their callers hear of it. WAL with synchronous=FULL is the only fast
setting that lost nothing in simulated power cuts; it is read back at start. An I/O error, above all of an
fsync, poisons the engine: no unit runs after it in this process.

Result codes: https://www.sqlite.org/rescode.html. SQLITE_FULL and others may roll back the transaction by
themselves: https://www.sqlite.org/lang_transaction.html, "Response To Errors Within A Transaction".
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sqlalchemy import URL, Connection, QueuePool, create_engine, event, exc
from sqlalchemy import Engine as Database

from faxgw.store.durable import sync_folder
from faxgw.store.errors import CommitUncertain, OutOfSpace, SchemaMismatch, StoreBusy, StoreDown, StoreError, fresh
from faxgw.store.unit import SLOW_UNIT_S, Counters, Settled, Work, noted_topics, unit_name

log = logging.getLogger(__name__)

BATCH_UNITS = 64
"""Most units in one transaction: bounds what a torn batch repeats."""
BATCH_S = 0.05
"""Seconds of unit time after which a transaction takes no further unit: half of SLOW_UNIT_S."""
WAITING_UNITS = 10_000
"""Most write units that may wait; at 1,000 units/s that is 10 s, beyond every budget of the spine."""
READERS = 4
"""Reader threads, each with a connection."""
WAITING_READS = 1_000
"""Most reads that may wait or run."""
BUSY_TIMEOUT_MS = 1_000
"""How long SQLite itself waits for another process's lock."""
BUSY_TRIES = 5
"""BEGINs tried before the waiting units fail as StoreBusy; with BUSY_TIMEOUT_MS 5 s in all."""
WAL_LIMIT_BYTES = 64 * 2**20
"""The write-ahead log is cut back to this after a checkpoint."""
CACHED_STATEMENTS = 512
"""Prepared statements kept per connection."""

_PRAGMAS: dict[str, tuple[str, object]] = {
    "journal_mode": ("WAL", "wal"),
    "synchronous": ("FULL", 2),
    "foreign_keys": ("ON", 1),
    "temp_store": ("MEMORY", 2),
    "secure_delete": ("ON", 1),  # what is purged is overwritten with zeros (docs/archive.md)
    "busy_timeout": (str(BUSY_TIMEOUT_MS), BUSY_TIMEOUT_MS),
    "journal_size_limit": (str(WAL_LIMIT_BYTES), WAL_LIMIT_BYTES),
}
"""What each connection is set to, and what it must answer when asked."""

_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_FATAL = {
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PERM,
}


class _Torn(Exception):
    """Nothing of the transaction is committed, and each of its units may run again."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class SqliteEngine:
    """Runs units on one SQLite file.

    Args:
        path: The database file; made if it does not exist.
        on_full: Called in the writer's thread when the disk is full; returns True if it made room. Never raises.
    """

    def __init__(self, path: Path, on_full: Callable[[], bool]) -> None:
        self.counters = Counters()
        self._path = path
        self._on_full = on_full
        self._queue: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._waiting: deque[Work] = deque()
        self._batch: list[Work] = []
        self._reads = 0
        self._lock = threading.Lock()
        self._poison: StoreError | None = None

    def start(
        self, deliver: Callable[[Sequence[Settled], Iterable[str]], None], on_fatal: Callable[[StoreError], None]
    ) -> None:
        """Open the database, read its settings back, start the threads. See engine.Engine."""
        self._deliver = deliver
        self._on_fatal = on_fatal
        self._write_side = open_database(self._path, size=1)
        self._read_side = open_database(self._path, size=READERS)
        event.listen(self._read_side, "begin", _begin_read)
        try:
            self._writer = self._write_side.connect()
            for conn in [self._read_side.connect() for _ in range(READERS)]:
                conn.close()  # opened now, so that a want of descriptors cannot stop a read later
            self._driver = _driver(self._writer)
            _keep_transaction(self._writer)
            sync_folder(self._path.parent)  # SQLite does not sync the name of its main file
        except (exc.DBAPIError, sqlite3.Error, OSError) as error:
            self._dispose()
            raise StoreDown(f"{self._path}: {error}") from error
        except StoreError:
            self._dispose()
            raise
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="store-read")
        self._thread = threading.Thread(target=self._write, name="store-write", daemon=True)
        self._thread.start()

    def submit(self, work: Work) -> None:
        """Queue a unit that writes. See engine.Engine."""
        if self.waiting() >= WAITING_UNITS:
            raise StoreBusy(f"{WAITING_UNITS} units wait")
        self._queue.put(work)

    def submit_read(self, work: Work) -> None:
        """Queue a unit that reads. See engine.Engine."""
        with self._lock:
            if self._reads >= WAITING_READS:
                raise StoreBusy(f"{WAITING_READS} reads wait")
            self._reads += 1
        self._readers.submit(self._read, work)

    def waiting(self) -> int:
        """Return how many write units wait. See engine.Engine."""
        return self._queue.qsize() + len(self._waiting)

    def lead(self, name: str, changed: Callable[[float], None]) -> Callable[[], None]:
        """Lead at once and for good: there is no other node. See engine.Engine."""
        changed(math.inf)
        return lambda: changed(0.0)

    def close(self) -> None:
        """Run what was handed in, write the log back into the database, close. See engine.Engine."""
        self._queue.put(None)
        self._thread.join()
        self._readers.shutdown(wait=True)
        self._dispose()

    def _dispose(self) -> None:
        self._read_side.dispose()
        self._write_side.dispose()

    # The writer's thread

    def _write(self) -> None:
        """Take units and commit them until told to stop."""
        while self._take():
            try:
                self._commit_waiting()
            except Exception as error:  # noqa: BLE001 - this thread's owner of last resort: our own bug
                self._refuse(self._batch, self._fail(CommitUncertain("the engine failed"), error))
        if self._poison is None:
            try:
                self._driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            except sqlite3.Error as error:
                log.warning("checkpoint at close failed", extra={"event": "store.close"}, exc_info=error)
        Connection.close(self._writer)

    def _take(self) -> bool:
        """Move units from the queue to the waiting ones; block only if none wait. False: told to stop, all done."""
        while len(self._waiting) < BATCH_UNITS:
            try:
                work = self._queue.get(block=not self._waiting)
            except queue.Empty:
                return True
            if work is None:
                if self._waiting:
                    self._queue.put(None)  # for the next round
                return bool(self._waiting)
            self._waiting.append(work)
        return True

    def _commit_waiting(self) -> None:
        """Settle a batch of the waiting units: in one transaction, or else each in its own."""
        self._batch = []
        try:
            self._begin()
        except StoreError as error:  # a lock held by another process: it would keep each of them as long
            self._batch.extend(self._waiting)
            self._waiting.clear()
            self._refuse(self._batch, error)
            return
        try:
            self._transact(self._next_units(time.monotonic() + BATCH_S))
        except StoreError as error:
            self._refuse(self._batch, error)
        except _Torn as torn:
            self._make_room(torn.error)
            self.counters.torn += 1
            for work in self._batch:
                self._commit_alone(work)

    def _next_units(self, until: float) -> Iterator[Work]:
        """Yield waiting units for one transaction: at least one, none after `until` (monotonic seconds)."""
        while self._waiting:
            self._batch.append(self._waiting.popleft())
            yield self._batch[-1]
            if time.monotonic() >= until:
                return

    def _commit_alone(self, work: Work) -> None:
        """Settle a unit of a torn batch in a transaction of its own."""
        try:
            self._begin()
            self._transact([work])
        except _Torn as torn:
            self._refuse([work], torn.error)
        except StoreError as error:
            self._refuse([work], error)

    def _transact(self, units: Iterable[Work]) -> None:
        """Run units in the open transaction, commit, and tell their callers.

        Raises:
            _Torn: If nothing is committed and the units may run again; the transaction is closed.
            StoreError: If the engine is poisoned.
        """
        try:
            settled = [self._run(work) for work in units]
            topics = frozenset(noted_topics(self._writer))
            self._commit(len(settled))
        except (StoreError, exc.DBAPIError) as error:
            if self._poison is not None:
                raise
            self._roll_back()
            raise _Torn(error) from error
        self._settle(settled, topics)

    def _begin(self) -> None:
        """Open a transaction with the write lock held.

        Raises:
            StoreError: If another process held the lock too long, or the engine is poisoned.
        """
        if self._poison is not None:
            raise self._poison
        noted_topics(self._writer).clear()
        for tries in range(1, BUSY_TRIES + 1):
            try:
                self._driver.execute("BEGIN IMMEDIATE")
            except sqlite3.Error as error:
                failure = self._classify(error) or self._fail(StoreDown("BEGIN failed"), error)
                if not isinstance(failure, StoreBusy) or tries == BUSY_TRIES:
                    raise failure from error
                self.counters.busy += 1
            else:
                return

    def _run(self, work: Work) -> Settled:
        """Run one unit inside its SAVEPOINT.

        Raises:
            StoreError: If the whole transaction is lost with it.
        """
        topics = noted_topics(self._writer)
        noted = len(topics)
        started = time.monotonic()
        self._driver.execute("SAVEPOINT unit")
        try:
            result = work.unit(self._writer)
            if self._writer.in_nested_transaction():
                raise RuntimeError("the unit left a nested transaction open")
            self._driver.execute("RELEASE unit")
            return Settled(work, result)
        except Exception as error:  # noqa: BLE001 - the unit's caller gets it
            del topics[noted:]
            self._undo(error)
            return Settled(work, error=error)
        finally:
            self._measure(work, time.monotonic() - started)

    def _undo(self, error: Exception) -> None:
        """Roll one unit back to its SAVEPOINT.

        Raises:
            StoreError: If the whole transaction is lost.
        """
        failure = self._classify(error)
        if failure is not None:
            raise failure from error
        if not self._driver.in_transaction:
            raise StoreBusy("the transaction was rolled back under the unit") from error
        self._close_nested()
        self._driver.execute("ROLLBACK TO unit")
        self._driver.execute("RELEASE unit")

    def _commit(self, units: int) -> None:
        """Make the transaction durable.

        Raises:
            StoreError: If it is not, or perhaps not (CommitUncertain, poisoned).
            DBAPIError: If it was refused: a deferred constraint.
        """
        started = time.monotonic()
        try:
            self._driver.execute("COMMIT")
        except sqlite3.Error as error:
            failure = self._classify(error)
            if isinstance(failure, StoreDown):
                raise CommitUncertain(str(failure)) from error
            if failure is not None:
                raise failure from error
            raise exc.IntegrityError("COMMIT", None, error) from error
        self.counters.commit.observe(time.monotonic() - started)
        self.counters.batch.observe(units)
        self.counters.commits += 1

    def _close_nested(self) -> None:
        while (nested := self._writer.get_nested_transaction()) is not None:
            with contextlib.suppress(exc.DBAPIError):  # it is gone with the transaction
                nested.rollback()

    def _roll_back(self) -> None:
        self._close_nested()
        try:
            if self._driver.in_transaction:
                self._driver.execute("ROLLBACK")
        except sqlite3.Error as error:
            self._fail(StoreDown("ROLLBACK failed"), error)

    def _make_room(self, error: Exception) -> None:
        if isinstance(error, OutOfSpace):
            made = self._on_full()
            log.error("database is out of space", extra={"event": "store.full", "made_room": made})

    def _refuse(self, batch: Iterable[Work], error: Exception) -> None:
        """Tell callers that nothing of theirs is committed (CommitUncertain: perhaps)."""
        settled = [Settled(work, error=fresh(error)) for work in batch]
        self.counters.out_of_space += isinstance(error, OutOfSpace) * len(settled)
        self._settle(settled, ())

    def _settle(self, settled: Sequence[Settled], topics: Iterable[str]) -> None:
        now = time.monotonic()
        good = sum(item.error is None for item in settled)
        self.counters.units += good
        self.counters.failed += len(settled) - good
        for item in settled:
            self.counters.latency.observe(now - item.work.submitted)
        self._deliver(settled, topics)

    def _measure(self, work: Work, seconds: float) -> None:
        self.counters.duration.observe(seconds)
        if seconds > SLOW_UNIT_S:
            self.counters.slow += 1
            name = unit_name(work.unit)
            log.warning("unit slow", extra={"event": "store.slow", "unit": name, "ms": round(seconds * 1000)})

    # The readers' threads

    def _read(self, work: Work) -> None:
        try:
            if self._poison is not None:
                raise fresh(self._poison)
            with self._read_side.connect() as conn:
                settled = Settled(work, work.unit(conn))
        except Exception as error:  # noqa: BLE001 - the unit's caller gets it
            settled = Settled(work, error=self._classify(error) or error)
        with self._lock:
            self._reads -= 1
            self.counters.reads += 1
        self._deliver([settled], ())

    # Any thread

    def _classify(self, error: BaseException) -> StoreError | None:
        """Return what an error means for the whole transaction, None if it concerns its unit only."""
        for cause in _sqlite_errors(error):
            code = getattr(cause, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
            name = getattr(cause, "sqlite_errorname", "no result code")
            if code & 0xFF == sqlite3.SQLITE_FULL or code == sqlite3.SQLITE_IOERR_SHMSIZE:
                return OutOfSpace(f"{cause} ({name})")
            if code & 0xFF in _BUSY:
                return StoreBusy(f"{cause} ({name})")
            if code & 0xFF in _FATAL:
                return self._fail(StoreDown(f"{cause} ({name})"), error)
        return None

    def _fail(self, failure: StoreError, error: BaseException) -> StoreError:
        """Poison the engine: the first failure is reported, and nothing runs after it."""
        with self._lock:
            first = self._poison is None
            self._poison = self._poison or StoreDown(str(failure))
        if first:
            failure.__cause__ = error
            self._on_fatal(failure)
        return failure


def open_database(path: Path, size: int) -> Database:
    """Return a pool of connections to a SQLite file on which the driver begins no transaction by itself.

    Each connection is set up durably and asked back, else SchemaMismatch is raised at `connect()`.

    Args:
        path: The database file; made, with mode 0600, at the first `connect()`.
        size: Most connections open at a time.
    """
    database = create_engine(
        URL.create("sqlite", database=str(path)),
        poolclass=QueuePool,
        pool_size=size,
        max_overflow=0,
        connect_args={"check_same_thread": False, "cached_statements": CACHED_STATEMENTS},
    )

    @event.listens_for(database, "connect")
    def set_up(driver: sqlite3.Connection, _record: object) -> None:
        driver.isolation_level = None
        for pragma, (value, expected) in _PRAGMAS.items():
            driver.execute(f"PRAGMA {pragma}={value}")
            (answer,) = driver.execute(f"PRAGMA {pragma}").fetchone()
            if answer != expected:
                raise SchemaMismatch(f"{path}: {pragma} is {answer!r}, must be {expected!r}")

    @event.listens_for(database, "do_connect")
    def create_privately(*_: object) -> None:
        # A file that is there already is not opened: closing any descriptor of it would drop every lock that this
        # process holds on it, and the next reader from outside would remove the log under us
        # (https://www.sqlite.org/howtocorrupt.html section 2.2).
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))

    return database


def _begin_read(conn: Connection) -> None:
    conn.exec_driver_sql("PRAGMA query_only=ON")
    conn.exec_driver_sql("BEGIN")


def _keep_transaction(conn: Connection) -> None:
    """Let SQLAlchemy believe in one endless transaction: the driver's are the engine's, no unit may end them."""

    def forbidden(*_: object) -> None:
        raise RuntimeError("a unit neither commits nor rolls back: it raises, or uses begin_nested()")

    conn.begin()
    for method in ("commit", "rollback", "close", "invalidate", "detach"):
        setattr(conn, method, forbidden)


def _driver(conn: Connection) -> sqlite3.Connection:
    driver = conn.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver


def _sqlite_errors(error: BaseException) -> Iterator[sqlite3.Error]:
    """Yield the driver's errors behind an exception: a rollback that failed after it hides the first one."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, sqlite3.Error):
            yield cause
        cause = cause.__cause__ or cause.__context__
