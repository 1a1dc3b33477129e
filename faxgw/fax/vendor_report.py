"""A job's report as the vendor's interfaces tell it (docs/spine.md section 10): statuses, times, the deciding call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from faxgw.fax.job import FaxState
from faxgw.fax.outcome import Cause
from faxgw.fax.report import AttemptLine

PENDING = "PENDING"
"""Status of a fax that is not final."""
EXPIRED_REASON = "expired"
"""Reason of a fax whose latest time passed before it was dialled."""
MAX_COUNT = 65_535
"""Most pages and seconds that a report tells: clients keep them in 16 bits."""


@dataclass(frozen=True, slots=True)
class VendorRecipient:
    """One recipient of a report."""

    fax: str
    """The vendor's numId."""
    number: str
    """As typed."""
    properties: tuple[tuple[str, str], ...]
    status: str
    reason: str
    sent_at: float | None
    """End of the deciding call, Unix seconds."""
    duration: int
    """Seconds connected."""
    sent_to: str
    """`00` and the number dialled, or empty."""
    csid: str
    """Of the far end."""


@dataclass(frozen=True, slots=True)
class VendorReport:
    """A report."""

    job: str
    recipients: tuple[VendorRecipient, ...]
    pages: int
    reference: Mapping[str, str]
    """`customerDefinedId`, `billingCode`, `billingInfo`; each "" when not given."""


@dataclass(frozen=True, slots=True)
class JobFacts:
    """What a report repeats of the job, in the vendor's words."""

    mail: Mapping[str, str]
    """`successAddress`, `failureAddress`, where the job named them, and what goes with these mails:
    `attachedFaxImageMode` and `attachedFaxImageFormat`."""
    documents: Sequence[tuple[str, bool]]
    """Name, and whether its sender called it a text."""
    push: tuple[str, str] | None
    """Where the report is posted, and how its sender is known there; None: nowhere."""


@dataclass(frozen=True, slots=True)
class Deletion:
    """What became of the wish to delete one report."""

    job: str
    deleted: bool


def recipient_report(
    *,
    fax: str,
    number: str,
    properties: Sequence[tuple[str, str]],
    state: FaxState,
    cause: Cause | None,
    reason: str,
    attempts: Sequence[AttemptLine],
) -> VendorRecipient:
    """What the vendor's report says of one fax.

    Args:
        fax: Its id.
        number: As typed.
        properties: As given.
        state: Where it is.
        cause: Why; None: nothing has happened yet.
        reason: The public text of a refusal, or empty.
        attempts: Its closed calls, oldest first.
    """
    deciding = _deciding(state, attempts) if state.final else None
    status, text = _told(state, cause, reason)
    duration = 0.0
    if deciding is not None and deciding.answered_at is not None:
        duration = max(0.0, deciding.ended_at - deciding.answered_at)
    return VendorRecipient(
        fax=fax,
        number=number,
        properties=tuple(properties),
        status=status,
        reason=text,
        sent_at=deciding.ended_at if deciding else None,
        duration=min(MAX_COUNT, round(duration)),
        sent_to="00" + deciding.number.lstrip("+") if deciding else "",
        csid=deciding.remote_ident if deciding else "",
    )


def _told(state: FaxState, cause: Cause | None, reason: str) -> tuple[str, str]:
    if not state.final:
        return PENDING, cause.facts.text if cause is not None else ""
    if state is FaxState.SENT:
        return Cause.OK.facts.status, "OK"
    if state is FaxState.UNKNOWN:
        return Cause.IN_DOUBT.facts.status, Cause.IN_DOUBT.facts.text
    if state is FaxState.EXPIRED and cause in (None, Cause.EXPIRED):
        return Cause.EXPIRED.facts.status, EXPIRED_REASON
    facts = (cause or Cause.CANCELLED).facts
    return facts.status, (reason if state is FaxState.FAILED else "") or facts.text


def _deciding(state: FaxState, attempts: Sequence[AttemptLine]) -> AttemptLine | None:
    """The call that decided: the one that confirmed the last page, else the last connected one, else the last."""
    if not attempts:
        return None
    if state is FaxState.SENT:
        return next((line for line in reversed(attempts) if line.cause is Cause.OK), attempts[-1])
    return next((line for line in reversed(attempts) if line.answered_at is not None), attempts[-1])
