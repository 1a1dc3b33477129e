"""The vendor's REST "Fax for Applications" v1, what clients send: JSON to values. Pure: `now` is an argument.

Facts: docs/rest-retarus.md. Tolerances that the vendor's own clients force: null is absent; every key may be written
in any case and in snake_case; unknown keys are left alone; enumerations are compared without case; a charset counts
for texts only; instants have a zone with or without a colon, or are durations (ISO 8601). Where a value has the wrong
type or cannot be kept, the request is refused and the fault named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any  # parsed JSON

from faxgw.fax import header as headers
from faxgw.fax.account import MAX_RECIPIENTS
from faxgw.fax.errors import Refused
from faxgw.fax.overlay import OverlayMode
from faxgw.formats.json_body import Blob, decode_base64

MAX_DOCUMENTS = 60
"""Documents of one job at most: as many as are rendered together (document/limits.py)."""
MAX_ALTERNATIVES = 5
"""Further numbers of one recipient at most."""
MAX_NUMBER = 128
"""Characters of a number."""
MAX_PROPERTIES = 200
"""Properties of one recipient."""
MAX_PROPERTY_KEY = 100
MAX_PROPERTY_VALUE = 10_000
MAX_DOCUMENT_NAME = 200
"""Characters of a document's name that are kept; the vendor allows 32, its SAP add-on sends more."""
MAX_URL = 2_000
MAX_IDS = 1_000
"""Ids of one bulk request."""
MAX_ID = 100
DAY_S = 86_400.0

_DURATION = re.compile(
    r"P(?:([0-9.,]+)Y)?(?:([0-9.,]+)M)?(?:([0-9.,]+)W)?(?:([0-9.,]+)D)?"
    r"(?:T(?:([0-9.,]+)H)?(?:([0-9.,]+)M)?(?:([0-9.,]+)S)?)?",
    re.IGNORECASE,
)
_UNITS_S = (365 * DAY_S, 30 * DAY_S, 7 * DAY_S, DAY_S, 3600.0, 60.0, 1.0)
"""Years, months, weeks, days, hours, minutes, seconds of a duration, in seconds; a month is 30 days."""
_MAX_DURATION = 400 * DAY_S
_CHARSETS = {
    "us-ascii": "ascii",
    "ascii": "ascii",
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "utf-16": "utf-16",
    "utf-16be": "utf-16-be",
    "utf-16le": "utf-16-le",
    "iso-8859-1": "iso-8859-1",
    "latin-1": "iso-8859-1",
    "windows-1252": "windows-1252",
    "cp1252": "windows-1252",
}
"""Charsets of a text document, as clients write them in lower case."""
ATTACHED = {
    "NEVER": "never", "SUCCESS_ONLY": "success_only", "FAILURE_ONLY": "failure_only", "ALWAYS": "always",
}  # fmt: skip
"""When the pages go with a status mail, as clients write it, and our setting `report_attachment`."""
ATTACHED_AS = {"TIFF": "tiff", "PDF": "pdf", "PDF_WITH_OCR": "pdf_ocr"}
"""The same for `report_format`."""
OVERLAY_MODES = tuple(mode.name for mode in OverlayMode)
"""As clients write them."""


class BadRequest(Refused):
    """The request does not fit; `param` is the place."""

    def __init__(self, param: str, public: str) -> None:
        super().__init__(f"{param}: {public}", public=public)
        self.param = param


@dataclass(frozen=True, slots=True)
class Reference:
    """What the customer calls the job."""

    customer_defined_id: str = ""
    billing_code: str = ""
    billing_info: str = ""


@dataclass(frozen=True, slots=True)
class Recipient:
    """One recipient."""

    number: str
    """As given, which the report repeats."""
    alternatives: tuple[str, ...] = ()
    properties: tuple[tuple[str, str], ...] = ()
    """For the cover page, in order."""


@dataclass(frozen=True, slots=True)
class Document:
    """One document."""

    name: str
    charset: str | None
    """For texts; None for all else."""
    url: str = ""
    """Where the gateway fetches it; wins over the data."""
    data: bytes | Blob = b""

    @property
    def is_text(self) -> bool:
        """Whether its name says that it is a text, which no look at it can tell for sure."""
        return self.name.lower().endswith((".txt", ".text"))


@dataclass(frozen=True, slots=True)
class ReportMail:
    """Who gets a status mail."""

    success: str = ""
    failure: str = ""


