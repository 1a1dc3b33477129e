r"""Fields of cover templates that a word processor made: which value a field shows, and how. Pure.

Two spellings, whatever the file: `${ToName}` typed as text, read as in HTML templates (`formats.cover_template`:
`${ToName!"nobody"}`, `${subject?upper_case}`), and the word processor's own fields, read here (ISO/IEC 29500-1
section 17.16): MERGEFIELD and DOCVARIABLE with the switches `\*`, `\b` and `\f`. A list is shown a line an item.
Fields that choose, ask or fetch are refused by name: what a page says is decided by its values alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import unescape

from faxgw.formats import cover_template
from faxgw.formats.cover_template import TemplateRefused, Value

MAX_OCTETS = 2_000_000
"""Octets of a template, its logo included; as many as a stored one may have."""
MAX_FIELDS = 1_000
"""Fields of a template."""
MAX_INSTRUCTION = 400
"""Characters of a field's instruction, or between `${` and `}`."""
MAX_NAME = 64
"""Characters of a field's name."""

PLACEHOLDER = re.compile(r"\$\{([^{}]*)\}")
"""A value typed as text."""
DIRECTIVE = re.compile(r"</?#[A-Za-z]+")
"""A directive of HTML templates: it would be printed as it stands."""
_STRAIGHT = str.maketrans({"“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‘": "'", "’": "'", "\u00a0": " "})
"""What word processors make of quotation marks."""
_WORDS = re.compile(r'"((?:[^"\\]|\\.)*)"?|(\\.)|([^\s"\\]+)')
_SHOWS = frozenset(("MERGEFIELD", "DOCVARIABLE"))
_REFUSED = frozenset(
    {
        *("IF", "COMPARE", "NEXT", "NEXTIF", "SKIPIF", "ASK", "FILLIN", "SET", "MERGEREC", "MERGESEQ"),
        *("ADDRESSBLOCK", "GREETINGLINE", "DATABASE", "AUTOTEXT", "AUTOTEXTLIST"),
        *("INCLUDETEXT", "INCLUDEPICTURE", "INCLUDE", "IMPORT", "LINK", "DDE", "DDEAUTO"),
    }
)
"""Fields that choose, ask or fetch."""
_CASES: Mapping[str, Callable[[str], str]] = {
    "upper": str.upper,
    "lower": str.lower,
    "firstcap": lambda text: text[:1].upper() + text[1:],
    "caps": lambda text: " ".join(word[:1].upper() + word[1:] for word in text.split(" ")),
}


@dataclass(frozen=True, slots=True)
class Field:
    """A place of a template that a value fills."""

    required: frozenset[str]
    """Names without which the page cannot be made."""
    text: Callable[[Mapping[str, Value]], str]
    """What it shows, line ends as U+000A; raises TemplateRefused if a value is missing."""


def placeholder(inner: str) -> Field:
    """What stands between `${` and `}`.

    Raises:
        TemplateRefused: If it cannot be read.
    """
    said = inner.translate(_STRAIGHT).strip()
    if len(said) > MAX_INSTRUCTION:
        raise refused(f"“${{{said[:40]}…” is too long")
    try:
        template = cover_template.parse(f"${{{said}}}")
    except TemplateRefused as exc:
        raise refused(f"“${{{said[:60]}}}” cannot be read") from exc
    required = template.required()

    def text(values: Mapping[str, Value]) -> str:
        return lines(unescape(template.fill({**values, **_flat(values, required)})))

    return Field(required, text)


def instruction(said: str) -> Field | None:
    r"""A word processor's field by its instruction, `MERGEFIELD ToName \* Upper`; None: one that is left as it is.

    Raises:
        TemplateRefused: If it is one of those that are not known here, or names nothing.
    """
    words = [quoted or switch or plain for quoted, switch, plain in _WORDS.findall(said[:MAX_INSTRUCTION])]
    kind = words[0].upper() if words else ""
    if kind in _REFUSED:
        raise refused(f"the field {kind} is not known here")
    if kind not in _SHOWS:
        return None
    if len(words) < 2 or words[1].startswith("\\"):
        raise refused(f"a {kind} field names nothing")
    switches: dict[str, list[str]] = {}
    for switch, argument in zip(words[2:], [*words[3:], ""], strict=False):
        if switch.startswith("\\"):
            switches.setdefault(switch.lower(), []).append(argument)
    return named(words[1], switches)


def named(name: str, switches: Mapping[str, list[str]] | None = None) -> Field:
    """A field that shows one name's value.

    Args:
        name: Of the value.
        switches: Of the field's instruction: case, and what stands before and after a value that is not empty.

    Raises:
        TemplateRefused: If the name is too long.
    """
    if not name or len(name) > MAX_NAME:
        raise refused(f"a field may have a name of {MAX_NAME} characters, “{name[:20]}…” has {len(name)}")
    given = switches or {}
    cases = [_CASES[word.lower()] for word in given.get("\\*", ()) if word.lower() in _CASES]
    before, after = "".join(given.get("\\b", ())), "".join(given.get("\\f", ()))

    def text(values: Mapping[str, Value]) -> str:
        if name not in values:
            raise cover_template.missing(name)
        found = lines(values[name])
        for case in cases:
            found = case(found)
        return f"{before}{found}{after}" if found else ""

    return Field(frozenset((name,)), text)


def lines(value: Value) -> str:
    """A value as text; a list a line an item."""
    if isinstance(value, str):
        return value.replace("\r\n", "\n").replace("\r", "\n")
    return "\n".join(item if isinstance(item, str) else ": ".join(item.values()) for item in value)


def _flat(values: Mapping[str, Value], names: frozenset[str]) -> Mapping[str, str]:
    return {name: lines(values[name]) for name in names if name in values}


def check_text(text: str) -> None:
    """Refuse directives of HTML templates.

    Raises:
        TemplateRefused: If the text has one.
    """
    if (found := DIRECTIVE.search(text)) is not None:
        raise refused(f"{found[0]}…> works in HTML templates only")


def refused(what: str) -> TemplateRefused:
    """An error that names its reason."""
    return TemplateRefused(what, public=f"Cover template: {what}.")
