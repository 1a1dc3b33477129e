"""What a sender is told: the values that a status mail, a DSN or a vendor report is made of.

Built from the store when a fax becomes final (or falls into doubt); `formats` turns it into mail, JSON or XML.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from faxgw.fax.job import FaxState
from faxgw.fax.outcome import Cause


@dataclass(frozen=True, slots=True)
class AttemptLine:
    """One call, as shown to the sender. Times are Unix seconds."""

    number: str
    """As dialled, E.164."""
    started_at: float
    answered_at: float | None
    ended_at: float
    cause: Cause
    pages_confirmed: int
    """Pages confirmed in this call."""
    transport: str
    bit_rate: int
    ecm: bool
    remote_ident: str
    detail: str


@dataclass(frozen=True, slots=True)
class FaxReport:
    """One fax of a job."""

    fax: str
    position: int
    """From 1, in the order the sender gave."""
    number_typed: str
    number_e164: str
    """The number that decided: dialled last, or first in line when none was dialled."""
    state: FaxState
    cause: Cause
    in_doubt: bool
    """True when the sender is told of a doubt while the fax goes on by policy."""
    pages_total: int
    """0 before the pages were made."""
    pages_confirmed: int
    """The longest run of confirmed pages at one number."""
    doubtful_page: int | None
    """A page that may have arrived without our knowing it."""
    reason: str
    """The public text of a refusal (a document that could not be rendered), else empty."""
    attempts: tuple[AttemptLine, ...]
    finished_at: float | None
    personal: str = ""
    """Personal text of the recipient, as his list or letter gave it."""


class PagesTold(enum.StrEnum):
    """What a status mail says of the fax's pages, which go with it or do not."""

    NOTHING = "nothing"
    SENT = "sent"
    TRIED = "tried"
    """As composed for the last call, which did not bring them all there."""
    PREPARED = "prepared"
    """There was no call: without header line."""
    TOO_LARGE = "too_large"
    GONE = "gone"
    """They are not kept any more, or damaged."""


@dataclass(frozen=True, slots=True)
class FaxPages:
    """The pages of a fax that go with a status mail."""

    told: PagesTold = PagesTold.NOTHING
    format: str = "tiff"
    """`tiff`, `pdf`, or `pdf_ocr`, a PDF that can be searched: as the account wants it, in the end as it is."""
    number: str = ""
    """Whose fax it is, E.164."""
    count: int = 0
    """Pages."""
    recipients: int = 1
    """Faxes of the job."""
    wanted: str = ""
    """The format that was asked for where it could not be made; else empty."""


@dataclass(frozen=True, slots=True)
class Repaired:
    """A page of a document that was faxed although some rows of it could not be read."""

    document: str
    """The document's name."""
    page: int
    """The document's page, from 1."""
    rows: int
    """How many."""


class LeftOutReason(enum.StrEnum):
    """Why a part of a mail is not faxed although its sender may miss it."""

    CALENDAR = "calendar"
    BUSINESS_CARD = "business_card"
    EMPTY = "empty"
    """There is nothing in it."""
    SMALL_IMAGE = "small_image"
    """Smaller than the account's images have to be (`min_image_px`)."""
    SETTINGS = "settings"
    """The account's attachments are not faxed (`body_only`)."""


MAX_LEFT_OUT = 20
"""Parts left out that are kept with a job by name; of the others there is the number."""
MAX_LEFT_OUT_NAME = 80
"""Characters of such a name."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A part of a mail that its sender attached and that is not faxed."""

    name: str
    """Its file name, or its content type; one printable line."""
    why: LeftOutReason


@dataclass(frozen=True, slots=True)
class LeftOutParts:
    """What of a mail is not faxed."""

    parts: tuple[LeftOut, ...] = ()
    """The first ones, at most MAX_LEFT_OUT."""
    count: int = 0
    """Of all of them."""


NOTHING_LEFT_OUT = LeftOutParts()


@dataclass(frozen=True, slots=True)
class JobReport:
    """A whole job, ready to be told."""

    job: str
    customer: str
    owner: str
    """User name or the authorised sender's address."""
    subject: str
    """Subject of the submitting mail, bounded; empty for other ways in."""
    in_reply_to: str
    """Message-ID of the submitting mail, or empty."""
    accepted_at: float
    finished_at: float | None
    faxes: tuple[FaxReport, ...]
    time_zone: str
    language: str
    billing_code: str
    thumbnail: bytes
    """PNG of page 1, at most some 60 kB, or empty."""
    resent_of: str = ""
    order: str = "position"
    """Of several faxes in a status mail: `position` as the sender gave them, `result` the worst first, `number`."""
    style: str = ""
    """Name of the customer's mail template; empty: the shipped designs."""
    repaired: tuple[Repaired, ...] = ()
    """Pages with damaged rows that were let pass, the first ones."""
    reference: str = ""
    """What the sender calls the job."""
    left_out: LeftOutParts = NOTHING_LEFT_OUT
    """What of the submitting mail is not faxed."""


@dataclass(frozen=True, slots=True)
class RefusedReport:
    """A mail that was accepted (250) and then could not be faxed at all."""

    message: str
    subject: str
    in_reply_to: str
    received_at: float
    recipients: tuple[str, ...]
    """As typed."""
    reason: str
    """Public text."""
    our_fault: bool
    time_zone: str
    language: str
    customer: str = ""
    style: str = ""
    """As in `JobReport`."""
