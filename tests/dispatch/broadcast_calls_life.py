"""One life of a gateway that calls the recipients of a broadcast; its parent ends it with SIGKILL. Run by a test.

Arguments: the data folder, how many recipients, hours by which the clock is ahead, `on` or `once`: a life that is to
end by itself does so when no fax may be called any more. The line writes what the far end saw into `far-end`, durably:
`exposed NUMBER` before page data leaves, `received NUMBER` before the page is confirmed to us.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import cast

from sqlalchemy import func, select

from faxgw.dispatch import upkeep
from faxgw.dispatch.dispatcher import Dispatcher
from faxgw.dispatch.jobs import JobGate
from faxgw.dispatch.outbound import Outbound
from faxgw.dispatch.seat import Seat
from faxgw.dispatch.worker import PageWorker
from faxgw.document.client import PageClient
from faxgw.fax.outcome import Cause, Outcome
from faxgw.fax.ports import CallMarks, CallPlan, Principal
from faxgw.fax.submission import JobDocument, JobRecipient, JobSubmission
from faxgw.store import candidates, directory, node
from faxgw.store import schema as t
from faxgw.store.directory import CustomerSeed
from faxgw.store.engine import open_store
from faxgw.store.files import Files
from tests.dispatch.doubles import Pages, ScriptedLine, until

JOB = "FABCDEFGHIJKLMNOPQRSTU"
READER = "ann@example.org"
AHEAD_S = 3600.0


def number_of(place: int) -> str:
    return f"+33199{place:06}"


class FarEnd:
    """What the machines that are called saw, on disk."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def saw(self, what: str, number: str) -> None:
        os.write(self._fd, f"{what} {number}\n".encode())
        os.fsync(self._fd)

    async def receives(self, plan: CallPlan, marks: CallMarks) -> Outcome:
        (document,) = plan.documents
        lost = Outcome(Cause.LINE_FAULT, connected=True)
        if not await marks.answered({"to_tag": "x"}) or not await marks.exposed(document.fax, document.first):
            return lost
        self.saw("exposed", plan.number)
        await asyncio.sleep(0.01)
        self.saw("received", plan.number)
        for page in range(document.first, document.last + 1):
            if not await marks.confirmed(document.fax, page):
                return lost
        return Outcome(Cause.OK, connected=True, exposed=True)


async def live(folder: Path, recipients: int, ahead: int, *, to_its_end: bool) -> None:
    def clock() -> float:
        return time.time() + ahead * AHEAD_S

    store = open_store(f"sqlite:///{folder}/faxgw.db", lambda error: os._exit(1))
    await store.start()
    lease = await store.run(lambda conn: node.register(conn, "n1", clock()))
    await store.run(lambda conn: directory.seed(conn, [CustomerSeed("acme", "Acme")]))
    files = Files(folder, "n1", lease.incarnation)
    await files.start()
    seat = Seat(store, files, "n1", lease.fence, clock, {})
    client = cast(PageClient, Pages())
    if await store.read(lambda conn: conn.execute(select(t.jobs.c.id)).first()) is None:
        kept = await files.keep(b"%PDF")
        people = tuple(JobRecipient((number_of(place),)) for place in range(recipients))
        job = JobSubmission(
            job=JOB, principal=Principal("acme", "", "erp", "", "login"), owner="login:erp", recipients=people,
            documents=(JobDocument("a.pdf", None, None, kept),), accepted_at=clock(), success_to=(READER,),
            failure_to=(READER,),
        )  # fmt: skip
        await JobGate(seat).submit(job)
    line = ScriptedLine([FarEnd(folder / "far-end").receives])
    await upkeep.recover(seat, line)
    worker = PageWorker(seat, client)
    dispatcher = Dispatcher(seat, Outbound(seat, client, line), line, setups_per_second=1_000)
    stations = (worker.renderer.rendering, worker.renderer.slicing, dispatcher.calling)
    tasks = [asyncio.create_task(station.run()) for station in stations]

    async def idle() -> bool:
        busy = select(func.count()).where(t.faxes.c.state.in_(["accepted", "rendering", "ready", "calling"]))
        waits = await store.read(lambda conn: int(conn.execute(busy).scalar_one()))
        due = await store.read(lambda conn: candidates.candidates(conn, now=clock(), limit=1, per_customer=1))
        return not waits and not due

    if to_its_end:
        await until(idle, 120.0)
    else:
        await asyncio.Event().wait()  # until it is killed
    for station in stations:
        await station.stop(5.0)
    await asyncio.gather(*tasks)
    await files.close()
    await store.close()


if __name__ == "__main__":
    asyncio.run(live(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), to_its_end=sys.argv[4] == "once"))
