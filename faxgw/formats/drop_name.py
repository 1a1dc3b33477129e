"""Documents of a plain drop folder: `+33123456789_anything.pdf`, or any name with a sidecar beside it. Pure; all ours.

A sidecar has the document's whole name and `.json`, `.xml` or `.txt` behind it: `letter.pdf.json`. It says who gets
the document and how, in the words of a job file (`formats.xml_job`): as an object, as an element `fax`, or as lines
`word: value`, where a line without a colon is a number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from faxgw.fax.errors import Refused
from faxgw.formats.json_body import parse_json
from faxgw.formats.xml_job import OPTIONS, BadJob, XmlFax, read_fax
from faxgw.formats.xml_tree import Element, EndsEarly, read_xml

MAX_SIDECAR = 1_000_000
"""Octets of a sidecar."""
MAX_LINES = 10_000
RESULT = ".result.json"
"""How the names of results end."""
SIDECARS = (".json", ".xml", ".txt")
_NUMBER = re.compile(r"(\+?[0-9][0-9 ().-]{1,40})(?:_.*)?", re.DOTALL)
_DOCUMENT = re.compile(
    r"\.(?:pdf|tiff?|txt|text|html?|jpe?g|png|gif|bmp|webp|docx?|xlsx?|pptx?|rtf|od[tsp]|ps|pcl)", re.I
)
_UNFINISHED = re.compile(r"\..*|~.*|.*~|.*\.(?:tmp|temp|part|partial|filepart|crdownload|new|swp)", re.I | re.DOTALL)
_PLACES = {"reference": "job-reference", "job_reference": "job-reference"}


def is_result(name: str) -> bool:
    """Whether a file is a result of ours."""
    return name.endswith(RESULT)


def is_ignored(name: str) -> bool:
    """Whether a file is none of our business: hidden, somebody's temporary file, or a result."""
    return _UNFINISHED.fullmatch(name) is not None or is_result(name)


def document_of(name: str) -> str:
    """The document that a sidecar is about; empty for what is no sidecar."""
    for ending in SIDECARS:
        stem = name[: -len(ending)] if name.lower().endswith(ending) else ""
        if _DOCUMENT.fullmatch(_ending(stem)):
            return stem
    return ""


def number_in(name: str) -> str:
    """The number that a document's name begins with; empty when there is none."""
    stem = name[: len(name) - len(_ending(name))]
    match = _NUMBER.fullmatch(stem)
    return match[1].strip() if match else ""


def read_sidecar(name: str, octets: bytes) -> XmlFax:
    """Read a sidecar.

    Args:
        name: Its name, which says what it is written in.
        octets: Its content.

    Raises:
        EndsEarly: If its end is missing.
        BadJob: If it cannot be one.
        Refused: If it is not even XML or JSON.
    """
    if len(octets) > MAX_SIDECAR:
        raise BadJob(f"A sidecar may have at most {MAX_SIDECAR} octets.")
    match _ending(name).lower():
        case ".xml":
            root = read_xml(octets)
            element = root if root.name == "fax" else root.first("fax") or root
        case ".json":
            element = _from_json(octets)
        case _:
            element = _from_lines(octets)
    return read_fax(element, documents_elsewhere=True)


def for_number(number: str) -> XmlFax:
    """The fax of a document whose name is all that is known."""
    return read_fax(_fax([("number", number)]), documents_elsewhere=True)


def _ending(name: str) -> str:
    return "." + name.rpartition(".")[2] if "." in name else ""


def _from_json(octets: bytes) -> Element:
    if not octets.strip():
        raise EndsEarly(public="The file is empty.")
    try:
        found = parse_json(octets)
    except Refused as exc:
        raise BadJob("The sidecar is not JSON.") from exc
    if not isinstance(found, dict):
        raise BadJob("The sidecar must be an object.")
    pairs: list[tuple[str, str]] = []
    properties: list[tuple[str, str]] = []
    for key, value in found.items():
        if key == "properties" and isinstance(value, dict):
            properties += [(str(name), _word(key, text)) for name, text in value.items()]
        elif key == "numbers" and isinstance(value, list):
            pairs += [("number", _word(key, number)) for number in value[:MAX_LINES]]
        else:
            pairs.append((key, _word(key, value)))
    return _fax(pairs, properties)


def _word(key: str, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise BadJob(f"{key[:100]} must be a string.")
    return str(value)


def _from_lines(octets: bytes) -> Element:
    if not octets.strip():
        raise EndsEarly(public="The file is empty.")
    try:
        lines = octets.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as exc:
        raise BadJob("The sidecar is not UTF-8.") from exc
    if len(lines) > MAX_LINES:
        raise BadJob(f"A sidecar may have at most {MAX_LINES} lines.")
    pairs = []
    for line in lines:
        key, colon, value = line.partition(":")
        if line.strip():
            pairs.append((key.strip(), value.strip()) if colon else ("number", line.strip()))
    return _fax(pairs)


def _fax(pairs: Iterable[tuple[str, str]], properties: Iterable[tuple[str, str]] = ()) -> Element:
    """The element `fax` of a job file that says the same."""
    fax, addresses, options = Element("fax"), Element("distribution-list"), Element("options")
    fax.children += [addresses, options]
    for key, value in pairs:
        name = key.lower()
        if name in ("number", "fax-number", "to"):
            addresses.children.append(Element("fax-address", children=[_leaf("fax-number", value)]))
        elif name in _PLACES:
            fax.children.append(_leaf(_PLACES[name], value))
        elif name.replace("_", "-") in OPTIONS:
            options.children.append(_leaf(name.replace("_", "-"), value))
        else:
            raise BadJob(f"“{key[:100]}” is not a word that a sidecar may have.")
    for address in addresses.children:
        address.children += [Element("property", {"name": key}, parts=[text]) for key, text in properties]
    return fax


def _leaf(name: str, text: str) -> Element:
    return Element(name, parts=[text])
