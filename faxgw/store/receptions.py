"""Received faxes while their call lasts (docs/spine.md section 4 and 5, "MCF for a received page").

The row is committed before 200 OK, each page before its MCF; each unit checks that the reception is open and its
fence is still the node's. What comes too late is kept, but confirms nothing. What happens to the pages afterwards
is `routing`'s business.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any  # rows and JSON columns

from sqlalchemy import Connection, Row, insert, select, update

from faxgw.fax import denied
from faxgw.fax.account import AccountState, from_snapshot
from faxgw.fax.errors import Stale
from faxgw.fax.outcome import Outcome
from faxgw.fax.ports import Admission, Ringing, StoredFile
from faxgw.fax.reception import OPEN, PageEnd, ReceivedPage, ReceptionState, check_transition, close
from faxgw.store import directory, readings
from faxgw.store import schema as t
from faxgw.store.journal import note
from faxgw.store.ledger import MAX_TRACE_FRAMES, Ladder
from faxgw.store.node import voided
from faxgw.store.unit import notify

ROUTE_TOPIC = "route"
"""Noted when a reception is to be routed."""
MAX_PAGES = 1_000
"""Pages of one reception; more are not confirmed."""
NOT_FOUND, UNAVAILABLE, DECLINE = 404, 480, 603
"""SIP statuses of a refusal (RFC 3261 sections 21.4.5, 21.4.18 and 21.6.2)."""
_REFUSING = frozenset({AccountState.SUSPENDED})


class Kept(enum.Enum):
    """What became of a page."""

    ADDED = "added"
    KNOWN = "known"
    """The same page was kept before: acknowledged again, its file is not needed."""
    LATE = "late"
    """The reception is closed or another's: the page is kept, but not confirmed."""
    REFUSED = "refused"
    """It does not follow the last one, or differs from the one kept: neither kept nor confirmed."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A call that is not answered."""

    status: int
    """SIP."""
    why: str


def admit(
    conn: Connection,
    reception: str,
    ringing: Ringing,
    *,
    forms: Sequence[str],
    callers: Sequence[str] = (),
    system: Mapping[str, object],
    node: str,
    fence: int,
    now: float,
) -> Admission | Refusal:
    """Decide over a call by the number dialled, and make its row.

    Args:
        conn: The unit's connection.
        reception: Its id, drawn before.
        ringing: What the line knows.
        forms: E.164 forms of the number dialled, likeliest first.
        callers: The same of the caller's; none when it is withheld or no number.
        system: Settings of the system level.
        node: Name of the node.
        fence: Its fence.
        now: Unix seconds.
    """
    entry = directory.number(conn, system, forms)
    if entry is None or entry.state is AccountState.ENDED:
        return Refusal(NOT_FOUND, "no number of ours")
    if ringing.customer and ringing.customer != entry.customer:
        return Refusal(NOT_FOUND, "a number of another customer than the trunk's")
    settings = entry.settings
    if entry.state in _REFUSING:
        return Refusal(UNAVAILABLE, "suspended")
    if not settings["deliver_to"] and not settings["fallback_mailbox"]:
        return Refusal(UNAVAILABLE, "nobody would be given the fax")
    if why := denied.by_caller(settings["deny_callers"], ringing.caller, callers):
        note(conn, entry.e164, "reception.denied", now=now, data={"trunk": ringing.trunk, "why": why})
        return Refusal(DECLINE, why)
    admission = Admission(reception, settings["csid"] or entry.e164[:20], settings["ecm"], settings["max_bit_rate"])
    if conn.execute(select(t.receptions.c.id).where(t.receptions.c.id == reception)).first() is not None:
        return admission
    check_transition(None, ReceptionState.RINGING)
    conn.execute(
        insert(t.receptions).values(
            id=reception,
            state=ReceptionState.RINGING.value,
            since=now,
            customer=entry.customer,
            number=entry.e164,
            entry=entry.entry,
            dialled=ringing.dialled[:160],
            caller=ringing.caller[:160],
            display=ringing.display[:200],
            trunk=ringing.trunk,
            call_id=ringing.call_id[:200],
            dialog=dict(ringing.dialog),
            node=node,
            fence=fence,
            settings=settings.snapshot(),
            started_at=now,
        )
    )
    note(conn, reception, "reception.ringing", now=now, data={"number": entry.e164, "trunk": ringing.trunk})
    return admission


