"""DSNs end to end: a mail by SMTP with RFC 3461's parameters, a real store, the mails that the relay gets."""

from __future__ import annotations

import asyncio
import email
import email.policy
import smtplib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage, Message
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import select, update

from faxgw.delivery.mail import MailDelivery, RelaySettings
from faxgw.demo import MailboxSink
from faxgw.dispatch import upkeep
from faxgw.dispatch.gate import Gate
from faxgw.dispatch.outbox import OutboxWorker
from faxgw.dispatch.worker import PageWorker
from faxgw.document import types as pages
from faxgw.fax.dsn import DELAYED_AFTER
from faxgw.fax.job import Wish
from faxgw.fax.outcome import Cause
from faxgw.intake.smtp import SmtpServer
from faxgw.store import late, ledger
from faxgw.store import schema as t
from faxgw.store.passwords import Passwords
from faxgw.store.queue import HELD_BY_RESTORE
from faxgw.store.space import Watermark
from tests.dispatch.doubles import Pages, until
from tests.house import ALICE, House
from tests.intake.world import settings
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.asyncio(loop_scope="session")

ONE, TWO, THREE = "+33199000001", "+33199000002", "+33199000003"
MAIL = (
    b"From: Alice <alice@example.org>\r\nTo: fax@fax.example.org\r\nSubject: Order 4711\r\n"
    b"Message-ID: <sap.4711@client.example.org>\r\n\r\nPlease deliver.\r\n"
)
DSN, STATUS = "multipart/report", "multipart/alternative"


def address(number: str) -> str:
    """As SAPconnect writes it."""
    return f"FAX={number}@fax.example.org"


@dataclass
class Round:
    """A gateway in one process: SMTP in, SMTP out, no line."""

    house: House
    port: int
    mailbox: MailboxSink
    sent: set[str] = field(default_factory=set)

    async def submit(self, people: Mapping[str, Sequence[str]], *options: str, mail: bytes = MAIL) -> str:
        """Send a mail to numbers with their RCPT parameters; the message's id."""

        def talk() -> bytes:
            with smtplib.SMTP("127.0.0.1", self.port, timeout=PATIENCE_S) as client:
                client.ehlo()
                assert client.has_extn("dsn")
                assert client.mail(ALICE, list(options))[0] == 250
                for number, given in people.items():
                    code, text = client.rcpt(address(number), list(given))
                    assert code == 250, text
                code, text = client.data(mail)
                assert code == 250, text
                return text

        return (await asyncio.to_thread(talk)).decode().split()[-1]

    async def faxes(self, people: Mapping[str, Sequence[str]], *options: str, mail: bytes = MAIL) -> list[str]:
        """Submit, walk, render."""
        return await self.house.walk(await self.submit(people, *options, mail=mail), ready=True)

    async def told(self) -> list[EmailMessage]:
        """Deliver what is due; the mails that came since the last time."""
        house = self.house
        way = MailDelivery(
            RelaySettings(host="127.0.0.1", port=self.mailbox.port, tls="none", sender="fax@gw.example.org"),
            "gw.example.org",
        )
        worker = OutboxWorker(house.seat(), dict.fromkeys(way.kinds, way))
        running = asyncio.create_task(worker.delivering.run())

        async def done() -> bool:
            return all(row.state == "done" for row in await house.outbox())

        await until(done)
        await worker.delivering.stop(5)
        await running
        new = [m for m in self.mailbox.mails() if m.path.name not in self.sent]
        self.sent |= {m.path.name for m in new}
        return [email.message_from_bytes(m.octets, policy=email.policy.default) for m in new]


@pytest_asyncio.fixture(loop_scope="session")
async def round_(house: House, tmp_path: Path) -> AsyncIterator[Round]:
    gate = Gate(house.seat(), Watermark(1), Passwords(house.clock))
    server = SmtpServer(settings(), gate, house.files, now=house.clock, dsn=True)
    (bound,) = await server.start()
    mailbox = MailboxSink(tmp_path / "mail")
    await mailbox.start()
    yield Round(house, bound.port, mailbox)
    await server.stop(0)
    await mailbox.stop()


