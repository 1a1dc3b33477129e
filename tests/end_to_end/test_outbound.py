"""Mail in, a real SIP/T.38 call out, the truth back: every ending of a call, with its cause, pages and attempts."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from tests.end_to_end.world import DOMAIN, Gateway, gateway_at, mail_with, pages_of, pdf, submit
from tests.patience import PATIENCE_S

pytestmark = [pytest.mark.realtime, pytest.mark.asyncio(loop_scope="module")]

NUMBERS = "+331990000"


@dataclass(frozen=True)
class Sent:
    """A mail under way."""

    message: str
    message_id: str


class Round:
    """One gateway to which every mail of this module was sent at once, so that the calls overlap."""

    def __init__(self, gateway: Gateway, sent: Mapping[str, Sent]) -> None:
        self.gateway = gateway
        self.sent = sent

    async def result(self, suffix: str) -> tuple[Mapping[str, Any], Any]:
        """(the fax as the operator sees it, the status mail)."""
        sent = self.sent[suffix]
        found = await self.gateway.finished(sent.message)
        mail = await self.gateway.told(sent.message_id)
        return found["faxes"][0], mail


SUFFIXES = ("00", "01", "02", "10", "11", "12", "13", "30", "32", "41", "42", "43", "51")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def calls(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Round]:
    async with gateway_at(tmp_path_factory.mktemp("outbound")) as gateway:
        sent = {}
        for suffix in SUFFIXES:
            mail = mail_with(pdf(2), f"{NUMBERS}{suffix}@{DOMAIN}", subject=f"To {suffix}")
            message = await asyncio.to_thread(submit, gateway.smtp_port, mail, [f"{NUMBERS}{suffix}@{DOMAIN}"])
            sent[suffix] = Sent(message, str(mail["Message-ID"]))
        yield Round(gateway, sent)


def text_of(mail: Any) -> str:
    return str(mail.get_body(("plain",)).get_content())


@pytest.mark.parametrize(
    "suffix, transport", [("00", "t38"), ("01", "t38"), ("02", "g711"), ("41", "t38"), ("42", "t38")]
)
async def test_a_two_page_pdf_arrives_pixel_for_pixel_and_the_sender_is_told(
    calls: Round, suffix: str, transport: str
) -> None:
    fax, mail = await calls.result(suffix)
    assert (fax["state"], fax["pages"], fax["pages_confirmed"], fax["dials"]) == ("sent", 2, 2, 1)
    assert fax["attempts"][0]["outcome"]["transport"] == transport
    record = (await calls.gateway.records(suffix))[0]
    composed = await calls.gateway.control.tiff(fax["id"])
    assert calls.gateway.pages_received(record) == pages_of(composed)
    assert len(pages_of(composed)) == 2
    assert str(mail["Subject"]).startswith("Delivered: 2 pages to +33 1 99 00 00")
    text = text_of(mail)
    assert "2 of 2" in text
    assert "14400" in text.replace(",", "").replace(" ", "").replace("\u202f", "") or suffix == "42"
    assert "+33 1 99" in text
    assert "not dialled" not in text


@pytest.mark.parametrize(
    "suffix, cause, dials, word",
    [
        ("10", "busy", 2, "busy"),
        ("11", "no_answer", 2, "answer"),
        ("12", "rejected", 2, "rejected"),
        ("13", "wrong_number", 1, "not assigned"),
    ],
)
async def test_a_call_that_does_not_connect_fails_with_its_cause(
    calls: Round, suffix: str, cause: str, dials: int, word: str
) -> None:
    fax, mail = await calls.result(suffix)
    assert (fax["state"], fax["cause"], fax["dials"], fax["pages_confirmed"]) == ("failed", cause, dials, 0)
    assert len(fax["attempts"]) == dials
    assert str(mail["Subject"]).startswith("Not delivered")
    assert word in text_of(mail)


async def test_a_hang_up_after_page_1_says_1_of_2(calls: Round) -> None:
    """The second call resumes at page 2, where the machine hangs up again: page 1 is never sent twice."""
    fax, mail = await calls.result("30")
    first, second = fax["attempts"]
    assert (first["first_page"], first["confirmed"], second["first_page"]) == (1, 1, 2)
    assert fax["state"] in ("failed", "sent")
    if fax["state"] == "failed":
        assert (fax["pages_confirmed"], fax["cause"]) == (1, "remote_hung_up")
        assert "1 of 2" in text_of(mail)


async def test_a_hang_up_is_mended_by_a_second_call_from_page_2(calls: Round) -> None:
    fax, mail = await calls.result("51")
    assert (fax["state"], fax["dials"], fax["pages_confirmed"]) == ("sent", 2, 2)
    assert [a["first_page"] for a in fax["attempts"]] == [1, 2]
    assert str(mail["Subject"]).startswith("Delivered")
    records = await calls.gateway.records("51", 2)
    assert [len(r["pages"]) for r in records] == [1, 1]


async def test_an_unknown_machine_for_standard_resolution_only_gets_standard_pages_in_the_same_call(
    calls: Round,
) -> None:
    """Its DIS says so; the pages are rendered again while it repeats it, and page k of n stays page k of n."""
    fax, _mail = await calls.result("43")
    assert (fax["state"], fax["pages_confirmed"], fax["dials"]) == ("sent", 2, 1)
    (record,) = await calls.gateway.records("43", 1)
    composed = pages_of(await calls.gateway.control.tiff(fax["id"]))
    assert calls.gateway.pages_received(record) == composed
    assert 1100 < composed[0][0][1] < 1250


async def test_a_silent_last_page_is_never_called_delivered(calls: Round) -> None:
    """EOD_FAILED: all was sent, the last page was not confirmed; the second try marks it as a possible duplicate."""
    fax, mail = await calls.result("32")
    assert (fax["state"], fax["cause"]) == ("failed", "last_page_not_confirmed")
    assert (fax["pages_confirmed"], fax["doubtful_page"], fax["dials"]) == (1, 2, 2)
    assert str(mail["Subject"]).startswith("In doubt: 1 of 2 pages confirmed")
    assert "may have arrived" in text_of(mail)


async def test_the_page_sent_again_after_a_doubt_bears_a_mark(calls: Round) -> None:
    fax, _mail = await calls.result("32")
    composed = pages_of(await calls.gateway.control.tiff(fax["id"]))
    plain = pages_of(await calls.gateway.control.tiff((await calls.result("00"))[0]["id"]))
    header = 1728 // 8 * 60
    assert composed[1][1][:header].count(0xFF) != plain[1][1][:header].count(0xFF)


async def test_the_trace_has_the_marks_in_order_and_the_ladder(calls: Round) -> None:
    """Spine section 3: planned, answered, exposed, confirmed, done."""
    sent = calls.sent["00"]
    found = await calls.gateway.finished(sent.message)
    attempt = found["faxes"][0]["attempts"][0]
    marks = [e["what"] for e in found["events"] if e["entity"] == attempt["id"]]
    assert marks == [
        "attempt.planned",
        "attempt.answered",
        "attempt.exposed",
        "attempt.confirmed",
        "attempt.confirmed",
        "attempt.done",
    ]
    words = " ".join(frame[3] for frame in attempt["trace"])
    for name in ("DIS", "DCS", "CFR", "MPS", "MCF", "EOP", "DCN"):
        assert name in words


async def test_health_and_metrics_answer(calls: Round) -> None:
    await calls.result("00")
    health = await asyncio.to_thread(_get, f"{calls.gateway.http}/health")
    assert '"ok"' in health or "true" in health
    metrics = await asyncio.to_thread(_get, f"{calls.gateway.http}/metrics")
    assert 'faxgw_calls_total{cause="ok",direction="out",transport="t38",trunk="far-end"}' in metrics
    assert "+33" not in metrics


async def test_every_metric_that_is_exported_is_filled(calls: Round) -> None:
    """What a gateway that has only sent so far cannot have, it does not show."""
    await calls.result("01")
    await calls.result("10")
    text = await asyncio.to_thread(_get, f"{calls.gateway.http}/metrics")
    families = {family.name: family for family in text_string_to_metric_families(text)}
    empty = {name for name, family in families.items() if not family.samples}
    assert empty <= {"faxgw_conversion_seconds", "faxgw_pages_read"}  # no Office document, and nothing received
    pages = sum(s.value for s in families["faxgw_pages"].samples if s.labels["direction"] == "out")
    timed = sum(s.value for s in families["faxgw_page_seconds"].samples if s.name.endswith("_count"))
    assert pages == timed >= 4
    assert any(s.labels["format"] == "pdf" for s in families["faxgw_render_seconds"].samples)
    accepted = sum(s.value for s in families["faxgw_smtp_mails"].samples if s.labels["result"] == "accepted")
    promised = sum(s.value for s in families["faxgw_smtp_promise_seconds"].samples if s.name.endswith("_count"))
    assert promised == accepted >= 2
    assert [s.value for s in families["faxgw_smtp_connections"].samples] == [0]
    assert any(s.labels["route"] == "status_mail" for s in families["faxgw_delivery_latency_seconds"].samples)


async def test_no_number_and_no_content_is_in_the_log(calls: Round) -> None:
    await calls.result("00")
    text = (calls.gateway.folder / "log").read_text()
    assert "call ended" in text
    for planted in ("199000000", "99 00 00", "quick brown fox", "To 00"):
        assert planted not in text


async def test_the_same_mail_again_is_not_sent_again(calls: Round, tmp_path: Path) -> None:
    await calls.result("00")
    mail = mail_with(pdf(1, 3), f"{NUMBERS}00@{DOMAIN}")
    first = await asyncio.to_thread(submit, calls.gateway.smtp_port, mail, [f"{NUMBERS}00@{DOMAIN}"])
    again = await asyncio.to_thread(submit, calls.gateway.smtp_port, mail, [f"{NUMBERS}00@{DOMAIN}"])
    assert again == first
    fax = (await calls.gateway.finished(first))["faxes"][0]
    assert fax["state"] == "sent"
    records = await calls.gateway.records("00", 2)
    assert [len(r["pages"]) for r in records] == [2, 1]


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
        return str(answer.read().decode())
