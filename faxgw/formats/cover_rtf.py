r"""Cover templates as RTF (Rich Text Format Specification 1.9.1): octets and values in, octets out. Pure.

What is filled: MERGEFIELD and DOCVARIABLE fields (`\field`), and `${Name}` typed as text (`$\{Name\}`), though the
word processor may have cut it into groups. Values go in as ASCII and `\u` escapes, so no code page matters. What is
no field stays as it was, octet for octet: pictures, styles, headers, footers, text boxes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from faxgw.formats import cover_fields
from faxgw.formats.cover_fields import MAX_FIELDS, MAX_OCTETS, PLACEHOLDER, Field
from faxgw.formats.cover_template import Value

MAX_TOKENS = 300_000
"""Braces, control words and texts of a template; a letter has some 3,000."""
MAX_DEPTH = 100
"""Groups within one another."""
MAX_NESTED = 16
"""Fields within one another."""
MAX_FILLED = 8_000_000
"""Octets of a page filled in."""

_TOKEN = re.compile(
    r"(?P<open>\{)|(?P<close>\})|\\(?P<word>[A-Za-z]{1,32})(?P<number>-?\d{1,10})? ?|\\'(?P<octet>[0-9A-Fa-f]{2})"
    r"|\\(?P<sign>[^A-Za-z])|(?P<gap>[\r\n\0]+)|(?P<text>[^\\{}\r\n\0]+)",
    re.S,
)
_UNDELIMITED = re.compile(r"\\[A-Za-z]+(?:-?\d+)?")
"""A control word that ends where the next token begins."""
_HIDDEN = frozenset(
    {
        *("fonttbl", "colortbl", "stylesheet", "filetbl", "revtbl", "info", "template", "datafield", "listtext"),
        *("pict", "nonshppict", "object", "objdata", "sp", "xe", "tc", "tcn", "annotation"),
    }
)
"""Destinations whose text is not printed, or is nobody's to change."""
_SHOWN = frozenset(("shpinst", "ud", "shppict"))
"""Destinations behind `\\*` that may hold printed text."""
_ENDS = frozenset(
    {"par", "line", "cell", "nestcell", "row", "nestrow", "sect", "page", "column", "tab", "softline", "softpage"}
)
"""What ends a stretch of text: no `${Name}` goes across it."""
_CHARACTERS = {
    "lquote": "‘", "rquote": "’", "ldblquote": "“", "rdblquote": "”", "endash": "–", "emdash": "—", "bullet": "•",
}  # fmt: skip
_FIELD_WORDS = frozenset(("field", "fldedit", "flddirty", "fldlock", "fldpriv", "fldrslt"))
_CODE_PAGES = {437: "cp437", 850: "cp850", 1250: "cp1250", 1251: "cp1251", 1252: "cp1252", 1253: "cp1253",
               1254: "cp1254", 1257: "cp1257"}  # fmt: skip

_Piece: TypeAlias = "str | Field"


@dataclass(frozen=True, slots=True)
class RtfTemplate:
    """A template that was read."""

    pieces: tuple[_Piece, ...]
    """RTF as ISO 8859-1, octet by octet, and fields in the places of texts."""

    def required(self) -> frozenset[str]:
        """The names without whose values the page cannot be made."""
        return frozenset(name for piece in self.pieces if isinstance(piece, Field) for name in piece.required)

    def fill(self, values: Mapping[str, Value]) -> bytes:
        """The document for these values.

        Raises:
            TemplateRefused: If a value is missing, or the page gets too long.
        """
        made, length = [], 0
        for piece in self.pieces:
            said = quoted(piece.text(values)) if isinstance(piece, Field) else piece
            made.append(said)
            length += len(said)
            if length > MAX_FILLED:
                raise cover_fields.refused("the cover page gets too long")
        return "".join(made).encode("latin-1")


def parse(data: bytes) -> RtfTemplate:
    """Read a template.

    Raises:
        TemplateRefused: If it is damaged, too large, or has a field that is not known here; the text says what.
    """
    if len(data) > MAX_OCTETS:
        raise cover_fields.refused(f"a template may have {MAX_OCTETS:,} octets")
    if not data.lstrip().startswith(b"{\\rtf"):
        raise cover_fields.refused("this is no RTF document")
    pieces = tuple(_Reader(data.decode("latin-1")).pieces())
    if sum(isinstance(piece, Field) for piece in pieces) > MAX_FIELDS:
        raise cover_fields.refused(f"more than {MAX_FIELDS} fields")
    return RtfTemplate(pieces)


