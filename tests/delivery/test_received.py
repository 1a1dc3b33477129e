"""Received faxes by mail: the stored document, octet for octet, or nothing (users.md 35)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from PIL import Image

from faxgw.delivery import mail as module
from faxgw.delivery.mail import MailDelivery, RelaySettings
from faxgw.demo import MailboxSink
from faxgw.fax.ports import Enclosure, Parcel
from faxgw.fax.reception import ReceivedReport
from faxgw.formats.report_payload import received_to_payload

PDF = b"%PDF-1.4\n" + bytes(range(256)) * 2000
REPORT = ReceivedReport("rcv_1", "acme", "+33199000099", "+498955", "", "+49 89", 1.795e9, 1.795e9, True, 1)


@pytest.fixture
async def sink(tmp_path: Path) -> AsyncIterator[MailboxSink]:
    mailbox = MailboxSink(tmp_path)
    await mailbox.start()
    yield mailbox
    await mailbox.stop()


@pytest.fixture
def descriptor() -> Iterator[int]:
    made = os.memfd_create("pdf")
    with os.fdopen(os.dup(made), "wb") as file:
        file.write(PDF)
    yield made
    os.close(made)


def delivery(port: int) -> MailDelivery:
    return MailDelivery(RelaySettings(host="127.0.0.1", port=port, tls="none", sender="fax@example.net"))


def parcel(descriptor: int, sha256: str = "", size: int = len(PDF), picture: bytes = b"") -> Parcel:
    enclosure = Enclosure("fax.pdf", "application/pdf", descriptor, sha256 or hashlib.sha256(PDF).hexdigest(), size)
    payload = received_to_payload(REPORT, ()) | {"thumbnail": base64.b64encode(picture).decode()}
    return Parcel("out_1", "received_mail", "owner@example.org", payload, 1.795e9, 1, (enclosure,))


async def test_a_received_fax_arrives_with_its_document(sink: MailboxSink, descriptor: int) -> None:
    out = io.BytesIO()
    Image.new("L", (140, 200), 255).save(out, "PNG")
    for _try in range(2):  # a retry is the same mail again
        result = await delivery(sink.port).deliver(parcel(descriptor, picture=out.getvalue()))
        assert result.delivered
    first, second = sink.mails()
    assert first.message.as_bytes() == second.message.as_bytes()
    (attached,) = first.message.iter_attachments()
    assert attached.get_content() == PDF
    assert first.message["Message-ID"] == "<out_1@example.net>"
    assert out.getvalue() in [p.get_content() for p in first.message.walk() if p.get_content_type() == "image/png"]


@pytest.mark.parametrize("wrong", [{"sha256": "0" * 64}, {"size": len(PDF) + 1}, {"size": 10}])
async def test_a_document_that_is_not_the_stored_one_never_leaves(
    sink: MailboxSink, descriptor: int, wrong: dict[str, object]
) -> None:
    result = await delivery(sink.port).deliver(parcel(descriptor, **wrong))  # type: ignore[arg-type]
    assert (result.delivered, result.permanent) == (False, False)
    assert sink.mails() == []


async def test_a_fax_mail_without_its_fax_never_leaves(sink: MailboxSink) -> None:
    bare = Parcel("out_1", "received_mail", "owner@example.org", received_to_payload(REPORT, ()), 0.0, 1)
    result = await delivery(sink.port).deliver(bare)
    assert (result.delivered, sink.mails()) == (False, [])


async def test_a_fax_too_large_for_mail_is_given_up_at_once(
    sink: MailboxSink, descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its reception is then retained, and somebody is told."""
    monkeypatch.setattr(module, "MAX_ENCLOSED", 1000)
    result = await delivery(sink.port).deliver(parcel(descriptor))
    assert (result.delivered, result.permanent) == (False, True)


async def test_large_faxes_together_have_bounded_room(
    sink: MailboxSink, descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is in memory several times while it is built; one that waits for a slow server holds back no other."""
    monkeypatch.setattr(module, "LARGE", 1000)
    way = delivery(sink.port)
    async with way._room.of(module.MAX_ENCLOSED // 2):
        assert (await way.deliver(parcel(descriptor))).delivered
    async with way._room.of(module.MAX_ENCLOSED):
        task = asyncio.create_task(way.deliver(parcel(descriptor)))
        _done, waiting = await asyncio.wait({task}, timeout=0.2)
        assert waiting
    assert (await task).delivered
