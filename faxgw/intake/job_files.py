"""Job files become jobs: `job…xml` and its documents, through the funnel, with an answer for every one.

A job file is taken when every document that it names is there; it waits WAIT_S for what is missing. Its name counts
once: the same file again is told to be a duplicate, another one under the same name is refused, unless nothing of the
first was or may still be sent (docs/spine.md section 5). Neither depends on the documents, so a file that lacks some is
answered as soon as the store knows its name: whoever sends a job file again, because the answer to it was lost, has
no document to send. What was accepted is told in `rep…xml` when it is finished; what was not, at once: in `rep…xml`
where nothing of the file was ever accepted, else in `err…xml`.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property
from weakref import WeakKeyDictionary

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
from faxgw.intake.area import MAX_FILE
from faxgw.intake.collector import BATCH, WAIT_S, Choice, Drop, Sender, Turned
from faxgw.intake.funnel import Funnel
from faxgw.intake.shelf import Entry, Shelf
from faxgw.intake.taking import Taken
from faxgw.store import submission
from faxgw.store.errors import ObjectTooLarge, StoreError

JOB_NAME = re.compile(r"job.*\.[xX][mM][lL]", re.DOTALL)
"""Names of job files: `job` in lower case, as the vendor's format has it."""

ASK_S = 5.0
"""Seconds for which documents are waited for before the store is asked whether the file's name is known. Those that
are on their way come with their file, for left behind they would lie there for another job that names them."""
ASK_AT_ONCE = 1_000
"""Keys that are looked up in one read; what is above comes in the next one."""
MAX_NAMES = 20_000
"""Documents of waiting job files that are remembered in each folder: what names more is read again at every look, and
answered when its time is up."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """What a job file waits for."""

    wants: tuple[tuple[str, ...], ...]
    """Of each fax the documents that are to lie beside it; none where the file is to be refused."""
    whole: bool = True
    """Whether its end is there."""
    known: frozenset[int] | None = None
    """Faxes that the store knows by their file's name; None: it was not asked."""

    @property
    def names(self) -> Sequence[str]:
        """All documents, each once, in order."""
        return list(dict.fromkeys(name for names in self.wants for name in names))

    @property
    def size(self) -> int:
        """What it counts when it is remembered."""
        return 1 + sum(1 + len(names) for names in self.wants)

    def lacks(self, here: Set[str]) -> bool:
        """Whether a document is missing of a fax that is not known."""
        known = self.known or ()
        return not self.whole or any(
            name not in here for index, names in enumerate(self.wants) if index not in known for name in names
        )


