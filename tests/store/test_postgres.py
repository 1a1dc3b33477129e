"""docs/spine.md section 7 and reliability R-14: PostgreSQL going away, and several nodes on one database."""

import asyncio
import contextlib
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection, select, text, update

import faxgw.store.postgres as postgres_engine
import faxgw.store.session as session_module
from faxgw.store.engine import Store, notify, open_store
from faxgw.store.errors import CommitUncertain, OutOfSpace, SchemaMismatch, StoreBusy, StoreDown, StoreError
from faxgw.store.locks import LOCKS, WRITE_LOCK
from faxgw.store.migrate import upgrade
from tests.patience import PATIENCE_S
from tests.postgres import Proxy, Server, server
from tests.store.things import Gate, add, adding, gathered, ids, metadata, things

StartStore = Callable[..., Awaitable[Store]]


@pytest.fixture
def database(postgres_url: str) -> str:
    return postgres_url


@pytest.fixture(autouse=True)
async def tables(store: Store) -> None:
    await store.run(metadata.create_all)


@pytest.fixture(scope="module")
def own() -> Iterator[Server]:
    """A server that a test may kill."""
    with server() as made:
        yield made


@contextlib.asynccontextmanager
async def opened(url: str, fatal: list[StoreError]) -> AsyncIterator[Store]:
    store = open_store(url, fatal.append)
    await store.start()
    try:
        yield store
    finally:
        await store.close()


async def fresh(own: Server) -> str:
    """A database with all tables on a server of the module's own."""
    url = own.url(own.create())
    await asyncio.to_thread(upgrade, url)
    return url


def backend(conn: Connection) -> int:
    pid: int = conn.execute(text("SELECT pg_backend_pid()")).scalar_one()
    return pid


def failing(state: str) -> str:
    return f"DO $$ BEGIN RAISE EXCEPTION 'made' USING ERRCODE = '{state}'; END $$"


def kill_sessions(url_database: str, admin: psycopg.Connection[tuple[object, ...]], where: str = "true") -> int:
    query = f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = %s AND {where}"
    row = admin.execute(query.encode(), [url_database]).fetchone()
    assert row is not None
    return int(str(row[0]))


def name_of(url: str) -> str:
    return url.rpartition("?")[0].rpartition("/")[2]


@pytest.fixture
def admin(postgres: Server) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with postgres.connect("postgres") as conn:
        yield conn


# ------------------------------------------------------------------------------------------------------- settings


async def test_every_session_is_set_up_durably(store: Store) -> None:
    def settings(conn: Connection) -> tuple[str, ...]:
        names = ("synchronous_commit", "fsync", "transaction_isolation", "transaction_read_only", "lock_timeout")
        return tuple(conn.exec_driver_sql(f"SHOW {name}").scalar_one() for name in names)

    assert await store.run(settings) == ("on", "on", "read committed", "off", "3s")
    assert await store.read(settings) == ("on", "on", "repeatable read", "on", "3s")


@pytest.mark.parametrize("value", ["off", "local", "remote_write"])
async def test_a_server_that_acknowledges_too_early_is_refused(
    database: str, admin: psycopg.Connection[tuple[object, ...]], value: str
) -> None:
    admin.execute(f"ALTER DATABASE {name_of(database)} SET synchronous_commit = {value}".encode())
    with pytest.raises(SchemaMismatch, match=f"synchronous_commit is {value}, must be on or remote_apply") as caught:
        await open_store(database, lambda error: None).start()
    assert not caught.value.temporary


async def test_a_database_without_tables_is_refused(postgres: Server) -> None:
    with pytest.raises(SchemaMismatch, match="no tables"):
        await open_store(postgres.url(postgres.create()), lambda error: None).start()


async def test_a_server_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreDown, match="no connection") as caught:
        await open_store(f"postgresql://faxgw@/x?host={tmp_path}", lambda error: None).start()
    assert caught.value.temporary and str(tmp_path) not in caught.value.public


# ---------------------------------------------------------------------------------------------- a session is lost


