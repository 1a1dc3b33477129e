"""A client that asks for delivery status notifications, as SAPconnect does, against the real gateway."""

from __future__ import annotations

import asyncio
import smtplib
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.end_to_end.world import ALICE, DOMAIN, gateway_at, mail_with, pdf

pytestmark = pytest.mark.realtime

GOOD, WRONG = "+33199000000", "+33199000013"


def submit(port: int, mail: EmailMessage) -> None:
    """Send with RFC 3461's parameters."""
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
        client.ehlo()
        assert client.has_extn("dsn")
        client.mail(ALICE, ["RET=HDRS", "ENVID=SAP+2BQAS.0001"])
        for number in (GOOD, WRONG):
            orcpt = f"ORCPT=rfc822;FAX+3D+2B{number[1:]}@{DOMAIN}"
            code, text = client.rcpt(f"FAX={number}@{DOMAIN}", ["NOTIFY=SUCCESS,FAILURE", orcpt])
            assert code == 250, text
        code, text = client.data(mail.as_bytes())
        assert code == 250, text


async def test_a_delivered_and_a_failed_fax_come_back_in_one_dsn_and_no_status_mail(tmp_path: Path) -> None:
    """RFC 3461 section 4, RFC 3464 section 2: what the client gave, echoed; one block per recipient."""
    async with gateway_at(tmp_path) as gateway:
        mail = mail_with(pdf(1, lines=3), f"FAX={GOOD}@{DOMAIN}", subject="Order 4711")
        await asyncio.to_thread(submit, gateway.smtp_port, mail)
        dsn = await gateway.told(str(mail["Message-ID"]), within=120)
        mails = gateway.mailbox.mails()
    assert len(mails) == 1
    assert dsn.get_content_type() == "multipart/report"
    assert dsn["Return-Path"] == "<>"
    text, status, returned = dsn.iter_parts()
    assert isinstance(text, EmailMessage)
    assert "not assigned" in str(text.get_content())
    blocks = status.get_payload()
    assert isinstance(blocks, list)
    envelope, good, wrong = ({k: str(v) for k, v in block.items()} for block in blocks)  # type: ignore[union-attr]
    assert envelope["Original-Envelope-Id"] == "SAP+QAS.0001"
    assert good["Original-Recipient"] == good["Final-Recipient"] == f"rfc822;FAX={GOOD}@{DOMAIN}"
    assert (good["Action"], good["Status"], good["X-Fax-Pages"]) == ("delivered", "2.0.0", "1/1")
    assert (wrong["Action"], wrong["Status"], wrong["X-Fax-Pages"]) == ("failed", "5.1.1", "0/1")
    assert returned.get_content_type() == "text/rfc822-headers"
    assert "Subject: Order 4711" in str(returned.get_payload())


async def test_a_sapconnect_conversation_from_ehlo_to_the_parsed_dsn(tmp_path: Path) -> None:
    """BC-SMTP asks for every news, may write numbers without a plus, and repeats a mail whose answer it lost."""

    def converse(port: int, mail: EmailMessage) -> list[tuple[int, str]]:
        said = []
        with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
            client.ehlo("sap.example.org")
            assert client.has_extn("dsn") and client.has_extn("size") and client.has_extn("8bitmime")
            size = f"SIZE={len(mail.as_bytes())}"
            said.append(client.mail(ALICE, [size, "BODY=8BITMIME", "RET=FULL", "ENVID=SAP+2BQAS.0002"]))
            for number in (GOOD[1:], WRONG):
                orcpt = f"ORCPT=rfc822;FAX+3D{number.replace('+', '+2B')}@{DOMAIN}"
                said.append(client.rcpt(f"FAX={number}@{DOMAIN}", ["NOTIFY=SUCCESS,FAILURE,DELAY", orcpt]))
            said.append(client.rcpt(f"FAX=+49@{DOMAIN}", ["NOTIFY=SUCCESS,FAILURE,DELAY"]))
            said.append(client.data(mail.as_bytes()))
        return [(code, text.decode()) for code, text in said]

    async with gateway_at(tmp_path) as gateway:
        mail = mail_with(pdf(1, lines=3), f"FAX={GOOD}@{DOMAIN}", subject="Purchase order 4500012345")
        first = await asyncio.to_thread(converse, gateway.smtp_port, mail)
        dsn = await gateway.told(str(mail["Message-ID"]), within=120)
        again = await asyncio.to_thread(converse, gateway.smtp_port, mail)
        calls = len(await gateway.records(GOOD[-6:]))
    assert [code for code, _ in first] == [250, 250, 250, 550, 250]
    assert first[3][1].startswith("5.1.3 ")
    assert again[4][1].startswith("2.0.0 Accepted as"), "for the number that failed"
    assert calls == 1, "what was delivered is not sent again"
    assert dsn.get_content_type() == "multipart/report" and dsn.get_param("report-type") == "delivery-status"
    _text, status, returned = dsn.iter_parts()
    blocks = status.get_payload()
    assert isinstance(blocks, list)
    envelope, *people = ({k: str(v) for k, v in block.items()} for block in blocks)  # type: ignore[union-attr]
    assert envelope["Original-Envelope-Id"] == "SAP+QAS.0002"
    assert envelope["Reporting-MTA"].startswith("dns;")
    assert {one["Original-Recipient"]: (one["Action"], one["Status"]) for one in people} == {
        f"rfc822;FAX={GOOD[1:]}@{DOMAIN}": ("delivered", "2.0.0"),
        f"rfc822;FAX={WRONG}@{DOMAIN}": ("failed", "5.1.1"),
    }
    assert returned.get_content_type() == "message/rfc822"
