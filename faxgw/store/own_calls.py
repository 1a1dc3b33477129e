"""What a customer's own calls taught of a number: never what other customers' calls did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any  # JSON

from sqlalchemy import Connection, func, select

from faxgw.fax.job import FaxState
from faxgw.fax.outcome import Cause
from faxgw.store import schema as t

MAX_CALLS = 50
"""Calls looked at, the newest."""


@dataclass(frozen=True, slots=True)
class OwnCalls:
    """Faxes to a number, and the newest calls of them. Times are Unix seconds."""

    faxes: int
    sent: int
    called_at: float | None
    cause: Cause | None
    """Of the newest call that is over."""
    station_id: str
    """What the far machine called itself last."""
    transport: str
    bit_rate: int
    """Of the newest call that negotiated one."""
    ecm: bool


def to_number(conn: Connection, customer: str, e164: str, *, user: str = "") -> OwnCalls:
    """What is known of a number.

    Args:
        conn: The unit's connection.
        customer: Whose calls.
        e164: The number.
        user: User id; empty: of all users.
    """
    faxes, calls, parts = t.faxes.c, t.attempts.c, t.attempt_faxes.c
    counted = select(faxes.state, func.count()).join(t.jobs, t.jobs.c.id == faxes.job)
    called = (
        select(calls.planned_at, calls.cause, calls.done_at, calls.outcome)
        .join(t.attempt_faxes, parts.attempt == calls.id)
        .join(t.faxes, faxes.id == parts.fax)
        .join(t.jobs, t.jobs.c.id == faxes.job)
    )
    ours = [faxes.customer == customer, faxes.e164 == e164] + ([t.jobs.c.user == user] if user else [])
    states = {row[0]: row[1] for row in conn.execute(counted.where(*ours).group_by(faxes.state))}
    rows = conn.execute(
        called.where(*ours, calls.number == e164).order_by(calls.planned_at.desc()).limit(MAX_CALLS)
    ).all()
    over = [row for row in rows if row.done_at is not None]
    talked: Mapping[str, Any] = next((row.outcome for row in over if row.outcome and row.outcome.get("bit_rate")), {})
    heard: Mapping[str, Any] = next(
        (row.outcome for row in over if row.outcome and row.outcome.get("remote_ident")), {}
    )
    return OwnCalls(
        faxes=sum(states.values()),
        sent=states.get(FaxState.SENT.value, 0),
        called_at=rows[0].planned_at if rows else None,
        cause=Cause(over[0].cause) if over and over[0].cause else None,
        station_id=heard.get("remote_ident", ""),
        transport=talked.get("transport", ""),
        bit_rate=talked.get("bit_rate", 0),
        ecm=talked.get("ecm", False),
    )
