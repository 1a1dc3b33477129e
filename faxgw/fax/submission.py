"""A job that comes with its structure: what an interface hands in, and the port that takes it.

Mails are walked later; an API call, a SOAP call or a job file says itself what it wants, so its job is committed at
once (docs/spine.md section 5, step 5). `dispatch.jobs` implements the port.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol  # Any: settings have their own types, checked by fax.account

from faxgw.fax.ports import Principal, StoredFile


@dataclass(frozen=True, slots=True)
class JobRecipient:
    """One recipient of a job."""

    numbers: tuple[str, ...]
    """As typed; the first is dialled first, the others are its alternatives."""
    properties: tuple[tuple[str, str], ...] = ()
    """For the cover page and the reports, in order."""


@dataclass(frozen=True, slots=True)
class JobDocument:
    """One document of a job."""

    name: str
    kind: str | None
    """`text` where its sender says so; None: the page process looks."""
    charset: str | None
    file: StoredFile | None
    """The durable document; None: to be fetched from `url`."""
    url: str = ""


@dataclass(frozen=True, slots=True)
class JobReport:
    """That clients may ask for and delete a report of the job."""

    interface: str
    reference: Mapping[str, str]
    """What the customer calls the job, repeated in the report."""


@dataclass(frozen=True, slots=True)
class JobPush:
    """That the job's report is to be sent somewhere when it is finished."""

    url: str
    """Empty: as the account's settings say."""
    method: str = "NONE"
    """`NONE`, `HTTP_BASIC`, `HTTP_DIGEST`, `OAUTH2`."""
    principal: str = ""
    """Name, or the client's id."""
    credentials: str = ""
    """Password, or the client's secret; never logged, never told."""


@dataclass(frozen=True, slots=True)
class JobSubmission:
    """A job as it is handed in: its documents are durable, nothing is committed yet."""

    job: str
    """The job id, drawn first."""
    principal: Principal
    owner: str
    """Who may see it beside the customer's administrators (`Caller.name`)."""
    recipients: tuple[JobRecipient, ...]
    documents: tuple[JobDocument, ...]
    accepted_at: float
    key: str = ""
    """Idempotency key, hexadecimal SHA-256; empty: every submission is a new job."""
    fingerprint: str = ""
    """Of what was asked for under the key."""
    key_valid: float = 0.0
    """Seconds for which the key holds."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings that the job overrides."""
    cover: str = ""
    """Name of its cover page's template; empty: the account's, `none`: no cover page."""
    text: str = ""
    """What the sender wants to say on the cover page."""
    success_to: tuple[str, ...] | None = None
    """Who gets the status mail when all was sent; None: as the account's settings say."""
    failure_to: tuple[str, ...] | None = None
    """Who gets it when something was not."""
    earliest: float | None = None
    latest: float | None = None
    """Unix seconds; None: by the account's settings."""
    report: JobReport | None = None
    push: JobPush | None = None
    """None: as the account's settings say."""
    subject: str = ""
    reference: str = ""
    """What its sender calls it."""
    resend_of: str = ""
    """The job that it repeats."""
    marked: bool = False
    """Its pages bear the mark of a possible duplicate."""
    key_for_good: bool = False
    """The key holds whatever becomes of the job; else it is free again once nothing of the job was or may be sent."""


@dataclass(frozen=True, slots=True)
class JobReceipt:
    """The promise was made."""

    job: str


@dataclass(frozen=True, slots=True)
class JobKnown:
    """The key is known already: nothing was committed, and the documents handed in are removed."""

    job: str
    """The first one's id."""
    same: bool
    """Whether the fingerprint is the same too."""


@dataclass(frozen=True, slots=True)
class JobRefused:
    """Nothing was promised, and the documents handed in are removed."""

    code: str
    """A word for programs: `account_inactive`, `unknown_cover`, `missing_property`, `too_many_recipients`, …."""
    text: str
    """One sentence for the sender."""
    param: str = ""
    """What of the submission is at fault: a field of `JobSubmission`, or a setting's name."""


class JobSubmissions(Protocol):
    """The funnel for jobs that come with their structure."""

    async def submit(self, job: JobSubmission) -> JobReceipt | JobKnown | JobRefused:
        """Commit job, faxes, key, report and events in one transaction.

        Raises:
            FaxError: When that is not possible now; after `CommitUncertain` nobody knows, and nothing is removed.
        """
        ...