def fields(mail: EmailMessage) -> list[dict[str, str]]:
    """The blocks of a DSN: per message, then per recipient."""
    _, status, *_ = mail.iter_parts()
    assert status.get_content_type() == "message/delivery-status"
    payload = status.get_payload()
    assert isinstance(payload, list)
    assert all(isinstance(block, Message) for block in payload)
    return [{name: str(value) for name, value in block.items()} for block in payload]  # type: ignore[union-attr]


def text(mail: EmailMessage) -> str:
    part = next(p for p in mail.walk() if p.get_content_type() == "text/plain")
    assert isinstance(part, EmailMessage)
    return str(part.get_content())


def kinds(mails: Sequence[EmailMessage]) -> list[str]:
    return sorted(m.get_content_type() for m in mails)


async def test_sapconnect_gets_its_envelope_and_recipient_back_with_the_null_return_path(round_: Round) -> None:
    """RFC 3461 sections 4 and 6: ENVID and ORCPT echoed decoded, header of the mail returned."""
    (fax,) = await round_.faxes(
        {ONE: ["NOTIFY=SUCCESS,FAILURE,DELAY", f"ORCPT=rfc822;FAX+3D+2B{ONE[1:]}@fax.example.org"]},
        "ENVID=SAP+2BQAS+3D800.000042",
        "RET=HDRS",
    )
    await round_.house.call(fax, Cause.OK, confirmed=2)
    (mail,) = await round_.told()
    assert mail.get_content_type() == DSN
    assert mail.get_param("report-type") == "delivery-status"
    assert (mail["Return-Path"], mail["Delivered-To"], str(mail["To"])) == ("<>", ALICE, ALICE)
    assert mail["Auto-Submitted"] == "auto-replied"
    assert mail["In-Reply-To"] == "<sap.4711@client.example.org>"
    per_message, per_recipient = fields(mail)
    assert per_message["Original-Envelope-Id"] == "SAP+QAS=800.000042"
    assert per_message["Reporting-MTA"] == "dns;gw.example.org"
    assert per_recipient["Original-Recipient"] == f"rfc822;{address(ONE)}"
    assert per_recipient["Final-Recipient"] == f"rfc822;{address(ONE)}"
    assert (per_recipient["Action"], per_recipient["Status"]) == ("delivered", "2.0.0")
    assert per_recipient["Final-Log-ID"] == fax
    *_, returned = mail.iter_parts()
    assert returned.get_content_type() == "text/rfc822-headers"
    assert str(returned.get_payload()).encode() == MAIL.partition(b"\r\n\r\n")[0] + b"\r\n"
    assert "2 pages" in text(mail)


async def test_a_failure_with_ret_full_brings_the_mail_back(round_: Round) -> None:
    (fax,) = await round_.faxes({ONE: ["NOTIFY=FAILURE"]}, "RET=FULL")
    await round_.house.call(fax, Cause.WRONG_NUMBER)
    (mail,) = await round_.told()
    assert (fields(mail)[1]["Action"], fields(mail)[1]["Status"]) == ("failed", "5.1.1")
    assert fields(mail)[1]["Diagnostic-Code"] == "x-fax;WRONG_NO The number is not assigned."
    *_, returned = mail.iter_parts()
    assert returned.get_content_type() == "message/rfc822"
    assert MAIL in round_.mailbox.mails()[-1].octets


@pytest.mark.parametrize(
    ("given", "sent", "failed"),
    [
        ([], [STATUS], [STATUS]),
        (["NOTIFY=NEVER"], [], []),
        (["NOTIFY=SUCCESS"], [DSN], [STATUS]),
        (["NOTIFY=FAILURE"], [STATUS], [DSN]),
        (["NOTIFY=DELAY"], [STATUS], [STATUS]),
        (["NOTIFY=SUCCESS,FAILURE"], [DSN], [DSN]),
    ],
)
@pytest.mark.parametrize("good", [True, False])
async def test_the_end_of_a_job_is_told_as_its_client_asked(
    round_: Round, given: list[str], sent: list[str], failed: list[str], good: bool
) -> None:
    """docs/spine.md section 1, last paragraph."""
    (fax,) = await round_.faxes({ONE: given})
    if good:
        await round_.house.call(fax, Cause.OK, confirmed=2)
    else:
        await round_.house.wish(fax, Wish.CANCEL)
    assert kinds(await round_.told()) == (sent if good else failed)


