"""The funnel for jobs that come with their structure: who may, what they may ask for, and the promise itself.

Implements `fax.submission.JobSubmissions`. A job is refused as a whole where its account, its settings or its cover
page are at fault; a number that cannot be dialled fails its own recipient. The promise is one transaction
(docs/spine.md section 5); the pages are made later, once for all recipients.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any  # settings and rows are JSON

from sqlalchemy import exc

from faxgw.dispatch import broadcast, letterheads
from faxgw.dispatch.covers import Covers, NoCover, lacking
from faxgw.dispatch.gate import dial_plan
from faxgw.dispatch.readers import report_targets
from faxgw.dispatch.seat import Seat
from faxgw.fax import header_policy, ids, recipients
from faxgw.fax.account import Effective, Level, Origin, check_settings, resolve
from faxgw.fax.cover import missing
from faxgw.fax.errors import Refused
from faxgw.fax.number import DialPlan, masked, parse_number, recipient_zone
from faxgw.fax.submission import JobKnown, JobPush, JobReceipt, JobRecipient, JobRefused, JobSubmission
from faxgw.formats.cover_values import MAX_COMMENT
from faxgw.store import papers, quota, submission
from faxgw.store.errors import CommitUncertain
from faxgw.store.pushes import Push
from faxgw.store.queue import NewFax, NewJob

log = logging.getLogger(__name__)

NUMBERS_AT_ONCE = 50
"""Numbers that are read before others get their turn: some 10 ms."""
STANDING_S = 1.0
"""Seconds for which an account's state and settings are remembered: a burst asks once. Credentials are looked at anew
with each request, so that who was suspended is out at once."""
MAX_KNOWN = 1_000
"""Accounts that are remembered; the longest unread is forgotten first."""
FETCH_FOR = 3600.0
"""Seconds for which a document that is to be fetched is tried again."""
TEXT = "text"
"""Kind of a document that its sender calls a text."""


@dataclass(frozen=True, slots=True)
class _Account:
    """An account as it is remembered; what follows from its settings is worked out once."""

    standing: submission.Standing
    settings: Effective
    snapshot: Mapping[str, Any]
    """Of the settings."""


@dataclass(frozen=True, slots=True)
class _Read:
    """The recipients of a job, read."""

    faxes: tuple[NewFax, ...]
    unreachable: Mapping[str, str]


class JobGate:
    """Decides over jobs.

    Args:
        seat: The node.
    """

    def __init__(self, seat: Seat) -> None:
        self._seat = seat
        self._covers = Covers(seat)
        self._clearing: set[asyncio.Task[None]] = set()
        self._known: OrderedDict[tuple[str, str], tuple[float, _Account]] = OrderedDict()

    async def submit(self, job: JobSubmission) -> JobReceipt | JobKnown | JobRefused:
        """See the port."""
        try:
            answer = await self._submit(job)
        except CommitUncertain:
            raise  # a row may name the files
        except BaseException:
            await self._forget(job)
            raise
        if not isinstance(answer, JobReceipt):
            await self._forget(job)
        return answer

    async def _submit(self, job: JobSubmission) -> JobReceipt | JobKnown | JobRefused:
        if not job.recipients:
            return JobRefused("no_recipient", "The job has no recipient.", "recipients")
        account = await self._account(job.principal.customer, job.principal.user)
        settings = await self._in_force(job, account)
        if isinstance(settings, JobRefused):
            return settings
        if (without := await self._without_cover(job, settings)) is not None:
            return without
        read = await self._read_numbers(job.recipients, dial_plan(settings))
        new = self._accepted(job, settings, account.snapshot, read)
        new = replace(new, job=await broadcast.stage(self._seat.store, new.job, new.unreachable, now=job.accepted_at))
        unit = partial(submission.accept, new=new, now=job.accepted_at)
        try:
            found = await self._seat.store.run(unit)
        except exc.IntegrityError:  # the same key at the same moment on PostgreSQL: now it is there to be found
            found = await self._seat.store.run(unit)
        if new.job.staged:
            self._clear(new.job.id)
        if found is not None:
            log.info("job known", extra={"event": "job.known", "job": found.job, "customer": job.principal.customer})
            return found
        log.info(
            "job accepted",
            extra={
                "event": "job.accepted",
                "job": job.job,
                "faxes": len(read.faxes),
                "numbers": [masked(fax.numbers[0]["e164"]) for fax in read.faxes[:10]],
                "unreachable": len(read.unreachable),
            },
        )
        return JobReceipt(job.job)

    async def _in_force(self, job: JobSubmission, account: _Account) -> Effective | JobRefused:
        """The job's settings, or why its account may not send it."""
        who, seat = job.principal, self._seat
        if not account.standing.active:
            return JobRefused("account_inactive", "This account may not send faxes at present.")
        if (many := recipients.refusal(account.settings, len(job.recipients))) is not None:
            return JobRefused("too_many_recipients", many.told(), "recipients")
        if any(key in given for _origin, given in account.standing.levels for key in quota.LIMITS):
            more, now = len(job.recipients), seat.clock()
            over = await seat.store.read(
                lambda conn: quota.refusal(conn, seat.system, who.customer, who.user, faxes=more, now=now)
            )
            if over:
                return JobRefused("quota", over)
        settings = _overridden(account.settings, job)
        if isinstance(settings, JobRefused):
            return settings
        if unlawful := header_policy.refusal(settings):
            return JobRefused("header_policy", unlawful, "header")
        if settings["clip"] and (closed := await self._clip_refusal(who.customer, settings["clip"])):
            return JobRefused("clip_not_open", closed, "clip")
        if (unsent := _push_refusal(job, settings)) is not None:
            return unsent
        if missing := await letterheads.refusal(seat, who.customer, settings):
            return JobRefused("unknown_overlay", missing, "overlay")
        return settings

    async def _clip_refusal(self, customer: str, clip: str) -> str:
        """Why the caller number may not be shown (features B6)."""
        now = self._seat.clock()
        return await self._seat.store.read(lambda conn: papers.unshowable(conn, customer, clip, now=now))

    async def _without_cover(self, job: JobSubmission, settings: Effective) -> JobRefused | None:
        """Why the job's cover pages cannot be made, or why it needs one; None: nothing stands against it."""
        try:
            chosen = await self._covers.choose(job.principal.customer, settings)
        except NoCover as exc_:
            return JobRefused("unknown_cover", exc_.public, "cover")
        if chosen is None:
            if job.documents:
                return None
            return JobRefused("nothing_to_send", "The job has neither a document nor a cover page.", "documents")
        for index, recipient in enumerate(job.recipients):
            if keys := lacking(chosen, dict(recipient.properties)):
                text = missing(chosen.name, keys, settings["language"], recipient.numbers[0])
                return JobRefused("missing_property", text, f"recipients[{index}].properties")
        return None

    async def _account(self, customer: str, user: str) -> _Account:
        """What is known of an account, at most STANDING_S old."""
        now = time.monotonic()
        known = self._known.get((customer, user))
        if known is not None and known[0] > now:
            return known[1]
        system = self._seat.system
        standing = await self._seat.store.read(lambda conn: submission.standing(conn, system, customer, user))
        settings = resolve(standing.levels)
        found = _Account(standing, settings, settings.snapshot())
        self._known.pop((customer, user), None)
        self._known[customer, user] = (now + STANDING_S, found)
        while len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return found

    async def _read_numbers(self, recipients: Sequence[JobRecipient], plan: DialPlan) -> _Read:
        faxes: list[NewFax] = []
        unreachable: dict[str, str] = {}
        for position, recipient in enumerate(recipients, 1):
            fax = ids.fax_id(secrets.token_bytes(ids.RANDOM_OCTETS))
            numbers, refusal = _numbers(recipient, plan)
            if refusal:
                unreachable[fax] = refusal
            faxes.append(NewFax(fax, position, numbers, recipient.properties))
            if position % NUMBERS_AT_ONCE == 0:
                await asyncio.sleep(0)
        return _Read(tuple(faxes), unreachable)

    def _accepted(
        self, job: JobSubmission, settings: Effective, account: Mapping[str, Any], read: _Read
    ) -> submission.Accepted:
        latest = job.latest
        if latest is None:
            latest = max(job.accepted_at, job.earliest or 0.0) + settings["valid_hours"] * 3600.0
        new = NewJob(
            id=job.job,
            message=None,
            customer=job.principal.customer,
            user=job.principal.user,
            owner=job.owner,
            subject=job.subject,
            in_reply_to="",
            accepted_at=job.accepted_at,
            settings=_snapshot(account, settings),
            report_to=_readers(job, settings),
            documents=tuple(_document(job)),
            faxes=read.faxes,
            latest=latest,
            priority=1 if settings["priority"] == "express" else 0,
            earliest=job.earliest or 0.0,
            cover_text=job.text[:MAX_COMMENT],
            resend_of=job.resend_of or None,
            reference=job.reference,
            marked=job.marked,
        )
        report = job.report
        return submission.Accepted(
            job=new,
            unreachable=read.unreachable,
            references=tuple(
                submission.Reference(position, d.name, d.kind, d.charset, d.url)
                for position, d in enumerate(job.documents, 1)
                if d.file is None
            ),
            give_up_at=min(latest, max(job.accepted_at, job.earliest or 0.0) + FETCH_FOR),
            key=job.key,
            fingerprint=job.fingerprint,
            key_valid=job.key_valid,
            key_for_good=job.key_for_good,
            push=_push(job, settings),
            report=None
            if report is None
            else {"owner": job.owner, "interface": report.interface, "reference": dict(report.reference)},
        )

    def _clear(self, job: str) -> None:
        """Remove what was staged, while the sender has his answer already; what stays is swept by its age."""
        task = asyncio.create_task(broadcast.clear(self._seat.store, job), name=f"clear {job}")
        self._clearing.add(task)
        task.add_done_callback(self._cleared)

    def _cleared(self, task: asyncio.Task[None]) -> None:
        self._clearing.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("staged recipients not removed", extra={"event": "job.staged", "why": str(error)})

    async def _forget(self, job: JobSubmission) -> None:
        """Remove the documents: no row names them."""
        for document in job.documents:
            if document.file is not None:
                await self._seat.files.remove(document.file.key)