@dataclass(frozen=True, slots=True)
class StatusPush:
    """Where the report is sent when the job is finished."""

    url: str
    principal: str
    credentials: str
    method: str
    """`NONE`, `HTTP_BASIC`, `HTTP_DIGEST`, `OAUTH2`."""


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A job to be sent."""

    recipients: tuple[Recipient, ...]
    documents: tuple[Document, ...]
    reference: Reference
    settings: Mapping[str, Any]
    """Settings that the job overrides, under our names."""
    cover: str
    """Name of the cover page's template, or empty."""
    report_mail: ReportMail | None
    push: StatusPush | None
    start: float | None
    """Not before, Unix seconds."""
    end: float | None
    """Not after."""


@dataclass(frozen=True, slots=True)
class BulkRequest:
    """Several reports at once."""

    delete: bool
    ids: tuple[str, ...]
    """In the order given, each once."""


class Fields:
    """An object of the request: keys in any case and in snake_case, null as absent.

    Args:
        value: The parsed object.
        place: Where it stands, `recipients[0]`; empty at the top.
        blob_of: Tells the strings that were taken out of the body.
    """

    def __init__(self, value: object, place: str, blob_of: Callable[[object], Blob | None]) -> None:
        if not isinstance(value, dict):
            raise BadRequest(place, f"{place or 'The body'} must be an object.")
        self._place = place
        self._blob_of = blob_of
        self._values: dict[str, Any] = {}
        for key, item in value.items():
            if item is not None:
                self._values.setdefault(key.replace("_", "").lower(), item)

    def at(self, name: str) -> str:
        """The place of a field."""
        return f"{self._place}.{name}" if self._place else name

    def has(self, name: str) -> bool:
        """Whether it was given."""
        return name.lower() in self._values

    def value(self, name: str) -> Any:
        """As it was parsed, or None."""
        return self._values.get(name.lower())

    def text(self, name: str, limit: int, *, required: bool = False, lines: bool = False) -> str:
        """A string, trimmed; empty when absent."""
        value = self.value(name)
        if value is None and not required:
            return ""
        return self.check_text(value, name, limit, required=required, lines=lines)

    def check_text(self, value: object, name: str, limit: int, *, required: bool = False, lines: bool = False) -> str:
        """A string of an array or a field."""
        place = self.at(name)
        if not isinstance(value, str):
            raise BadRequest(place, f"{place} must be a string.")
        text = value.strip()
        if required and not text:
            raise BadRequest(place, f"{place} must not be empty.")
        if len(text) > limit or self._blob_of(value) is not None:
            raise BadRequest(place, f"{place} must have at most {limit} characters.")
        shown = text.replace("\r\n", "\n").translate({10: " ", 9: " ", 13: " "}) if lines else text
        if not shown.isprintable() and any(not c.isprintable() and not c.isspace() for c in shown):
            raise BadRequest(place, f"{place} has characters that cannot be printed.")
        return text

    def flag(self, name: str) -> bool:
        """A boolean; false when absent."""
        value = self.value(name)
        if isinstance(value, str) and value.strip().lower() in ("true", "false"):
            return value.strip().lower() == "true"
        if value is not None and not isinstance(value, bool):
            raise BadRequest(self.at(name), f"{self.at(name)} must be true or false.")
        return bool(value)

    def choice(self, name: str, choices: Sequence[str]) -> str:
        """One of some words, compared without case; empty when absent."""
        given = self.text(name, 100).upper()
        if given and given not in choices:
            raise BadRequest(self.at(name), f"{self.at(name)} must be one of {', '.join(choices)}.")
        return given

    def array(self, name: str, limit: int) -> Sequence[Any]:
        """An array; empty when absent."""
        value = self.value(name)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise BadRequest(self.at(name), f"{self.at(name)} must be an array.")
        if len(value) > limit:
            raise BadRequest(self.at(name), f"{self.at(name)} must have at most {limit} items.")
        return value

    def inner(self, name: str) -> Fields:
        """An object within; one without fields when absent."""
        value = self.value(name)
        return Fields({} if value is None else value, self.at(name), self._blob_of)

    def item(self, name: str, index: int, value: object) -> Fields:
        """An object in an array."""
        return Fields(value, f"{self.at(name)}[{index}]", self._blob_of)

    def data(self, name: str) -> bytes | Blob | None:
        """Base64 octets, or the long string they were in; None when absent."""
        value = self.value(name)
        if value is None:
            return None
        if (blob := self._blob_of(value)) is not None:
            return blob
        if not isinstance(value, str):
            raise BadRequest(self.at(name), f"{self.at(name)} must be a string.")
        try:
            return decode_base64(value)
        except Refused as exc:
            raise BadRequest(self.at(name), f"{self.at(name)} is not base64.") from exc


