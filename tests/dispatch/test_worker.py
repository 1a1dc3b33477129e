"""The page steps: a message becomes a job, a job gets its pages; bad input is decided at the right place."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any, cast

import pytest
from sqlalchemy import select, update

from faxgw.dispatch.worker import PageWorker, left_out
from faxgw.document import refusal
from faxgw.document import types as pages
from faxgw.document.client import PageClient, PagesUnavailable
from faxgw.document.limits import MAX_PARTS
from faxgw.fax.account import from_snapshot
from faxgw.fax.job import FaxState
from faxgw.fax.ports import MailRecipient, MailSubmission
from faxgw.fax.report import MAX_LEFT_OUT, MAX_LEFT_OUT_NAME, NOTHING_LEFT_OUT, LeftOutReason, Repaired
from faxgw.formats.report_payload import refused_from_payload, report_from_payload
from faxgw.store import messages, rendering, reports, sources, templates
from faxgw.store import schema as t
from faxgw.store.errors import OutOfSpace
from tests.dispatch.doubles import Pages, document, rendered
from tests.house import ALICE, DOMAIN, House

pytestmark = pytest.mark.asyncio(loop_scope="session")

FAR, OTHER = "+33199000001", "+33199000002"
ENCRYPTED = pages.Refused(pages.Reason.ENCRYPTED, "“a.pdf” is protected by a password.", "a.pdf")
EMPTY = pages.Refused(pages.Reason.EMPTY, "The mail has nothing to fax.")


class Worker:
    """Takes steps of the stations by hand."""

    def __init__(self, house: House, client: Pages) -> None:
        self.page = PageWorker(house.seat(), cast(PageClient, client))

    async def walk(self) -> int:
        taken = await self.page._take_messages(10)
        for message in taken:
            await self.page._walk(message)
        return len(taken)

    async def render(self) -> int:
        taken = await self.page.renderer.take(10)
        for job in taken:
            await self.page.renderer.render(job)
        return len(taken)


async def only(house: House, query: Any) -> Any:
    (row,) = await house.rows(query)
    return row


async def test_a_mail_becomes_a_job_and_gets_its_pages(house: House) -> None:
    mail = await house.mail(FAR, OTHER, content=b"Subject: hi\r\n\r\n")
    await house.accept(mail)
    client = Pages([pages.Walked((document("a.pdf", b"A"), document("b.pdf", b"B")))], [rendered(3)])
    worker = Worker(house, client)
    assert (await worker.walk(), await worker.render()) == (1, 1)
    assert client.seen == [b"Subject: hi\r\n\r\n", b"A", b"B"]
    job = await only(house, select(t.jobs))
    assert (job.message, job.owner, job.report_to, job.pages, job.thumbnail) == (
        mail.message, ALICE, [ALICE], 3, b"\x89PNG",
    )  # fmt: skip
    faxes = await house.rows(select(t.faxes).order_by(t.faxes.c.position))
    assert [(f.state, f.e164, f.pages) for f in faxes] == [("ready", FAR, 3), ("ready", OTHER, 3)]
    assert faxes[0].numbers[0]["zone"] == "Europe/Paris"
    assert faxes[0].latest == mail.received_at + 24 * 3600
    assert (await worker.walk(), await worker.render()) == (0, 0)


async def test_commands_of_the_subject_hold_for_this_job_and_are_not_shown(house: House) -> None:
    """Features A6."""
    subject = "Offer @@express; res=low; csid=+33 1; cost=77; ref=4711; retries=1; at=+1h; until=+3h@@ for you"
    mail = replace(await house.mail(FAR), subject=subject)
    await house.accept(mail)
    await Worker(house, Pages()).walk()
    job = await only(house, select(t.jobs))
    settings = from_snapshot(job.settings)
    names = ("priority", "resolution", "csid", "billing_code", "max_dials")
    assert [settings[name] for name in names] == ["express", "standard", "+33 1", "77", 2]
    assert (job.subject, job.reference) == ("Offer for you", "4711")
    fax = await only(house, select(t.faxes))
    assert (fax.priority, fax.earliest, fax.latest) == (1, house.now + 3600, house.now + 3 * 3600)


async def test_a_mail_that_is_put_off_has_its_full_time_from_then(house: House) -> None:
    await house.accept(replace(await house.mail(FAR), subject="@@at=+48h@@"))
    await Worker(house, Pages()).walk()
    assert (await only(house, select(t.faxes))).latest == house.now + 72 * 3600


async def test_a_command_closed_since_the_promise_refuses_the_mail(house: House) -> None:
    """Nothing is sent with other properties than were asked for."""
    await house.accept(replace(await house.mail(FAR), subject="Offer @@express@@"))
    await house.change(update(t.customers).values(settings={"may_express": False}))
    await Worker(house, Pages()).walk()
    report = refused_from_payload((await only(house, select(t.outbox))).payload)
    assert (report.subject, report.reason) == ("Offer", "Express faxes are not open to this account.")


def to_list(mail: MailSubmission) -> MailSubmission:
    place = MailRecipient(f"list@{DOMAIN}", "distribution-list", "", "", "acme")
    return replace(mail, recipients=(place, *mail.recipients))


async def test_a_list_is_one_job_with_a_fax_for_each_of_its_lines(house: House) -> None:
    """Features A5."""
    mail = to_list(await house.mail(OTHER))
    await house.accept(mail)
    text = f"{FAR},Anna, Sales\n{OTHER},stands in the envelope\n+33199000003\n"
    await Worker(house, Pages([pages.Walked((document(),), lists=(text,))])).walk()
    job = await only(house, select(t.jobs))
    faxes = await house.rows(select(t.faxes).order_by(t.faxes.c.position))
    assert [(f.position, f.e164, f.properties) for f in faxes] == [
        (1, OTHER, []),
        (2, FAR, [["personal", "Anna, Sales"]]),
        (3, "+33199000003", []),
    ]
    assert {f.job for f in faxes} == {job.id}
    people = await house.rows(select(t.message_recipients).order_by(t.message_recipients.c.position))
    assert [p.fax for p in people] == [None, faxes[0].id], "a list's address has no fax of its own"


async def test_the_same_mail_with_a_list_again_sends_nothing_again(house: House) -> None:
    first, again = to_list(await house.mail()), to_list(await house.mail(OTHER))
    await house.accept(first)
    await house.accept(again)
    worker = Worker(house, Pages([pages.Walked((document(),), lists=(FAR,)) for _ in range(2)]))
    await worker.walk()
    assert sorted(f.e164 for f in await house.rows(select(t.faxes))) == [FAR, OTHER]


async def test_a_list_that_is_found_only_when_the_mail_is_walked_counts_with_the_envelope(house: House) -> None:
    """One whose file name is written in encoded words; who stands in both counts once."""
    await house.change(update(t.customers).values(settings={"max_recipients": 2}))
    await house.accept(to_list(await house.mail(OTHER)))
    await Worker(house, Pages([pages.Walked((document(),), lists=(f"{OTHER}\n{FAR}",))])).walk()
    assert len(await house.rows(select(t.faxes))) == 2
    await house.accept(to_list(await house.mail(OTHER, message_id="<2@example.org>")))
    await Worker(house, Pages([pages.Walked((document(),), lists=(f"{FAR}\n+33199000077",))])).walk()
    refused = [row for row in await house.rows(select(t.messages)) if row.state == "refused"]
    assert [row.reason for row in refused] == ["The fax has 3 recipients; the limit of this account is 2."]


@pytest.mark.parametrize(
    "lists, reason", [((), "has no attachment distribution-list.txt"), (("Anna",), "line 1: “Anna” is not")]
)
async def test_a_list_whose_fault_shows_late_refuses_the_mail(
    house: House, lists: tuple[str, ...], reason: str
) -> None:
    await house.accept(to_list(await house.mail()))
    await Worker(house, Pages([pages.Walked((document(),), lists=lists)])).walk()
    assert reason in refused_from_payload((await only(house, select(t.outbox))).payload).reason
    assert await house.rows(select(t.faxes)) == []
    assert list(house.folder.glob("objects/*/*")) == []


@pytest.mark.parametrize("refused", [EMPTY, ENCRYPTED])
async def test_a_mail_that_cannot_be_faxed_is_refused_to_its_owner(house: House, refused: pages.Refused) -> None:
    mail = await house.mail(FAR)
    await house.accept(mail)
    await Worker(house, Pages([refused])).walk()
    item = await only(house, select(t.outbox))
    report = refused_from_payload(item.payload)
    assert (item.kind, item.target, report.reason, report.our_fault) == (
        "refused_mail", ALICE, refused.public, False,
    )  # fmt: skip
    assert await house.rows(select(t.jobs)) == []


@pytest.mark.parametrize(("language", "begins"), [("fr", "Le document « a.pdf » est"), ("de", "Das Dokument „a.pdf“")])
async def test_a_refused_document_is_told_in_the_accounts_language(house: House, language: str, begins: str) -> None:
    refused = refusal.encrypted("a.pdf").refused
    await house.change(update(t.customers).values(settings={"language": language}))
    await house.accept(await house.mail(FAR))
    await Worker(house, Pages([refused])).walk()
    report = refused_from_payload((await only(house, select(t.outbox))).payload)
    assert report.language == language and report.reason.startswith(begins)
    _job, (fax,) = await house.job(OTHER, ready=False, language=language)
    await Worker(house, Pages(renders=[refused])).render()
    assert (await house.fax(fax)).reason == report.reason


async def test_a_mail_that_kills_the_page_process_is_refused_as_our_fault_after_three_tries(house: House) -> None:
    mail = await house.mail(FAR)
    await house.accept(mail)
    worker = Worker(house, Pages([PagesUnavailable("killed")] * 4))
    for _ in range(3):
        assert await worker.walk() == 1
        assert await worker.walk() == 0
        house.clock.now += messages.PAUSE
    assert await worker.walk() == 1
    report = refused_from_payload((await only(house, select(t.outbox))).payload)
    assert report.our_fault
    assert (house.folder / mail.file.key).exists(), "kept for the operator"


async def test_a_full_disk_delays_a_mail_and_counts_no_try(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 2, bad input: disk full: nothing is lost."""
    mail = await house.mail(FAR)
    await house.accept(mail)
    adopt, full = house.files.adopt_fd, [True] * 5

    async def adopt_or_fail(*args: Any) -> Any:
        if full.pop():
            raise OutOfSpace("no space left")
        return await adopt(*args)

    monkeypatch.setattr(house.files, "adopt_fd", adopt_or_fail)
    worker = Worker(house, Pages())
    for _ in range(5):
        await worker.walk()
        house.clock.now += messages.PAUSE
    assert (await only(house, select(t.messages))).state == "received"
    full.append(False)
    await worker.walk()
    assert (await only(house, select(t.messages))).state == "walked"


