"""Merged documents of a mail: each letter in them becomes a job of its own, all of them in one transaction.

A letter begins on the page whose text holds a number between `@@` and `@@`, and ends before the next one
(docs/smtp.md). What a page process finds is read here, by the account's dial plan and within its entitlements; a fault
anywhere refuses the mail as a whole, for half of a mailing is worse than none.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any  # descriptions of documents are JSON

from sqlalchemy import Connection

from faxgw.dispatch.gate import dial_plan
from faxgw.dispatch.readers import report_targets
from faxgw.dispatch.seat import Seat
from faxgw.document import types as pages
from faxgw.document.client import PageClient
from faxgw.document.limits import MAX_DOCUMENTS
from faxgw.fax import ids, recipients
from faxgw.fax.account import Effective
from faxgw.fax.errors import FaxError
from faxgw.fax.fault_texts import NumberRefused, Said
from faxgw.fax.header import PERSONAL
from faxgw.fax.number import DialPlan, FaxNumber, parse_number, recipient_zone
from faxgw.fax.report import NOTHING_LEFT_OUT, LeftOutParts
from faxgw.formats.job_commands import Asked, CommandFault, in_force, read_commands
from faxgw.store import messages, queue, quota
from faxgw.store.files import Kind

log = logging.getLogger(__name__)

PAGES_AT_ONCE = 20
"""Pages whose commands are read before others get their turn: some 10 ms."""
_NO_NUMBER = "“{name}” has no fax number on its first page, such as @@+33123456789@@."


@dataclass(frozen=True, slots=True)
class Letter:
    """One fax, or one for each of several numbers, of a merged document."""

    first: int
    """Page, from 1."""
    last: int
    numbers: tuple[FaxNumber, ...]
    asked: Asked
    settings: Effective
    """The mail's, with the letter's commands laid over them."""


class LettersRefused(Exception):
    """A merged document cannot be taken apart.

    Args:
        why: Says where and why, in the sender's language.
    """

    def __init__(self, why: Said | pages.Refused) -> None:
        super().__init__(why.told("en"))
        self._why = why

    def told(self, language: str) -> str:
        """For the sender."""
        return self._why.told(language)


async def read_letters(
    name: str, found: Sequence[pages.MergedPage], settings: Effective, *, now: float
) -> Sequence[Letter]:
    """Read what the commands of a merged document mean.

    Args:
        name: Of the document, for faults.
        found: Its pages.
        settings: The mail's.
        now: When the mail was accepted, Unix seconds.

    Raises:
        LettersRefused: If one is wrong, or not open to the account.
    """
    plan = dial_plan(settings)
    starts: list[tuple[int, Letter]] = []
    for page, one in enumerate(found, 1):
        if page % PAGES_AT_ONCE == 0:
            await asyncio.sleep(0)
        letter = _letter(name, page, one.commands, settings, plan, now=now)
        if letter is not None:
            starts.append((page, letter))
        elif not starts:
            raise LettersRefused(Said(_NO_NUMBER, {"name": name}))
    ends = [page - 1 for page, _ in starts[1:]] + [len(found)]
    return [
        Letter(letter.first, end, letter.numbers, letter.asked, letter.settings)
        for (_, letter), end in zip(starts, ends, strict=True)
    ]


def _letter(
    name: str, page: int, commands: Sequence[str], settings: Effective, plan: DialPlan, *, now: float
) -> Letter | None:
    """The letter that begins on a page, if one does."""
    if not commands:
        return None
    try:
        asked = read_commands(" ".join(commands), settings, now=now, numbers=True)
        if not asked.numbers:
            raise _on_page(name, page, Said("commands stand on the page with the number."))
        numbers = tuple(parse_number(typed, plan) for typed in asked.numbers)
        return Letter(page, page, numbers, asked, in_force(settings, asked))
    except CommandFault as fault:
        raise _on_page(name, page, fault.said) from fault
    except NumberRefused as exc:
        raise _on_page(name, page, exc.said) from exc


def _on_page(name: str, page: int, fault: Said) -> LettersRefused:
    return LettersRefused(Said("“{name}”, page {page}: {fault}", {"name": name, "page": page, "fault": fault}))


class Merging:
    """Makes the jobs of mails with merged documents.

    Args:
        seat: The node.
        client: The page processes.
    """

    def __init__(self, seat: Seat, client: PageClient) -> None:
        self._seat = seat
        self._client = client

    async def make(
        self,
        message: messages.LeasedMessage,
        settings: Effective,
        asked: Asked,
        documents: Sequence[pages.Document],
        left_out: LeftOutParts = NOTHING_LEFT_OUT,
    ) -> None:
        """Make the jobs of a leased message.

        Args:
            message: The message.
            settings: Those of its account, its subject's commands laid over them.
            asked: Its subject's commands.
            documents: Its attachments; they stay the caller's.
            left_out: What of it is not faxed; every job tells it.

        Raises:
            LettersRefused: If they cannot be made, for good.
            FaxError: If they cannot be made now.
        """
        jobs: list[queue.NewJob] = []
        kept: list[str] = []
        try:
            for document in documents:
                await self._take_apart(message, settings, asked, document, jobs, kept)
            if not jobs:
                raise LettersRefused(Said("The mail has no attachment that could be a merged document."))
            await self._allow(message, sum(len(job.faxes) for job in jobs))
            told = [replace(job, left_out=left_out) for job in jobs]
            made = await self._seat.store.run(lambda conn: self._create(conn, told))
        except (LettersRefused, FaxError):
            await self._forget(kept)
            raise
        if not made:
            await self._forget(kept)
            return
        log.info("jobs accepted", extra={"event": "job.accepted", "job": jobs[0].id, "jobs": len(jobs)})

    async def _take_apart(
        self,
        message: messages.LeasedMessage,
        settings: Effective,
        asked: Asked,
        document: pages.Document,
        jobs: list[queue.NewJob],
        kept: list[str],
    ) -> None:
        merged = await self._client.merge(document)
        if isinstance(merged, pages.Refused):
            raise LettersRefused(merged)
        try:
            letters = await read_letters(document.name, merged.pages, settings, now=message.received_at)
            for letter in letters:
                if (many := recipients.refusal(settings, len(letter.numbers))) is not None:
                    raise LettersRefused(many)
            most = settings["max_merged"]
            if sum(len(job.faxes) for job in jobs) + sum(len(letter.numbers) for letter in letters) > most:
                raise LettersRefused(Said("The mail has more than {limit} merged faxes.", {"limit": most}))
            for start in range(0, len(letters), MAX_DOCUMENTS):
                batch = letters[start : start + MAX_DOCUMENTS]
                for letter, stored in zip(batch, await self._cut(document, merged.fd, batch, kept), strict=True):
                    jobs.append(_job(message, asked, letter, stored, follows=bool(jobs)))
        finally:
            merged.close()

    async def _cut(
        self, document: pages.Document, merged: int, letters: Sequence[Letter], kept: list[str]
    ) -> Sequence[Mapping[str, Any]]:
        cut = await self._client.cut(merged, [pages.Slice(letter.first, letter.last) for letter in letters])
        try:
            found = []
            for piece in cut.documents:
                stored = await self._seat.files.adopt_fd(piece.fd, Kind.OBJECT)
                kept.append(stored.key)
                found.append(
                    {
                        "name": document.name,
                        "kind": pages.Kind.PDF.value,
                        "charset": None,
                        "origin": document.origin.value,
                        "key": stored.key,
                        "sha256": stored.sha256,
                        "size": stored.size,
                    }
                )
            return found
        finally:
            cut.close()

    async def _allow(self, message: messages.LeasedMessage, faxes: int) -> None:
        seat, more = self._seat, max(0, faxes - 1)  # one was counted with the mail
        over = await seat.store.read(
            lambda conn: quota.fault(
                conn, seat.system, message.customer, message.user, faxes=more, now=message.received_at
            )
        )
        if over:
            raise LettersRefused(over)

    def _create(self, conn: Connection, jobs: Sequence[queue.NewJob]) -> bool:
        """All jobs, or none when the message's lease is not ours any more."""
        seat, now = self._seat, self._seat.clock()
        return all(queue.create(conn, job, fence=seat.fence, now=now) for job in jobs)

    async def _forget(self, kept: Sequence[str]) -> None:
        for key in kept:
            await self._seat.files.remove(key)


def _job(
    message: messages.LeasedMessage,
    asked: Asked,
    letter: Letter,
    document: Mapping[str, Any],
    *,
    follows: bool,
) -> queue.NewJob:
    settings, own = letter.settings, letter.asked
    earliest = own.earliest if own.earliest is not None else asked.earliest
    latest = own.latest if own.latest is not None else asked.latest
    if latest is None:
        latest = max(message.received_at, earliest or 0.0) + settings["valid_hours"] * 3600.0
    personal = ((PERSONAL, own.personal),) if own.personal else ()
    return queue.NewJob(
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
        documents=(document,),
        faxes=tuple(
            queue.NewFax(
                ids.fax_id(secrets.token_bytes(ids.RANDOM_OCTETS)),
                position,
                (
                    {
                        "typed": number.typed,
                        "e164": number.e164,
                        "sub": number.sub_address,
                        "zone": recipient_zone(number),
                    },
                ),
                personal,
                0,
            )
            for position, number in enumerate(letter.numbers, 1)
        ),
        latest=latest,
        priority=1 if settings["priority"] == "express" else 0,
        earliest=earliest or 0.0,
        reference=own.reference or asked.reference,
        follows=follows,
    )
