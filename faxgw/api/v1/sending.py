"""Sending a fax: the request in JSON or as a form, its Idempotency-Key, and a fax that is sent again.

What was accepted is durable when the answer leaves (docs/spine.md section 5). A key is stored in the job's own
transaction: the same request is answered alike, another one under the same key is refused, and two at the same moment
are never both accepted.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any  # rows, parsed JSON

from aiohttp import BodyPartReader, web
from sqlalchemy import Connection

from faxgw.api.answers import Refusal
from faxgw.api.http import Ground, too_large
from faxgw.api.retarus_body import JobBody
from faxgw.api.settings import ApiSettings
from faxgw.api.uploads import Upload
from faxgw.api.v1 import patterns, told
from faxgw.api.v1.fax_models import (
    MAX_TOLD,
    AnyDocument,
    FaxForm,
    FaxNew,
    FaxSaid,
    JobResend,
    LinkedDocument,
    Recipient,
    Resend,
    To,
)
from faxgw.api.v1.problems import of_code
from faxgw.api.v1.table import Call, Reply, check_json
from faxgw.api.v1.types import checked, unix
from faxgw.document.limits import MAX_DOCUMENTS
from faxgw.egress import Egress, Forbidden
from faxgw.fax import ids
from faxgw.fax.account import Level, from_snapshot
from faxgw.fax.job import FaxState
from faxgw.fax.ports import StoredFile
from faxgw.fax.submission import JobDocument, JobKnown, JobReceipt, JobRecipient, JobRefused, JobSubmission
from faxgw.fax.submission import JobSubmissions as Submissions
from faxgw.formats.json_body import BadJson, decode_base64, parse_json
from faxgw.store import accounts, fax_book, submission
from faxgw.store.errors import CommitUncertain, ObjectTooLarge
from faxgw.store.fax_book import BookedFax
from faxgw.store.files import Kind

KEY_VALID_S = 86_400.0
"""Seconds for which a key is remembered."""
MAX_FORM_JSON = 4 * 2**20
"""Octets of the part `fax` of a form."""
_CHUNK = 131_072
_AT_TOP = frozenset({"cost_centre", "priority", "cover", "overlay", "overlay_pages"})
NOT_REACHED = (FaxState.FAILED.value, FaxState.EXPIRED.value)
"""States of faxes that a job is sent again for where nothing else is said: they did not arrive, and were to."""
_OPTIONS = {"station_id": "csid", "caller": "clip"}
"""Our names → settings, where they differ."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request to send, read: its documents are durable."""

    fax: FaxSaid
    to: Sequence[To]
    documents: tuple[JobDocument, ...]
    fingerprint: str


