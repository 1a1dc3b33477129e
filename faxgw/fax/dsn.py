"""Who is owed a delivery status notification, and what it says of each recipient (docs/dsn.md).

The law of docs/spine.md section 1: a DSN goes out as RFC 3461 says when the client gave NOTIFY; its text part is the
status mail, so its reader gets no second one; an address to which RFC 3461 owes none gets the status mail of its
settings, except with NOTIFY=NEVER. Actions are those of RFC 3464 section 2.3.3, status codes those of RFC 3463.
Nothing here raises for what a client said: it runs in the transaction that ends a fax.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from faxgw.fax.job import FaxState
from faxgw.fax.outcome import Cause
from faxgw.fax.report import FaxReport, JobReport, RefusedReport

DELAYED_AFTER = 4 * 3600.0
"""Seconds after acceptance from which a fax is late enough to say so (RFC 5321 section 4.5.4.1 leaves it open)."""


class Keyword(enum.StrEnum):
    """Values of NOTIFY (RFC 3461 section 4.1)."""

    NEVER = "NEVER"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    DELAY = "DELAY"


Notify: TypeAlias = frozenset[Keyword]
"""What a client asked for one recipient; empty when it gave no NOTIFY."""


class Action(enum.StrEnum):
    """RFC 3464 section 2.3.3. A confirmed fax is delivered: `relayed` and `expanded` have no use here."""

    DELIVERED = "delivered"
    FAILED = "failed"
    DELAYED = "delayed"


class News(enum.Enum):
    """What there is to tell of one recipient."""

    SENT = "sent"
    """Every page is confirmed."""
    NOT_SENT = "not sent"
    """Failed, cancelled, expired, unknown, or refused after its mail was accepted."""
    DOUBT = "doubt"
    """It may have arrived, and it goes on by policy."""
    LATE = "late"
    """Not final DELAYED_AFTER its acceptance; it goes on."""


_OWED: Mapping[News, tuple[Keyword, Action]] = {
    News.SENT: (Keyword.SUCCESS, Action.DELIVERED),
    News.NOT_SENT: (Keyword.FAILURE, Action.FAILED),
    News.DOUBT: (Keyword.DELAY, Action.DELAYED),
    News.LATE: (Keyword.DELAY, Action.DELAYED),
}
"""RFC 3461 sections 4.1 and 5.2: news → the keyword that asks for it, and the action reported."""


@dataclass(frozen=True, slots=True)
class Due:
    """What is due for one recipient."""

    action: Action | None
    """The DSN's, or none."""
    status_mail: bool
    """True: the status mail of the settings, unless its reader gets a DSN."""


def due(news: News, notify: Notify) -> Due:
    """What one recipient's news makes due. Being late is told by DSN only: status mails know no such occasion."""
    if Keyword.NEVER in notify:
        return Due(None, status_mail=False)
    keyword, action = _OWED[news]
    if keyword in notify:
        return Due(action, status_mail=False)
    return Due(None, status_mail=news is not News.LATE)


def read_notify(value: str) -> Notify:
    """NOTIFY as stored; words that are none are dropped."""
    return frozenset(Keyword(word) for word in value.upper().split(",") if word in Keyword.__members__)


# ------------------------------------------------------------------------------------------------------ what it says


@dataclass(frozen=True, slots=True)
class EnvelopeRecipient:
    """One RCPT of a mail, as the client gave it."""

    fax: str
    """Its fax; empty while the mail is not walked."""
    typed: str
    """The number in the address."""
    address: str
    notify: Notify
    orcpt: str
    """As given, or empty."""
    retry_until: float | None = None
    """Latest time of its fax, Unix seconds."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """The envelope of a mail that was accepted; linked recipients, which have no fax of their own, are left out."""

    message: str
    sender: str
    """Return path: where a DSN goes (RFC 3461 section 6.1); empty for the null sender."""
    received_at: float
    envid: str
    """As given, or empty."""
    ret: str
    """`FULL`, `HDRS` or empty."""
    recipients: tuple[EnvelopeRecipient, ...]


@dataclass(frozen=True, slots=True)
class DsnRecipient:
    """The per-recipient fields of a DSN (RFC 3464 section 2.3)."""

    address: str
    """Final-Recipient: the RCPT as given."""
    orcpt: str
    """Original-Recipient, as given in ORCPT; empty for none."""
    action: Action
    status: str
    """RFC 3463."""
    diagnostic: str = ""
    """Vendor status and an English sentence; empty for none."""
    fax: str = ""
    """Final-Log-ID."""
    pages_confirmed: int = 0
    pages_total: int = 0
    last_attempt: float | None = None
    """End of the last call, Unix seconds."""
    retry_until: float | None = None
    """Of a delayed one: when we give up, Unix seconds."""


@dataclass(frozen=True, slots=True)
class Dsn:
    """The machine's part of a DSN."""

    message: str
    """Id of the mail it speaks of, whose header is returned."""
    envid: str
    """As given, or empty."""
    ret: str
    arrived_at: float
    """Unix seconds."""
    recipients: tuple[DsnRecipient, ...]

    @property
    def returns_all(self) -> bool:
        """True when the whole mail is to be returned: RET=FULL, and a failure (RFC 3461 section 4.3)."""
        return self.ret == "FULL" and any(r.action is Action.FAILED for r in self.recipients)


