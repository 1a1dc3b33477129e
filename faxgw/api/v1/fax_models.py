"""The documents of the collection of faxes: what is sent, and what is told."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal  # Any: what discriminators look at

from pydantic import ConfigDict, Discriminator, Field, Tag, ValidationInfo, field_validator

from faxgw.api.v1 import patterns
from faxgw.api.v1.cursor import Cursor
from faxgw.api.v1.types import Answer, Document, GivenTime, Line, Moment, Query, Whole
from faxgw.document.limits import MAX_DOCUMENTS
from faxgw.fax.account import MAX_RECIPIENTS
from faxgw.fax.outcome import Cause
from faxgw.fax.report import LeftOutReason

MAX_PAGE = 200
"""Faxes in one answer at most."""
MAX_ALTERNATIVES = 5
MAX_PROPERTIES = 200
MAX_TOLD = 100
"""Faxes of a job that the answer to its acceptance tells; the others are in the list."""

State = Literal[
    "accepted", "rendering", "ready", "waiting", "calling", "held",
    "sent", "failed", "cancelled", "expired", "unknown",
    "ringing", "receiving", "complete", "partial", "empty", "routed", "delivered", "retained",
]  # fmt: skip
"""States of faxes sent (the first eleven, docs/spine.md section 2) and received (section 4)."""
Final = Literal["sent", "failed", "cancelled", "expired", "unknown"]
Number = Annotated[str, Field(pattern=patterns.NUMBER, examples=["+33199000000"], description="As one types it.")]
FormNumber = Annotated[str, Field(pattern=patterns.FORM_NUMBER, examples=["+33199000000"])]
"""In a form all is text: a number is told from others by its beginning."""
PropertyKey = Annotated[str, Field(pattern=patterns.PROPERTY)]
PropertyValue = Annotated[str, Field(max_length=2_000, pattern=patterns.LINES)]
FileName = Annotated[str, Field(min_length=1, max_length=200, pattern=patterns.FILE_NAME)]
Charset = Literal["utf-8", "us-ascii", "iso-8859-1", "iso-8859-15", "windows-1252", "utf-16le", "utf-16be"]
Mail = Annotated[str, Field(pattern=patterns.MAIL)]
E164 = Annotated[str, Field(pattern=patterns.E164)]
NumberFilter = Annotated[str, Field(pattern=patterns.NUMBER_FILTER)]
TemplateName = Annotated[str, Field(pattern=patterns.TEMPLATE)]
Reference = Annotated[str, Field(min_length=1, max_length=256, pattern=patterns.PRINTABLE)]


# ---------------------------------------------------------------------------------------------------------- sending


class Recipient(Document):
    """Whom a fax goes to."""

    number: Number
    alternatives: Annotated[list[Number], Field(max_length=MAX_ALTERNATIVES)] = Field(default_factory=list)
    """Dialled in turn when the first does not take the fax."""
    properties: Annotated[dict[PropertyKey, PropertyValue], Field(max_length=MAX_PROPERTIES)] = Field(
        default_factory=dict
    )
    """For the cover page and the reports."""


def _recipient_kind(given: Any) -> str:
    return "<number>" if isinstance(given, str) else "<recipient>"


To = Annotated[
    Annotated[Number, Tag("<number>")] | Annotated[Recipient, Tag("<recipient>")], Discriminator(_recipient_kind)
]
"""A number, or a number with more."""


class InlineDocument(Document):
    """A document in the request."""

    data: Annotated[
        str, Field(json_schema_extra={"pattern": patterns.BASE64, "contentEncoding": "base64", "minLength": 4})
    ]
    """The file in base64; any format that docs/documents.md names."""
    name: FileName = "document"
    """For texts; what it is, its content says."""
    charset: Charset | None = None
    """Of a text; else it is guessed."""

    @field_validator("data")
    @classmethod
    def _check(cls, value: str, info: ValidationInfo) -> str:
        taken = (info.context or {}).get("blob_of")  # a long one went to the spool while it came
        if (taken is None or taken(value) is None) and not re.fullmatch(patterns.BASE64[1:-1], value):
            raise ValueError(patterns.words(patterns.BASE64))
        return value


class LinkedDocument(Document):
    """A document that the gateway fetches."""

    url: Annotated[str, Field(pattern=patterns.URL, max_length=2_000)]
    """Fetched after the fax was accepted, again and again for an hour; only from public addresses."""
    name: FileName = "document"
    charset: Charset | None = None


def _document_kind(given: Any) -> str:
    if isinstance(given, LinkedDocument):
        return "<linked>"
    return "<linked>" if isinstance(given, dict) and "url" in given and "data" not in given else "<inline>"


AnyDocument = Annotated[
    Annotated[InlineDocument, Tag("<inline>")] | Annotated[LinkedDocument, Tag("<linked>")],
    Discriminator(_document_kind),
]


class FaxOptions(Document):
    """Settings that this fax overrides; what is left out is the account's (`GET /account/settings`)."""

    resolution: Literal["standard", "fine", "superfine"] | None = None
    paper: Literal["A4", "Letter", "Legal"] | None = None
    mode: Literal["auto", "text", "photo"] | None = None
    """How grey becomes black and white."""
    suppress_blank: bool | None = None
    """Pages without ink are left out."""
    station_id: Annotated[str, Field(pattern=patterns.STATION_ID)] | None = None
    """What the far machine shows of us (TSI)."""
    caller: E164 | None = None
    """Caller number that is shown; one of the account's own."""
    language: Literal["en", "fr", "de"] | None = None
    """Of header line and status mails."""
    in_doubt: Literal["report", "remaining", "marked"] | None = None
    """What happens after a call that nobody saw end (docs/spine.md section 5)."""
    max_dials: Annotated[int, Field(ge=1, le=12), Whole] | None = None
    max_tries: Annotated[int, Field(ge=1, le=12), Whole] | None = None
    """Tries after connect."""
    ecm: bool | None = None
    """Offer error correction."""


