"""docs/spine.md section 7: durable settings of SQLite, and what happens when it cannot."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection

import faxgw.store.sqlite as sqlite_engine
from faxgw.store.engine import Store, open_store
from faxgw.store.errors import OutOfSpace, SchemaMismatch, StoreBusy, StoreDown, StoreError
from tests.store.things import adding, gathered, ids, metadata

StartStore = Callable[..., Awaitable[Store]]


@pytest.fixture
def database(database_path: Path) -> str:
    return f"sqlite:///{database_path}"


@pytest.fixture(autouse=True)
async def tables(store: Store) -> None:
    await store.run(metadata.create_all)


def pragma(conn: Connection, name: str) -> object:
    return conn.exec_driver_sql(f"PRAGMA {name}").scalar()


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
    with pytest.raises(StoreDown):  # told at the start: nothing is promised at all
        await start_store()
    assert len(fatal) <= 1


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
