"""One life of a store in which a large job is accepted, cut off with SIGKILL at a unit. Run by test_staging_kill.py.

Arguments: the data folder, the serial of the unit that is the last (0: none), `before` or `after` its commit.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from faxgw.dispatch import broadcast
from faxgw.fax.account import resolve
from faxgw.store import directory, submission
from faxgw.store.directory import CustomerSeed
from faxgw.store.engine import open_store
from faxgw.store.queue import NewFax, NewJob
from faxgw.store.submission import Accepted

FAXES = 1_000
JOB = "FABCDEFGHIJKLMNOPQRSTU"
NOW = 1_000_000.0


def new_job() -> NewJob:
    """Always the same one."""
    faxes = tuple(
        NewFax(f"FN{place:020}", place, ({"typed": str(place), "e164": f"+33199{place:06}", "sub": "", "zone": "UTC"},))
        for place in range(1, FAXES + 1)
    )
    return NewJob(
        JOB, None, "acme", "", "login:erp", "", "", NOW, resolve([]).snapshot(), (), (), faxes, None, 0,
    )  # fmt: skip


async def live(folder: Path, last: int, when: str) -> None:
    store = open_store(f"sqlite:///{folder}/faxgw.db", lambda error: os._exit(1))
    await store.start()
    await store.run(lambda conn: directory.seed(conn, [CustomerSeed("acme", "Acme")]))
    run, units = store.run, 0

    async def counted(unit: Any) -> Any:
        nonlocal units
        units += 1

        def dying(conn: Any) -> Any:
            found = unit(conn)
            if units == last and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            return found

        found = await run(dying)
        if units == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    store.run = counted  # type: ignore[method-assign]
    job = await broadcast.stage(store, new_job(), {}, now=NOW)
    report = {"owner": "login:erp", "interface": "rest", "reference": {}}
    accepted = Accepted(job, {}, (), 0.0, "key", "print", 600.0, report)
    await store.run(lambda conn: submission.accept(conn, accepted, now=NOW))
    sys.stdout.write("accepted\n")
    sys.stdout.flush()
    await broadcast.clear(store, JOB)
    await store.close()


if __name__ == "__main__":
    asyncio.run(live(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
