"""Customers' mail templates from the store to the mail, and the mail that leaves although its template fails."""

from __future__ import annotations

import asyncio
import email
import email.policy
import tempfile
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path

import pytest
from sqlalchemy import Connection

from faxgw.delivery.mail import MailDelivery, RelaySettings
from faxgw.demo import MailboxSink
from faxgw.dispatch.mail_styles import MailStyles
from faxgw.fax.ports import Parcel
from faxgw.fax.reception import ReceivedReport
from faxgw.formats.mail_examples import AT
from faxgw.formats.report_payload import received_to_payload, refused_to_payload, report_to_payload, style_from_payload
from faxgw.settings import Duration
from faxgw.store import templates
from faxgw.store.templates import EVERYBODY, Kind
from tests.formats import samples
from tests.formats.test_mail_template import package
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

STYLE = b'organisation = "Acme"\ncolour = "#aa2255"\nfooter = "1 Main St"'


def parcel(style: str = "house", kind: str = "status_mail") -> Parcel:
    report = replace(samples.job([samples.DELIVERED]), customer="acme", style=style)
    return Parcel("out_1", kind, "a@example.org", report_to_payload(report), samples.T, 1)


async def keep(house: House, content: bytes, customer: str = "acme", name: str = "house") -> None:
    def unit(conn: Connection) -> None:
        templates.keep(conn, customer, Kind.MAIL, name, format="toml", content=content, who="carol", now=1.0)

    await house.store.run(unit)


async def test_a_parcel_gets_the_template_that_it_names(house: House) -> None:
    """The customer's own before everybody's."""
    styles, mine = MailStyles(house.seat()), parcel()
    await keep(house, b'organisation = "All"', EVERYBODY)
    assert style_from_payload((await styles.styled(mine)).payload) == b'organisation = "All"'
    await keep(house, STYLE)
    assert style_from_payload((await styles.styled(mine)).payload) == STYLE


@pytest.mark.parametrize("name", ["", "default"])
async def test_the_shipped_designs_need_none(house: House, name: str) -> None:
    faults: list[None] = []
    mine = parcel(name)
    assert await MailStyles(house.seat(), lambda: faults.append(None)).styled(mine) is mine
    assert not faults


async def test_a_dsn_and_a_push_are_left_alone(house: House) -> None:
    await keep(house, STYLE)
    styles = MailStyles(house.seat())
    for mine in (parcel(kind="dsn"), replace(parcel(), kind="push", payload={"job": "F1"})):
        assert await styles.styled(mine) is mine


async def test_a_template_that_is_gone_is_told_and_the_mail_leaves(house: House) -> None:
    faults: list[None] = []
    mine = parcel("gone")
    assert await MailStyles(house.seat(), lambda: faults.append(None)).styled(mine) is mine
    assert len(faults) == 1


# ------------------------------------------------------------------------------------------------------- real mails


async def mailed(mine: Parcel, faults: list[None]) -> EmailMessage:
    """What a real SMTP server is given."""
    with tempfile.TemporaryDirectory() as folder:
        sink = MailboxSink(Path(folder))
        await sink.start()
        relay = RelaySettings(
            host="127.0.0.1", port=sink.port, tls="none", sender="fax@gw.example.org", timeout=Duration(5)
        )
        way = MailDelivery(relay, fault=lambda: faults.append(None))
        result = await way.deliver(mine)
        assert result.delivered, result.detail
        await sink.stop()
        (octets,) = await asyncio.to_thread(lambda: [file.read_bytes() for file in Path(folder).glob("*.eml")])
    found = email.message_from_bytes(octets, policy=email.policy.SMTP)
    assert isinstance(found, EmailMessage) and not found.defects
    return found


def html(mail: EmailMessage) -> str:
    body = mail.get_body(("html",))
    assert body is not None
    return str(body.get_content())


async def test_mails_of_every_kind_leave_in_the_house_s_colours(house: House) -> None:
    await keep(house, STYLE)
    styles = MailStyles(house.seat())
    refused = replace(samples.refused(), customer="acme", style="house")
    mails = [parcel(), replace(parcel(), kind="refused_mail", payload=refused_to_payload(refused))]
    for mine in mails:
        faults: list[None] = []
        mail = await mailed(await styles.styled(mine), faults)
        assert mail["From"].addresses[0].display_name == "Acme"
        assert "#aa2255" in html(mail) and "1 Main St" in html(mail) and not faults
        text = mail.get_body(("plain",))
        assert text is not None and "1 Main St" in text.get_content()


async def test_a_template_that_fails_is_told_and_the_mail_leaves_in_ours(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """Kept before a rule was there, or spoilt in the database: the sender is always told."""
    styles = MailStyles(house.seat())
    for content in (
        b"no template at all",
        package({"status.html": "${title} ${nothing}"}),
        package({"status.subject": "<#if x??>x</#if>"}),
        package({"status.txt": "<#list faxes as f></#list>"}),
    ):
        await keep(house, content)
        faults: list[None] = []
        mail = await mailed(await styles.styled(parcel()), faults)
        assert str(mail["Subject"]).startswith("Delivered: 3 pages to")
        assert len(faults) == 1
    assert sum(record.message == "mail template failed" for record in caplog.records) == 4


async def test_a_received_fax_names_its_template(house: House) -> None:
    await keep(house, STYLE)
    report = ReceivedReport(
        reception="R1", customer="acme", number="+33199000001", caller="", display="", ident="", started_at=AT,
        received_at=AT, complete=True, pages=1, style="house",
    )  # fmt: skip
    mine = Parcel("out_2", "received_mail", "a@example.org", received_to_payload(report, ()), AT, 1)
    assert style_from_payload((await MailStyles(house.seat()).styled(mine)).payload) == STYLE
