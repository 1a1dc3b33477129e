"""Job files of the vendor's XML interface over FTP and SFTP (docs/sftp.md): `job…xml` in, `rep…xml` out. Pure.

Known of the vendor's format: `reference`, `fax`, `job-reference`, `distribution-list/fax-address/fax-number`,
`fax-file-list/fax-file/file-name` and `file-encoding`; the root may be called anything, and one file may hold several
faxes. Everything else here is ours and documented as ours: `file-content`, `alternative-number`, `property`,
`options`. Elements that are not known are left alone, as the vendor's other interfaces do, and the report names them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any  # values of settings, checked by fax.account
from xml.sax.saxutils import escape, quoteattr

from faxgw.fax import header as headers
from faxgw.fax.account import MAX_RECIPIENTS
from faxgw.fax.errors import Refused
from faxgw.fax.vendor_report import PENDING, VendorReport
from faxgw.formats.json_body import decode_base64
from faxgw.formats.xml_tree import Element, read_xml

MAX_JOB_FILE = 40 * 2**20
"""Octets of a job file at most, documents within it included."""
MAX_FAXES = 100
"""Faxes (jobs of ours) in one job file at most."""
MAX_FILES = 60
"""Documents of one fax at most: as many as are rendered together (document/limits.py)."""
MAX_ALTERNATIVES = 5
MAX_PROPERTIES = 200
MAX_REFERENCE = 256
"""Characters of a reference."""
MAX_NUMBER = 128
MAX_FILE_NAME = 200
"""Octets of a document's name, as the folders take them."""
MAX_PROPERTY_KEY = 100
MAX_PROPERTY_VALUE = 10_000
MAX_IGNORED = 20
"""Unknown elements that are named in the report."""
MISSING_FILE = "MISSING_FAX_FILE"
"""The vendor's status of a fax whose document is not there."""
FAILED = "RENDERING_ERROR"
"""The vendor's status of a fax that could not be made, for whatever other reason."""

_CHARSETS = {"88591": "iso-8859-1", "88592": "iso-8859-2", "utf8": "utf-8", "usascii": "ascii"}
"""The vendor's two, and two of ours; compared without case, `ISO`, hyphens and underscores."""
_RESOLUTIONS = {"high": "fine", "low": "standard"}
_PAPERS = {"a4": "A4", "letter": "Letter", "legal": "Legal"}
_PRIORITIES = {"express": "express", "normal": "normal"}
_ADDRESS = re.compile(r"[^\s@<>]{1,64}@[^\s@<>]{1,255}")
OPTIONS = frozenset({
    "csid", "header", "resolution", "paper-format", "priority", "billing-code", "coverpage", "not-before", "not-after",
    "report-success", "report-failure",
})  # fmt: skip
"""Elements of `options`."""
_KNOWN: Mapping[str, Set[str]] = {
    "root": {"reference", "fax"},
    "fax": {"job-reference", "distribution-list", "fax-file-list", "options"},
    "distribution-list": {"fax-address"},
    "fax-address": {"fax-number", "alternative-number", "property"},
    "fax-file-list": {"fax-file"},
    "fax-file": {"file-name", "file-encoding", "file-content"},
    "options": OPTIONS,
}
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class BadJob(Refused):
    """The file cannot be a job; `status` is the vendor's word for it."""

    def __init__(self, public: str, status: str = FAILED) -> None:
        super().__init__(public=public)
        self.status = status


@dataclass(frozen=True, slots=True)
class XmlRecipient:
    """One recipient."""

    number: str
    alternatives: tuple[str, ...] = ()
    properties: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class XmlFile:
    """One document."""

    name: str
    charset: str | None
    """For texts; None for all else."""
    content: bytes | None = None
    """None: it lies beside the job file under its name."""


@dataclass(frozen=True, slots=True)
class XmlFax:
    """One `fax`: a job of ours."""

    reference: str
    """The customer's own, `job-reference`."""
    recipients: tuple[XmlRecipient, ...]
    files: tuple[XmlFile, ...]
    settings: Mapping[str, Any]
    """Settings that it overrides, under our names."""
    cover: str = ""
    success_to: tuple[str, ...] | None = None
    failure_to: tuple[str, ...] | None = None
    earliest: float | None = None
    """Unix seconds."""
    latest: float | None = None


