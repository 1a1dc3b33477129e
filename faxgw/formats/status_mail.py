"""The mail that tells a sender what became of a fax, of a list of faxes, or of a mail that could not be faxed.

Pure: a report goes in, octets come out (text, HTML, thumbnail of page 1; English, French or German). Every word of a
stranger (typed number, subject, far end's identification) is made one bounded printable line before it is used.
The templates stand in `templates/`; autoescape is on for HTML, and the sandbox lets them read, not act.
"""

from __future__ import annotations

import hashlib

import jinja2
import jinja2.sandbox

from faxgw.fax.report import JobReport, RefusedReport
from faxgw.formats.outgoing_mail import Letterhead, Picture, alternative_body, build, mailbox, one_line
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
        to: Mail address of the reader.
        sender: The gateway's own address, shown in From.
        message_id: `<…>`, the same on every retry.
        date: Unix seconds, the same on every retry.
        organisation: Display name of the sender.

    Raises:
        Refused: If `to` or `sender` is no mail address, or the report has no fax.
        MailDefect: If the mail does not read back as it was meant.
    """
    return _build(report, StatusWords(report), to, sender, message_id, date, organisation)


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
    head = Letterhead(
        sender=mailbox(sender, organisation),
        to=mailbox(to),
        subject=with_part(words.subject_refused, report.subject),
        message_id=message_id,
        date=date,
        zone=zone,
        in_reply_to=report.in_reply_to,
        extra=(("X-Fax-Id", _token(report.message)), ("X-Fax-Result", "refused")),
    )
    text, html = (_JINJA.get_template(f"refused.{kind}.j2").render(context) for kind in ("txt", "html"))
    return build(head, alternative_body(text, html, None, seed=message_id))


def _build(
    report: JobReport, status: StatusWords, to: str, sender: str, message_id: str, date: float, organisation: str
) -> bytes:
    box = mailbox(sender, organisation)
    picture = None
    if report.thumbnail.startswith(_PNG) and len(report.thumbnail) <= MAX_THUMBNAIL:
        digest = hashlib.sha256(message_id.encode()).hexdigest()[:16]
        picture = Picture(report.thumbnail, f"page1.{digest}@{box.domain}", "page1.png")
    context = status.context(organisation, picture.content_id if picture else "")
    head = Letterhead(
        sender=box,
        to=mailbox(to),
        subject=status.subject(),
        message_id=message_id,
        date=date,
        zone=status.zone,
        in_reply_to=report.in_reply_to,
        extra=(
            ("X-Fax-Job", _token(report.job)),
            ("X-Fax-Id", " ".join(_token(f.fax) for f in report.faxes[:MAX_IDS])),
            ("X-Fax-Result", status.lead().value.replace("_", "-")),
        ),
    )
    text, html = (_JINJA.get_template(f"status.{kind}.j2").render(context) for kind in ("txt", "html"))
    return build(head, alternative_body(text, html, picture, seed=message_id))


def _token(identifier: str) -> str:
    """An id of ours in a header: what is not `A-Za-z0-9_-` is dropped."""
    return "".join(c for c in identifier[:64] if c.isascii() and (c.isalnum() or c in "_-"))
