"""Mail to fax beyond one number: lists and commands, over the real line to a real far end (issue 6, point 7)."""

from __future__ import annotations

import asyncio
import csv
import io
import smtplib
from email.message import EmailMessage
from pathlib import Path

import pytest
from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas

from faxgw.demo import StoredMail
from faxgw.show import detail
from tests.end_to_end.world import ALICE, DOMAIN, Gateway, gateway_at, mail_with, pdf, submit

pytestmark = pytest.mark.realtime

ONE, TWO, THREE, WRONG = "+33199000000", "+33199000001", "+33199000005", "+33199000013"


def with_list(mail: EmailMessage, text: str, name: str = "distribution-list.txt") -> EmailMessage:
    mail.add_attachment(text, filename=name)
    return mail


def answer(port: int, mail: EmailMessage, to: str) -> str:
    """What the final dot is answered."""
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
        client.ehlo()
        assert client.mail(ALICE)[0] == 250
        code, text = client.rcpt(to)
        assert code == 250, text
        code, text = client.data(mail.as_bytes())
    return f"{code} {text.decode()}"


async def first_page(gateway: Gateway, number: str) -> bytes:
    (record,) = await gateway.records(number[-6:])
    return gateway.pages_received(record)[0][1]


async def test_a_list_of_three_is_one_job_with_one_report(tmp_path: Path) -> None:
    """Features A5: two arrive, the third number does not exist; the personal texts stand in the header lines."""
    changes = {'time_zone = "Europe/Paris"': 'time_zone = "Europe/Paris"\nheader = "%K%P/%T"'}
    async with gateway_at(tmp_path, changes=changes) as gateway:
        place = f"distribution-list@{DOMAIN}"
        text = f"# customers\r\n{ONE},Ms. Anna A.\r\n{TWO},Mr. Bert B.\r\n{WRONG},Nobody\r\n"
        mail = with_list(mail_with(pdf(1, lines=3), place, subject="Price list"), text)
        message = await asyncio.to_thread(submit, gateway.smtp_port, mail, [place])
        found = await gateway.finished(message, within=60)
        report = await gateway.told(str(mail["Message-ID"]))
        assert len(gateway.mailbox.mails()) == 1
        pages = [await first_page(gateway, number) for number in (ONE, TWO)]
    assert [fax["state"] for fax in found["faxes"]] == ["sent", "sent", "failed"]
    assert {fax["job"] for fax in found["faxes"]} == {found["job"]["id"]}
    assert pages[0] != pages[1], "each has its own name in the header line"
    assert "3 faxes" in str(report["Subject"])
    body = report.get_body(("plain",))
    assert body is not None
    words = str(body.get_content())
    assert all(f"+33 1 99 00 00 {end}" in words for end in ("00", "01", "13"))
    (table,) = report.iter_attachments()
    rows = list(csv.DictReader(io.StringIO(str(table.get_content()).lstrip("\ufeff"))))
    assert [(row["personal"], row["result"]) for row in rows] == [
        ("Ms. Anna A.", "delivered"),
        ("Mr. Bert B.", "delivered"),
        ("Nobody", "failed"),
    ]


async def test_a_fault_in_a_list_is_the_answer_to_the_final_dot(tmp_path: Path) -> None:
    async with gateway_at(tmp_path) as gateway:
        place = f"list@{DOMAIN}"
        wrong = with_list(mail_with(pdf(1), place), f"{ONE}\r\nAnna\r\n0899123456\r\n")
        none = mail_with(pdf(1), place)
        beside = with_list(mail_with(pdf(1), ONE), "Bert\r\n", "Distribution-List.txt")
        tried = ((wrong, place), (none, place), (beside, f"{ONE}@{DOMAIN}"))
        answers = [await asyncio.to_thread(answer, gateway.smtp_port, mail, to) for mail, to in tried]
        assert gateway.received_by(ONE[-6:]) == []
    assert answers[0].startswith('550 5.6.0 Nothing was sent. distribution-list.txt, line 2: "Anna" is not')
    assert 'line 3: "0899123456" is a premium number' in answers[0]
    assert "has no attachment distribution-list.txt" in answers[1]
    assert 'line 1: "Bert" is not a telephone number' in answers[2], "a list beside a number is looked at too"


async def test_what_hangs_on_a_mail_and_is_not_faxed_is_told_to_its_sender(tmp_path: Path) -> None:
    """The status mail names the business card, the calendar entry and the empty file; the signature it does not."""
    to = f"{ONE}@{DOMAIN}"
    async with gateway_at(tmp_path) as gateway:
        mail = mail_with(pdf(1, lines=3), to)
        mail.add_attachment("BEGIN:VCARD\r\nFN:Anna\r\nEND:VCARD\r\n", subtype="vcard", filename="anna.vcf")
        mail.add_attachment("BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n", subtype="calendar", filename="Tür & <Tor>.ics")
        mail.add_attachment(" \r\n", filename="notes.txt")
        mail.add_attachment(b"x", maintype="application", subtype="pgp-signature", filename="signature.asc")
        message = await asyncio.to_thread(submit, gateway.smtp_port, mail, [to])
        found = await gateway.finished(message)
        told = await gateway.told(str(mail["Message-ID"]))
        (record,) = await gateway.records(ONE[-6:])
        assert len(gateway.pages_received(record)) == 1
    plain, markup = (told.get_body((kind,)) for kind in ("plain", "html"))
    assert plain is not None and markup is not None
    wanted = "anna.vcf (business card), Tür & <Tor>.ics (calendar entry), notes.txt (empty)"
    (line,) = [line for line in str(plain.get_content()).splitlines() if line.startswith("Not faxed")]
    assert line.partition(":")[2].strip() == wanted
    assert wanted.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") in str(markup.get_content())
    assert "  not faxed: 'anna.vcf' (business card), 'Tür & <Tor>.ics' (calendar), 'notes.txt' (empty)" in detail(found)