class StatusMails(Document):
    """Who gets mails about a job; an empty list: nobody."""

    success: Annotated[list[Mail], Field(max_length=20)] = Field(default_factory=list)
    failure: Annotated[list[Mail], Field(max_length=20)] = Field(default_factory=list)


class FaxSaid(Document):
    """What a request to send says beside its recipients and documents."""

    subject: Line = ""
    reference: Annotated[str, Field(max_length=256, pattern=patterns.PRINTABLE)] = ""
    """What you call it; told again in everything about it, and a filter of the list."""
    cost_centre: Annotated[str, Field(max_length=80, pattern=patterns.LATIN)] = ""
    priority: Literal["normal", "express"] = "normal"
    send_at: GivenTime | None = None
    """Not called before; null or past: at once."""
    valid_hours: Annotated[int, Field(ge=1, le=744), Whole] | None = None
    """Expires so many hours after `send_at` if it could not be sent."""
    cover: TemplateName | None = None
    """Cover page, a template's name; null: the account's, `none`: no cover page."""
    cover_text: Annotated[str, Field(max_length=2_000, pattern=patterns.LINES)] = ""
    """What stands on the cover page."""
    overlay: TemplateName | None = None
    """Letterhead laid over the pages, a template's name; null: the account's, `none`: none."""
    overlay_pages: (
        Literal[
            "all_pages",
            "no_overlay",
            "first_page",
            "last_page",
            "all_but_first_page",
            "all_but_last_page",
            "all_but_first_and_last_page",
            "first_file",
        ]
        | None
    ) = None
    """Pages that bear it."""
    options: FaxOptions = FaxOptions()
    status_mails: StatusMails | None = None
    """null: as the account's settings say."""