STATUS: Mapping[Cause, str] = {
    Cause.OK: "0.0",
    Cause.BUSY: "4.1",  # No answer from host: busy, or unable to take a call
    Cause.NO_ANSWER: "4.1",
    Cause.REJECTED: "3.2",  # System not accepting messages
    Cause.WRONG_NUMBER: "1.1",  # Bad destination mailbox address
    Cause.NUMBER_CHANGED: "1.6",  # Mailbox has moved, no forwarding address
    Cause.NUMBER_REFUSED: "1.3",  # Bad destination mailbox address syntax
    Cause.CARRIER_FAULT: "4.0",  # Undefined network status
    Cause.NO_ROUTE: "4.4",  # Unable to route
    Cause.PERSON: "1.0",  # Other address status: there is somebody, but no fax machine
    Cause.NO_FAX_TONE: "1.0",
    Cause.HUNG_UP_BEFORE_FAX: "1.0",
    Cause.NO_COMMON_MODE: "3.3",  # System not capable of selected features
    Cause.TRAINING_FAILED: "4.2",  # Bad connection
    Cause.REMOTE_HUNG_UP: "4.2",
    Cause.PAGE_NOT_CONFIRMED: "4.2",
    Cause.LAST_PAGE_NOT_CONFIRMED: "4.0",
    Cause.BAD_LINES: "4.2",
    Cause.PROTOCOL_ERROR: "5.0",  # Undefined protocol status
    Cause.MEDIA_LOST: "4.2",
    Cause.LINE_FAULT: "3.0",  # Other mail system status: our own
    Cause.DOCUMENT_DAMAGED: "3.0",
    Cause.RENDERING_FAILED: "6.5",  # Conversion failed
    Cause.NOTHING_TO_SEND: "6.0",  # Other media error
    Cause.DENY_LIST: "7.1",  # Delivery not authorized
    Cause.CANCELLED: "0.0",
    Cause.EXPIRED: "4.7",  # Delivery time expired
    Cause.IN_DOUBT: "4.0",
    Cause.CEILING: "4.7",
}
"""Cause → subject and detail of RFC 3463 section 3."""

_SAME_MAIL_MAY_SUCCEED = frozenset(
    {
        Cause.BUSY,
        Cause.NO_ANSWER,
        Cause.REJECTED,
        Cause.CARRIER_FAULT,
        Cause.NO_ROUTE,
        Cause.TRAINING_FAILED,
        Cause.REMOTE_HUNG_UP,
        Cause.PAGE_NOT_CONFIRMED,
        Cause.BAD_LINES,
        Cause.PROTOCOL_ERROR,
        Cause.MEDIA_LOST,
        Cause.LINE_FAULT,
        Cause.DOCUMENT_DAMAGED,
        Cause.EXPIRED,
        Cause.CEILING,
    }
)
"""Class 4: the same mail may succeed later; class 5: something must change first (RFC 3463 section 3.1)."""

DELIVERED_STATUS = "2.0.0"
DOUBT_STATUS = "5.4.0"
"""It may have arrived: never class 4, which invites to send it again."""
GOES_ON_STATUS = "4.4.2"
"""In doubt, and it goes on: the connection broke."""
LATE_STATUS = "4.4.7"
REFUSED_STATUS = "5.6.0"
"""The mail could not be faxed."""
OUR_FAULT_STATUS = "4.3.0"
"""The gateway could not process the mail."""
GOES_ON_TEXT = "The gateway was interrupted during the transmission: the fax may have arrived. It goes on by policy."
MAY_HAVE_ARRIVED = "It may have arrived."


