"""XML from strangers as a small tree: no DTD, no entity of one's own, bounded in every direction. Pure.

Anything with a document type declaration is refused before it is read further: no entity can be declared, nothing is
fetched, nothing expands. Namespaces are left out of names: `x:fax` is `fax`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.parsers import expat

from faxgw.fax.errors import Refused

MAX_DEPTH = 20
"""Elements within one another."""
MAX_ELEMENTS = 200_000
"""Elements of one document: 5,000 recipients with 20 properties each, and more."""
MAX_ATTRIBUTES = 20
"""Attributes of one element that are kept."""
_ENDS_EARLY = frozenset({
    expat.errors.codes[expat.errors.XML_ERROR_NO_ELEMENTS],
    expat.errors.codes[expat.errors.XML_ERROR_UNCLOSED_TOKEN],
    expat.errors.codes[expat.errors.XML_ERROR_PARTIAL_CHAR],
    expat.errors.codes[expat.errors.XML_ERROR_UNCLOSED_CDATA_SECTION],
})  # fmt: skip


class BadXml(Refused):
    """The document is not XML as it may be; the public text says why."""

    ends_early = False


class EndsEarly(BadXml):
    """The document ends in the middle: it may still be on its way."""

    ends_early = True


@dataclass(slots=True)
class Element:
    """One element."""

    name: str
    """Without its namespace."""
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Element] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    """Its own text in pieces."""

    @property
    def text(self) -> str:
        """Its own text, trimmed."""
        return "".join(self.parts).strip()

    def all(self, name: str) -> list[Element]:
        """The children of a name."""
        return [child for child in self.children if child.name == name]

    def first(self, name: str) -> Element | None:
        """The first child of a name."""
        return next((child for child in self.children if child.name == name), None)


def read_xml(octets: bytes) -> Element:
    """The root of a document.

    Args:
        octets: The document, in a charset that it declares: UTF-8, UTF-16, or one of 8 bits.

    Raises:
        BadXml: If it is not XML, or has a document type declaration, or is too deep or too large.
    """
    if not octets.strip(b"\x00\xef\xbb\xbf\xff\xfe \t\r\n"):
        raise EndsEarly(public="The file is empty.")
    builder = _Builder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = builder.doctype
    parser.EntityDeclHandler = builder.doctype
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.characters
    try:
        parser.Parse(octets, True)
    except expat.ExpatError as exc:
        kind = EndsEarly if exc.code in _ENDS_EARLY else BadXml
        where = f"line {exc.lineno}: {expat.ErrorString(exc.code)}"
        raise kind(public=f"The file is not well-formed XML ({where}).") from exc
    except (LookupError, ValueError, UnicodeError) as exc:  # a charset that nobody knows, or of several bytes
        raise BadXml(public="The file's charset is not known here.") from exc
    assert builder.root is not None  # else the parser had found no element
    return builder.root


class _Builder:
    """What the parser tells, as a tree."""

    def __init__(self) -> None:
        self.root: Element | None = None
        self._open: list[Element] = []
        self._count = 0

    def doctype(self, *_facts: object) -> None:
        raise BadXml(public="The file has a document type declaration (DTD), which is not taken.")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > MAX_ELEMENTS or len(self._open) >= MAX_DEPTH:
            raise BadXml(public=f"The file has more than {MAX_ELEMENTS} elements, or more than {MAX_DEPTH} levels.")
        if len(attributes) > MAX_ATTRIBUTES:
            raise BadXml(public=f"An element has more than {MAX_ATTRIBUTES} attributes.")
        element = Element(name.rpartition(":")[2], {key.rpartition(":")[2]: text for key, text in attributes.items()})
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def end(self, _name: str) -> None:
        self._open.pop()

    def characters(self, text: str) -> None:
        self._open[-1].parts.append(text)
