"""What is told of a fax: the store's values as documents of the API."""

from __future__ import annotations

from typing import Any, cast  # Any: rows

from faxgw.api.v1.fax_models import MAX_TOLD, Accepted, AcceptedFax, Fax, Job, LeftOutPart, State
from faxgw.api.v1.types import shown, shown_or_none
from faxgw.fax.job import FaxState
from faxgw.fax.outcome import Cause
from faxgw.fax.report import LeftOutParts
from faxgw.store.fax_book import BookedFax, JobSum

_QUIET = frozenset({FaxState.ACCEPTED, FaxState.RENDERING, FaxState.READY, FaxState.CALLING})
"""States in which there is nothing to explain."""


def fax(booked: BookedFax) -> Fax:
    """A fax."""
    received = booked.received
    return Fax(
        id=booked.id,
        direction="in" if received else "out",
        state=cast(State, booked.state.value),
        final=booked.final,
        cause=booked.cause,
        detail=_detail(booked),
        number=booked.number,
        number_typed=booked.number_typed,
        own_number=booked.own_number,
        station_id=booked.ident,
        caller_name=booked.caller_name,
        pages=booked.pages if received else booked.pages or None,
        pages_confirmed=booked.confirmed,
        doubtful_page=booked.doubtful,
        complete=booked.complete,
        job=booked.job or None,
        position=booked.position or None,
        resend_of=booked.resend_of or None,
        user=short(booked.user),
        subject=booked.subject,
        reference=booked.reference,
        cost_centre=booked.cost_centre,
        priority="express" if booked.priority == "express" else "normal",
        properties=dict(booked.properties),
        dials=booked.dials,
        created_at=shown(booked.created_at),
        changed_at=shown(booked.since),
        next_call_at=shown_or_none(booked.until),
        expires_at=shown_or_none(booked.latest),
        finished_at=shown_or_none(booked.finished_at),
        acknowledged_at=shown_or_none(booked.acknowledged_at),
        acknowledged_by=booked.acknowledged_by,
        left_out=_left_out(booked.left_out),
        left_out_count=booked.left_out.count,
    )


def _left_out(found: LeftOutParts) -> list[LeftOutPart]:
    return [LeftOutPart(name=part.name, why=part.why) for part in found.parts]


def _detail(booked: BookedFax) -> str:
    if booked.reason:
        return booked.reason
    if booked.cause is None or booked.state in _QUIET:
        return ""
    return booked.cause.facts.text


def short(user: str) -> str:
    """A user's name within its customer."""
    return user.partition("/")[2]


def job(summed: JobSum) -> Job:
    """A job."""
    return Job(
        id=summed.id,
        created_at=shown(summed.accepted_at),
        finished_at=shown_or_none(summed.finished_at),
        user=short(summed.user),
        subject=summed.subject,
        reference=summed.reference,
        resend_of=summed.resend_of or None,
        count=sum(summed.states.values()),
        states=dict(summed.states),
        left_out=_left_out(summed.left_out),
        left_out_count=summed.left_out.count,
    )


def accepted(row: Any, count: int, faxes: list[Any]) -> Accepted:
    """What was promised: of what does not change afterwards, so that a repeated request is answered alike."""
    return Accepted(
        job=row.id,
        created_at=shown(row.accepted_at),
        reference=row.reference,
        count=count,
        faxes=[_accepted_fax(fax_row) for fax_row in faxes[:MAX_TOLD]],
    )


def _accepted_fax(row: Any) -> AcceptedFax:
    refused = not any(number["e164"] for number in row.numbers)
    return AcceptedFax(
        id=row.id,
        position=row.position,
        number=row.numbers[0]["typed"],
        state="failed" if refused else "accepted",
        detail=row.reason or Cause.NUMBER_REFUSED.facts.text if refused else "",
    )