async def test_a_session_that_ends_in_mid_unit_is_only_a_delay(
    store: Store, admin: psycopg.Connection[tuple[object, ...]], fatal: list[StoreError]
) -> None:
    runs = []

    def unit(conn: Connection) -> int:
        runs.append(add(conn, 1))
        if len(runs) == 1:
            admin.execute("SELECT pg_terminate_backend(%s, 5000)", [backend(conn)])
        add(conn, 2)
        notify(conn, "queue")
        return len(runs)

    heard = store.listen("queue")
    assert await store.run(unit) == 2
    assert await store.read(ids) == [1, 2] and heard.is_set()
    assert fatal == []


async def test_other_units_of_a_lost_transaction_are_run_again(
    store: Store, admin: psycopg.Connection[tuple[object, ...]]
) -> None:
    killed = threading.Event()

    def unit(conn: Connection) -> None:
        if not killed.is_set():
            killed.set()
            admin.execute("SELECT pg_terminate_backend(%s, 5000)", [backend(conn)])
        add(conn, 100)

    results = await gathered(store, *(adding(n) for n in range(20)), unit, *(adding(n) for n in range(20, 40)))
    assert not [result for result in results if isinstance(result, BaseException)]
    assert await store.read(ids) == [*range(40), 100]


async def test_a_session_that_ends_in_mid_read_is_only_a_delay(
    store: Store, admin: psycopg.Connection[tuple[object, ...]]
) -> None:
    runs = []

    def unit(conn: Connection) -> list[int]:
        runs.append(1)
        if len(runs) == 1:
            admin.execute("SELECT pg_terminate_backend(%s, 5000)", [backend(conn)])
        return ids(conn)

    await store.run(adding(1))
    assert await store.read(unit) == [1]


async def test_all_sessions_may_end_while_nothing_runs(
    store: Store, database: str, admin: psycopg.Connection[tuple[object, ...]]
) -> None:
    await asyncio.gather(*(store.read(ids) for _ in range(20)))
    assert kill_sessions(name_of(database), admin) >= 3
    assert await store.run(adding(1)) == 1
    assert await store.read(ids) == [1]


async def test_a_unit_that_always_ends_its_session_is_given_up(
    store: Store, admin: psycopg.Connection[tuple[object, ...]]
) -> None:
    def unit(conn: Connection) -> None:
        admin.execute("SELECT pg_terminate_backend(%s, 5000)", [backend(conn)])
        add(conn, 1)

    with pytest.raises(StoreDown):
        await store.run(unit)
    assert await store.run(adding(2)) == 2
    assert await store.read(ids) == [2]


# ------------------------------------------------------------------------------------------------------ conflicts


@pytest.mark.parametrize("state", ["40001", "40P01"])
async def test_a_conflict_is_tried_again(store: Store, state: str) -> None:
    runs = []

    def unit(conn: Connection) -> int:
        runs.append(add(conn, 1))
        if len(runs) < 4:
            conn.exec_driver_sql(failing(state))
        return len(runs)

    assert await store.run(unit) == 4
    assert await store.read(ids) == [1]
    assert store.counters.busy == 3


async def test_a_conflict_without_end_is_busy(store: Store) -> None:
    with pytest.raises(StoreBusy) as caught:
        await store.run(lambda conn: conn.exec_driver_sql(failing("40001")).close())
    assert caught.value.temporary
    assert await store.run(adding(1)) == 1


