"""What programs are told of a received fax beside its report: of its call, its pages, and what its rules said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any  # rows

from sqlalchemy import Connection, select

from faxgw.fax.account import from_snapshot
from faxgw.formats.received_payload import ReceivedFacts
from faxgw.store import schema as t
from faxgw.store.routing import FINE_FROM


def facts_of(conn: Connection, reception: str) -> ReceivedFacts:
    """What is known; what the archive has forgotten is empty."""
    row = conn.execute(select(t.receptions).where(t.receptions.c.id == reception)).first()
    if row is None:
        return ReceivedFacts()
    pages = conn.execute(
        select(t.reception_pages.c.y_resolution, t.reception_pages.c.at)
        .where(t.reception_pages.c.reception == reception)
        .order_by(t.reception_pages.c.page)
    ).all()
    outcome: Mapping[str, Any] = row.outcome or {}
    settings = from_snapshot(row.settings)
    said: Mapping[str, Any] = row.routing or {}
    ended = row.ended_at or (pages[-1].at if pages else row.started_at)
    return ReceivedFacts(
        csid=settings["csid"] or row.number,
        bit_rate=int(outcome.get("bit_rate") or 0),
        duration=max(0.0, ended - (row.answered_at or row.started_at)),
        fine=tuple(page.y_resolution >= FINE_FROM for page in pages),
        billing_code=str(settings["billing_code"]),
        tags=tuple(said.get("tags") or ()),
        extracted=dict(said.get("extracted") or {}),
    )
