"""docs/spine.md section 7: units of work, group commit, and what happens when SQLite cannot."""

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Column, Connection, ForeignKey, Integer, LargeBinary, MetaData, Table, exc, func, insert, select

import faxgw.store.sqlite as sqlite_engine
from faxgw.store.engine import Store, notify, open_store
from faxgw.store.errors import OutOfSpace, SchemaMismatch, StoreBusy, StoreDown, StoreError

metadata = MetaData()
things = Table("things", metadata, Column("id", Integer, primary_key=True), Column("data", LargeBinary))
parts = Table(
    "parts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("thing", ForeignKey("things.id", deferrable=True, initially="DEFERRED")),
)

StartStore = Callable[..., Awaitable[Store]]


def add(conn: Connection, number: int, octets: int = 0) -> int:
    conn.execute(insert(things).values(id=number, data=bytes(octets)))
    return number


def adding(number: int, octets: int = 0) -> Callable[[Connection], int]:
    return partial(add, number=number, octets=octets)


def ids(conn: Connection) -> list[int]:
    return list(conn.scalars(select(things.c.id).order_by(things.c.id)))


def pragma(conn: Connection, name: str) -> object:
    return conn.exec_driver_sql(f"PRAGMA {name}").scalar()


class Gate:
    """A unit that holds the writer's thread until opened, so that others gather behind it."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()

    def __call__(self, conn: Connection) -> None:
        self.entered.set()
        assert self.opened.wait(10)


@pytest.fixture(autouse=True)
async def tables(store: Store) -> None:
    await store.run(metadata.create_all)


async def gathered(store: Store, *units: Callable[[Connection], object]) -> list[object]:
    """Run units that all wait behind a closed gate, hence in one batch; return results and exceptions."""
    gate = Gate()
    first = asyncio.ensure_future(store.run(gate))
    await asyncio.to_thread(gate.entered.wait, 10)
    rest = [asyncio.ensure_future(store.run(unit)) for unit in units]
    await asyncio.sleep(0)
    gate.opened.set()
    await first
    return await asyncio.gather(*rest, return_exceptions=True)


async def test_a_unit_returns_its_result_and_its_rows_can_be_read(store: Store) -> None:
    assert await store.run(adding(7)) == 7
    assert await store.read(ids) == [7]


async def test_units_that_wait_share_a_commit(store: Store) -> None:
    before = store.counters.commits
    results = await gathered(store, *(adding(number) for number in range(50)))
    assert results == list(range(50))
    assert store.counters.commits - before <= 2
    assert store.counters.units >= 51
    assert sum(store.counters.batch.buckets) == store.counters.commits


async def test_a_batch_ends_when_its_units_have_taken_long(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_engine, "BATCH_S", 0.0)
    before = store.counters.commits
    await gathered(store, *(adding(number) for number in range(10)))
    assert store.counters.commits - before == 11


async def test_a_failing_unit_rolls_back_itself_alone(store: Store) -> None:
    def fail(conn: Connection) -> None:
        add(conn, 2)
        raise ValueError("no")

    results = await gathered(store, adding(1), fail, adding(3))
    assert results[0] == 1 and results[2] == 3
    assert isinstance(results[1], ValueError)
    assert await store.read(ids) == [1, 3]
    assert store.counters.failed == 1


async def test_a_broken_unique_index_is_the_units_own_error(store: Store) -> None:
    results = await gathered(store, adding(1), adding(1), adding(2))
    assert isinstance(results[1], exc.IntegrityError)
    assert await store.read(ids) == [1, 2]


async def test_a_deferred_constraint_hits_only_the_unit_that_broke_it(store: Store) -> None:
    """Only COMMIT finds it, for the whole batch: each unit then gets a transaction of its own."""

    def orphan(conn: Connection) -> None:
        conn.execute(insert(parts).values(id=1, thing=99))

    results = await gathered(store, adding(1), orphan, adding(2))
    assert isinstance(results[1], exc.IntegrityError)
    assert await store.read(ids) == [1, 2]
    assert store.counters.torn == 1


async def test_a_nested_transaction_may_fail_inside_a_unit(store: Store) -> None:
    def unit(conn: Connection) -> None:
        add(conn, 1)
        with pytest.raises(exc.IntegrityError), conn.begin_nested():
            add(conn, 2)
            add(conn, 1)
        add(conn, 3)

    await store.run(unit)
    assert await store.read(ids) == [1, 3]


def _leave_nested_open(conn: Connection) -> None:
    conn.begin_nested()


def _begin_again(conn: Connection) -> None:
    with conn.begin():
        add(conn, 4)


ENDS = [lambda conn: conn.commit(), lambda conn: conn.rollback(), lambda conn: conn.close()]


@pytest.mark.parametrize("end", [*ENDS, _begin_again, _leave_nested_open])
async def test_a_unit_cannot_end_its_transaction(store: Store, end: Callable[[Connection], None]) -> None:
    def unit(conn: Connection) -> None:
        add(conn, 2)
        end(conn)

    results = await gathered(store, adding(1), unit, adding(3))
    assert isinstance(results[1], RuntimeError | exc.InvalidRequestError)
    assert await store.read(ids) == [1, 3]
    assert store.counters.torn == 0


async def test_a_unit_may_raise_what_a_future_cannot_carry(store: Store) -> None:
    with pytest.raises(RuntimeError, match="StopIteration"):
        await store.run(lambda conn: next(iter(())))


async def test_cancelling_the_caller_does_not_cancel_the_unit(store: Store) -> None:
    gate = Gate()
    first = asyncio.ensure_future(store.run(gate))
    await asyncio.to_thread(gate.entered.wait, 10)
    second = asyncio.ensure_future(store.run(adding(5)))
    await asyncio.sleep(0)
    first.cancel()
    second.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    gate.opened.set()
    assert await store.run(adding(6)) == 6
    assert await store.read(ids) == [5, 6]


async def test_a_unit_that_fails_after_its_caller_has_gone_is_logged(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate()
    first = asyncio.ensure_future(store.run(gate))
    await asyncio.to_thread(gate.entered.wait, 10)
    orphan = asyncio.ensure_future(store.run(lambda conn: 1 // 0))
    await asyncio.sleep(0)
    orphan.cancel()
    gate.opened.set()
    await first
    await store.run(adding(1))
    assert "unit failed after its caller had gone" in caplog.messages


async def test_listeners_are_woken_by_the_commit_of_a_unit_that_noted_their_topic(store: Store) -> None:
    mine, also, other = store.listen("queue"), store.listen("queue"), store.listen("outbox")
    await store.run(lambda conn: notify(conn, "queue"))
    assert mine.is_set() and also.is_set() and not other.is_set()
    mine.clear()

    def fail(conn: Connection) -> None:
        notify(conn, "queue")
        raise ValueError

    results = await gathered(store, fail, lambda conn: notify(conn, "outbox"))
    assert isinstance(results[0], ValueError)
    assert other.is_set() and not mine.is_set()


async def test_a_listener_that_was_dropped_is_forgotten(store: Store) -> None:
    store.listen("queue")
    assert not store._listeners["queue"]


async def test_every_connection_is_set_up_durably(store: Store) -> None:
    """Reliability finding 2: WAL with synchronous=NORMAL loses acknowledged commits."""

    def settings(conn: Connection) -> tuple[object, ...]:
        return tuple(pragma(conn, name) for name in ("journal_mode", "synchronous", "foreign_keys", "query_only"))

    assert await store.run(settings) == ("wal", 2, 1, 0)
    assert await store.read(settings) == ("wal", 2, 1, 1)


async def test_a_database_that_does_not_take_a_setting_is_refused(
    start_store: StartStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sqlite_engine._PRAGMAS, "synchronous", ("NORMAL", 2))
    with pytest.raises(SchemaMismatch, match="synchronous is 1, must be 2"):
        await start_store()


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreDown):
        await open_store(f"sqlite:///{path}", lambda error: None).start()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://localhost/fax"])
def test_a_database_without_durability_or_engine_is_refused(url: str) -> None:
    with pytest.raises(SchemaMismatch):
        open_store(url, lambda error: None)


async def test_the_database_file_is_private_and_closing_leaves_no_log(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    store = open_store(f"sqlite:///{path}", lambda error: None)
    await store.start()
    await store.run(metadata.create_all)
    assert modes(tmp_path) == {"new.db": 0o600, "new.db-wal": 0o600, "new.db-shm": 0o600}
    await store.close()
    assert modes(tmp_path) == {"new.db": 0o600}


def modes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in folder.glob("new.db*")}


async def test_a_read_cannot_write(store: Store, fatal: list[StoreError]) -> None:
    with pytest.raises(exc.OperationalError, match="readonly"):
        await store.read(adding(1))
    assert await store.run(adding(2)) == 2
    assert fatal == []


async def test_a_read_sees_one_snapshot(store: Store) -> None:
    await store.run(adding(1))
    loop = asyncio.get_running_loop()

    def twice(conn: Connection) -> tuple[int | None, int | None]:
        count = select(func.count()).select_from(things)
        before = conn.scalar(count)
        asyncio.run_coroutine_threadsafe(store.run(adding(2)), loop).result(10)
        return before, conn.scalar(count)

    assert await store.read(twice) == (1, 1)


async def test_a_full_database_fails_the_unit_and_lives_on(start_store: StartStore, fatal: list[StoreError]) -> None:
    """SQLITE_FULL is temporary; small units of the same batch are kept; the ballast is asked for."""
    asked: list[bool] = []

    def on_full() -> bool:
        asked.append(True)
        return False

    store = await start_store(on_full=on_full)
    await store.run(lambda conn: pragma(conn, f"max_page_count={pragma(conn, 'page_count')}"))
    results = await gathered(store, adding(1), adding(2, octets=1_000_000), adding(3))
    assert results[0] == 1 and results[2] == 3
    assert isinstance(results[1], OutOfSpace) and results[1].temporary
    assert asked
    await store.run(lambda conn: pragma(conn, "max_page_count=100000"))
    await store.run(adding(4, octets=1_000_000))
    assert await store.read(ids) == [1, 3, 4]
    assert fatal == []
    assert store.counters.out_of_space == 1


async def test_room_made_while_full_saves_the_unit(start_store: StartStore) -> None:
    store = await start_store(on_full=lambda: bool(grow()))
    engine = store._engine
    assert isinstance(engine, sqlite_engine.SqliteEngine)

    def grow() -> sqlite3.Cursor:
        return engine._driver.execute("PRAGMA max_page_count=100000")

    await store.run(lambda conn: pragma(conn, f"max_page_count={pragma(conn, 'page_count')}"))
    assert await store.run(adding(1, octets=1_000_000)) == 1


async def test_units_fail_as_busy_while_another_process_holds_the_lock(
    start_store: StartStore, database_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sqlite_engine._PRAGMAS, "busy_timeout", ("1", 1))
    store = await start_store()
    other = sqlite3.connect(database_path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    results = await asyncio.gather(*(store.run(adding(number)) for number in range(3)), return_exceptions=True)
    assert all(isinstance(result, StoreBusy) and result.temporary for result in results)
    other.execute("ROLLBACK")
    other.close()
    assert await store.run(adding(1)) == 1
    assert await store.read(ids) == [1]
    assert store.counters.busy >= sqlite_engine.BUSY_TRIES - 1


async def test_a_lock_released_in_time_is_only_a_delay(store: Store, database_path: Path) -> None:
    other = sqlite3.connect(database_path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    task = asyncio.ensure_future(store.run(adding(1)))
    await asyncio.sleep(0)
    other.execute("ROLLBACK")
    other.close()
    assert await task == 1


async def test_a_damaged_database_ends_the_engine(
    start_store: StartStore, store: Store, database_path: Path, fatal: list[StoreError]
) -> None:
    """Reliability rule 2: on an I/O error or corruption nothing more is promised; the daemon ends and recovers."""
    for number in range(50):
        await store.run(adding(number, octets=10_000))
    await store.close()
    damage(database_path)
    store = await start_store()
    with pytest.raises(StoreDown):
        await store.read(lambda conn: conn.execute(select(things)).all())
    with pytest.raises(StoreDown):
        await store.run(adding(100))
    with pytest.raises(StoreDown):
        await store.read(lambda conn: 1)
    assert len(fatal) == 1


def damage(path: Path) -> None:
    """Overwrite the second half of a file."""
    half = path.stat().st_size // 2
    with path.open("r+b") as file:
        file.seek(half)
        file.write(b"\xff" * half)


async def test_a_failed_commit_leaves_every_unit_of_its_batch_uncertain(
    store: Store, fatal: list[StoreError], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed fsync is final: the engine is poisoned, and the fatal error is reported once, on the loop."""
    engine = store._engine
    assert isinstance(engine, sqlite_engine.SqliteEngine)
    engine._driver = FailingDriver(engine._driver)  # type: ignore[assignment]
    results = await gathered(store, adding(1), adding(2))
    assert {type(result).__name__ for result in results} <= {"CommitUncertain", "StoreDown"}
    with pytest.raises(StoreDown):
        await store.run(adding(3))
    assert len(fatal) == 1


