"""XML that arrives in pieces, its long texts taken out on the way: documents in it need no memory. Pure.

The same bounds as for whole documents (`xml_tree`): no document type declaration, so no entity of one's own; depth,
number of elements and their attributes. The text of an element that grows beyond LONG_TEXT is taken for base64 and
handed out decoded, piece by piece; the element then has a `blob` instead of a text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

from faxgw.formats.json_body import Base64Stream, Blob
from faxgw.formats.xml_tree import MAX_ATTRIBUTES, MAX_DEPTH, MAX_ELEMENTS, BadXml

LONG_TEXT = 65_536
"""Characters from which the text of an element is taken out."""
MAX_TEXT = 16 * 2**20
"""Characters of all other texts together."""
_BREAK = " "
"""Between namespace and name: no character of either."""


@dataclass(slots=True)
class Node:
    """One element."""

    namespace: str
    name: str
    """Without its namespace."""
    attributes: dict[str, str] = field(default_factory=dict)
    """By their names without namespaces."""
    children: list[Node] = field(default_factory=list)
    blob: Blob | None = None
    """Its text was long and has been handed out."""
    is_closed: bool = False
    """Its end has come."""
    parts: list[str] = field(default_factory=list)
    size: int = 0
    """Characters of its text so far."""

    @property
    def is_nil(self) -> bool:
        """Whether it says of itself that it has no value (XML Schema part 1, section 2.6.2)."""
        return self.attributes.get("nil", "").strip() in ("true", "1")

    @property
    def text(self) -> str:
        """Its own text, trimmed."""
        return "".join(self.parts).strip()

    def all(self, name: str) -> Iterator[Node]:
        """The children of a name, compared without case."""
        return (child for child in self.children if child.name.lower() == name.lower())

    def first(self, name: str) -> Node | None:
        """The first child of a name."""
        return next(self.all(name), None)


class XmlStream:
    """A document while it comes."""

    def __init__(self) -> None:
        self.root: Node | None = None
        """What has come so far."""
        self._open: list[Node] = []
        self._count = 0
        self._text = 0
        self._blobs = 0
        self._base64: Base64Stream | None = None
        self._out: list[tuple[int, bytes]] = []
        parser = self._parser = expat.ParserCreate(namespace_separator=_BREAK)
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._doctype
        parser.EntityDeclHandler = self._doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters

    def feed(self, piece: bytes) -> list[tuple[int, bytes]]:
        """Take the next octets; what long texts decode to: pairs of the blob's number and octets.

        Raises:
            BadXml: If it is not XML as it may be.
            BadJson: If a long text is not base64.
        """
        return self._parse(piece, last=False)

    def finish(self) -> Node:
        """The root of the whole document. Raises as `feed`."""
        self._parse(b"", last=True)
        assert self.root is not None  # else the parser had found no element
        return self.root

    def _parse(self, piece: bytes, *, last: bool) -> list[tuple[int, bytes]]:
        try:
            self._parser.Parse(piece, last)
        except expat.ExpatError as exc:
            where = f"line {exc.lineno}: {expat.ErrorString(exc.code)}"
            raise BadXml(public=f"The body is not well-formed XML ({where}).") from exc
        except (LookupError, UnicodeError) as exc:  # a charset that nobody knows, or of several bytes
            raise BadXml(public="The body's charset is not known here.") from exc
        out, self._out = self._out, []
        return out

    def _doctype(self, *_facts: object) -> None:
        raise BadXml(public="The body has a document type declaration (DTD), which is not taken.")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > MAX_ELEMENTS or len(self._open) >= MAX_DEPTH:
            raise BadXml(public=f"The body has more than {MAX_ELEMENTS} elements, or more than {MAX_DEPTH} levels.")
        if len(attributes) > MAX_ATTRIBUTES:
            raise BadXml(public=f"An element has more than {MAX_ATTRIBUTES} attributes.")
        if self._open and self._open[-1].blob is not None:
            raise BadXml(public="An element with a long text has elements in it.")
        namespace, _, local = name.rpartition(_BREAK)
        node = Node(namespace, local, {key.rpartition(_BREAK)[2]: value for key, value in attributes.items()})
        self._note_text(sum(map(len, attributes.values())))
        if self._open:
            self._open[-1].children.append(node)
        else:
            self.root = node
        self._open.append(node)

    def _end(self, _name: str) -> None:
        node = self._open.pop()
        node.is_closed = True
        if node.blob is not None and self._base64 is not None:
            self._hand_out(node.blob, self._base64.finish())
            self._base64 = None

    def _characters(self, text: str) -> None:
        node = self._open[-1]
        node.size += len(text)
        if node.blob is None:
            self._note_text(len(text))
            node.parts.append(text)
            if node.size <= LONG_TEXT or node.children:
                return
            text = "".join(node.parts)
            node.parts.clear()
            self._text -= node.size
            node.blob = Blob(self._blobs)
            self._blobs += 1
            self._base64 = Base64Stream()
        assert self._base64 is not None
        # a character that base64 does not know stays one: it is refused by the decoder
        self._hand_out(node.blob, self._base64.feed(text.encode("ascii", "replace")))

    def _note_text(self, size: int) -> None:
        self._text += size
        if self._text > MAX_TEXT:
            raise BadXml(public=f"The body has more than {MAX_TEXT} characters of text beside its documents.")

    def _hand_out(self, blob: Blob, octets: bytes) -> None:
        if octets:
            self._out.append((blob.number, octets))
