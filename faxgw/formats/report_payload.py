"""Reports as they lie in the outbox: JSON-able mappings, written in the transaction that causes the mail.

`from_payload(to_payload(report)) == report`, but for a thumbnail above its bound, which is left out, and for code
points that no JSON store takes (NUL, lone surrogates), which are replaced. Reading is strict: a payload that is not
of this form is refused, never guessed at.
"""

from __future__ import annotations

import base64
import dataclasses
import enum
import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar  # Any: JSON values, checked by pydantic

import pydantic

from faxgw.fax.dsn import Dsn
from faxgw.fax.errors import FaxError
from faxgw.fax.ports import EnclosedFile
from faxgw.fax.reception import ReceivedReport
from faxgw.fax.report import FaxPages, JobReport, PagesTold, RefusedReport
from faxgw.formats.dsn import Original
from faxgw.formats.mail_letter import MAX_THUMBNAIL

VERSION = 1
"""Written into each payload; a reader refuses what is newer than itself."""

_T = TypeVar("_T")
_JOB: pydantic.TypeAdapter[JobReport] = pydantic.TypeAdapter(JobReport)
_REFUSED: pydantic.TypeAdapter[RefusedReport] = pydantic.TypeAdapter(RefusedReport)
_DSN: pydantic.TypeAdapter[Dsn] = pydantic.TypeAdapter(Dsn)
_RECEIVED: pydantic.TypeAdapter[ReceivedReport] = pydantic.TypeAdapter(ReceivedReport)
_PAGES: pydantic.TypeAdapter[FaxPages] = pydantic.TypeAdapter(FaxPages)
_ENCLOSED: pydantic.TypeAdapter[EnclosedFile] = pydantic.TypeAdapter(EnclosedFile)


class PayloadDefect(FaxError):
    """A payload that is no report."""

    default_public = "The stored report is damaged."
    default_temporary = False


def report_to_payload(
    report: JobReport, enclosed: Sequence[EnclosedFile] = (), pages: FaxPages | None = None
) -> dict[str, object]:
    """A job's report for the outbox, the stored documents that go with it, and what is to be said of them."""
    kept = report.thumbnail if len(report.thumbnail) <= MAX_THUMBNAIL else b""
    files = {"enclosed": [_plain(dataclasses.asdict(file)) for file in enclosed]} if enclosed else {}
    told = {"pages": _plain(pages)} if pages is not None and pages.told is not PagesTold.NOTHING else {}
    return {"version": VERSION, "job": _plain(dataclasses.replace(report, thumbnail=kept)), **files, **told}


def report_from_payload(payload: Mapping[str, object]) -> JobReport:
    """The job's report of a payload.

    Raises:
        PayloadDefect: If it is none.
    """
    fields = _fields(payload, "job")
    try:
        thumbnail = base64.b64decode(str(fields.get("thumbnail", "")), validate=True)
    except ValueError as exc:
        raise PayloadDefect("thumbnail is no Base64") from exc
    report = _validated(_JOB, {**fields, "thumbnail": ""})
    return dataclasses.replace(report, thumbnail=thumbnail)


def pages_from_payload(payload: Mapping[str, object]) -> FaxPages:
    """What is to be said of the pages that go with a job's report.

    Raises:
        PayloadDefect: If it is damaged.
    """
    if "pages" not in payload:
        return FaxPages()
    return _validated(_PAGES, dict(_fields(payload, "pages")))


def with_pages(payload: Mapping[str, object], pages: FaxPages) -> dict[str, object]:
    """A payload that says something else of its pages, for the way to the delivery; never stored."""
    return {**payload, "pages": _plain(pages)}


def refused_to_payload(report: RefusedReport) -> dict[str, object]:
    """The report of a mail that could not be faxed, for the outbox."""
    return {"version": VERSION, "refused": _plain(report)}


def refused_from_payload(payload: Mapping[str, object]) -> RefusedReport:
    """The report of a payload.

    Raises:
        PayloadDefect: If it is none.
    """
    return _validated(_REFUSED, dict(_fields(payload, "refused")))


def received_to_payload(report: ReceivedReport, enclosed: Sequence[EnclosedFile]) -> dict[str, object]:
    """A received fax for the outbox: what is told of it, and the stored documents that go with it."""
    files = [_plain(dataclasses.asdict(file)) for file in enclosed]
    return {"version": VERSION, "received": _plain(report), "enclosed": files}


