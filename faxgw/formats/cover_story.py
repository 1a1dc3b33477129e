"""The text of a Word document's part, with its fields (ISO/IEC 29500-1, WordprocessingML). Pure.

The XML is cut into tokens and looked at as a tree, but never written anew: what is no field goes out as the very
characters that came in. Three things are fields: MERGEFIELD and DOCVARIABLE (section 17.16), content controls with a
tag or title (section 17.5.2), and `${Name}` typed as text, though it may have been cut into runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import unescape
from typing import TypeAlias
from xml.parsers import expat
from xml.sax.saxutils import escape

from faxgw.formats import cover_fields
from faxgw.formats.cover_fields import MAX_FIELDS, PLACEHOLDER, Field
from faxgw.formats.cover_template import Value

MAX_STORY = 2_000_000
"""Octets of the XML of one part."""
MAX_TOKENS = 150_000
"""Tags and texts of one part; a letter has about 5,000."""
MAX_DEPTH = 200
"""Elements within one another; Word writes about 30."""
MAX_NESTED = 16
"""Fields, or content controls, within one another."""
MAX_FILLED = 8_000_000
"""Characters of a part filled in."""

_NAMESPACES = frozenset(
    (
        "http://schemas.openxmlformats.org/wordprocessingml/2006/main",
        "http://purl.oclc.org/ooxml/wordprocessingml/main",
    )
)
"""Transitional and strict."""
_STORIES = frozenset(("document", "hdr", "ftr", "footnotes", "endnotes"))
"""Root elements of parts that are printed."""
_NO_TEXT = frozenset(
    {
        *("docPartObj", "docPartList", "group", "picture", "equation", "citation", "bibliography"),
        *("w14:checkbox", "w15:repeatingSection", "w15:repeatingSectionItem"),
    }
)
"""Content controls that hold no text of ours."""
_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
_TOKEN = re.compile(
    r"<!--.*?-->|<!\[CDATA\[.*?\]\]>|<\?.*?\?>|<[^<>\"']*(?:(?:\"[^\"]*\"|'[^']*')[^<>\"']*)*>|[^<]+", re.S
)
_ATTRIBUTE = re.compile(r"([\w:.-]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
_NAME = re.compile(r"</?([^\s/>]+)")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold (its section 2.2)."""

Piece: TypeAlias = "str | Field"


@dataclass(frozen=True, slots=True)
class Story:
    """A part that was read."""

    pieces: tuple[Piece, ...]
    """XML, and fields in the places of texts."""
    prefix: str
    """Of the elements: `w:`."""

    def fields(self) -> Sequence[Field]:
        """The fields, in order."""
        return [piece for piece in self.pieces if isinstance(piece, Field)]


