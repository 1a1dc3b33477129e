"""A finished job to a mail in somebody's mailbox: the house's look and the pages as sent, by a real SMTP server."""

from __future__ import annotations

import asyncio
import email
import email.policy
import io
from email.message import EmailMessage
from pathlib import Path

import pypdfium2
import pytest
from sqlalchemy import Connection, update

from faxgw.delivery.mail import MailDelivery, RelaySettings
from faxgw.demo import MailboxSink
from faxgw.dispatch.outbox import OutboxWorker
from faxgw.dispatch.report_pages import ReportPages
from faxgw.document.client import PageClient
from faxgw.fax.outcome import Cause
from faxgw.settings import Duration
from faxgw.store import schema as t
from faxgw.store import templates
from faxgw.store.templates import Kind
from tests.dispatch.test_report_pages import client, fax_of
from tests.formats.test_mail_template import package, picture
from tests.house import House

__all__ = ["client"]

pytestmark = pytest.mark.asyncio(loop_scope="session")

HOUSE = package({"l.png": picture("PNG")}, 'organisation = "Clinic"\nlogo = "l.png"\nfooter = "1 Park Street"')


@pytest.mark.parametrize(("form", "kind"), [("tiff", "image/tiff"), ("pdf", "application/pdf")])
async def test_the_sender_gets_the_result_the_look_and_the_pages(
    house: House, client: PageClient, tmp_path: Path, form: str, kind: str
) -> None:
    octets = await fax_of(client, 2)
    file = await house.keep(octets)

    def template(conn: Connection) -> None:
        templates.keep(conn, "acme", Kind.MAIL, "house", format="package", content=HOUSE, who="carol", now=1.0)

    await house.store.run(template)
    _job, (fax,) = await house.job(report_attachment="always", report_format=form, mail_template="house", language="fr")
    attempt = await house.plan(fax)
    named = {"tiff_key": file.key, "tiff_sha256": file.sha256, "tiff_size": file.size}
    await house.change(update(t.attempt_faxes).where(t.attempt_faxes.c.attempt == attempt).values(**named))
    assert await house.answer(attempt) and await house.expose(attempt, fax, 1)
    assert await house.confirm(attempt, fax, 1) and await house.confirm(attempt, fax, 2)
    assert await house.done(attempt, Cause.OK)

    sink = MailboxSink(tmp_path / "mails")
    await sink.start()
    relay = RelaySettings(host="127.0.0.1", port=sink.port, tls="none", timeout=Duration(5))
    way = MailDelivery(relay)
    worker = OutboxWorker(house.seat(), dict.fromkeys(way.kinds, way), pages=ReportPages(house.seat(), client))
    for item in await worker.delivering._take(5):
        await worker.delivering._work(item)
    await sink.stop()
    (mail,) = await asyncio.to_thread(lambda: [each.read_bytes() for each in (tmp_path / "mails").glob("*.eml")])
    message = email.message_from_bytes(mail, policy=email.policy.SMTP)
    assert isinstance(message, EmailMessage) and not message.defects
    assert str(message["Subject"]).startswith("Remis : 2 pages au")
    assert message["From"].addresses[0].display_name == "Clinic"
    (pages,) = message.iter_attachments()
    assert pages.get_content_type() == kind
    said = message.get_body(("plain",))
    assert said is not None
    assert "Ci-joint : le fax tel qu'il a été envoyé (2 pages)." in said.get_content()
    assert "1 Park Street" in said.get_content()
    content = pages.get_content()
    if form == "tiff":
        assert content == octets
    else:
        document = pypdfium2.PdfDocument(io.BytesIO(content))
        assert len(document) == 2
        document.close()