class FaxNew(FaxSaid):
    """A fax to one or many recipients: documents, a cover page, or both."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"required": ["documents"], "properties": {"documents": {"minItems": 1}}},
                {"required": ["cover"], "properties": {"cover": {"type": "string"}}},
            ]
        }
    )

    to: Annotated[list[To], Field(min_length=1, max_length=MAX_RECIPIENTS)]
    documents: Annotated[list[AnyDocument], Field(max_length=MAX_DOCUMENTS)] = Field(default_factory=list)
    """In the order in which they are sent."""


class FaxForm(Document):
    """The parts of a multipart request."""

    to: Annotated[list[FormNumber], Field(min_length=1, max_length=MAX_RECIPIENTS)]
    """A number, beginning with + or 0; repeat the part for more."""
    document: Annotated[
        list[Annotated[str, Field(json_schema_extra={"format": "binary", "minLength": 1})]],
        Field(min_length=1, max_length=MAX_DOCUMENTS),
    ]
    """A file of any format that docs/documents.md names; repeat the part for more."""
    fax: FaxSaid = FaxSaid()
    """Everything else, as JSON."""


class Resend(Document):
    """How a fax is sent again."""

    to: Annotated[list[To], Field(min_length=1, max_length=MAX_RECIPIENTS)] | None = None
    """Other recipients; null: the same one."""
    marked: bool | None = None
    """Its pages bear "POSSIBLE DUPLICATE"; null: if it is not known whether the first one arrived."""


class JobResend(Document):
    """Which recipients of a job get it again."""

    states: Annotated[list[Final], Field(min_length=1, max_length=5)] | None = None
    """Those whose fax is in one of these; null: `failed` or `expired`."""
    marked: bool | None = None
    """Its pages bear "POSSIBLE DUPLICATE"; null: if of one of them it is not known whether it arrived, or it did."""


# ---------------------------------------------------------------------------------------------------------- answers


class AcceptedFax(Answer):
    """One recipient of a job that was accepted."""

    id: str
    position: int
    number: str
    """As typed."""
    state: Literal["accepted", "failed"]
    """`failed`: the number cannot be dialled; the other recipients are not touched by that."""
    detail: str
    """Why it failed, a sentence; else empty."""


class Accepted(Answer):
    """The promise: from here on nothing is lost. The same for a request that is repeated with its Idempotency-Key."""

    job: str
    created_at: Moment
    reference: str
    count: int
    """Recipients."""
    faxes: list[AcceptedFax]
    """The first 100 recipients, in order; all of them: `GET /faxes?job=…`."""


class LeftOutPart(Answer):
    """A part of a mail that is not faxed although it was attached."""

    name: str
    """Its file name, else its content type."""
    why: LeftOutReason


class Fax(Answer):
    """A fax, sent or received."""

    id: str
    direction: Literal["out", "in"]
    state: State
    final: bool
    """Nothing will change any more."""
    cause: Cause | None
    """Why the last call ended, or the fax; `ok`: sent."""
    detail: str
    """The same in a sentence; empty while there is nothing to tell."""
    number: str
    """The far end's, in international form; empty: withheld, or it cannot be dialled."""
    number_typed: str
    """The far end's as it was given."""
    own_number: str
    """Ours: shown as caller number (empty: the trunk's), or dialled."""
    station_id: str
    """What the far machine calls itself (CSI or TSI)."""
    caller_name: str
    """in: the caller's name as the telephone network gave it."""
    pages: int | None
    """null: not known yet."""
    pages_confirmed: int
    doubtful_page: int | None
    """A page that may have arrived without our knowing it."""
    complete: bool
    """in: the last page ended cleanly."""
    job: str | None
    position: int | None
    """Among the job's recipients, from 1."""
    resend_of: str | None
    """The job that this one repeats."""
    user: str
    """Name of the user who sent it; empty: the account as a whole."""
    subject: str
    reference: str
    cost_centre: str
    priority: Literal["normal", "express"]
    properties: dict[str, str]
    dials: int
    """Calls so far."""
    created_at: Moment
    """Accepted, or answered."""
    changed_at: Moment
    next_call_at: Moment | None
    """Not called before."""
    expires_at: Moment | None
    finished_at: Moment | None
    acknowledged_at: Moment | None
    """in: when a program said that it has it."""
    acknowledged_by: str
    left_out: list[LeftOutPart]
    """out: parts of the mail that are not faxed (docs/smtp.md); the first 20."""
    left_out_count: int
    """How many there are."""


class FaxPage(Answer):
    """A part of the list, newest first."""

    faxes: list[Fax]
    next: str | None
    """`cursor` of the following part; null: this was the last one."""


class Job(Answer):
    """A job: what one request sent."""

    id: str
    created_at: Moment
    finished_at: Moment | None
    """When the last of its faxes became final."""
    user: str
    subject: str
    reference: str
    resend_of: str | None
    count: int
    states: dict[str, int]
    """State → number of faxes."""
    left_out: list[LeftOutPart]
    """Parts of the mail that are not faxed (docs/smtp.md); the first 20."""
    left_out_count: int
    """How many there are."""


class Cancelled(Answer):
    """What a cancel did."""

    cancelled: int
    """Faxes that will not be called any more."""
    calling: int
    """Faxes whose calls are being ended; what was confirmed by then stands."""


# ------------------------------------------------------------------------------------------------------------ filters


class FaxQuery(Query):
    """Filters of the list; all of them must hold."""

    direction: Literal["out", "in"] | None = None
    state: Annotated[list[State] | None, Field(max_length=19, json_schema_extra={"many": True})] = None
    """Repeat it for several."""
    number: NumberFilter | None = None
    """The far end's, in international form or as typed."""
    own_number: E164 | None = None
    since: GivenTime | None = None
    """Accepted or answered at this time or later."""
    until: GivenTime | None = None
    """Accepted or answered before this time."""
    reference: Reference | None = None
    cost_centre: Annotated[str, Field(min_length=1, max_length=80, pattern=patterns.PRINTABLE)] | None = None
    user: Annotated[str, Field(pattern=patterns.USER)] | None = None
    job: Annotated[str, Field(pattern=patterns.JOB)] | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE), Whole] = 50
    cursor: Cursor | None = None