async def test_what_of_a_mail_is_left_out_is_kept_with_its_job(house: House) -> None:
    await house.accept(await house.mail(FAR))
    ignored = (
        pages.Ignored("evil\u202efcv.\r\n" + "x" * 200, "business card", LeftOutReason.BUSINESS_CARD),
        pages.Ignored("\u200b", "empty", LeftOutReason.EMPTY),
        pages.Ignored("signature.asc", "signature"),
    )
    await Worker(house, Pages([pages.Walked((document(),), ignored=ignored, missed=2)])).walk()
    report = await house.ask(reports.job_report, (await only(house, select(t.jobs))).id)
    first, second = report.left_out.parts
    assert first.name.startswith("evilfcv. xxx") and len(first.name) == MAX_LEFT_OUT_NAME
    assert (second.name, second.why, report.left_out.count) == ("–", LeftOutReason.EMPTY, 2)


async def test_parts_left_out_are_bounded_whatever_a_page_process_says() -> None:
    ignored = tuple(pages.Ignored(f"{n}.ics", "calendar entry", LeftOutReason.CALENDAR) for n in range(100))
    found = left_out(pages.Walked((), ignored=ignored, missed=10**9))
    assert [part.name for part in found.parts] == [f"{n}.ics" for n in range(MAX_LEFT_OUT)]
    assert found.count == MAX_PARTS
    assert left_out(pages.Walked((), ignored=ignored, missed=-1)).count == 100
    assert left_out(pages.Walked((), ignored=(pages.Ignored("a.asc", "signature"),))) == NOTHING_LEFT_OUT