@dataclass(frozen=True, slots=True)
class XmlJob:
    """A job file."""

    root: str
    """Name of the root element, repeated in the report."""
    reference: str
    faxes: tuple[XmlFax, ...]
    ignored: tuple[str, ...] = ()
    """Elements that were not understood, each once."""

    def names(self) -> list[str]:
        """The documents that must lie beside it, each once."""
        return list(dict.fromkeys(f.name for fax in self.faxes for f in fax.files if f.content is None))


def report_name(job_file: str, prefix: str = "rep") -> str:
    """Name of the report on a job file: `job-7.xml` → `rep-7.xml`."""
    return prefix + (job_file[3:] if job_file[:3] == "job" else f"-{job_file}")


def read_job(octets: bytes) -> XmlJob:
    """Read a job file.

    Raises:
        BadXml: If it is not XML as it may be; `EndsEarly` if its end is missing.
        BadJob: If it is no job.
    """
    root = read_xml(octets)
    faxes = root.all("fax")
    if not faxes:
        raise BadJob("The file has no element “fax”.")
    if len(faxes) > MAX_FAXES:
        raise BadJob(f"A file may have at most {MAX_FAXES} faxes.")
    ignored = dict.fromkeys(_unknown(root, "root", ""))
    return XmlJob(
        root.name[:100],
        _text(root, "reference", MAX_REFERENCE),
        tuple(read_fax(element) for element in faxes),
        tuple(ignored)[:MAX_IGNORED],
    )


def _unknown(element: Element, kind: str, place: str) -> Iterable[str]:
    for child in element.children:
        here = f"{place}{child.name[:60]}"
        if child.name not in _KNOWN[kind]:
            yield here
        elif child.name in _KNOWN:
            yield from _unknown(child, child.name, f"{here}/")


def read_fax(element: Element, *, documents_elsewhere: bool = False) -> XmlFax:
    """Read one element `fax`.

    Args:
        element: The element.
        documents_elsewhere: Its documents are known without it; it names none.

    Raises:
        BadJob: If it is no fax.
    """
    addresses = [address for part in element.all("distribution-list") for address in part.all("fax-address")]
    if not addresses:
        raise BadJob("A fax has no recipient (distribution-list/fax-address).")
    if len(addresses) > MAX_RECIPIENTS:
        raise BadJob(f"A fax may have at most {MAX_RECIPIENTS} recipients.")
    listed = [] if documents_elsewhere else element.all("fax-file-list")
    files = [file for part in listed for file in part.all("fax-file")]
    if len(files) > MAX_FILES:
        raise BadJob(f"A fax may have at most {MAX_FILES} documents.")
    options = element.first("options") or Element("options")
    cover = _text(options, "coverpage", 200)
    if not files and not cover and not documents_elsewhere:
        raise BadJob("A fax has no document (fax-file-list/fax-file).", MISSING_FILE)
    success, failure = _mail(options, "report-success"), _mail(options, "report-failure")
    told = bool(success or failure)
    earliest, latest = _instant(options, "not-before"), _instant(options, "not-after")
    if earliest is not None and latest is not None and latest <= earliest:
        raise BadJob("not-after is not later than not-before.")
    return XmlFax(
        reference=_text(element, "job-reference", MAX_REFERENCE),
        recipients=tuple(_recipient(address) for address in addresses),
        files=tuple(_file(file) for file in files),
        settings=_settings(options),
        cover=cover,
        success_to=success if told else None,
        failure_to=failure if told else None,
        earliest=earliest,
        latest=latest,
    )