class Sending:
    """Takes faxes.

    Args:
        ground: Store, files, clock.
        submissions: The funnel for jobs.
        settings: `[api]`.
        egress: Who fetches documents.
    """

    def __init__(self, ground: Ground, submissions: Submissions, settings: ApiSettings, egress: Egress) -> None:
        self._ground = ground
        self._submissions = submissions
        self._settings = settings
        self._egress = egress
        self._keys: set[str] = set()
        self._submitting: set[asyncio.Task[JobReceipt | JobKnown | JobRefused]] = set()

    # --------------------------------------------------------------------------------------------------- operations

    async def create(self, call: Call) -> Reply:
        """POST /faxes."""
        request = call.request
        async with self._key(call) as key, JobBody(self._ground.files, int(self._settings.max_body)) as body:
            if request.content_type == "multipart/form-data":
                asked = await self._form(request, body)
            else:
                asked = await self._json(request, body)
            self._check_number(len(asked.to))
            job = await self._job(call, asked, key)
            if (known := await self._known(call, job)) is not None:
                return known
            body.hand_over()
            return await self._submit(call, job)

    async def resend(self, call: Call, first: BookedFax) -> Reply:
        """POST /faxes/{fax}/resend of a fax that the caller sees."""
        asked: Resend = call.body
        if asked.to:
            recipients = _recipients(asked.to)
        else:
            numbers = await self._ground.view(call.caller).read(_numbers_of, first.id)
            recipients = (JobRecipient(numbers, first.properties),)
        marked = first.state is FaxState.UNKNOWN if asked.marked is None else asked.marked
        return await self._again(call, first.job, recipients, marked, first.id)

    async def resend_job(self, call: Call, job: str) -> Reply:
        """POST /jobs/{job}/resend of a job that the caller sees."""
        asked: JobResend = call.body
        states = asked.states or NOT_REACHED
        rows = await self._ground.view(call.caller).read(_people_of, job, states)
        if not rows:
            raise of_code("conflict", f"No fax of this job is {' or '.join(states)}.")
        recipients = tuple(
            JobRecipient(
                fax_book.given(row.numbers),
                tuple((key, text) for key, text in row.properties or ()),
            )
            for row in rows
        )
        arrived = any(row.state in (FaxState.UNKNOWN, FaxState.SENT) for row in rows)
        return await self._again(call, job, recipients, arrived if asked.marked is None else asked.marked, job)

    async def _again(
        self, call: Call, first: str, recipients: tuple[JobRecipient, ...], marked: bool, named: str
    ) -> Reply:
        """Send the documents of a job again, as a new one.

        Args:
            call: The call.
            first: The job.
            recipients: Who gets it.
            marked: Every page bears the mark.
            named: The fax or job of the path.
        """
        self._check_number(len(recipients))
        fingerprint = hashlib.sha256(
            json.dumps(["resend", named, call.body.model_dump(mode="json")], sort_keys=True).encode()
        ).hexdigest()
        async with self._key(call) as key, JobBody(self._ground.files, int(self._settings.max_body)) as body:
            row, kept, pending = await self._ground.view(call.caller).read(_lineage, first)
            if pending:
                raise of_code(
                    "documents_pending", "Its documents are still being fetched.", headers={"Retry-After": "30"}
                )
            if not kept:
                raise of_code("conflict", "The documents of this fax are not kept any more.")
            files = await body.copies([StoredFile(d.key, d.sha256, d.size) for d in kept])
            snapshot = from_snapshot(row.settings)
            own = {key: snapshot[key] for key, origin in snapshot.origins.items() if origin.level is Level.JOB}
            now = self._ground.clock()
            job = JobSubmission(
                job=_new_job(),
                principal=call.caller.principal(),
                owner=call.caller.name,
                recipients=recipients,
                documents=tuple(
                    JobDocument(d.name, d.kind, d.charset, file) for d, file in zip(kept, files, strict=True)
                ),
                accepted_at=now,
                key=key,
                fingerprint=fingerprint,
                key_valid=KEY_VALID_S,
                key_for_good=True,
                settings=own,
                subject=row.subject,
                reference=row.reference,
                resend_of=first,
                text=row.cover_text or "",
                marked=marked,
            )
            if (known := await self._known(call, job)) is not None:
                return known
            body.hand_over()
            return await self._submit(call, job)

    def _check_number(self, recipients: int) -> None:
        if recipients > self._settings.max_recipients:
            text = f"A fax may have at most {self._settings.max_recipients} recipients."
            raise of_code("invalid", text, param="to")

    # --------------------------------------------------------------------------------------------------------- keys

    @contextlib.asynccontextmanager
    async def _key(self, call: Call) -> AsyncIterator[str]:
        """The request's key, as it is stored; nobody else works on it meanwhile. Empty: it has none."""
        given = call.request.headers.get("Idempotency-Key")
        if given is None:
            yield ""
            return
        if not re.fullmatch(patterns.KEY[1:-1], given):
            text = f"Idempotency-Key: {patterns.words(patterns.KEY)}."
            raise of_code("invalid", text, param="Idempotency-Key")
        whose = call.caller.user or call.caller.customer
        key = hashlib.sha256("\x00".join((whose, "v1", call.request.method, given)).encode()).hexdigest()
        if key in self._keys:
            text = "A request with this Idempotency-Key is being worked on."
            raise of_code("in_progress", text, headers={"Retry-After": "1"})
        self._keys.add(key)
        try:
            yield key
        finally:
            self._keys.discard(key)

    # ------------------------------------------------------------------------------------------------------- bodies

    async def _json(self, request: web.Request, body: JobBody) -> _Asked:
        check_json(request)
        parsed = await body.read(request)
        fax = checked(FaxNew, parsed, {"blob_of": body.blob_of})
        uploads = await body.keep([_octets(document, body) for document in fax.documents])
        return _Asked(fax, fax.to, self._documents(fax.documents, uploads), body.sha256)

    def _documents(self, given: Sequence[AnyDocument], uploads: Sequence[Upload]) -> tuple[JobDocument, ...]:
        found = []
        for index, (document, file) in enumerate(zip(given, uploads, strict=True)):
            url = document.url if isinstance(document, LinkedDocument) else ""
            if url:
                try:
                    self._egress.check(url)
                except Forbidden as exc:
                    raise of_code("bad_reference", exc.public, param=f"documents[{index}].url") from exc
            found.append(JobDocument(document.name, None, document.charset, file, url))
        return tuple(found)

    async def _form(self, request: web.Request, body: JobBody) -> _Asked:
        """A form: parts `document`, `to` and `fax`, in any order; documents go to the spool while they come."""
        limit, size = int(self._settings.max_body), 0
        digest = hashlib.sha256()
        numbers: list[str] = []
        files: list[tuple[str, str | None, StoredFile]] = []
        fax: Any = None
        try:
            reader = await request.multipart()
        except (ValueError, AssertionError) as exc:
            raise of_code("bad_form", "The body is not the form that it says it is.") from exc
        async for part in _parts(reader):
            name = part.name or ""
            digest.update(f"\x00{name}\x00{part.filename or ''}\x00{part.headers.get('Content-Type', '')}\x00".encode())
            if name == "document":
                if len(files) >= MAX_DOCUMENTS:
                    raise of_code("invalid", f"A fax has at most {MAX_DOCUMENTS} documents.", param="document")
                if not part.filename:
                    raise of_code("invalid", "document: it must be a file, with a file name.", param="document")
                stored = await self._document_part(part, body, limit - size)
                digest.update(stored.sha256.encode())
                size += stored.size
                files.append((_file_name(part.filename), _charset(part), stored))
                continue
            text = await _text_part(part, MAX_FORM_JSON)
            size += len(text)
            digest.update(hashlib.sha256(text).digest())
            if name == "to":
                numbers.append(text.decode("utf-8", "replace").strip())
            elif name == "fax":
                if fax is not None:
                    raise of_code("invalid", "fax was given twice.", param="fax")
                fax = _parsed(text)
            else:
                raise of_code("invalid", f"{name[:40]}: There is no such part.", param=name[:40])
            self._check_number(len(numbers))
        whole: dict[str, Any] = {"to": numbers, "document": ["" for _ in files]}
        if fax is not None:
            whole["fax"] = fax
        form = checked(FaxForm, whole)
        documents = tuple(JobDocument(name, None, charset, stored) for name, charset, stored in files)
        return _Asked(form.fax, form.to, documents, digest.hexdigest())

    async def _document_part(self, part: BodyPartReader, body: JobBody, limit: int) -> StoredFile:
        async with await self._ground.files.open_temp(Kind.OBJECT, max(1, limit)) as spool:
            try:
                while piece := await part.read_chunk(_CHUNK):
                    await spool.write(part.decode(piece) if "Content-Transfer-Encoding" in part.headers else piece)
            except ObjectTooLarge as exc:
                raise too_large(int(self._settings.max_body)) from exc
            except (ValueError, AssertionError, RuntimeError) as exc:
                raise of_code("bad_form", "The form cannot be read.") from exc
            if not spool.size:
                raise of_code("invalid", "document: the file is empty.", param="document")
            stored = await spool.commit()
            body.take(stored)
            return stored

    # --------------------------------------------------------------------------------------------------------- jobs

    async def _job(self, call: Call, asked: _Asked, key: str) -> JobSubmission:
        fax, now = asked.fax, self._ground.clock()
        settings = await self._overrides(call, fax)
        earliest = None if fax.send_at is None else unix(fax.send_at)
        latest = None
        if fax.valid_hours is not None:
            latest = max(now, earliest or 0.0) + fax.valid_hours * 3600.0
        mails = fax.status_mails
        return JobSubmission(
            job=_new_job(),
            principal=call.caller.principal(),
            owner=call.caller.name,
            recipients=_recipients(asked.to),
            documents=asked.documents,
            accepted_at=now,
            key=key,
            fingerprint=asked.fingerprint,
            key_valid=KEY_VALID_S,
            key_for_good=True,
            settings=settings,
            success_to=None if mails is None else tuple(mails.success),
            failure_to=None if mails is None else tuple(mails.failure),
            earliest=earliest,
            latest=latest,
            subject=fax.subject,
            reference=fax.reference,
            cover=fax.cover or "",
            text=fax.cover_text,
        )

    async def _overrides(self, call: Call, fax: FaxSaid) -> dict[str, Any]:
        given = {key: value for key, value in fax.options.given().items() if value is not None}
        settings = {_OPTIONS.get(key, key): value for key, value in given.items()}
        if fax.cost_centre:
            settings["billing_code"] = fax.cost_centre
        if fax.overlay is not None:
            settings["overlay"] = fax.overlay
        if fax.overlay_pages is not None:
            settings["overlay_mode"] = fax.overlay_pages
        if fax.priority != "normal":
            settings["priority"] = fax.priority
        if caller := settings.get("clip"):
            now = self._ground.clock()
            view = self._ground.view(call.caller)
            if not await view.read(lambda conn, customer: accounts.may_show(conn, customer, caller, now=now)):
                raise of_code("caller_not_open", "The account may not show this number.", param="options.caller")
        return settings

    async def _submit(self, call: Call, job: JobSubmission) -> Reply:
        """Hand the job in; begun, it is finished whether or not the client waits for the answer."""
        task = asyncio.create_task(self._submissions.submit(job), name=f"submit {job.job}")
        self._submitting.add(task)
        task.add_done_callback(self._submitting.discard)
        try:
            found = await asyncio.shield(task)
        except CommitUncertain as exc:
            text = "The gateway could not confirm that it has stored the fax; send the same request again."
            raise of_code("uncertain", text, headers={"Retry-After": "30"}) from exc
        if isinstance(found, JobRefused):
            raise _refusal(found)
        return await self._told(call, found)

    async def _known(self, call: Call, job: JobSubmission) -> Reply | None:
        """The answer of an earlier request with this key, whatever holds for the account by now."""
        if not job.key:
            return None
        key, now = job.key, self._ground.clock()
        found = await self._ground.store.read(
            lambda conn: submission.known(conn, key, job.fingerprint, valid=KEY_VALID_S, now=now, for_good=True)
        )
        return None if found is None else await self._told(call, found)

    async def _told(self, call: Call, found: JobReceipt | JobKnown) -> Reply:
        """The answer to an accepted request."""
        headers = {"Location": f"/api/v1/jobs/{found.job}"}
        if isinstance(found, JobKnown):
            if not found.same:
                text = f"This Idempotency-Key was used for another request, which became {found.job}."
                raise of_code("key_reused", text, param="Idempotency-Key")
            headers["Idempotent-Replayed"] = "true"
        row, count, faxes = await self._ground.view(call.caller).read(_promised, found.job)
        return Reply(told.accepted(row, count, faxes), 202, headers)


