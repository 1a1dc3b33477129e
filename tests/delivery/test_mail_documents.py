"""Mails with received faxes whose target wants a password or names of its own."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pypdfium2
import pytest

from faxgw.delivery.mail import MailDelivery, RelaySettings
from faxgw.delivery.mail_documents import MailDocuments
from faxgw.demo import MailboxSink
from faxgw.fax.target import Encryption, Target, TargetKind
from faxgw.formats.received_payload import ReceivedFacts
from tests.delivery.consignments import DOCUMENT, FACTS, RECEPTION, parcel, target
from tests.delivery.test_seal import PDF

SECRET = {"document_password": "secret"}


@pytest.fixture
async def sink(tmp_path: Path) -> AsyncIterator[MailboxSink]:
    mailbox = MailboxSink(tmp_path)
    await mailbox.start()
    yield mailbox
    await mailbox.stop()


def delivery(port: int, secrets: Mapping[str, str] | None) -> MailDelivery:
    async def facts(reception: str) -> ReceivedFacts:
        return FACTS

    async def in_use(told: Target) -> tuple[Target, Mapping[str, str]]:
        return told, secrets or {}

    relay = RelaySettings(host="127.0.0.1", port=port, tls="none", sender="fax@example.net")
    return MailDelivery(relay, documents=None if secrets is None else MailDocuments(facts, in_use))


async def test_a_mail_with_a_password_holds_the_fax_encrypted_and_no_picture_of_it(sink: MailboxSink) -> None:
    to = target(TargetKind.MAIL, "owner@example.org", SECRET, encryption=Encryption.PASSWORD)
    with parcel(to, PDF) as made:
        picture = {"thumbnail": base64.b64encode(b"\x89PNG picture of page 1").decode()}
        shown = type(made)(made.item, made.kind, made.target, {**made.payload, **picture}, 0.0, 1, made.enclosures)
        result = await delivery(sink.port, SECRET).deliver(shown)
    assert result.delivered, result.detail
    (mail,) = sink.mails()
    (attached,) = mail.message.iter_attachments()
    assert attached.get_filename() == f"acme-{RECEPTION}.pdf"
    document = pypdfium2.PdfDocument(attached.get_content(), password="secret")
    assert len(document) == 2
    document.close()
    assert not [part for part in mail.message.walk() if part.get_content_maintype() == "image"]


@pytest.mark.parametrize("secrets", [None, {}])
async def test_a_fax_that_cannot_be_encrypted_never_leaves(sink: MailboxSink, secrets: dict[str, str] | None) -> None:
    to = target(TargetKind.MAIL, "owner@example.org", SECRET, encryption=Encryption.PASSWORD)
    with parcel(to, PDF) as made:
        result = await delivery(sink.port, secrets).deliver(made)
    assert (result.delivered, result.permanent, sink.mails()) == (False, False, [])


async def test_without_encryption_the_document_goes_as_it_is_under_its_name(sink: MailboxSink) -> None:
    to = target(TargetKind.MAIL, "owner@example.org", file_name="{date}-{status}")
    with parcel(to) as made:
        assert (await delivery(sink.port, {}).deliver(made)).delivered
    (attached,) = sink.mails()[0].message.iter_attachments()
    assert (attached.get_filename(), attached.get_content()) == ("20261118-OK.pdf", DOCUMENT)
