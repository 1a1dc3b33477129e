"""What the gateway counts and shows of itself: metrics, and the status that the operator sees first."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any  # the status as JSON

from faxgw.dispatch.inbound import Arriving
from faxgw.dispatch.outbound import Live
from faxgw.document.types import Conversion
from faxgw.fax.job import FINAL, FaxState
from faxgw.fax.outcome import Outcome
from faxgw.fax.ports import Parcel
from faxgw.line.sip import SipLine
from faxgw.metrics import Metrics
from faxgw.store import ledger, outbox, queue, routing
from faxgw.store.engine import Store


class Counting:
    """Counts what the parts tell.

    Args:
        metrics: The counters.
    """

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
        self.dead_letters = 0
        """Deliveries given up since the start."""

    def call(self, trunk: str, outcome: Outcome) -> None:
        """A call of ours is over."""
        transport = outcome.transport or "none"
        self.metrics.calls.labels(trunk, "out", transport, outcome.cause.value).inc()
        if outcome.answered_at is not None:
            self.metrics.call_duration.labels("out").observe(outcome.duration)
            self.metrics.answer_duration.labels(trunk).observe(max(0.0, outcome.answered_at - outcome.started_at))
        if outcome.bit_rate:
            self.metrics.negotiated_rate.labels("out").observe(outcome.bit_rate)
        self.metrics.ecm_retries.labels("out").inc(outcome.ecm_retries)

    def page(self, ecm: bool, seconds: float) -> None:
        """A page of ours was confirmed: with or without ECM, and how long it took."""
        self.metrics.pages.labels("out", "ecm" if ecm else "no_ecm").inc()
        self.metrics.page_duration.labels("out").observe(seconds)

    def rendering(self, kind: str, seconds: float) -> None:
        """A document was rendered."""
        self.metrics.render_duration.labels(kind).observe(seconds)

    def conversion(self, facts: Conversion) -> None:
        """A program outside is done with a document."""
        self.metrics.conversion_duration.labels(facts.kind.value, facts.ending.value).observe(facts.seconds)
        self.metrics.office_starts.inc(max(0, facts.started))

    def delivery(self, parcel: Parcel, seconds: float) -> None:
        """A delivery was taken."""
        self.metrics.delivery_latency.labels(parcel.kind).observe(seconds)

    def reception(self, trunk: str, outcome: Outcome, pages: int) -> None:
        """A call to us is over."""
        transport = outcome.transport or "none"
        self.metrics.calls.labels(trunk, "in", transport, outcome.cause.value).inc()
        if outcome.answered_at is not None:
            self.metrics.call_duration.labels("in").observe(outcome.duration)
        if outcome.bit_rate:
            self.metrics.negotiated_rate.labels("in").observe(outcome.bit_rate)
        self.metrics.ecm_retries.labels("in").inc(outcome.ecm_retries)
        if pages:
            self.metrics.pages.labels("in", "ecm" if outcome.ecm else "no_ecm").inc(pages)

    def session(self, result: str) -> None:
        """An SMTP session is over."""
        self.metrics.smtp_sessions.labels(result).inc()

    def mail(self, result: str) -> None:
        """A mail came to its final dot."""
        self.metrics.smtp_mails.labels(result).inc()

    def promise(self, seconds: float) -> None:
        """From a final dot to its promise, or refusal, it took so long."""
        self.metrics.smtp_promise.observe(seconds)

    def dead(self) -> None:
        """A delivery was given up."""
        self.dead_letters += 1

    def untold(self, closed: str) -> str:
        """What keeps reports from their readers, for the health; empty: nothing.

        Args:
            closed: Ways of mails that are closed, and why.
        """
        return "; ".join(["reports were given up"] * (self.dead_letters > 0) + [closed] * bool(closed))

    def style_fault(self) -> None:
        """A customer's mail template failed; the shipped designs were used."""
        self.metrics.mail_template_faults.inc()

    async def refresh(
        self, store: Store, line: SipLine | None, leaving: Collection[Live], arriving: Collection[Arriving], now: float
    ) -> None:
        """Read the gauges anew, before somebody looks at them.

        Args:
            store: The database.
            line: The line, once it is there.
            leaving: Calls of ours in progress.
            arriving: Calls to us in progress.
            now: Unix seconds.
        """
        counts = await store.read(queue.count_by_state)
        self.metrics.jobs.clear()
        for open_state in set(FaxState) - FINAL:
            self.metrics.jobs.labels("out", open_state.value).set(counts.get(open_state.value, 0))
        for state, number in (await store.read(routing.count_by_state)).items():
            self.metrics.jobs.labels("in", state).set(number)
        for priority, at in (await store.read(lambda conn: ledger.oldest_callable(conn, now=now))).items():
            self.metrics.queue_oldest.labels(priority).set(now - at if at else 0.0)
        oldest = await store.read(outbox.oldest_open)
        self.metrics.delivery_oldest.set(now - oldest if oldest else 0.0)
        if line is not None:
            for trunk, limit in line.channels.items():
                used = sum(call.trunk == trunk for call in leaving) + sum(call.trunk == trunk for call in arriving)
                self.metrics.trunk_limit.labels(trunk).set(limit)
                self.metrics.trunk_channels.labels(trunk).set(used)


def calls_of_the_status(
    leaving: Collection[Live], arriving: Collection[Arriving]
) -> Mapping[str, list[dict[str, Any]]]:
    """The calls in progress as the status names them: `calls` are ours, `receptions` those to us."""
    return {
        "calls": [
            {"attempt": call.attempt, "fax": call.fax, "number": call.number, **_progress(call)} for call in leaving
        ],
        "receptions": [
            {"reception": call.reception, "number": call.number, "caller": call.caller, **_progress(call)}
            for call in arriving
        ],
    }


def _progress(call: Live | Arriving) -> dict[str, Any]:
    return {
        "trunk": call.trunk,
        "started_at": call.started_at,
        "pages": call.pages,
        "phase": call.progress.phase,
        "page": call.progress.page,
        "remote_ident": call.progress.remote_ident,
    }