async def test_recipients_of_one_mail_share_a_dsn_and_keep_their_own_wishes(round_: Round) -> None:
    house = round_.house
    good, bad, quiet = await round_.faxes(
        {ONE: ["NOTIFY=SUCCESS"], TWO: ["NOTIFY=FAILURE"], THREE: ["NOTIFY=NEVER"]}, "ENVID=three"
    )
    await house.call(good, Cause.OK, confirmed=2)
    await house.call(quiet, Cause.WRONG_NUMBER)
    assert await round_.told() == [], "the job is not finished"
    await house.call(bad, Cause.WRONG_NUMBER)
    (mail,) = await round_.told()
    assert [(f["Final-Log-ID"], f["Action"]) for f in fields(mail)[1:]] == [(good, "delivered"), (bad, "failed")]
    assert quiet not in text(mail)


async def test_another_reader_of_the_settings_gets_the_status_mail(round_: Round) -> None:
    message = await round_.submit({ONE: ["NOTIFY=SUCCESS"]})
    (fax,) = await round_.house.walk(message, ready=True)
    await round_.house.change(update(t.jobs).values(report_to=["desk@example.org", ALICE]))
    await round_.house.call(fax, Cause.OK, confirmed=2)
    mails = await round_.told()
    assert sorted((str(m["To"]), m.get_content_type()) for m in mails) == [
        (ALICE, DSN),
        ("desk@example.org", STATUS),
    ]


# ----------------------------------------------------------------------------------------------------------- doubt


async def interrupt(house: House, fax: str) -> None:
    """A call of which nobody saw the end, after a page was exposed."""
    attempt = await house.plan(fax)
    await house.answer(attempt)
    await house.expose(attempt, fax)
    await house.next_life()
    await house.do(ledger.recover, attempt=attempt, now=house.now)


async def test_an_unknown_fax_is_a_failure_that_says_it_may_have_arrived(round_: Round) -> None:
    """docs/spine.md section 5: never `delivered`, and never class 4, which invites to send again."""
    (fax,) = await round_.faxes({ONE: ["NOTIFY=SUCCESS,FAILURE"]})
    await interrupt(round_.house, fax)
    (mail,) = await round_.told()
    entry = fields(mail)[1]
    assert (entry["Action"], entry["Status"]) == ("failed", "5.4.0")
    assert "may have arrived" in entry["Diagnostic-Code"]
    assert "may have arrived" in text(mail)


async def test_an_unknown_fax_is_told_at_once_and_once(round_: Round) -> None:
    unknown, other = await round_.faxes({ONE: ["NOTIFY=FAILURE"], TWO: ["NOTIFY=FAILURE"]})
    await interrupt(round_.house, unknown)
    (mail,) = await round_.told()
    assert [f["Final-Log-ID"] for f in fields(mail)[1:]] == [unknown]
    await round_.house.wait(other)
    await round_.house.call(other, Cause.WRONG_NUMBER)
    (mail,) = await round_.told()
    assert [f["Final-Log-ID"] for f in fields(mail)[1:]] == [other]
    assert unknown in text(mail)


