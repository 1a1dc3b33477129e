"""The mail about an import of a directory: what changed, or why nothing did. English, French, German."""

from __future__ import annotations

import email.policy
from collections.abc import Mapping
from email.message import EmailMessage
from typing import Any  # payload

from faxgw.formats.outgoing_mail import Letterhead, build, mailbox, one_line

MAX_LINE = 500
"""Characters of a sentence of an import in the mail."""

_WORDS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "done": "Directory {name}: {created} new, {changed} changed, {ended} ended",
        "refused": "Directory {name}: refused, nothing was changed",
        "text": "{created} entries are new, {changed} changed, {ended} ended, {unchanged} stay as they were.",
        "unused": "Column {column} has no effect here; {count} entries fill it.",
        "why": "Nothing was changed:",
    },
    "fr": {
        "done": "Annuaire {name} : {created} créés, {changed} modifiés, {ended} clos",
        "refused": "Annuaire {name} : refusé, rien n’a été modifié",
        "text": "{created} entrées créées, {changed} modifiées, {ended} closes, {unchanged} inchangées.",
        "unused": "La colonne {column} est sans effet ici ; {count} entrées la remplissent.",
        "why": "Rien n’a été modifié :",
    },
    "de": {
        "done": "Verzeichnis {name}: {created} neu, {changed} geändert, {ended} beendet",
        "refused": "Verzeichnis {name}: abgelehnt, nichts wurde geändert",
        "text": "{created} Einträge sind neu, {changed} geändert, {ended} beendet, {unchanged} unverändert.",
        "unused": "Die Spalte {column} hat hier keine Wirkung; {count} Einträge füllen sie.",
        "why": "Nichts wurde geändert:",
    },
}


def directory_mail(
    payload: Mapping[str, Any], *, to: str, sender: str, message_id: str, date: float, organisation: str
) -> bytes:
    """The octets of the mail.

    Args:
        payload: What `intake.directory_import` wrote: name, language, refused, counts, unused.
        to: Whom it goes to.
        sender: Address of the gateway.
        message_id: The same on every retry.
        date: Unix seconds, the same on every retry.
        organisation: Name shown in From.
    """
    words = _WORDS.get(str(payload["language"]), _WORDS["en"])
    counts = {key: payload[key] for key in ("name", "created", "changed", "ended", "unchanged")}
    if payload["refused"]:
        subject = words["refused"].format(**counts)
        lines = [words["why"], "", *(one_line(part, MAX_LINE) for part in str(payload["refused"]).split("; "))]
    else:
        subject = words["done"].format(**counts)
        lines = [words["text"].format(**counts), ""]
        lines += [words["unused"].format(column=column, count=count) for column, count in payload["unused"].items()]
    body = EmailMessage(policy=email.policy.SMTP)
    body.set_content("\n".join(lines).rstrip() + "\n", charset="utf-8", cte="quoted-printable")
    del body["MIME-Version"]
    head = Letterhead(
        sender=mailbox(sender, organisation), to=mailbox(to), subject=subject, message_id=message_id, date=date
    )
    return build(head, body)