def _overridden(account: Effective, job: JobSubmission) -> Effective | JobRefused:
    """The account's settings with the job's laid over them."""
    if "header_policy" in job.settings:
        return JobRefused("bad_setting", "This is a setting of accounts, not of a job.", "header_policy")
    checked, faults = check_settings({**job.settings, "cover": job.cover} if job.cover else job.settings)
    if faults:
        key, _, text = faults[0].partition(": ")
        return JobRefused("bad_setting", f"This value {text}.", key)
    if checked.get("priority") == "express" and not account.values.get("may_express", True):
        return JobRefused("express_not_open", "Express faxes are not open to this account.", "priority")
    if job.success_to is not None or job.failure_to is not None:
        checked |= {"report_success": True, "report_failure": True}
    if not checked:
        return account
    origin = Origin(Level.JOB)
    return Effective({**account.values, **checked}, {**account.origins, **dict.fromkeys(checked, origin)})


def _snapshot(account: Mapping[str, Any], settings: Effective) -> dict[str, Any]:
    """The snapshot of a job's settings, by its account's, from which it differs in the job's own."""
    own = {key: settings.values[key] for key, origin in settings.origins.items() if origin.level is Level.JOB}
    return {**account, **Effective(own, settings.origins).snapshot()}


def _push(job: JobSubmission, settings: Effective) -> Push | None:
    """Where the job's report goes when it is finished."""
    asked = job.push or JobPush("")
    url = asked.url or settings["push_url"]
    return Push(replace(asked, url=url), settings["push_format"], settings["push_token_url"]) if url else None


