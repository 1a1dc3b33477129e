"""Job files become jobs: `job…xml` and its documents, through the funnel, with an answer for every one.

A job file is taken when every document that it names is there; it waits WAIT_S for what is missing. Its name counts
once: the same file again is told to be a duplicate, another one under the same name is refused, unless nothing of the
first was or may still be sent (docs/spine.md section 5). What was accepted is told in `rep…xml` when it is finished;
what was not, at once: in `rep…xml` where nothing of the file was ever accepted, else in `err…xml`.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from faxgw.fax.errors import FaxError, Refused
from faxgw.fax.ports import StoredFile
from faxgw.fax.submission import (
    JobDocument,
    JobKnown,
    JobReceipt,
    JobRefused,
)
from faxgw.formats import xml_job
from faxgw.formats.xml_job import BadJob, XmlFax, XmlFile, XmlJob
from faxgw.formats.xml_tree import EndsEarly
from faxgw.intake.collector import BATCH, WAIT_S, Choice, Drop, Sender, Turned
from faxgw.intake.funnel import Funnel
from faxgw.intake.shelf import Entry, Shelf
from faxgw.intake.taking import Taken
from faxgw.store import submission
from faxgw.store.errors import StoreError

JOB_NAME = re.compile(r"job.*\.[xX][mM][lL]", re.DOTALL)
"""Names of job files: `job` in lower case, as the vendor's format has it."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Faxes of a file that were not accepted."""

    faxes: tuple[XmlFax, ...]
    code: str
    text: str
    status: str = xml_job.FAILED
    first_job: str = ""


