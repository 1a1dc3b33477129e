"""The header line: its template with control characters, and what one page's line says. Pure.

The control characters are those of the vendor's header templates (`%d.%m.%Y %H:%M %r%P/%T`): date and time with
zone and language, page of total, recipient number, sender's ident, personal text, alignment. `parse` is called
when a fax is submitted, so that a wrong template is refused then and never met at the line; `expand` is called for
every page of an attempt. Drawing is `document.header`'s business.

Where the vendor's text leaves a choice, this is ours: a zone abbreviation stands for the region that uses it, with
its daylight saving (`%tz=CEST` prints CET in winter); `%tz=` and `%l=` hold until the end of the template, end at
the first character that cannot belong to the name, and swallow one semicolon there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from faxgw.fax.errors import Refused

MAX_TEMPLATE = 512
"""Characters of a template at most."""
MAX_LINES = 3
"""Lines of a header at most; the vendor advises against more than two."""
MAX_VALUE = 120
"""Characters of one inserted value (ident, number, personal text) at most; the rest is cut off."""
PERSONAL = "personal"
"""Property of a recipient that holds his personal text."""
LANGUAGES = ("en", "fr", "de")
"""Languages of the names of months and days."""

_ZONE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+){0,2}")
_LANGUAGE_NAME = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z]{2})?")
# Abbreviations that the tz database does not know as names, and the region that uses each.
_ABBREVIATIONS = {
    "CEST": "Europe/Berlin",
    "MEZ": "Europe/Berlin",
    "MESZ": "Europe/Berlin",
    "BST": "Europe/London",
    "WEST": "Europe/Lisbon",
    "EEST": "Europe/Athens",
    "MSK": "Europe/Moscow",
    "EDT": "America/New_York",
    "CST": "America/Chicago",
    "CDT": "America/Chicago",
    "MDT": "America/Denver",
    "PST": "America/Los_Angeles",
    "PDT": "America/Los_Angeles",
    "Z": "UTC",
}
_INVISIBLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
_MONTHS = {
    "en": "January February March April May June July August September October November December",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
}
_MONTHS_SHORT = {
    "en": "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec",
    "fr": "janv. févr. mars avr. mai juin juil. août sept. oct. nov. déc.",
    "de": "Jan Feb Mär Apr Mai Jun Jul Aug Sep Okt Nov Dez",
}
_DAYS = {
    "en": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    "fr": "lundi mardi mercredi jeudi vendredi samedi dimanche",
    "de": "Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag",
}
_DAYS_SHORT = {
    "en": "Mon Tue Wed Thu Fri Sat Sun",
    "fr": "lun. mar. mer. jeu. ven. sam. dim.",
    "de": "Mo Di Mi Do Fr Sa So",
}


class HeaderRefused(Refused):
    """The header template is wrong; the public text says where."""

    default_public = "The header line contains a mistake."


@dataclass(frozen=True, slots=True)
class HeaderContext:
    """What one attempt puts into its header."""

    when: datetime
    """Time of the attempt, with a zone."""
    number: str = ""
    """Recipient's number, normalised."""
    csid: str = ""
    """Sender's ident (CSID/TSI)."""
    zone: str = "UTC"
    """Zone of the printed time unless the template names one; a tz database name or a known abbreviation."""
    language: str = "en"
    """Language of month and day names unless the template names one."""
    personal: str = ""
    """Personal text of this recipient (`%K`)."""


@dataclass(frozen=True, slots=True)
class HeaderLine:
    """One line, in the three parts that are aligned by themselves. Any may be empty."""

    left: str = ""
    centre: str = ""
    right: str = ""


@dataclass(frozen=True, slots=True)
class HeaderTemplate:
    """A parsed template: it is known to be right."""

    lines: tuple[tuple[tuple[_Token, ...], tuple[_Token, ...], tuple[_Token, ...]], ...]
    """Per line the tokens of its left, centre and right part."""

    @property
    def empty(self) -> bool:
        """True when there is nothing to print."""
        return not any(any(parts) for parts in self.lines)

    @property
    def codes(self) -> frozenset[str]:
        """The letters of the control characters that print a value."""
        return frozenset(token.code for parts in self.lines for part in parts for token in part if token.code)

    @property
    def literals(self) -> tuple[str, ...]:
        """The texts between values, as they are printed."""
        parts = (part for line in self.lines for part in line)
        found = ("".join("\0" if token.code else token.text for token in part).split("\0") for part in parts)
        return tuple(text for texts in found for text in texts if text)


@dataclass(frozen=True, slots=True)
class _Token:
    """Literal text (`code` empty), or a control character with its zone and language."""

    text: str = ""
    code: str = ""
    zone: str = ""
    language: str = ""


@dataclass(slots=True)
class _Draft:
    """A template while it is read."""

    lines: list[list[list[_Token]]] = field(default_factory=lambda: [[[], [], []]])
    part: int = 0
    zone: str = ""
    language: str = ""

    def add(self, token: _Token) -> None:
        self.lines[-1][self.part].append(token)

    def align(self, part: int, code: str, position: int) -> None:
        if self.part >= part:
            raise _wrong(f"“{code}” at character {position + 1} comes twice or too late in its line")
        self.part = part

    def new_line(self) -> None:
        if len(self.lines) == MAX_LINES:
            raise _wrong(f"it has more than {MAX_LINES} lines")
        self.lines.append([[], [], []])
        self.part = 0