def _refusal(found: JobRefused) -> Refusal:
    place = found.param
    if found.code in ("bad_setting", "header_policy"):
        names = {setting: name for name, setting in _OPTIONS.items()} | {
            "billing_code": "cost_centre",
            "overlay_mode": "overlay_pages",
        }
        place = names.get(place, place)
        place = (
            place if place in ("cost_centre", "priority", "cover", "overlay", "overlay_pages") else f"options.{place}"
        )
    elif found.code == "express_not_open":
        place = "priority"
    elif found.code in ("no_recipient", "too_many_recipients"):
        return of_code("invalid", found.text, param="to")
    elif found.code == "missing_property":
        place = place.replace("recipients[", "to[")
    return of_code(found.code, found.text, param=place)


def _new_job() -> str:
    return ids.job_id(secrets.token_bytes(ids.RANDOM_OCTETS))


def _recipients(given: Sequence[To]) -> tuple[JobRecipient, ...]:
    found = []
    for one in given:
        if isinstance(one, Recipient):
            found.append(JobRecipient((one.number, *one.alternatives), tuple(one.properties.items())))
        else:
            found.append(JobRecipient((one,)))
    return tuple(found)


def _octets(document: AnyDocument, body: JobBody) -> Any:
    """The octets of a document, the place in the spool where they are, or None."""
    if isinstance(document, LinkedDocument):
        return None
    return body.blob_of(document.data) or decode_base64(document.data)


