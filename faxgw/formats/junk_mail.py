"""The daily mail about faxes that were set aside as junk: which, why, and how to release each. Pure.

English, French, German. What strangers wrote (identification, caller) is made one bounded printable line.
"""

from __future__ import annotations

import email.policy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any  # payload

from faxgw.fax.junk import Signal
from faxgw.formats.outgoing_mail import Letterhead, build, mailbox, one_line
from faxgw.formats.status_texts import Texts, zone_named
from faxgw.formats.status_view import MAX_NUMBER, international, words_of

MAX_DETAIL = 120
"""Characters of a reason's detail."""
MAX_REASONS = 8
"""Reasons named of one fax, the weightiest first."""


@dataclass(frozen=True, slots=True)
class _Words:
    """One language; `{…}` are filled by `str.format`."""

    subject: tuple[str, str]
    lead: tuple[str, str]
    """One fax, and several."""
    line: str
    unknown: str
    score: str
    by_itself: str
    stays: str
    release: str
    link: str
    more: str
    how: Sequence[str]
    reasons: Mapping[Signal, str]


_WORDS: Mapping[str, _Words] = {
    "en": _Words(
        subject=("1 fax was set aside as junk", "{n} faxes were set aside as junk"),
        lead=(
            "Since the last list one fax was set aside as junk and not delivered:",
            "Since the last list {n} faxes were set aside as junk and not delivered:",
        ),
        line="{at}: from {who} to {number}, {pages}",
        unknown="an unknown caller",
        score="Score {score} of 100{colon}{reasons}",
        by_itself="Goes out by itself: {at}",
        stays="Stays where it is until somebody decides",
        release="Release{colon}{command}",
        link="Release by a click, until {at}{colon}{link}",
        more="… and {n} more, which “faxgw junk list” shows.",
        how=(
            "“faxgw junk good” delivers a fax and trusts its sender from then on; “faxgw junk bad” keeps it",
            "undelivered and distrusts the sender. Each undoes the other. If you cannot do it yourself, send this",
            "mail to whoever runs the gateway. Over HTTP, for your administrator: POST /api/v1/admin/junk/<fax>/good.",
        ),
        reasons={
            Signal.DENIED: "a fax of this sender was called junk",
            Signal.ALLOWED: "a fax of this sender was called good",
            Signal.KNOWN_JUNK: "looks like a fax that was called junk",
            Signal.WITHHELD: "the caller hides",
            Signal.STRANGER: "the first fax from this sender",
            Signal.CORRESPONDENT: "a known correspondent",
            Signal.FLOOD: "the same page came to other numbers",
            Signal.ADVERT: "words of advertisements",
            Signal.BLANK: "a blank page",
            Signal.BLACK: "a black page",
            Signal.NIGHT: "came in the night",
            Signal.IDENT: "the machine names another number, or none",
            Signal.PARTIAL: "the call broke off",
        },
    ),
    "fr": _Words(
        subject=("1 fax mis de côté comme indésirable", "{n} fax mis de côté comme indésirables"),
        lead=(
            "Depuis la dernière liste, un fax a été mis de côté comme indésirable et n’a pas été remis :",
            "Depuis la dernière liste, {n} fax ont été mis de côté comme indésirables et n’ont pas été remis :",
        ),
        line="{at} : de {who} au {number}, {pages}",
        unknown="un appelant inconnu",
        score="Score {score} sur 100{colon}{reasons}",
        by_itself="Part de lui-même : {at}",
        stays="Reste de côté jusqu’à décision",
        release="Libérer{colon}{command}",
        link="Libérer d’un clic, jusqu’au {at}{colon}{link}",
        more="… et {n} de plus, que montre « faxgw junk list ».",
        how=(
            "« faxgw junk good » remet un fax et fait désormais confiance à son expéditeur ; « faxgw junk bad » le",
            "garde sans le remettre et se méfie de l’expéditeur. L’un annule l’autre. Si vous ne pouvez le faire",
            "vous-même, transmettez ce message à l’exploitant de la passerelle. Par HTTP, pour votre administrateur :",
            "POST /api/v1/admin/junk/<fax>/good.",
        ),
        reasons={
            Signal.DENIED: "un fax de cet expéditeur a été dit indésirable",
            Signal.ALLOWED: "un fax de cet expéditeur a été dit bon",
            Signal.KNOWN_JUNK: "ressemble à un fax dit indésirable",
            Signal.WITHHELD: "l’appelant se cache",
            Signal.STRANGER: "premier fax de cet expéditeur",
            Signal.CORRESPONDENT: "correspondant connu",
            Signal.FLOOD: "la même page est venue à d’autres numéros",
            Signal.ADVERT: "mots de publicité",
            Signal.BLANK: "une page blanche",
            Signal.BLACK: "une page noire",
            Signal.NIGHT: "venu la nuit",
            Signal.IDENT: "l’appareil nomme un autre numéro, ou aucun",
            Signal.PARTIAL: "l’appel a été coupé",
        },
    ),
    "de": _Words(
        subject=("1 Fax wurde als unerwünscht zurückgehalten", "{n} Faxe wurden als unerwünscht zurückgehalten"),
        lead=(
            "Seit der letzten Liste wurde ein Fax als unerwünscht zurückgehalten und nicht zugestellt:",
            "Seit der letzten Liste wurden {n} Faxe als unerwünscht zurückgehalten und nicht zugestellt:",
        ),
        line="{at}: von {who} an {number}, {pages}",
        unknown="einem unbekannten Anrufer",
        score="Bewertung {score} von 100{colon}{reasons}",
        by_itself="Geht von selbst hinaus: {at}",
        stays="Bleibt liegen, bis jemand entscheidet",
        release="Freigeben{colon}{command}",
        link="Mit einem Klick freigeben, bis {at}{colon}{link}",
        more="… und {n} weitere, die „faxgw junk list“ zeigt.",
        how=(
            "„faxgw junk good“ stellt ein Fax zu und traut seinem Absender von da an; „faxgw junk bad“ behält es",
            "unzugestellt und misstraut dem Absender. Eines macht das andere rückgängig. Wer das nicht selbst kann,",
            "schickt diese Mail dem Betreiber des Gateways. Über HTTP, für Ihren Administrator:",
            "POST /api/v1/admin/junk/<Fax>/good.",
        ),
        reasons={
            Signal.DENIED: "ein Fax dieses Absenders wurde unerwünscht genannt",
            Signal.ALLOWED: "ein Fax dieses Absenders wurde erwünscht genannt",
            Signal.KNOWN_JUNK: "gleicht einem Fax, das unerwünscht genannt wurde",
            Signal.WITHHELD: "der Anrufer verbirgt seine Nummer",
            Signal.STRANGER: "das erste Fax dieses Absenders",
            Signal.CORRESPONDENT: "bekannter Absender",
            Signal.FLOOD: "dieselbe Seite kam an andere Nummern",
            Signal.ADVERT: "Wörter der Werbung",
            Signal.BLANK: "eine leere Seite",
            Signal.BLACK: "eine schwarze Seite",
            Signal.NIGHT: "kam in der Nacht",
            Signal.IDENT: "das Gerät nennt eine andere Nummer oder keine",
            Signal.PARTIAL: "der Anruf brach ab",
        },
    ),
}


