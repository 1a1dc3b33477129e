"""The pages behind a link that releases a fax: what it is, a button, and what came of it. Pure.

English, French, German, by the number's language. What strangers wrote is made one bounded printable line, and escaped.
Nothing is loaded or run, and nothing is done by looking: programs that follow links in mails release nothing.
"""

from __future__ import annotations

import enum
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from faxgw.formats.outgoing_mail import one_line
from faxgw.formats.status_texts import zone_named
from faxgw.formats.status_view import MAX_NUMBER, international, words_of


class Shown(enum.Enum):
    """Which page."""

    ASKED = enum.auto()
    """The fax waits: the button."""
    RELEASED = enum.auto()
    """It goes now."""
    OVER = enum.auto()
    """It has gone before."""


@dataclass(frozen=True, slots=True)
class _Words:
    """One language; `{…}` are filled by `str.format`."""

    titles: Mapping[Shown, str]
    says: Mapping[Shown, str]
    fax: str
    unknown: str
    button: str


_WORDS: Mapping[str, _Words] = {
    "en": _Words(
        titles={
            Shown.ASKED: "Release this fax?",
            Shown.RELEASED: "The fax is released",
            Shown.OVER: "Nothing is left to do",
        },
        says={
            Shown.ASKED: "It was set aside as junk. If you release it, it is delivered, and its sender is trusted from "
            "then on.",
            Shown.RELEASED: "It is being delivered now. Its sender is trusted from now on.",
            Shown.OVER: "This fax is not held back: it was released before, or went out by itself.",
        },
        fax="{at}: from {who} to {number}, {pages}",
        unknown="an unknown caller",
        button="Release",
    ),
    "fr": _Words(
        titles={
            Shown.ASKED: "Libérer ce fax ?",
            Shown.RELEASED: "Le fax est libéré",
            Shown.OVER: "Il ne reste rien à faire",
        },
        says={
            Shown.ASKED: "Il a été mis de côté comme indésirable. Si vous le libérez, il est remis, et son expéditeur "
            "a désormais votre confiance.",
            Shown.RELEASED: "Il est en cours de remise. Son expéditeur a désormais votre confiance.",
            Shown.OVER: "Ce fax n’est pas retenu : il a déjà été libéré, ou est parti de lui-même.",
        },
        fax="{at} : de {who} au {number}, {pages}",
        unknown="un appelant inconnu",
        button="Libérer",
    ),
    "de": _Words(
        titles={
            Shown.ASKED: "Dieses Fax freigeben?",
            Shown.RELEASED: "Das Fax ist freigegeben",
            Shown.OVER: "Es ist nichts mehr zu tun",
        },
        says={
            Shown.ASKED: "Es wurde als unerwünscht zurückgehalten. Wenn Sie es freigeben, wird es zugestellt, und "
            "seinem Absender wird von da an getraut.",
            Shown.RELEASED: "Es wird jetzt zugestellt. Seinem Absender wird von nun an getraut.",
            Shown.OVER: "Dieses Fax wird nicht zurückgehalten: Es wurde schon freigegeben oder ging von selbst hinaus.",
        },
        fax="{at}: von {who} an {number}, {pages}",
        unknown="einem unbekannten Anrufer",
        button="Freigeben",
    ),
}
_HEAD = (
    '<meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="robots" content="noindex">'
)
_NO_LINK = (
    ("en", "This link is not valid, or no longer."),
    ("fr", "Ce lien n’est pas valable, ou ne l’est plus."),
    ("de", "Dieser Link gilt nicht oder nicht mehr."),
)


@dataclass(frozen=True, slots=True)
class Fax:
    """What is shown of a fax."""

    number: str
    caller: str
    ident: str
    at: float
    """Unix seconds."""
    pages: int
    language: str
    time_zone: str


def page(shown: Shown, fax: Fax) -> str:
    """The page of a link, HTML."""
    words, texts = _WORDS.get(fax.language, _WORDS["en"]), words_of(fax.language)
    names = [one_line(fax.ident, MAX_NUMBER), international(fax.caller) if fax.caller else ""]
    told = words.fax.format(
        at=texts.moment(fax.at, zone_named(fax.time_zone)),
        who=", ".join(dict.fromkeys(filter(None, names))) or words.unknown,
        number=international(fax.number),
        pages=texts.count(texts.pages, fax.pages),
    )
    body = [_paragraph(told), _paragraph(words.says[shown])]
    if shown is Shown.ASKED:
        body.append(f'<form method="post"><button>{html.escape(words.button)}</button></form>')
    return _page(fax.language if fax.language in _WORDS else "en", words.titles[shown], body)


def no_link() -> str:
    """The page where there is no such link, whatever the reason, HTML."""
    return _page("en", "404", [f'<p lang="{language}">{html.escape(said)}</p>' for language, said in _NO_LINK])


def _paragraph(text: str) -> str:
    return f"<p>{html.escape(text)}</p>"


def _page(language: str, title: str, body: Sequence[str]) -> str:
    escaped = html.escape(title)
    return (
        f'<!DOCTYPE html>\n<html lang="{language}"><head>{_HEAD}<title>{escaped}</title></head>\n'
        f"<body><h1>{escaped}</h1>\n" + "\n".join(body) + "\n</body></html>\n"
    )
