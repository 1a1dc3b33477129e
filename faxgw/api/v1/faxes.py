"""The collection of faxes: list, send, look at, cancel, send again, acknowledge; and jobs: what was sent at once.

Who may see what is decided by `store.fax_book`; what may not be seen is not there (404), whoever it belongs to.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from sqlalchemy import Connection, update

from faxgw.api.answers import Refusal
from faxgw.api.http import Ground
from faxgw.api.settings import ApiSettings
from faxgw.api.v1 import cursor, patterns, told
from faxgw.api.v1.fax_models import (
    Accepted,
    Cancelled,
    Fax,
    FaxForm,
    FaxNew,
    FaxPage,
    FaxQuery,
    Job,
    JobResend,
    Resend,
)
from faxgw.api.v1.problems import of_code
from faxgw.api.v1.sending import Sending
from faxgw.api.v1.table import Call, Operation, Outcome, Reply
from faxgw.api.v1.types import unix
from faxgw.fax.access import Caller, Scope
from faxgw.fax.errors import IllegalTransition
from faxgw.fax.job import FaxState, Wish
from faxgw.store import fax_book, job_cancels, queue
from faxgw.store import schema as t
from faxgw.store.fax_book import RECEIVED, BookedFax, View, Wanted
from faxgw.store.journal import note

READ = (Scope.FAXES_READ, Scope.INBOX_READ)
"""Either lets one ask; each shows its own direction."""
_KEY_HEADER = {
    "Idempotency-Key": (
        "Makes it safe to send the request again: the same request is answered as the first time for 24 hours, "
        "and never sent twice.",
        {"type": "string", "pattern": patterns.KEY, "maxLength": 128},
    )
}
_REPLAYED = {"Idempotent-Replayed": "`true`: an earlier request with this Idempotency-Key made the job."}


def view_of(caller: Caller) -> View:
    """What a caller may see."""
    return View(caller.user, caller.may(Scope.FAXES_READ), caller.may(Scope.INBOX_READ))


class Faxes:
    """Serves the collection.

    Args:
        ground: Store, clock.
        sending: Takes what is to be sent.
        settings: `[api]`.
    """

    def __init__(self, ground: Ground, sending: Sending, settings: ApiSettings) -> None:
        self._ground = ground
        self._sending = sending
        self._settings = settings

    def operations(self) -> Sequence[Operation]:
        """Their rows."""
        limit = int(self._settings.max_body)
        return (
            Operation(
                "listFaxes", "GET", "/faxes", "Faxes", "List faxes, sent and received, newest first",
                self.list, READ, (Outcome(200, "A part of the list.", FaxPage),),
                doc="Goes on with `cursor`: what comes in meanwhile moves nothing. Credentials see the direction that "
                "their scopes name: `faxes:read` what was sent, `inbox:read` what was received. Those of a user see "
                "what the user sent, and what came to numbers with the user's profile.",
                query=FaxQuery, problems=("unknown_cursor",),
            ),
            Operation(
                "sendFax", "POST", "/faxes", "Faxes", "Send a fax to one or many recipients",
                self._sending.create, (Scope.FAXES_WRITE,),
                (Outcome(202, "Accepted: it is stored, and nothing of it will be lost.", Accepted,
                         headers={"Location": "The job.", **_REPLAYED}),),
                doc="As JSON, with documents in base64 or by reference, or as a form with files. A number that cannot "
                "be dialled fails its own recipient and no other; the answer says so.",
                content={"application/json": FaxNew, "multipart/form-data": FaxForm},
                headers=_KEY_HEADER,
                problems=(
                    "account_inactive", "express_not_open", "caller_not_open", "quota", "unknown_cover",
                    "unknown_overlay", "missing_property", "nothing_to_send",
                    "header_policy", "bad_setting", "bad_reference", "bad_form", "in_progress",
                    "key_reused", "uncertain", "no_room",
                ),
                max_body=limit, stores=True,
            ),
            Operation(
                "getFax", "GET", "/faxes/{fax}", "Faxes", "Look at a fax", self.get, READ,
                (Outcome(200, "The fax.", Fax),),
            ),
            Operation(
                "cancelFax", "POST", "/faxes/{fax}/cancel", "Faxes", "Cancel a fax", self.cancel, (Scope.FAXES_WRITE,),
                (Outcome(200, "It will not be called any more.", Fax),
                 Outcome(202, "Its call is being ended; pages confirmed by then stand.", Fax)),
                problems=("final", "not_outbound"),
            ),
            Operation(
                "resendFax", "POST", "/faxes/{fax}/resend", "Faxes", "Send a fax again, as a new job",
                self.resend, (Scope.FAXES_WRITE,),
                (Outcome(202, "Accepted.", Accepted, headers={"Location": "The job.", **_REPLAYED}),),
                doc="The documents as they were handed in, with the account's settings of now. `resend_of` of the new "
                "faxes names the first job.",
                body=Resend, optional_body=True, headers=_KEY_HEADER,
                problems=(
                    "not_outbound", "documents_pending", "conflict", "account_inactive", "express_not_open", "quota",
                    "unknown_cover", "unknown_overlay", "missing_property", "nothing_to_send",
                    "header_policy", "bad_setting", "in_progress", "key_reused", "uncertain",
                    "no_room",
                ),
                stores=True,
            ),
            Operation(
                "acknowledgeFax", "POST", "/faxes/{fax}/acknowledge", "Faxes", "Say that a received fax was fetched",
                self.acknowledge, (Scope.INBOX_WRITE,), (Outcome(200, "Noted.", Fax),),
                doc="For programs that fetch. The first acknowledgement stands.", problems=("not_inbound",),
            ),
            Operation(
                "getJob", "GET", "/jobs/{job}", "Jobs", "Look at what one request sent", self.get_job,
                (Scope.FAXES_READ,), (Outcome(200, "The job.", Job),),
                doc="Its faxes: `GET /faxes?job=…`.",
            ),
            Operation(
                "cancelJob", "POST", "/jobs/{job}/cancel", "Jobs", "Cancel all faxes of a job that are not final",
                self.cancel_job, (Scope.FAXES_WRITE,), (Outcome(200, "What was cancelled.", Cancelled),),
                doc="From the answer on none of its faxes is called any more.",
            ),
            Operation(
                "resendJob", "POST", "/jobs/{job}/resend", "Jobs", "Send a job again to those who did not get it",
                self.resend_job, (Scope.FAXES_WRITE,),
                (Outcome(202, "Accepted.", Accepted, headers={"Location": "The job.", **_REPLAYED}),),
                doc="One new job with the documents as they were handed in, the account's settings of now, and each "
                "recipient's own properties; `resend_of` names the first job.",
                body=JobResend, optional_body=True, headers=_KEY_HEADER,
                problems=(
                    "documents_pending", "conflict", "account_inactive", "express_not_open", "quota",
                    "unknown_cover", "unknown_overlay", "missing_property", "nothing_to_send",
                    "header_policy", "bad_setting", "in_progress", "key_reused", "uncertain",
                    "no_room",
                ),
                stores=True,
            ),
        )  # fmt: skip

    # ------------------------------------------------------------------------------------------------------ looking

    async def list(self, call: Call) -> Reply:
        """GET /faxes."""
        query: FaxQuery = call.query
        wanted = Wanted(
            direction=query.direction or "",
            states=frozenset(query.state or ()),
            number=query.number or "",
            own_number=query.own_number or "",
            since=None if query.since is None else unix(query.since),
            until=None if query.until is None else unix(query.until),
            reference=query.reference or "",
            cost_centre=query.cost_centre or "",
            user=f"{call.caller.customer}/{query.user}" if query.user else "",
            job=query.job or "",
        )
        after, view = cursor.decode(query.cursor, query), view_of(call.caller)
        found = await self._ground.view(call.caller).read(
            fax_book.listed, view, wanted, after=after, limit=query.limit + 1
        )
        more = len(found) > query.limit
        shown = found[: query.limit]
        following = cursor.encode((shown[-1].created_at, shown[-1].id), query) if more else None
        return Reply(FaxPage(faxes=[told.fax(fax) for fax in shown], next=following))

    async def get(self, call: Call) -> Reply:
        """GET /faxes/{fax}."""
        return Reply(told.fax(await self.seen(call)))

    async def seen(self, call: Call) -> BookedFax:
        """The fax of the path, if the caller may see it.

        Raises:
            Refusal: 403 without the scope for its direction, 404 if it is not there for this caller.
        """
        return await find(self._ground, call)

    async def get_job(self, call: Call) -> Reply:
        """GET /jobs/{job}."""
        return Reply(told.job(await self._job(call)))

    async def _job(self, call: Call) -> fax_book.JobSum:
        view = View(call.caller.user)
        found = await self._ground.view(call.caller).read(fax_book.find_job, view, call.path["job"])
        if found is None:
            raise Refusal.missing()
        return found

    # ------------------------------------------------------------------------------------------------------- acting

    async def cancel(self, call: Call) -> Reply:
        """POST /faxes/{fax}/cancel."""
        booked = await self._own(call)
        now, who = self._ground.clock(), call.caller.name
        try:
            state = await self._ground.store.run(
                lambda conn: queue.wish(conn, booked.id, Wish.CANCEL, who=who, now=now)
            )
        except IllegalTransition as exc:
            raise of_code("final", f"The fax is final: {booked.state.value}.") from exc
        fax = told.fax(await find(self._ground, call, writing=True))
        return Reply(fax, 202 if state is FaxState.CALLING else 200)

    async def cancel_job(self, call: Call) -> Reply:
        """POST /jobs/{job}/cancel."""
        job, now, who = await self._job(call), self._ground.clock(), call.caller.name
        await self._ground.store.run(partial(job_cancels.ask, job=job.id, who=who, now=now))
        cancelled, over = 0, False
        while not over:
            done = await self._ground.store.run(partial(job_cancels.obey, job=job.id, now=now))
            cancelled, over = cancelled + done.cancelled, done.over
        return Reply(Cancelled(cancelled=cancelled, calling=done.calling))

    async def resend(self, call: Call) -> Reply:
        """POST /faxes/{fax}/resend."""
        return await self._sending.resend(call, await self._own(call))

    async def resend_job(self, call: Call) -> Reply:
        """POST /jobs/{job}/resend."""
        return await self._sending.resend_job(call, (await self._job(call)).id)

    async def acknowledge(self, call: Call) -> Reply:
        """POST /faxes/{fax}/acknowledge."""
        ident = call.path["fax"]
        if not ident.startswith(RECEIVED):
            await find(self._ground, call, writing=True)
            raise of_code("not_inbound", "Only a received fax can be acknowledged.")
        booked = await find(self._ground, call, writing=True)
        now, who = self._ground.clock(), call.caller.name
        await self._ground.view(call.caller).run(_acknowledge, booked.id, who, now=now)
        return Reply(told.fax(await find(self._ground, call, writing=True)))

    async def _own(self, call: Call) -> BookedFax:
        """A fax that is sent, which the caller sees."""
        booked = await find(self._ground, call, writing=True)
        if booked.received:
            raise of_code("not_outbound", "A received fax is not sent.")
        return booked


async def find(ground: Ground, call: Call, *, writing: bool = False) -> BookedFax:
    """The fax of a call's path.

    Args:
        ground: The store.
        call: The call; its path has `fax`.
        writing: The caller's scope to write lets it see the fax.

    Raises:
        Refusal: 403 without the scope, 404 if it is not there for this caller.
    """
    ident, caller = call.path["fax"], call.caller
    received = ident.startswith(RECEIVED)
    scopes = (Scope.INBOX_READ, Scope.INBOX_WRITE) if received else (Scope.FAXES_READ, Scope.FAXES_WRITE)
    if not (caller.may(scopes[0]) or (writing and any(caller.may(one) for one in (Scope.FAXES_WRITE, scopes[1])))):
        raise of_code("scope_missing", f"These credentials are not for {scopes[0]}.")
    found = await ground.view(caller).read(fax_book.find, View(caller.user), ident)
    if found is None:
        raise Refusal.missing()
    return found


def _acknowledge(conn: Connection, customer: str, reception: str, who: str, *, now: float) -> None:
    c = t.receptions.c
    done = conn.execute(
        update(t.receptions)
        .where(c.id == reception, c.customer == customer, c.acknowledged_at.is_(None))
        .values(acknowledged_at=now, acknowledged_by=who[:130])
    )
    if done.rowcount:
        note(conn, reception, "reception.acknowledged", now=now, who=who)
