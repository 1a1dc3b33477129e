"""The vendor's REST "Fax for Applications" v1: its six calls on the gateway's store (docs/rest-retarus.md).

A login sees the jobs that it made and no others; a job of somebody else, or a customer number that is not the login's,
looks exactly like one that does not exist. A job is acknowledged when it is durable, and rendered later.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any  # JSON

from aiohttp import web
from sqlalchemy import Connection

from faxgw.api.answers import Refusal
from faxgw.api.http import Api, Ground, read_json
from faxgw.api.retarus_body import JobBody
from faxgw.api.settings import ApiSettings
from faxgw.api.vendor_jobs import VendorJobs
from faxgw.fax.access import Caller, Interface, Scope, why_not
from faxgw.fax.vendor_report import VendorReport
from faxgw.formats import retarus_report, retarus_rest
from faxgw.formats.retarus_rest import BadRequest
from faxgw.store import report_book

BASE = "/rest/v1/{customer}/fax"
"""Path of the interface; repeated slashes and one at the end are taken too."""
READ_AT_ONCE = 100
"""Recipients that are read on the event loop, some 5 ms; more are read in a thread."""


class RetarusApi:
    """Serves the six calls.

    Args:
        ground: Store, files, who is asking.
        jobs: Takes jobs in.
        settings: `[api]`.
    """

    def __init__(self, ground: Ground, jobs: VendorJobs, settings: ApiSettings) -> None:
        self._ground = ground
        self._settings = settings
        self._jobs = jobs
        self._numbers = {number.lower(): customer for number, customer in settings.customer_numbers.items()}

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """What is to be mounted."""
        api = Api(self._ground, Interface.REST)
        read, write = Scope.FAXES_READ, Scope.FAXES_WRITE
        limit = int(self._settings.max_body)
        api.add("POST", BASE, self._send, scope=write, max_body=limit, stores=True, tolerant=True)
        api.add("GET", f"{BASE}/reports", self._list, scope=read, tolerant=True)
        api.add("DELETE", f"{BASE}/reports", self._delete_oldest, scope=write, tolerant=True)
        api.add("POST", f"{BASE}/reports", self._bulk, scope=read, tolerant=True)
        api.add("GET", f"{BASE}/reports/{{job}}", self._get, scope=read, tolerant=True)
        api.add("DELETE", f"{BASE}/reports/{{job}}", self._delete, scope=write, tolerant=True)
        return api.routes()

    # ---------------------------------------------------------------------------------------------------- sending

    async def _send(self, request: web.Request, caller: Caller) -> web.Response:
        self._check_customer(request, caller)
        async with JobBody(self._ground.files, int(self._settings.max_body)) as body:
            parsed = await body.read(request)
            read = partial(
                retarus_rest.read_job,
                parsed,
                now=self._ground.clock(),
                max_recipients=self._settings.max_recipients,
                blob_of=body.blob_of,
            )
            asked = await asyncio.to_thread(_read, read) if _is_large(parsed) else _read(read)
            self._jobs.check(asked)
            uploads = await body.keep([None if d.url else d.data for d in asked.documents])
            body.hand_over()
            job = await self._jobs.submit(caller, Interface.REST, asked, uploads, body.sha256)
        return web.json_response({"jobId": job})

    # ---------------------------------------------------------------------------------------------------- reports

    async def _get(self, request: web.Request, caller: Caller) -> web.Response:
        self._check_customer(request, caller)
        job = request.match_info["job"]
        found = await self._ground.view(caller).read(_report, caller.name, job)
        if found is None:
            raise Refusal.missing("There is no report of this job.")
        return _json(found)

    async def _delete(self, request: web.Request, caller: Caller) -> web.Response:
        self._check_customer(request, caller)
        jobs, now = [request.match_info["job"]], self._ground.clock()
        (done,) = await self._ground.view(caller).run(report_book.delete, caller.name, jobs, now=now)
        return web.json_response(retarus_report.deletion_to_json(done), status=200 if done.deleted else 404)

    async def _list(self, request: web.Request, caller: Caller) -> web.Response:
        self._check_customer(request, caller)
        return _json(await self._ground.view(caller).read(_as_json(report_book.oldest), caller.name))

    async def _delete_oldest(self, request: web.Request, caller: Caller) -> web.Response:
        self._check_customer(request, caller)
        now = self._ground.clock()
        done = await self._ground.view(caller).run(report_book.delete_oldest, caller.name, now=now)
        return web.json_response({"reports": retarus_report.deletions_to_json(done)})

    async def _bulk(self, request: web.Request, caller: Caller) -> web.Response:
        self._check_customer(request, caller)
        body = await read_json(request)
        asked = _read(lambda: retarus_rest.read_bulk(body))
        view = self._ground.view(caller)
        if not asked.delete:
            return _json(await view.read(_as_json(report_book.find_all), caller.name, asked.ids))
        if not caller.may(Scope.FAXES_WRITE):
            code, text = why_not(caller, Scope.FAXES_WRITE)
            raise Refusal(403, text, code=code)
        done = await view.run(report_book.delete, caller.name, asked.ids, now=self._ground.clock())
        return web.json_response({"reports": retarus_report.deletions_to_json(done)})

    def _check_customer(self, request: web.Request, caller: Caller) -> None:
        """The customer number of the path must be the caller's own."""
        given = request.match_info["customer"].lower()
        if caller.customer and (given == caller.customer.lower() or self._numbers.get(given) == caller.customer):
            return
        raise Refusal.missing("There is no such customer here.")


def _read(parse: Callable[[], Any]) -> Any:
    try:
        return parse()
    except BadRequest as exc:
        raise Refusal(400, exc.public, code="bad_request", param=exc.param) from exc


def _is_large(body: object) -> bool:
    """Whether a job has so many recipients that reading them would keep everybody else waiting."""
    recipients = body.get("recipients") if isinstance(body, dict) else None
    return isinstance(recipients, list) and len(recipients) > READ_AT_ONCE


def _report(conn: Connection, customer: str, owner: str, job: str) -> str | None:
    """A report as the text of the answer, made in the reader's thread: it may have thousands of recipients."""
    found = report_book.find(conn, customer, owner, job)
    return None if found is None else json.dumps(retarus_report.report_to_json(found))


def _as_json(query: Callable[..., list[VendorReport]]) -> Callable[..., str]:
    """The query's reports as the text of the answer, made in the reader's thread: lists can be long."""

    def unit(conn: Connection, customer: str, owner: str, *arguments: Any) -> str:
        found = query(conn, customer, owner, *arguments)
        return json.dumps({"reports": [retarus_report.report_to_json(report) for report in found]})

    return unit


def _json(text: str) -> web.Response:
    return web.Response(text=text, content_type="application/json")