def with_enclosed(
    payload: Mapping[str, object], report: ReceivedReport, enclosed: Sequence[EnclosedFile]
) -> dict[str, object]:
    """A received fax's payload with documents that were made of it, for one try; the rest stays."""
    return {**payload, **received_to_payload(report, enclosed)}


def received_from_payload(payload: Mapping[str, object]) -> ReceivedReport:
    """What is told of a received fax.

    Raises:
        PayloadDefect: If it is none.
    """
    return _validated(_RECEIVED, dict(_fields(payload, "received")))


def enclosed_in(payload: Mapping[str, object]) -> tuple[EnclosedFile, ...]:
    """The stored documents that a payload names; most have none.

    Raises:
        PayloadDefect: If they are none.
    """
    files = payload.get("enclosed", [])
    if not isinstance(files, list) or not all(isinstance(file, dict) for file in files):
        raise PayloadDefect("no enclosed files")
    return tuple(_validated(_ENCLOSED, file) for file in files)


def dsn_to_payload(report: JobReport | RefusedReport, dsn: Dsn) -> dict[str, object]:
    """A DSN for the outbox: the report its text tells, and its fields. The mail it speaks of is added at delivery."""
    told = report_to_payload(report) if isinstance(report, JobReport) else refused_to_payload(report)
    return {**told, "dsn": _plain(dsn)}


def told_from_payload(payload: Mapping[str, object]) -> JobReport | RefusedReport:
    """The report that a DSN's text tells.

    Raises:
        PayloadDefect: If there is none.
    """
    return refused_from_payload(payload) if "refused" in payload else report_from_payload(payload)


def dsn_from_payload(payload: Mapping[str, object]) -> Dsn:
    """The fields of a DSN.

    Raises:
        PayloadDefect: If there are none.
    """
    return _validated(_DSN, dict(_fields(payload, "dsn")))


def with_original(payload: Mapping[str, object], original: Original) -> dict[str, object]:
    """A DSN's payload with the mail it speaks of, for the way from the spool to the delivery; never stored."""
    octets = base64.b64encode(original.octets).decode("ascii")
    return {**payload, "original": {"octets": octets, "complete": original.complete}}


def original_from_payload(payload: Mapping[str, object]) -> Original | None:
    """The mail that was added to a payload; None when the spool has it no more.

    Raises:
        PayloadDefect: If it is damaged.
    """
    if "original" not in payload:
        return None
    fields = _fields(payload, "original")
    try:
        octets = base64.b64decode(str(fields["octets"]), validate=True)
    except (ValueError, KeyError) as exc:
        raise PayloadDefect("original is no Base64") from exc
    return Original(octets, fields.get("complete") is True)


def with_style(payload: Mapping[str, object], content: bytes) -> dict[str, object]:
    """A payload with what the customer's mail template says, for the way to the delivery; never stored."""
    return {**payload, "style": base64.b64encode(content).decode("ascii")}


def style_from_payload(payload: Mapping[str, object]) -> bytes:
    """The mail template that was added to a payload; empty: none.

    Raises:
        PayloadDefect: If it is damaged.
    """
    try:
        return base64.b64decode(str(payload.get("style", "")), validate=True)
    except ValueError as exc:
        raise PayloadDefect("style is no Base64") from exc


def _plain(value: Any) -> Any:
    """Values by field, enums by value, octets as Base64, tuples as lists, texts without what JSON stores refuse.

    One walk and no copies: the transaction that ends a job of a thousand faxes waits for it.
    """
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, str):
        if value.isascii() and "\0" not in value:
            return value
        return value.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")
    if value is None or isinstance(value, (int, float)):
        return value
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}


def _fields(payload: Mapping[str, object], key: str) -> Mapping[str, object]:
    fields = payload.get(key)
    if payload.get("version") != VERSION or not isinstance(fields, Mapping):
        raise PayloadDefect(f"no {key} report of version {VERSION}")
    return fields


def _validated(adapter: pydantic.TypeAdapter[_T], fields: dict[str, object]) -> _T:
    try:
        return adapter.validate_json(json.dumps(fields, allow_nan=False), strict=True)
    except (ValueError, TypeError, RecursionError) as exc:
        raise PayloadDefect(f"not a report: {type(exc).__name__}") from exc
