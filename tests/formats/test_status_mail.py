from __future__ import annotations

import dataclasses
import email
import email.policy
import re
from collections.abc import Callable
from email.message import EmailMessage
from html.parser import HTMLParser
from typing import Any  # a payload

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faxgw.fax.errors import Refused
from faxgw.fax.job import FaxState
from faxgw.fax.outcome import Cause
from faxgw.fax.report import (
    MAX_LEFT_OUT,
    MAX_LEFT_OUT_NAME,
    NOTHING_LEFT_OUT,
    FaxReport,
    JobReport,
    LeftOut,
    LeftOutParts,
    LeftOutReason,
    RefusedReport,
    Repaired,
)
from faxgw.formats.cause_texts import CAUSE_TEXTS
from faxgw.formats.enclosed import Attachment
from faxgw.formats.mail_letter import MAX_THUMBNAIL
from faxgw.formats.report_payload import report_from_payload, report_to_payload
from faxgw.formats.status_mail import MAX_RECIPIENTS_SHOWN, refused_mail, status_mail
from faxgw.formats.status_texts import TEXTS, Texts, zone_named
from faxgw.formats.status_view import (
    LOOKS,
    MAX_ATTEMPTS_SHOWN,
    MAX_DETAILED,
    MAX_LISTED,
    StatusWords,
    Verdict,
    deciding_attempt,
    international,
    verdict,
)
from tests.formats import samples
from tests.formats.samples import PNG, T, call, fax, job, refused

LANGUAGES = ("en", "fr", "de")
HOSTILE = '<script>alert(1)</script>"><img src=http://evil.example/x>\r\nBcc: v@example.org\u202e{{ 7*7 }}{% raw %}'


def mail(report: JobReport) -> EmailMessage:
    octets = status_mail(
        report, to="ann@example.org", sender="fax@gw.example.org", message_id="<out_1@gw.example.org>", date=T
    )
    return email.message_from_bytes(octets, policy=email.policy.default)


def text(message: EmailMessage) -> str:
    part = message.get_body(("plain",))
    assert isinstance(part, EmailMessage)
    return str(part.get_content()).replace("\r\n", "\n")


def html(message: EmailMessage) -> str:
    part = message.get_body(("html",))
    assert isinstance(part, EmailMessage)
    return str(part.get_content())


class Page(HTMLParser):
    """What a reader's program would make of the HTML: tags, their attributes, the words."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def assert_self_contained(source: str) -> Page:
    """Inline CSS only, no script, no reference but the mail's own picture."""
    page = Page(source)
    for tag, attributes in page.tags:
        assert tag not in {"script", "link", "a", "iframe", "form", "object", "base"}
        for name, value in attributes.items():
            assert not name.startswith("on") and name not in {"href", "srcset", "background"}
            assert name != "src" or (value or "").startswith("cid:")
            assert "url(" not in (value or "")
    assert "url(" not in source and "@import" not in source
    return page


# --------------------------------------------------------------------------------------------------- what is said


@pytest.mark.parametrize(
    ("report", "found"),
    [
        (samples.DELIVERED, Verdict.DELIVERED),
        (samples.BUSY, Verdict.FAILED),
        (samples.PARTLY, Verdict.PARTLY),
        (samples.UNKNOWN, Verdict.IN_DOUBT),
        (samples.AGAIN, Verdict.IN_DOUBT),
        (samples.LAST_PAGE, Verdict.IN_DOUBT),
        (dataclasses.replace(samples.LAST_PAGE, doubtful_page=None), Verdict.IN_DOUBT),
        (samples.CANCELLED, Verdict.CANCELLED),
        (samples.EXPIRED, Verdict.EXPIRED),
        (samples.NOT_RENDERED, Verdict.FAILED),
        (fax(FaxState.FAILED, Cause.REMOTE_HUNG_UP, confirmed=0, doubtful=1), Verdict.FAILED),
        (fax(FaxState.CANCELLED, Cause.CANCELLED, confirmed=2), Verdict.PARTLY),
        (fax(FaxState.WAITING, Cause.BUSY, confirmed=0), Verdict.OPEN),
    ],
)
def test_the_verdict_is_the_truth_about_a_fax(report: FaxReport, found: Verdict) -> None:
    """docs/spine.md section 2: failed, cancelled and expired say k of n; what may have arrived is in doubt."""
    assert verdict(report) is found