class FailingDriver:
    """A connection whose COMMIT answers what a failed fsync answers, from the second one on."""

    def __init__(self, driver: sqlite3.Connection) -> None:
        self._driver = driver
        self._commits = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._driver, name)

    def execute(self, statement: str) -> sqlite3.Cursor:
        if statement == "COMMIT":
            self._commits += 1
            if self._commits > 1:
                error = sqlite3.OperationalError("disk I/O error")
                error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
                error.sqlite_errorname = "SQLITE_IOERR_FSYNC"
                raise error
        return self._driver.execute(statement)


async def test_too_many_waiting_units_are_refused_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_engine, "WAITING_UNITS", 2)
    gate = Gate()
    first = asyncio.ensure_future(store.run(gate))
    await asyncio.to_thread(gate.entered.wait, 10)
    waiting = [asyncio.ensure_future(store.run(adding(number))) for number in (1, 2)]
    await asyncio.sleep(0)
    assert store.waiting() == 2
    with pytest.raises(StoreBusy):
        await store.run(adding(3))
    gate.opened.set()
    await asyncio.gather(first, *waiting)


async def test_too_many_reads_are_refused_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_engine, "WAITING_READS", 1)
    gate = Gate()
    first = asyncio.ensure_future(store.read(gate))
    await asyncio.to_thread(gate.entered.wait, 10)
    with pytest.raises(StoreBusy):
        await store.read(ids)
    gate.opened.set()
    await first
    assert await store.read(ids) == []


async def test_a_slow_unit_is_logged_with_its_name(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sqlite_engine, "SLOW_UNIT_S", 0.0)
    with caplog.at_level(logging.WARNING):
        await store.run(adding(1))
    (record,) = [record for record in caplog.records if record.message == "unit slow"]
    assert record.__dict__["unit"].endswith("test_engine.add")
    assert store.counters.slow == 1


async def test_closing_finishes_what_was_handed_in(store: Store, database_path: Path) -> None:
    tasks = [asyncio.ensure_future(store.run(adding(number))) for number in range(200)]
    await asyncio.sleep(0)
    await store.close()
    assert await asyncio.gather(*tasks) == list(range(200))
    with sqlite3.connect(database_path) as conn:
        assert conn.execute("SELECT count(*) FROM things").fetchone() == (200,)
    conn.close()
    with pytest.raises(StoreDown):
        await store.run(adding(1))
    with pytest.raises(StoreDown):
        await store.read(ids)
