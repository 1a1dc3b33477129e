"""Reports to build mails from. Numbers are of the ranges reserved for fiction."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from faxgw.fax.job import FaxState
from faxgw.fax.outcome import Cause
from faxgw.fax.report import AttemptLine, FaxReport, JobReport, RefusedReport

T = 1_795_265_000.0
"""21 November 2026, 13:43:20 in Paris (UTC+01:00)."""
PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg==")
NUMBER = "+33199000001"


def call(
    cause: Cause = Cause.OK, pages: int = 3, *, n: int = 1, answered: bool = True, number: str = NUMBER
) -> AttemptLine:
    start = T + 300 * n
    return AttemptLine(
        number=number,
        started_at=start,
        answered_at=start + 7 if answered else None,
        ended_at=start + (79 if answered else 31),
        cause=cause,
        pages_confirmed=pages,
        transport="t38" if answered else "",
        bit_rate=14_400 if answered else 0,
        ecm=answered,
        remote_ident="FAX PARIS 01" if answered else "",
        detail="SIP 486 from 192.0.2.7",
    )


def fax(
    state: FaxState = FaxState.SENT,
    cause: Cause = Cause.OK,
    *calls: AttemptLine,
    position: int = 1,
    total: int = 3,
    confirmed: int = 3,
    doubtful: int | None = None,
    in_doubt: bool = False,
    number: str = NUMBER,
    typed: str = "01 99 00 00 01",
    reason: str = "",
) -> FaxReport:
    return FaxReport(
        fax=f"FN{position:020}",
        position=position,
        number_typed=typed,
        number_e164=number,
        state=state,
        cause=cause,
        in_doubt=in_doubt,
        pages_total=total,
        pages_confirmed=confirmed,
        doubtful_page=doubtful,
        reason=reason,
        attempts=calls,
        finished_at=T + 2000 if state.final else None,
    )


def job(
    faxes: Sequence[FaxReport], *, language: str = "en", subject: str = "Invoice 4711", thumbnail: bytes = PNG
) -> JobReport:
    return JobReport(
        job="FABCDEFGHIJKLMNOPQRST1",
        customer="cus_1",
        owner="ann@example.org",
        subject=subject,
        in_reply_to="<abc.1@mua.example.org>",
        accepted_at=T,
        finished_at=T + 2000,
        faxes=tuple(faxes),
        time_zone="Europe/Paris",
        language=language,
        billing_code="KST-42",
        thumbnail=thumbnail,
    )


def refused(*, language: str = "en", our_fault: bool = False, recipients: Sequence[str] = (NUMBER,)) -> RefusedReport:
    return RefusedReport(
        message="msg_018f",
        subject="Invoice 4711",
        in_reply_to="<abc.1@mua.example.org>",
        received_at=T,
        recipients=tuple(recipients),
        reason="The PDF is encrypted.",
        our_fault=our_fault,
        time_zone="Europe/Paris",
        language=language,
    )


DELIVERED = fax(FaxState.SENT, Cause.OK, call())
BUSY = fax(FaxState.FAILED, Cause.BUSY, *(call(Cause.BUSY, 0, n=n, answered=False) for n in (1, 2, 3)), confirmed=0)
PARTLY = fax(FaxState.FAILED, Cause.REMOTE_HUNG_UP, call(Cause.REMOTE_HUNG_UP, 1), confirmed=1)
UNKNOWN = fax(FaxState.UNKNOWN, Cause.IN_DOUBT, call(Cause.IN_DOUBT, 1), confirmed=1, doubtful=2)
AGAIN = fax(FaxState.WAITING, Cause.IN_DOUBT, call(Cause.IN_DOUBT, 1), confirmed=1, doubtful=2, in_doubt=True)
LAST_PAGE = fax(
    FaxState.FAILED, Cause.LAST_PAGE_NOT_CONFIRMED, call(Cause.LAST_PAGE_NOT_CONFIRMED, 2), confirmed=2, doubtful=3
)
CANCELLED = fax(FaxState.CANCELLED, Cause.CANCELLED, confirmed=0)
EXPIRED = fax(FaxState.EXPIRED, Cause.BUSY, call(Cause.BUSY, 0, answered=False), confirmed=0)
NOT_RENDERED = fax(
    FaxState.FAILED, Cause.RENDERING_FAILED, total=0, confirmed=0, reason="The PDF is encrypted with a password."
)