async def _parts(reader: Any) -> AsyncIterator[BodyPartReader]:
    """The parts of a form, one after another."""
    while True:
        try:
            part = await reader.next()
        except (ValueError, AssertionError, RuntimeError, web.HTTPException) as exc:
            raise of_code("bad_form", "The form cannot be read.") from exc
        if part is None:
            return
        if not isinstance(part, BodyPartReader):
            raise of_code("bad_form", "A form has no forms in it.")
        yield part


async def _text_part(part: BodyPartReader, limit: int) -> bytes:
    found = bytearray()
    try:
        while piece := await part.read_chunk(_CHUNK):
            found += piece
            if len(found) > limit:
                raise too_large(limit)
    except (ValueError, AssertionError, RuntimeError) as exc:
        raise of_code("bad_form", "The form cannot be read.") from exc
    return bytes(found)


def _parsed(text: bytes) -> Any:
    try:
        return parse_json(text)
    except BadJson as exc:
        raise of_code("bad_json", exc.public, param="fax") from exc


def _file_name(given: str | None) -> str:
    """A name for texts; never a path."""
    name = re.split(r"[/\\]", given or "")[-1]
    return "".join(c for c in name if c.isprintable())[:200] or "document"


def _charset(part: BodyPartReader) -> str | None:
    found = part.get_charset(default="")
    return found[:64] or None if found.isascii() and found.isprintable() else None


def _lineage(conn: Connection, customer: str, job: str) -> tuple[Any, list[Any], int]:
    return fax_book.job_row(conn, job), fax_book.documents(conn, job), fax_book.pending_documents(conn, job)


def _people_of(conn: Connection, customer: str, job: str, states: Sequence[str]) -> list[Any]:
    return fax_book.people(conn, job, states)


def _numbers_of(conn: Connection, customer: str, fax: str) -> tuple[str, ...]:
    return fax_book.numbers_typed(conn, fax)


def _promised(conn: Connection, customer: str, job: str) -> tuple[Any, int, list[Any]]:
    count, faxes = fax_book.first_faxes(conn, job, limit=MAX_TOLD)
    return fax_book.job_row(conn, job), count, faxes