async def test_documents_of_a_walk_that_failed_do_not_stay(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await house.accept(await house.mail(FAR))
    adopt, good = house.files.adopt_fd, [False, True]

    async def adopt_one(*args: Any) -> Any:
        if not good.pop():
            raise OutOfSpace("no space left")
        return await adopt(*args)

    monkeypatch.setattr(house.files, "adopt_fd", adopt_one)
    walked = pages.Walked((document("a.pdf"), document("b.pdf")))
    await Worker(house, Pages([walked])).walk()
    assert list(house.folder.glob("objects/*/*")) == []
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(walked.documents[0].fd)


async def test_a_damaged_mail_file_is_our_fault(house: House) -> None:
    mail = await house.mail(FAR)
    await house.accept(mail)
    path = house.folder / mail.file.key
    path.chmod(0o600)
    path.write_bytes(b"rot")
    worker = Worker(house, Pages())
    for _ in range(4):
        await worker.walk()
        house.clock.now += messages.PAUSE
    assert refused_from_payload((await only(house, select(t.outbox))).payload).our_fault


async def test_a_number_closed_since_the_promise_does_not_stop_the_walk(house: House) -> None:
    """What RCPT decided is decided: the promise names the number."""
    await house.accept(await house.mail(FAR))
    await house.change(update(t.customers).values(settings={"allowed_countries": ["DE"]}))
    await Worker(house, Pages()).walk()
    assert (await only(house, select(t.faxes))).e164 == FAR


# ------------------------------------------------------------------------------------------------------ rendering


@pytest.mark.parametrize("refused, status", [(ENCRYPTED, "rendering_failed"), (EMPTY, "nothing_to_send")])
async def test_a_document_that_cannot_be_faxed_fails_its_faxes_with_the_reason(
    house: House, refused: pages.Refused, status: str
) -> None:
    job, faxes = await house.job(FAR, OTHER, ready=False)
    await Worker(house, Pages(renders=[refused])).render()
    for fax in faxes:
        row = await house.fax(fax)
        assert (row.state, row.cause, row.reason) == ("failed", status, refused.public)
    (item,) = await house.outbox(job)
    assert report_from_payload(item.payload).faxes[0].reason == refused.public


async def test_a_fax_with_too_many_pages_is_refused_with_the_limit(house: House) -> None:
    _job, (fax,) = await house.job(FAR, ready=False, max_pages=2)
    await Worker(house, Pages(renders=[rendered(3)])).render()
    row = await house.fax(fax)
    assert (row.state, row.reason) == ("failed", "The fax has 3 pages; at most 2 are allowed.")


async def test_a_damaged_document_is_never_rendered(house: House) -> None:
    _job, (fax,) = await house.job(FAR, ready=False)
    key = (await only(house, select(t.job_documents))).key
    (house.folder / key).unlink()
    await Worker(house, Pages()).render()
    assert (await house.fax(fax)).cause == "document_damaged"


async def test_rendering_that_fails_by_our_fault_is_tried_three_times(house: House) -> None:
    _job, (fax,) = await house.job(FAR, ready=False)
    worker = Worker(house, Pages(renders=[PagesUnavailable("died")] * 3))
    for _ in range(3):
        assert await house.state(fax) == FaxState.ACCEPTED
        await worker.render()
        house.clock.now += rendering.PAUSE
    assert await house.state(fax) == FaxState.FAILED


async def test_a_full_disk_delays_the_pages_and_counts_no_try(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    _job, (fax,) = await house.job(FAR, ready=False)

    async def full(*args: Any) -> Any:
        raise OutOfSpace("no space left")

    worker = Worker(house, Pages())
    with monkeypatch.context() as patch:
        patch.setattr(house.files, "adopt_fd", full)
        for _ in range(5):
            await worker.render()
            assert await house.state(fax) == FaxState.ACCEPTED
            house.clock.now += rendering.PAUSE
    await worker.render()
    assert await house.state(fax) == FaxState.READY


async def test_pages_made_under_a_lost_lease_are_dropped(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    _job, (fax,) = await house.job(FAR, ready=False)
    before = set(house.folder.glob("objects/*/*"))
    worker = Worker(house, Pages())
    (job,) = await worker.page.renderer.take(1)
    await house.next_life()
    await house.do(rendering.lease, fence=house.fence, now=house.now, limit=1)
    await worker.page.renderer.render(job)
    assert await house.state(fax) == FaxState.RENDERING
    assert set(house.folder.glob("objects/*/*")) == before


# -------------------------------------------------------------------------------------------------------- covers


async def account(house: House, **settings: object) -> None:
    await house.change(update(t.customers).where(t.customers.c.id == "acme").values(settings=settings))


async def test_a_mails_text_may_be_what_its_cover_says(house: House) -> None:
    kind = templates.Kind.COVER
    await house.do(
        templates.keep, "acme", kind, "mine", format="html", content=b"<p>${comment}", who="op", now=house.now
    )
    await account(house, cover="mine", cover_text=True)
    await house.accept(await house.mail(FAR))
    client = Pages([pages.Walked((), text="Dear Ann")], [rendered(1)])
    worker = Worker(house, client)
    assert (await worker.walk(), await worker.render()) == (1, 1)
    assert client.seen[-1] == b"<p>Dear Ann"
    job = await only(house, select(t.jobs))
    assert (job.cover_text, job.pages, job.body_size, job.thumbnail) == ("Dear Ann", 0, 0, b"\x89PNG")
    fax = await only(house, select(t.faxes))
    assert (fax.state, fax.pages) == ("ready", 1)


async def test_a_fax_with_a_cover_has_a_page_more(house: House) -> None:
    await account(house, cover="letter")
    await house.accept(await house.mail(FAR, OTHER))
    covers = replace(rendered(2), pages=tuple(pages.PageFacts(1728, 2292, 9, 0.1, n) for n in range(2)))
    client = Pages([pages.Walked((document(),))], [rendered(3), covers])
    worker = Worker(house, client)
    assert (await worker.walk(), await worker.render()) == (1, 1)
    assert [(f.state, f.pages) for f in await house.rows(select(t.faxes))] == [("ready", 4)] * 2
    made = await house.rows(select(t.renditions).order_by(t.renditions.c.first))
    assert [(row.kind, row.first, row.pages, row.resolution) for row in made] == [
        ("cover", 1, 1, "fine"), ("cover", 2, 1, "fine"),
    ]  # fmt: skip
    assert (await only(house, select(t.jobs))).pages == 3


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"cover": "nowhere", "language": "de"}, "Es gibt kein Deckblatt „nowhere“."),
        ({"cover": "mine"}, "needs a value for Case"),
    ],
)
async def test_a_mail_whose_cover_cannot_be_made_is_refused_to_its_sender(
    house: House, settings: dict[str, object], said: str
) -> None:
    kind = templates.Kind.COVER
    await house.do(templates.keep, "acme", kind, "mine", format="html", content=b"${Case}", who="op", now=house.now)
    await account(house, **settings)
    await house.accept(await house.mail(FAR))
    client = Pages()
    await Worker(house, client).walk()
    item = await only(house, select(t.outbox))
    report = refused_from_payload(item.payload)
    assert said in report.reason and not report.our_fault and item.target == ALICE
    assert client.seen == [] and await house.rows(select(t.jobs)) == []


