"""The mail that brings a received fax: text, HTML with page 1's picture, and the fax itself.

Pure: report and documents go in, octets come out. Never a fax mail without its fax (users.md 35): the octets are
read back, and each document in them is compared with the one that was meant, before anybody sends them.
Strangers' words (identification, caller's name) are made one bounded printable line before they are used.
"""

from __future__ import annotations

from collections.abc import Sequence

from faxgw.fax.reception import ReceivedReport, Why
from faxgw.formats.enclosed import Attachment
from faxgw.formats.mail_letter import PLAIN, Letter, mark_token
from faxgw.formats.mail_template import MailTemplate, Occasion
from faxgw.formats.outgoing_mail import MailDefect, one_line
from faxgw.formats.received_texts import RECEIVED_TEXTS, ReceivedTexts
from faxgw.formats.status_mail import build_mail
from faxgw.formats.status_texts import Texts, zone_named
from faxgw.formats.status_view import LOOKS, MAX_NAME, MAX_NUMBER, Verdict, international, label_width, words_of

MAX_PAGES_NAMED = 20
"""Unconfirmed pages named in a mail."""
MAX_ADDRESS = 320
"""Characters of a mail address (RFC 5321 section 4.5.3.1)."""
_BEGINNINGS = {"application/pdf": b"%PDF-", "image/tiff": b"II*\0"}
"""Content type → what a document of it begins with; nothing else is a fax."""


def received_mail(
    report: ReceivedReport,
    attachments: Sequence[Attachment],
    *,
    thumbnail: bytes = b"",
    to: str,
    sender: str,
    message_id: str,
    date: float,
    organisation: str = "Fax gateway",
    style: MailTemplate = PLAIN,
) -> bytes:
    """The mail.

    Args:
        report: What to tell.
        attachments: The fax; one at least, but none where it was to leave encrypted alone (`Why.SEALED`).
        thumbnail: PNG of page 1, or empty.
        to: Mail address of the reader.
        sender: The gateway's own address, shown in From.
        message_id: `<…>`, the same on every retry.
        date: Unix seconds, the same on every retry.
        organisation: Display name of the sender, where the style has none.
        style: The customer's.

    Raises:
        TemplateRefused: If the style cannot be filled in.
        Refused: If `to` or `sender` is no mail address.
        MailDefect: If there is no fax, or one that may not leave, or the mail does not read back as it was meant.
    """
    if report.why is not Why.SEALED:
        _check_documents(attachments)
    elif attachments or thumbnail:
        raise MailDefect("a page of a fax that was to be encrypted")
    letter = received_letter(report, style.brand.organisation or organisation, style)
    return build_mail(letter, thumbnail, attachments, to=to, sender=sender, message_id=message_id, date=date)


def received_letter(report: ReceivedReport, organisation: str, style: MailTemplate = PLAIN) -> Letter:
    """What the mail says."""
    words, zone = words_of(report.language), zone_named(report.time_zone)
    texts = RECEIVED_TEXTS.get(report.language, RECEIVED_TEXTS["en"])
    subject = texts.subject_complete if report.complete else texts.subject_partial
    title = subject.format(
        who=_who(report, texts), number=international(report.number), pages=words.count(words.pages, report.pages)
    )
    rows = _rows(report, words, texts)
    context = {
        "words": words,
        "texts": texts,
        "title": title,
        "look": LOOKS[Verdict.DELIVERED if report.complete else Verdict.PARTLY],
        "result": texts.complete if report.complete else texts.partial,
        "sentences": _sentences(report, words, texts),
        "reason": _reason(report, texts),
        "rows": rows,
        "width": label_width(words, rows),
        "footer": words.footer.format(organisation=one_line(organisation, MAX_NAME)),
        "organisation": one_line(organisation, MAX_NAME),
    }
    state = "complete" if report.complete else "partial"
    marks = (("X-Fax-Id", mark_token(report.reception)), ("X-Fax-Result", state), ("X-Fax-Pages", str(report.pages)))
    return Letter(title, zone, "", marks, "received", context, Occasion.RECEIVED, style)


def _sentences(report: ReceivedReport, words: Texts, texts: ReceivedTexts) -> list[str]:
    lead = texts.lead_complete if report.complete else texts.lead_partial
    attached = texts.as_tiff if report.problem else texts.as_pdf
    said = [words.count(lead, report.pages), texts.kept_back if report.why is Why.SEALED else attached]
    said += [] if report.complete else [texts.partial_advice]
    if report.unconfirmed:
        named = ", ".join(str(page) for page in report.unconfirmed[:MAX_PAGES_NAMED])
        said.append(texts.unconfirmed.format(pages=named))
    if report.bad_rows:
        said.append(texts.bad_rows.format(n=words.whole(report.bad_rows)))
    if report.again_of:
        said.append(texts.again.format(fax=one_line(report.again_of, MAX_NUMBER)))
    return said


def _reason(report: ReceivedReport, texts: ReceivedTexts) -> str:
    """Why the fallback mailbox gets it; empty for the owner."""
    match report.why:
        case Why.NO_OWNER:
            return texts.no_owner.format(number=international(report.number))
        case Why.UNDELIVERABLE:
            return texts.undeliverable.format(target=one_line(report.target, MAX_ADDRESS))
        case Why.SEALED:
            return texts.sealed.format(target=one_line(report.target, MAX_ADDRESS))
        case Why.OWNER:
            return ""


def _rows(report: ReceivedReport, words: Texts, texts: ReceivedTexts) -> list[tuple[str, str]]:
    rows = [
        (texts.sender, one_line(report.ident, MAX_NUMBER)),
        (texts.caller, international(report.caller) if report.caller else ""),
        (texts.caller_name, one_line(report.display, MAX_NAME)),
        (texts.number, international(report.number)),
        (texts.received, words.moment(report.received_at, zone_named(report.time_zone))),
        (texts.pages, words.whole(report.pages)),
        (texts.quality, texts.fine if report.fine else texts.standard),
        (texts.identifier, one_line(report.reception, MAX_NUMBER)),
    ]
    return [(label, value) for label, value in rows if value]


def _who(report: ReceivedReport, texts: ReceivedTexts) -> str:
    """The sender as its own machine names it, else the number it called from."""
    ident = one_line(report.ident, MAX_NUMBER)
    return ident or (international(report.caller) if report.caller else texts.unknown_caller)


def _check_documents(attachments: Sequence[Attachment]) -> None:
    """A fax mail has its fax.

    Raises:
        MailDefect: If it has none, or something that is none.
    """
    if not attachments:
        raise MailDefect("a fax mail without its fax")
    for document in attachments:
        beginning = _BEGINNINGS.get(document.content_type)
        if beginning is None or not document.octets.startswith(beginning):
            raise MailDefect(f"{document.name} is no {document.content_type} of a fax")
        if not document.name.isascii() or not document.name.isprintable() or '"' in document.name:
            raise MailDefect("file name")
