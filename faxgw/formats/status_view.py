"""What a sender is told of a job, decided and put in words: the view that the templates of a status mail show.

docs/spine.md sections 1 and 2: an unknown fax may have arrived and the sender is told so, with the page.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import phonenumbers

from faxgw.fax.errors import Refused
from faxgw.fax.job import FaxState
from faxgw.fax.outcome import Cause
from faxgw.fax.report import MAX_LEFT_OUT, MAX_LEFT_OUT_NAME, AttemptLine, FaxReport, JobReport
from faxgw.formats.cause_texts import CAUSE_TEXTS
from faxgw.formats.outgoing_mail import one_line
from faxgw.formats.status_texts import TEXTS, Texts, zone_named

MAX_LISTED = 100
"""Faxes in the overview of one mail; of the others the mail says how many there are and their results, and its table
has them all. Those that were not delivered come first into this number: who sent 5,000 looks for these. A row has 700
octets of HTML, and some mailboxes show the first 100,000 of a mail."""
MAX_DETAILED = 50
"""Faxes whose calls are shown one by one, 5,000 octets each; where there are more faxes, only those not delivered."""
MAX_ATTEMPTS_SHOWN = 50
"""Calls shown of one fax, the last ones."""
MAX_NAME = 60
"""Characters of an organisation's name."""
MAX_NUMBER = 40
"""Characters of a number as typed, of an identification, of an id."""
MAX_SUBJECT = 200
"""Characters of the submitting mail's subject in the body."""
MAX_SUBJECT_PART = 60
"""Characters of it in our own subject."""
MAX_REASON = 500
"""Characters of a refusal's public text."""


class Verdict(enum.StrEnum):
    """What a sender has to know of a fax, in one word."""

    DELIVERED = "delivered"
    PARTLY = "partly"
    IN_DOUBT = "in_doubt"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Look:
    """How a verdict is shown: never by its colour alone."""

    symbol: str
    background: str
    """Dark enough for white text (contrast at least 5 : 1), on light and on dark pages."""


LOOKS = {
    Verdict.DELIVERED: Look("✓", "#17663a"),
    Verdict.PARTLY: Look("◐", "#8a5300"),
    Verdict.IN_DOUBT: Look("?", "#8a5300"),
    Verdict.FAILED: Look("✗", "#a61b1b"),
    Verdict.EXPIRED: Look("✗", "#a61b1b"),
    Verdict.CANCELLED: Look("–", "#4a5560"),
    Verdict.OPEN: Look("…", "#4a5560"),
}


_WORST_FIRST = (
    *(Verdict.FAILED, Verdict.EXPIRED, Verdict.IN_DOUBT, Verdict.PARTLY),
    *(Verdict.CANCELLED, Verdict.OPEN, Verdict.DELIVERED),
)


@dataclass(frozen=True, slots=True)
class LineView:
    """One fax in the overview."""

    position: int
    number: str
    name: str
    """The recipient's personal text, or empty."""
    result: str
    look: Look
    confirmed: str

    @property
    def unbroken(self) -> str:
        """The number with no-break spaces."""
        return self.number.replace(" ", "\u00a0")


@dataclass(frozen=True, slots=True)
class AttemptView:
    """One call as shown."""

    index: int
    started: str
    number: str
    result: str
    pages: str
    duration: str


@dataclass(frozen=True, slots=True)
class FaxView:
    """One fax with its calls as shown."""

    position: int
    number: str
    result: str
    look: Look
    sentences: tuple[str, ...]
    rows: tuple[tuple[str, str], ...]
    attempts: tuple[AttemptView, ...]
    several_numbers: bool
    """True when a call went to another number than the one shown for the fax."""


def verdict(fax: FaxReport) -> Verdict:
    """What the sender has to know: doubt about the end of a fax outweighs its failure, pages that arrived count."""
    if fax.state is FaxState.SENT:
        return Verdict.DELIVERED
    if fax.in_doubt or fax.state is FaxState.UNKNOWN:
        return Verdict.IN_DOUBT
    if not fax.state.final:
        return Verdict.OPEN
    if fax.cause is Cause.LAST_PAGE_NOT_CONFIRMED and fax.state is FaxState.FAILED:
        return Verdict.IN_DOUBT
    if fax.doubtful_page is not None and fax.doubtful_page == fax.pages_total:
        return Verdict.IN_DOUBT
    if fax.pages_confirmed:
        return Verdict.PARTLY
    return Verdict(fax.state.value)


def international(number: str) -> str:
    """`+33 1 99 00 00 01` of `+33199000001`; a text that is no number is returned as one line."""
    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return one_line(number, MAX_NUMBER)
    return one_line(phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL), MAX_NUMBER)


