"""The page steps of the walk: a message becomes a job, which `dispatch.renderer` gives its pages.

Every step's product lies in the store: a step that finds its product is done. Nothing here opens a document: that is
the page processes' work, over descriptors.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import Callable, Sequence
from typing import Any  # document descriptions are JSON

from faxgw.dispatch import broadcast, listing
from faxgw.dispatch.covers import Covers
from faxgw.dispatch.gate import dial_plan
from faxgw.dispatch.letterheads import refusal
from faxgw.dispatch.merging import LettersRefused, Merging
from faxgw.dispatch.readers import failure_targets, report_targets
from faxgw.dispatch.renderer import Renderer
from faxgw.dispatch.seat import Seat
from faxgw.dispatch.station import Station
from faxgw.document import types as pages
from faxgw.document.client import PageClient, PagesUnavailable, charged_to
from faxgw.document.limits import MAX_PARTS
from faxgw.fax import ids
from faxgw.fax.account import Effective
from faxgw.fax.cover import cover_name
from faxgw.fax.dsn import RefusedTelling, tell_refused
from faxgw.fax.errors import FaxError
from faxgw.fax.fault_texts import Said
from faxgw.fax.header import PERSONAL
from faxgw.fax.number import LIST, MERGE, FaxNumber, NumberClass, recipient_zone
from faxgw.fax.report import MAX_LEFT_OUT, MAX_LEFT_OUT_NAME, LeftOut, LeftOutParts, RefusedReport
from faxgw.formats.cover_values import MAX_COMMENT
from faxgw.formats.distribution_list import Listed
from faxgw.formats.job_commands import Asked, CommandFault, in_force, read_commands, without_commands
from faxgw.formats.outgoing_mail import one_line
from faxgw.formats.report_payload import dsn_to_payload, refused_to_payload
from faxgw.store import directory, messages, outbox, queue
from faxgw.store.envelope import envelope_of
from faxgw.store.errors import ObjectDamaged, StoreError
from faxgw.store.files import Kind
from faxgw.store.reports import item_id

log = logging.getLogger(__name__)

WALKS = 2
"""Mails walked at the same time: one per core of a small machine."""


class PageWorker:
    """Walks messages; its renderer gives the jobs their pages.

    Args:
        seat: The node.
        client: The page processes.
        made: Told of every job rendered: the kind of its document, `several` for more, and the seconds (metrics).
    """

    def __init__(
        self, seat: Seat, client: PageClient, made: Callable[[str, float], None] = lambda kind, seconds: None
    ) -> None:
        self._seat = seat
        self._client = client
        self._merging = Merging(seat, client)
        self.walking: Station[messages.LeasedMessage] = Station(
            "walk",
            places=WALKS,
            wake=seat.store.listen(messages.TOPIC),
            take=self._take_messages,
            work=self._walk,
            next_due=lambda: seat.store.read(messages.next_walk),
            clock=seat.clock,
        )
        self._covers = Covers(seat, client)
        self.renderer = Renderer(seat, client, self._covers, made)
        """Gives jobs their pages."""

    async def _take_messages(self, limit: int) -> Sequence[messages.LeasedMessage]:
        seat = self._seat
        return await seat.store.run(lambda conn: messages.lease(conn, fence=seat.fence, now=seat.clock(), limit=limit))

    # ------------------------------------------------------------------------------------------------------ walk

    async def _walk(self, message: messages.LeasedMessage) -> None:
        try:
            with charged_to(message.customer):
                await self._walk_leased(message)
        except FaxError as exc:
            log.warning("walk failed", extra={"event": "message.walk_failed", "job": message.id, "why": str(exc)})
            await self._put_back(message, str(exc), uncounted=1 if _ours(exc) else 0)

    async def _walk_leased(self, message: messages.LeasedMessage) -> None:
        seat = self._seat
        settings = await seat.store.read(
            lambda conn: directory.effective(conn, seat.system, message.customer, message.user)
        )
        if message.tries > messages.MAX_TRIES:
            said = Said("The gateway could not process this mail.")
            await self._refuse(message, settings, said.told(settings["language"]), our_fault=True)
            return
        try:
            asked = read_commands(message.subject, settings, now=message.received_at)
            settings = in_force(settings, asked)
        except CommandFault as fault:  # the account has changed since the promise
            await self._refuse(message, settings, fault.said.told(settings["language"]), our_fault=False)
            return
        if missing := await self._covers.refusal(message.customer, settings) or await refusal(
            seat, message.customer, settings
        ):
            await self._refuse(message, settings, missing, our_fault=False)
            return
        walked = await self._walk_mail(message, settings)
        if isinstance(walked, pages.Refused):
            await self._refuse(message, settings, walked.told(settings["language"]), our_fault=False)
            return
        if any(person.typed == MERGE for person in message.recipients):
            await self._merge(message, settings, asked, walked)
            return
        documents: list[dict[str, Any]] = []
        try:
            for document in walked.documents:
                documents.append(await self._keep(document))
        except FaxError:
            await self._forget(documents)
            raise
        finally:
            walked.close()
        listed = await listing.read(
            walked.lists,
            settings,
            dial_plan(settings),
            wanted=any(p.typed == LIST for p in message.recipients),
            beside=frozenset((p.e164, p.sub_address) for p in message.recipients if p.e164),
        )
        if listed.fault:
            await self._forget(documents)
            await self._refuse(message, settings, listed.fault.told(settings["language"]), our_fault=False)
            return
        await self._make_job(message, settings, asked, documents, listed.recipients, walked)

    async def _merge(
        self, message: messages.LeasedMessage, settings: Effective, asked: Asked, walked: pages.Walked
    ) -> None:
        """The mail's attachments are merged documents, and name their numbers themselves (features A18)."""
        try:
            attached = [document for document in walked.documents if document.origin is pages.Origin.ATTACHMENT]
            await self._merging.make(message, settings, asked, attached, left_out(walked))
        except LettersRefused as refused:
            await self._refuse(message, settings, refused.told(settings["language"]), our_fault=False)
        finally:
            walked.close()

    async def _put_back(self, message: messages.LeasedMessage, why: str, *, uncounted: int) -> None:
        seat, now = self._seat, self._seat.clock()
        await seat.store.run(
            lambda conn: messages.put_back(conn, message.id, fence=seat.fence, now=now, why=why, uncounted=uncounted)
        )

    async def _forget(self, documents: Sequence[dict[str, Any]]) -> None:
        """Remove objects that no row will name."""
        for document in documents:
            await self._seat.files.remove(document["key"])

    async def _walk_mail(self, message: messages.LeasedMessage, settings: Effective) -> pages.Walked | pages.Refused:
        try:
            mail = await self._seat.files.open_read(message.file)
        except ObjectDamaged as exc:
            raise PagesUnavailable(str(exc)) from exc
        try:
            return await self._client.walk(
                mail,
                pages.WalkOptions(
                    attachments_only=settings["attachments_only"],
                    body_only=settings["body_only"],
                    ignore_inline_images=settings["ignore_inline_images"],
                    min_image_px=settings["min_image_px"],
                    list_name=settings["list_name"] if settings["max_list"] else "",
                    cover_text=MAX_COMMENT if settings["cover_text"] and cover_name(settings["cover"]) else 0,
                ),
            )
        finally:
            os.close(mail)

    async def _keep(self, document: pages.Document) -> dict[str, Any]:
        stored = await self._seat.files.adopt_fd(document.fd, Kind.OBJECT)
        return {
            "name": document.name,
            "kind": document.kind.value if document.kind else None,
            "charset": document.charset,
            "origin": document.origin.value,
            "key": stored.key,
            "sha256": stored.sha256,
            "size": stored.size,
        }

    async def _make_job(
        self,
        message: messages.LeasedMessage,
        settings: Effective,
        asked: Asked,
        documents: Sequence[dict[str, Any]],
        listed: Sequence[Listed],
        walked: pages.Walked,
    ) -> None:
        seat, now = self._seat, self._seat.clock()
        faxes = await _faxes(message, listed)
        job = queue.NewJob(
            id=ids.job_id(secrets.token_bytes(ids.RANDOM_OCTETS)),
            message=message.id,
            customer=message.customer,
            user=message.user,
            owner=message.owner,
            subject=asked.rest,
            in_reply_to=message.message_id,
            accepted_at=message.received_at,
            settings=settings.snapshot(),
            report_to=report_targets(settings, message.sender),
            documents=tuple(documents),
            faxes=faxes,
            latest=_latest(message.received_at, settings, asked),
            priority=1 if settings["priority"] == "express" else 0,
            earliest=asked.earliest or 0.0,
            reference=asked.reference,
            cover_text=walked.text,
            left_out=left_out(walked),
        )
        ready = await broadcast.stage(seat.store, job, {}, now=now)
        made = await seat.store.run(lambda conn: queue.create(conn, ready, fence=seat.fence, now=now))
        if ready.staged:
            await broadcast.clear(seat.store, job.id)
        if not made:
            await self._forget(documents)
            return
        log.info("job accepted", extra={"event": "job.accepted", "job": job.id, "faxes": len(faxes)})

    async def _refuse(
        self, message: messages.LeasedMessage, settings: Effective, reason: str, *, our_fault: bool
    ) -> None:
        seat, now = self._seat, self._seat.clock()
        report = RefusedReport(
            message=message.id,
            subject=without_commands(message.subject) if settings["commands"] else message.subject,
            in_reply_to=message.message_id,
            received_at=message.received_at,
            recipients=tuple(r.typed for r in message.recipients),
            reason=reason,
            our_fault=our_fault,
            time_zone=settings["time_zone"],
            language=settings["language"],
            customer=message.customer,
            style=settings["mail_template"],
        )
        envelope = await seat.store.read(lambda conn: envelope_of(conn, message.id))
        assert envelope is not None  # its row is leased by us
        telling = tell_refused(report, envelope, failure_targets(settings, message.sender))
        targets = {item_id(message.id, "refused", target): target for target in telling.status_to}
        payload = refused_to_payload(telling.report or report)
        dsn = _draft(telling)
        await seat.store.run(
            lambda conn: messages.refuse(
                conn,
                message.id,
                fence=seat.fence,
                now=now,
                reason=reason,
                our_fault=our_fault,
                targets=targets,
                payload=payload,
                dsn=dsn,
            )
        )
        level = logging.ERROR if our_fault else logging.INFO
        log.log(level, "message refused", extra={"event": "message.refused", "job": message.id, "why": reason})


