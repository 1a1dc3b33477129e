"""Junk: how much a received fax looks like an advertisement nobody asked for, and why (features G8).

A score of 0 to 100 with its reasons, each with the points that it gave or took. It decides nothing by itself: a
number's `junk_score` says from which score on its faxes are set aside, and rules may ask for it. What is set aside
stays visible, is told to its owner, and is delivered when somebody says so: no fax is dropped for its score.

Pure: what is known of a fax comes as `Facts`; the words of advertisements are data below.
"""

from __future__ import annotations

import enum
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any  # JSON

MAX_SCORE = 100
"""Scores lie between 0 and this."""
MAX_TEXT = 20_000
"""Characters of a fax's text that are looked at; an advertisement is one page."""
MAX_WORDS_SHOWN = 6
"""Words of advertisements named in a reason."""
NIGHT = range(6)
"""Hours of the number's own time in which people send few faxes and machines many."""
BLANK_INK = 0.0005
"""Share of black of a page below which it is blank: a quarter of a line of text on A4."""
BLACK_INK = 0.45
"""Share of black from which a page is black; a photograph in halftone has up to 0.4."""


class Signal(enum.StrEnum):
    """What speaks for or against a fax."""

    DENIED = "denied"
    """Its owner called a fax of this sender junk."""
    ALLOWED = "allowed"
    """Its owner said of a fax of this sender that it is none."""
    KNOWN_JUNK = "known_junk"
    """It looks like a fax that its owner called junk."""
    WITHHELD = "withheld"
    """The caller hides."""
    STRANGER = "stranger"
    """Nothing ever came from this sender, and nothing was sent to it."""
    CORRESPONDENT = "correspondent"
    """Its owner has sent faxes to this number, or had several from it that were no junk."""
    FLOOD = "flood"
    """The same page came to other numbers of ours, too."""
    ADVERT = "advert"
    """Words of advertisements."""
    BLANK = "blank"
    BLACK = "black"
    NIGHT = "night"
    """It came in the night."""
    IDENT = "ident"
    """The machine's identification is another number than the caller's, or none."""
    PARTIAL = "partial"
    """The call broke off."""


POINTS: Mapping[Signal, int] = {
    Signal.DENIED: 80,
    Signal.ALLOWED: -100,
    Signal.KNOWN_JUNK: 70,
    Signal.WITHHELD: 20,
    Signal.STRANGER: 10,
    Signal.CORRESPONDENT: -40,
    Signal.FLOOD: 15,
    Signal.ADVERT: 8,
    Signal.BLANK: 30,
    Signal.BLACK: 40,
    Signal.NIGHT: 8,
    Signal.IDENT: 8,
    Signal.PARTIAL: 5,
}
"""Points of each signal; of FLOOD for each further number, of ADVERT for each word, up to `CEILINGS`."""
CEILINGS: Mapping[Signal, int] = {Signal.FLOOD: 45, Signal.ADVERT: 40}
"""Points of a signal that counts several times, at most."""
MANY_GOOD = 2
"""Faxes from a sender that were no junk, from which on it is a correspondent."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a received fax when it is judged."""

    caller: str
    """E.164 or as the trunk gave it; empty when withheld."""
    ident: str
    """Identification of the sending machine."""
    complete: bool
    hour: int
    """Of its beginning, in the number's time zone."""
    inks: tuple[float, ...] = ()
    """Share of black of each page, 0 to 1; empty when nobody measured it."""
    text: str = ""
    """What was read on it; empty without OCR."""
    good_before: int = 0
    """Earlier faxes from this sender to this number that were not judged junk."""
    sent_to: int = 0
    """Faxes that the customer has sent to the caller's number."""
    other_numbers: int = 0
    """Other numbers of ours to which the same page came within a day."""
    verdict: str = ""
    """What the owner last said of this sender: `junk`, `good` or nothing."""
    like_junk: str = ""
    """A reception called junk that looks like this one; else empty."""


@dataclass(frozen=True, slots=True)
class Why:
    """One reason of a score."""

    signal: Signal
    points: int
    detail: str = ""
    """In a few words: which words, how many numbers."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A score and its reasons, the weightiest first."""

    score: int
    """0 to MAX_SCORE."""
    reasons: tuple[Why, ...] = ()

    def to_json(self) -> list[list[Any]]:
        """The reasons for a JSON column."""
        return [[why.signal.value, why.points, why.detail] for why in self.reasons]


def from_json(score: int, reasons: Sequence[Sequence[Any]]) -> Judgement:
    """The inverse of `Judgement.to_json`."""
    return Judgement(score, tuple(Why(Signal(signal), points, detail) for signal, points, detail in reasons))


