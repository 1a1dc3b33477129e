"""Cover pages as accounts and jobs name them, and what a sender is told whose cover page cannot be made. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

NONE = "none"
"""In place of a template's name: no cover page, whatever the levels above say."""
SHIPPED = ("plain", "letter", "form")
"""Designs of ours, for everybody."""
ALIASES = {"coverpage-default": "plain", "default": "plain"}
"""Names that the vendor's users know → a design of ours, unless somebody has a template of that name."""
_ENDINGS = (".ftl.html", ".html", ".htm", ".ftl")
MAX_NAMED = 3
"""Missing values named to the sender."""

_UNKNOWN = {
    "en": "There is no cover page “{name}”.",
    "fr": "Il n’y a pas de page de garde « {name} ».",
    "de": "Es gibt kein Deckblatt „{name}“.",
}
_MISSING = {
    "en": "The cover page “{name}” needs a value for {keys}, which was not given{whom}.",
    "fr": "La page de garde « {name} » demande une valeur pour {keys}, qui n’a pas été donnée{whom}.",
    "de": "Das Deckblatt „{name}“ braucht einen Wert für {keys}, der nicht angegeben wurde{whom}.",
}
_WHOM = {"en": " for {number}", "fr": " pour {number}", "de": " für {number}"}


def cover_name(setting: str) -> str:
    """The template's name of a value of the setting `cover`; empty: no cover page."""
    name = setting.strip()
    return "" if name.lower() == NONE else name


def design(name: str) -> str:
    """The shipped design that a template's name means; the ending of a file's name may be there. Empty: none."""
    for ending in _ENDINGS:
        if name.lower().endswith(ending):
            name = name[: -len(ending)]
            break
    found = ALIASES.get(name.lower(), name.lower())
    return found if found in SHIPPED else ""


def given(pairs: Iterable[str]) -> dict[str, str]:
    """The values of the setting `cover_values`, `name=value` each, by their names."""
    return {name: value for name, _equals, value in (pair.partition("=") for pair in pairs)}


def unknown(name: str, language: str) -> str:
    """There is no such template, in the sender's words."""
    return _in(_UNKNOWN, language).format(name=name)


def missing(name: str, keys: Collection[str], language: str, number: str = "") -> str:
    """The template needs values that were not given, in the sender's words.

    Args:
        name: Of the template.
        keys: What is missing.
        language: The sender's.
        number: The recipient for whom they are missing; empty: for all.
    """
    named = sorted(keys)
    listed = ", ".join(named[:MAX_NAMED]) + (", …" if len(named) > MAX_NAMED else "")
    whom = _in(_WHOM, language).format(number=number) if number else ""
    return _in(_MISSING, language).format(name=name, keys=listed, whom=whom)


def _in(texts: Mapping[str, str], language: str) -> str:
    return texts.get(language, texts["en"])
