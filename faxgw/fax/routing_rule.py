"""Rules for received faxes: which fax they mean, and what shall happen to it (features G1).

Rules stand at a number, at its profile, at its customer or at the gateway, and are asked in this order, at each level
by position; the first one that fits decides, unless it says `stop = false`: then the next are asked too, and all that
fit act together. What no rule gives to anybody goes the simple way: the number's `deliver_to`, else the fallback
mailbox. So no fax is without an owner, whatever the rules say.

A condition that names several values fits when one of them does; a rule fits when all its conditions do. Conditions
on barcodes and text can only be judged when the pages were read: what was found already counts at once, what is
missing is waited for, and only if no rule before it has decided.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time
from typing import Any  # JSON

from faxgw.fax.account import Level
from faxgw.fax.pattern import MAX_TEXT, pattern
from faxgw.fax.reading import Symbology

RULE_WAIT = 120.0
"""Seconds from the last page after which a fax is routed without what is not read yet."""
MAX_RULES = 200
"""Rules of one number, profile, customer or of the gateway."""
MAX_VALUES = 50
"""Values of one condition, and targets or tags of one rule."""
MAX_EXTRACTIONS = 20
"""Extractions of one rule."""
MAX_MATCHES = 50
"""Places at which an extraction that takes every one finds something."""
LEVELS = (Level.NUMBER, Level.PROFILE, Level.CUSTOMER, Level.SYSTEM)
"""Where rules stand, in the order in which they are asked."""
OWNER = "owner"
"""Stands among targets for the mailboxes of the number (`deliver_to`)."""
ANONYMOUS = "anonymous"
"""Stands among callers for those who withhold their number."""


class Source(enum.StrEnum):
    """What an extraction looks at."""

    TEXT = "text"
    """The text of each page, page by page."""
    BARCODE = "barcode"
    """Each barcode by itself."""


@dataclass(frozen=True, slots=True)
class Extraction:
    """Values taken out of a fax for programs: a regular expression with named groups."""

    name: str
    """Their key in the result."""
    pattern: str
    """`/Order (?P<order>\\d+)/`."""
    source: Source = Source.TEXT
    every: bool = False
    """True: a list of what every place gives; False: what the first place gives."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """Which faxes a rule means; an empty condition means all."""

    number: tuple[str, ...] = ()
    """The number dialled: +33199000099, +331990000*, or a range +33199000000-+33199000099."""
    caller: tuple[str, ...] = ()
    """The same for the caller's number; `anonymous`: withheld."""
    csid: tuple[str, ...] = ()
    """Patterns of the sender's identification."""
    sub_address: tuple[str, ...] = ()
    """Patterns of the sub-address that the sender asked for (SUB)."""
    barcode: tuple[str, ...] = ()
    """Patterns of a barcode's text."""
    barcode_kind: tuple[Symbology, ...] = ()
    """Kinds that such a barcode may be of; alone: any barcode of these kinds."""
    text: tuple[str, ...] = ()
    """Patterns of the text of a page."""
    times: tuple[str, ...] = ()
    """When the call began, in the number's time zone: `mon-fri 08:00-18:00`, `sat,sun`, `22:00-06:00`."""
    pages_min: int = 0
    pages_max: int = 0
    """0: no limit."""
    junk_min: int = 0
    """Junk score in per cent from which on it means a fax; 0: whatever its score."""
    result: str = ""
    """`complete`, `partial`; empty: both."""

    @property
    def needs_text(self) -> bool:
        """Whether the pages' text has a say."""
        return bool(self.text)

    @property
    def needs_barcodes(self) -> bool:
        """Whether barcodes have a say."""
        return bool(self.barcode or self.barcode_kind)