@pytest.mark.parametrize(
    ("report", "subject"),
    [
        (samples.DELIVERED, "Delivered: 3 pages to +33 1 99 00 00 01"),
        (fax(total=1, confirmed=1), "Delivered: 1 page to +33 1 99 00 00 01"),
        (samples.BUSY, "Not delivered: busy: 3 pages to +33 1 99 00 00 01"),
        (samples.PARTLY, "Partly delivered: 1 of 3 pages to +33 1 99 00 00 01: far end hung up"),
        (samples.UNKNOWN, "In doubt: 1 of 3 pages confirmed to +33 1 99 00 00 01, may have arrived"),
        (samples.AGAIN, "In doubt: 1 of 3 pages confirmed to +33 1 99 00 00 01, may have arrived, being sent again"),
        (samples.LAST_PAGE, "In doubt: 2 of 3 pages confirmed to +33 1 99 00 00 01, may have arrived"),
        (samples.CANCELLED, "Cancelled: fax to +33 1 99 00 00 01"),
        (samples.EXPIRED, "Not delivered: latest time passed: 3 pages to +33 1 99 00 00 01"),
        (samples.NOT_RENDERED, "Not delivered: document cannot be faxed: +33 1 99 00 00 01"),
        (fax(FaxState.WAITING, Cause.BUSY, confirmed=0), "Under way: fax to +33 1 99 00 00 01"),
        (fax(number="", typed="12 apples"), "Delivered: 3 pages to 12 apples"),
    ],
)
def test_the_subject_states_the_result_first(report: FaxReport, subject: str) -> None:
    """users.md 3.7."""
    assert mail(job([report]))["Subject"] == f"{subject} (Invoice 4711)"
    assert mail(job([report], subject=""))["Subject"] == subject


@pytest.mark.parametrize(
    ("faxes", "result", "subject"),
    [
        (["DELIVERED", "DELIVERED"], "delivered", "Delivered: 2 faxes"),
        (["BUSY", "BUSY"], "failed", "Not delivered: 2 faxes"),
        (["DELIVERED", "BUSY"], "partly", "Partly delivered: 2 faxes: 1 delivered, 1 not delivered"),
        (["BUSY", "UNKNOWN"], "in-doubt", "In doubt: 2 faxes: 1 in doubt, 1 not delivered"),
        (["DELIVERED", "AGAIN"], "in-doubt", "In doubt: 2 faxes: 1 delivered, 1 in doubt"),
        (["BUSY", "CANCELLED"], "failed", "Not delivered: 2 faxes: 1 not delivered, 1 cancelled"),
        (
            ["PARTLY", "EXPIRED", "UNKNOWN"],
            "partly",
            "Partly delivered: 3 faxes: 1 delivered in part, 1 in doubt, 1 not delivered in time",
        ),
    ],
)
def test_several_faxes_are_told_in_one_mail(faxes: list[str], result: str, subject: str) -> None:
    reports = [dataclasses.replace(getattr(samples, n), position=i) for i, n in enumerate(faxes, start=1)]
    message = mail(job(reports, subject=""))
    assert message["Subject"] == subject
    assert message["X-Fax-Result"] == result


def test_several_faxes_stand_in_the_order_of_the_sender() -> None:
    numbers = ["+33199000003", "+33199000001", "+33199000002"]
    faxes = [fax(position=i, number=n) for i, n in enumerate(numbers, start=1)]
    body = text(mail(job(faxes[::-1])))
    shown = re.findall(r"(?m)^(\d)\. (\+33 1 99 00 00 0\d): Delivered", body)
    assert shown == [("1", "+33 1 99 00 00 03"), ("2", "+33 1 99 00 00 01"), ("3", "+33 1 99 00 00 02")]


@pytest.mark.parametrize(
    ("order", "shown"),
    [("position", ["1", "2", "3"]), ("result", ["2", "3", "1"]), ("number", ["3", "1", "2"])],
)
def test_the_account_decides_on_the_order_of_faxes(order: str, shown: list[str]) -> None:
    """`report_order`, the vendor's reply-status-sorting."""
    faxes = [
        dataclasses.replace(samples.DELIVERED, position=1, number_e164="+33199000002"),
        dataclasses.replace(samples.BUSY, position=2, number_e164="+33199000003"),
        dataclasses.replace(samples.UNKNOWN, position=3, number_e164="+33199000001"),
    ]
    body = text(mail(dataclasses.replace(job(faxes), order=order)))
    assert re.findall(r"(?m)^(\d)\. \+33", body) == shown
    assert re.findall(r"(?m)^--- (\d)\. ", body) == shown
    assert ("in the order you gave" in body) is (order == "position")


