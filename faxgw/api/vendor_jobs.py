"""Jobs in the vendor's terms, handed in: what its REST and its SOAP interface have in common.

A job is acknowledged when it is durable, and rendered later. Once it has been handed in it is carried through, whether
or not the client waits for the answer.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Sequence

from faxgw.api.answers import Refusal
from faxgw.api.http import Ground
from faxgw.api.settings import ApiSettings
from faxgw.api.uploads import Upload
from faxgw.egress import Egress, Forbidden
from faxgw.fax import ids
from faxgw.fax.access import Caller, Interface
from faxgw.fax.submission import (
    JobDocument,
    JobKnown,
    JobPush,
    JobReceipt,
    JobRecipient,
    JobRefused,
    JobReport,
    JobSubmission,
    JobSubmissions,
)
from faxgw.formats.retarus_rest import JobRequest
from faxgw.store.errors import CommitUncertain

_PLACES = {
    "csid": "transportOptions.csid",
    "priority": "transportOptions.isExpress",
    "header": "renderingOptions.header",
    "paper": "renderingOptions.paperFormat",
    "resolution": "renderingOptions.resolution",
    "billing_code": "reference.billingCode",
    "cover": "renderingOptions.coverpageTemplate",
    "push": "statusReportOptions.httpStatusPush",
    "overlay": "renderingOptions.overlay.name",
}
"""Our names → places in the request."""
_STATUS = {"account_inactive": 403, "express_not_open": 403, "quota": 429}
"""Status of a refusal; 400 for all others."""


class VendorJobs:
    """Hands jobs in.

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
        self._pushes = Egress(settings.push_networks)
        self._submitting: set[asyncio.Task[JobReceipt | JobKnown | JobRefused]] = set()

    def check(self, asked: JobRequest) -> None:
        """Refuse what can be known before documents are stored.

        Raises:
            Refusal: 400.
        """
        if asked.push is not None and asked.push.url:
            self._check_push(asked.push.url)
        for index, document in enumerate(asked.documents):
            if document.url:
                try:
                    self._egress.check(document.url)
                except Forbidden as exc:
                    place = f"documents[{index}].reference"
                    raise Refusal(400, exc.public, code="bad_reference", param=place) from exc

    def _check_push(self, url: str) -> None:
        try:
            self._pushes.check(url)
        except Forbidden as exc:
            text = "The address of the status push is none that this gateway sends to."
            place = "statusReportOptions.httpStatusPush.targetUrl"
            raise Refusal(400, text, code="bad_push_url", param=place) from exc

    async def submit(
        self, caller: Caller, interface: Interface, asked: JobRequest, uploads: Sequence[Upload], sha256: str
    ) -> str:
        """Hand a job in; its id. The uploads belong to the funnel from here on.

        Args:
            caller: Whose job it is.
            interface: The way it came.
            asked: The job.
            uploads: Its documents, durable, in their order; None for those that are to be fetched.
            sha256: Of the request, hexadecimal: the same request within the window is the same job.

        Raises:
            Refusal: When it is refused, known already, or nobody knows.
        """
        job = self._job(caller, interface, asked, uploads, sha256)
        task = asyncio.create_task(self._submissions.submit(job), name=f"submit {job.job}")
        self._submitting.add(task)
        task.add_done_callback(self._submitting.discard)
        try:
            answer = await asyncio.shield(task)
        except CommitUncertain as exc:
            text = "The gateway could not confirm that it has stored the job; send it again."
            raise Refusal(503, text, code="uncertain", headers={"Retry-After": "30"}) from exc
        if isinstance(answer, JobKnown):
            text = f"The same job was accepted a short time ago as {answer.job}; it is not sent again."
            raise Refusal(409, text, code="duplicate_job", jobId=answer.job)
        if isinstance(answer, JobRefused):
            place = _PLACES.get(answer.param, answer.param)
            raise Refusal(_STATUS.get(answer.code, 400), answer.text, code=answer.code, param=place)
        return answer.job

    def _job(
        self, caller: Caller, interface: Interface, asked: JobRequest, uploads: Sequence[Upload], sha256: str
    ) -> JobSubmission:
        now, mail, push, reference = self._ground.clock(), asked.report_mail, asked.push, asked.reference
        window = float(self._settings.duplicate_window)
        key = hashlib.sha256("\x00".join((caller.customer, caller.name, interface.value, sha256)).encode()).hexdigest()
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
            push=None if push is None else JobPush(push.url, push.method, push.principal, push.credentials),
            report=JobReport(
                interface.value,
                {
                    "customerDefinedId": reference.customer_defined_id,
                    "billingCode": reference.billing_code,
                    "billingInfo": reference.billing_info,
                },
            ),
            subject=reference.customer_defined_id,
        )