def left_out(walked: pages.Walked) -> LeftOutParts:
    """What of a mail its sender is told to be missing: names of strangers, made fit to be shown, and bounded."""
    missed = [(each.name, each.missed) for each in walked.ignored if each.missed is not None]
    parts = tuple(LeftOut(one_line(name, MAX_LEFT_OUT_NAME) or "–", why) for name, why in missed[:MAX_LEFT_OUT])
    return LeftOutParts(parts, max(len(missed), min(walked.missed, MAX_PARTS)))


async def _faxes(message: messages.LeasedMessage, listed: Sequence[Listed]) -> tuple[queue.NewFax, ...]:
    """The recipients of a mail that are to get a fax: those of its envelope, then those of its lists.

    A number that stands in both gets one. Where a recipient is linked, the same mail was taken before, lists and all.
    """
    people = [person for person in message.recipients if person.e164]
    found: list[tuple[int, FaxNumber, str]] = [
        (person.position, FaxNumber(person.typed, person.e164, "", NumberClass.ORDINARY, person.sub_address), "")
        for person in people
        if not person.linked
    ]
    if not any(person.linked for person in message.recipients):
        known = {(person.e164, person.sub_address) for person in people}
        found += [
            (0, one.number, one.personal) for one in listed if (one.number.e164, one.number.sub_address) not in known
        ]
    faxes = []
    for position, (place, number, personal) in enumerate(found, 1):
        facts = {
            "typed": number.typed,
            "e164": number.e164,
            "sub": number.sub_address,
            "zone": recipient_zone(number),
        }
        fax = ids.fax_id(secrets.token_bytes(ids.RANDOM_OCTETS))
        faxes.append(queue.NewFax(fax, position, (facts,), ((PERSONAL, personal),) if personal else (), place))
        if position % listing.NUMBERS_AT_ONCE == 0:
            await asyncio.sleep(0)
    return tuple(faxes)


def _latest(received_at: float, settings: Effective, asked: Asked) -> float:
    """When a fax that was not sent expires."""
    if asked.latest is not None:
        return asked.latest
    return max(received_at, asked.earliest or 0.0) + float(settings["valid_hours"]) * 3600.0


def _ours(error: FaxError) -> bool:
    """True when store or disk could not take part: says nothing about the document, so no try is counted."""
    return isinstance(error, StoreError) and error.temporary


def _draft(telling: RefusedTelling) -> outbox.Draft | None:
    """The DSN of a mail that could not be faxed, where one was asked for."""
    if telling.dsn is None or telling.report is None:
        return None
    item = item_id(telling.dsn.message, "refused", "dsn", telling.dsn_to)
    return outbox.Draft(item, "dsn", telling.dsn_to, dsn_to_payload(telling.report, telling.dsn))