def _push_refusal(job: JobSubmission, settings: Effective) -> JobRefused | None:
    """Why its report could not be sent."""
    if job.push is None:
        return None
    if not job.push.url and not settings["push_url"]:
        return JobRefused("no_push_url", "The status push names no address, and the account has none.", "push")
    if job.push.method == "OAUTH2" and not settings["push_token_url"]:
        text = "The account has no address where OAuth2 tokens for status pushes come from."
        return JobRefused("no_token_url", text, "push")
    return None


def _readers(job: JobSubmission, settings: Effective) -> tuple[str, ...] | Mapping[str, Sequence[str]]:
    """Who gets status mails: whom the job names, else the account's addresses."""
    if job.success_to is None and job.failure_to is None:
        return report_targets(settings, "")
    return {"success": list(job.success_to or ()), "failure": list(job.failure_to or ())}


def _numbers(recipient: JobRecipient, plan: DialPlan) -> tuple[tuple[Mapping[str, str], ...], str]:
    """The numbers that may be dialled, in order; when there are none the first as typed, and why."""
    good: list[Mapping[str, str]] = []
    refusal = ""
    for typed in recipient.numbers:
        try:
            number = parse_number(typed, plan)
        except Refused as exc_:
            refusal = refusal or exc_.public
            continue
        facts = {"typed": typed, "e164": number.e164, "sub": number.sub_address, "zone": recipient_zone(number)}
        if not good and typed != recipient.numbers[0]:  # reports name the recipient by its first number
            facts |= {"typed": recipient.numbers[0], "instead": typed}
        good.append(facts)
    if good:
        return tuple(good), ""
    return ({"typed": recipient.numbers[0], "e164": "", "sub": "", "zone": "UTC"},), refusal


def _document(job: JobSubmission) -> Sequence[dict[str, Any]]:
    """The rows of the documents that are here already, each with its place among all."""
    return [
        {
            "position": position,
            "name": d.name,
            "kind": d.kind,
            "charset": d.charset,
            "origin": "attachment",
            "key": d.file.key,
            "sha256": d.file.sha256,
            "size": d.file.size,
        }
        for position, d in enumerate(job.documents, 1)
        if d.file is not None
    ]
