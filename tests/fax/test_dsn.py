"""The law of delivery status notifications, as a full table. RFC 3461 sections 4.1 and 5.2, docs/spine.md section 1."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Mapping

import pytest

from faxgw.fax.dsn import (
    STATUS,
    Action,
    Due,
    Envelope,
    EnvelopeRecipient,
    Keyword,
    News,
    diagnostic_of,
    due,
    may_have_arrived,
    read_notify,
    status_of,
    tell_doubt,
    tell_finished,
    tell_late,
    tell_refused,
    tell_unknown,
)
from faxgw.fax.job import FaxState
from faxgw.fax.outcome import Cause
from faxgw.fax.report import FaxReport, JobReport, RefusedReport
from faxgw.formats.status_view import Verdict, verdict
from tests.formats.samples import (
    AGAIN,
    BUSY,
    CANCELLED,
    DELIVERED,
    EXPIRED,
    LAST_PAGE,
    NOT_RENDERED,
    PARTLY,
    UNKNOWN,
    T,
    call,
    fax,
    job,
    refused,
)

ANN = "ann@example.org"
DESK = "desk@example.org"
DSN, MAIL, NOTHING = "DSN", "status mail", "nothing"

TABLE: Mapping[str, Mapping[News, str]] = {
    "": {News.SENT: MAIL, News.NOT_SENT: MAIL, News.DOUBT: MAIL, News.LATE: NOTHING},
    "NEVER": {News.SENT: NOTHING, News.NOT_SENT: NOTHING, News.DOUBT: NOTHING, News.LATE: NOTHING},
    "SUCCESS": {News.SENT: DSN, News.NOT_SENT: MAIL, News.DOUBT: MAIL, News.LATE: NOTHING},
    "FAILURE": {News.SENT: MAIL, News.NOT_SENT: DSN, News.DOUBT: MAIL, News.LATE: NOTHING},
    "DELAY": {News.SENT: MAIL, News.NOT_SENT: MAIL, News.DOUBT: DSN, News.LATE: DSN},
    "SUCCESS,FAILURE": {News.SENT: DSN, News.NOT_SENT: DSN, News.DOUBT: MAIL, News.LATE: NOTHING},
    "SUCCESS,DELAY": {News.SENT: DSN, News.NOT_SENT: MAIL, News.DOUBT: DSN, News.LATE: DSN},
    "FAILURE,DELAY": {News.SENT: MAIL, News.NOT_SENT: DSN, News.DOUBT: DSN, News.LATE: DSN},
    "SUCCESS,FAILURE,DELAY": {News.SENT: DSN, News.NOT_SENT: DSN, News.DOUBT: DSN, News.LATE: DSN},
}
"""NOTIFY → what there is to tell → what goes to the return path: every row that a client can ask for."""
ACTIONS = {
    News.SENT: Action.DELIVERED,
    News.NOT_SENT: Action.FAILED,
    News.DOUBT: Action.DELAYED,
    News.LATE: Action.DELAYED,
}
SAMPLES: Mapping[str, tuple[FaxReport, News]] = {
    "delivered": (DELIVERED, News.SENT),
    "busy": (BUSY, News.NOT_SENT),
    "partly": (PARTLY, News.NOT_SENT),
    "unknown": (UNKNOWN, News.NOT_SENT),
    "last page": (LAST_PAGE, News.NOT_SENT),
    "cancelled": (CANCELLED, News.NOT_SENT),
    "expired": (EXPIRED, News.NOT_SENT),
    "not rendered": (NOT_RENDERED, News.NOT_SENT),
    "goes on": (AGAIN, News.DOUBT),
    "late": (fax(FaxState.WAITING, Cause.BUSY, call(Cause.BUSY, 0, answered=False), confirmed=0), News.LATE),
}


def several(*faxes: FaxReport) -> JobReport:
    """A job of these faxes, numbered anew."""
    return job([dataclasses.replace(f, fax=f"FN{n:020}", position=n) for n, f in enumerate(faxes, 1)])


def envelope(report: JobReport, *notify: str, sender: str = ANN, ret: str = "") -> Envelope:
    people = tuple(
        EnvelopeRecipient(
            fax=f.fax,
            typed=f.number_typed,
            address=f"FAX={f.number_e164}@fax.example.org",
            notify=read_notify(asked),
            orcpt=f"rfc822;FAX+3D+2B{n}@fax.example.org",
            retry_until=T + 9000,
        )
        for n, (f, asked) in enumerate(zip(report.faxes, notify, strict=True), 1)
    )
    return Envelope("msg_1", sender, T, "QQ314159", ret, people)


def told_to_sender(news: News, notify: str) -> str:
    """What goes to the return path about one recipient, through the whole law."""
    if news is News.LATE:
        found, _ = SAMPLES["late"]
        telling = tell_late(several(found), envelope(several(found), notify), [several(found).faxes[0].fax])
    elif news is News.DOUBT:
        report = several(AGAIN)
        telling = tell_doubt(report, envelope(report, notify), [ANN], report.faxes[0].fax)
    else:
        report = several(DELIVERED if news is News.SENT else BUSY)
        telling = tell_finished(report, envelope(report, notify), [ANN], success=True, failure=True)
    assert not (telling.dsn and telling.status_to), "never both"
    if telling.dsn is not None:
        assert [r.action for r in telling.dsn.recipients] == [ACTIONS[news]]
        assert telling.dsn_to == ANN
        return DSN
    return MAIL if telling.status_to == (ANN,) else NOTHING


@pytest.mark.parametrize(("notify", "news"), [(n, news) for n in TABLE for news in News])
def test_each_notify_and_each_news_make_due_what_the_table_says(notify: str, news: News) -> None:
    expected = TABLE[notify][news]
    action = ACTIONS[news] if expected == DSN else None
    assert due(news, read_notify(notify)) == Due(action, expected == MAIL)
    assert told_to_sender(news, notify) == expected


def test_the_table_holds_every_set_that_a_client_can_ask_for() -> None:
    asked = [k for k in Keyword if k is not Keyword.NEVER]
    sets = {frozenset(c) for n in range(4) for c in itertools.combinations(asked, n)} | {frozenset({Keyword.NEVER})}
    assert {read_notify(n) for n in TABLE} == sets


def test_notify_is_read_as_it_was_stored_and_never_raises() -> None:
    assert read_notify("delay,success") == {Keyword.DELAY, Keyword.SUCCESS}
    assert read_notify("SUCCESS,,nonsense") == {Keyword.SUCCESS}


# --------------------------------------------------------------------------------------------------------- statuses

EXPECTED = {
    "delivered": "2.0.0",
    "busy": "4.4.1",
    "partly": "4.4.2",
    "unknown": "5.4.0",
    "last page": "5.4.0",
    "cancelled": "5.0.0",
    "expired": "4.4.1",
    "not rendered": "5.6.5",
    "goes on": "4.4.2",
    "late": "4.4.7",
}


@pytest.mark.parametrize("name", SAMPLES)
def test_status_of_a_fax(name: str) -> None:
    assert status_of(*SAMPLES[name]) == EXPECTED[name]


ENDED = [
    fax(state, cause, total=3, confirmed=confirmed, doubtful=doubtful)
    for state in FaxState
    if state.final
    for cause in Cause
    for confirmed, doubtful in ((0, None), (1, 2), (2, 3))
]


@pytest.mark.parametrize("state", [s for s in FaxState if s.final])
def test_only_a_sent_fax_is_ever_class_2_and_a_doubtful_one_never_invites_to_send_again(state: FaxState) -> None:
    """RFC 3463 section 3.1: class 2 success, 4 the same mail may succeed, 5 something must change."""
    for found in (f for f in ENDED if f.state is state):
        news = News.SENT if state is FaxState.SENT else News.NOT_SENT
        status = status_of(found, news)
        assert re.fullmatch(r"[245]\.[0-7]\.[0-9]", status)
        assert status.startswith("2") == (state is FaxState.SENT)
        assert may_have_arrived(found) == (verdict(found) is Verdict.IN_DOUBT), "text and fields say the same"
        if may_have_arrived(found):
            assert status == "5.4.0"
            assert "may have arrived" in diagnostic_of(found, news)
        elif found.cause not in (Cause.IN_DOUBT, Cause.LAST_PAGE_NOT_CONFIRMED):
            assert status != "5.4.0"
            assert "may have arrived" not in diagnostic_of(found, news)


def test_every_cause_has_a_status() -> None:
    assert set(STATUS) == set(Cause)
    for state, cause in itertools.product((FaxState.FAILED, FaxState.EXPIRED), Cause):
        assert status_of(fax(state, cause, confirmed=0), News.NOT_SENT)[0] in "45"


def test_an_expired_fax_that_was_never_dialled_says_so() -> None:
    """RFC 3463 section 3.5: X.4.7 only where there is no code for the actual problem."""
    never = fax(FaxState.EXPIRED, Cause.EXPIRED, confirmed=0)
    assert status_of(never, News.NOT_SENT) == "4.4.7"
    assert diagnostic_of(never, News.NOT_SENT) == "CANCELLED The latest time for this fax has passed."
    assert diagnostic_of(EXPIRED, News.NOT_SENT) == (
        "BUSY The number was busy. The latest time for this fax has passed."
    )


def test_diagnostics_are_the_vendor_status_and_a_sentence() -> None:
    assert diagnostic_of(DELIVERED, News.SENT) == ""
    assert diagnostic_of(BUSY, News.NOT_SENT) == "BUSY The number was busy."
    assert diagnostic_of(UNKNOWN, News.NOT_SENT).startswith("EOD_FAILED ")
    assert "not repeated" not in diagnostic_of(AGAIN, News.DOUBT)
    assert diagnostic_of(NOT_RENDERED, News.NOT_SENT).endswith("The PDF is encrypted with a password.")
    fresh = fax(FaxState.HELD, Cause.OK, confirmed=0)
    assert diagnostic_of(fresh, News.LATE) == ""


# ------------------------------------------------------------------------------------------------------ who is told


def test_one_dsn_for_all_recipients_of_a_job_with_what_each_asked_for() -> None:
    report = several(DELIVERED, BUSY, UNKNOWN)
    telling = tell_finished(
        report, envelope(report, "SUCCESS", "SUCCESS,FAILURE", "FAILURE"), [ANN], success=True, failure=True
    )
    assert telling.dsn is not None
    assert [(r.action.value, r.status) for r in telling.dsn.recipients] == [
        ("delivered", "2.0.0"),
        ("failed", "4.4.1"),
        ("failed", "5.4.0"),
    ]
    assert telling.status_to == ()
    assert telling.report == report


def test_a_recipient_without_claim_is_told_in_the_text_of_the_dsn_that_goes_out_for_another() -> None:
    report = several(DELIVERED, BUSY)
    telling = tell_finished(report, envelope(report, "SUCCESS", ""), [ANN], success=False, failure=False)
    assert telling.dsn is not None
    assert [r.fax for r in telling.dsn.recipients] == [report.faxes[0].fax]
    assert telling.report == report
    assert telling.status_to == ()


def test_a_recipient_of_never_is_in_no_text_and_no_field() -> None:
    report = several(DELIVERED, BUSY)
    telling = tell_finished(report, envelope(report, "SUCCESS", "NEVER"), [ANN, DESK], success=True, failure=False)
    assert telling.report is not None
    assert telling.report.faxes == report.faxes[:1]
    assert telling.status_to == (DESK,), "told of a job that was sent"


def test_a_job_of_never_alone_tells_nobody() -> None:
    report = several(BUSY, UNKNOWN)
    telling = tell_finished(report, envelope(report, "NEVER", "NEVER"), [ANN, DESK], success=True, failure=True)
    assert (telling.report, telling.dsn, telling.dsn_to, telling.status_to) == (None, None, "", ())


@pytest.mark.parametrize(("sample", "success", "failure", "told"), [
    (DELIVERED, True, False, True),
    (DELIVERED, False, True, False),
    (BUSY, True, False, False),
    (BUSY, False, True, True),
])  # fmt: skip
def test_settings_decide_over_status_mails_only(sample: FaxReport, success: bool, failure: bool, told: bool) -> None:
    report = several(sample)
    plain = tell_finished(report, envelope(report, ""), [ANN], success=success, failure=failure)
    assert (plain.dsn, bool(plain.status_to)) == (None, told)
    asked = tell_finished(report, envelope(report, "SUCCESS,FAILURE"), [ANN], success=success, failure=failure)
    assert asked.dsn is not None


def test_other_readers_of_the_settings_keep_their_status_mail() -> None:
    report = several(DELIVERED)
    telling = tell_finished(report, envelope(report, "SUCCESS"), [DESK, "Ann@Example.org"], success=True, failure=True)
    assert telling.dsn_to == ANN
    assert telling.status_to == (DESK,)


def test_a_job_that_came_by_no_mail_has_status_mails_only() -> None:
    telling = tell_finished(several(BUSY), None, [DESK], success=True, failure=True)
    assert (telling.dsn, telling.status_to) == (None, (DESK,))


def test_the_null_sender_gets_no_dsn() -> None:
    """RFC 3461 section 5.2: no DSN is returned for a mail with an empty return path."""
    report = several(BUSY)
    telling = tell_finished(report, envelope(report, "FAILURE", sender=""), [DESK], success=True, failure=True)
    assert (telling.dsn, telling.status_to) == (None, (DESK,))


def test_a_doubt_is_told_of_the_fax_in_doubt_alone() -> None:
    report = several(AGAIN, DELIVERED)
    telling = tell_doubt(report, envelope(report, "DELAY", "SUCCESS,DELAY"), [ANN, DESK], report.faxes[0].fax)
    assert telling.dsn is not None
    (entry,) = telling.dsn.recipients
    assert (entry.fax, entry.action, entry.status) == (report.faxes[0].fax, Action.DELAYED, "4.4.2")
    assert entry.retry_until == T + 9000
    assert telling.status_to == (DESK,)


def test_a_doubt_about_a_recipient_of_never_is_told_to_nobody() -> None:
    report = several(AGAIN, DELIVERED)
    telling = tell_doubt(report, envelope(report, "NEVER", ""), [ANN, DESK], report.faxes[0].fax)
    assert (telling.dsn, telling.status_to) == (None, ())


def test_late_is_said_of_open_faxes_to_the_return_path_alone() -> None:
    late, _ = SAMPLES["late"]
    report = several(late, DELIVERED, late, late)
    late_ones = [f.fax for f in report.faxes if not f.state.final]
    telling = tell_late(report, envelope(report, "DELAY", "DELAY,SUCCESS", "SUCCESS", "NEVER"), late_ones)
    assert telling.dsn is not None
    assert [r.fax for r in telling.dsn.recipients] == [report.faxes[0].fax]
    assert telling.dsn.recipients[0].retry_until == T + 9000
    assert telling.status_to == ()


def test_an_end_that_a_dsn_has_told_is_not_told_by_another() -> None:
    """A fax that ends unknown is told at once; the others of its job when all have ended."""
    report = several(UNKNOWN, BUSY)
    env, first = envelope(report, "FAILURE", "FAILURE"), report.faxes[0].fax
    at_once = tell_unknown(report, env, [ANN, DESK], first)
    assert at_once.dsn is not None
    assert [(r.fax, r.action, r.status) for r in at_once.dsn.recipients] == [(first, Action.FAILED, "5.4.0")]
    assert at_once.status_to == (DESK,)
    at_end = tell_finished(report, env, [ANN], success=True, failure=True, reported=[first])
    assert at_end.dsn is not None
    assert [r.fax for r in at_end.dsn.recipients] == [report.faxes[1].fax]
    assert at_end.report == report


def test_a_final_entry_names_its_last_call_and_no_retry() -> None:
    report = several(BUSY)
    telling = tell_finished(report, envelope(report, "FAILURE,DELAY"), [], success=True, failure=True)
    assert telling.dsn is not None
    (entry,) = telling.dsn.recipients
    assert entry.last_attempt == BUSY.attempts[-1].ended_at
    assert entry.retry_until is None
    assert (entry.address, entry.orcpt) == ("FAX=+33199000001@fax.example.org", "rfc822;FAX+3D+2B1@fax.example.org")


@pytest.mark.parametrize(("ret", "notify", "whole"), [
    ("FULL", "FAILURE", True),
    ("HDRS", "FAILURE", False),
    ("", "FAILURE", False),
])  # fmt: skip
def test_the_whole_mail_comes_back_with_a_failure_when_asked_for(ret: str, notify: str, whole: bool) -> None:
    """RFC 3461 section 4.3."""
    report = several(BUSY)
    telling = tell_finished(report, envelope(report, notify, ret=ret), [], success=True, failure=True)
    assert telling.dsn is not None
    assert telling.dsn.returns_all is whole


def test_the_whole_mail_never_comes_back_with_a_success() -> None:
    report = several(DELIVERED)
    telling = tell_finished(report, envelope(report, "SUCCESS", ret="FULL"), [], success=True, failure=True)
    assert telling.dsn is not None
    assert not telling.dsn.returns_all


# ---------------------------------------------------------------------------------------------------------- refusal


def refusal(*notify: str, our_fault: bool = False) -> tuple[RefusedReport, Envelope]:
    report = several(*[BUSY] * len(notify))
    env = envelope(report, *notify)
    people = tuple(dataclasses.replace(r, fax="", typed=f"01 99 00 00 0{n}") for n, r in enumerate(env.recipients, 1))
    return refused(our_fault=our_fault, recipients=[r.typed for r in people]), dataclasses.replace(
        env, recipients=people
    )


@pytest.mark.parametrize(("our_fault", "status"), [(False, "5.6.0"), (True, "4.3.0")])
def test_a_refused_mail_is_a_failure_of_each_recipient(our_fault: bool, status: str) -> None:
    telling = tell_refused(*refusal("FAILURE", "SUCCESS", "NEVER", our_fault=our_fault), [ANN, DESK])
    assert telling.dsn is not None
    (entry,) = telling.dsn.recipients
    assert (entry.action, entry.status) == (Action.FAILED, status)
    assert entry.diagnostic.endswith("The PDF is encrypted.")
    assert telling.report is not None
    assert telling.report.recipients == ("01 99 00 00 01", "01 99 00 00 02")
    assert telling.status_to == (DESK,)


def test_a_refusal_nobody_asked_a_dsn_for_is_the_mail_of_the_settings() -> None:
    telling = tell_refused(*refusal("", "SUCCESS,DELAY"), [ANN])
    assert (telling.dsn, telling.status_to) == (None, (ANN,))


def test_a_refusal_of_never_alone_tells_nobody() -> None:
    telling = tell_refused(*refusal("NEVER"), [ANN])
    assert (telling.report, telling.dsn, telling.status_to) == (None, None, ())


# ------------------------------------------------------------------------------------ lists and merged documents


def of_a_list(notify: str, *individual: EnvelopeRecipient) -> Envelope:
    """The envelope of a mail to its distribution list: that address has no fax of its own."""
    orcpt = "rfc822;customers@sap.example"
    place = EnvelopeRecipient("", "distribution-list", "list@fax.example", read_notify(notify), orcpt)
    return Envelope("msg_1", ANN, T, "SAP-1", "HDRS", (place, *individual))


def two() -> JobReport:
    return job([fax(position=1), dataclasses.replace(BUSY, fax="FN2", position=2, number_e164="+33199000002")])


def test_each_fax_of_a_list_is_told_as_was_asked_for_its_address() -> None:
    """RFC 3461 section 5.2.7: behind an alias, with the address of each and the original recipient."""
    telling = tell_finished(two(), of_a_list("SUCCESS,FAILURE"), (ANN,), success=True, failure=True)
    assert telling.dsn is not None and telling.status_to == ()
    assert [(r.address, r.orcpt, r.action) for r in telling.dsn.recipients] == [
        ("+33199000001@fax.example", "rfc822;customers@sap.example", Action.DELIVERED),
        ("+33199000002@fax.example", "rfc822;customers@sap.example", Action.FAILED),
    ]


def test_of_a_list_nothing_is_told_where_nothing_was_wanted() -> None:
    telling = tell_finished(two(), of_a_list("NEVER"), (ANN,), success=True, failure=True)
    assert (telling.dsn, telling.status_to) == (None, ())


def test_an_own_address_beside_a_list_keeps_its_own_wish() -> None:
    own = EnvelopeRecipient("FN2", "x", "FAX=+33199000002@fax.example", read_notify("FAILURE"), "")
    telling = tell_finished(two(), of_a_list("", own), (ANN, DESK), success=True, failure=True)
    assert telling.dsn is not None
    assert [r.address for r in telling.dsn.recipients] == ["FAX=+33199000002@fax.example"]
    assert telling.status_to == (DESK,)