def may_have_arrived(fax: FaxReport) -> bool:
    """True of a fax that is over without being sent, and whose last page may have got through."""
    if fax.state is FaxState.UNKNOWN:
        return True
    if fax.state is FaxState.SENT or not fax.state.final:
        return False
    if fax.cause is Cause.LAST_PAGE_NOT_CONFIRMED and fax.state is FaxState.FAILED:
        return True
    return fax.doubtful_page is not None and fax.doubtful_page == fax.pages_total


def status_of(fax: FaxReport, news: News) -> str:
    """The status code of a fax: never class 2 unless every page is confirmed."""
    if news is News.SENT:
        return DELIVERED_STATUS
    if news is News.DOUBT:
        return GOES_ON_STATUS
    if news is News.LATE:
        return LATE_STATUS
    if may_have_arrived(fax):
        return DOUBT_STATUS
    cause = fax.cause
    if fax.state is FaxState.EXPIRED and cause is Cause.OK:
        cause = Cause.EXPIRED
    return f"{4 if cause in _SAME_MAIL_MAY_SUCCEED else 5}.{STATUS[cause]}"


def diagnostic_of(fax: FaxReport, news: News) -> str:
    """The vendor's status and a sentence for people who read the machine's part; empty when all is well."""
    if news is News.SENT or (news is News.LATE and fax.cause is Cause.OK):
        return ""
    if news is News.DOUBT:
        return f"{Cause.IN_DOUBT.facts.status} {GOES_ON_TEXT}"
    facts = fax.cause.facts if fax.cause is not Cause.OK else Cause.EXPIRED.facts
    said = [facts.status, facts.text]
    if fax.state is FaxState.EXPIRED and fax.cause not in (Cause.EXPIRED, Cause.OK):
        said.append(Cause.EXPIRED.facts.text)
    if may_have_arrived(fax) and "may have arrived" not in facts.text:
        said.append(MAY_HAVE_ARRIVED)
    if fax.reason:
        said.append(fax.reason)
    return " ".join(said)


# ------------------------------------------------------------------------------------------------------ who is told


@dataclass(frozen=True, slots=True)
class Telling:
    """Who is told what of a job."""

    report: JobReport | None
    """What texts speak of: the faxes of NOTIFY=NEVER are left out; None when nothing is left to tell."""
    dsn: Dsn | None
    dsn_to: str
    """The return path; empty without a DSN."""
    status_to: tuple[str, ...]
    """Readers of a status mail."""


@dataclass(frozen=True, slots=True)
class RefusedTelling:
    """Who is told what of a mail that was accepted and could not be faxed."""

    report: RefusedReport | None
    dsn: Dsn | None
    dsn_to: str
    status_to: tuple[str, ...]


def tell_finished(
    report: JobReport,
    envelope: Envelope | None,
    report_to: Sequence[str],
    *,
    success: bool,
    failure: bool,
    reported: Collection[str] = (),
) -> Telling:
    """A job is finished.

    Args:
        report: Every fax of the job.
        envelope: Of the mail it came by; None for other ways in.
        report_to: Readers of status mails, by the settings.
        success: The settings want status mails when everything was sent.
        failure: The settings want them when something was not.
        reported: Faxes whose end a DSN has told already: one per recipient and end.
    """

    def news(found: FaxReport) -> News | None:
        if found.fax in reported:
            return None
        return News.SENT if found.state is FaxState.SENT else News.NOT_SENT

    def wanted(told: Sequence[FaxReport]) -> bool:
        return success if all(f.state is FaxState.SENT for f in told) else failure

    return _tell(report, envelope, report_to, news, wanted)


def tell_doubt(report: JobReport, envelope: Envelope | None, report_to: Sequence[str], fax: str) -> Telling:
    """A fax is in doubt and goes on by policy: its sender is told now (docs/spine.md section 5)."""
    return _tell_one(report, envelope, report_to, fax, News.DOUBT)


def tell_unknown(report: JobReport, envelope: Envelope | None, report_to: Sequence[str], fax: str) -> Telling:
    """A fax ended unknown while others of its job go on: its sender is told now (docs/spine.md section 5)."""
    return _tell_one(report, envelope, report_to, fax, News.NOT_SENT)


