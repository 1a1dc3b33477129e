"""Example mails, and the trial of a customer's mail template before it is kept. Pure.

What is wrong with a template is told to whoever brings it, not to those who wait for a report. The examples: a fax that
was sent, one that failed, one in doubt, a list of 3 and one of 5,000, a mail that became no fax, a received fax; each
in three languages, with the words of well-behaved and of hostile strangers. What a stranger says may change words,
never the structure of the page, its links or its style.
"""

from __future__ import annotations

import base64
import email
import email.policy
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html.parser import HTMLParser

from faxgw.fax.job import FaxState
from faxgw.fax.outcome import Cause
from faxgw.fax.reception import ReceivedReport
from faxgw.fax.report import AttemptLine, FaxReport, JobReport, RefusedReport
from faxgw.formats.mail_letter import Letter
from faxgw.formats.mail_template import LANGUAGES, MailTemplate, Occasion, Part, refused
from faxgw.formats.received_mail import received_letter
from faxgw.formats.status_mail import build_mail, refused_letter, status_letter

MAX_HTML = 100_000
"""Octets of the HTML of a mail about one fax: Gmail cuts off what is beyond 102 kB."""
LONG_LIST = 5_000
"""Faxes of the long list: the most that a job may have."""
EXAMPLES = ("sent", "failed", "in_doubt", "list", "long_list", "refused", "received")
"""Names of the examples."""
AT = 1_795_265_000.0
"""21 November 2026, 13:43:20 in Paris: what examples tell is the same at every time."""
ORGANISATION = "Fax gateway"
_SENDER, _READER = "fax@example.org", "reader@example.org"
_FORBIDDEN = (
    *("script", "iframe", "frame", "frameset", "object", "embed", "applet", "form", "input", "button", "textarea"),
    *("select", "link", "base", "svg", "math", "audio", "video", "source", "template", "noscript"),
)
_TAG = re.compile(rf"<\s*/?\s*({'|'.join(_FORBIDDEN)})\b", re.I)
_REMOTE_STYLE = re.compile(r"url\s*\(|@import|expression\s*\(|behavior\s*:|-moz-binding|\\[0-9a-f]", re.I)
_LINKS = ("href", "src", "background", "srcset", "poster", "cite", "data", "action", "formaction", "xlink:href")
_LINK = re.compile(r"(?:https?|mailto|tel):[^\x00-\x20].*|#[\w.-]*", re.I | re.S)
_FORMS = frozenset({"content-type", "x-ua-compatible", "content-language"})


@dataclass(frozen=True, slots=True)
class Strangers:
    """What people and machines that we do not know have said."""

    subject: str
    typed: str
    ident: str
    name: str
    reason: str
    reference: str


FRIENDLY = Strangers(
    subject="Invoice 4711",
    typed="01 99 00 00 01",
    ident="FAX PARIS 01",
    name="Dr. Éloïse Brandt",
    reason="The document contract.docx has a password.",
    reference="Order 17",
)
_HOSTILE = "javascript:alert(1) x onclick=y style=z </td></style>--><b>\"'`> ${title} <#if a>"
HOSTILE = Strangers(
    _HOSTILE, _HOSTILE, _HOSTILE, _HOSTILE, _HOSTILE, f"{_HOSTILE} 1"
)  # one like the subject is left out


def letter_of(example: str, language: str, style: MailTemplate, strangers: Strangers = FRIENDLY) -> Letter:
    """The letter of an example.

    Args:
        example: One of EXAMPLES.
        language: Of the mail.
        style: The template.
        strangers: What is not ours in it.
    """
    house = style.brand.organisation or ORGANISATION
    if example == "refused":
        return refused_letter(_refused_mail(language, strangers), house, style)
    if example == "received":
        return received_letter(_received_fax(language, strangers), house, style)
    return status_letter(_job(example, language, strangers), house, style)


def mail_of(example: str, language: str, style: MailTemplate, *, picture: bytes = b"") -> bytes:
    """The whole mail of an example, as it would leave.

    Raises:
        TemplateRefused: If the style cannot be filled in.
    """
    letter = letter_of(example, language, style)
    message_id = f"<example.{example}.{language}@example.org>"
    return build_mail(letter, picture, (), to=_READER, sender=_SENDER, message_id=message_id, date=AT)


def page_of(octets: bytes) -> str:
    """The HTML part of a mail with its pictures in it, to be looked at in a browser."""
    message = email.message_from_bytes(octets, policy=email.policy.SMTP)
    body = message.get_body(("html",))
    html = str(body.get_content()) if body is not None else ""
    for part in message.walk():
        if mark := str(part.get("Content-ID", "")).strip("<>"):
            data = base64.b64encode(part.get_content()).decode()
            html = html.replace(f"cid:{mark}", f"data:{part.get_content_type()};base64,{data}")
    return html


