"""`python -m bench.queue`: the store alone. Jobs per second, the dispatcher's look, a restart.

1. 25 writers at once walk one fax each from acceptance to its confirmed last page, every mark a durable commit.
2. The dispatcher's queries with 1,000 and 100,000 waiting faxes of 1 and of 100 customers.
3. A restart with 10,000 open faxes of which 100 were in a call.
4. The long units: faxes that expire, and the report of a job of 1,000.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import secrets
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from bench.measure import finish, median, percentile, say, workplace
from faxgw.fax import ids
from faxgw.fax.account import resolve
from faxgw.fax.outcome import Cause, Outcome
from faxgw.fax.ports import CallIdentity, MailRecipient, MailSubmission, Principal, StoredFile
from faxgw.store import (
    callable_jobs,
    candidates,
    directory,
    ledger,
    messages,
    migrate,
    node,
    planning,
    queue,
    rendering,
    reports,
)
from faxgw.store import schema as t
from faxgw.store.directory import CustomerSeed
from faxgw.store.engine import Store, open_store
from faxgw.store.errors import StoreError

WRITERS = 25
JOBS = 1_500
PAGES = 2
OPEN_FAXES = 10_000
OPEN_CALLS = 100
RECIPIENTS = 1_000
"""Of the job whose units are measured."""
PER_JOB = 10
"""Faxes of one job in the waiting queues."""
SETTINGS = resolve([]).snapshot()


def fatal(error: StoreError) -> None:
    raise SystemExit(f"the database failed: {error}")


async def started(folder: Path, name: str) -> tuple[Store, int]:
    url = f"sqlite:///{folder}/{name}.db"
    migrate.upgrade(url)
    store = open_store(url, fatal)
    await store.start()
    lease = await store.run(lambda conn: node.register(conn, "bench", time.time()))
    return store, lease.fence


# ------------------------------------------------------------------------------------------------------ throughput


class Walk:
    """Faxes from the first commit to the last, `WRITERS` at a time."""

    def __init__(self, store: Store, fence: int, jobs: int) -> None:
        self._store = store
        self._fence = fence
        self._jobs = jobs
        self._numbers = itertools.count(1)
        self.units = 0
        self.seconds: list[float] = []
        self.waits: list[float] = []

    async def run(self) -> None:
        await asyncio.gather(*(self._write() for _ in range(WRITERS)))

    async def _write(self) -> None:
        while next(self._numbers) <= self._jobs:
            started_at = time.perf_counter()
            await self._one(next(self._numbers))
            self.seconds.append(time.perf_counter() - started_at)

    async def _do(self, unit: Callable[[Connection], Any]) -> Any:
        self.units += 1
        asked = time.perf_counter()
        result = await self._store.run(unit)
        self.waits.append(time.perf_counter() - asked)
        return result

    async def _one(self, serial: int) -> None:
        fence, now = self._fence, time.time()
        person = MailRecipient(f"{serial}@fax.example.org", "x", f"+331990{secrets.randbelow(10**8):08}", "", "c000")
        message = ids.prefixed("msg", now, secrets.token_bytes(16))
        mail = MailSubmission(
            message, Principal("c000", "", "", "a@example.org", "address"), "a@example.org", (person,),
            stored(), f"<{serial}@example.org>", "fax", False, now,
        )  # fmt: skip
        await self._do(lambda conn: messages.accept(conn, mail))
        leased: list[messages.LeasedMessage] = []
        while not leased:  # another writer may have taken ours; then we go on with theirs
            leased = list(await self._do(lambda conn: messages.lease(conn, fence=fence, now=now + 1, limit=1)))
        taken = leased[0]
        job = new_job(taken.id, "c000", [p.e164 for p in taken.recipients], now)
        assert await self._do(lambda conn: queue.create(conn, job, fence=fence, now=now))
        work: list[rendering.LeasedJob] = []
        while not work:
            work = list(await self._do(lambda conn: rendering.lease(conn, fence=fence, now=now + 1, limit=1)))
        leased_job, body = work[0], stored()
        assert await self._do(
            lambda conn: rendering.rendered(
                conn, leased_job.id, fence=fence, body=body, pages=PAGES, facts=(), thumbnail=b"", now=now
            )
        )
        await self._call(leased_job.faxes[0])

    async def _call(self, fax: str) -> None:
        fence, now = self._fence, time.time()
        prepared = await self._store.read(lambda conn: planning.prepare(conn, fax))
        attempt = ids.prefixed("att", now, secrets.token_bytes(16))
        planned = await self._do(lambda conn: plan(conn, attempt, prepared, fence))
        assert isinstance(planned, planning.Planned), planned
        assert await self._do(lambda conn: ledger.answered(conn, attempt, dialog={"a": 1}, fence=fence, now=now))
        assert await self._do(lambda conn: ledger.exposed(conn, attempt, fax=fax, page=1, fence=fence, now=now))
        for page in range(1, PAGES + 1):
            assert await self._do(partial(ledger.confirmed, attempt=attempt, fax=fax, page=page, fence=fence, now=now))
        outcome = Outcome(Cause.OK, connected=True, exposed=True)
        assert await self._do(lambda conn: ledger.done(conn, attempt, outcome=outcome, fence=fence, now=now))


def stored() -> StoredFile:
    name = secrets.token_hex(16)
    return StoredFile(f"objects/{name[:2]}/{name}.bench.1", secrets.token_hex(32), 20_000)


def plan(conn: Connection, attempt: str, prepared: Any, fence: int) -> Any:
    return planning.plan(
        conn, attempt=attempt, prepared=prepared, tiff=stored(), trunk="t", channels=10_000,
        identity=CallIdentity(attempt, "tag", "z9hG4bK", 1), node="bench", fence=fence, now=time.time(),
    )  # fmt: skip


def new_job(message: str | None, customer: str, numbers: list[str], now: float) -> queue.NewJob:
    faxes = tuple(
        queue.NewFax(ids.fax_id(secrets.token_bytes(16)), place, ({"typed": n, "e164": n, "sub": "", "zone": "UTC"},))
        for place, n in enumerate(numbers, 1)
    )
    return queue.NewJob(
        ids.job_id(secrets.token_bytes(16)), message, customer, "", "a@example.org", "fax", "<1@example.org>", now,
        SETTINGS, ("a@example.org",), (), faxes, now + 86_400, 0,
    )  # fmt: skip


async def throughput(folder: Path, jobs: int, rounds: int) -> dict[str, Any]:
    rates, cpu, per_commit, unit_p99, job_p50, units_per_job = [], [], [], [], [], []
    batches: list[int] = []
    for number in range(rounds):
        store, fence = await started(folder, f"walk{number}")
        await store.run(lambda conn: directory.seed(conn, [CustomerSeed("c000", "C")]))
        walk = Walk(store, fence, jobs * 2)  # each job takes two serials
        commits, wall, used = store.counters.commits, time.perf_counter(), time.process_time()
        await walk.run()
        wall, used = time.perf_counter() - wall, time.process_time() - used
        done = len(walk.seconds)
        rates.append(done / wall)
        cpu.append(used / done * 1000)
        per_commit.append(walk.units / (store.counters.commits - commits))
        unit_p99.append(percentile(walk.waits, 0.99) * 1000)
        job_p50.append(median(walk.seconds) * 1000)
        units_per_job.append(walk.units / done)
        batches = store.counters.batch.buckets
        say(f"walk: {rates[-1]:.0f} jobs/s, {cpu[-1]:.2f} ms CPU a job, {per_commit[-1]:.1f} units a commit")
        await store.close()
    return {
        "jobs": jobs, "writers": WRITERS, "jobs_per_second": round(median(rates), 1),
        "cpu_ms_per_job": round(median(cpu), 2), "units_per_job": round(median(units_per_job), 1),
        "units_per_commit": round(median(per_commit), 1), "unit_p99_ms": round(median(unit_p99), 1),
        "job_p50_ms": round(median(job_p50), 1),
        "batch_histogram": dict(zip(["1", "2", "4", "8", "16", "32", "64", "more"], batches, strict=True)),
    }  # fmt: skip


# ---------------------------------------------------------------------------------------------- dispatcher's look


def fill(conn: Connection, faxes: int, customers: int, first: int, now: float) -> None:
    """Waiting faxes, one half due, in jobs of PER_JOB, laid down without the walk."""
    for start in range(first, first + faxes, PER_JOB):
        customer = f"c{start // PER_JOB % customers:03}"
        job = new_job(None, customer, [f"+33199{n:08}" for n in range(start, start + PER_JOB)], now - start % 3600)
        queue.create(conn, job, fence=None, now=now)
        conn.execute(t.jobs.update().where(t.jobs.c.id == job.id).values(body_key="k", body_sha256="", body_size=0))
        due = now - 1 if start // PER_JOB % 2 else now + 600
        values = {"state": "waiting", "pages": PAGES, "until": due, "dials": 1}
        conn.execute(t.faxes.update().where(t.faxes.c.job == job.id).values(**values))
        callable_jobs.settle(conn, job.id, now=now)


async def filled(folder: Path, name: str, faxes: int, customers: int) -> tuple[Store, int]:
    store, fence = await started(folder, name)
    await store.run(lambda conn: directory.seed(conn, [CustomerSeed(f"c{n:03}", "C") for n in range(customers)]))
    now, step = time.time(), 500
    for first in range(0, faxes, step):
        await store.run(partial(fill, faxes=min(step, faxes), customers=customers, first=first, now=now))
    return store, fence


async def look(folder: Path, faxes: int, customers: int, rounds: int) -> dict[str, float]:
    store, _fence = await filled(folder, f"look-{faxes}-{customers}", faxes, customers)
    queries: dict[str, Callable[[Connection], Any]] = {
        "candidates_ms": lambda conn: candidates.candidates(conn, now=time.time(), limit=500, per_customer=50),
        "next_candidate_ms": lambda conn: candidates.next_candidate(conn, now=time.time()),
        "oldest_callable_ms": lambda conn: ledger.oldest_callable(conn, now=time.time()),
        "count_by_state_ms": queue.count_by_state,
        "expire_ms": lambda conn: expiring(conn),
    }
    found = {}
    for name, query in queries.items():
        times = []
        for _ in range(rounds):
            begun = time.perf_counter()
            await (store.run(query) if name == "expire_ms" else store.read(query))
            times.append((time.perf_counter() - begun) * 1000)
        found[name] = round(median(times), 2)
    await store.close()
    say(f"look: {faxes} faxes of {customers} customers: {found}")
    return found


def expiring(conn: Connection) -> int:
    return queue.expire(conn, now=time.time())


# --------------------------------------------------------------------------------------------------------- restart


async def restart(folder: Path, faxes: int, calls: int) -> dict[str, Any]:
    store, fence = await filled(folder, "restart", faxes, 10)
    rows = await store.read(
        lambda conn: candidates.candidates(conn, now=time.time(), limit=calls, per_customer=calls)
    )  # fmt: skip
    for row in rows:
        prepared = await store.read(partial(planning.prepare, fax=row.fax))
        attempt = ids.prefixed("att", time.time(), secrets.token_bytes(16))
        await store.run(partial(plan, attempt=attempt, prepared=prepared, fence=fence))
        await store.run(partial(ledger.answered, attempt=attempt, dialog={}, fence=fence, now=time.time()))
        await store.run(partial(ledger.exposed, attempt=attempt, fax=row.fax, page=1, fence=fence, now=time.time()))
    await store.close()
    begun = time.perf_counter()
    migrate.upgrade(f"sqlite:///{folder}/restart.db")
    store, fence = await started(folder, "restart")
    ready = time.perf_counter() - begun
    strangers = await store.read(lambda conn: ledger.open_strangers(conn, fence=fence))
    now = time.time()
    await asyncio.gather(*(store.run(partial(ledger.recover, attempt=row.id, now=now)) for row in strangers))
    recovered = time.perf_counter() - begun
    await store.close()
    say(f"restart: {len(strangers)} calls of {faxes} open faxes settled in {recovered:.2f} s")
    return {
        "open_faxes": faxes, "open_calls": len(strangers), "database_ready_s": round(ready, 3),
        "recovered_s": round(recovered, 3),
    }  # fmt: skip


# ------------------------------------------------------------------------------------------------------ long units


async def long_units(folder: Path) -> dict[str, float]:
    """Milliseconds of CPU; of the units that expire a job of RECIPIENTS the worst, its last report included."""
    store, _fence = await started(folder, "units")
    now = time.time()
    job = new_job(None, "c000", [f"+33199{n:08}" for n in range(RECIPIENTS)], now)
    await store.run(lambda conn: directory.seed(conn, [CustomerSeed("c000", "C")]))
    await store.run(lambda conn: queue.create(conn, job, fence=None, now=now))
    begun = time.process_time()
    await store.read(lambda conn: reports.job_report(conn, job.id))
    report = time.process_time() - begun
    units = []
    while True:
        begun = time.process_time()
        if not await store.run(lambda conn: queue.expire(conn, now=now + 100_000)):
            break
        units.append(time.process_time() - begun)
    await store.close()
    found = {
        "report_cpu_ms": round(report * 1000, 1), "expire_unit_cpu_ms": round(median(units) * 1000, 1),
        "expire_unit_worst_cpu_ms": round(max(units) * 1000, 1),
    }  # fmt: skip
    say(f"long units of a job of {RECIPIENTS}: {found}")
    return found


async def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.queue", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer jobs, one round")
    options = parser.parse_args()
    jobs, rounds = (300, 1) if options.quick else (JOBS, 3)
    sizes = [(1_000, 1), (1_000, 100), (100_000, 1), (100_000, 100)][: 2 if options.quick else 4]
    with tempfile.TemporaryDirectory(prefix="faxgw-bench-", dir=workplace()) as name:
        folder = Path(name)
        walked = await throughput(folder, jobs, rounds)
        looks = {f"{n}x{c}": await look(folder, n, c, 5 if options.quick else 15) for n, c in sizes}
        open_faxes, calls = (1_000, 20) if options.quick else (OPEN_FAXES, OPEN_CALLS)
        again = await restart(folder, open_faxes, calls)
        units = await long_units(folder)
    finish("queue", {"walk": walked, "look": looks, "restart": again, "long_units": units})


if __name__ == "__main__":
    asyncio.run(main())