def _recipient(element: Element) -> XmlRecipient:
    number = _text(element, "fax-number", MAX_NUMBER)
    if not number:
        raise BadJob("A recipient has no number (fax-number).")
    others = element.all("alternative-number")
    properties = element.all("property")
    if len(others) > MAX_ALTERNATIVES or len(properties) > MAX_PROPERTIES:
        raise BadJob(f"A recipient may have at most {MAX_ALTERNATIVES} other numbers and {MAX_PROPERTIES} properties.")
    return XmlRecipient(
        number,
        tuple(found for other in others if (found := _checked(other.text, "alternative-number", MAX_NUMBER))),
        tuple(_property(found) for found in properties),
    )


def _property(element: Element) -> tuple[str, str]:
    key = _checked(element.attributes.get("name", "").strip(), "property", MAX_PROPERTY_KEY)
    if not key:
        raise BadJob("A property has no name.")
    return key, _checked(element.text, "property", MAX_PROPERTY_VALUE)


def _file(element: Element) -> XmlFile:
    name = _text(element, "file-name", MAX_FILE_NAME)
    if not name or not is_plain_name(name):
        raise BadJob("A document has no name (file-name), or one that no file may have.", MISSING_FILE)
    return XmlFile(name, _charset(element, name), _content(element))


def is_plain_name(name: str) -> bool:
    """Whether a name is one of a file within a folder: no path, no hidden file, nothing that cannot be printed."""
    octets = len(name.encode(errors="surrogatepass"))
    return (
        0 < octets <= MAX_FILE_NAME and name[0] != "." and "/" not in name and "\\" not in name and name.isprintable()
    )


def _charset(element: Element, name: str) -> str | None:
    if not name.lower().endswith((".txt", ".text")):
        return None
    given = _text(element, "file-encoding", 40)
    word = given.lower().replace("-", "").replace("_", "").removeprefix("iso")
    if word and word not in _CHARSETS:
        raise BadJob(f"file-encoding must be one of {', '.join(_CHARSETS)}.")
    return _CHARSETS[word or "88591"]


def _content(element: Element) -> bytes | None:
    inner = element.first("file-content")
    if inner is None:
        return None
    try:
        octets = decode_base64(inner.text)
    except Refused as exc:
        raise BadJob("A document's file-content is not base64.") from exc
    if not octets:
        raise BadJob("A document's file-content is empty.", MISSING_FILE)
    return octets


def _settings(options: Element) -> dict[str, Any]:
    found: dict[str, Any] = {}
    # T.30 knows digits, plus and space only; letters are left out, as in the vendor's REST interface.
    if csid := re.sub(r"[^+0-9 ]", "", _text(options, "csid", 40)).strip()[:20]:
        found["csid"] = csid
    if options.first("header") is not None:
        found["header"] = _header(_text(options, "header", 400))
    for name, key, words in (
        ("resolution", "resolution", _RESOLUTIONS),
        ("paper-format", "paper", _PAPERS),
        ("priority", "priority", _PRIORITIES),
    ):
        if given := _text(options, name, 40):
            if given.lower() not in words:
                raise BadJob(f"{name} must be one of {', '.join(words).upper()}.")
            found[key] = words[given.lower()]
    if billing := _text(options, "billing-code", 80):
        found["billing_code"] = billing
    return found


def _header(template: str) -> str:
    try:
        headers.parse(template)
    except headers.HeaderRefused as exc:
        raise BadJob(f"header: {exc.public}") from exc
    return template


def _mail(options: Element, name: str) -> tuple[str, ...]:
    address = _text(options, name, 320)
    if address and not _ADDRESS.fullmatch(address):
        raise BadJob(f"{name} must be a mail address.")
    return (address,) if address else ()


def _instant(options: Element, name: str) -> float | None:
    given = _text(options, name, 100)
    if not given:
        return None
    try:
        instant = datetime.fromisoformat(given.upper())
    except ValueError as exc:
        raise BadJob(f"{name} must be a time such as 2026-11-22T08:00:00+01:00.") from exc
    if instant.tzinfo is None:
        raise BadJob(f"{name} has no time zone.")
    return instant.timestamp()


def _text(element: Element, name: str, limit: int) -> str:
    inner = element.first(name)
    return "" if inner is None else _checked(inner.text, name, limit)


