"""The PostgreSQL engine: two writer threads with group commit behind one write lock, a few reader threads.

Spine section 7, docs/decisions on this engine. The units are those of SQLite, and their laws hold for the same
reason: of all nodes, one transaction writes at a time. It begins with an advisory lock that only its end releases,
so each of its statements sees all that was committed before (READ COMMITTED takes a new snapshot per statement).

Every transaction leaves its serial in `commits`, one row per writer. A COMMIT without an answer is asked for there,
under the same lock and hence when the lost transaction has ended: it is done, or the units run again.

A database that is away is waited for (`PATIENCE_S`); then units fail as StoreDown until it is back.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import queue
import random
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import psycopg
from psycopg import sql
from sqlalchemy import URL, exc

from faxgw.store.errors import CommitUncertain, OutOfSpace, SchemaMismatch, StoreBusy, StoreDown, StoreError, fresh
from faxgw.store.leader import Candidate
from faxgw.store.locks import LOCKS, WRITE_LOCK
from faxgw.store.session import Session, Trouble, open_database, store_error
from faxgw.store.unit import EVERY_TOPIC, SLOW_UNIT_S, Counters, Settled, Work, noted_topics, unit_name

log = logging.getLogger(__name__)

WRITERS = 2
"""Writer threads: while one waits for its COMMIT, the other one's units wait for the write lock already."""
READERS = 4
"""Reader threads."""
BATCH_UNITS = 32
"""Most units in one transaction; below the 64 subtransactions a server keeps in memory per session."""
BATCH_S = 0.05
"""Seconds of unit time after which a transaction takes no further unit: half of SLOW_UNIT_S."""
WAITING_UNITS = 10_000
"""Most write units that may wait."""
WAITING_READS = 1_000
"""Most reads that may wait or run."""
TRIES = 6
"""Times a unit is run in a transaction of its own, after conflicts or lost connections."""
PATIENCE_S = 10.0
"""Seconds a unit waits for a database that is away, from its hand-in."""
PAUSES_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.5)
"""Seconds between tries to connect; the last repeats."""
PING_S = 3.0
"""Seconds between questions to a silent listening session."""
WATCH_S = 0.5
"""Seconds between looks for sessions whose server does not answer."""
CHANNEL = "faxgw"
"""Name of the NOTIFY channel; it belongs to one database."""
KEEP_COMMITS_S = 86_400.0
"""Seconds after which a writer that is gone is forgotten."""

_BEGIN = (
    "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; "
    f"SELECT pg_advisory_xact_lock({LOCKS}, {WRITE_LOCK}); SAVEPOINT unit"
)
_BEGIN_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_MARK = (
    "INSERT INTO commits (writer, serial, at) "
    "VALUES ('{writer}', {serial}, extract(epoch FROM clock_timestamp())) "
    "ON CONFLICT (writer) DO UPDATE SET serial = excluded.serial, at = excluded.at; "
)
_NOTIFY = "SELECT pg_notify('{channel}', {payload}); "


class _Torn(Exception):
    """Nothing of the transaction is committed, and each of its units may run again."""

    def __init__(self, trouble: Trouble, error: Exception) -> None:
        super().__init__(str(error))
        self.trouble = trouble
        self.error = error


class _Unanswered(Exception):
    """COMMIT was sent, and no answer came."""


class _Line:
    """One thread's session, opened when it is needed."""

    def __init__(self) -> None:
        self.session: Session | None = None
        self.batch: list[Work] = []
        """A writer's units that are not settled yet."""
        self.name = secrets.token_hex(16)
        """A writer's key in `commits`."""
        self.serial = 0
        """Of the writer's last transaction."""

    def drop(self) -> None:
        """Close the session; the next use opens another."""
        session, self.session = self.session, None
        if session is not None:
            session.close()