async def test_a_deadlock_with_a_stranger_is_tried_again(store: Store, postgres: Server, database: str) -> None:
    """The stranger is an administrator's program: our own transactions cannot meet."""
    await store.run(adding(1))
    await store.run(adding(2))
    with postgres.connect(name_of(database)) as stranger:
        stranger.execute("SET deadlock_timeout = '10s'")  # ours is the one that is given up
        runs = []
        second: list[threading.Thread] = []

        def touch(number: int) -> None:
            stranger.execute("UPDATE things SET data = '' WHERE id = %s", [number])
            if number == 1:
                stranger.execute("COMMIT")

        def unit(conn: Connection) -> int:
            runs.append(1)
            if len(runs) == 1:
                stranger.execute("BEGIN")
                touch(2)
            conn.execute(update(things).where(things.c.id == 1).values(data=b"ours"))
            if len(runs) == 1:
                second.append(threading.Thread(target=touch, args=(1,)))
                second[0].start()
            conn.execute(update(things).where(things.c.id == 2).values(data=b"ours"))
            return len(runs)

        assert await store.run(unit) == 2
        second[0].join(PATIENCE_S)
    assert store.counters.busy == 1


async def test_the_write_lock_held_by_another_node_is_only_a_delay(
    store: Store, postgres: Server, database: str
) -> None:
    with postgres.connect(name_of(database)) as other:
        other.execute("SELECT pg_advisory_lock(%s, %s)", [LOCKS, WRITE_LOCK])
        task = asyncio.ensure_future(store.run(adding(1)))
        await asyncio.sleep(0.1)
        assert not task.done()
        assert await store.read(ids) == []  # reads wait for nobody
        other.execute("SELECT pg_advisory_unlock(%s, %s)", [LOCKS, WRITE_LOCK])
    assert await task == 1


async def test_a_node_that_stands_still_in_a_unit_does_not_hold_the_others_up(
    store: Store, start_store: StartStore
) -> None:
    other = await start_store()
    gate = Gate()
    frozen = asyncio.ensure_future(store.run(gate))
    await asyncio.to_thread(gate.entered.wait, 10)
    assert await other.run(adding(1)) == 1  # it stands still until the gate opens: for ever, as far as the other knows
    assert not frozen.done()
    gate.opened.set()
    await frozen  # its transaction was ended under it, and the unit run again
    assert await store.run(adding(2)) == 2


async def test_a_swallowed_error_is_the_units_own_fault(store: Store) -> None:
    """PostgreSQL goes on with nothing after an error; to commit what came before would commit half a unit."""

    def unit(conn: Connection) -> None:
        add(conn, 1)
        with contextlib.suppress(Exception):
            add(conn, 1)

    results = await gathered(store, adding(2), unit, adding(3))
    assert isinstance(results[1], RuntimeError)
    assert await store.read(ids) == [2, 3]


async def test_a_full_server_fails_the_unit_and_lives_on(store: Store, fatal: list[StoreError]) -> None:
    def unit(conn: Connection) -> None:
        add(conn, 1)
        conn.exec_driver_sql(failing("53100"))

    results = await gathered(store, adding(2), unit, adding(3))
    assert isinstance(results[1], OutOfSpace) and results[1].temporary
    assert await store.read(ids) == [2, 3]
    assert store.counters.out_of_space == 1 and fatal == []


@pytest.mark.parametrize("kind", ["run", "read"])
async def test_a_damaged_database_ends_the_engine(store: Store, fatal: list[StoreError], kind: str) -> None:
    """Reliability rule 2: nothing more is promised; the daemon ends and recovers."""
    with pytest.raises(StoreDown):
        await getattr(store, kind)(lambda conn: conn.exec_driver_sql(failing("XX001")).close())
    for again in (store.run, store.read):
        with pytest.raises(StoreDown):
            await again(ids)
    assert len(fatal) == 1


# ------------------------------------------------------------------------------------------- COMMIT without answer


@pytest.fixture
def proxy(postgres: Server) -> Iterator[Proxy]:
    with tempfile.TemporaryDirectory(prefix="px-", dir="/tmp") as folder:
        made = Proxy(Path(folder), postgres)
        yield made
        made.close()


