"""The daily mail about junk on its way: written by a look, handed to a relay, read by its owner."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import select

from faxgw.delivery.mail import MailDelivery, RelaySettings
from faxgw.demo import MailboxSink
from faxgw.dispatch import junk_mail as module
from faxgw.dispatch.junk_mail import JunkMail
from faxgw.dispatch.outbox import OutboxWorker
from faxgw.store import junk_links, junk_mail
from faxgw.store import schema as t
from faxgw.store.errors import StoreDown
from tests.dispatch.doubles import until
from tests.house import House
from tests.store.test_junk import DAY
from tests.store.test_junk_mail import ALICE, BOB, aside, at, numbers

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


async def test_each_owner_has_links_of_his_own_for_each_fax(house: House) -> None:
    await numbers(house, {"deliver_to": [ALICE, BOB], "junk_link_days": 3})
    house.clock.now = at(20, 10)
    receptions = {await aside(house), await aside(house)}
    house.clock.now += DAY
    assert await JunkMail(house.seat(), "https://fax.example.org").run() == 2
    links = {}
    for item in await house.rows(select(t.outbox).where(t.outbox.c.kind == junk_mail.KIND)):
        for fax in item.payload["faxes"]:
            assert fax["link_until"] == house.now + 3 * DAY
            links[item.target, fax["reception"]] = fax["link"]
    assert set(links) == {(owner, reception) for owner in (ALICE, BOB) for reception in receptions}
    assert len(set(links.values())) == 4
    for (owner, reception), link in links.items():
        token = link.removeprefix(f"https://fax.example.org/junk/{reception}/")
        for now, found in ((house.now + 3 * DAY, owner), (house.now + 3 * DAY + 1, None)):
            seen = await house.ask(junk_links.look, reception, token, now=now)
            assert (seen.owner if seen else None) == found


@pytest.mark.parametrize("origin, days", [("", 3), ("https://fax.example.org", 0)])
async def test_without_an_address_or_days_there_are_none(house: House, origin: str, days: int) -> None:
    await numbers(house, {"deliver_to": [ALICE], "junk_link_days": days})
    house.clock.now = at(20, 10)
    await aside(house)
    house.clock.now += DAY
    assert await JunkMail(house.seat(), origin).run() == 1
    (item,) = await house.rows(select(t.outbox).where(t.outbox.c.kind == junk_mail.KIND))
    assert [fax["link"] for fax in item.payload["faxes"]] == [""]


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