class PostgresEngine:
    """Runs units on one PostgreSQL database.

    Args:
        url: `postgresql://…`; must be migrated before the start.
    """

    def __init__(self, url: URL) -> None:
        self.counters = Counters()
        self._database = open_database(url)
        self._token = secrets.token_hex(8)
        self._queue: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._read_queue: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._lines: list[_Line] = []
        self._ear = _Line()
        self._threads: list[threading.Thread] = []
        self._watcher = threading.Thread(target=self._watch, name="store-watch", daemon=True)
        self._candidates: list[Candidate] = []
        self._reads = 0
        self._lock = threading.Lock()
        self._poison: StoreError | None = None
        self._away_since: float | None = None
        self._closing = threading.Event()
        self._stopped = threading.Event()

    def start(
        self, deliver: Callable[[Sequence[Settled], Iterable[str]], None], on_fatal: Callable[[StoreError], None]
    ) -> None:
        """Check the server and the tables, start the threads. See engine.Engine."""
        self._deliver = deliver
        self._on_fatal = on_fatal
        heard = Session(self._database)
        try:
            heard.execute(f"DELETE FROM commits WHERE at < extract(epoch FROM clock_timestamp()) - {KEEP_COMMITS_S}")
            heard.execute(f"LISTEN {CHANNEL}")
        except psycopg.Error as error:
            heard.close()
            if isinstance(error, psycopg.errors.UndefinedTable):
                raise SchemaMismatch("the database has no tables of this release") from error
            raise StoreDown(str(error)) from error
        self._ear.session = heard
        self._spawn(self._listen, self._ear, "store-listen")
        for number in range(WRITERS):
            self._spawn(self._write, _Line(), f"store-write-{number}")
        for number in range(READERS):
            self._spawn(self._read_on, _Line(), f"store-read-{number}")
        self._watcher.start()

    def submit(self, work: Work) -> None:
        """Queue a unit that writes. See engine.Engine."""
        self._require_database()
        if self.waiting() >= WAITING_UNITS:
            raise StoreBusy(f"{WAITING_UNITS} units wait")
        self._queue.put(work)

    def submit_read(self, work: Work) -> None:
        """Queue a unit that reads. See engine.Engine."""
        self._require_database()
        with self._lock:
            if self._reads >= WAITING_READS:
                raise StoreBusy(f"{WAITING_READS} reads wait")
            self._reads += 1
        self._read_queue.put(work)

    def waiting(self) -> int:
        """Return how many write units wait. See engine.Engine."""
        return self._queue.qsize()

    def lead(self, name: str, changed: Callable[[float], None]) -> Callable[[], None]:
        """Stand for a leadership. See engine.Engine."""
        candidate = Candidate(self._database, name, changed)
        self._candidates.append(candidate)
        candidate.start()
        return candidate.stop

    def close(self) -> None:
        """Run what was handed in, then close. See engine.Engine."""
        for candidate in self._candidates:
            candidate.stop()
        self._closing.set()
        for _ in range(WRITERS):
            self._queue.put(None)
        for _ in range(READERS):
            self._read_queue.put(None)
        if (heard := self._ear.session) is not None:
            heard.cut()
        for thread in self._threads:
            thread.join()
        self._stopped.set()
        self._watcher.join()
        self._database.dispose()

    def _spawn(self, work: Callable[[_Line], None], line: _Line, name: str) -> None:
        self._lines.append(line)

        def run() -> None:
            try:
                work(line)
            finally:
                line.drop()

        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    # The writers' threads

    def _write(self, line: _Line) -> None:
        """Take units and commit them until told to stop."""
        while (work := self._queue.get()) is not None:
            line.batch = []
            try:
                self._commit_from(line, work)
            except Exception as error:  # noqa: BLE001 - this thread's owner of last resort: our own bug
                self._refuse(line.batch, self._fail(CommitUncertain("the engine failed"), error))
                line.drop()

    def _commit_from(self, line: _Line, first: Work) -> None:
        """Settle a unit and those that wait behind it: in one transaction, or else each in its own."""
        until = time.monotonic() + BATCH_S
        try:
            self._transact(line, self._next_units(line, first, until), first.submitted + PATIENCE_S)
        except StoreError as error:
            self._refuse(line.batch or [first], error)
        except _Torn as torn:
            with self._lock:
                self.counters.torn += 1
            self._note_torn(torn)
            for work in line.batch or [first]:
                self._commit_alone(line, work)

    def _next_units(self, line: _Line, first: Work, until: float) -> Iterator[Work]:
        """Yield units for one transaction: at least one, none after `until` (monotonic seconds)."""
        work: Work | None = first
        while work is not None:
            line.batch.append(work)
            yield work
            if len(line.batch) >= BATCH_UNITS or time.monotonic() >= until:
                return
            try:
                work = self._queue.get_nowait()
            except queue.Empty:
                return
        self._queue.put(None)  # told to stop: for the next round

    def _commit_alone(self, line: _Line, work: Work) -> None:
        """Settle a unit in a transaction of its own."""
        deadline = max(work.submitted, time.monotonic()) + PATIENCE_S
        for tries in itertools.count(1):
            try:
                self._transact(line, [work], deadline)
            except StoreError as error:
                self._refuse([work], error)
            except _Torn as torn:
                self._note_torn(torn)
                temporary = isinstance(torn.error, StoreError)  # else the unit's own: a deferred constraint
                if temporary and tries < TRIES and time.monotonic() < deadline:
                    continue
                self._refuse([work], torn.error)
            return

    def _note_torn(self, torn: _Torn) -> None:
        """Count a transaction that is run again; let a rival go first."""
        with self._lock:
            self.counters.busy += torn.trouble in (Trouble.CONFLICT, Trouble.BUSY)
        log.info("transaction run again", extra={"event": "store.torn", "why": str(torn.error)})
        if torn.trouble is Trouble.CONFLICT:
            self._closing.wait(random.uniform(0, 0.02))

    def _transact(self, line: _Line, units: Iterable[Work], deadline: float) -> None:
        """Run units in a transaction, commit, and tell their callers.

        Raises:
            _Torn: If nothing is committed and the units may run again; the transaction is closed.
            StoreError: If there was no database until the deadline, or it can no longer be trusted.
        """
        session = self._connected(line, deadline)
        noted_topics(session.conn).clear()
        try:
            with session.watched():
                self._begin(session)
                settled = [self._run(session, work, position) for position, work in enumerate(units)]
                topics = frozenset(noted_topics(session.conn))
                self._commit(session, line, topics, len(settled))
        except _Unanswered as error:
            line.drop()
            self._ask(line, deadline, error)
        except _Torn as torn:
            self._roll_back(line)
            if torn.trouble is Trouble.DAMAGED:
                raise self._fail(StoreDown(str(torn.error)), torn.error) from torn.error
            raise
        self._settle(settled, topics)

    def _begin(self, session: Session) -> None:
        """Open a transaction with the write lock held, and the first unit's SAVEPOINT.

        Raises:
            _Torn: If another node held the lock too long, or the connection is lost.
        """
        try:
            session.execute(_BEGIN)
        except psycopg.Error as error:
            trouble = session.trouble(error) or Trouble.BUSY
            raise _Torn(trouble, store_error(trouble, error)) from error

    def _run(self, session: Session, work: Work, position: int) -> Settled:
        """Run one unit inside its SAVEPOINT.

        Raises:
            _Torn: If the whole transaction is lost with it.
        """
        topics = noted_topics(session.conn)
        noted = len(topics)
        started = time.monotonic()
        try:
            if position:
                session.execute("RELEASE unit; SAVEPOINT unit")
            result = work.unit(session.conn)
            if session.conn.in_nested_transaction():
                raise RuntimeError("the unit left a nested transaction open")
            if not session.in_transaction:
                raise RuntimeError("the unit swallowed an error of the database")
            return Settled(work, result)
        except Exception as error:  # noqa: BLE001 - the unit's caller gets it
            del topics[noted:]
            return Settled(work, error=self._undo(session, error))
        finally:
            self._measure(work, time.monotonic() - started)

    def _undo(self, session: Session, error: Exception) -> Exception:
        """Roll one unit back to its SAVEPOINT; return what its caller is told.

        Raises:
            _Torn: If the whole transaction is lost.
        """
        trouble = session.trouble(error)
        if trouble not in (None, Trouble.BUSY, Trouble.FULL):
            assert trouble is not None
            raise _Torn(trouble, store_error(trouble, error)) from error
        _close_nested(session)
        try:
            session.execute("ROLLBACK TO unit")
        except psycopg.Error as failure:
            raise _Torn(Trouble.LOST, store_error(Trouble.LOST, failure)) from error
        return store_error(trouble, error) if trouble else error

    def _commit(self, session: Session, line: _Line, topics: Iterable[str], units: int) -> None:
        """Mark the transaction, wake other nodes, make it durable.

        Raises:
            _Unanswered: If nobody knows whether it is.
            _Torn: If it was refused: a deferred constraint.
        """
        line.serial += 1
        statements = _MARK.format(writer=line.name, serial=line.serial)
        for topic in topics:
            payload = sql.Literal(f"{self._token}:{topic}").as_string()
            statements += _NOTIFY.format(channel=CHANNEL, payload=payload)
        started = time.monotonic()
        try:
            session.execute(statements + "COMMIT")
        except psycopg.Error as error:
            trouble = session.trouble(error)
            if trouble is Trouble.LOST:
                raise _Unanswered(str(error)) from error
            if trouble is not None:
                raise _Torn(trouble, store_error(trouble, error)) from error
            refused = exc.IntegrityError("COMMIT", None, error)
            raise _Torn(Trouble.CONFLICT, refused) from error
        with self._lock:
            self.counters.commit.observe(time.monotonic() - started)
            self.counters.batch.observe(units)
            self.counters.commits += 1

    def _ask(self, line: _Line, deadline: float, error: _Unanswered) -> None:
        """Find out what became of a COMMIT without an answer; return if it is durable.

        The write lock is free only when the lost transaction has ended one way or the other.

        Raises:
            _Torn: If it is not: the units run again.
            CommitUncertain: If the database did not come back until the deadline.
        """
        log.warning("COMMIT without an answer", extra={"event": "store.unsure", "why": str(error)})
        deadline = max(deadline, time.monotonic() + PATIENCE_S)
        while time.monotonic() < deadline:
            try:
                session = self._connected(line, deadline)
                with session.watched():
                    session.execute(_BEGIN)
                    row = session.ask("SELECT serial FROM commits WHERE writer = %s", line.name)
                    session.execute("ROLLBACK")
            except psycopg.Error as failure:
                log.warning("no answer yet", extra={"event": "store.unsure", "why": str(failure)})
                line.drop()
            except StoreError:
                break
            else:
                if row is not None and row[0] == line.serial:
                    with self._lock:
                        self.counters.commits += 1
                    return
                raise _Torn(Trouble.LOST, StoreDown("the connection was lost before COMMIT"))
        raise CommitUncertain("COMMIT was sent and the database is gone") from error

    def _roll_back(self, line: _Line) -> None:
        session = line.session
        if session is None:
            return
        try:
            if session.alive:
                _close_nested(session)
                if not session.idle:
                    session.execute("ROLLBACK")
        except psycopg.Error as error:
            log.info("connection lost", extra={"event": "store.lost", "why": str(error)})
        if not session.alive or not session.idle:
            line.drop()

    def _refuse(self, batch: Iterable[Work], error: Exception) -> None:
        """Tell callers that nothing of theirs is committed (CommitUncertain: perhaps)."""
        self._settle([Settled(work, error=fresh(error)) for work in batch], ())

    def _settle(self, settled: Sequence[Settled], topics: Iterable[str]) -> None:
        now = time.monotonic()
        good = sum(item.error is None for item in settled)
        with self._lock:
            self.counters.units += good
            self.counters.failed += len(settled) - good
            self.counters.out_of_space += sum(isinstance(item.error, OutOfSpace) for item in settled)
            for item in settled:
                self.counters.latency.observe(now - item.work.submitted)
        self._deliver(settled, topics)

    def _measure(self, work: Work, seconds: float) -> None:
        with self._lock:
            self.counters.duration.observe(seconds)
            self.counters.slow += seconds > SLOW_UNIT_S
        if seconds > SLOW_UNIT_S:
            name = unit_name(work.unit)
            log.warning("unit slow", extra={"event": "store.slow", "unit": name, "ms": round(seconds * 1000)})

    # The readers' threads

    def _read_on(self, line: _Line) -> None:
        """Take reads and do them until told to stop."""
        while (work := self._read_queue.get()) is not None:
            settled = self._read(line, work)
            with self._lock:
                self._reads -= 1
                self.counters.reads += 1
            self._deliver([settled], ())

    def _read(self, line: _Line, work: Work) -> Settled:
        """Run one unit on a snapshot."""
        deadline = work.submitted + PATIENCE_S
        for tries in itertools.count(1):
            try:
                session = self._connected(line, deadline)
                with session.watched():
                    session.execute(_BEGIN_READ)
                    result = work.unit(session.conn)
                    session.execute("COMMIT")
                return Settled(work, result)
            except Exception as error:  # noqa: BLE001 - the unit's caller gets it
                trouble = line.session.trouble(error) if line.session is not None else None
                self._roll_back(line)
                if trouble in (Trouble.LOST, Trouble.CONFLICT) and tries < TRIES and time.monotonic() < deadline:
                    continue
                if trouble is Trouble.DAMAGED:
                    return Settled(work, error=self._fail(StoreDown(str(error)), error))
                return Settled(work, error=store_error(trouble, error) if trouble else error)
        raise AssertionError("unreachable")

    # The listener's thread

    def _listen(self, line: _Line) -> None:
        """Wake listeners for what other nodes commit; notice when a database that was away is back."""
        while not self._closing.is_set():
            try:
                if line.session is None:
                    self._connected(line, time.monotonic() + PATIENCE_S).execute(f"LISTEN {CHANNEL}")
                    self._deliver((), [EVERY_TOPIC])  # what was noted meanwhile, nobody heard
                self._hear(line)
            except psycopg.Error as error:
                if not self._closing.is_set():
                    log.warning("listening session lost", extra={"event": "store.lost", "why": str(error)})
                line.drop()
            except StoreError as error:
                log.warning("database still away", extra={"event": "store.away", "why": str(error)})

    def _hear(self, line: _Line) -> None:
        """Take notifications until the engine closes or the session is lost (psycopg.Error)."""
        session = line.session
        while session is not None and not self._closing.is_set():
            topics = []
            for payload in session.notifications(PING_S):
                token, _, topic = payload.partition(":")
                if token != self._token:
                    topics.append(topic)
            if topics:
                self._deliver((), topics)
            with session.watched():
                session.ask("SELECT 1")

    # The watcher's thread

    def _watch(self) -> None:
        """Cut sessions whose server has not answered for too long."""
        while not self._stopped.wait(WATCH_S):
            now = time.monotonic()
            sessions = [line.session for line in self._lines] + [c.session for c in self._candidates]
            for session in sessions:
                if session is not None and session.stalled(now):
                    log.error("the database does not answer", extra={"event": "store.stalled"})
                    session.busy_since = None
                    session.cut()

    # Any thread

    def _connected(self, line: _Line, deadline: float) -> Session:
        """Return a thread's session, opened anew if need be.

        Args:
            line: The thread's.
            deadline: Monotonic seconds until which a database that is away is waited for.

        Raises:
            StoreDown: If it is not there until then.
        """
        if line.session is not None and not line.session.alive:
            line.drop()
        for pause in itertools.chain(PAUSES_S, itertools.repeat(PAUSES_S[-1])):
            if self._poison is not None:
                raise fresh(self._poison)
            if line.session is not None:
                return line.session
            try:
                line.session = Session(self._database)
                self._note_reached(None)
            except StoreError as error:
                self._note_reached(error)
                if time.monotonic() + pause >= deadline or self._closing.is_set():
                    raise StoreDown(str(error)) from error
                self._closing.wait(pause)
        raise AssertionError("unreachable")

    def _note_reached(self, error: StoreError | None) -> None:
        """Note whether the database could be reached."""
        with self._lock:
            since = self._away_since
            self._away_since = None if error is None else since or time.monotonic()
        if error is not None and since is None:
            log.error("database away", extra={"event": "store.away", "why": str(error)})
        elif error is None and since is not None:
            seconds = round(time.monotonic() - since, 1)
            log.warning("database back", extra={"event": "store.back", "seconds": seconds})

    def _require_database(self) -> None:
        """Refuse at once what would only wait: the database is poisoned, or has long been away."""
        poison, since = self._poison, self._away_since
        if poison is not None:
            raise fresh(poison)
        if since is not None and time.monotonic() - since > PATIENCE_S:
            raise StoreDown(f"the database has been away for {time.monotonic() - since:.0f} s")

    def _fail(self, failure: StoreError, error: BaseException) -> StoreError:
        """Poison the engine: the first failure is reported, and nothing runs after it."""
        with self._lock:
            first = self._poison is None
            self._poison = self._poison or StoreDown(str(failure))
        if first:
            failure.__cause__ = error
            self._on_fatal(failure)
        return failure


def _close_nested(session: Session) -> None:
    while (nested := session.conn.get_nested_transaction()) is not None:
        with contextlib.suppress(exc.DBAPIError):  # it is gone with the transaction
            nested.rollback()