def try_out(style: MailTemplate) -> None:
    """Fill a template with every example.

    Raises:
        TemplateRefused: If one cannot be made, or a page of it is none that mail programs show safely.
    """
    for language in LANGUAGES:
        for example in EXAMPLES:
            if example == "long_list" and language != LANGUAGES[0] and not _has_own(style, language):
                continue
            _try_one(style, example, language)


def _has_own(style: MailTemplate, language: str) -> bool:
    return any(f".{language}." in name for name in style.parts)


def _try_one(style: MailTemplate, example: str, language: str) -> None:
    letter = letter_of(example, language, style)
    own = {part for part in Part if style.part(letter.occasion, language, part) is not None}
    parts = {
        Part.SUBJECT: letter.title(),
        Part.TEXT: letter.text(),
        Part.HTML: letter.html("page1@example.org", "logo@example.org" if style.brand.logo else ""),
    }
    page = Page(parts[Part.HTML])
    for part in own:
        name = f"{letter.occasion}.{part}"
        _check_told(letter, name, page.words if part is Part.HTML else parts[part])
    if Part.HTML in own:
        name = f"{letter.occasion}.html"
        _check_page(name, parts[Part.HTML], page)
        if example not in ("list", "long_list") and len(parts[Part.HTML].encode()) > MAX_HTML:
            raise refused(name, f"makes more than {MAX_HTML:,} octets, beyond which Gmail cuts a mail off")
        hostile = letter_of(example, language, style, HOSTILE)
        _check_same(name, page, Page(hostile.html("page1@example.org", "logo@example.org" if style.brand.logo else "")))
    build_mail(letter, b"", (), to=_READER, sender=_SENDER, message_id="<1@example.org>", date=AT)


def _check_told(letter: Letter, name: str, said: str) -> None:
    """The reader is told what became of the fax, whatever else the house tells."""
    if letter.occasion is Occasion.RECEIVED:
        return
    values = letter.values()
    sentences = values["sentences"]
    first = sentences[0] if sentences else ""
    news = [value for value in (values["result"], values["title"], first) if isinstance(value, str) and value]
    flat = " ".join(said.split())
    if not any(" ".join(each.split()) in flat for each in news):
        raise refused(name, "does not say what became of the fax: ${title}, ${result} or ${sentences} must stand in it")


# ---------------------------------------------------------------------------------------------------- what a page is