def junk_mail(
    payload: Mapping[str, Any], *, to: str, sender: str, message_id: str, date: float, organisation: str
) -> bytes:
    """The octets of the mail.

    Args:
        payload: What `store.junk_mail` wrote: language, time_zone, faxes, count.
        to: The owner.
        sender: Address of the gateway.
        message_id: The same on every retry.
        date: Unix seconds, the same on every retry.
        organisation: Name shown in From.

    Raises:
        MailDefect: If the mail does not read back as it was meant.
    """
    language = str(payload["language"])
    words, texts, count = _WORDS.get(language, _WORDS["en"]), words_of(language), int(payload["count"])
    lines = [texts.count(words.lead, count), ""]
    for fax in payload["faxes"]:
        lines += [*_about(fax, words, texts, str(payload["time_zone"])), ""]
    if count > len(payload["faxes"]):
        lines += [words.more.format(n=texts.whole(count - len(payload["faxes"]))), ""]
    body = EmailMessage(policy=email.policy.SMTP)
    body.set_content("\n".join([*lines, *words.how]) + "\n", charset="utf-8", cte="quoted-printable")
    del body["MIME-Version"]
    head = Letterhead(
        sender=mailbox(sender, organisation),
        to=mailbox(to),
        subject=texts.count(words.subject, count),
        message_id=message_id,
        date=date,
        zone=zone_named(str(payload["time_zone"])),
    )
    return build(head, body)


def _about(fax: Mapping[str, Any], words: _Words, texts: Texts, time_zone: str) -> list[str]:
    zone = zone_named(time_zone)
    names = [one_line(fax["ident"], MAX_NUMBER), international(fax["caller"]) if fax["caller"] else ""]
    found = [
        f"{words.reasons[Signal(signal)]}{_detail(Signal(signal), detail)} ({points:+d})"
        for signal, points, detail in fax["reasons"][:MAX_REASONS]
    ]
    until = fax["release_at"]
    link, linked = str(fax.get("link", "")), []
    if link:
        linked = ["  " + words.link.format(at=texts.moment(fax["link_until"], zone), colon=texts.colon, link=link)]
    return [
        words.line.format(
            at=texts.moment(fax["at"], zone),
            who=", ".join(dict.fromkeys(filter(None, names))) or words.unknown,
            number=international(fax["number"]),
            pages=texts.count(texts.pages, fax["pages"]),
        ),
        "  " + words.score.format(score=fax["score"], colon=texts.colon, reasons="; ".join(found)),
        "  " + (words.stays if until is None else words.by_itself.format(at=texts.moment(until, zone))),
        *linked,
        "  " + words.release.format(colon=texts.colon, command=f"faxgw junk good {one_line(fax['reception'], 48)}"),
    ]


def _detail(signal: Signal, detail: str) -> str:
    """The words of advertisements that were seen; what other reasons add is English, and said by the reason itself."""
    shown = one_line(str(detail), MAX_DETAIL) if signal is Signal.ADVERT else ""
    return f" [{shown}]" if shown else ""
