"""Replies that are faxed to callers (features G6): each a job like any other, through the same funnel.

The job belongs to the number's customer, counts against its quotas and is subject to its account's state, dial plan
and header policy. Its key is the received fax: handed in again after a crash, it is the same job. Nobody is mailed
about it but where the customer's settings send reports.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from faxgw.dispatch.seat import Seat
from faxgw.dispatch.station import Station
from faxgw.fax import ids
from faxgw.fax.errors import FaxError
from faxgw.fax.ports import Principal
from faxgw.fax.reception import ReceptionState
from faxgw.fax.submission import JobRecipient, JobRefused, JobSubmission, JobSubmissions
from faxgw.store import replies
from faxgw.store.replies import Reply

log = logging.getLogger(__name__)

PLACES = 2
"""Replies that are handed in at the same time."""
OWNER = "reply:"
"""How the owner of such a job begins; the received fax follows."""
KEY_FOR = 30 * 86_400.0
"""Seconds for which the key of a reply holds."""

TEXTS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "subject": "We have received your fax",
        "complete": "Your fax of {date} to {number} has arrived in full: {pages} page(s). Our reference: {id}.",
        "partial": "Your fax to {number} of {date} broke off. {pages} page(s) have arrived; please send it again. "
        "Our reference: {id}.",
    },
    "fr": {
        "subject": "Nous avons reçu votre télécopie",
        "complete": "Votre télécopie du {date} au {number} est arrivée en entier : {pages} page(s). "
        "Notre référence : {id}.",
        "partial": "Votre télécopie du {date} au {number} a été interrompue. {pages} page(s) sont arrivées ; "
        "veuillez la renvoyer. Notre référence : {id}.",
    },
    "de": {
        "subject": "Wir haben Ihr Fax erhalten",
        "complete": "Ihr Fax vom {date} an {number} ist vollständig angekommen: {pages} Seite(n). Unser Zeichen: {id}.",
        "partial": "Ihr Fax vom {date} an {number} ist abgebrochen. {pages} Seite(n) sind angekommen; "
        "bitte senden Sie es noch einmal. Unser Zeichen: {id}.",
    },
}
"""What a reply says in each language; it is the comment of its cover page."""


class Replying:
    """Hands replies in.

    Args:
        seat: The node.
        jobs: The funnel.
    """

    def __init__(self, seat: Seat, jobs: JobSubmissions) -> None:
        self._seat = seat
        self._jobs = jobs
        self.station: Station[Reply] = Station(
            "reply",
            places=PLACES,
            wake=seat.store.listen(replies.TOPIC),
            take=self._take,
            work=self._hand_in,
            next_due=lambda: seat.store.read(replies.next_due),
            clock=seat.clock,
        )

    async def _take(self, limit: int) -> Sequence[Reply]:
        return await self._seat.store.run(lambda conn: replies.due(conn, now=self._seat.clock(), limit=limit))

    async def _hand_in(self, reply: Reply) -> None:
        seat, reception = self._seat, reply.reception
        job = job_of(reply, str(ids.job_id(secrets.token_bytes(ids.RANDOM_OCTETS))), seat.clock())
        try:
            answer = await self._jobs.submit(job)
        except FaxError as exc:
            log.warning("reply not handed in", extra={"event": "reply.deferred", "why": str(exc)})
            if not exc.temporary or reply.tries >= replies.MAX_TRIES:
                why = exc.public
                await seat.persist(lambda conn: replies.given_up(conn, reception, why, now=seat.clock()))
            return
        if isinstance(answer, JobRefused):
            why = answer.text
            await seat.persist(lambda conn: replies.given_up(conn, reception, why, now=seat.clock()))
            log.warning("no reply", extra={"event": "reply.refused", "reception": reception, "why": why})
            return
        made = answer.job
        await seat.persist(lambda conn: replies.handed_in(conn, reception, made, now=seat.clock()))
        log.info("reply handed in", extra={"event": "reply.job", "reception": reception, "job": made})


def job_of(reply: Reply, job: str, now: float) -> JobSubmission:
    """The job of a reply: a cover page made of its template, with the details of the transmission."""
    row, settings = reply.row, reply.settings
    language = (row["routing"] or {}).get("language") or settings["language"]
    words = TEXTS.get(language, TEXTS["en"])
    when = datetime.fromtimestamp(row["started_at"], ZoneInfo(settings["time_zone"]))
    partial = row["page_end"] not in ("eop", "eom")
    details = {
        "date": f"{when:%Y-%m-%d %H:%M}",
        "number": row["number"],
        "pages": str(row["pages"]),
        "id": reply.reception,
    }
    properties = {
        "ReceivedAt": details["date"],
        "ReceivedNumber": row["number"],
        "ReceivedPages": details["pages"],
        "ReceivedResult": ReceptionState.PARTIAL.value if partial else ReceptionState.COMPLETE.value,
        "ReceivedId": reply.reception,
        "ReceivedCsid": row["ident"],
    }
    asked = f"{reply.customer}/{reply.reception}/{reply.template}"
    return JobSubmission(
        job=job,
        principal=Principal(reply.customer, "", "", "", "reply"),
        owner=f"{OWNER}{reply.reception}",
        recipients=(JobRecipient((reply.caller,), tuple(properties.items())),),
        documents=(),
        accepted_at=now,
        key=hashlib.sha256(f"reply/{reply.reception}".encode()).hexdigest(),
        fingerprint=hashlib.sha256(asked.encode()).hexdigest(),
        key_valid=KEY_FOR,
        settings={"language": language, "time_zone": settings["time_zone"]},
        cover=reply.template,
        text=words["partial" if partial else "complete"].format(**details),
        subject=words["subject"],
        reference=reply.reception,
        key_for_good=True,
    )