@pytest.mark.parametrize(
    ("notify", "now", "later"),
    [
        ("NOTIFY=SUCCESS,FAILURE,DELAY", [DSN], [DSN]),
        ("NOTIFY=SUCCESS,FAILURE", [STATUS], [DSN]),
        ("NOTIFY=NEVER", [], []),
    ],
)
async def test_a_doubt_that_goes_on_by_policy_is_delayed_now_and_ends_later(
    round_: Round, notify: str, now: list[str], later: list[str]
) -> None:
    house = round_.house
    (fax,) = await round_.faxes({ONE: [notify]})
    job = (await house.fax(fax)).job
    (row,) = await house.rows(select(t.jobs.c.settings).where(t.jobs.c.id == job))
    changed = {**row.settings, "in_doubt": {**row.settings["in_doubt"], "value": "marked"}}
    await house.change(update(t.jobs).where(t.jobs.c.id == job).values(settings=changed))
    await interrupt(house, fax)
    mails = await round_.told()
    assert kinds(mails) == now
    if now == [DSN]:
        entry = fields(mails[0])[1]
        assert (entry["Action"], entry["Status"]) == ("delayed", "4.4.2")
        assert "may have arrived" in entry["Diagnostic-Code"]
    await house.wait(fax)
    await house.call(fax, Cause.OK, confirmed=2)
    mails = await round_.told()
    assert kinds(mails) == later
    if later == [DSN]:
        assert fields(mails[0])[1]["Action"] == "delivered"


# ------------------------------------------------------------------------------------------------------------ late


async def tell_late(house: House) -> int:
    jobs = await house.ask(late.late_jobs, now=house.now)
    return await house.do(late.tell, jobs, now=house.now)


async def test_a_late_fax_is_told_once_and_its_end_later(round_: Round) -> None:
    house = round_.house
    first, second, silent = await round_.faxes({ONE: ["NOTIFY=DELAY,FAILURE"], TWO: ["NOTIFY=DELAY"], THREE: []})
    await house.change(update(t.faxes).values(latest=house.now + 86400))
    await house.call(second, Cause.OK, confirmed=2)
    house.clock.now += DELAYED_AFTER
    assert await tell_late(house) == 0, "not before"
    house.clock.now += 1
    assert await tell_late(house) == 1
    (mail,) = await round_.told()
    (entry,) = fields(mail)[1:]
    assert (entry["Final-Log-ID"], entry["Action"], entry["Status"]) == (first, "delayed", "4.4.7")
    assert entry["Will-Retry-Until"] == "Thu, 19 Nov 2026 11:06:40 +0000"
    assert first in text(mail)
    assert silent in text(mail)
    house.clock.now += 3 * DELAYED_AFTER
    assert await tell_late(house) == 0, "once"
    await house.call(first, Cause.WRONG_NUMBER)
    await house.call(silent, Cause.WRONG_NUMBER)
    (mail,) = await round_.told()
    assert [(f["Final-Log-ID"], f["Action"]) for f in fields(mail)[1:]] == [(first, "failed")]


async def test_a_unit_that_tells_of_late_jobs_may_run_again(round_: Round) -> None:
    house = round_.house
    (fax,) = await round_.faxes({ONE: ["NOTIFY=DELAY"]})
    job = (await house.fax(fax)).job
    house.clock.now += DELAYED_AFTER + 1
    assert await house.do(late.tell, [job], now=house.now) == 1
    assert await house.do(late.tell, [job], now=house.now) == 0
    assert len(await house.outbox()) == 1
    assert (await house.events(job)).count("job.late") == 1


async def test_what_was_not_asked_for_waits_for_its_time_or_is_held_by_a_restore_is_not_late(round_: Round) -> None:
    house = round_.house
    (fax,) = await round_.faxes({ONE: ["NOTIFY=SUCCESS,FAILURE"]})
    (early,) = await round_.faxes({TWO: ["NOTIFY=DELAY"]})
    await house.change(update(t.faxes).where(t.faxes.c.id == early).values(earliest=house.now + 7200))
    (held,) = await round_.faxes({THREE: ["NOTIFY=DELAY"]})
    await house.change(update(t.faxes).where(t.faxes.c.id == held).values(state="held", reason=HELD_BY_RESTORE))
    house.clock.now += DELAYED_AFTER + 1
    assert await tell_late(house) == 0
    house.clock.now += 7200
    assert await tell_late(house) == 1
    told = [f["Final-Log-ID"] for mail in await round_.told() for f in fields(mail)[1:]]
    assert told == [early]
    assert not {fax, held} & set(told)