def read_job(
    body: object,
    *,
    now: float,
    max_recipients: int = MAX_RECIPIENTS,
    blob_of: Callable[[object], Blob | None] = lambda value: None,
) -> JobRequest:
    """Read a job request.

    Args:
        body: The parsed JSON.
        now: Unix seconds, which durations count from.
        max_recipients: Recipients at most.
        blob_of: Tells the strings that were taken out of the body (`JsonBody.blob_of`).

    Raises:
        BadRequest: If it cannot be a job.
    """
    top = Fields(body, "", blob_of)
    recipients = _recipients(top, max_recipients)
    documents = _documents(top)
    rendering = top.inner("renderingOptions")
    cover = rendering.text("coverpageTemplate", 200)
    reference = _reference(top.inner("reference"))
    status = top.inner("statusReportOptions")
    start, end = _validity(top.inner("meta").inner("jobValid"), now)
    return JobRequest(
        recipients=recipients,
        documents=documents,
        reference=reference,
        settings={
            **_settings(top.inner("transportOptions"), rendering, reference),
            **_attachment(status.inner("reportMail")),
        },
        cover=cover,
        report_mail=_report_mail(status.inner("reportMail")) if status.has("reportMail") else None,
        push=_push(status.inner("httpStatusPush")) if status.has("httpStatusPush") else None,
        start=start,
        end=end,
    )


def read_bulk(body: object) -> BulkRequest:
    """Read a bulk request.

    Raises:
        BadRequest: If it is none.
    """
    top = Fields(body, "", lambda value: None)
    action = top.choice("action", ("GET", "DELETE"))
    if not action:
        raise BadRequest("action", "action must be GET or DELETE.")
    given = top.array("jobIds", MAX_IDS)
    ids = [top.check_text(value, f"jobIds[{index}]", MAX_ID, required=True) for index, value in enumerate(given)]
    if not ids:
        raise BadRequest("jobIds", "jobIds must name at least one job.")
    return BulkRequest(action == "DELETE", tuple(dict.fromkeys(ids)))


def _recipients(top: Fields, limit: int) -> tuple[Recipient, ...]:
    given = top.array("recipients", limit)
    if not given:
        raise BadRequest("recipients", "recipients must name at least one recipient.")
    return tuple(_recipient(top.item("recipients", index, value)) for index, value in enumerate(given))


def _recipient(fields: Fields) -> Recipient:
    alternatives = fields.array("alternativeNumbers", MAX_ALTERNATIVES)
    return Recipient(
        number=fields.text("number", MAX_NUMBER, required=True),
        alternatives=tuple(
            fields.check_text(value, f"alternativeNumbers[{index}]", MAX_NUMBER, required=True)
            for index, value in enumerate(alternatives)
        ),
        properties=tuple(
            _property(fields.item("properties", index, value))
            for index, value in enumerate(fields.array("properties", MAX_PROPERTIES))
        ),
    )


def _property(fields: Fields) -> tuple[str, str]:
    key = fields.text("key", MAX_PROPERTY_KEY, required=True)
    return key, fields.text("value", MAX_PROPERTY_VALUE, lines=True)


def _documents(top: Fields) -> tuple[Document, ...]:
    return tuple(
        _document(top.item("documents", index, value))
        for index, value in enumerate(top.array("documents", MAX_DOCUMENTS))
    )


def _document(fields: Fields) -> Document:
    name = _file_name(fields.text("name", 2_000, required=True))
    charset = fields.text("charset", 100).lower()
    url = fields.text("reference", MAX_URL)
    if "://" not in url and fields.has("data"):
        url = ""  # no address but a name for the document, as in the examples of the vendor's Go client
    data = None if url else fields.data("data")
    if not url and not data:
        raise BadRequest(fields.at("data"), f"{fields.at('data')} or {fields.at('reference')} must be given.")
    document = Document(name, None, url, data or b"")
    if not document.is_text:
        return document
    if charset and charset not in _CHARSETS:
        raise BadRequest(fields.at("charset"), f"{fields.at('charset')} is not a charset that is known here.")
    return Document(name, _CHARSETS[charset or "utf-8"], url, data or b"")


def _file_name(text: str) -> str:
    """The last part of a path, cut in front: what comes last tells what it is."""
    return re.split(r"[/\\]", text)[-1].strip()[-MAX_DOCUMENT_NAME:] or "document"


def _reference(fields: Fields) -> Reference:
    return Reference(
        fields.text("customerDefinedId", 256), fields.text("billingCode", 80), fields.text("billingInfo", 80)
    )