class Page(HTMLParser):
    """What a mail program makes of a page: its tags and attributes, its words."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, tuple[tuple[str, str], ...]]] = []
        self.styles: list[str] = []
        self._inside = ""
        self._words: list[str] = []
        self.feed(source)
        self.close()

    @property
    def words(self) -> str:
        """Everything that is read."""
        return " ".join("".join(self._words).replace("\xa0", " ").split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See html.parser."""
        self.tags.append((tag, tuple((name, value or "") for name, value in attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        """See html.parser."""
        self.tags.append((f"/{tag}", ()))
        self._inside = ""

    def handle_data(self, data: str) -> None:
        """See html.parser."""
        if self._inside == "style":
            self.styles.append(data)
        else:
            self._words.append(data)


def _check_page(name: str, source: str, page: Page) -> None:
    """A mail's page: complete in itself, and nothing that acts."""
    if found := _TAG.search(source):
        raise refused(name, f"<{found[1].lower()}> is nothing for a mail")
    if _REMOTE_STYLE.search(source):
        raise refused(name, "styles may not refer to anything outside (url, @import, …)")
    for tag, attributes in page.tags:
        for key, value in attributes:
            if key.startswith("on"):
                raise refused(name, f"<{tag} {key}> is nothing for a mail")
            if tag == "meta" and key == "http-equiv" and value.lower() not in _FORMS:
                raise refused(name, "<meta http-equiv> is nothing for a mail")
            if key in _LINKS:
                _check_link(name, tag, key, value.strip())


def _check_link(name: str, tag: str, key: str, value: str) -> None:
    if tag == "a" and key == "href":
        if value and not _LINK.fullmatch(value):
            raise refused(name, "a link begins with https:, http:, mailto: or tel:")
    elif key not in ("src", "background") or (value and not value.startswith("cid:")):
        raise refused(name, f"<{tag} {key}> may only show ${{logo}} or ${{picture}}; nothing is fetched from outside")


def _check_same(name: str, friendly: Page, hostile: Page) -> None:
    """Whatever strangers say, the page has the same tags, attributes, links and styles."""
    if _bones(friendly) == _bones(hostile):
        return
    raise refused(
        name,
        "a value stands where it could change the page: within a tag put it in quotation marks, and never in a style "
        "or at the beginning of a link",
    )


def _bones(page: Page) -> Sequence[object]:
    found: list[object] = []
    for tag, attributes in page.tags:
        for key, value in attributes:
            if key == "style":
                found.append((tag, key, value))
            elif key in _LINKS:
                found.append((tag, key, value.partition(":")[0][:10]))
            else:
                found.append((tag, key))
        found.append(tag)
    return [*found, *page.styles]


# -------------------------------------------------------------------------------------------------------- examples


def _job(example: str, language: str, strangers: Strangers) -> JobReport:
    makers: dict[str, Iterator[FaxReport]] = {
        "sent": iter([_sent(1, strangers)]),
        "failed": iter([_failed(1, strangers)]),
        "in_doubt": iter([_in_doubt(1, strangers)]),
        "list": iter([_sent(1, strangers), _failed(2, strangers), _in_doubt(3, strangers)]),
        "long_list": _many(strangers),
    }
    return JobReport(
        job="FABCDEFGHIJKLMNOPQRST1",
        customer="example",
        owner="sender@example.org",
        subject=strangers.subject,
        in_reply_to="",
        accepted_at=AT,
        finished_at=AT + 1_200,
        faxes=tuple(makers[example]),
        time_zone="Europe/Paris",
        language=language,
        billing_code="K-4711",
        thumbnail=b"",
        reference=strangers.reference,
    )


def _many(strangers: Strangers) -> Iterator[FaxReport]:
    for position in range(1, LONG_LIST + 1):
        make = _failed if position % 50 == 7 else _in_doubt if position == 4_000 else _sent
        yield make(position, strangers)


def _sent(position: int, strangers: Strangers) -> FaxReport:
    busy = _call(position, 0, Cause.BUSY, strangers, answered=False)
    return _fax(position, FaxState.SENT, Cause.OK, (busy, _call(position, 1, Cause.OK, strangers)), strangers)


def _failed(position: int, strangers: Strangers) -> FaxReport:
    calls = tuple(_call(position, n, Cause.NO_FAX_TONE, strangers, pages=0) for n in range(3))
    return replace(_fax(position, FaxState.FAILED, Cause.NO_FAX_TONE, calls, strangers), pages_confirmed=0)


def _in_doubt(position: int, strangers: Strangers) -> FaxReport:
    calls = (_call(position, 0, Cause.IN_DOUBT, strangers, pages=2),)
    found = _fax(position, FaxState.UNKNOWN, Cause.IN_DOUBT, calls, strangers)
    return replace(found, pages_confirmed=2, doubtful_page=3)


def _fax(
    position: int, state: FaxState, cause: Cause, calls: tuple[AttemptLine, ...], strangers: Strangers
) -> FaxReport:
    return FaxReport(
        fax=f"FEXAMPLE{position:014}",
        position=position,
        number_typed=strangers.typed,
        number_e164=f"+3319900{position:04}",
        state=state,
        cause=cause,
        in_doubt=False,
        pages_total=3,
        pages_confirmed=3,
        doubtful_page=None,
        reason="",
        attempts=calls,
        finished_at=AT + 1_200,
        personal=strangers.name,
    )


def _call(
    position: int, n: int, cause: Cause, strangers: Strangers, *, pages: int = 3, answered: bool = True
) -> AttemptLine:
    start = AT + 300.0 * (n + 1)
    return AttemptLine(
        number=f"+3319900{position:04}",
        started_at=start,
        answered_at=start + 7 if answered else None,
        ended_at=start + (97 if answered else 31),
        cause=cause,
        pages_confirmed=pages if answered else 0,
        transport="t38" if answered else "",
        bit_rate=14_400 if answered else 0,
        ecm=answered,
        remote_ident=strangers.ident if answered else "",
        detail="",
    )


def _refused_mail(language: str, strangers: Strangers) -> RefusedReport:
    return RefusedReport(
        message="MEXAMPLE",
        subject=strangers.subject,
        in_reply_to="",
        received_at=AT,
        recipients=(strangers.typed, "+33199000002"),
        reason=strangers.reason,
        our_fault=False,
        time_zone="Europe/Paris",
        language=language,
    )


def _received_fax(language: str, strangers: Strangers) -> ReceivedReport:
    return ReceivedReport(
        reception="REXAMPLE",
        customer="example",
        number="+33199000001",
        caller="+33199000002",
        display=strangers.name,
        ident=strangers.ident,
        started_at=AT,
        received_at=AT + 80,
        complete=True,
        pages=3,
        time_zone="Europe/Paris",
        language=language,
    )
