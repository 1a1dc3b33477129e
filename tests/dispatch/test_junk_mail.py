"""The daily mail about junk on its way: written by a look, handed to a relay, read by its owner."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from faxgw.delivery.mail import MailDelivery, RelaySettings
from faxgw.demo import MailboxSink
from faxgw.dispatch import junk_mail as module
from faxgw.dispatch.junk_mail import JunkMail
from faxgw.dispatch.outbox import OutboxWorker
from faxgw.store import junk_mail
from faxgw.store.errors import StoreDown
from tests.dispatch.doubles import until
from tests.house import House
from tests.store.test_junk import DAY
from tests.store.test_junk_mail import ALICE, aside, at, numbers

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_an_owner_reads_how_to_release_what_was_set_aside(house: House, tmp_path: Path) -> None:
    await numbers(house, {"deliver_to": [ALICE], "language": "en"})
    house.clock.now = at(20, 10)
    reception = await aside(house)
    house.clock.now += DAY
    seat = house.seat()
    assert await JunkMail(seat).run() == 1
    mailbox = MailboxSink(tmp_path)
    await mailbox.start()
    deliveries = OutboxWorker(seat, {junk_mail.KIND: MailDelivery(RelaySettings(port=mailbox.port, tls="none"))})
    running = asyncio.create_task(deliveries.delivering.run())
    try:
        await until(lambda: bool(list(mailbox.mails())))
    finally:
        await deliveries.delivering.stop(1.0)
        await running
        await mailbox.stop()
    (mail,) = mailbox.mails()
    assert mail.message["To"] == ALICE and mail.message["Subject"] == "1 fax was set aside as junk"
    assert f"faxgw junk good {reception}" in mail.message.get_content()


async def test_a_look_that_fails_is_followed_by_another(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EVERY", 0.0)
    looked = 0

    async def run(self: JunkMail) -> int:
        nonlocal looked
        looked += 1
        if looked == 1:
            raise StoreDown("away")
        if looked == 2:
            raise ValueError("ours")
        return 0

    monkeypatch.setattr(JunkMail, "run", run)
    task = asyncio.create_task(JunkMail(house.seat()).run_for_ever())
    await until(lambda: looked > 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