def test_the_report_of_several_faxes_brings_a_table_and_names_people() -> None:
    """Features A5: one cumulative report that people and programs can read."""
    first = dataclasses.replace(samples.DELIVERED, position=1, personal="Ms. Éloïse")
    message = mail(job([first, dataclasses.replace(samples.BUSY, position=2)]))
    assert message.get_content_type() == "multipart/mixed"
    texts, table = message.iter_parts()
    assert texts.get_content_type() == "multipart/alternative"
    assert (table.get_content_type(), table.get_filename()) == ("text/csv", "recipients.csv")
    assert "Ms. Éloïse" in str(table.get_content())
    assert "1. +33 1 99 00 00 01 Ms. Éloïse: Delivered" in text(message)


def test_documents_go_with_a_report_octet_for_octet() -> None:
    pages = Attachment("pages.tif", "image/tiff", b"II*\0" + bytes(range(256)) * 9)
    octets = status_mail(
        job([samples.DELIVERED]),
        [pages],
        to="ann@example.org",
        sender="fax@gw.example.org",
        message_id="<1@gw.example.org>",
        date=T,
    )
    message = email.message_from_bytes(octets, policy=email.policy.SMTP)
    (attached,) = message.iter_attachments()
    assert (attached.get_filename(), attached.get_content()) == ("pages.tif", pages.octets)


def test_a_delivered_fax_is_told_in_full() -> None:
    body = text(mail(job([samples.DELIVERED])))
    for line in (
        "All 3 pages were delivered and confirmed by the far end.",
        "To:                       +33 1 99 00 00 01 (you wrote: 01 99 00 00 01)",
        "Pages confirmed:          3 of 3",
        "Call started:             21 Nov 2026, 13:48:20 CET (UTC+01:00)",
        "Call ended:               21 Nov 2026, 13:49:39 CET (UTC+01:00)",
        "Duration:                 1 min 12 s",
        "Far end's identification: FAX PARIS 01",
        "Transmission:             T.38, 14,400 bit/s, error correction (ECM)",
        "Your mail:                Invoice 4711",
        "Billing reference:        KST-42",
        "Job:                      FABCDEFGHIJKLMNOPQRST1",
        "Fax:                      FN00000000000000000001",
    ):
        assert f"\n{line}\n" in body


@pytest.mark.parametrize(
    "language, reference, name",
    [
        ("en", "Your reference: ", "For: "),
        ("fr", "Votre référence : ", "Pour : "),
        ("de", "Ihre Referenz: ", "Für: "),
    ],
)
def test_what_the_sender_calls_a_fax_is_told(language: str, reference: str, name: str) -> None:
    """Commands such as `@@ref=B2; personal=Anna@@` are taken out of the subject: here they are found again."""
    report = job([dataclasses.replace(samples.DELIVERED, personal="Anna")], language=language)
    message = mail(dataclasses.replace(report, reference="B2"))
    body = " ".join(text(message).split())
    assert f"{reference}B2" in body and f"{name}Anna" in body
    said = Page(html(message)).text
    assert f"{reference.split(':')[0].strip()} B2" in said and f"{name.split(':')[0].strip()} Anna" in said


def test_a_reference_is_not_told_twice() -> None:
    """Jobs of interfaces have no subject but what the sender calls them."""
    body = text(mail(dataclasses.replace(job([samples.DELIVERED]), subject="B2", reference="B2")))
    assert body.count("B2") == 1 + body.split("\n")[0].count("B2") and "Your reference" not in body


def test_every_call_is_told() -> None:
    message = mail(job([samples.BUSY]))
    calls = re.findall(
        r"(?m)^  (\d)\. 21 Nov 2026, (\d\d:\d\d):20 CET \(UTC\+01:00\): Busy, Pages confirmed: 0", text(message)
    )
    assert calls == [("1", "13:48"), ("2", "13:53"), ("3", "13:58")]
    said = Page(html(message)).text
    assert re.findall(r"(\d)\. Busy 21 Nov 2026, (\d\d:\d\d)", said) == calls
    assert "The number was busy. Try again later." in said