def quoted(text: str) -> str:
    r"""A text as RTF in a group of its own: `\u` escapes of 16 bits, each with one `?` for readers that know none."""
    return "{\\uc1 " + "".join(map(_escaped, text)) + "}" if text else ""


def _escaped(character: str) -> str:
    if character in "\\{}":
        return f"\\{character}"
    if character == "\n":
        return "\\line "
    if character == "\t":
        return "\\tab "
    if " " <= character <= "~":
        return character
    if character < " " or character == "\x7f":
        return ""
    units = character.encode("utf-16-le", "replace")
    return "".join(f"\\u{int.from_bytes(units[at : at + 2], 'little', signed=True)}?" for at in range(0, len(units), 2))


# ---------------------------------------------------------------------------------------------------------- reading


@dataclass(slots=True)
class _Token:
    said: str
    """As it stands."""
    shown: str = ""
    """The text that it shows."""


@dataclass(slots=True)
class _Field:
    """A field that is open."""

    begin: int
    """Its `{`."""
    said: str = ""
    instruction: tuple[int, int] = (-1, -1)
    """First and last token of its `fldinst` group."""
    shows: list[int] = field(default_factory=list)
    """Tokens of its result that show text."""
    words: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Group:
    r"""What holds within braces."""

    begin: int
    hidden: bool
    skip: int = 1
    r"""Characters that stand behind a `\u` for readers that do not know it."""
    starred: bool = False
    fresh: bool = True
    r"""Nothing but `\*` was read of it."""
    role: str = ""
    """`field`, `fldinst`, `fldrslt`."""
    part: str = ""
    """The same of the innermost group from here outwards that has one."""