async def test_a_template_that_went_away_fails_the_job_with_the_reason(house: House) -> None:
    _job, (fax,) = await house.job(FAR, ready=False, cover="mine")
    assert await Worker(house, Pages()).render() == 1
    row = await only(house, select(t.faxes))
    assert (row.id, row.state, row.reason) == (fax, "failed", "There is no cover page “mine”.")


async def test_a_cover_that_makes_the_fax_too_long_fails_it(house: House) -> None:
    await house.job(FAR, ready=False, cover="plain", max_pages=3)
    await Worker(house, Pages(renders=[rendered(3), rendered(1)])).render()
    row = await only(house, select(t.faxes))
    assert (row.state, row.reason) == ("failed", "The fax has 4 pages; at most 3 are allowed.")
    kept = {path.name for path in house.folder.glob("objects/*/*")}
    documents = await house.rows(select(t.job_documents.c.key))
    body = (await only(house, select(t.jobs))).body_key
    assert kept == {key.rpartition("/")[2] for key in (documents[0].key, body)}


async def test_damaged_rows_that_were_let_pass_are_told_in_the_report(house: House) -> None:
    job, _faxes = await house.job(FAR, ready=False)
    made = rendered(3)
    made = replace(made, pages=(made.pages[0], replace(made.pages[1], repaired=4), replace(made.pages[2], document=7)))
    await Worker(house, Pages(renders=[made])).render()
    (name,) = await house.rows(select(t.job_documents.c.name).where(t.job_documents.c.job == job))
    assert (await house.ask(reports.job_report, job)).repaired == (Repaired(name.name, 2, 4),)
    assert await house.ask(sources.damaged_pages, job) == [(0, 2, 4)]
