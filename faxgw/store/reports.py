"""The reports of a job, built from its rows and put into the outbox by the transaction that finishes it.

Whom they go to was fixed when the job was accepted (docs/spine.md section 1): never the null sender, never an
address that was not authorised. What is a DSN and what a status mail is the law of `fax.dsn`.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any  # rows

from sqlalchemy import Connection, Row, Select, func, select

from faxgw.fax.account import Effective, from_snapshot
from faxgw.fax.dsn import Envelope, Telling, tell_doubt, tell_finished, tell_late, tell_unknown
from faxgw.fax.header import PERSONAL
from faxgw.fax.job import FaxState, PageState
from faxgw.fax.outcome import Cause
from faxgw.fax.ports import EnclosedFile, StoredFile
from faxgw.fax.report import AttemptLine, FaxPages, FaxReport, JobReport, PagesTold
from faxgw.formats.report_payload import dsn_to_payload, report_to_payload
from faxgw.store import left_out, outbox, pushes, result_files, sources
from faxgw.store import schema as t
from faxgw.store.envelope import envelope_of

KIND = "job_report"
"""Kind of an outbox item that orders the reports of a large job (dispatch/job_reports.py)."""
AT_ONCE = 250
"""Faxes of a job at most whose reports are written by the transaction that finishes it: some 30 ms."""
MAX_PAGES_ENCLOSED = 10_000_000
"""Octets of the pages that go with a status mail at most; they grow by a third on the way."""
_Faxes = Select[tuple[str]] | Sequence[str]
"""Ids of faxes, or the query that finds them."""
_NAMESPACE = uuid.UUID("6f1d3c1e-2d4b-5c57-9a53-0f0a3f0a7c10")
"""For ids that a repeated unit must find again (RFC 9562 section 5.5)."""


def item_id(*parts: str) -> str:
    """The outbox id of one report to one address: the same however often the unit runs."""
    return "out_" + uuid.uuid5(_NAMESPACE, "/".join(parts)).hex


def finished(conn: Connection, job: str, now: float) -> None:
    """Write the DSN and the status mails of a job that is finished; of a large one, the order to write them.

    A unit lasts 100 ms (spine section 7), and the report of five thousand faxes takes half a second to build.
    """
    faxes, customer = conn.execute(
        select(func.count(t.faxes.c.id), t.jobs.c.customer)
        .join(t.jobs, t.jobs.c.id == t.faxes.c.job)
        .where(t.faxes.c.job == job)
        .group_by(t.jobs.c.customer)
    ).one()
    if faxes > AT_ONCE:
        outbox.put(conn, item_id(job, "finished", KIND), KIND, job, customer=customer, payload={}, now=now, job=job)
    else:
        tell(conn, told(conn, job), now)
    result_files.announce(conn, job, item_id(job, "finished", result_files.KIND), now)
    pushes.announce(conn, job, item_id(job, "finished", pushes.KIND), customer, now)


def told(conn: Connection, job: str) -> Sequence[Item]:
    """What is to be told of a finished job, and to whom; reads only, and nothing that changes any more."""
    report, envelope, report_to = _asked(conn, job)
    settings = from_snapshot(conn.execute(select(t.jobs.c.settings).where(t.jobs.c.id == job)).scalar_one())
    sender = envelope.sender if envelope else ""
    reported = [
        f.fax
        for f in report.faxes
        if f.state is FaxState.UNKNOWN and outbox.written(conn, item_id(job, f"unknown/{f.fax}", "dsn", sender))
    ]
    telling = tell_finished(
        report,
        envelope,
        report_to,
        success=settings["report_success"],
        failure=settings["report_failure"],
        reported=reported,
    )
    return _items(report, telling, "finished", _pages_with(conn, report, settings))


def tell(conn: Connection, items: Sequence[Item], now: float) -> None:
    """Write it; run again, it finds its items and is done."""
    for one in items:
        outbox.put(
            conn,
            one.id,
            one.kind,
            one.target,
            customer=one.customer,
            payload=one.payload,
            now=now,
            job=one.job,
            message=one.message,
        )


def doubt(conn: Connection, fax: str, attempt: str, now: float) -> None:
    """Tell the sender now that a fax is in doubt while it goes on by policy (`remaining`, `marked`)."""
    job = conn.execute(select(t.faxes.c.job).where(t.faxes.c.id == fax)).scalar_one()
    report, envelope, report_to = _asked(conn, job, in_doubt=fax)
    tell(conn, _items(report, tell_doubt(report, envelope, report_to, fax), f"doubt/{attempt}"), now)


def unknown(conn: Connection, fax: str, now: float) -> None:
    """Tell the sender now that a fax ended unknown while others of its job go on (spine section 5: within 60 s)."""
    row = conn.execute(
        select(t.jobs.c.id, t.jobs.c.open).join(t.faxes, t.faxes.c.job == t.jobs.c.id).where(t.faxes.c.id == fax)
    ).one()
    if row.open:
        report, envelope, report_to = _asked(conn, row.id)
        tell(conn, _items(report, tell_unknown(report, envelope, report_to, fax), f"unknown/{fax}"), now)


def late(conn: Connection, job: str, faxes: Collection[str], now: float) -> None:
    """Tell the sender that faxes of a job are late, where a DSN was asked for that."""
    report, envelope, _report_to = _asked(conn, job)
    tell(conn, _items(report, tell_late(report, envelope, faxes), "late"), now)


def _asked(conn: Connection, job: str, *, in_doubt: str = "") -> tuple[JobReport, Envelope | None, Sequence[str]]:
    """What there is to tell of a job, what its client asked for, and who reads status mails."""
    row = conn.execute(select(t.jobs.c.message, t.jobs.c.report_to).where(t.jobs.c.id == job)).one()
    report = job_report(conn, job, in_doubt=in_doubt)
    readers = row.report_to
    if isinstance(readers, dict):
        readers = readers["success" if all(f.state is FaxState.SENT for f in report.faxes) else "failure"]
    return report, envelope_of(conn, row.message), readers


def _pages_with(conn: Connection, report: JobReport, settings: Effective) -> tuple[Sequence[EnclosedFile], FaxPages]:
    """The pages that go with a job's status mails, by its settings, and what is to be said of them.

    Of several faxes it is the first one's that the mail is about, sent or not: the others differ in header and cover.
    They are those of its newest call, header line and all; the bare pages where there was none.
    """
    sent, mode = all(fax.state is FaxState.SENT for fax in report.faxes), settings["report_attachment"]
    if mode not in ("always", "success_only" if sent else "failure_only"):
        return (), FaxPages()
    fax = next(fax for fax in report.faxes if sent or fax.state is not FaxState.SENT)
    told = FaxPages(PagesTold.SENT, settings["report_format"], fax.number_e164, fax.pages_total, len(report.faxes))
    parts = t.attempt_faxes.c
    newest = conn.execute(
        select(parts.tiff_key.label("key"), parts.tiff_sha256.label("sha256"), parts.tiff_size.label("size"))
        .join(t.attempts, parts.attempt == t.attempts.c.id)
        .where(parts.fax == fax.fax)
        .order_by(t.attempts.c.planned_at.desc(), t.attempts.c.id.desc())
        .limit(1)
    ).first()
    if not sent:
        told = replace(told, told=PagesTold.TRIED)
    if newest is None:
        columns = t.jobs.c.body_key.label("key"), t.jobs.c.body_sha256.label("sha256"), t.jobs.c.body_size.label("size")
        newest = conn.execute(select(*columns).where(t.jobs.c.id == report.job)).one()
        told = replace(told, told=PagesTold.PREPARED)
    if newest.key is None or not newest.size or not fax.pages_total:
        return (), FaxPages()
    if newest.size > MAX_PAGES_ENCLOSED:
        return (), replace(told, told=PagesTold.TOO_LARGE)
    file = StoredFile(newest.key, newest.sha256, newest.size)
    return (EnclosedFile(f"{fax.fax}.tif", "image/tiff", file),), told


@dataclass(frozen=True, slots=True)
class Item:
    """One item of the outbox that tells of a job."""

    id: str
    kind: str
    target: str
    customer: str
    job: str
    payload: Mapping[str, object]
    message: str | None = None


def _items(
    report: JobReport,
    telling: Telling,
    occasion: str,
    pages: tuple[Sequence[EnclosedFile], FaxPages] = ((), FaxPages()),
) -> Sequence[Item]:
    """What the law of DSNs has decided."""
    if telling.report is None:
        return ()
    found = []
    if telling.dsn is not None:
        payload = dsn_to_payload(telling.report, telling.dsn)
        ident = item_id(report.job, occasion, "dsn", telling.dsn_to)
        found.append(Item(ident, "dsn", telling.dsn_to, report.customer, report.job, payload, telling.dsn.message))
    payload = report_to_payload(telling.report, *pages) if telling.status_to else {}
    for address in telling.status_to:
        ident = item_id(report.job, occasion, address)
        found.append(Item(ident, "status_mail", address, report.customer, report.job, payload))
    return found


def job_report(conn: Connection, job: str, *, in_doubt: str = "") -> JobReport:
    """Everything a sender may be told of a job, as it stands in this transaction (thumbnail left out)."""
    row = conn.execute(select(t.jobs).where(t.jobs.c.id == job)).one()
    settings = from_snapshot(row.settings)
    faxes = conn.execute(select(t.faxes).where(t.faxes.c.job == job).order_by(t.faxes.c.position)).all()
    ours = select(t.faxes.c.id).where(t.faxes.c.job == job)
    counts, lines = _page_counts(conn, ours), attempt_lines_of(conn, ours)
    return JobReport(
        job=row.id,
        customer=row.customer,
        owner=row.owner,
        subject=row.subject,
        in_reply_to=row.in_reply_to,
        accepted_at=row.accepted_at,
        finished_at=row.finished_at,
        faxes=tuple(_fax_report(f, counts[f.id], lines[f.id], in_doubt=f.id == in_doubt) for f in faxes),
        time_zone=settings["time_zone"],
        language=settings["language"],
        billing_code=settings["billing_code"],
        thumbnail=b"",
        resent_of=row.resend_of or "",
        order=settings["report_order"],
        style=settings["mail_template"],
        repaired=sources.repaired(conn, row.id),
        reference=row.reference or "",
        left_out=left_out.read(row.left_out),
    )


def _fax_report(
    row: Row[Any], counts: tuple[int, int | None], lines: Sequence[AttemptLine], *, in_doubt: bool
) -> FaxReport:
    confirmed, doubtful = counts
    cause = Cause(row.cause) if row.cause else Cause.OK
    return FaxReport(
        fax=row.id,
        position=row.position,
        number_typed=row.numbers[0]["typed"],
        number_e164=row.numbers[row.number_index]["e164"],
        state=FaxState(row.state),
        cause=Cause.IN_DOUBT if in_doubt else cause,
        in_doubt=in_doubt,
        pages_total=row.pages,
        pages_confirmed=row.pages if row.state == FaxState.SENT else confirmed,
        doubtful_page=None if row.state == FaxState.SENT else doubtful,
        reason=row.reason if row.state == FaxState.FAILED else "",
        attempts=tuple(lines),
        finished_at=row.finished_at,
        personal=dict(row.properties or ()).get(PERSONAL, ""),
    )


def page_counts(conn: Connection, fax: str) -> tuple[int, int | None]:
    """(longest run of confirmed pages at one number, the page that is in doubt there or None)."""
    return _page_counts(conn, [fax])[fax]


def page_counts_of(conn: Connection, faxes: Sequence[str]) -> Mapping[str, tuple[int, int | None]]:
    """`page_counts` of many faxes; (0, None) of one without calls."""
    return _page_counts(conn, faxes)


def _page_counts(conn: Connection, faxes: _Faxes) -> Mapping[str, tuple[int, int | None]]:
    """`page_counts` of many faxes.

    The runs are those of the calls: the ledger forgets them when all pages are sent again (policy `marked`).
    """
    parts = t.attempt_faxes.c
    runs = conn.execute(
        select(parts.fax, parts.number_index, func.max(parts.confirmed).label("run"))
        .where(parts.fax.in_(faxes))
        .group_by(parts.fax, parts.number_index)
    ).all()
    pages = t.page_ledger.c
    query = select(pages.fax, pages.number_index, pages.page).where(
        pages.fax.in_(faxes), pages.state == PageState.DOUBTFUL
    )
    doubtful: dict[tuple[str, int], list[int]] = defaultdict(list)
    for row in conn.execute(query):
        doubtful[row.fax, row.number_index].append(row.page)
    found: dict[str, tuple[int, int | None]] = defaultdict(lambda: (0, None))
    for row in runs:
        doubt = min((p for p in doubtful[row.fax, row.number_index] if p > row.run), default=None)
        best = found.get(row.fax)
        if best is None or (row.run, doubt is not None) > (best[0], best[1] is not None):
            found[row.fax] = (row.run, doubt)
    return found


def attempt_lines(conn: Connection, fax: str) -> list[AttemptLine]:
    """Every closed call of a fax, oldest first, and the one that has just confirmed its last page."""
    return attempt_lines_of(conn, [fax])[fax]


def attempt_lines_of(conn: Connection, faxes: _Faxes) -> Mapping[str, list[AttemptLine]]:
    """`attempt_lines` of many faxes."""
    calls, parts = t.attempts.c, t.attempt_faxes.c
    rows = conn.execute(
        select(
            calls.number,
            calls.planned_at,
            calls.answered_at,
            calls.done_at,
            calls.cause,
            calls.outcome,
            parts.fax,
            parts.first_page,
            parts.last_page,
            parts.confirmed,
        )
        .join(t.attempt_faxes, parts.attempt == calls.id)
        .where(parts.fax.in_(faxes), calls.done_at.is_not(None) | (parts.confirmed == parts.last_page))
        .order_by(calls.planned_at, calls.id)
    ).all()
    lines: dict[str, list[AttemptLine]] = defaultdict(list)
    for row in rows:
        outcome = row.outcome or {}
        lines[row.fax].append(
            AttemptLine(
                number=row.number,
                started_at=row.planned_at,
                answered_at=row.answered_at,
                ended_at=row.done_at or outcome.get("confirmed_at", row.planned_at),
                cause=Cause(row.cause) if row.done_at else Cause.OK,
                pages_confirmed=max(0, row.confirmed - row.first_page + 1),
                transport=outcome.get("transport", ""),
                bit_rate=outcome.get("bit_rate", 0),
                ecm=outcome.get("ecm", False),
                remote_ident=outcome.get("remote_ident", ""),
                detail=outcome.get("detail", ""),
            )
        )
    return lines


def thumbnail_of(conn: Connection, job: str) -> bytes:
    """The PNG of page 1 of a job, or empty."""
    return bytes(conn.execute(select(t.jobs.c.thumbnail).where(t.jobs.c.id == job)).scalar() or b"")