def _checked(text: str, name: str, limit: int) -> str:
    if len(text) > limit:
        raise BadJob(f"{name} may have at most {limit} characters.")
    if _UNPRINTABLE.search(text):
        raise BadJob(f"{name} has characters that cannot be printed.")
    return text


# --------------------------------------------------------------------------------------------------------- reports


@dataclass(frozen=True, slots=True)
class ReportedFax:
    """What became of one `fax` of a job file."""

    reference: str
    report: VendorReport
    files: tuple[str, ...]
    """Names of its documents."""


def report_file(root: str, reference: str, faxes: Sequence[ReportedFax], ignored: Sequence[str] = ()) -> bytes:
    """The report on a job file whose faxes are final."""
    lines = list(_opening(root, reference))
    for fax in faxes:
        lines += ["  <fax>", _leaf(4, "job-id", fax.report.job), _leaf(4, "job-reference", fax.reference)]
        lines += [_leaf(4, "pages", str(fax.report.pages)), "    <distribution-list>"]
        for one in fax.report.recipients:
            lines += ["      <fax-address>", _leaf(8, "fax-number", one.number)]
            lines += [_property_line(key, value) for key, value in one.properties]
            lines += [_leaf(8, "status", one.status), _leaf(8, "reason", one.reason)]
            if one.status != PENDING and one.sent_at is not None:
                lines.append(_leaf(8, "sent-ts", datetime.fromtimestamp(one.sent_at, UTC).isoformat("T", "seconds")))
            lines += [_leaf(8, "duration-in-secs", str(one.duration)), _leaf(8, "sent-to-number", one.sent_to)]
            lines += [_leaf(8, "remote-csid", one.csid), "      </fax-address>"]
        lines += ["    </distribution-list>", "    <fax-file-list>"]
        lines += [f"      <fax-file>{_leaf(0, 'file-name', name)}</fax-file>" for name in fax.files]
        lines += ["    </fax-file-list>", "  </fax>"]
    return _closed(lines, root, ignored)


def refusal_file(
    root: str, reference: str, faxes: Sequence[XmlFax], *, code: str, text: str, status: str, first_job: str = ""
) -> bytes:
    """The report on a job file, or on faxes of it, that were refused: nothing of them is sent.

    Args:
        root: Name of the root element; "report" where it could not be read.
        reference: Of the file.
        faxes: What was refused; empty where it could not be read.
        code: A word for programs.
        text: One sentence.
        status: The vendor's word, at each recipient.
        first_job: The job that was accepted under the same name before.
    """
    lines = [*_opening(root, reference), "  <error>", _leaf(4, "code", code), _leaf(4, "text", text)]
    lines += ([_leaf(4, "job-id", first_job)] if first_job else []) + ["  </error>"]
    for fax in faxes:
        lines += ["  <fax>", _leaf(4, "job-reference", fax.reference), "    <distribution-list>"]
        for one in fax.recipients:
            lines += ["      <fax-address>", _leaf(8, "fax-number", one.number), _leaf(8, "status", status)]
            lines += [_leaf(8, "reason", text), "      </fax-address>"]
        lines += ["    </distribution-list>", "  </fax>"]
    return _closed(lines, root, ())


def _opening(root: str, reference: str) -> Iterable[str]:
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    yield f"<{root}>"
    yield _leaf(2, "reference", reference)


def _closed(lines: Sequence[str], root: str, ignored: Sequence[str]) -> bytes:
    told = [_leaf(2, "ignored-element", name) for name in ignored]
    return ("\n".join([*lines, *told, f"</{root}>"]) + "\n").encode(errors="replace")


def _leaf(indent: int, name: str, text: str) -> str:
    clean = escape(_UNPRINTABLE.sub(" ", text))
    return " " * indent + (f"<{name}>{clean}</{name}>" if clean else f"<{name}/>")


def _property_line(key: str, value: str) -> str:
    name, text = quoteattr(_UNPRINTABLE.sub(" ", key)), escape(_UNPRINTABLE.sub(" ", value))
    return f"        <property name={name}>{text}</property>"
