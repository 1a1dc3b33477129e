"""Broken variants of the gateway, each of which the harness has to catch (reliability rule 21).

A variant replaces one promise by the mistake it was made against. They are applied inside a process of the harness;
the product has no switch for them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any  # functions that are replaced

from sqlalchemy import Connection, update

from faxgw.dispatch.gate import Gate
from faxgw.dispatch.inbound import Inbound
from faxgw.dispatch.outbound import Marks, Outbound
from faxgw.dispatch.seat import Seat
from faxgw.fax.job import PageState
from faxgw.fax.outcome import Outcome
from faxgw.fax.ports import CallIdentity, MailSubmission, Receipt
from faxgw.fax.reception import ReceivedPage
from faxgw.store import ledger, reports
from faxgw.store import schema as t
from faxgw.store.planning import Prepared
from tests.faults.ledger import Load
from tests.faults.scripted import ScriptedLine
from tests.faults.steps import Steps

LATE = 2.0
"""Seconds (fast) by which a commit comes too late in a variant: long enough to be killed within."""
_later: set[asyncio.Task[Any]] = set()


def _soon(work: Any, after: float = LATE) -> None:
    async def late() -> None:
        await asyncio.sleep(after)
        await work

    task = asyncio.create_task(late())
    _later.add(task)
    task.add_done_callback(_later.discard)


def _early_250(steps: Steps) -> None:
    """250 before the commit."""
    honest = Gate.submit_mail

    async def submit_mail(self: Gate, mail: MailSubmission) -> Receipt:
        async def commit() -> None:
            steps.step("commit after 250")
            await honest(self, mail)

        _soon(commit())
        return Receipt(mail.message)

    Gate.submit_mail = submit_mail  # type: ignore[method-assign]


def _invite_before_planned(steps: Steps) -> None:
    """The INVITE leaves while its plan is still being written."""
    draw, invite, place = ScriptedLine.new_identity, ScriptedLine.invite, Outbound._call
    machines: dict[str, str] = {}
    dialled: ContextVar[str] = ContextVar("dialled")

    async def call(self: Outbound, prepared: Prepared, *rest: Any) -> float:
        dialled.set(prepared.number["e164"])
        return await place(self, prepared, *rest)

    def new_identity(self: ScriptedLine, trunk: str) -> CallIdentity:
        identity = draw(self, trunk)
        machines[identity.call_id] = invite(self, identity.call_id, dialled.get())
        return identity

    Outbound._call = call  # type: ignore[assignment, method-assign]
    ScriptedLine.new_identity = new_identity  # type: ignore[method-assign]
    ScriptedLine.invite = lambda self, call_id, number: machines[call_id]  # type: ignore[method-assign]


def _gate_open_at_once(steps: Steps) -> None:
    """Page data leaves while `exposed` is still being written."""
    honest = Marks.exposed

    async def exposed(self: Marks, fax: str, page: int) -> bool:
        _soon(honest(self, fax, page), 0.3 * LATE)
        return True

    Marks.exposed = exposed  # type: ignore[method-assign]


def _late_confirmation(steps: Steps) -> None:
    """The next page leaves while `confirmed` is still being written."""
    honest = Marks._confirm

    async def confirm(self: Marks, fax: str, page: int) -> bool:
        await asyncio.sleep(LATE)
        return await honest(self, fax, page)

    async def confirmed(self: Marks, fax: str, page: int) -> bool:
        task = asyncio.create_task(self._confirm(fax, page))
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)
        return True

    Marks._confirm = confirm  # type: ignore[method-assign]
    Marks.confirmed = confirmed  # type: ignore[method-assign]


def _sent_by_result_code(steps: Steps) -> None:
    """A T.30 result of 0 is taken for proof that every page arrived."""
    honest = ledger.done

    def done(conn: Connection, attempt: str, *, outcome: Outcome, **rest: Any) -> bool:
        if outcome.t30_code == 0:
            parts = conn.execute(t.attempt_faxes.select().where(t.attempt_faxes.c.attempt == attempt)).all()
            for part in parts:
                for page in range(part.confirmed + 1, part.last_page + 1):
                    ledger.confirmed(conn, attempt, fax=part.fax, page=page, fence=rest["fence"], now=rest["now"])
        return honest(conn, attempt, outcome=outcome, **rest)

    ledger.done = done


def _redial_after_exposure(steps: Steps) -> None:
    """Recovery treats a call whose pages were exposed like one that never got so far."""
    honest = ledger.recover

    def recover(conn: Connection, attempt: str, *, now: float) -> None:
        exposed = {"exposed_at": None}
        conn.execute(update(t.attempts).where(t.attempts.c.id == attempt).values(**exposed))
        conn.execute(update(t.attempt_faxes).where(t.attempt_faxes.c.attempt == attempt).values(exposed=False))
        where = (t.page_ledger.c.attempt == attempt) & (t.page_ledger.c.state == PageState.EXPOSED)
        conn.execute(update(t.page_ledger).where(where).values(state=PageState.UNSENT.value))
        honest(conn, attempt, now=now)

    ledger.recover = recover


def _report_after_commit(steps: Steps) -> None:
    """The status mail is written after the transaction that finished the job, in one of its own."""
    honest, run = reports.finished, Seat.persist
    finished: list[tuple[str, float]] = []

    def note(conn: Connection, job: str, now: float) -> None:
        finished.append((job, now))

    async def persist(self: Seat, unit: Callable[[Connection], Any]) -> Any:
        result = await run(self, unit)
        while finished:
            job, now = finished.pop()
            steps.step("report left behind")
            _soon(self.store.run(partial(honest, job=job, now=now)), 0.25 * LATE)
        return result

    reports.finished = note
    Seat.persist = persist  # type: ignore[method-assign]


def _early_mcf(steps: Steps) -> None:
    """The MCF leaves while its page is still being written."""
    honest = Inbound.page

    async def page(self: Inbound, reception: str, facts: ReceivedPage, descriptor: int) -> bool:
        _soon(honest(self, reception, facts, os.dup(descriptor)), 0.5)
        return True

    Inbound.page = page  # type: ignore[assignment, method-assign]


@dataclass(frozen=True, slots=True)
class Variant:
    """One mistake."""

    apply: Callable[[Steps], None]
    """Makes it."""
    rules: frozenset[str]
    """The rules of the checker of which one must cry."""
    fatal: str
    """The step to die at so that it shows; empty: it shows without."""


LOADS = (
    Load(1, "remaining", 3, ("+33199000000", "+33199000150")),
    Load(2, "report", 2, ("+33199000260",)),
)
"""A load that each variant does wrong: a good machine, one that is busy twice, one that refuses the last page."""
CALLERS = 3
"""Calls to us beside it."""

VARIANTS: Mapping[str, Variant] = {
    "early 250": Variant(_early_250, frozenset({"I1"}), "commit after 250:1"),
    "INVITE before planned": Variant(_invite_before_planned, frozenset({"I2"}), "after INVITE:1"),
    "gate open at once": Variant(_gate_open_at_once, frozenset({"I2"}), "after data:1"),
    "late confirmation": Variant(_late_confirmation, frozenset({"I2", "T"}), "after MCF:3"),
    "sent by result code": Variant(_sent_by_result_code, frozenset({"T"}), ""),
    "redial after exposure": Variant(_redial_after_exposure, frozenset({"I2", "T"}), "after MCF:1"),
    "MCF before its page": Variant(_early_mcf, frozenset({"I4"}), "after MCF of ours:1"),
    "report after commit": Variant(_report_after_commit, frozenset({"T"}), "report left behind:1"),
}
"""By name."""