def _settings(transport: Fields, rendering: Fields, reference: Reference) -> Mapping[str, Any]:
    found: dict[str, Any] = {}
    # T.30 knows digits, plus and space only; clients of the vendor send letters too, which are left out.
    if csid := re.sub(r"[^+0-9 ]", "", transport.text("csid", 20)).strip():
        found["csid"] = csid
    if transport.flag("isExpress"):
        found["priority"] = "express"
    transport.flag("isBlacklistEnabled")  # checked and not kept: there is no deny list that could be left out
    if paper := rendering.choice("paperFormat", ("A4", "LETTER", "LEGAL")):
        found["paper"] = {"A4": "A4", "LETTER": "Letter", "LEGAL": "Legal"}[paper]
    if resolution := rendering.choice("resolution", ("HIGH", "LOW")):
        found["resolution"] = "fine" if resolution == "HIGH" else "standard"
    if rendering.has("header"):
        found["header"] = _header(rendering)
    if rendering.has("overlay"):
        found |= _overlay(rendering)
    if reference.billing_code:
        found["billing_code"] = reference.billing_code
    return found


def _header(rendering: Fields) -> str:
    template = rendering.text("header", 400)
    try:
        headers.parse(template)
    except headers.HeaderRefused as exc:
        raise BadRequest(rendering.at("header"), exc.public) from exc
    return template


def _overlay(rendering: Fields) -> Mapping[str, str]:
    """Our settings for a letterhead; the mode NO_OVERLAY takes the account's away."""
    fields = rendering.inner("overlay")
    mode = fields.choice("mode", OVERLAY_MODES)
    if not mode:
        raise BadRequest(fields.at("mode"), f"{fields.at('mode')} must be one of {', '.join(OVERLAY_MODES)}.")
    named = fields.text("name", 200, required=mode != OverlayMode.NO_OVERLAY.name)
    return {"overlay_mode": mode.lower()} | ({"overlay": named} if named else {})


def _report_mail(fields: Fields) -> ReportMail:
    return ReportMail(_address(fields, "successAddress"), _address(fields, "failureAddress"))


def _attachment(fields: Fields) -> Mapping[str, str]:
    """Our settings for the pages that go with status mails, as far as the job asks for something."""
    mode = fields.choice("attachedFaxImageMode", tuple(ATTACHED))
    form = fields.choice("attachedFaxImageFormat", tuple(ATTACHED_AS))
    found = {"report_attachment": ATTACHED[mode]} if mode else {}
    return found | ({"report_format": ATTACHED_AS[form]} if form else {})


def _address(fields: Fields, name: str) -> str:
    address = fields.text(name, 320)
    if address and not re.fullmatch(r"[^\s@<>]{1,64}@[^\s@<>]{1,255}", address):
        raise BadRequest(fields.at(name), f"{fields.at(name)} must be a mail address.")
    return address


def _push(fields: Fields) -> StatusPush:
    method = fields.choice("authMethod", ("NONE", "HTTP_BASIC", "HTTP_DIGEST", "OAUTH2", "OAUTH")) or "NONE"
    return StatusPush(
        url=fields.text("targetUrl", MAX_URL),
        principal=fields.text("principal", 400),
        credentials=fields.text("credentials", 1_000),
        method="OAUTH2" if method == "OAUTH" else method,
    )


def _validity(fields: Fields, now: float) -> tuple[float | None, float | None]:
    start, end = _moment(fields, "start", now), _moment(fields, "end", now)
    if end is not None and end <= max(now, start or now):
        raise BadRequest(fields.at("end"), f"{fields.at('end')} is not after the start of the job.")
    if start is not None and start > now + _MAX_DURATION:
        raise BadRequest(fields.at("start"), f"{fields.at('start')} is too far away.")
    return start, end


def _moment(fields: Fields, name: str, now: float) -> float | None:
    """An instant with its zone, or a duration from now."""
    text, place = fields.text(name, 100), fields.at(name)
    if not text:
        return None
    if text[:1] in "Pp":
        seconds = _duration(text)
        if seconds is None:
            raise BadRequest(place, f"{place} is not a duration such as PT80M.")
        return now + seconds
    try:
        instant = datetime.fromisoformat(text.upper())
    except ValueError as exc:
        raise BadRequest(place, f"{place} must be a time such as 2026-11-22T08:00:00+01:00 or PT80M.") from exc
    if instant.tzinfo is None:
        raise BadRequest(place, f"{place} has no time zone.")
    return instant.timestamp()


def _duration(text: str) -> float | None:
    match = _DURATION.fullmatch(text)
    if match is None or not any(match.groups()):
        return None
    try:
        parts = [float(part.replace(",", ".")) if part else 0.0 for part in match.groups()]
    except ValueError:
        return None
    seconds = sum(part * unit for part, unit in zip(parts, _UNITS_S, strict=True))
    return seconds if seconds <= _MAX_DURATION else None