async def test_upkeep_tells_of_late_faxes(round_: Round) -> None:
    house = round_.house
    for number in range(late.JOBS_AT_ONCE + 2):
        await round_.faxes({ONE: ["NOTIFY=DELAY"]}, mail=MAIL + b"%d\r\n" % number)
    house.clock.now += DELAYED_AFTER + 1
    running = asyncio.create_task(upkeep.keep_order(house.seat()))

    async def first() -> bool:
        return len(await house.outbox()) == late.JOBS_AT_ONCE

    await until(first)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


# --------------------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], [STATUS]),
        (["NOTIFY=FAILURE"], [DSN]),
        (["NOTIFY=SUCCESS,DELAY"], [STATUS]),
        (["NOTIFY=NEVER"], []),
    ],
)
async def test_a_mail_that_could_not_be_faxed_is_told_as_its_client_asked(
    round_: Round, given: list[str], expected: list[str]
) -> None:
    house = round_.house
    refusal = pages.Refused(next(iter(pages.Reason)), "The PDF is encrypted.")
    worker = PageWorker(house.seat(), Pages(walks=[refusal]))  # type: ignore[arg-type]  # a double of the client
    message = await round_.submit({ONE: given, TWO: given}, "ENVID=refused")
    running = asyncio.create_task(worker.walking.run())

    async def refused() -> bool:
        return "message.refused" in await house.events(message)

    await until(refused)
    await worker.walking.stop(5)
    await running
    mails = await round_.told()
    assert kinds(mails) == expected
    for mail in mails:
        assert "The PDF is encrypted." in text(mail)
    if expected == [DSN]:
        per_message, *people = fields(mails[0])
        assert per_message["Original-Envelope-Id"] == "refused"
        assert [(p["Action"], p["Status"]) for p in people] == [("failed", "5.6.0")] * 2


# ---------------------------------------------------------------------------------------------------------- spool


async def test_a_dsn_goes_out_though_the_spool_has_lost_the_mail(round_: Round) -> None:
    (fax,) = await round_.faxes({ONE: ["NOTIFY=SUCCESS"]})
    (row,) = await round_.house.rows(select(t.messages.c.file_key))
    (round_.house.folder / row.file_key).unlink()
    await round_.house.call(fax, Cause.OK, confirmed=2)
    (mail,) = await round_.told()
    assert [p.get_content_type() for p in mail.iter_parts()] == ["text/plain", "message/delivery-status"]


async def test_of_a_large_mail_the_header_comes_back(round_: Round) -> None:
    large = MAIL + b"0123456789" * 90 + b"\r\n" + (b"x" * 70 + b"\r\n") * 15_000
    (fax,) = await round_.faxes({ONE: ["NOTIFY=FAILURE"]}, "RET=FULL", mail=large)
    await round_.house.wish(fax, Wish.CANCEL)
    (mail,) = await round_.told()
    *_, returned = mail.iter_parts()
    assert returned.get_content_type() == "text/rfc822-headers"
    assert str(returned.get_payload()).encode() == MAIL.partition(b"\r\n\r\n")[0] + b"\r\n"


async def test_a_linked_recipient_is_told_by_the_dsn_of_the_mail_that_made_its_fax(round_: Round) -> None:
    """docs/spine.md section 5, 250, step 3: a known recipient is linked, not sent again."""
    (first,) = await round_.faxes({ONE: ["NOTIFY=FAILURE"]}, "ENVID=first")
    (second,) = await round_.faxes({ONE: ["NOTIFY=FAILURE"], TWO: ["NOTIFY=FAILURE"]}, "ENVID=second")
    told = {}
    for fax in (first, second):
        await round_.house.wish(fax, Wish.CANCEL)
        (mail,) = await round_.told()
        told[fields(mail)[0]["Original-Envelope-Id"]] = [f["Final-Log-ID"] for f in fields(mail)[1:]]
    assert told == {"first": [first], "second": [second]}