def deciding_attempt(fax: FaxReport) -> AttemptLine | None:
    """The last connected call, else the last (docs/spine.md section 2)."""
    connected = [a for a in fax.attempts if a.answered_at is not None]
    return connected[-1] if connected else fax.attempts[-1] if fax.attempts else None


class StatusWords:
    """A job's report in the words of its language: the subject, and what the templates show."""

    def __init__(self, report: JobReport) -> None:
        if not report.faxes:
            raise Refused(f"report of {report.job} without a fax", public="There is nothing to report.")
        self.report = report
        self.words = words_of(report.language)
        self.causes = CAUSE_TEXTS[self.words.language]
        self.zone: ZoneInfo = zone_named(report.time_zone)
        self.faxes = sorted(report.faxes, key=lambda f: f.position)
        self.verdicts = [verdict(f) for f in self.faxes]

    def lead(self) -> Verdict:
        """The verdict of the whole job."""
        found = set(self.verdicts)
        if len(found) == 1:
            return self.verdicts[0]
        if any(f.in_doubt and not f.state.final for f in self.faxes):
            return Verdict.IN_DOUBT
        if found & {Verdict.DELIVERED, Verdict.PARTLY}:
            return Verdict.PARTLY
        return Verdict.IN_DOUBT if Verdict.IN_DOUBT in found else Verdict.FAILED

    def subject(self) -> str:
        """The result first, then what and where to, then the submitting mail's subject in parentheses."""
        return with_part(self._result_line(), self.report.subject)

    def _result_line(self) -> str:
        w = self.words
        if len(self.faxes) == 1:
            return self._one_result(self.faxes[0], self.verdicts[0])
        result, faxes = w.result[self.lead()], w.count(w.faxes, len(self.faxes))
        if len(set(self.verdicts)) == 1:
            return w.subject_alike.format(result=result, faxes=faxes)
        return w.subject_mixed.format(result=result, faxes=faxes, counts=self._counts(self.verdicts))

    def _unbroken_title(self) -> str:
        """The result line with no-break spaces within the number."""
        number = self._number(self.faxes[0])
        return self._result_line().replace(number, number.replace(" ", "\u00a0"))

    def _one_result(self, fax: FaxReport, found: Verdict) -> str:
        w = self.words
        if found is Verdict.DELIVERED:
            pattern = w.subject_delivered
        elif found is Verdict.IN_DOUBT:
            pattern = w.subject_in_doubt + ("" if fax.state.final else w.subject_going_on)
        elif found is Verdict.PARTLY:
            pattern = w.subject_partly
        elif found is Verdict.CANCELLED:
            pattern = w.subject_cancelled
        elif found is Verdict.OPEN:
            pattern = w.subject_open
        else:
            pattern = w.subject_failed if fax.pages_total else w.subject_failed_without_pages
        return pattern.format(
            pages=w.count(w.pages, fax.pages_total),
            k=w.whole(fax.pages_confirmed),
            number=self._number(fax),
            cause=self._short(fax),
        )

    def _counts(self, verdicts: Iterable[Verdict]) -> str:
        tally = Counter(verdicts)
        return ", ".join(self.words.counted[v].format(n=self.words.whole(tally[v])) for v in Verdict if tally[v])

    def context(self, organisation: str, content_id: str) -> dict[str, object]:
        """What the templates are given."""
        w, several = self.words, len(self.faxes) > 1
        detailed = self._detailed()
        listed = self._listed()
        rest = list((Counter(self.verdicts) - Counter(found for _fax, found in listed)).elements())
        rows = self._job_rows()
        return {
            "words": w,
            "title": self._result_line(),
            "unbroken_title": self._unbroken_title(),
            "look": LOOKS[self.lead()],
            "result": w.result[self.lead()],
            "lead": self._several_sentence() if several else "",
            "several": several,
            "overview": [self._line(f, v) for f, v in self._ordered(listed)] if several else [],
            "overview_title": w.overview if self.report.order == "position" else w.count(w.faxes, len(self.faxes)),
            "more": w.more_faxes.format(faxes=w.count(w.faxes, len(rest)), counts=self._counts(rest)) if rest else "",
            "left_out": w.details_left_out.format(faxes=w.count(w.faxes, len(detailed)))
            if detailed and len(detailed) < len(self.faxes)
            else "",
            "faxes": [self._view(f, v) for f, v in detailed],
            "rows": rows,
            "width": max(label_width(w, some) for some in (rows, *(self._rows(f, v) for f, v in detailed))),
            "content_id": content_id,
            "footer": w.footer.format(organisation=one_line(organisation, MAX_NAME)),
            "organisation": one_line(organisation, MAX_NAME),
        }

    def _listed(self) -> list[tuple[FaxReport, Verdict]]:
        return self._foremost(MAX_LISTED)

    def _foremost(self, most: int) -> list[tuple[FaxReport, Verdict]]:
        """So many faxes at most, in the order of their sender; delivered ones give way."""
        pairs = list(zip(self.faxes, self.verdicts, strict=True))
        if len(pairs) <= most:
            return pairs
        first = sorted(pairs, key=lambda pair: pair[1] is Verdict.DELIVERED)[:most]
        return sorted(first, key=lambda pair: pair[0].position)

    def _ordered(self, pairs: list[tuple[FaxReport, Verdict]]) -> list[tuple[FaxReport, Verdict]]:
        """In the order that the sender's account asks for."""
        match self.report.order:
            case "result":
                rank = {found: at for at, found in enumerate(_WORST_FIRST)}
                return sorted(pairs, key=lambda pair: (rank[pair[1]], pair[0].position))
            case "number":
                return sorted(pairs, key=lambda pair: (pair[0].number_e164, pair[0].position))
        return pairs

    def _line(self, fax: FaxReport, found: Verdict) -> LineView:
        words = self.words.result[found]
        name = one_line(fax.personal, MAX_NUMBER)
        return LineView(fax.position, self._number(fax), name, words, LOOKS[found], self._confirmed(fax))

    def _detailed(self) -> list[tuple[FaxReport, Verdict]]:
        """The faxes shown one by one."""
        found = self._foremost(MAX_DETAILED)
        if len(found) < len(self.faxes):
            found = [(fax, verdict) for fax, verdict in found if verdict is not Verdict.DELIVERED]
        return self._ordered(found)

    def _several_sentence(self) -> str:
        w = self.words
        return w.sentence_several.format(faxes=w.count(w.faxes, len(self.faxes)), counts=self._counts(self.verdicts))

    def _job_rows(self) -> list[tuple[str, str]]:
        w, r = self.words, self.report
        rows = [(w.your_mail, one_line(r.subject, MAX_SUBJECT))] if r.subject else []
        if r.reference and r.reference != r.subject:
            rows.append((w.your_reference, one_line(r.reference, MAX_SUBJECT)))
        if r.left_out.count:
            rows.append((w.not_faxed, self._not_faxed()))
        rows.append((w.accepted, w.moment(r.accepted_at, self.zone)))
        if r.finished_at is not None:
            rows.append((w.finished, w.moment(r.finished_at, self.zone)))
        if r.billing_code:
            rows.append((w.reference, one_line(r.billing_code, MAX_SUBJECT)))
        if r.resent_of:
            rows.append((w.resent_of, one_line(r.resent_of, MAX_NUMBER)))
        rows.append((w.identifiers, one_line(r.job, MAX_NUMBER)))
        return rows

    def _not_faxed(self) -> str:
        """`anna.vcf (business card), notes.txt (empty), and 3 more`."""
        w, found = self.words, self.report.left_out
        parts = found.parts[:MAX_LEFT_OUT]
        told = [f"{one_line(part.name, MAX_LEFT_OUT_NAME)} ({w.not_faxed_why[part.why]})" for part in parts]
        if found.count > len(parts):
            told.append(w.not_faxed_more.format(n=w.whole(found.count - len(parts))))
        return ", ".join(told)

    def _view(self, fax: FaxReport, found: Verdict) -> FaxView:
        w = self.words
        return FaxView(
            position=fax.position,
            number=self._number(fax),
            result=w.result[found],
            look=LOOKS[found],
            sentences=tuple(self._sentences(fax, found)),
            rows=tuple(self._rows(fax, found)),
            attempts=tuple(self._attempts(fax)),
            several_numbers=any(a.number != fax.number_e164 for a in fax.attempts),
        )

    def _sentences(self, fax: FaxReport, found: Verdict) -> list[str]:
        """Result, doubtful page, cause in words, refusal's reason, advice."""
        w, cause = self.words, self.causes[fax.cause]
        k, n = w.whole(fax.pages_confirmed), w.whole(fax.pages_total)
        if found is Verdict.DELIVERED:
            return [w.count(w.sentence_delivered, fax.pages_total)]
        if found is Verdict.OPEN:
            return [w.sentence_open]
        said = []
        if found is Verdict.IN_DOUBT:
            said = [w.sentence_in_doubt, w.sentence_in_doubt_pages.format(k=k, n=n)]
            said += [w.sentence_in_doubt_page.format(n=w.whole(fax.doubtful_page))] if fax.doubtful_page else []
        else:
            said = [self._outcome_sentence(found, k, n)]
            said += [w.sentence_doubtful.format(n=w.whole(fax.doubtful_page))] if fax.doubtful_page else []
        if found is Verdict.IN_DOUBT and not fax.state.final:
            return [*said, w.sentence_again, w.again_advice]
        if fax.state is FaxState.EXPIRED:
            said += [w.sentence_expired] if found is not Verdict.EXPIRED else []
            said += [w.last_cause.format(cause=cause.text)] if fax.cause not in (Cause.EXPIRED, Cause.OK) else []
        elif fax.cause not in (Cause.OK, Cause.CANCELLED) or (fax.cause is Cause.CANCELLED and found is Verdict.PARTLY):
            said.append(cause.text)
        if fax.reason:
            said.append(one_line(fax.reason, MAX_REASON))
        return [*said, cause.advice] if cause.advice else said

    def _outcome_sentence(self, found: Verdict, k: str, n: str) -> str:
        w = self.words
        if found is Verdict.PARTLY:
            return w.sentence_partly.format(k=k, n=n)
        if found is Verdict.CANCELLED:
            return w.sentence_cancelled
        return w.sentence_expired if found is Verdict.EXPIRED else w.sentence_failed

    def _rows(self, fax: FaxReport, found: Verdict) -> list[tuple[str, str]]:
        w, number = self.words, self._number(fax)
        typed, decided = one_line(fax.number_typed, MAX_NUMBER), deciding_attempt(fax)
        shown = number if typed in ("", number) else f"{number} {w.as_typed.format(typed=typed)}"
        rows = [(w.recipient, shown)]
        if name := one_line(fax.personal, MAX_NUMBER):
            rows.append((w.meant_for, name))
        rows.append((w.result_label, w.result[found]))
        rows.append((w.pages_confirmed, self._confirmed(fax)))
        if fax.doubtful_page is not None:
            rows.append((w.doubtful_label, w.doubtful_page.format(n=w.whole(fax.doubtful_page))))
        if decided is not None:
            rows += self._call_rows(decided)
        elif fax.finished_at is not None:
            rows.append((w.closed, w.moment(fax.finished_at, self.zone)))
        rows.append((w.attempts, w.whole(len(fax.attempts)) if fax.attempts else w.no_attempt))
        rows.append((w.fax_id, one_line(fax.fax, MAX_NUMBER)))
        return rows

    def _call_rows(self, call: AttemptLine) -> list[tuple[str, str]]:
        w = self.words
        rows = [
            (w.call_started, w.moment(call.started_at, self.zone)),
            (w.call_ended, w.moment(call.ended_at, self.zone)),
        ]
        if call.answered_at is not None:
            rows.append((w.duration, w.span(call.ended_at - call.answered_at)))
        if ident := one_line(call.remote_ident, MAX_NUMBER):
            rows.append((w.far_end, ident))
        if call.transport:
            how = [{"t38": "T.38", "g711": w.audio}.get(call.transport, one_line(call.transport, MAX_NUMBER))]
            if call.bit_rate:
                how += [f"{w.whole(call.bit_rate)} bit/s", w.ecm if call.ecm else w.no_ecm]
            rows.append((w.small_print, ", ".join(how)))
        return rows

    def _attempts(self, fax: FaxReport) -> list[AttemptView]:
        w, views = self.words, []
        for index, call in enumerate(fax.attempts, start=1):
            short = self.causes[call.cause].short
            connected = None if call.answered_at is None else call.ended_at - call.answered_at
            views.append(
                AttemptView(
                    index=index,
                    started=w.moment(call.started_at, self.zone),
                    number=international(call.number),
                    result=short[:1].upper() + short[1:],
                    pages=w.whole(call.pages_confirmed),
                    duration="–" if connected is None else w.span(connected),
                )
            )
        return views[-MAX_ATTEMPTS_SHOWN:]

    def _number(self, fax: FaxReport) -> str:
        return international(fax.number_e164) if fax.number_e164 else one_line(fax.number_typed, MAX_NUMBER)

    def _confirmed(self, fax: FaxReport) -> str:
        w = self.words
        if not fax.pages_total:
            return w.pages_not_made
        return w.n_of_m.format(k=w.whole(fax.pages_confirmed), n=w.whole(fax.pages_total))

    def _short(self, fax: FaxReport) -> str:
        """The cause in a subject: an expired fax is late, whatever its last call came to."""
        return self.causes[Cause.EXPIRED if fax.state is FaxState.EXPIRED else fax.cause].short


def words_of(language: str) -> Texts:
    """The texts of a language; English when it is none of ours."""
    return TEXTS.get(language, TEXTS["en"])


def label_width(words: Texts, rows: Sequence[tuple[str, str]]) -> int:
    """Columns that the labels of a plain text need."""
    return max((len(label) for label, _ in rows), default=0) + len(words.colon)


def with_part(subject: str, part: str) -> str:
    """A subject with an excerpt of the submitting mail's subject in parentheses."""
    shown = one_line(part, MAX_SUBJECT_PART)
    return f"{subject} ({shown})" if shown else subject
