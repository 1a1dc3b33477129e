"""The mail that tells a sender what became of a fax, of a list of faxes, or of a mail that could not be faxed.

Pure: a report goes in, octets come out (text, HTML, thumbnail of page 1; English, French or German). Every word of a
stranger (typed number, subject, far end's identification) is made one bounded printable line before it is used.
How it looks is `mail_letter`'s: the shipped designs, or the customer's.
"""

from __future__ import annotations

from collections.abc import Sequence

from faxgw.fax.number import LIST, MERGE
from faxgw.fax.report import JobReport, RefusedReport
from faxgw.formats.enclosed import Attachment, mixed, verify_parts
from faxgw.formats.mail_letter import PLAIN, Letter, mark_token, thumbnail
from faxgw.formats.mail_template import MailTemplate, Occasion
from faxgw.formats.outgoing_mail import Letterhead, alternative_body, build, frame, mailbox, one_line
from faxgw.formats.pages_texts import repaired_sentences
from faxgw.formats.recipient_table import recipient_table
from faxgw.formats.status_texts import zone_named
from faxgw.formats.status_view import (
    LOOKS,
    MAX_NAME,
    MAX_NUMBER,
    MAX_REASON,
    MAX_SUBJECT,
    StatusWords,
    Verdict,
    label_width,
    with_part,
    words_of,
)

MAX_RECIPIENTS_SHOWN = 100
"""Recipients named in the mail about a mail that could not be faxed."""
MAX_IDS = 20
"""Fax ids in the X-Fax-Id header."""


def status_mail(
    report: JobReport,
    attachments: Sequence[Attachment] = (),
    *,
    to: str,
    sender: str,
    message_id: str,
    date: float,
    organisation: str = "Fax gateway",
    style: MailTemplate = PLAIN,
    enclosed: str = "",
) -> bytes:
    """The status mail of a job, final or (a fax in doubt that goes on) on the way.

    Args:
        report: What to tell.
        attachments: Documents that go with it; of several faxes a table comes before them.
        to: Mail address of the reader.
        sender: The gateway's own address, shown in From.
        message_id: `<…>`, the same on every retry.
        date: Unix seconds, the same on every retry.
        organisation: Display name of the sender, where the style has none.
        style: The customer's.
        enclosed: A sentence on the pages that go with it, or do not.

    Raises:
        Refused: If `to` or `sender` is no mail address, or the report has no fax.
        TemplateRefused: If the style cannot be filled in.
        MailDefect: If the mail does not read back as it was meant.
    """
    letter = status_letter(report, style.brand.organisation or organisation, style, enclosed)
    table = (recipient_table(report),) if len(report.faxes) > 1 else ()
    return build_mail(
        letter, report.thumbnail, (*table, *attachments), to=to, sender=sender, message_id=message_id, date=date
    )


def refused_mail(
    report: RefusedReport,
    *,
    to: str,
    sender: str,
    message_id: str,
    date: float,
    organisation: str = "Fax gateway",
    style: MailTemplate = PLAIN,
) -> bytes:
    """The mail about an accepted mail that became no fax. Arguments and errors are those of `status_mail`."""
    letter = refused_letter(report, style.brand.organisation or organisation, style)
    return build_mail(letter, b"", (), to=to, sender=sender, message_id=message_id, date=date)


def status_letter(report: JobReport, organisation: str, style: MailTemplate = PLAIN, enclosed: str = "") -> Letter:
    """What the mail about a job says.

    Raises:
        Refused: If the report has no fax.
    """
    status = StatusWords(report)
    return Letter(
        subject=status.subject(),
        zone=status.zone,
        in_reply_to=report.in_reply_to,
        marks=(
            ("X-Fax-Job", mark_token(report.job)),
            ("X-Fax-Id", " ".join(mark_token(f.fax) for f in report.faxes[:MAX_IDS])),
            ("X-Fax-Result", status.lead().value.replace("_", "-")),
        ),
        template="status",
        context={
            **status.context(organisation, ""),
            "enclosed": enclosed,
            "warnings": repaired_sentences(report.repaired, report.language),
        },
        occasion=Occasion.LIST if len(report.faxes) > 1 else Occasion.STATUS,
        style=style,
    )


def refused_letter(report: RefusedReport, organisation: str, style: MailTemplate = PLAIN) -> Letter:
    """What the mail about a mail that became no fax says."""
    words, zone = words_of(report.language), zone_named(report.time_zone)
    rows = [(words.reason, one_line(report.reason, MAX_REASON))]
    rows += [(words.your_mail, one_line(report.subject, MAX_SUBJECT))] if report.subject else []
    rows.append((words.refused_received, words.moment(report.received_at, zone)))
    numbers = [typed for typed in report.recipients if typed not in (LIST, MERGE)]
    shown = [one_line(typed, MAX_NUMBER) for typed in numbers[:MAX_RECIPIENTS_SHOWN]]
    context = {
        "words": words,
        "title": words.subject_refused,
        "look": LOOKS[Verdict.FAILED],
        "lead": words.refused_lead,
        "our_fault": words.refused_our_fault if report.our_fault else "",
        "rows": rows,
        "width": label_width(words, rows),
        "recipients": shown,
        "more": len(numbers) - len(shown),
        "nothing": words.refused_nothing if numbers else words.refused_nothing_at_all,
        "identifiers": report.message,
        "footer": words.footer.format(organisation=one_line(organisation, MAX_NAME)),
        "organisation": one_line(organisation, MAX_NAME),
    }
    return Letter(
        subject=with_part(words.subject_refused, report.subject),
        zone=zone,
        in_reply_to=report.in_reply_to,
        marks=(("X-Fax-Id", mark_token(report.message)), ("X-Fax-Result", "refused")),
        template="refused",
        context=context,
        occasion=Occasion.REFUSED,
        style=style,
    )


def build_mail(
    letter: Letter,
    png: bytes,
    attachments: Sequence[Attachment],
    *,
    to: str,
    sender: str,
    message_id: str,
    date: float,
) -> bytes:
    """The octets of a letter's mail.

    Args:
        letter: What it says.
        png: Page 1, or empty.
        attachments: What goes with it.
        to: Mail address of the reader.
        sender: The gateway's own address, shown in From with the organisation's name.
        message_id: `<…>`, the same on every retry.
        date: Unix seconds, the same on every retry.

    Raises:
        Refused: If `to` or `sender` is no mail address.
        TemplateRefused: If the letter's style cannot be filled in.
        MailDefect: If the mail does not read back as it was meant.
    """
    head = Letterhead(
        sender=mailbox(sender, str(letter.context["organisation"])),
        to=mailbox(to),
        subject=letter.title(),
        message_id=message_id,
        date=date,
        zone=letter.zone,
        in_reply_to=letter.in_reply_to,
        extra=letter.marks,
    )
    picture, logo = thumbnail(png, message_id, head.sender.domain), letter.logo(head.sender.domain)
    html = letter.html(picture.content_id if picture else "", logo.content_id if logo else "")
    # a part that nothing shows would stand below the mail as an attachment
    picture, logo = (one if one is not None and f"cid:{one.content_id}" in html else None for one in (picture, logo))
    body = alternative_body(letter.text(), html, picture, seed=message_id, logo=logo)
    if not attachments:
        return build(head, body)
    del body["MIME-Version"]  # it stands in the mail's own header
    octets = frame(head, mixed(body, attachments, message_id), ["MIME-Version", "Content-Type"])
    verify_parts(octets, body, attachments)
    return octets