class JobFiles(Funnel):
    """Handles job files."""

    # ---------------------------------------------------------------------------------------------------- choosing

    def choose(self, drop: Drop, inbox: Shelf, entries: Sequence[Entry], now: float) -> tuple[list[Choice], bool]:
        """The oldest job files whose documents are all there, or that have waited long enough."""
        here, waits = {entry.name for entry in entries}, False
        found: list[Choice] = []
        for entry in entries:
            if len(found) >= BATCH:
                break
            if JOB_NAME.fullmatch(entry.name) is None:
                continue
            late = drop.waited(entry.name, now) >= WAIT_S
            try:
                wanted = _read(inbox.read(entry.name, xml_job.MAX_JOB_FILE + 1)).names()
            except EndsEarly:
                if not late:
                    waits = True
                    continue
                wanted = []
            except Refused:
                wanted = []  # taken alone, and refused
            except FileNotFoundError:
                continue
            parts = tuple(name for name in wanted if name in here and name != entry.name)
            if late or len(parts) == len(wanted):
                found.append(Choice(entry.name, parts))
                here.difference_update(parts)
            else:
                waits = True
        return found, waits

    # --------------------------------------------------------------------------------------------------- finishing

    async def finish(self, drop: Drop, taken: Taken) -> None:
        """Hand in every fax of a job file that is no job yet, and answer what is refused."""
        octets = await self._threads.run(lambda: taken.read_cause(xml_job.MAX_JOB_FILE + 1))
        job = XmlJob("report", "", ())
        accepted, refusals = False, []
        try:
            job = await self._threads.run(lambda: _read(octets))
            sender = await drop.sender()
            for index, fax in enumerate(job.faxes):
                answer = await self._hand_in(drop, taken, job, index, fax, sender, hashlib.sha256(octets).hexdigest())
                accepted = accepted or answer is None
                refusals += [answer] if answer is not None else []
        except BadJob as exc:
            refusals.append(_Refusal(job.faxes, "bad_job", exc.public, exc.status))
        except Turned as exc:
            refusals.append(_Refusal(job.faxes, exc.code, exc.public))
        except Refused as exc:
            refusals.append(_Refusal(job.faxes, "bad_xml", exc.public))
        if refusals:
            await self._answer(drop, taken, job, refusals, accepted=accepted)
        await self._threads.run(taken.forget)

    async def _hand_in(
        self, drop: Drop, taken: Taken, job: XmlJob, index: int, fax: XmlFax, sender: Sender, fingerprint: str
    ) -> _Refusal | None:
        """One fax becomes a job; None when it is one. Raises StoreError."""
        if await self._is_job(taken, index):
            return None
        try:
            documents = await self._documents(taken, fax)
            count = str(len(job.faxes))
            facts = {"index": str(index), "count": count, "root": job.root, "reference": job.reference}
            made = self._submission(
                drop, taken, index, fax, sender, documents, key=name_key(sender, taken.cause, index),
                fingerprint=fingerprint, subject=job.reference, facts=facts | {"ignored": " ".join(job.ignored)},
            )  # fmt: skip
            answer = await self._submit(made)
        except FileNotFoundError:
            if (first := await self._known(sender, taken.cause, index, fingerprint)) is not None:
                return _refusal(fax, first)  # whose documents went with it
            missing = next(f.name for f in fax.files if f.content is None and f.name not in taken.parts)
            return _Refusal((fax,), "missing_file", f"The document {missing} is not there.", xml_job.MISSING_FILE)
        except StoreError as exc:
            if exc.temporary:
                raise
            return _Refusal((fax,), "refused", exc.public)
        except FaxError as exc:
            return _Refusal((fax,), "refused", exc.public)
        return _refusal(fax, answer)

    async def _documents(self, taken: Taken, fax: XmlFax) -> Sequence[JobDocument]:
        """All documents of a fax, durable; where one of them cannot be had, none is left behind."""
        documents: list[JobDocument] = []
        try:
            for file in fax.files:
                kept = await self._keep(taken, file)
                documents.append(JobDocument(file.name, "text" if file.charset else None, file.charset, kept))
        except BaseException:
            await self._forget(documents)
            raise
        return documents

    async def _keep(self, taken: Taken, file: XmlFile) -> StoredFile:
        if file.content is not None:
            return await self._files.keep(file.content)
        if file.name not in taken.parts:
            raise FileNotFoundError(file.name)
        fd = await self._threads.run(lambda: taken.open(file.name))
        try:
            return await self._files.adopt_fd(fd)
        finally:
            os.close(fd)

    async def _forget(self, documents: Sequence[JobDocument]) -> None:
        for document in documents:
            if document.file is not None:
                await self._files.remove(document.file.key)

    # --------------------------------------------------------------------------------------------------- answering

    async def _answer(
        self, drop: Drop, taken: Taken, job: XmlJob, refusals: Sequence[_Refusal], *, accepted: bool
    ) -> None:
        """Write what was refused. What is told of a job that was accepted under this name is never written over."""
        first = refusals[0]
        faxes = tuple(fax for refusal in refusals for fax in refusal.faxes)
        octets = xml_job.refusal_file(
            job.root, job.reference, faxes, code=first.code, text=first.text, status=first.status,
            first_job=first.first_job,
        )  # fmt: skip
        taken_before = accepted or any(r.first_job for r in refusals) or await self._is_known(drop, taken.cause)
        name = xml_job.report_name(taken.cause, "err" if taken_before else "rep")
        await self._threads.run(lambda: drop.out().put(name, octets))
        log.info("job file refused", extra={"event": "files.refused", "drop": drop.name, "why": first.code})

    async def _is_known(self, drop: Drop, cause: str) -> bool:
        try:
            return await self._known(await drop.sender(), cause, 0, "") is not None
        except Turned:
            return False

    async def _known(self, sender: Sender, cause: str, index: int, fingerprint: str) -> JobKnown | None:
        """The job that was accepted under a file's name before. Raises StoreError."""
        key, now, valid = name_key(sender, cause, index), self._clock(), self._names_s
        return await self._store.read(lambda conn: submission.known(conn, key, fingerprint, valid=valid, now=now))


def name_key(sender: Sender, name: str, index: int) -> str:
    """The idempotency key of one fax of a job file: its owner's, and its name's."""
    words = (sender.principal.customer, sender.owner, "file", name, str(index))
    return hashlib.sha256("\0".join(words).encode()).hexdigest()


def _read(octets: bytes) -> XmlJob:
    if len(octets) > xml_job.MAX_JOB_FILE:
        raise BadJob(f"A job file may have at most {xml_job.MAX_JOB_FILE} octets.")
    return xml_job.read_job(octets)


def _refusal(fax: XmlFax, answer: JobReceipt | JobKnown | JobRefused) -> _Refusal | None:
    match answer:
        case JobReceipt():
            return None
        case JobKnown(job=first, same=True):
            text = f"This file was taken before, as the job {first}; it is not sent again."
            return _Refusal((fax,), "duplicate_job", text, first_job=first)
        case JobKnown(job=first):
            text = f"Another file of this name was taken before, as the job {first}; give each job its own name."
            return _Refusal((fax,), "name_used", text, first_job=first)
        case JobRefused(code=code, text=text):
            return _Refusal((fax,), code, text)
