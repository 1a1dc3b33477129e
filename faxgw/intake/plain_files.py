"""Documents that are faxed by their name, or by a sidecar beside them (`formats.drop_name`).

What was accepted leaves the folder; its result comes beside it when it is final. What was refused is told at once and
laid into `refused`, for nobody's document is thrown away unsent. The same file (name, time and content) laid down
again is a duplicate; another one under the same name is another fax, as scanners send them.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Sequence

from faxgw.fax.errors import FaxError, Refused
from faxgw.fax.submission import (
    JobDocument,
    JobKnown,
    JobReceipt,
    JobRecipient,
    JobReport,
    JobSubmission,
    JobSubmissions,
)
from faxgw.formats import drop_name, xml_job
from faxgw.formats.xml_job import BadJob, XmlFax
from faxgw.formats.xml_tree import EndsEarly
from faxgw.intake.collector import BATCH, WAIT_S, Choice, Drop, Sender, Turned
from faxgw.intake.job_files import DAY_S, hand_in
from faxgw.intake.result_files import plain_refusal
from faxgw.intake.shelf import Entry, Shelf
from faxgw.intake.taking import Taken
from faxgw.intake.threads import Threads
from faxgw.store import result_files
from faxgw.store.engine import Store
from faxgw.store.errors import StoreError
from faxgw.store.files import Files

REFUSED = "refused"
"""Folder for what was refused, beside the work folder."""

log = logging.getLogger(__name__)


class PlainFiles:
    """Handles documents without a job file. Arguments as for `job_files.JobFiles`."""

    def __init__(
        self,
        store: Store,
        files: Files,
        submissions: JobSubmissions,
        clock: Callable[[], float],
        threads: Threads,
        names_days: int,
    ) -> None:
        self._store = store
        self._files = files
        self._submissions = submissions
        self._clock = clock
        self._threads = threads
        self._names_s = names_days * DAY_S

    def choose(self, drop: Drop, inbox: Shelf, entries: Sequence[Entry], now: float) -> tuple[list[Choice], bool]:
        """The oldest documents that have a sidecar or a number, and what has waited too long for either."""
        here, waits = {entry.name for entry in entries}, False
        found: list[Choice] = []
        for entry in entries:
            if len(found) >= BATCH:
                break
            name = entry.name
            if drop_name.is_ignored(name):
                continue
            late = drop.waited(name, now) >= WAIT_S
            if document := drop_name.document_of(name):
                if document in here and (late or _is_whole(inbox, name)):
                    found.append(Choice(document, (name,)))
                elif late:
                    found.append(Choice(name))
                else:
                    waits = True
            elif not any(name + end in here for end in drop_name.SIDECARS) and (drop_name.number_in(name) or late):
                found.append(Choice(name))
            else:
                waits = True
        return found, waits

    async def finish(self, drop: Drop, taken: Taken) -> None:
        """Hand the document in, unless it is a job already; answer what is refused."""
        job = taken.job(0)
        if not await self._store.read(lambda conn: result_files.exists(conn, job)):
            try:
                fax = await self._threads.run(lambda: _fax(taken))
                refused = await self._hand_in(drop, taken, fax, await drop.sender())
            except BadJob as exc:
                refused = ("bad_sidecar" if taken.parts else "no_number", exc.public)
            except Turned as exc:
                refused = (exc.code, exc.public)
            except Refused as exc:
                refused = ("bad_sidecar", exc.public)
            if refused is not None:
                octets = plain_refusal(*refused, self._clock())
                await self._threads.run(lambda: _lay_aside(drop, taken, octets))
                log.info("file refused", extra={"event": "files.refused", "drop": drop.name, "why": refused[0]})
        await self._threads.run(taken.forget)

    async def _hand_in(self, drop: Drop, taken: Taken, fax: XmlFax, sender: Sender) -> tuple[str, str] | None:
        """What was refused: a word and a sentence; None when it was accepted. Raises StoreError."""
        fd = await self._threads.run(lambda: taken.open(taken.cause))
        try:
            modified = os.fstat(fd).st_mtime_ns
            kept = await self._files.adopt_fd(fd)
        finally:
            os.close(fd)
        words = (sender.principal.customer, sender.owner, "plain", taken.cause, str(modified), kept.sha256)
        text = taken.cause.lower().endswith((".txt", ".text"))
        reference = {
            "customerDefinedId": fax.reference,
            "billingCode": str(fax.settings.get("billing_code", "")),
            "billingInfo": "",
            result_files.FILE: taken.cause,
            "drop": drop.name,
            "take": taken.id,
            "count": "1",
        }
        job = JobSubmission(
            job=taken.job(0),
            principal=sender.principal,
            owner=sender.owner,
            recipients=tuple(JobRecipient((r.number, *r.alternatives), r.properties) for r in fax.recipients),
            documents=(JobDocument(taken.cause, "text" if text else None, None, kept),),
            accepted_at=self._clock(),
            key=hashlib.sha256("\0".join(words).encode()).hexdigest(),
            fingerprint=kept.sha256,
            key_valid=self._names_s,
            settings=fax.settings,
            cover=fax.cover,
            success_to=fax.success_to,
            failure_to=fax.failure_to,
            earliest=fax.earliest,
            latest=fax.latest,
            report=JobReport(sender.interface.value, reference),
            subject=fax.reference or taken.cause,
        )
        try:
            answer = await hand_in(self._submissions, job)
        except FaxError as exc:
            if isinstance(exc, StoreError) and exc.temporary:
                raise
            return "refused", exc.public
        if isinstance(answer, JobReceipt):
            return None
        if isinstance(answer, JobKnown):
            return "duplicate_job", f"This file was taken before, as the job {answer.job}; it is not sent again."
        return answer.code, answer.text


def _is_whole(inbox: Shelf, name: str) -> bool:
    try:
        drop_name.read_sidecar(name, inbox.read(name, drop_name.MAX_SIDECAR + 1))
    except (EndsEarly, FileNotFoundError):
        return False
    except Refused:
        return True  # taken, and refused
    return True


def _fax(taken: Taken) -> XmlFax:
    """Who gets the document. Raises Refused; blocking."""
    if drop_name.document_of(taken.cause):
        raise BadJob("The document that this sidecar is about is not there.")
    if taken.parts:
        fd = taken.open(taken.parts[0])
        with os.fdopen(fd, "rb") as file:
            return drop_name.read_sidecar(taken.parts[0], file.read(drop_name.MAX_SIDECAR + 1))
    number = drop_name.number_in(taken.cause)
    if not number:
        raise BadJob("The file's name does not begin with a fax number, and it has no sidecar.", xml_job.FAILED)
    return drop_name.for_number(number)


def _lay_aside(drop: Drop, taken: Taken, result: bytes) -> None:
    """Say why, and keep the document where its owner finds it; may be done again."""
    drop.out().put(taken.cause + drop_name.RESULT, result)
    with Shelf(drop.work.parent / REFUSED) as refused:
        taken.move(refused)
        refused.sync()
