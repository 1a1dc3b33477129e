"""From files to the funnel of all jobs: what both kinds of files have in common (`job_files`, `plain_files`)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

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
from faxgw.formats.xml_job import XmlFax
from faxgw.intake.collector import Drop, Sender
from faxgw.intake.taking import Taken
from faxgw.intake.threads import Threads
from faxgw.store import result_files
from faxgw.store.engine import Store
from faxgw.store.files import Files

DAY_S = 86_400.0


class Funnel:
    """Makes jobs of what files say, and hands them in.

    Args:
        store: Rows.
        files: Documents.
        submissions: The funnel.
        clock: Unix seconds.
        threads: For what blocks.
        names_days: Days for which a file's name counts.
    """

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

    async def ask(self, drop: Drop, now: float) -> bool:
        """See `collector.Handler`; nothing, unless a kind of files says otherwise."""
        return False

    async def _is_job(self, taken: Taken, index: int) -> bool:
        """Whether a fax of the file is a job already: it was handed in before the gateway stopped."""
        job = taken.job(index)
        return await self._store.read(lambda conn: result_files.exists(conn, job))

    def _submission(
        self,
        drop: Drop,
        taken: Taken,
        index: int,
        fax: XmlFax,
        sender: Sender,
        documents: Sequence[JobDocument],
        *,
        key: str,
        fingerprint: str,
        subject: str,
        facts: Mapping[str, str],
    ) -> JobSubmission:
        """One fax of a file as a job; `facts` are kept beside it for its result file."""
        reference = {
            "customerDefinedId": fax.reference,
            "billingCode": str(fax.settings.get("billing_code", "")),
            "billingInfo": "",
            result_files.FILE: taken.cause,
            "drop": drop.name,
            "take": taken.id,
            **facts,
        }
        return JobSubmission(
            job=taken.job(index),
            principal=sender.principal,
            owner=sender.owner,
            recipients=tuple(JobRecipient((r.number, *r.alternatives), r.properties) for r in fax.recipients),
            documents=tuple(documents),
            accepted_at=self._clock(),
            key=key,
            fingerprint=fingerprint,
            key_valid=self._names_s,
            settings=fax.settings,
            cover=fax.cover,
            success_to=fax.success_to,
            failure_to=fax.failure_to,
            earliest=fax.earliest,
            latest=fax.latest,
            report=JobReport(sender.interface.value, reference),
            subject=fax.reference or subject,
        )

    async def _submit(self, job: JobSubmission) -> JobReceipt | JobKnown | JobRefused:
        """Hand a job in; begun, it is finished, whoever is cancelled meanwhile: a row may name its documents by then.

        Raises:
            FaxError: If it cannot be taken.
        """
        task = asyncio.ensure_future(self._submissions.submit(job))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait({task})
            raise