async def reports(gateway: Gateway, count: int) -> list[StoredMail]:
    """The mails that the gateway has sent, once there are so many."""
    async with asyncio.timeout(60):
        while True:
            if len(found := gateway.mailbox.mails()) >= count:
                return list(found)
            await asyncio.sleep(0.1)


def letters(*commands: str) -> bytes:
    """A merged document: a letter of one page, or two where there is no second command."""
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=A4, invariant=True)
    for page, command in enumerate(commands, 1):
        canvas.setFont("Helvetica", 12)
        canvas.drawString(70, 770, f"Letter on page {page}, which is sent to one customer only")
        canvas.drawString(70, 740, command)
        canvas.showPage()
    canvas.save()
    return out.getvalue()


async def test_a_merged_document_of_three_is_three_faxes_without_their_commands(tmp_path: Path) -> None:
    """Features A18: each gets its own pages; what steers the gateway is not printed."""
    changes = {'time_zone = "Europe/Paris"': 'time_zone = "Europe/Paris"\nheader = ""'}
    numbers = (ONE, TWO, THREE)
    async with gateway_at(tmp_path, changes=changes) as gateway:
        place = f"merge@{DOMAIN}"
        document = letters(f"@@{ONE}; ref=A1@@", "", f"@@{TWO}; ref=A2; csid=+33 7 77@@", f"@@{THREE}; ref=A3@@")
        mail = mail_with(document, place, subject="Mailing")
        await asyncio.to_thread(submit, gateway.smtp_port, mail, [place])
        records = [(await gateway.records(number[-6:], within=90))[0] for number in numbers]
        pages = [gateway.pages_received(record) for record in records]
        told = await reports(gateway, 3)
        bare = mail_with(letters("", "", "", ""), f"{ONE}@{DOMAIN}")
        await asyncio.to_thread(submit, gateway.smtp_port, bare, [f"{ONE}@{DOMAIN}"])
        plain = gateway.pages_received((await gateway.records(ONE[-6:], count=2, within=90))[1])
    assert [len(found) for found in pages] == [2, 1, 1]
    assert [page for found in pages for page in found] == plain, "pixel for pixel as without commands"
    assert "+33 7 77" in str(records[1]) and "+33 7 77" not in str(records[0])
    assert all(str(mail["Message-ID"]) in str(one.message["In-Reply-To"]) for one in told)


async def test_a_merged_document_without_numbers_comes_back_with_the_reason(tmp_path: Path) -> None:
    async with gateway_at(tmp_path) as gateway:
        place = f"merge@{DOMAIN}"
        mail = mail_with(letters("@@+33199000000@@", "@@Anna@@"), place, name="letters.pdf")
        await asyncio.to_thread(submit, gateway.smtp_port, mail, [place])
        told = await gateway.told(str(mail["Message-ID"]))
        assert gateway.received_by(ONE[-6:]) == []
    body = told.get_body(("plain",))
    assert body is not None
    assert "“letters.pdf”, page 2: There is no command “Anna”." in " ".join(str(body.get_content()).split())


async def test_commands_in_the_subject_hold_for_one_mail_and_are_not_shown(tmp_path: Path) -> None:
    """Features A6: the far end gets the resolution and the identification that were asked for."""
    async with gateway_at(tmp_path) as gateway:
        to = f"{ONE}@{DOMAIN}"
        mail = mail_with(pdf(1), to, subject="Offer @@res=low; csid=+33 7 77; ref=Q-17; cost=Sales; express@@ 4711")
        message = await asyncio.to_thread(submit, gateway.smtp_port, mail, [to])
        found = await gateway.finished(message, within=60)
        report = await gateway.told(str(mail["Message-ID"]))
        (record,) = await gateway.records(ONE[-6:])
        ((size, _),) = gateway.pages_received(record)
        wrong = mail_with(pdf(1), to, subject="Offer @@resolution=ultra@@")
        refused = await asyncio.to_thread(answer, gateway.smtp_port, wrong, to)
    assert found["job"]["subject"] == "Offer 4711"
    assert found["job"]["reference"] == "Q-17"
    assert found["faxes"][0]["priority"] == 1
    assert size[1] < 1400, "98 lines to the inch"
    assert "+33 7 77" in str(record)
    assert "@@" not in str(report["Subject"]) and "Offer 4711" in str(report["Subject"])
    assert refused.startswith('550 5.6.0 Nothing was sent. Subject: Command "resolution": must be one of')
