"""The vendor's SOAP interface, version 3 and the shapes before it, on the gateway's store (docs/soap.md).

Credentials stand in the body: they are checked as soon as they have come, before any document is read. A login sees
the jobs that it made over whatever interface, and no others.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from functools import partial

from aiohttp import web
from sqlalchemy import Connection

from faxgw.api.answers import Refusal
from faxgw.api.http import Admit, Api, Ground, public_origin, too_large
from faxgw.api.settings import ApiSettings
from faxgw.api.uploads import Uploads
from faxgw.api.vendor_jobs import VendorJobs
from faxgw.fax.access import Caller, Interface, Scope
from faxgw.fax.errors import Refused
from faxgw.fax.vendor_report import JobFacts, VendorReport
from faxgw.formats import soap, soap_answers
from faxgw.formats.json_body import BadJson
from faxgw.formats.retarus_rest import MAX_DOCUMENTS, BadRequest
from faxgw.formats.soap import Call, Operation
from faxgw.formats.soap_wsdl import wsdl
from faxgw.formats.xml_stream import XmlStream
from faxgw.store import pushed, report_book
from faxgw.store.files import Files

PATHS = ("/soap/v3", "/Faxolution", "/Faxolution-v3.0")
"""Ours, and those that clients of the vendor are known to have been given."""
MAX_BEFORE_LOGIN = 65_536
"""Octets within which the credentials must have come."""
READ_AT_ONCE = 100
"""Parts of a job, recipients above all, that are read on the event loop, some 5 ms; more are read in a thread."""
_CHUNK = 131_072
_SCOPES = {
    Operation.SEND: Scope.FAXES_WRITE,
    Operation.REPORTS: Scope.FAXES_READ,
    Operation.LIST: Scope.FAXES_READ,
    Operation.DELETE: Scope.FAXES_WRITE,
    Operation.DELETE_ALL: Scope.FAXES_WRITE,
}
_TYPES = frozenset({"text/xml", "application/xml", "application/soap+xml", "application/octet-stream"})
"""Types of a request; aiohttp says the last where none was given."""


class SoapApi:
    """Serves the five operations and their description.

    Args:
        ground: Store, files, who is asking.
        jobs: Takes jobs in.
        settings: `[api]`.
    """

    def __init__(self, ground: Ground, jobs: VendorJobs, settings: ApiSettings) -> None:
        self._ground = ground
        self._jobs = jobs
        self._settings = settings

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """What is to be mounted."""
        api = Api(self._ground, Interface.SOAP, answer=lambda refusal: _fault(refusal, soap.SOAP_1_1))
        for path in PATHS:
            api.add_with_login_in_body(path, self._serve, max_body=int(self._settings.max_body), tolerant=True)
            api.add_open(path, self._describe, tolerant=True)
        return api.routes()

    async def _describe(self, request: web.Request) -> web.StreamResponse:
        """`?wsdl`, or any other GET: what there is here."""
        location = public_origin(request, self._ground) + request.path
        return web.Response(text=wsdl(location), content_type="text/xml", charset="utf-8")

    async def _serve(self, request: web.Request, admit: Admit) -> web.StreamResponse:
        if request.content_type not in _TYPES:
            text = "The body must be XML: Content-Type text/xml, or application/soap+xml for SOAP 1.2."
            raise Refusal(415, text, code="unsupported_type")
        async with SoapBody(self._ground.files, int(self._settings.max_body)) as body:
            try:
                return await self._answer(request, admit, body)
            except Refusal as refusal:
                return _fault(refusal, soap.envelope_of(body.stream.root))

    async def _answer(self, request: web.Request, admit: Admit, body: SoapBody) -> web.Response:
        caller, call = await body.read(request, admit)
        view, now = self._ground.view(caller), self._ground.clock()
        match call.operation:
            case Operation.SEND:
                text = soap_answers.job_answer(call, await self._send(caller, call, body))
            case Operation.REPORTS:
                reports, facts = await view.read(_reports, caller.name, _read(call))
                text = soap_answers.reports_answer(call, reports, facts)
            case Operation.LIST:
                found = await view.read(report_book.available, caller.name)
                available = [soap_answers.Available(row.job, row.accepted_at, row.finished_at) for row in found]
                text = soap_answers.list_answer(call, available)
            case _:
                done = await view.run(report_book.delete, caller.name, _read(call), now=now)
                text = soap_answers.deletion_answer(call, done)
        envelope = soap.envelope_of(body.stream.root)
        return _response(200, soap_answers.answer_in(envelope, text), envelope)

    async def _send(self, caller: Caller, call: Call, body: SoapBody) -> str:
        try:
            read = partial(soap.read_job, call, now=self._ground.clock(), max_recipients=self._settings.max_recipients)
            asked = await asyncio.to_thread(read) if len(call.fields.children) > READ_AT_ONCE else read()
            self._jobs.check(asked)
            uploads = await body.keep([None if d.url else d.data for d in asked.documents])
            body.hand_over()
            return await self._jobs.submit(caller, Interface.SOAP, asked, uploads, body.sha256)
        except BadRequest as exc:
            raise Refusal(400, exc.public, code="bad_request", param=exc.param) from exc
        except Refusal as exc:
            place = soap.place_of(exc.param)
            raise Refusal(
                exc.status, soap.place_of(exc.detail), code=exc.code, param=place, headers=exc.headers
            ) from exc


class SoapBody(Uploads):
    """One request's body: who asks is decided on its first octets; documents go to the spool.

    Args:
        files: The spool.
        limit: Octets at most.
    """

    def __init__(self, files: Files, limit: int) -> None:
        super().__init__(files, limit)
        self.stream = XmlStream()
        self.sha256 = ""
        """Of the body as it came, hexadecimal, once it was read."""

    async def read(self, request: web.Request, admit: Admit) -> tuple[Caller, Call]:
        """Who asks for what. Raises Refusal."""
        digest, size = hashlib.sha256(), 0
        caller: Caller | None = None
        try:
            async for chunk in request.content.iter_chunked(_CHUNK):
                size += len(chunk)
                if size > self._limit:
                    raise too_large(self._limit)
                digest.update(chunk)
                for first in range(0, len(chunk), MAX_BEFORE_LOGIN):
                    try:
                        pieces = self.stream.feed(chunk[first : first + MAX_BEFORE_LOGIN])
                    except (Refused, BadJson):
                        if caller is None:  # wrong credentials come before a wrong body
                            await self._login(admit, size)
                        raise
                    if caller is None:
                        caller = await self._login(admit, size)
                    for number, octets in pieces:
                        if number >= MAX_DOCUMENTS:
                            text = f"A job has at most {MAX_DOCUMENTS} documents."
                            raise Refusal(400, text, code="bad_request", param="document")
                        await self._spool(number, octets)
                    await asyncio.sleep(0)  # a piece is some 700 recipients: others have their turn
            self.stream.finish()
            call = soap.call_of(self.stream.root, is_whole=True)
        except soap.MustUnderstand as exc:
            raise Refusal(400, exc.public, code="must_understand") from exc
        except (Refused, BadJson) as exc:
            raise Refusal(400, exc.public, code="bad_xml") from exc
        assert call is not None  # a whole request that cannot be told was refused
        if caller is None:
            caller = await admit(call.user, call.password, _SCOPES[call.operation])
        self.sha256 = digest.hexdigest()
        return caller, call

    async def _login(self, admit: Admit, size: int) -> Caller | None:
        call = soap.call_of(self.stream.root)
        if call is not None:
            return await admit(call.user, call.password, _SCOPES[call.operation])
        if size > MAX_BEFORE_LOGIN:
            raise Refusal(401, "username and password must stand at the beginning of the request.", code="unauthorized")
        return None


def _reports(
    conn: Connection, customer: str, owner: str, jobs: Sequence[str]
) -> tuple[Sequence[VendorReport], Mapping[str, JobFacts]]:
    """The owner's reports of some jobs, and what they repeat of these."""
    found = report_book.find_all(conn, customer, owner, jobs)
    return found, pushed.facts(conn, [report.job for report in found])


def _read(call: Call) -> Sequence[str]:
    try:
        return soap.job_ids(call)
    except BadRequest as exc:
        raise Refusal(400, exc.public, code="bad_request", param=exc.param) from exc


def _fault(refusal: Refusal, envelope: str) -> web.Response:
    """A fault is 500 (SOAP 1.1 section 6.2), but for what the transport itself refuses."""
    ours = refusal.status >= 500
    code = refusal.code or "refused"
    text = soap_answers.fault(envelope, ours=ours, code=code, text=refusal.detail, param=refusal.param)
    status = refusal.status if refusal.status in (405, 408, 413, 415, 429, 503, 507) else 500
    if envelope == soap.SOAP_1_2 and not ours and status == 500:
        status = 400  # SOAP 1.2 part 2, table 20
    response = _response(status, text, envelope)
    response.headers.update({key: value for key, value in refusal.headers.items() if key != "WWW-Authenticate"})
    return response


def _response(status: int, text: str, envelope: str) -> web.Response:
    kind = "application/soap+xml" if envelope == soap.SOAP_1_2 else "text/xml"
    return web.Response(status=status, text=text, content_type=kind, charset="utf-8")