class _Reader:
    """Makes pieces of a template."""

    def __init__(self, source: str) -> None:
        self._tokens: list[_Token] = []
        self._instead: dict[int, _Piece] = {}
        """Token → what stands in its place."""
        self._fields: list[_Field] = []
        self._stretch: list[int] = []
        """Tokens of printed text since the last end of one."""
        self._code_page = "cp1252"
        self._groups = [_Group(-1, False)]
        self._read(source)

    def pieces(self) -> Iterator[_Piece]:
        """The tokens, with what stands instead of some; neighbours of text joined."""
        gathered: list[str] = []
        for index, token in enumerate(self._tokens):
            piece = self._instead.get(index, token.said)
            if isinstance(piece, str):
                if not piece and gathered and _UNDELIMITED.fullmatch(gathered[-1]):
                    piece = " "  # what follows would become part of the control word
                if piece:
                    gathered.append(piece)
                continue
            yield "".join(gathered)
            yield piece
            gathered.clear()
        yield "".join(gathered)

    def _read(self, source: str) -> None:
        position, left = 0, 0
        while position < len(source):
            match = _TOKEN.match(source, position)
            if match is None:
                raise cover_fields.refused("the RTF document is damaged")
            position = match.end()
            kind = match.lastgroup
            if kind == "number":
                kind = "word"
            if match["word"] == "bin" and (octets := int(match["number"] or 0)) > 0:
                position += octets
                self._add(source[match.start() : position])
                continue
            if left and kind == "gap":
                self._tokens[-1].said += match[0]
                continue
            if left and kind in ("text", "octet", "sign", "word"):
                left -= self._skip(match, left)
                continue
            left = 0 if kind in ("open", "close") else left
            left = self._token(match, kind or "") or left
        if len(self._groups) != 1:
            raise cover_fields.refused("the RTF document is cut off")
        self._end_stretch()

    def _skip(self, match: re.Match[str], left: int) -> int:
        r"""Join what stands behind a `\u` for old readers to it; how much it was."""
        count = min(left, len(match[0])) if match["text"] else 1
        self._tokens[-1].said += match[0][:count] if match["text"] else match[0]
        if match["text"]:
            self._characters(match[0][count:])
        return count

    def _token(self, match: re.Match[str], kind: str) -> int:
        """One token; returns how many characters behind it are for old readers."""
        group = self._groups[-1]
        match kind:
            case "open":
                self._open()
            case "close":
                self._close()
            case "text":
                self._characters(match[0])
            case "octet":
                self._show(match[0], bytes((int(match["octet"], 16),)).decode(self._code_page, "replace"))
            case "sign":
                return self._sign(match[0], match["sign"])
            case "word":
                return self._word(match[0], match["word"], match["number"])
            case _:
                self._add(match[0])
        if kind not in ("open", "gap"):
            group.fresh = False
        return 0

    def _add(self, said: str) -> int:
        self._tokens.append(_Token(said))
        if len(self._tokens) > MAX_TOKENS:
            raise cover_fields.refused(f"the RTF document has more than {MAX_TOKENS:,} signs and words")
        return len(self._tokens) - 1

    def _open(self) -> None:
        above = self._groups[-1]
        if len(self._groups) > MAX_DEPTH:
            raise cover_fields.refused(f"the RTF document has more than {MAX_DEPTH} groups within one another")
        self._groups.append(_Group(self._add("{"), above.hidden, above.skip, part=above.part))

    def _close(self) -> None:
        index = self._add("}")
        if len(self._groups) < 2:
            raise cover_fields.refused("the RTF document is damaged")
        group = self._groups.pop()
        if group.role == "fldinst" and self._fields:
            self._fields[-1].instruction = (group.begin, index)
        elif group.role == "field":
            self._end_field(self._fields.pop())

    def _sign(self, said: str, sign: str) -> int:
        group = self._groups[-1]
        if sign == "*":
            group.starred = group.fresh
            self._add(said)
            return 0
        group.fresh = False
        if sign in "\\{}":
            self._show(said, sign)
        elif sign == "~":
            self._show(said, "\u00a0")
        elif sign in "\r\n":
            self._end_stretch()
            self._add(said)
        else:
            self._add(said)
        return 0

    def _word(self, said: str, word: str, number: str | None) -> int:
        group, first = self._groups[-1], self._groups[-1].fresh
        group.fresh = False
        if first:
            self._destination(group, word)
        if word == "u" and number is not None:
            self._show(said, chr(int(number) & 0xFFFF))
            return group.skip
        if word in _CHARACTERS:
            self._show(said, _CHARACTERS[word])
            return 0
        if word in _ENDS and not group.hidden:
            self._end_stretch()
        if word == "uc" and number is not None:
            group.skip = max(0, min(int(number), 16))
        if word == "ansicpg" and number is not None:
            self._code_page = _CODE_PAGES.get(int(number), "cp1252")
        index = self._add(said)
        if word in _FIELD_WORDS and self._fields and not self._inside("fldinst"):
            self._fields[-1].words.append(index)
        return 0

    def _destination(self, group: _Group, word: str) -> None:
        """What the first control word of a group makes of it."""
        if word == "field" and not group.hidden:
            group.role = group.part = word
            self._fields.append(_Field(group.begin))
            if len(self._fields) > MAX_NESTED:
                raise cover_fields.refused(f"more than {MAX_NESTED} fields within one another")
        elif word in ("fldinst", "fldrslt") and self._fields:
            group.role = group.part = word
            group.hidden = group.hidden or word == "fldinst"
        elif word in _HIDDEN or (group.starred and word not in _SHOWN):
            group.hidden = True

    def _inside(self, role: str) -> bool:
        """Whether the innermost part of a field that is open is this one."""
        return self._groups[-1].part == role

    # ------------------------------------------------------------------------------------------------------- text

    def _characters(self, text: str) -> None:
        if self._groups[-1].hidden and not self._inside("fldinst"):
            self._add(text)
            return
        for character in text:
            self._show(character, character.encode("latin-1").decode(self._code_page, "replace"))

    def _show(self, said: str, text: str) -> None:
        """A character of text: printed, or of a field's instruction, or neither."""
        index = self._add(said)
        if self._inside("fldinst"):
            self._fields[-1].said = (self._fields[-1].said + text)[: cover_fields.MAX_INSTRUCTION + 1]
        elif not self._groups[-1].hidden:
            self._tokens[index].shown = text
            self._stretch.append(index)
            for each in self._fields:
                each.shows.append(index)

    def _end_field(self, ended: _Field) -> None:
        found = cover_fields.instruction(ended.said)
        if found is None:
            return
        first, last = ended.instruction
        for index in (*range(first, last + 1), *ended.words, *ended.shows):
            if index >= 0:
                self._instead[index] = ""
                self._tokens[index].shown = ""
        place = ended.shows[0] if ended.shows else first
        self._instead[place] = found
        if ended.shows:
            self._tokens[place].shown = "\0"  # what stands before it and behind it is not one text

    def _end_stretch(self) -> None:
        """`${Name}` in a stretch of text."""
        shown: Sequence[tuple[int, str]] = [(index, self._tokens[index].shown) for index in self._stretch]
        self._stretch = []
        text = "".join(each for _index, each in shown)
        cover_fields.check_text(text)
        places = [index for index, each in shown for _character in each]
        for match in PLACEHOLDER.finditer(text):
            inner = match[1].encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
            found = cover_fields.placeholder(inner)
            for index in places[match.start() : match.end()]:
                self._instead[index] = ""
            self._instead[places[match.start()]] = found
