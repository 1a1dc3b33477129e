"""Merged documents: letters become jobs, all or none; faults name document and page (features A18)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest
from sqlalchemy import select, update

from faxgw.dispatch.worker import PageWorker
from faxgw.document import types as pages
from faxgw.document.client import PageClient
from faxgw.fax.account import from_snapshot
from faxgw.fax.ports import MailRecipient, MailSubmission
from faxgw.fax.report import LeftOut, LeftOutParts, LeftOutReason
from faxgw.formats.report_payload import refused_from_payload
from faxgw.store import reports
from faxgw.store import schema as t
from tests.dispatch.doubles import Pages, document, memory
from tests.house import DOMAIN, House

pytestmark = pytest.mark.asyncio(loop_scope="session")

ONE, TWO, THREE = "+33199000001", "+33199000002", "+33199000003"


async def merge_mail(house: House, subject: str = "Mailing") -> MailSubmission:
    mail = replace(await house.mail(), subject=subject)
    place = MailRecipient(f"merge@{DOMAIN}", "merge", "", "", "acme")
    mail = replace(mail, recipients=(place,))
    await house.accept(mail)
    return mail


def merged(*commands: str) -> pages.Merged:
    """A document with one command, or none, on each page."""
    return pages.Merged(memory(b"%PDF"), tuple(pages.MergedPage((c,) if c else ()) for c in commands))


async def walk(
    house: House,
    *documents: pages.Merged | pages.Refused,
    names: tuple[str, ...] = ("a.docx",),
    ignored: tuple[pages.Ignored, ...] = (),
) -> None:
    client = Pages([pages.Walked(tuple(document(name) for name in names), ignored=ignored)], merges=list(documents))
    worker = PageWorker(house.seat(), cast(PageClient, client))
    for message in await worker._take_messages(10):
        await worker._walk(message)


async def jobs(house: House) -> list[Any]:
    return list(await house.rows(select(t.jobs, t.faxes).join(t.faxes).order_by(t.jobs.c.id, t.faxes.c.position)))


async def contents(house: House, job: str) -> list[bytes]:
    rows = await house.rows(select(t.job_documents).where(t.job_documents.c.job == job))
    return [(house.folder / row.key).read_bytes() for row in rows]


async def refusal(house: House) -> str:
    (item,) = await house.rows(select(t.outbox))
    assert await house.rows(select(t.jobs)) == []
    assert list(house.folder.glob("objects/*/*")) == []
    return refused_from_payload(item.payload).reason


async def test_every_letters_sender_is_told_what_of_the_mail_is_left_out(house: House) -> None:
    await merge_mail(house, "Mailing")
    card = pages.Ignored("anna.vcf", "business card", LeftOutReason.BUSINESS_CARD)
    await walk(house, merged(f"@@{ONE}@@", f"@@{TWO}@@"), ignored=(card,))
    told = [(await house.ask(reports.job_report, row.job)).left_out for row in await jobs(house)]
    assert told == [LeftOutParts((LeftOut("anna.vcf", LeftOutReason.BUSINESS_CARD),), 1)] * 2


async def test_each_letter_is_a_job_with_its_own_pages_and_commands(house: House) -> None:
    mail = await merge_mail(house, "Mailing @@ref=all; cost=77@@")
    await walk(house, merged(f"@@{ONE}; ref=A1; personal=Anna@@", "", "@@01 99 00 00 02; express; at=+1h@@"))
    first, second = sorted(await jobs(house), key=lambda row: row.e164)
    assert (first.e164, first.reference, first.properties, first.priority) == (ONE, "A1", [["personal", "Anna"]], 0)
    assert (second.e164, second.reference, second.priority, second.earliest) == (TWO, "all", 1, house.now + 3600)
    assert {from_snapshot(row.settings)["billing_code"] for row in (first, second)} == {"77"}
    assert {row.subject for row in (first, second)} == {"Mailing"}
    assert [await contents(house, row.job) for row in (first, second)] == [[b"1-2"], [b"3-3"]]
    assert {row.message for row in (first, second)} == {mail.message}
    (message,) = await house.rows(select(t.messages))
    assert message.state == "walked" and message.job in (first.job, second.job)


async def test_a_letter_to_several_numbers_is_one_job(house: House) -> None:
    await merge_mail(house)
    await walk(house, merged(f"@@{ONE}; {TWO}@@"))
    found = await jobs(house)
    assert [row.e164 for row in found] == [ONE, TWO]
    assert len({row.job for row in found}) == 1


async def test_a_letter_has_no_more_numbers_than_a_fax_of_the_account_may_have(house: House) -> None:
    await house.change(update(t.customers).values(settings={"max_recipients": 1, "language": "de"}))
    await merge_mail(house)
    await walk(house, merged(f"@@{ONE}@@", f"@@{TWO}; {THREE}@@"))
    assert await refusal(house) == "Das Fax hat 2 Empfänger; die Grenze dieses Kontos ist 1."
    assert not await jobs(house)


async def test_more_letters_than_descriptors_fit_a_message(house: House) -> None:
    await merge_mail(house)
    await walk(house, merged(*(f"@@+331990000{n:02}@@" for n in range(99))))
    assert len(await jobs(house)) == 99


async def test_several_documents_are_merged_one_after_the_other(house: House) -> None:
    await merge_mail(house)
    await walk(house, merged(f"@@{ONE}@@"), merged(f"@@{TWO}@@", f"@@{THREE}@@"), names=("a.pdf", "b.pdf"))
    assert sorted(row.e164 for row in await jobs(house)) == [ONE, TWO, THREE]


@pytest.mark.parametrize(
    "commands, reason",
    [
        (("", f"@@{ONE}@@"), "“a.docx” has no fax number on its first page, such as @@+33123456789@@."),
        ((), "“a.docx” has no fax number"),
        ((f"@@{ONE}@@", "@@112@@"), "“a.docx”, page 2: Emergency numbers are never dialled."),
        ((f"@@{ONE}@@", "@@Anna@@"), "“a.docx”, page 2: There is no command “Anna”."),
        ((f"@@{ONE}@@", "@@express@@"), "“a.docx”, page 2: commands stand on the page with the number."),
        ((f"@@{ONE}; resolution=ultra@@",), "“a.docx”, page 1: Command “resolution”: must be one of"),
        ((f"@@{ONE}@@", f"@@{TWO}@@", f"@@{THREE}@@"), "The mail has more than 2 merged faxes."),
        ((f"@@{ONE}; csid=+1@@",), "“a.docx”, page 1: The command “csid” is not open to this account."),
    ],
)
async def test_a_fault_anywhere_refuses_the_mail_with_the_page(
    house: House, commands: tuple[str, ...], reason: str
) -> None:
    await house.change(update(t.customers).values(settings={"max_merged": 2, "commands": ["express", "resolution"]}))
    await merge_mail(house)
    await walk(house, merged(*commands) if commands else merged(""))
    assert reason in await refusal(house)


@pytest.mark.parametrize(
    "language, commands, reason",
    [
        ("de", (f"@@{ONE}@@", "@@112@@"), "„a.docx“, Seite 2: Notrufnummern werden nie gewählt."),
        (
            "fr",
            ("", f"@@{ONE}@@"),
            "« a.docx » n’a pas de numéro de fax sur sa première page, tel que @@+33123456789@@.",
        ),
        ("de", (f"@@{ONE}; resolution=ultra@@",), "„a.docx“, Seite 1: Befehl „resolution“: muss eines von standard, "),
        ("fr", (f"@@{ONE}; at=hier@@",), "« a.docx », page 1 : Commande « earliest » : doit être une heure telle que"),
        ("de", (f"@@{ONE}@@", f"@@{TWO}@@", f"@@{THREE}@@"), "Die E-Mail enthält mehr als 2 Serienfaxe."),
    ],
)
async def test_a_fault_is_told_in_the_senders_language(
    house: House, language: str, commands: tuple[str, ...], reason: str
) -> None:
    await house.change(update(t.customers).values(settings={"max_merged": 2, "language": language}))
    await merge_mail(house)
    await walk(house, merged(*commands))
    assert (await refusal(house)).startswith(reason)


async def test_a_document_that_is_none_refuses_the_mail_and_leaves_nothing(house: House) -> None:
    await merge_mail(house)
    broken = pages.Refused(pages.Reason.DAMAGED, "“b.pdf” is damaged.", "b.pdf")
    await walk(house, merged(f"@@{ONE}@@"), broken, names=("a.pdf", "b.pdf"))
    assert await refusal(house) == "“b.pdf” is damaged."


async def test_a_mail_without_attachment_is_no_mailing(house: House) -> None:
    await merge_mail(house)
    await walk(house, names=())
    assert "no attachment that could be a merged document" in await refusal(house)


async def test_a_mailing_counts_against_the_day(house: House) -> None:
    await house.change(update(t.customers).values(settings={"faxes_per_day": 2}))
    await merge_mail(house)
    await walk(house, merged(f"@@{ONE}@@", f"@@{TWO}@@", f"@@{THREE}@@"))
    assert "At most 2 faxes" in await refusal(house)


async def test_a_lease_that_was_lost_makes_no_job(house: House) -> None:
    await merge_mail(house)
    client = Pages([pages.Walked((document(),))], merges=[merged(f"@@{ONE}@@", f"@@{TWO}@@")])
    worker = PageWorker(house.seat(), cast(PageClient, client))
    (message,) = await worker._take_messages(10)
    await house.next_life()
    assert await PageWorker(house.seat(), cast(PageClient, client))._take_messages(10)
    await worker._walk(message)
    assert await jobs(house) == []
    assert list(house.folder.glob("objects/*/*")) == []
