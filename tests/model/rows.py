"""The model's interface over the store's units of work: the same steps, on real rows."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import replace

from sqlalchemy import Connection, func, select, update

from faxgw.fax.account import Level, Origin, resolve
from faxgw.fax.job import FaxState, PageState, Wish
from faxgw.fax.outcome import Cause, Outcome
from faxgw.fax.ports import CallIdentity, StoredFile
from faxgw.store import ledger, node, planning, queue, rendering, reports
from faxgw.store import schema as t
from tests.house import ALICE, NODE, NOON
from tests.model.world import Size, View

FAX, JOB = "FN" + "1" * 20, "FA" + "1" * 20
FILE = StoredFile("objects/00/" + "0" * 32 + ".n1.1", "0" * 64, 8)
HOUR = 3600.0


class Rows:
    """One fax in a database; everything happens on one connection, in one transaction."""

    def __init__(self, conn: Connection, size: Size, fence: int) -> None:
        self.conn = conn
        self.size = size
        self.fence = fence
        self.now = NOON
        self._attempts = itertools.count(1)
        self._savepoints = itertools.count(1)
        settings = {"max_dials": size.max_dials, "max_tries": size.max_tries, "in_doubt": size.policy.value}
        numbers = tuple({"typed": n, "e164": n, "sub": "", "zone": "UTC"} for n in ("+331", "+332")[: size.numbers])
        job = queue.NewJob(
            JOB, None, "acme", "", ALICE, "", "", NOON, resolve([(Origin(Level.JOB), settings)]).snapshot(), (ALICE,),
            (), (queue.NewFax(FAX, 1, numbers),), None, 0,
        )  # fmt: skip
        queue.create(conn, job, fence=None, now=NOON)

    @contextlib.contextmanager
    def tried(self) -> Iterator[None]:
        """Whatever happens within did not happen."""
        name, fence, now = f"model{next(self._savepoints)}", self.fence, self.now
        self.conn.exec_driver_sql(f"SAVEPOINT {name}")
        try:
            yield
        finally:
            self.conn.exec_driver_sql(f"ROLLBACK TO {name}")
            self.conn.exec_driver_sql(f"RELEASE {name}")
            self.fence, self.now = fence, now

    # ---------------------------------------------------------------------------------------------------- looking

    def _open(self) -> str:
        return str(self.conn.execute(select(t.attempts.c.id).where(t.attempts.c.done_at.is_(None))).scalar_one())

    def memory(self) -> object:
        """What lies behind the view and decides over the future: what calls left in doubt, and how they ended."""
        row = self.conn.execute(
            select(t.faxes.c.number_index, t.faxes.c.mark_from, t.faxes.c.mark_to, t.faxes.c.pages)
        ).one()
        doubted = tuple(ledger.doubted_pages(self.conn, FAX, n) for n in range(self.size.numbers))
        query = select(t.attempts.c.cause, t.attempts.c.outcome).order_by(t.attempts.c.planned_at, t.attempts.c.id)
        calls = self.conn.execute(query.where(t.attempts.c.done_at.is_not(None))).all()
        last = (calls[-1].cause, calls[-1].outcome["resume"]) if calls else None
        parts = t.attempt_faxes.c
        runs = self.conn.execute(select(parts.number_index, func.max(parts.confirmed)).group_by(parts.number_index))
        return (tuple(row), doubted, last, tuple(map(tuple, runs)))

    def view(self) -> View:
        row = queue.fax_row(self.conn, FAX)
        pages: dict[tuple[int, int], PageState] = {
            (p.number_index, p.page): PageState(p.state) for p in self.conn.execute(select(t.page_ledger))
        }
        part = self.conn.execute(
            select(t.attempts.c.mark, t.attempt_faxes.c.confirmed)
            .join(t.attempt_faxes, t.attempt_faxes.c.attempt == t.attempts.c.id)
            .where(t.attempts.c.done_at.is_(None))
        ).all()
        assert len(part) <= 1
        prepared = planning.prepare(self.conn, FAX)
        job = self.conn.execute(select(t.jobs.c.open, t.jobs.c.render_tries)).one()
        assert job.open == int(not FaxState(row.state).final)
        items = [item.id for item in self.conn.execute(select(t.outbox.c.id))]
        finished = items.count(reports.item_id(JOB, "finished", ALICE))
        doubtful = reports.page_counts(self.conn, FAX)[1]
        return View(
            FaxState(row.state), part[0].mark if part else "", Wish(row.wish), row.number_index, row.dials, row.tries,
            bool(row.in_doubt_used),
            tuple(
                tuple(pages.get((n, page), PageState.UNSENT) for page in range(1, self.size.pages + 1))
                for n in range(self.size.numbers)
            ),
            part[0].confirmed if part else 0, prepared.first if prepared else 0, prepared.marked if prepared else (),
            job.render_tries, len(items) - finished, finished, doubtful or 0,
        )  # fmt: skip

    # --------------------------------------------------------------------------------------------------- changing

    def lease(self) -> object:
        return rendering.lease(self.conn, fence=self.fence, now=self.now, limit=10)

    def lose_lease(self) -> object:
        self._next_life()
        return self.lease()

    def rendered(self) -> object:
        return rendering.rendered(
            self.conn, JOB, fence=self.fence, body=FILE, pages=self.size.pages, facts=(), thumbnail=b"", now=self.now
        )

    def refused(self) -> object:
        rendering.failed(
            self.conn, JOB, fence=self.fence, now=self.now, cause=Cause.RENDERING_FAILED, reason="x", temporary=False
        )
        return True

    def plan(self) -> bool:
        self.now = max(self.now, queue.fax_row(self.conn, FAX).until)
        prepared = planning.prepare(self.conn, FAX)
        assert prepared is not None
        attempt = f"att_{next(self._attempts):032x}"
        planned = planning.plan(
            self.conn, attempt=attempt, prepared=prepared, tiff=FILE, trunk="t1", channels=1,
            identity=CallIdentity(attempt, "a", "b", 1), node=NODE, fence=self.fence, now=self.now,
        )  # fmt: skip
        if isinstance(planned, planning.NotPlanned):
            planning.set_aside(self.conn, FAX, planned, until=self.now, now=self.now)
            return False
        return True

    def answered(self) -> bool:
        return ledger.answered(self.conn, self._open(), dialog={}, fence=self.fence, now=self.now)

    def exposed(self, page: int) -> bool:
        return ledger.exposed(self.conn, self._open(), fax=FAX, page=page, fence=self.fence, now=self.now)

    def confirmed(self, page: int) -> bool:
        return ledger.confirmed(self.conn, self._open(), fax=FAX, page=page, fence=self.fence, now=self.now)

    def done(self, outcome: Outcome) -> object:
        return ledger.done(
            self.conn, self._open(), outcome=replace(outcome, ended_at=self.now), fence=self.fence, now=self.now
        )

    def recover(self) -> object:
        self._next_life()
        (stranger,) = ledger.open_strangers(self.conn, fence=self.fence)
        ledger.recover(self.conn, stranger.id, now=self.now)
        return True

    def _next_life(self) -> None:
        self.fence = node.register(self.conn, NODE, self.now).fence

    def wish(self, what: Wish) -> object:
        return queue.wish(self.conn, FAX, what, who="operator", now=self.now)

    def release(self) -> object:
        return queue.release(self.conn, FAX, who="operator", now=self.now)

    def expire(self) -> object:
        self.conn.execute(update(t.faxes).values(latest=self.now - HOUR))
        return queue.expire(self.conn, now=self.now)