class Counted:
    """A unit that counts how often it ran."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.runs = 0

    def __call__(self, conn: Connection) -> int:
        self.runs += 1
        add(conn, self.number)
        return self.runs


async def test_a_commit_whose_answer_was_lost_is_found_done(proxy: Proxy, store: Store, database: str) -> None:
    async with opened(proxy.url(name_of(database)), []) as behind:
        await behind.run(adding(1))
        proxy.lose_answers = 1
        unit = Counted(2)
        assert await behind.run(unit) == 1
        assert proxy.lost.is_set() and unit.runs == 1
        assert await behind.run(adding(3)) == 3
    assert await store.read(ids) == [1, 2, 3]


async def test_a_commit_that_never_arrived_is_repeated(proxy: Proxy, store: Store, database: str) -> None:
    async with opened(proxy.url(name_of(database)), []) as behind:
        await behind.run(adding(1))
        proxy.lose_commits = 2
        unit = Counted(2)
        assert await behind.run(unit) == 3
        assert await behind.run(adding(3)) == 3
    assert await store.read(ids) == [1, 2, 3]


@pytest.mark.parametrize("arrived", [True, False])
async def test_a_commit_nobody_can_ask_about_is_uncertain(
    proxy: Proxy, store: Store, database: str, monkeypatch: pytest.MonkeyPatch, arrived: bool
) -> None:
    """Spine section 5, 250: 451 and the file stays; only the rows know."""
    monkeypatch.setattr(postgres_engine, "PATIENCE_S", 0.5)
    fatal: list[StoreError] = []
    async with opened(proxy.url(name_of(database)), fatal) as behind:
        await behind.run(adding(1))
        proxy.refuse = True
        proxy.lose_answers, proxy.lose_commits = (1, 0) if arrived else (0, 1)
        with pytest.raises(CommitUncertain) as caught:
            await behind.run(adding(2))
        assert caught.value.temporary
        proxy.refuse = False
        assert await until_run(behind, 3) == 3
    assert await store.read(ids) == ([1, 2, 3] if arrived else [1, 3])
    assert fatal == []


async def until_run(store: Store, number: int) -> int:
    """Hand a unit in until the database is back."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with contextlib.suppress(StoreDown):
                return await store.run(adding(number))
            await asyncio.sleep(0.02)


async def test_answers_lost_under_load_lose_and_double_nothing(proxy: Proxy, store: Store, database: str) -> None:
    async with opened(proxy.url(name_of(database)), []) as behind:
        proxy.lose_answers, proxy.lose_commits = 3, 3
        units = [Counted(number) for number in range(150)]
        await asyncio.gather(*(behind.run(unit) for unit in units))
        assert proxy.lose_answers == proxy.lose_commits == 0
    assert await store.read(ids) == list(range(150))


# ------------------------------------------------------------------------------------------------ the server is gone


async def test_a_server_killed_and_started_again_loses_nothing_acknowledged(own: Server) -> None:
    """R-14: kill -9 of every process of the server under load, three times; back within 10 s; nothing fatal."""
    fatal: list[StoreError] = []
    acknowledged: set[int] = set()
    stop, progress = asyncio.Event(), asyncio.Event()
    failures: list[BaseException] = []

    async with opened(await fresh(own), fatal) as store:
        await store.run(metadata.create_all)

        async def client(first: int) -> None:
            number = first
            while not stop.is_set():
                try:
                    await store.run(adding(number))
                except StoreError as error:
                    failures.append(error)
                    await asyncio.sleep(0.05)
                    continue
                acknowledged.add(number)
                progress.set()
                number += 10

        clients = [asyncio.ensure_future(client(first)) for first in range(10)]
        for _ in range(3):
            enough = len(acknowledged) + 50
            while len(acknowledged) < enough:
                progress.clear()
                await progress.wait()
            await asyncio.to_thread(own.kill)
            await asyncio.to_thread(own.start)
            before = len(acknowledged)
            while len(acknowledged) == before:
                progress.clear()
                await progress.wait()
        stop.set()
        await asyncio.gather(*clients)
        rows = set(await store.read(ids))
    assert acknowledged <= rows
    assert len(rows - acknowledged) <= 10, "more than what was in flight"
    assert fatal == [] and all(error.temporary for error in failures if isinstance(error, StoreError))