class _Memory:
    """What is remembered of the job files that wait in a folder, so that each is read and asked about once."""

    def __init__(self) -> None:
        self.files: dict[Entry, _Waiting] = {}
        self._size = 0

    def keep(self, entry: Entry, waiting: _Waiting) -> None:
        """Remember a file, if there is room."""
        if entry not in self.files and self._size + waiting.size <= MAX_NAMES:
            self.files[entry] = waiting
            self._size += waiting.size

    def forget(self, entries: Sequence[Entry]) -> None:
        """Forget all files but these."""
        if not self.files:
            return
        here = set(entries)
        self.files = {entry: waiting for entry, waiting in self.files.items() if entry in here}
        self._size = sum(waiting.size for waiting in self.files.values())


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

    @cached_property
    def _memories(self) -> WeakKeyDictionary[Drop, _Memory]:
        return WeakKeyDictionary()

    # ---------------------------------------------------------------------------------------------------- choosing

    def choose(self, drop: Drop, inbox: Shelf, entries: Sequence[Entry], now: float) -> tuple[list[Choice], bool]:
        """The oldest job files whose documents are all there, or that have waited long enough."""
        here, waits = {entry.name for entry in entries}, False
        memory = self._memories.setdefault(drop, _Memory())
        memory.forget(entries)
        found: list[Choice] = []
        for entry in entries:
            if len(found) >= BATCH:
                break
            if JOB_NAME.fullmatch(entry.name) is None:
                continue
            late = drop.waited(entry, now) >= WAIT_S
            try:
                waiting = memory.files.get(entry) or _look(inbox, entry)
            except FileNotFoundError:
                continue
            own = {entry.name} & here
            here -= own  # it is no document of its own
            if late or not waiting.lacks(here):
                parts = tuple(name for name in waiting.names if name in here)
                found.append(Choice(entry.name, parts))
                here.difference_update(parts)
            else:
                waits = True
                memory.keep(entry, waiting)
                here |= own
        return found, waits

    async def ask(self, drop: Drop, now: float) -> bool:
        """Ask the store, once for each file that lacks documents, whether its name was accepted before."""
        memory = self._memories.setdefault(drop, _Memory())
        asked: dict[Entry, set[int]] = {}
        keys: dict[str, tuple[Entry, int]] = {}
        for entry, waiting in list(memory.files.items()):
            if len(keys) >= ASK_AT_ONCE:
                break
            if waiting.known is not None or not waiting.whole or drop.waited(entry, now) < ASK_S:
                continue
            if any(drop.arriving(name) for name in waiting.names):
                continue  # they will have to go with their file
            asked[entry] = set()
            keys |= {name_key(drop, entry.name, index): (entry, index) for index in range(len(waiting.wants))}
        if not asked:
            return False
        valid, at = self._names_s, self._clock()
        held = await self._store.read(lambda conn: submission.held(conn, list(keys), valid=valid, now=at))
        for entry, index in (keys[key] for key in held):
            asked[entry].add(index)
        for entry, known in asked.items():
            if (still := memory.files.get(entry)) is not None:
                memory.files[entry] = replace(still, known=frozenset(known))
        return True

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
                drop, taken, index, fax, sender, documents, key=name_key(drop, taken.cause, index),
                fingerprint=fingerprint, subject=job.reference, facts=facts | {"ignored": " ".join(job.ignored)},
            )  # fmt: skip
            answer = await self._submit(made)
        except FileNotFoundError:
            if (first := await self._known(drop, taken.cause, index, fingerprint)) is not None:
                return _refusal(fax, first)  # whose documents went with it
            missing = next(f.name for f in fax.files if f.content is None and f.name not in taken.parts)
            return _Refusal((fax,), "missing_file", f"The document {missing} is not there.", xml_job.MISSING_FILE)
        except ObjectTooLarge as exc:
            return _Refusal((fax,), "too_large", exc.public)
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
            return await self._files.adopt_fd(fd, limit=MAX_FILE)
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
        taken_before = accepted or any(r.first_job for r in refusals) or await self._is_used(drop, taken.cause)
        name = xml_job.report_name(taken.cause, "err" if taken_before else "rep")
        await self._threads.run(lambda: drop.out().put(name, octets))
        log.info("job file refused", extra={"event": "files.refused", "drop": drop.name, "why": first.code})

    async def _is_used(self, drop: Drop, cause: str) -> bool:
        """Whether anything of a file of this name was ever accepted, so that there is, or will be, a report on it."""
        keys = [name_key(drop, cause, index) for index in range(xml_job.MAX_FAXES)]
        valid, now = self._names_s, self._clock()
        return await self._store.read(lambda conn: submission.is_used(conn, keys, valid=valid, now=now))

    async def _known(self, drop: Drop, cause: str, index: int, fingerprint: str) -> JobKnown | None:
        """The job that was accepted under a file's name before. Raises StoreError."""
        key, now, valid = name_key(drop, cause, index), self._clock(), self._names_s
        return await self._store.read(lambda conn: submission.known(conn, key, fingerprint, valid=valid, now=now))


def name_key(drop: Drop, name: str, index: int) -> str:
    """The idempotency key of one fax of a job file: its owner's, and its name's."""
    words = (drop.customer, drop.name, "file", name, str(index))
    return hashlib.sha256("\0".join(words).encode()).hexdigest()


def _look(inbox: Shelf, entry: Entry) -> _Waiting:
    """What a job file wants. Raises FileNotFoundError."""
    try:
        job = _read(inbox.read(entry.name, xml_job.MAX_JOB_FILE + 1))
    except EndsEarly:
        return _Waiting((), whole=False)
    except Refused:
        return _Waiting(())  # taken alone, and refused
    return _Waiting(tuple(tuple(f.name for f in fax.files if f.content is None) for fax in job.faxes))


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