def read(name: str, octets: bytes) -> Story | None:
    """Read a part; None if it is not one that is printed.

    Args:
        name: Of the part, for refusals.
        octets: All of it.

    Raises:
        TemplateRefused: If it is damaged or too large, or has a field that is not known here.
    """
    if len(octets) > MAX_STORY:
        raise cover_fields.refused(f"the part {name} has more than {MAX_STORY:,} octets")
    try:
        text = octets.decode("utf-16" if octets[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as exc:
        raise cover_fields.refused(f"the part {name} is damaged") from exc
    text = _DECLARATION.sub('<?xml version="1.0" encoding="UTF-8" standalone="yes"?>', text)
    namespace, root = _check(name, text)
    if namespace not in _NAMESPACES or root not in _STORIES:
        return None
    tokens = _TOKEN.findall(text)
    if len(tokens) > MAX_TOKENS:
        raise cover_fields.refused(f"the part {name} has more than {MAX_TOKENS:,} tags and texts")
    return _Reader(tokens).story()


def filled(story: Story, values: Mapping[str, Value]) -> bytes:
    """The part's octets for these values.

    Raises:
        TemplateRefused: If a value is missing, or the part gets too long.
    """
    broken = f'</{story.prefix}t><{story.prefix}%s/><{story.prefix}t xml:space="preserve">'
    made, length = [], 0
    for piece in story.pieces:
        if isinstance(piece, Field):
            text = escape(_NOT_XML.sub("", piece.text(values)))
            piece = text.replace("\n", broken % "br").replace("\t", broken % "tab")
        made.append(piece)
        length += len(piece)
        if length > MAX_FILLED:
            raise cover_fields.refused("the cover page gets too long")
    return "".join(made).encode()


def _check(name: str, text: str) -> tuple[str, str]:
    """Namespace and name of the root of a well-formed part without document type, not too deep."""
    depth, root = 0, ""

    def start(tag: str, _attributes: Mapping[str, str]) -> None:
        nonlocal depth, root
        depth, root = depth + 1, root or tag
        if depth > MAX_DEPTH:
            raise cover_fields.refused(f"the part {name} has more than {MAX_DEPTH} elements within one another")

    def end(_tag: str) -> None:
        nonlocal depth
        depth -= 1

    def doctype(*_said: object) -> None:
        raise cover_fields.refused(f"the part {name} has a document type")

    reader = expat.ParserCreate("utf-8", " ")
    reader.StartElementHandler, reader.EndElementHandler, reader.StartDoctypeDeclHandler = start, end, doctype
    try:
        reader.Parse(text.encode(), True)
    except (expat.ExpatError, UnicodeEncodeError) as exc:
        raise cover_fields.refused(f"the part {name} is damaged") from exc
    namespace, _, local = root.rpartition(" ")
    return namespace, local


# ------------------------------------------------------------------------------------------------------------- tree


@dataclass(slots=True)
class _Node:
    """An element."""

    name: str
    """Without the prefix of WordprocessingML; with any other."""
    start: int
    """Token of its start tag."""
    end: int = -1
    """Token of its end tag; the same as `start` when it is empty."""
    parent: _Node | None = None
    children: list[_Node] = field(default_factory=list)
    nested: int = 0
    """Fields and content controls from the root to here."""

    def walk(self) -> Iterator[_Node]:
        """Its descendants, in order."""
        waiting = self.children[::-1]
        while waiting:
            node = waiting.pop()
            yield node
            waiting += node.children[::-1]

    def child(self, name: str) -> _Node | None:
        return next((child for child in self.children if child.name == name), None)


@dataclass(slots=True)
class _Open:
    """A field whose end was not seen yet (section 17.16.18)."""

    begin: _Node
    marks: list[_Node] = field(default_factory=list)
    said: str = ""
    shows: bool = False
    texts: list[_Node] = field(default_factory=list)


def _check_nested(depth: int) -> None:
    if depth > MAX_NESTED:
        raise cover_fields.refused(f"more than {MAX_NESTED} fields within one another")


class _Reader:
    """Makes a story of tokens."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._prefix = self._find_prefix()
        self._root = self._tree()
        self._instead: dict[int, tuple[int, Sequence[Piece]]] = {}
        """First token → last token and what stands in their place."""
        self._count = 0
        """Names typed as text."""
        self._taken: set[int] = set()
        """Texts (by their start) that show a field."""

    def story(self) -> Story:
        nodes = list(self._root.walk())
        self._complex(nodes)
        for node in reversed(nodes):  # inner ones first: an outer one wins
            if node.name in ("fldSimple", "sdt"):
                _check_nested(node.nested)
                self._simple(node) if node.name == "fldSimple" else self._control(node)
        for texts in self._paragraphs(nodes):
            self._typed([text for text in texts if text.start not in self._taken])
        return Story(tuple(self._pieces()), self._prefix)

    def _find_prefix(self) -> str:
        root = next(token for token in self._tokens if token.startswith("<") and token[1] not in "?!")
        for name, double, single in _ATTRIBUTE.findall(root):
            if name.startswith("xmlns") and (double or single) in _NAMESPACES:
                return f"{name[6:]}:" if name[5:] else ""
        raise cover_fields.refused("the document is damaged")

    def _tree(self) -> _Node:
        top = node = _Node("", -1)
        for index, token in enumerate(self._tokens):
            if not token.startswith("<") or token[1] in "?!":
                continue
            if token[1] == "/":
                node.end = index
                assert node.parent is not None  # well-formed
                node = node.parent
                continue
            match = _NAME.match(token)
            assert match is not None
            name = match[1]
            local = name.removeprefix(self._prefix) if self._prefix and name.startswith(self._prefix) else name
            child = _Node(local, index, index, node, nested=node.nested + (local in ("fldSimple", "sdt")))
            node.children.append(child)
            if not token.endswith("/>"):
                node = child
        return top

    def _attribute(self, node: _Node, name: str) -> str:
        wanted = {f"{self._prefix}{name}", name}
        found = _ATTRIBUTE.findall(self._tokens[node.start])
        return next((unescape(double or single) for key, double, single in found if key in wanted), "")

    def _text(self, node: _Node) -> str:
        texts = (token for token in self._tokens[node.start + 1 : node.end] if not token.startswith(("<!--", "<?")))
        return "".join(text[9:-3] if text.startswith("<![CDATA[") else unescape(text) for text in texts)

    # ----------------------------------------------------------------------------------------------------- fields

    def _complex(self, nodes: Sequence[_Node]) -> None:
        """Fields between `fldChar` begin and end; they may hold one another."""
        open_: list[_Open] = []
        for node in nodes:
            match node.name:
                case "fldChar":
                    kind = self._attribute(node, "fldCharType")
                    if kind == "begin":
                        open_.append(_Open(node, [node]))
                        _check_nested(len(open_))
                    elif open_:
                        open_[-1].marks.append(node)
                        open_[-1].shows = True
                        if kind == "end":
                            self._end(open_.pop())
                case "instrText" if open_ and not open_[-1].shows:
                    open_[-1].marks.append(node)
                    open_[-1].said += self._text(node)
                case "t":
                    for each in open_:
                        if each.shows:
                            each.texts.append(node)

    def _end(self, ended: _Open) -> None:
        found = cover_fields.instruction(ended.said)
        if found is None:
            return
        for mark in ended.marks:
            self._remove(mark.start, mark.end)
        if not self._show(ended.texts, found):
            self._instead[ended.begin.start] = (ended.begin.end, self._wrapped(found))

    def _simple(self, node: _Node) -> None:
        found = cover_fields.instruction(self._attribute(node, "instr"))
        if found is None:
            return
        self._unwrap(node)
        if not self._show([each for each in node.walk() if each.name == "t"], found):
            self._instead[node.start] = (node.start, self._run(found))

    def _control(self, node: _Node) -> None:
        """A content control: its tag is its name, else its title."""
        properties, content = node.child("sdtPr"), node.child("sdtContent")
        if properties is None or content is None:
            return
        inner = {each.name: each for each in properties.children}
        said = [self._attribute(inner[name], "val").strip() for name in ("tag", "alias") if name in inner]
        name = next((each for each in said if each), "")
        if not name or _NO_TEXT & inner.keys():
            return
        for each in (each for each in node.children if each is not content):
            self._remove(each.start, each.end)
        self._unwrap(node)
        self._unwrap(content)
        if "showingPlcHdr" in inner:  # it asks to be clicked, in grey
            for style in [each for each in content.walk() if each.name == "rStyle"]:
                self._remove(style.start, style.end)
        held = list(content.walk())
        if self._show([each for each in held if each.name == "t"], cover_fields.named(name)):
            return
        paragraph = next((each for each in held if each.name == "p" and each.end > each.start), None)
        place = content.start if paragraph is None else paragraph.end
        run = self._run(cover_fields.named(name))
        self._instead[place] = (place, run if paragraph is None else (*run, self._tokens[place]))

    def _show(self, texts: Sequence[_Node], found: Field) -> bool:
        """Put a field into the first of its texts and nothing into the others; False if it has none."""
        texts = [text for text in texts if text.end > text.start]
        for index, text in enumerate(texts):
            self._taken.add(text.start)
            self._instead[text.start] = (text.end, self._wrapped(found) if index == 0 else ())
        return bool(texts)

    # ------------------------------------------------------------------------------------------------- typed text

    def _paragraphs(self, nodes: Sequence[_Node]) -> Iterator[list[_Node]]:
        found: dict[int, list[_Node]] = {}
        for node in nodes:
            if node.name == "t" and node.end > node.start:
                above = node.parent
                while above is not None and above.name != "p":
                    above = above.parent
                found.setdefault(-1 if above is None else above.start, []).append(node)
        yield from found.values()

    def _typed(self, texts: Sequence[_Node]) -> None:
        """`${Name}` in the texts of one paragraph."""
        said = [self._text(text) for text in texts]
        whole = "".join(said)
        cover_fields.check_text(whole)
        found = [(*each.span(), each[1]) for each in PLACEHOLDER.finditer(whole)]
        self._count += len(found)
        if self._count > MAX_FIELDS:
            raise cover_fields.refused(f"more than {MAX_FIELDS} fields")
        start = next_ = 0
        for text, own in zip(texts, said, strict=True):
            pieces: list[Piece] = []
            at, end = start, start + len(own)
            while next_ < len(found) and found[next_][0] < end:
                first, last, inner = found[next_]
                pieces.append(escape(whole[at : max(at, first)]))
                if first >= start:
                    pieces.append(cover_fields.placeholder(inner))
                at = min(last, end)
                if last > end:
                    break
                next_ += 1
            if pieces:
                pieces.append(escape(whole[at:end]))
                self._instead[text.start] = (text.end, self._wrapped(*pieces))
            start = end

    # ---------------------------------------------------------------------------------------------------- writing

    def _wrapped(self, *pieces: Piece) -> tuple[Piece, ...]:
        return (f'<{self._prefix}t xml:space="preserve">', *pieces, f"</{self._prefix}t>")

    def _run(self, found: Field) -> tuple[Piece, ...]:
        return (f"<{self._prefix}r>", *self._wrapped(found), f"</{self._prefix}r>")

    def _remove(self, first: int, last: int) -> None:
        self._instead[first] = (last, ())

    def _unwrap(self, node: _Node) -> None:
        self._remove(node.start, node.start)
        if node.end > node.start:
            self._remove(node.end, node.end)

    def _pieces(self) -> Iterator[Piece]:
        """The tokens, with what stands instead of some; neighbours of text joined."""
        gathered: list[str] = []
        index = 0
        while index < len(self._tokens):
            last, pieces = self._instead.get(index, (index, (self._tokens[index],)))
            for piece in pieces:
                if isinstance(piece, str):
                    gathered.append(piece)
                else:
                    yield "".join(gathered)
                    yield piece
                    gathered.clear()
            index = last + 1
        yield "".join(gathered)
