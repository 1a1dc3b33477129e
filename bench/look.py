"""`python -m bench.look`: the dispatcher's look at 40,000 and 100,000 waiting faxes, on SQLite and on PostgreSQL.

What waits is mixed: broadcasts of 5,000 with some of their retries due and some not, single faxes of a hundred
customers (one of whom has a third of them), express ones among them, faxes for tonight, jobs of three whose retries
are scattered over the hour. Beside the time on the clock stands the reader thread's own CPU, which the other work of
the machine lengthens less; PostgreSQL's server works in processes of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert

from bench.measure import finish, median, percentile, say, workplace
from faxgw.fax import ids
from faxgw.fax.account import resolve
from faxgw.store import callable_jobs, candidates, directory, ledger, migrate, queue
from faxgw.store import schema as t
from faxgw.store.directory import CustomerSeed
from faxgw.store.engine import Store, open_store
from faxgw.store.errors import StoreError
from tests import postgres

CUSTOMERS = 100
BROADCAST = 5_000
LIMIT, PER_CUSTOMER = 500, 50
"""As the dispatcher asks."""
SLICE = 2_000
"""Faxes laid down in one unit."""
SETTINGS = resolve([]).snapshot()
HOUR = 3600.0


def fatal(error: StoreError) -> None:
    raise SystemExit(f"the database failed: {error}")


def job_of(serial: int, size: int, untils: list[float], now: float, *, earliest: float, express: bool) -> Any:
    """Rows of a job and of its faxes."""
    customer = f"c{serial % CUSTOMERS:03}" if serial % 3 else "c000"
    job: dict[str, Any] = {
        "id": ids.job_id(secrets.token_bytes(16)), "message": None, "customer": customer, "user": "",
        "owner": "a@example.org", "subject": "fax", "in_reply_to": "", "accepted_at": now - HOUR + serial % 3_000,
        "open": size, "settings": SETTINGS, "report_to": [], "page_facts": [], "body_key": "k", "body_sha256": "",
        "body_size": 0, "pages": 2,
    }  # fmt: skip
    faxes = []
    for place in range(1, size + 1):
        number = f"+33{serial % 1_000_000:06}{place:04}"
        faxes.append({
            "id": ids.fax_id(secrets.token_bytes(16)), "job": job["id"], "customer": customer, "position": place,
            "state": "waiting" if untils[place - 1] else "ready", "since": now, "until": untils[place - 1],
            "numbers": [{"typed": number, "e164": number, "sub": "", "zone": "UTC"}], "e164": number, "pages": 2,
            "priority": int(express), "earliest": earliest, "latest": now + 24 * HOUR,
        })  # fmt: skip
    return job, faxes


def mixture(faxes: int, now: float) -> Iterator[Any]:
    """Jobs with their faxes, up to so many faxes."""
    chance, serial, left = random.Random(20261122), 0, faxes
    while left > 0:
        serial += 1
        kind = chance.random()
        scattered = [now + chance.uniform(-HOUR, HOUR) for _ in range(3)]
        if serial % 4_000 == 1 and left >= BROADCAST:  # three fifths never tried, the others in their pauses
            untils = [0.0 if place % 5 < 3 else now + chance.uniform(-HOUR, HOUR) for place in range(BROADCAST)]
            yield job_of(serial, BROADCAST, untils, now, earliest=0.0, express=False)
            left -= BROADCAST
        elif kind < 0.55:
            yield job_of(serial, 1, [0.0], now, earliest=0.0, express=kind < 0.05)
            left -= 1
        elif kind < 0.75:
            yield job_of(serial, 1, [0.0], now, earliest=now + 6 * HOUR, express=False)
            left -= 1
        else:
            size = min(3, left)
            yield job_of(serial, size, scattered[:size], now, earliest=0.0, express=False)
            left -= size


async def lay_down(store: Store, faxes: int) -> None:
    await store.run(lambda conn: directory.seed(conn, [CustomerSeed(f"c{n:03}", "C") for n in range(CUSTOMERS)]))
    now = time.time()
    jobs: list[Any] = []
    for each in mixture(faxes, now):
        jobs.append(each)
        if sum(len(rows) for _job, rows in jobs) >= SLICE:
            await store.run(partial(put, jobs=tuple(jobs), now=now))
            jobs.clear()
    if jobs:
        await store.run(lambda conn: put(conn, tuple(jobs), now))


def put(conn: Connection, jobs: tuple[Any, ...], now: float) -> None:
    conn.execute(insert(t.jobs), [job for job, _faxes in jobs])
    conn.execute(insert(t.faxes), [fax for _job, faxes in jobs for fax in faxes])
    for job, _faxes in jobs:
        callable_jobs.settle(conn, job["id"], now=now)


def timed(query: Callable[[Connection], Any]) -> Callable[[Connection], float]:
    """The query, and how many seconds of CPU its thread took."""

    def unit(conn: Connection) -> float:
        begun = time.thread_time()
        query(conn)
        return time.thread_time() - begun

    return unit


async def look(url: str, faxes: int, rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds of each question, by percentile."""
    migrate.upgrade(url)
    store = open_store(url, fatal)
    await store.start()
    await lay_down(store, faxes)
    queries: dict[str, Callable[[Connection], Any]] = {
        "candidates": lambda conn: candidates.candidates(conn, now=time.time(), limit=LIMIT, per_customer=PER_CUSTOMER),
        "next_candidate": lambda conn: candidates.next_candidate(conn, now=time.time()),
        "oldest_callable": lambda conn: ledger.oldest_callable(conn, now=time.time()),
        "count_by_state": queue.count_by_state,
    }
    found = {}
    for name, query in queries.items():
        walls, used = [], []
        for _ in range(rounds):
            begun = time.perf_counter()
            used.append(await store.read(timed(query)) * 1000)
            walls.append((time.perf_counter() - begun) * 1000)
        found[name] = {
            "p50_ms": round(median(walls), 2), "p99_ms": round(percentile(walls, 0.99), 2),
            "cpu_p50_ms": round(median(used), 2), "cpu_p99_ms": round(percentile(used, 0.99), 2),
        }  # fmt: skip
    await store.close()
    say(f"look: {faxes} faxes, {url.partition(':')[0]}: {found}")
    return found


@contextlib.contextmanager
def database(engine: str, folder: Path, name: str) -> Iterator[str]:
    """A database of its own; PostgreSQL's server runs as long as it is used, on a socket."""
    if engine == "sqlite":
        yield f"sqlite:///{folder}/{name}.db"
        return
    with postgres.server() as server:
        yield server.url(server.create())


async def looks(folder: Path, sizes: list[int], rounds: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for engine in ("sqlite", "postgresql"):
        for faxes in sizes:
            with database(engine, folder, f"look{faxes}") as url:
                found[f"{engine}_{faxes}"] = await look(url, faxes, rounds)
    return found


async def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.look", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer faxes")
    options = parser.parse_args()
    sizes, rounds = ([6_000], 30) if options.quick else ([40_000, 100_000], 200)
    with tempfile.TemporaryDirectory(prefix="faxgw-bench-", dir=workplace()) as name:
        found = await looks(Path(name), sizes, rounds)
    finish("look", found)


if __name__ == "__main__":
    asyncio.run(main())