def test_a_call_to_another_number_names_it() -> None:
    report = fax(FaxState.SENT, Cause.OK, call(Cause.BUSY, 0, number="+33199000002"), call(n=2))
    body = text(mail(job([report])))
    assert "CET (UTC+01:00), +33 1 99 00 00 02: Busy" in body


def test_the_operators_detail_is_not_told() -> None:
    """`detail` may name hosts: it is for the operator (fax.outcome)."""
    message = mail(job([samples.BUSY]))
    assert "192.0.2.7" not in text(message) + html(message)


def test_an_unknown_fax_may_have_arrived_and_the_page_is_named() -> None:
    """docs/spine.md section 2: unknown."""
    body = text(mail(job([samples.UNKNOWN])))
    assert "It is not known whether the fax arrived complete." in body
    assert "Pages confirmed: 1 of 3." in body
    assert "Page 2 may have arrived without our knowing it." in body
    assert "It was not repeated." in body
    assert "Ask the recipient before you send it again." in body


def test_a_fax_that_goes_on_after_a_doubt_does_not_say_that_it_was_not_repeated() -> None:
    body = text(mail(job([samples.AGAIN])))
    assert "POSSIBLE DUPLICATE" in body
    assert "the fax may have arrived" in body
    assert "not repeated" not in body


def test_a_page_that_may_have_arrived_is_named_though_the_fax_failed() -> None:
    report = fax(FaxState.FAILED, Cause.REMOTE_HUNG_UP, call(Cause.REMOTE_HUNG_UP, 1), confirmed=1, doubtful=2)
    body = text(mail(job([report])))
    assert "Page 2 may have arrived although it was not confirmed." in body
    assert "The far end hung up during the transmission." in body


def test_a_document_that_could_not_be_rendered_says_why_and_that_nothing_was_dialled() -> None:
    body = text(mail(job([samples.NOT_RENDERED])))
    assert "The PDF is encrypted with a password." in body
    assert "none: the number was not dialled" in body


def test_an_expired_fax_tells_its_last_cause() -> None:
    body = text(mail(job([samples.EXPIRED])))
    assert "The fax was not delivered before its latest time." in body
    assert "The last call: The number was busy." in body


def test_the_deciding_call_is_the_last_connected_one() -> None:
    """docs/spine.md section 2: failed takes the cause of the last connected attempt, else of the last."""
    connected, silent = call(Cause.REMOTE_HUNG_UP, 1), call(Cause.BUSY, 0, n=2, answered=False)
    assert deciding_attempt(fax(FaxState.FAILED, Cause.REMOTE_HUNG_UP, connected, silent)) is connected
    assert deciding_attempt(fax(FaxState.FAILED, Cause.BUSY, silent)) is silent
    assert deciding_attempt(samples.NOT_RENDERED) is None


# ------------------------------------------------------------------------------------------------------ languages


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("cause", Cause)
def test_every_cause_has_its_words_in_every_language(language: str, cause: Cause) -> None:
    words = CAUSE_TEXTS[language][cause]
    assert words.short and words.text.endswith(".")
    assert bool(words.advice) == bool(cause.facts.advice)


def test_languages_have_the_same_texts_with_the_same_places_to_fill() -> None:
    def shape(texts: Texts) -> dict[str, object]:
        return {f.name: getattr(texts, f.name) for f in dataclasses.fields(texts)}

    def places(value: object) -> set[str]:
        return set(re.findall(r"{(\w+)}", repr(value)))

    english = shape(TEXTS["en"])
    for language in ("fr", "de"):
        other = shape(TEXTS[language])
        for name, value in english.items():
            assert type(other[name]) is type(value)
            if isinstance(value, dict):
                assert set(value) == set(other[name])  # type: ignore[call-overload]  # a dict as well
            allowed = places(value) | ({"k", "n", "pages"} & places(english["sentence_partly"]))
            assert places(other[name]) <= allowed, name