def judge(facts: Facts) -> Judgement:
    """How much a fax looks like junk."""
    found = [*_of_sender(facts), *_of_pages(facts), *_of_call(facts)]
    found.sort(key=lambda why: -abs(why.points))
    return Judgement(min(MAX_SCORE, max(0, sum(why.points for why in found))), tuple(found))


def _of_sender(facts: Facts) -> list[Why]:
    found = []
    if facts.verdict:
        found.append(_why(Signal.DENIED if facts.verdict == "junk" else Signal.ALLOWED))
    if not facts.caller:
        found.append(_why(Signal.WITHHELD))
    if facts.sent_to or facts.good_before >= MANY_GOOD:
        detail = f"{facts.sent_to} sent, {facts.good_before} received"
        found.append(_why(Signal.CORRESPONDENT, detail=detail))
    elif not facts.good_before:
        found.append(_why(Signal.STRANGER))
    if _is_another(facts.caller, facts.ident):
        found.append(_why(Signal.IDENT, detail=facts.ident or "none"))
    return found


def _of_pages(facts: Facts) -> list[Why]:
    found = []
    if facts.like_junk:
        found.append(_why(Signal.KNOWN_JUNK, detail=facts.like_junk))
    if facts.other_numbers:
        found.append(_why(Signal.FLOOD, facts.other_numbers, f"{facts.other_numbers} other numbers"))
    if words := advert_words(facts.text):
        found.append(_why(Signal.ADVERT, len(words), ", ".join(words[:MAX_WORDS_SHOWN])))
    if facts.inks and max(facts.inks) < BLANK_INK:
        found.append(_why(Signal.BLANK))
    if facts.inks and min(facts.inks) > BLACK_INK:
        found.append(_why(Signal.BLACK))
    return found


def _of_call(facts: Facts) -> list[Why]:
    found = []
    if facts.hour in NIGHT:
        found.append(_why(Signal.NIGHT, detail=f"{facts.hour} h"))
    if not facts.complete:
        found.append(_why(Signal.PARTIAL))
    return found


def _why(signal: Signal, times: int = 1, detail: str = "") -> Why:
    points = POINTS[signal] * times
    return Why(signal, min(points, CEILINGS.get(signal, points)), detail[:120])


def _is_another(caller: str, ident: str) -> bool:
    """Whether a machine calls itself other than its caller's number: the last six digits differ, or it says nothing."""
    ours, theirs = re.sub(r"\D", "", caller), re.sub(r"\D", "", ident)
    if not theirs:
        return True
    return len(ours) >= 6 and len(theirs) >= 6 and ours[-6:] != theirs[-6:]


# ---------------------------------------------------------------------------------------------------- words

_ADVERTS: Mapping[str, Sequence[str]] = {
    "en": (
        *("unsubscribe", "opt out", "to be removed from", "remove your number", "limited offer", "special offer"),
        *("act now", "call now", "order now", "free quote", "lowest price", "best price", "discount", "% off"),
        *("toll free", "cash advance", "business loan", "no credit check", "lower your rate", "money back"),
        *("risk free", "all inclusive", "vacation package", "toner", "hot stock", "winner", "prize"),
    ),
    "fr": (
        *("desabonner", "desinscription", "desinscrire", "ne plus recevoir", "offre speciale", "offre limitee"),
        *("offre exceptionnelle", "promotion", "promo", "prix casses", "remise de", "soldes", "appelez vite"),
        *("devis gratuit", "numero vert", "sans engagement", "satisfait ou rembourse", "credit rapide", "gagnant"),
        *("bon de commande a retourner", "retournez ce fax", "dans la limite des stocks", "destockage", "gratuit"),
    ),
    "de": (
        *("abmelden", "austragen", "keine weiteren faxe", "sonderangebot", "sonderaktion", "nur solange"),
        *("solange der vorrat reicht", "jetzt bestellen", "jetzt anrufen", "gratis", "kostenlos", "unverbindlich"),
        *("rabatt", "bestpreis", "tiefpreis", "sofortkredit", "gewinner", "gewinnspiel", "geld zuruck"),
        *("branchenbuch", "eintragungsofferte", "antwortfax", "zuruckfaxen", "faxabruf", "werbung"),
    ),
}
"""Words and turns of advertisements by language, without accents, in small letters."""


def _pattern(words: Sequence[str]) -> re.Pattern[str]:
    parts = (re.escape(word).replace(r"\ ", r"\s+") for word in sorted(words, key=len, reverse=True))
    return re.compile(r"(?<![a-z])(" + "|".join(parts) + r")(?![a-z])")


_WORDS = _pattern([word for words in _ADVERTS.values() for word in words])


def advert_words(text: str) -> list[str]:
    """Words of advertisements in a text, each once, in their order."""
    plain = unicodedata.normalize("NFKD", text[:MAX_TEXT]).casefold()
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    return list(dict.fromkeys(re.sub(r"\s+", " ", found) for found in _WORDS.findall(plain)))