def tell_late(report: JobReport, envelope: Envelope | None, faxes: Collection[str]) -> Telling:
    """Faxes of a job are not final DELAYED_AFTER their acceptance."""
    return _tell(report, envelope, (), lambda f: News.LATE if f.fax in faxes else None, lambda told: False)


def tell_refused(report: RefusedReport, envelope: Envelope, report_to: Sequence[str]) -> RefusedTelling:
    """A mail was accepted and could not be faxed."""
    told = [r for r in envelope.recipients if Keyword.NEVER not in r.notify]
    status = OUR_FAULT_STATUS if report.our_fault else REFUSED_STATUS
    facts = Cause.RENDERING_FAILED.facts
    entries = tuple(
        DsnRecipient(r.address, r.orcpt, action, status, f"{facts.status} {report.reason}".strip())
        for r in told
        if (action := due(News.NOT_SENT, r.notify).action) is not None
    )
    dsn, to = _dsn(envelope, entries)
    if not told:
        return RefusedTelling(None, None, "", ())
    left = dataclasses.replace(report, recipients=tuple(r.typed for r in told))
    return RefusedTelling(left, dsn, to, _readers(report_to, to))


def _tell_one(report: JobReport, envelope: Envelope | None, report_to: Sequence[str], fax: str, news: News) -> Telling:
    """News of one fax, told whatever the settings say of ends."""

    def news_of(found: FaxReport) -> News | None:
        return news if found.fax == fax else None

    return _tell(report, envelope, report_to, news_of, lambda told: any(f.fax == fax for f in told))


def _tell(
    report: JobReport,
    envelope: Envelope | None,
    report_to: Sequence[str],
    news_of: Callable[[FaxReport], News | None],
    wanted: Callable[[Sequence[FaxReport]], bool],
) -> Telling:
    asked = _asked(report, envelope)
    told = [f for f in report.faxes if not (f.fax in asked and Keyword.NEVER in asked[f.fax].notify)]
    if not told:
        return Telling(None, None, "", ())
    entries = []
    for fax in told:
        news = news_of(fax)
        action = due(news, asked[fax.fax].notify).action if news and fax.fax in asked else None
        if news is not None and action is not None:
            entries.append(_entry(fax, asked[fax.fax], news, action))
    dsn, to = _dsn(envelope, tuple(entries)) if envelope else (None, "")
    readers = _readers(report_to, to) if wanted(told) else ()
    return Telling(dataclasses.replace(report, faxes=tuple(told)), dsn, to, readers)


def _asked(report: JobReport, envelope: Envelope | None) -> dict[str, EnvelopeRecipient]:
    """What the client asked for each fax; those of a list or a merged document share what it asked for their address.

    Their own addresses stand beside its ORCPT, as behind an alias (RFC 3461 section 5.2.7).
    """
    if envelope is None:
        return {}
    asked = {r.fax: r for r in envelope.recipients}
    shared = asked.pop("", None)
    if shared is not None:
        domain = shared.address.rpartition("@")[2]
        for fax in report.faxes:
            address = f"{fax.number_e164}@{domain}"
            asked.setdefault(fax.fax, dataclasses.replace(shared, fax=fax.fax, typed=fax.number_typed, address=address))
    return asked


def _entry(fax: FaxReport, asked: EnvelopeRecipient, news: News, action: Action) -> DsnRecipient:
    return DsnRecipient(
        address=asked.address,
        orcpt=asked.orcpt,
        action=action,
        status=status_of(fax, news),
        diagnostic=diagnostic_of(fax, news),
        fax=fax.fax,
        pages_confirmed=fax.pages_confirmed,
        pages_total=fax.pages_total,
        last_attempt=max((a.ended_at for a in fax.attempts), default=None),
        retry_until=asked.retry_until if action is Action.DELAYED else None,
    )


def _dsn(envelope: Envelope, entries: tuple[DsnRecipient, ...]) -> tuple[Dsn | None, str]:
    """The DSN and its reader; none without a return path (RFC 3461 section 5.2: never for the null sender)."""
    if not entries or not envelope.sender:
        return None, ""
    dsn = Dsn(envelope.message, envelope.envid, envelope.ret, envelope.received_at, entries)
    return dsn, envelope.sender


def _readers(report_to: Sequence[str], dsn_to: str) -> tuple[str, ...]:
    """Readers of a status mail: whoever gets the DSN has it in the DSN's text."""
    return tuple(a for a in report_to if not dsn_to or a.casefold() != dsn_to.casefold())