def row_of(conn: Connection, reception: str) -> Row[Any]:
    """The row of a reception.

    Raises:
        Stale: If there is none.
    """
    row: Row[Any] | None = conn.execute(select(t.receptions).where(t.receptions.c.id == reception)).first()
    if row is None:
        raise Stale(f"no reception {reception}", public="There is no such received fax.", temporary=False)
    return row


def move(
    conn: Connection,
    reception: str,
    to: ReceptionState,
    *,
    now: float,
    data: Mapping[str, object] | None = None,
    values: Mapping[str, Any] | None = None,
) -> None:
    """Change a reception's state: transition checked, event written, routing woken.

    Raises:
        IllegalTransition: If the table does not hold it; nothing is changed.
        Stale: If there is no such reception.
    """
    old = ReceptionState(row_of(conn, reception).state)
    check_transition(old, to)
    changed: dict[str, Any] = {"state": to.value, "since": now, **(values or {})}
    if to in (ReceptionState.EMPTY, ReceptionState.DELIVERED, ReceptionState.RETAINED):
        changed["finished_at"] = now
    done = conn.execute(
        update(t.receptions).where(t.receptions.c.id == reception, t.receptions.c.state == old.value).values(**changed)
    )
    if done.rowcount != 1:
        raise Stale(f"reception {reception} changed under us")
    note(conn, reception, f"reception.{to.value}", now=now, data={"from": old.value, **(data or {})})
    if to in (ReceptionState.COMPLETE, ReceptionState.PARTIAL):
        notify(conn, ROUTE_TOPIC)


def _open(conn: Connection, reception: str, fence: int, what: str, now: float) -> Row[Any] | None:
    """The reception when it is open and its fence is still the node's; else a note that something came too late."""
    row: Row[Any] | None = conn.execute(
        select(t.receptions)
        .join(t.nodes, t.nodes.c.name == t.receptions.c.node)
        .where(
            t.receptions.c.id == reception,
            t.receptions.c.state.in_([state.value for state in OPEN]),
            t.receptions.c.fence == fence,
            t.nodes.c.fence == fence,
        )
    ).first()
    if row is None:
        note(conn, reception, f"late.{what}", now=now)
    return row


def answered(conn: Connection, reception: str, *, fence: int, now: float) -> bool:
    """The caller has acknowledged our answer: pages may come. False ends the call."""
    row = _open(conn, reception, fence, "answered", now)
    if row is None:
        return False
    if row.state == ReceptionState.RINGING:
        move(conn, reception, ReceptionState.RECEIVING, now=now, values={"answered_at": now})
    return True


def page(conn: Connection, reception: str, page: ReceivedPage, file: StoredFile, *, fence: int, now: float) -> Kept:
    """Keep a page whose file is durable; after this its MCF may leave, but for LATE and REFUSED.

    A page that ended with EOP completes the reception in this very transaction: delivery need not wait for goodbyes.
    """
    old = conn.execute(
        select(t.reception_pages.c.sha256, t.reception_pages.c.confirmed).where(
            t.reception_pages.c.reception == reception, t.reception_pages.c.page == page.page
        )
    ).first()
    if old is not None:
        return Kept.KNOWN if old.sha256 == file.sha256 and old.confirmed else Kept.REFUSED
    opened = _open(conn, reception, fence, "page", now)
    row = opened or row_of(conn, reception)
    if opened is not None and page.page == 1 and (why := _denied(row, page)):
        note(conn, reception, "reception.denied", now=now, data={"why": why, "ident": page.ident[:40]})
        return Kept.REFUSED
    if page.page != row.pages + 1 or page.page > MAX_PAGES or row.state == ReceptionState.RINGING:
        note(conn, reception, "reception.page_refused", now=now, data={"page": page.page})
        return Kept.REFUSED
    conn.execute(
        insert(t.reception_pages).values(
            reception=reception,
            page=page.page,
            key=file.key,
            sha256=file.sha256,
            size=file.size,
            rows=page.rows,
            width=page.width,
            x_resolution=page.x_resolution,
            y_resolution=page.y_resolution,
            bad_rows=page.bad_rows,
            encoding=page.encoding[:8],
            page_end=page.end.value,
            confirmed=opened is not None,
            at=now,
        )
    )
    data: dict[str, object] = {"page": page.page, "rows": page.rows, "bad_rows": page.bad_rows, "end": page.end.value}
    if opened is None:
        note(conn, reception, "reception.page_late", now=now, data=data)
        return Kept.LATE
    conn.execute(
        update(t.receptions)
        .where(t.receptions.c.id == reception)
        .values(
            pages=page.page,
            page_end=page.end.value,
            ident=page.ident[:40] or row.ident,
            sub_address=page.sub_address[:24] or row.sub_address,
        )
    )
    note(conn, reception, "reception.page", now=now, data=data)
    readings.ask(conn, reception, page.page, row.settings, now=now)
    if page.end is PageEnd.EOP:
        move(conn, reception, close(page.page, page.end), now=now, data={"pages": page.page})
    return Kept.ADDED