async def test_while_the_server_is_away_units_fail_and_its_return_is_noticed(
    own: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_engine, "PATIENCE_S", 0.3)
    fatal: list[StoreError] = []
    async with opened(await fresh(own), fatal) as store:
        await store.run(metadata.create_all)
        heard = store.listen("anything")
        await asyncio.to_thread(own.kill)
        with pytest.raises(StoreDown):
            await store.run(adding(1))
        with pytest.raises(StoreDown):
            await store.read(ids)
        with pytest.raises(StoreDown, match="has been away"):  # at once: nothing waits for it
            await store.run(adding(1))
        await asyncio.to_thread(own.start)
        async with asyncio.timeout(PATIENCE_S):
            await heard.wait()  # what other nodes noted meanwhile is not known: everybody looks
        assert await store.run(adding(1)) == 1
    assert fatal == []


async def test_a_store_closes_while_the_server_is_away(own: Server) -> None:
    store = open_store(await fresh(own), lambda error: None)
    await store.start()
    await asyncio.to_thread(own.kill)
    tasks = [asyncio.ensure_future(store.run(adding(number))) for number in range(5)]
    await asyncio.sleep(0)
    await store.close()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, StoreDown) for result in results)
    await asyncio.to_thread(own.start)


async def test_a_server_that_does_not_answer_is_given_up(own: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its machine is frozen: the connections stand, and nothing comes."""
    monkeypatch.setattr(session_module, "STALL_S", 0.5)
    monkeypatch.setattr(session_module, "_WIRE", session_module._WIRE | {"connect_timeout": 2})
    monkeypatch.setattr(postgres_engine, "PATIENCE_S", 0.5)
    async with opened(await fresh(own), []) as store:
        await store.run(metadata.create_all)
        await asyncio.to_thread(own.freeze)
        try:
            with pytest.raises(StoreDown):
                async with asyncio.timeout(PATIENCE_S):
                    await store.run(adding(1))
        finally:
            await asyncio.to_thread(own.thaw)
        assert await until_run(store, 2) == 2


# ----------------------------------------------------------------------------------------------------- several nodes


async def test_a_commit_wakes_the_listeners_of_other_nodes(store: Store, start_store: StartStore) -> None:
    other = await start_store()
    there, elsewhere = other.listen("queue's"), other.listen("outbox")
    await store.run(lambda conn: notify(conn, "queue's"))
    async with asyncio.timeout(PATIENCE_S):
        await there.wait()
    assert not elsewhere.is_set()
    there.clear()

    def fail(conn: Connection) -> None:
        notify(conn, "queue's")
        raise ValueError

    with pytest.raises(ValueError):
        await store.run(fail)
    await store.run(lambda conn: notify(conn, "outbox"))
    async with asyncio.timeout(PATIENCE_S):
        await elsewhere.wait()
    assert not there.is_set()


async def test_a_listening_session_that_was_lost_wakes_everybody(
    store: Store, database: str, admin: psycopg.Connection[tuple[object, ...]]
) -> None:
    heard = store.listen("queue")
    assert kill_sessions(name_of(database), admin, "query IN ('LISTEN faxgw', 'SELECT 1')") == 1
    async with asyncio.timeout(PATIENCE_S):
        await heard.wait()


async def test_units_of_two_nodes_never_meet(store: Store, start_store: StartStore) -> None:
    """Read, then write: what would lose increments if two transactions overlapped."""
    other = await start_store()
    await store.run(adding(1))

    def increment(conn: Connection) -> None:
        data = conn.execute(select(things.c.data).where(things.c.id == 1)).scalar_one()
        value = int.from_bytes(data, "big") + 1
        conn.execute(update(things).where(things.c.id == 1).values(data=value.to_bytes(4, "big")))

    await asyncio.gather(*(node.run(increment) for _ in range(100) for node in (store, other)))
    data = await store.read(lambda conn: conn.execute(select(things.c.data)).scalar_one())
    assert int.from_bytes(data, "big") == 200
    assert store.counters.busy == other.counters.busy == 0