@pytest.mark.parametrize(
    ("language", "subject", "started", "colon"),
    [
        ("en", "Not delivered: busy: 3 pages to +33 1 99 00 00 01", "21 Nov 2026, 13:58:20 CET (UTC+01:00)", "Result:"),
        ("fr", "Non remis : occupé : 3 pages au +33 1 99 00 00 01", "21 nov. 2026, 13:58:20", "Résultat\u00a0:"),
        ("de", "Nicht zugestellt: besetzt: 3 Seiten an +33 1 99 00 00 01", "21. Nov. 2026, 13:58:20", "Ergebnis:"),
    ],
)
def test_a_mail_speaks_its_language(language: str, subject: str, started: str, colon: str) -> None:
    message = mail(job([samples.BUSY], language=language, subject=""))
    assert message["Subject"] == subject
    assert started in text(message) and colon in text(message)
    assert Page(html(message)).tags[0] == ("html", {"lang": language, "style": "color-scheme: light dark;"})
    assert CAUSE_TEXTS[language][Cause.BUSY].text in html(message).replace("&#39;", "'")


def test_an_unknown_language_is_english_and_an_unknown_zone_utc() -> None:
    report = dataclasses.replace(job([samples.DELIVERED], language="xx"), time_zone="Nowhere/../etc")
    assert "Call started:             21 Nov 2026, 12:48:20 UTC\n" in text(mail(report))


@pytest.mark.parametrize(
    ("zone", "at", "shown"),
    [
        ("Europe/Paris", 1_774_745_999.0, "29 Mar 2026, 01:59:59 CET (UTC+01:00)"),
        ("Europe/Paris", 1_774_746_000.0, "29 Mar 2026, 03:00:00 CEST (UTC+02:00)"),
        ("America/Sao_Paulo", T, "21 Nov 2026, 09:43:20 UTC-03:00"),
        ("Asia/Kolkata", T, "21 Nov 2026, 18:13:20 IST (UTC+05:30)"),
        ("UTC", T, "21 Nov 2026, 12:43:20 UTC"),
    ],
)
def test_a_time_names_its_zone_and_offset(zone: str, at: float, shown: str) -> None:
    assert TEXTS["en"].moment(at, zone_named(zone)) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0 s"), (-3, "0 s"), (59.4, "59 s"), (60, "1 min 00 s"), (3723, "1 h 02 min 03 s")]
)
def test_a_duration_is_short(seconds: float, shown: str) -> None:
    assert TEXTS["en"].span(seconds) == shown


@pytest.mark.parametrize(
    ("language", "n", "shown"),
    [
        ("en", 0, "0 pages"),
        ("en", 1, "1 page"),
        ("fr", 0, "0 page"),
        ("fr", 2, "2 pages"),
        ("de", 1200, "1.200 Seiten"),
    ],
)
def test_counts_follow_the_grammar(language: str, n: int, shown: str) -> None:
    assert TEXTS[language].count(TEXTS[language].pages, n) == shown


# -------------------------------------------------------------------------------------------------------- the mail


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    "name", ["DELIVERED", "BUSY", "PARTLY", "UNKNOWN", "AGAIN", "LAST_PAGE", "CANCELLED", "EXPIRED"]
)
def test_every_mail_has_the_same_structure(language: str, name: str) -> None:
    message = mail(job([getattr(samples, name)], language=language))
    kinds = [part.get_content_type() for part in message.walk()]
    assert kinds == ["multipart/alternative", "text/plain", "multipart/related", "text/html", "image/png"]
    assert list(message)[:9] == [
        "From", "To", "Subject", "Date", "Message-ID", "In-Reply-To", "References", "Auto-Submitted",
        "X-Auto-Response-Suppress",
    ]  # fmt: skip
    assert (message["In-Reply-To"], message["References"]) == ("<abc.1@mua.example.org>",) * 2
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Message-ID"] == "<out_1@gw.example.org>"
    assert message["X-Fax-Id"] == "FN00000000000000000001"
    assert message["X-Fax-Job"] == "FABCDEFGHIJKLMNOPQRST1"
    assert message["Date"] == "Sat, 21 Nov 2026 13:43:20 +0100"
    page = assert_self_contained(html(message))
    picture = next(a for t, a in page.tags if t == "img")
    assert picture["src"] == "cid:" + str(list(message.walk())[-1]["Content-ID"]).strip("<>")
    assert picture["alt"] == TEXTS[language].thumbnail
    assert LOOKS[verdict(getattr(samples, name))].symbol in page.text
    assert all(a.get("scope") in ("row", "col") for t, a in page.tags if t == "th")