def parse(template: str) -> HeaderTemplate:
    """Read a header template.

    Raises:
        HeaderRefused: If a control character, zone or language is unknown, an alignment is out of order, or the
            template is too long.
    """
    if len(template) > MAX_TEMPLATE:
        raise _wrong(f"it is longer than {MAX_TEMPLATE} characters")
    draft = _Draft()
    position = 0
    while position < len(template):
        end = template.find("%", position)
        if end != position:
            end = len(template) if end < 0 else end
            draft.add(_Token(text=_visible(template[position:end])))
            position = end
        else:
            position = _control(template, position, draft)
    return HeaderTemplate(tuple((tuple(a), tuple(b), tuple(c)) for a, b, c in draft.lines))


def expand(template: HeaderTemplate, context: HeaderContext, page: int, total: int) -> tuple[HeaderLine, ...]:
    """Say what one page's header lines are.

    Args:
        template: A parsed template.
        context: What is the same on all pages.
        page: Number of this page in the whole fax, from 1.
        total: Pages of the whole fax.
    """
    return tuple(
        HeaderLine(*("".join(_value(token, context, page, total) for token in part).strip() for part in line))
        for line in template.lines
    )


def zone(name: str) -> ZoneInfo:
    """The zone of a tz database name or a known abbreviation.

    Raises:
        HeaderRefused: If there is none of that name.
    """
    found = _zone(name)
    if found is None:
        raise _wrong(f"the time zone “{_shown(name)}” is not known")
    return found


def _control(template: str, position: int, draft: _Draft) -> int:
    """Read the control character at `position`; returns where the rest begins."""
    for start, pattern, take in (("%tz=", _ZONE_NAME, _take_zone), ("%l=", _LANGUAGE_NAME, _take_language)):
        if template.startswith(start, position):
            match = pattern.match(template, position + len(start))
            take(draft, match.group() if match else "")
            end = match.end() if match else position + len(start)
            return end + 1 if template[end : end + 1] == ";" else end
    code = template[position + 1 : position + 2]
    if code == "%":
        draft.add(_Token(text="%"))
    elif code == "n":
        draft.new_line()
    elif code in ("c", "r"):
        draft.align(1 if code == "c" else 2, "%" + code, position)
    elif code in _VALUES:
        draft.add(_Token(code=code, zone=draft.zone, language=draft.language))
    elif not code or code.isspace():
        raise _wrong(f"the percent sign at character {position + 1} stands alone; write %% for a percent sign")
    else:
        raise _wrong(f"“%{_shown(code)}” at character {position + 1} is not a known control character")
    return position + 2


def _take_zone(draft: _Draft, name: str) -> None:
    zone(name)
    draft.zone = name


def _take_language(draft: _Draft, name: str) -> None:
    language = name[:2].lower()
    if language not in LANGUAGES or len(name) == 3:
        raise _wrong(f"the language “{_shown(name)}” is not known; known are {', '.join(LANGUAGES)}")
    draft.language = language


def _value(token: _Token, context: HeaderContext, page: int, total: int) -> str:
    if not token.code:
        return token.text
    local = context.when.astimezone(_zone(token.zone or context.zone) or ZoneInfo("UTC"))
    language = token.language or (context.language if context.language in LANGUAGES else "en")
    return _VALUES[token.code](_Page(replace(context, when=local, language=language), page, total))


@dataclass(frozen=True, slots=True)
class _Page:
    context: HeaderContext
    page: int
    total: int

    @property
    def when(self) -> datetime:
        return self.context.when

    def name(self, table: dict[str, str], index: int) -> str:
        return table[self.context.language].split()[index]


# Names are looked up here and not by strftime, which follows the process's locale.
_VALUES: dict[str, Callable[[_Page], str]] = {
    "Y": lambda p: f"{p.when.year:04d}",
    "y": lambda p: f"{p.when.year % 100:02d}",
    "m": lambda p: f"{p.when.month:02d}",
    "b": lambda p: p.name(_MONTHS_SHORT, p.when.month - 1),
    "B": lambda p: p.name(_MONTHS, p.when.month - 1),
    "d": lambda p: f"{p.when.day:02d}",
    "a": lambda p: p.name(_DAYS_SHORT, p.when.weekday()),
    "A": lambda p: p.name(_DAYS, p.when.weekday()),
    "H": lambda p: f"{p.when.hour:02d}",
    "I": lambda p: f"{(p.when.hour - 1) % 12 + 1:02d}",
    "M": lambda p: f"{p.when.minute:02d}",
    "S": lambda p: f"{p.when.second:02d}",
    "p": lambda p: "AM" if p.when.hour < 12 else "PM",
    "P": lambda p: f"{p.page:02d}",
    "R": lambda p: f"{p.page:03d}",
    "T": lambda p: str(p.total),
    "#": lambda p: _inserted(p.context.number),
    "C": lambda p: _inserted(p.context.csid),
    "K": lambda p: _inserted(p.context.personal),
    "z": lambda p: p.when.strftime("%z"),
    "Z": lambda p: p.when.tzname() or "",
}


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo | None:
    if not _ZONE_NAME.fullmatch(name):
        return None
    try:
        return ZoneInfo(_ABBREVIATIONS.get(name.upper(), name))
    except (KeyError, OSError, ValueError):  # ZoneInfoNotFoundError is a KeyError; a folder's name is an OSError
        return None


def _visible(text: str) -> str:
    return _INVISIBLE.sub("", text)


def _inserted(value: str) -> str:
    return _visible(value[:MAX_VALUE])


def _shown(text: str) -> str:
    return _visible(text[:40])


def _wrong(what: str) -> HeaderRefused:
    return HeaderRefused(what, public=f"The header line contains a mistake: {what}.")
