"""The mail that tells a sender what became of a fax, of a list of faxes, or of a mail that could not be faxed.

Pure: a report goes in, octets come out (text, HTML, thumbnail of page 1; English, French or German). Every word of a
stranger (typed number, subject, far end's identification) is made one bounded printable line before it is used.
The templates stand in `templates/`; autoescape is on for HTML, and the sandbox lets them read, not act.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import jinja2
import jinja2.sandbox

from faxgw.fax.report import JobReport, RefusedReport
from faxgw.formats.enclosed import Attachment, mixed, verify_parts
from faxgw.formats.outgoing_mail import Letterhead, Picture, alternative_body, build, frame, mailbox, one_line
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

MAX_THUMBNAIL = 65_536
"""Octets of a thumbnail; a larger one is left out of the mail."""
MAX_RECIPIENTS_SHOWN = 100
"""Recipients named in the mail about a mail that could not be faxed."""
MAX_IDS = 20
"""Fax ids in the X-Fax-Id header."""
_PNG = b"\x89PNG\r\n\x1a\n"

_JINJA = jinja2.sandbox.SandboxedEnvironment(
    loader=jinja2.PackageLoader("faxgw.formats"),
    autoescape=lambda name: name is not None and ".html." in name,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    auto_reload=False,
)


def status_mail(
    report: JobReport,
    attachments: Sequence[Attachment] = (),
    *,
    to: str,
    sender: str,
    message_id: str,
    date: float,
    organisation: str = "Fax gateway",
) -> bytes:
    """The status mail of a job, final or (a fax in doubt that goes on) on the way.

    Args:
        report: What to tell.
        attachments: Documents that go with it; of several faxes a table comes before them.
        to: Mail address of the reader.
        sender: The gateway's own address, shown in From.
        message_id: `<…>`, the same on every retry.
        date: Unix seconds, the same on every retry.
        organisation: Display name of the sender.

    Raises:
        Refused: If `to` or `sender` is no mail address, or the report has no fax.
        MailDefect: If the mail does not read back as it was meant.
    """
    picture = _picture(report, message_id, mailbox(sender).domain)
    letter = status_letter(report, organisation)
    table = (recipient_table(report),) if len(report.faxes) > 1 else ()
    return _build(letter, to, sender, message_id, date, organisation, picture, (*table, *attachments))


def refused_mail(
    report: RefusedReport,
    *,
    to: str,
    sender: str,
    message_id: str,
    date: float,
    organisation: str = "Fax gateway",
) -> bytes:
    """The mail about an accepted mail that became no fax. Arguments and errors are those of `status_mail`."""
    return _build(refused_letter(report, organisation), to, sender, message_id, date, organisation, None)


@dataclass(frozen=True, slots=True)
class Letter:
    """What a mail about a report says, whoever gets it."""

    subject: str
    zone: ZoneInfo
    in_reply_to: str
    marks: tuple[tuple[str, str], ...]
    """X- headers."""
    template: str
    context: Mapping[str, object]

    def text(self) -> str:
        """The plain text, lines ended by LF."""
        return _JINJA.get_template(f"{self.template}.txt.j2").render(self.context)

    def html(self, content_id: str) -> str:
        """The HTML; with a content id, its picture."""
        return _JINJA.get_template(f"{self.template}.html.j2").render({**self.context, "content_id": content_id})


def status_letter(report: JobReport, organisation: str) -> Letter:
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
        context=status.context(organisation, ""),
    )


def refused_letter(report: RefusedReport, organisation: str) -> Letter:
    """What the mail about a mail that became no fax says."""
    words, zone = words_of(report.language), zone_named(report.time_zone)
    rows = [(words.reason, one_line(report.reason, MAX_REASON))]
    rows += [(words.your_mail, one_line(report.subject, MAX_SUBJECT))] if report.subject else []
    rows.append((words.refused_received, words.moment(report.received_at, zone)))
    shown = [one_line(r, MAX_NUMBER) for r in report.recipients[:MAX_RECIPIENTS_SHOWN]]
    context = {
        "words": words,
        "title": words.subject_refused,
        "look": LOOKS[Verdict.FAILED],
        "lead": words.refused_lead,
        "our_fault": words.refused_our_fault if report.our_fault else "",
        "rows": rows,
        "width": label_width(words, rows),
        "recipients": shown,
        "more": len(report.recipients) - len(shown),
        "identifiers": report.message,
        "footer": words.footer.format(organisation=one_line(organisation, MAX_NAME)),
    }
    return Letter(
        subject=with_part(words.subject_refused, report.subject),
        zone=zone,
        in_reply_to=report.in_reply_to,
        marks=(("X-Fax-Id", mark_token(report.message)), ("X-Fax-Result", "refused")),
        template="refused",
        context=context,
    )


def _build(
    letter: Letter,
    to: str,
    sender: str,
    message_id: str,
    date: float,
    organisation: str,
    picture: Picture | None,
    attachments: Sequence[Attachment] = (),
) -> bytes:
    head = Letterhead(
        sender=mailbox(sender, organisation),
        to=mailbox(to),
        subject=letter.subject,
        message_id=message_id,
        date=date,
        zone=letter.zone,
        in_reply_to=letter.in_reply_to,
        extra=letter.marks,
    )
    html = letter.html(picture.content_id if picture else "")
    body = alternative_body(letter.text(), html, picture, seed=message_id)
    if not attachments:
        return build(head, body)
    del body["MIME-Version"]  # it stands in the mail's own header
    octets = frame(head, mixed(body, attachments, message_id), ["MIME-Version", "Content-Type"])
    verify_parts(octets, body, attachments)
    return octets


def _picture(report: JobReport, message_id: str, domain: str) -> Picture | None:
    if not report.thumbnail.startswith(_PNG) or len(report.thumbnail) > MAX_THUMBNAIL:
        return None
    digest = hashlib.sha256(message_id.encode()).hexdigest()[:16]
    return Picture(report.thumbnail, f"page1.{digest}@{domain}", "page1.png")


def mark_token(identifier: str) -> str:
    """An id of ours in a header: what is not `A-Za-z0-9_-` is dropped."""
    return "".join(c for c in identifier[:64] if c.isascii() and (c.isalnum() or c in "_-"))
