"""docs/spine.md section 7: units of work and group commit, the same on every engine."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import Connection, exc, func, insert, select

import faxgw.store.postgres
import faxgw.store.sqlite
from faxgw.store.engine import Store, notify, open_store
from faxgw.store.errors import SchemaMismatch, StoreBusy, StoreDown, StoreError
from tests.patience import PATIENCE_S
from tests.store.things import Gate, add, adding, gathered, ids, metadata, parts, things

StartStore = Callable[..., Awaitable[Store]]


def set_limit(monkeypatch: pytest.MonkeyPatch, name: str, value: float) -> None:
    """Change a constant of every engine."""
    for engine in (faxgw.store.sqlite, faxgw.store.postgres):
        monkeypatch.setattr(engine, name, value)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Units that nobody waits for are done at a time of their own."""
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():
            pass


@pytest.fixture(autouse=True)
async def tables(store: Store) -> None:
    await store.run(metadata.create_all)


async def test_a_unit_returns_its_result_and_its_rows_can_be_read(store: Store) -> None:
    assert await store.run(adding(7)) == 7
    assert await store.read(ids) == [7]


async def test_units_that_wait_share_a_commit(store: Store) -> None:
    before = store.counters.commits
    results = await gathered(store, *(adding(number) for number in range(50)))
    assert results == list(range(50))
    assert store.counters.commits - before <= 25, "on a loaded machine a batch may be small, one unit a commit never"
    assert store.counters.units >= 51
    assert sum(store.counters.batch.buckets) == store.counters.commits


async def test_a_batch_ends_when_its_units_have_taken_long(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    set_limit(monkeypatch, "BATCH_S", 0.0)
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
    assert sorted(type(result).__name__ for result in results) == ["IntegrityError", "int", "int"]
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

    async def both() -> bool:
        return await store.read(ids) == [5, 6]

    await until(both)


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

    async def logged() -> bool:
        await store.read(ids)
        return "unit failed after its caller had gone" in caplog.messages

    await until(logged)


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


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://localhost/fax"])
def test_a_database_without_durability_or_engine_is_refused(url: str) -> None:
    with pytest.raises(SchemaMismatch):
        open_store(url, lambda error: None)


async def test_a_read_cannot_write(store: Store, fatal: list[StoreError]) -> None:
    with pytest.raises(exc.DBAPIError, match=r"readonly|read-only"):
        await store.read(adding(1))
    assert await store.run(adding(2)) == 2
    assert fatal == []


async def test_a_read_sees_one_snapshot(store: Store) -> None:
    await store.run(adding(1))
    loop = asyncio.get_running_loop()

    def twice(conn: Connection) -> tuple[int | None, int | None]:
        count = select(func.count()).select_from(things)
        before = conn.scalar(count)
        asyncio.run_coroutine_threadsafe(store.run(adding(2)), loop).result(PATIENCE_S)
        return before, conn.scalar(count)

    assert await store.read(twice) == (1, 1)


async def test_too_many_waiting_units_are_refused_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    set_limit(monkeypatch, "WAITING_UNITS", 2)
    gate = Gate()
    first = asyncio.ensure_future(store.run(gate))
    await asyncio.to_thread(gate.entered.wait, 10)
    rest = [asyncio.ensure_future(store.run(adding(number))) for number in range(5)]
    await asyncio.wait(rest, return_when=asyncio.FIRST_COMPLETED)
    assert 1 <= store.waiting() <= 2
    gate.opened.set()
    await first
    results = await asyncio.gather(*rest, return_exceptions=True)
    refused = [result for result in results if isinstance(result, StoreBusy)]
    assert 1 <= len(refused) <= 3
    assert len(await store.read(ids)) == 5 - len(refused)


async def test_too_many_reads_are_refused_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    set_limit(monkeypatch, "WAITING_READS", 1)
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
    set_limit(monkeypatch, "SLOW_UNIT_S", 0.0)
    with caplog.at_level(logging.WARNING):
        await store.run(adding(1))
    (record,) = [record for record in caplog.records if record.message == "unit slow"]
    assert record.__dict__["unit"].endswith("things.add")
    assert store.counters.slow == 1


async def test_closing_finishes_what_was_handed_in(store: Store, start_store: StartStore) -> None:
    tasks = [asyncio.ensure_future(store.run(adding(number))) for number in range(200)]
    await asyncio.sleep(0)
    await store.close()
    assert await asyncio.gather(*tasks) == list(range(200))
    assert await (await start_store()).read(ids) == list(range(200))
    with pytest.raises(StoreDown):
        await store.run(adding(1))
    with pytest.raises(StoreDown):
        await store.read(ids)