def _denied(row: Row[Any], page: ReceivedPage) -> str:
    """Why the owner takes no faxes of this sender, known by the identification of its machine; empty: it does."""
    return denied.by_ident(from_snapshot(row.settings)["deny_idents"], page.ident)


def ended(
    conn: Connection,
    reception: str,
    outcome: Outcome,
    *,
    acknowledged: int,
    farewell: bool,
    fence: int,
    now: float,
    ladder: Ladder = (),
) -> ReceptionState | None:
    """The call is over: write down how, and close the reception by its pages if it is still open.

    Args:
        conn: The unit's connection.
        reception: The reception.
        outcome: What the call came to.
        acknowledged: Pages whose release reached the call worker in time; later ones are kept, unconfirmed.
        farewell: DCN came after the last MCF.
        fence: The node's fence.
        now: Unix seconds.
        ladder: Its T.30 frames.

    Returns:
        The reception's state now; None when it is no longer ours.
    """
    row = row_of(conn, reception)
    if row.fence != fence or row.ended_at is not None:
        note(conn, reception, "late.ended", now=now)
        return None
    stored = asdict(replace(outcome, frames=(), steps=()))
    stored["cause"] = outcome.cause.value
    conn.execute(
        update(t.receptions)
        .where(t.receptions.c.id == reception)
        .values(
            ended_at=now,
            farewell=farewell,
            cause=outcome.cause.value,
            outcome=stored,
            trace=[list(frame) for frame in ladder[:MAX_TRACE_FRAMES]],
            ident=row.ident or outcome.remote_ident[:40],
        )
    )
    conn.execute(
        update(t.reception_pages)
        .where(t.reception_pages.c.reception == reception, t.reception_pages.c.page > acknowledged)
        .values(confirmed=False)
    )
    data = {"cause": outcome.cause.value, "detail": outcome.detail[:400], "farewell": farewell, "pages": row.pages}
    note(conn, reception, "reception.ended", now=now, data=data)
    return _close(conn, row, now)


def _close(conn: Connection, row: Row[Any], now: float) -> ReceptionState:
    state = ReceptionState(row.state)
    if not state.open:
        return state
    to = close(row.pages, PageEnd(row.page_end) if row.page_end else None)
    move(conn, row.id, to, now=now, data={"pages": row.pages})
    return to


def abandon(conn: Connection, reception: str, *, now: float) -> None:
    """The call was refused because nobody knew whether its row was committed: close it if it is there."""
    if conn.execute(select(t.receptions.c.id).where(t.receptions.c.id == reception)).first() is not None:
        recover(conn, reception, now=now)


def open_strangers(conn: Connection) -> Sequence[Row[Any]]:
    """Receptions that nobody saw end: their node's incarnation is over."""
    going_on = t.receptions.c.state.in_([state.value for state in OPEN])
    return conn.execute(select(t.receptions).where(going_on, voided(t.receptions.c.fence))).all()


def recover(conn: Connection, reception: str, *, now: float) -> ReceptionState:
    """Close a reception that nobody saw end by its pages. Idempotent."""
    row = row_of(conn, reception)
    if ReceptionState(row.state).open:
        conn.execute(update(t.receptions).where(t.receptions.c.id == reception).values(ended_at=now, farewell=False))
        note(conn, reception, "reception.interrupted", now=now, data={"pages": row.pages})
    return _close(conn, row, now)