@pytest.mark.parametrize("thumbnail", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n" + bytes(MAX_THUMBNAIL)])
def test_what_is_no_small_png_is_left_out(thumbnail: bytes) -> None:
    message = mail(job([samples.DELIVERED], thumbnail=thumbnail))
    assert [p.get_content_type() for p in message.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    assert "<img" not in html(message)


def test_badges_can_be_read_by_all() -> None:
    """White on the badge's colour has a contrast of at least 4.5 : 1 (WCAG 2.1 criterion 1.4.3)."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for look in LOOKS.values():
        assert 1.05 / (luminance(look.background) + 0.05) >= 4.5
        assert look.symbol


def test_strangers_words_are_only_words() -> None:
    """Typed number, subject, identification, reason, reference: shown, never obeyed, on one line each."""
    evil = dataclasses.replace(call(), remote_ident=HOSTILE)
    report = fax(FaxState.FAILED, Cause.RENDERING_FAILED, evil, typed=HOSTILE, reason=HOSTILE, number="")
    message = mail(dataclasses.replace(job([report], subject=HOSTILE), billing_code=HOSTILE, in_reply_to=HOSTILE))
    page = assert_self_contained(html(message))
    assert "<script>" in page.text and "{{ 7*7 }}" in page.text
    assert message["Bcc"] is None and message["In-Reply-To"] is None
    assert "\nBcc" not in text(message) and "\u202e" not in text(message) + html(message)


@settings(max_examples=40, deadline=None)
@given(*[st.text(max_size=300)] * 6)
def test_no_report_breaks_its_mail(typed: str, number: str, ident: str, subject: str, reply: str, reason: str) -> None:
    evil = dataclasses.replace(call(), remote_ident=ident, number=number, transport=ident)
    report = fax(FaxState.FAILED, Cause.RENDERING_FAILED, evil, typed=typed, number=number, reason=reason)
    message = mail(dataclasses.replace(job([report], subject=subject), in_reply_to=reply, billing_code=reason))
    assert_self_contained(html(message))
    assert len(list(message)) == len({name.lower() for name in message})


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(FaxState), st.sampled_from(Cause), st.booleans(), st.integers(0, 3), st.integers(0, 3)
        ),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from(LANGUAGES),
)
def test_every_combination_can_be_told(rows: list[tuple[FaxState, Cause, bool, int, int]], language: str) -> None:
    faxes = [
        fax(state, cause, call(cause, k), position=i, total=n, confirmed=min(k, n), doubtful=min(k + 1, n) or None,
            in_doubt=doubt)
        for i, (state, cause, doubt, n, k) in enumerate(rows, start=1)
    ]  # fmt: skip
    message = mail(job(faxes, language=language))
    assert "{" not in str(message["Subject"]) + text(message)
    assert str(message["Subject"]).startswith(StatusWords(job(faxes, language=language)).words.result[
        message["X-Fax-Result"].replace("-", "_")
    ])  # fmt: skip


def test_a_report_without_a_fax_is_refused() -> None:
    with pytest.raises(Refused):
        mail(job([]))


def test_a_list_of_thousands_is_bounded_and_the_rest_is_counted() -> None:
    """Every fax is told of: in the overview, or in the counts of the rest; failures are shown in detail first."""
    count = MAX_LISTED + 4_500
    faxes = [samples.DELIVERED] * (count - 2) + [samples.BUSY, samples.UNKNOWN]
    faxes = [dataclasses.replace(f, position=i) for i, f in enumerate(faxes, start=1)]
    message = mail(job(faxes))
    body = text(message)
    assert len(re.findall(r"(?m)^\d+\. .*: Delivered, Pages confirmed", body)) == MAX_LISTED - 2
    assert re.findall(r"(?m)^(\d+)\. .*: (?:Not delivered|In doubt), Pages", body) == [str(count - 1), str(count)]
    assert "and 4,500 faxes more, not listed here: 4,500 delivered." in body
    assert "Details follow for 2 faxes not confirmed as delivered" in body
    assert re.findall(r"\n--- (\d+)\. ", body) == [str(count - 1), str(count)]
    assert len(html(message)) < 102_400, "what some mailboxes show of a mail"


def test_of_many_that_failed_so_many_are_shown_in_detail() -> None:
    faxes = [dataclasses.replace(samples.BUSY, position=i) for i in range(1, MAX_DETAILED + 2)]
    body = text(mail(job([*faxes, dataclasses.replace(samples.DELIVERED, position=MAX_DETAILED + 2)])))
    assert f"Details follow for {MAX_DETAILED} faxes not" in body
    assert body.count("\n--- ") == MAX_DETAILED


def test_of_many_that_were_all_delivered_none_is_shown_in_detail() -> None:
    faxes = [dataclasses.replace(samples.DELIVERED, position=i) for i in range(1, MAX_DETAILED + 2)]
    message = mail(job(faxes))
    assert "Details" not in text(message) and "\n--- " not in text(message)
    assert len(str(message["X-Fax-Id"]).split()) == 20


def test_calls_of_one_fax_are_bounded_and_keep_their_numbers() -> None:
    calls = [call(Cause.BUSY, 0, n=n, answered=False) for n in range(1, MAX_ATTEMPTS_SHOWN + 31)]
    body = text(mail(job([fax(FaxState.FAILED, Cause.BUSY, *calls, confirmed=0)])))
    shown = re.findall(r"(?m)^  (\d+)\. ", body)
    assert shown == [str(n) for n in range(31, MAX_ATTEMPTS_SHOWN + 31)]
    assert f"Calls:             {MAX_ATTEMPTS_SHOWN + 30}\n" in body


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("+33199000001", "+33 1 99 00 00 01"),
        ("+442071838750", "+44 20 7183 8750"),
        ("12 apples", "12 apples"),
        ("", ""),
    ],
)
def test_numbers_are_written_in_international_form(number: str, shown: str) -> None:
    assert international(number) == shown


# ------------------------------------------------------------------------------------------------- refused mails


def refusal(report: RefusedReport) -> EmailMessage:
    octets = refused_mail(
        report, to="ann@example.org", sender="fax@gw.example.org", message_id="<out_1@gw.example.org>", date=T
    )
    return email.message_from_bytes(octets, policy=email.policy.default)


@pytest.mark.parametrize(
    ("language", "subject", "said"),
    [
        ("en", "Not faxed: your mail was not turned into a fax (Invoice 4711)", "Nothing was sent to these numbers."),
        ("fr", "Non faxé : votre message n'a pas été converti en fax (Invoice 4711)", "Rien n'a été envoyé"),
        ("de", "Nicht gefaxt: Ihre Mail wurde nicht in ein Fax umgewandelt (Invoice 4711)", "wurde nichts gesendet"),
    ],
)
def test_a_mail_that_became_no_fax_is_told(language: str, subject: str, said: str) -> None:
    message = refusal(refused(language=language))
    assert message["Subject"] == subject
    assert [p.get_content_type() for p in message.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    page = assert_self_contained(html(message))
    for body in (text(message), page.text):
        assert said in body and "The PDF is encrypted." in body and "+33199000001" in body and "msg_018f" in body
    assert (message["X-Fax-Id"], message["X-Fax-Result"]) == ("msg_018f", "refused")
    assert message["In-Reply-To"] == "<abc.1@mua.example.org>"


def test_our_own_fault_is_owned_and_only_then() -> None:
    """docs/spine.md section 1, message: if the fault was ours, an alarm and the file kept."""
    ours = "The fault is the gateway's, not yours: your mail is kept"
    assert ours in text(refusal(refused(our_fault=True)))
    assert ours not in text(refusal(refused(our_fault=False)))


@pytest.mark.parametrize("place", ["merge", "distribution-list"])
def test_a_place_where_numbers_stand_is_told_as_no_number(place: str) -> None:
    """A refused mailing says that nothing was sent, not that nothing was sent to “merge”."""
    message = refusal(refused(recipients=[place], language="de"))
    for said in (text(message), Page(html(message)).text):
        assert "Es wurde nichts gesendet." in said and place not in said and "Bestimmt für" not in said
    both = text(refusal(refused(recipients=[place, samples.NUMBER])))
    assert "Nothing was sent to these numbers." in both and f"- {samples.NUMBER}\n" in both and place not in both


def test_refused_recipients_are_bounded() -> None:
    body = text(refusal(refused(recipients=[HOSTILE] * 5000)))
    assert body.count("\n- ") == MAX_RECIPIENTS_SHOWN + 1
    assert "\n- + 4900\n" in body


@pytest.mark.parametrize("build", [lambda r: mail(job([samples.DELIVERED])), lambda r: refusal(refused())])
def test_the_same_report_makes_the_same_mail(build: Callable[[object], EmailMessage]) -> None:
    assert build(None).as_bytes() == build(None).as_bytes()


def test_the_sample_picture_is_a_png() -> None:
    assert PNG.startswith(b"\x89PNG\r\n\x1a\n")


@pytest.mark.parametrize(
    ("language", "one", "many"),
    [
        ("en", "Warning: 1 damaged row was repaired on page 2 of “scan.tif”.",
         "Warning: 12 damaged rows were repaired on page 3 of “b”."),
        ("fr", "Attention : 1 ligne endommagée a été réparée à la page 2 de « scan.tif ».",
         "Attention : 12 lignes endommagées ont été réparées à la page 3 de « b »."),
        ("de", "Achtung: 1 beschädigte Zeile wurde auf Seite 2 von „scan.tif“ ausgebessert.",
         "Achtung: 12 beschädigte Zeilen wurden auf Seite 3 von „b“ ausgebessert."),
    ],
)  # fmt: skip
def test_damaged_rows_that_were_let_pass_are_told_to_their_sender(language: str, one: str, many: str) -> None:
    repaired = (Repaired("scan.tif", 2, 1), Repaired("b", 3, 12))
    for faxes in ([samples.DELIVERED], [samples.DELIVERED, dataclasses.replace(samples.DELIVERED, position=2)]):
        report = dataclasses.replace(job(faxes), language=language, repaired=repaired)
        assert report_from_payload(report_to_payload(report)) == report
        message = mail(report)
        lines, markup = text(message).splitlines(), html(message)
        assert one in lines and many in lines
        assert one in markup and many in markup
    assert "repaired" not in text(mail(job([samples.DELIVERED])))


@pytest.mark.parametrize(
    ("language", "label", "value"),
    [
        ("en", "Not faxed", "anna.vcf (business card), notes.txt (empty), and 1,300 more"),
        ("fr", "Non faxé", "anna.vcf (carte de visite), notes.txt (vide), et 1\u202f300 de plus"),
        ("de", "Nicht gefaxt", "anna.vcf (Visitenkarte), notes.txt (leer), und 1.300 weitere"),
    ],
)
def test_what_of_a_mail_was_not_faxed_is_told_to_its_sender(language: str, label: str, value: str) -> None:
    parts = (LeftOut("anna.vcf", LeftOutReason.BUSINESS_CARD), LeftOut("notes.txt", LeftOutReason.EMPTY))
    for faxes in ([samples.DELIVERED], [samples.DELIVERED, dataclasses.replace(samples.DELIVERED, position=2)]):
        report = dataclasses.replace(job(faxes), language=language, left_out=LeftOutParts(parts, 1_302))
        assert report_from_payload(report_to_payload(report)) == report
        message = mail(report)
        (line,) = [line for line in text(message).splitlines() if line.startswith(label)]
        assert line.endswith(f" {value}")
        assert label in html(message) and value.replace("'", "&#39;") in html(message)
        whole = dataclasses.replace(report, left_out=LeftOutParts(parts, 2))
        (line,) = [line for line in text(mail(whole)).splitlines() if line.startswith(label)]
        assert line.endswith(value.rsplit(", ", 1)[0])
        assert label not in text(mail(dataclasses.replace(report, left_out=NOTHING_LEFT_OUT)))


def test_every_reason_for_leaving_a_part_out_has_words_and_names_of_strangers_are_harmless() -> None:
    for words in TEXTS.values():
        assert set(words.not_faxed_why) == set(LeftOutReason)
        assert len(set(words.not_faxed_why.values())) == len(LeftOutReason)
    parts = tuple(LeftOut(HOSTILE, LeftOutReason.SETTINGS) for _ in range(MAX_LEFT_OUT + 3))
    message = mail(dataclasses.replace(job([samples.DELIVERED]), left_out=LeftOutParts(parts, len(parts))))
    (line,) = [line for line in text(message).splitlines() if line.startswith("Not faxed")]
    assert line.count("by your settings)") == MAX_LEFT_OUT and line.endswith("and 3 more")
    assert len(line) < MAX_LEFT_OUT * (MAX_LEFT_OUT_NAME + 60)
    assert "<script" not in html(message)


def test_a_report_from_before_left_nothing_out() -> None:
    """Reports wait in the outbox while the gateway is renewed."""
    payload: dict[str, Any] = report_to_payload(job([samples.DELIVERED]))
    del payload["job"]["left_out"]
    assert report_from_payload(payload).left_out == NOTHING_LEFT_OUT
