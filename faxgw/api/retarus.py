"""The vendor's REST "Fax for Applications" v1: its six calls on the gateway's store (docs/rest-retarus.md).

A login sees the jobs that it made and no others; a job of somebody else, or a customer number that is not the login's,
looks exactly like one that does not exist. A job is acknowledged when it is durable, and rendered later.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import secrets
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any  # JSON

from aiohttp import web
from sqlalchemy import Connection

from faxgw.api.answers import Refusal
from faxgw.api.http import Api, Ground, read_json
from faxgw.api.retarus_body import JobBody, Upload
from faxgw.api.settings import ApiSettings
from faxgw.egress import Egress, Forbidden
from faxgw.fax import ids
from faxgw.fax.access import Caller, Interface, Scope
from faxgw.fax.submission import (
    JobDocument,
    JobKnown,
    JobReceipt,
    JobRecipient,
    JobRefused,
    JobReport,
    JobSubmission,
    JobSubmissions,
)
from faxgw.fax.vendor_report import VendorReport
from faxgw.formats import retarus_report, retarus_rest
from faxgw.formats.retarus_rest import BadRequest, JobRequest
from faxgw.store import report_book, submission
from faxgw.store.errors import CommitUncertain, StoreError

BASE = "/rest/v1/{customer}/fax"
"""Path of the interface; repeated slashes and one at the end are taken too."""
FORGET_EVERY = 600.0
"""Seconds between looks for reports and keys whose time is over."""
DAY_S = 86_400.0
_PLACES = {
    "csid": "transportOptions.csid",
    "priority": "transportOptions.isExpress",
    "header": "renderingOptions.header",
    "paper": "renderingOptions.paperFormat",
    "resolution": "renderingOptions.resolution",
    "billing_code": "reference.billingCode",
    "cover": "renderingOptions.coverpageTemplate",
}
"""Our names → places in the request."""
_STATUS = {"account_inactive": 403, "express_not_open": 403, "quota": 429}
"""Status of a refusal; 400 for all others."""

log = logging.getLogger(__name__)


class RetarusApi:
    """Serves the six calls.

    Args:
        ground: Store, files, who is asking.
        submissions: The funnel for jobs.
        settings: `[api]`.
        egress: Who fetches documents that jobs name by their URL.
    """

    def __init__(self, ground: Ground, submissions: JobSubmissions, settings: ApiSettings, egress: Egress) -> None:
        self._ground = ground
        self._submissions = submissions
        self._settings = settings
        self._egress = egress
        self._numbers = {number.lower(): customer for number, customer in settings.customer_numbers.items()}
        self._submitting: set[asyncio.Task[JobReceipt | JobKnown | JobRefused]] = set()

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

    async def forget_for_ever(self) -> None:
        """Hide reports whose time is over, and forget old keys."""
        store, clock = self._ground.store, self._ground.clock
        while True:
            now = clock()
            limit = now - self._settings.report_days * DAY_S
            old_reports = partial(report_book.forget_old, accepted_before=limit, finished_before=limit, now=now)
            old_keys = partial(submission.forget_old_keys, now=now)
            try:
                while number := await store.run(old_reports):
                    log.info("reports hidden", extra={"event": "report.old", "reports": number})
                while await store.run(old_keys):
                    pass
            except StoreError as exc:
                log.error("reports not pruned", extra={"event": "report.prune_failed", "why": str(exc)})
            await asyncio.sleep(FORGET_EVERY)

    # ---------------------------------------------------------------------------------------------------- sending

    async def _send(self, request: web.Request, caller: Caller) -> web.Response:
        self._check_customer(request, caller)
        async with JobBody(self._ground.files, int(self._settings.max_body)) as body:
            parsed = await body.read(request)
            asked = _read(
                lambda: retarus_rest.read_job(
                    parsed,
                    now=self._ground.clock(),
                    max_recipients=self._settings.max_recipients,
                    blob_of=body.blob_of,
                )
            )
            _refuse_what_is_not_here(asked)
            self._check_urls(asked)
            uploads = await body.keep([None if d.url else d.data for d in asked.documents])
            job = self._job(caller, asked, uploads, body.sha256)
            answer = await self._submit(job, body)
        if isinstance(answer, JobKnown):
            text = f"The same job was accepted a short time ago as {answer.job}; it is not sent again."
            raise Refusal(409, text, code="duplicate_job", jobId=answer.job)
        if isinstance(answer, JobRefused):
            place = _PLACES.get(answer.param, answer.param)
            raise Refusal(_STATUS.get(answer.code, 400), answer.text, code=answer.code, param=place)
        return web.json_response({"jobId": answer.job})

    async def _submit(self, job: JobSubmission, body: JobBody) -> JobReceipt | JobKnown | JobRefused:
        """Hand the job in; begun, it is finished whether or not the client waits for the answer."""
        body.hand_over()
        task = asyncio.create_task(self._submissions.submit(job), name=f"submit {job.job}")
        self._submitting.add(task)
        task.add_done_callback(self._submitting.discard)
        try:
            return await asyncio.shield(task)
        except CommitUncertain as exc:
            text = "The gateway could not confirm that it has stored the job; send it again."
            raise Refusal(503, text, code="uncertain", headers={"Retry-After": "30"}) from exc

    def _job(self, caller: Caller, asked: JobRequest, uploads: Sequence[Upload], sha256: str) -> JobSubmission:
        now, mail, reference = self._ground.clock(), asked.report_mail, asked.reference
        window = float(self._settings.duplicate_window)
        key = hashlib.sha256("\x00".join((caller.customer, caller.name, "rest", sha256)).encode()).hexdigest()
        return JobSubmission(
            job=ids.job_id(secrets.token_bytes(ids.RANDOM_OCTETS)),
            principal=caller.principal(),
            owner=caller.name,
            recipients=tuple(JobRecipient((r.number, *r.alternatives), r.properties) for r in asked.recipients),
            documents=tuple(
                JobDocument(d.name, "text" if d.is_text else None, d.charset, upload, d.url)
                for d, upload in zip(asked.documents, uploads, strict=True)
            ),
            accepted_at=now,
            key=key if window else "",
            fingerprint=sha256,
            key_valid=window,
            settings=asked.settings,
            cover=asked.cover,
            success_to=None if mail is None else (mail.success,) if mail.success else (),
            failure_to=None if mail is None else (mail.failure,) if mail.failure else (),
            earliest=asked.start,
            latest=asked.end,
            report=JobReport(
                Interface.REST.value,
                {
                    "customerDefinedId": reference.customer_defined_id,
                    "billingCode": reference.billing_code,
                    "billingInfo": reference.billing_info,
                },
            ),
            subject=reference.customer_defined_id,
        )

    # ---------------------------------------------------------------------------------------------------- reports

    async def _get(self, request: web.Request, caller: Caller) -> web.Response:
        self._check_customer(request, caller)
        job = request.match_info["job"]
        found = await self._ground.view(caller).read(report_book.find, caller.name, job)
        if found is None:
            raise Refusal.missing("There is no report of this job.")
        return web.json_response(retarus_report.report_to_json(found))

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
            raise Refusal(403, f"These credentials are not for {Scope.FAXES_WRITE}.", code="scope_missing")
        done = await view.run(report_book.delete, caller.name, asked.ids, now=self._ground.clock())
        return web.json_response({"reports": retarus_report.deletions_to_json(done)})

    def _check_urls(self, asked: JobRequest) -> None:
        for index, document in enumerate(asked.documents):
            if document.url:
                try:
                    self._egress.check(document.url)
                except Forbidden as exc:
                    place = f"documents[{index}].reference"
                    raise Refusal(400, exc.public, code="bad_reference", param=place) from exc

    def _check_customer(self, request: web.Request, caller: Caller) -> None:
        """The customer number of the path must be the caller's own."""
        given = request.match_info["customer"].lower()
        if caller.customer and (given == caller.customer.lower() or self._numbers.get(given) == caller.customer):
            return
        raise Refusal.missing("There is no such customer here.")


def _refuse_what_is_not_here(asked: JobRequest) -> None:
    """What would be silently left out is refused."""
    if asked.overlay is not None:
        place = "renderingOptions.overlay.name"
        raise Refusal(400, f"There is no overlay “{asked.overlay.name}”.", code="unknown_overlay", param=place)
    if asked.push is not None and asked.push.url:
        place = "statusReportOptions.httpStatusPush"
        text = "This gateway does not push reports; ask for them by their id."
        raise Refusal(400, text, code="push_not_available", param=place)


def _read(parse: Callable[[], Any]) -> Any:
    try:
        return parse()
    except BadRequest as exc:
        raise Refusal(400, exc.public, code="bad_request", param=exc.param) from exc


def _as_json(query: Callable[..., list[VendorReport]]) -> Callable[..., str]:
    """The query's reports as the text of the answer, made in the reader's thread: lists can be long."""

    def unit(conn: Connection, customer: str, owner: str, *arguments: Any) -> str:
        found = query(conn, customer, owner, *arguments)
        return json.dumps({"reports": [retarus_report.report_to_json(report) for report in found]})

    return unit


def _json(text: str) -> web.Response:
    return web.Response(text=text, content_type="application/json")