@dataclass(frozen=True, slots=True)
class Actions:
    """What happens to a fax that a rule means."""

    deliver: tuple[str, ...] = ()
    """Names of targets, mail addresses, and `owner` for the number's own mailboxes."""
    tags: tuple[str, ...] = ()
    language: str = ""
    """Language of what is written about it; empty: the number's."""
    reply: str = ""
    """Name of the template that the caller is faxed in reply; `none`: no reply though the number has one."""
    extract: tuple[Extraction, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule."""

    id: str
    name: str
    customer: str
    """Customer id; empty: the gateway's."""
    level: Level = Level.CUSTOMER
    scope: str = ""
    """At NUMBER the number's entry in the register, at PROFILE the profile's name; else empty."""
    position: int = 100
    """Lower comes first; equals in the order of their names."""
    conditions: Conditions = field(default_factory=Conditions)
    actions: Actions = field(default_factory=Actions)
    stop: bool = True
    """Rules after it are not asked when it fits."""
    active: bool = True

    @property
    def needs_text(self) -> bool:
        """Whether it can only be judged, or carried out, with the pages' text."""
        return self.conditions.needs_text or any(one.source is Source.TEXT for one in self.actions.extract)

    @property
    def needs_barcodes(self) -> bool:
        """Whether it can only be judged, or carried out, with the barcodes."""
        return self.conditions.needs_barcodes or any(one.source is Source.BARCODE for one in self.actions.extract)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a fax when it is routed."""

    number: str
    """Dialled, E.164."""
    caller: tuple[str, ...] = ()
    """E.164 forms of the caller's number, likeliest first; empty: withheld, or none that is a number."""
    csid: str = ""
    sub_address: str = ""
    at: datetime = datetime.min
    """When the call began, in the number's time zone."""
    pages: int = 0
    complete: bool = True
    junk: int = 0
    """Junk score in per cent."""
    texts: tuple[str, ...] = ()
    """Texts of the pages that were read, in their order."""
    barcodes: tuple[tuple[Symbology, str], ...] = ()
    waiting: bool = False
    """True: pages are still to be read."""
    missing: bool = False
    """True: pages were to be read and were not, or not yet."""


class Verdict(enum.StrEnum):
    """What a rule says of a fax."""

    FITS = "fits"
    NOT = "does not fit"
    WAITS = "waits for reading"
    UNREAD = "not judged: pages were not read"
    """It would fit as far as one can see, but what it asks for was not read in time."""


@dataclass(frozen=True, slots=True)
class Step:
    """One rule that was asked."""

    rule: Rule
    verdict: Verdict
    why: str = ""
    """The condition that did not fit, by its key."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the rules say about a fax."""

    steps: tuple[Step, ...]
    """Every rule that was asked, in order."""
    deliver: tuple[str, ...] = ()
    """Targets, each once, in the rules' order; empty: the simple way."""
    tags: tuple[str, ...] = ()
    language: str = ""
    reply: str = ""
    """Template; `none`: no reply; empty: as the number's settings say."""
    extracted: Mapping[str, Any] = field(default_factory=dict)
    """By the extractions' names: values by group, or lists of them."""
    waits: bool = False
    """True: nothing is decided before more pages are read."""
    unread: tuple[str, ...] = ()
    """Names of rules that were passed over because pages were not read."""

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules that fit."""
        return tuple(step.rule for step in self.steps if step.verdict is Verdict.FITS)


# ------------------------------------------------------------------------------------------------------- decision


def in_order(rules: Sequence[Rule]) -> list[Rule]:
    """Rules in the order in which they are asked; those that are switched off are left out."""
    active = [rule for rule in rules if rule.active]
    return sorted(active, key=lambda rule: (LEVELS.index(rule.level), rule.position, rule.name, rule.id))


def decide(rules: Sequence[Rule], facts: Facts, *, patient: bool) -> Decision:
    """What the rules say about a fax.

    Args:
        rules: Those of its number, profile, customer and gateway.
        facts: What is known.
        patient: Wait for pages that are still to be read; False: decide without them, and say so.
    """
    steps: list[Step] = []
    for rule in in_order(rules):
        step = _judge(rule, facts, patient)
        steps.append(step)
        if step.verdict is Verdict.WAITS:
            return Decision(tuple(steps), waits=True)
        if step.verdict is Verdict.FITS and rule.stop:
            break
    return _together(tuple(steps), facts)


def _together(steps: tuple[Step, ...], facts: Facts) -> Decision:
    """The actions of all rules that fit; of language and reply the first one's that names one."""
    acting = [step.rule.actions for step in steps if step.verdict is Verdict.FITS]
    extracted: dict[str, Any] = {}
    for actions in acting:
        for extraction in actions.extract:
            if extraction.name not in extracted and (found := extract(extraction, facts)):
                extracted[extraction.name] = found
    return Decision(
        steps,
        deliver=tuple(dict.fromkeys(name for actions in acting for name in actions.deliver)),
        tags=tuple(dict.fromkeys(tag for actions in acting for tag in actions.tags)),
        language=next((actions.language for actions in acting if actions.language), ""),
        reply=next((actions.reply for actions in acting if actions.reply), ""),
        extracted=extracted,
        unread=tuple(step.rule.name for step in steps if step.verdict is Verdict.UNREAD),
    )


def _judge(rule: Rule, facts: Facts, patient: bool) -> Step:
    conditions = rule.conditions
    if failed := _unmet(conditions, facts):
        return Step(rule, Verdict.NOT, failed)
    read = _unmet_by_reading(conditions, facts)
    if read:
        if facts.waiting and patient:
            return Step(rule, Verdict.WAITS, read)
        return Step(rule, Verdict.UNREAD if facts.missing or facts.waiting else Verdict.NOT, read)
    if rule.actions.extract and facts.waiting and patient:
        return Step(rule, Verdict.WAITS, "extract")
    return Step(rule, Verdict.FITS)


def _unmet(wants: Conditions, facts: Facts) -> str:
    """The key of the first condition that does not hold, of those that need no reading; empty: all hold."""
    withheld = not facts.caller
    checks = (
        ("number", not wants.number or any(_numbered(one, (facts.number,)) for one in wants.number)),
        (
            "caller",
            not wants.caller
            or any(withheld if one == ANONYMOUS else _numbered(one, facts.caller) for one in wants.caller),
        ),
        ("csid", not wants.csid or any(pattern(one).fits(facts.csid) for one in wants.csid)),
        (
            "sub_address",
            not wants.sub_address or any(pattern(one).fits(facts.sub_address) for one in wants.sub_address),
        ),
        ("times", not wants.times or any(window(one).holds(facts.at) for one in wants.times)),
        ("pages_min", facts.pages >= wants.pages_min),
        ("pages_max", not wants.pages_max or facts.pages <= wants.pages_max),
        ("junk_min", facts.junk >= wants.junk_min),
        ("result", not wants.result or (wants.result == "complete") is facts.complete),
    )
    return next((key for key, holds in checks if not holds), "")


def _unmet_by_reading(wants: Conditions, facts: Facts) -> str:
    if wants.needs_barcodes and not any(_barcode(wants, kind, text) for kind, text in facts.barcodes):
        return "barcode"
    if wants.text and not any(pattern(one).occurs(page) for one in wants.text for page in bounded(facts.texts)):
        return "text"
    return ""


def _barcode(wants: Conditions, kind: Symbology, text: str) -> bool:
    of_kind = not wants.barcode_kind or kind in wants.barcode_kind
    return of_kind and (not wants.barcode or any(pattern(one).fits(text) for one in wants.barcode))


def _numbered(wanted: str, numbers: Sequence[str]) -> bool:
    first, dash, last = wanted.partition("-")
    if dash:
        return any(len(one) == len(first) and first <= one <= last for one in numbers)
    if wanted.endswith("*"):
        return any(one.startswith(wanted[:-1]) for one in numbers)
    return wanted in numbers


def bounded(texts: Sequence[str]) -> tuple[str, ...]:
    """The pages' texts as far as MAX_TEXT characters of the fax reach."""
    left, kept = MAX_TEXT, []
    for text in texts:
        if left <= 0:
            break
        kept.append(text[:left])
        left -= len(text)
    return tuple(kept)


def extract(extraction: Extraction, facts: Facts) -> dict[str, str] | list[dict[str, str]]:
    """What an extraction takes out of a fax; empty when it finds nothing."""
    places = bounded(facts.texts) if extraction.source is Source.TEXT else [text for _kind, text in facts.barcodes]
    limit, found = MAX_MATCHES if extraction.every else 1, list[dict[str, str]]()
    for place in places:
        found += [dict(values) for values in pattern(extraction.pattern).values(place, limit - len(found))]
        if len(found) >= limit:
            break
    if extraction.every:
        return found
    return found[0] if found else {}


# -------------------------------------------------------------------------------------------------------- windows

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WINDOW = re.compile(
    r"(?P<days>[a-z]{3}(?:[-,][a-z]{3})*)?(?: ?(?P<from>\d\d:\d\d)-(?P<to>\d\d:\d\d))?", re.ASCII | re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Window:
    """Hours of some days of the week."""

    days: frozenset[int]
    """0 is Monday."""
    begins: time
    ends: time
    """Not within any more; midnight: the whole day from `begins`. Before `begins`: on the next day."""

    def holds(self, at: datetime) -> bool:
        """Whether a local time lies within; hours after midnight belong to the day on which they began."""
        hour = at.time()
        if self.ends == time(0) or self.begins < self.ends:
            within = self.begins <= hour and (self.ends == time(0) or hour < self.ends)
            return within and at.weekday() in self.days
        if hour >= self.begins:
            return at.weekday() in self.days
        return hour < self.ends and (at.weekday() - 1) % 7 in self.days


def window(text: str) -> Window:
    """The window of a text such as `mon-fri 08:00-18:00`.

    Raises:
        ValueError: If it is none.
    """
    says = "must be days and hours, such as mon-fri 08:00-18:00, sat,sun or 22:00-06:00"
    found = _WINDOW.fullmatch(text.strip()) if text.strip() else None
    if found is None:
        raise ValueError(says)
    days: set[int] = set() if found["days"] else set(range(7))
    for part in (found["days"] or "").lower().split(",") if found["days"] else ():
        first, _dash, last = part.partition("-")
        if first not in _DAYS or (last or first) not in _DAYS:
            raise ValueError(says)
        begin, end = _DAYS.index(first), _DAYS.index(last or first)
        days |= {(begin + k) % 7 for k in range((end - begin) % 7 + 1)}
    try:
        begins = time.fromisoformat(found["from"] or "00:00")
        ends = time(0) if found["to"] in (None, "24:00") else time.fromisoformat(found["to"])
    except ValueError as exc:
        raise ValueError(says) from exc
    return Window(frozenset(days), begins, ends)
