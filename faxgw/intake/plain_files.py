"""Documents that are faxed by their name, or by a sidecar beside them (`formats.drop_name`).

What was accepted leaves the folder; its result comes beside it when it is final. What was refused is told at once and
laid into `refused`, for nobody's document is thrown away unsent. The same file (name, time and content) laid down
again is a duplicate; another one under the same name is another fax, as scanners send them.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence

from faxgw.fax.errors import FaxError, Refused
from faxgw.fax.submission import (
    JobDocument,
    JobKnown,
    JobReceipt,
)
from faxgw.formats import drop_name, xml_job
from faxgw.formats.xml_job import BadJob, XmlFax
from faxgw.formats.xml_tree import EndsEarly
from faxgw.intake.area import MAX_FILE
from faxgw.intake.collector import BATCH, WAIT_S, Choice, Drop, Sender, Turned
from faxgw.intake.funnel import Funnel
from faxgw.intake.result_files import plain_refusal
from faxgw.intake.shelf import Entry, Shelf
from faxgw.intake.taking import Taken
from faxgw.store.errors import ObjectTooLarge, StoreError

REFUSED = "refused"
"""Folder for what was refused, beside the work folder."""

log = logging.getLogger(__name__)


class PlainFiles(Funnel):
    """Handles documents without a job file."""

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
            late = drop.waited(entry, now) >= WAIT_S
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
        if not await self._is_job(taken, 0):
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
            kept = await self._files.adopt_fd(fd, limit=MAX_FILE)
        except ObjectTooLarge as exc:
            return "too_large", exc.public
        finally:
            os.close(fd)
        words = (sender.principal.customer, sender.owner, "plain", taken.cause, str(modified), kept.sha256)
        text = taken.cause.lower().endswith((".txt", ".text"))
        document = JobDocument(taken.cause, "text" if text else None, None, kept)
        key = hashlib.sha256("\0".join(words).encode()).hexdigest()
        job = self._submission(
            drop, taken, 0, fax, sender, [document], key=key, fingerprint=kept.sha256, subject=taken.cause,
            facts={"count": "1"},
        )  # fmt: skip
        try:
            answer = await self._submit(job)
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
