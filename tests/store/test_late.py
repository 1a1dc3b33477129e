"""Late faxes and the envelope of their mail, on each engine (docs/dsn.md)."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from faxgw.fax.dsn import DELAYED_AFTER, Action, Keyword
from faxgw.fax.job import Wish
from faxgw.formats.report_payload import dsn_from_payload
from faxgw.store import late
from faxgw.store import schema as t
from faxgw.store.envelope import envelope_of, original_of
from tests.house import ALICE, House

pytestmark = pytest.mark.asyncio(loop_scope="session")

ONE, TWO = "+33199000001", "+33199000002"


async def accepted(house: House, notify: str) -> tuple[str, list[str]]:
    """(message, faxes) of a mail whose client gave NOTIFY and ORCPT for the first of two recipients."""
    mail = await house.mail(ONE, TWO)
    await house.accept(mail)
    first = t.message_recipients.c.position == 1
    await house.change(update(t.message_recipients).where(first).values(notify=notify, orcpt="rfc822;x"))
    return mail.message, await house.walk(mail.message, ready=True)


async def test_the_envelope_is_the_one_the_client_gave(house: House) -> None:
    message, faxes = await accepted(house, "SUCCESS,DELAY")
    await house.change(update(t.faxes).values(latest=house.now + 60))
    envelope = await house.ask(envelope_of, message)
    assert envelope is not None
    assert (envelope.sender, envelope.received_at) == (ALICE, house.now)
    one, two = envelope.recipients
    assert (one.fax, one.notify, one.orcpt) == (faxes[0], frozenset({Keyword.SUCCESS, Keyword.DELAY}), "rfc822;x")
    assert (two.fax, two.notify, two.retry_until) == (faxes[1], frozenset(), house.now + 60)
    file = await house.ask(original_of, message)
    assert file is not None
    assert (house.folder / file.key).stat().st_size == file.size
    assert await house.ask(envelope_of, None) is None
    assert await house.ask(original_of, "msg_none") is None


async def test_a_late_job_is_found_once_and_told_in_the_same_transaction(house: House) -> None:
    _message, faxes = await accepted(house, "DELAY")
    job = (await house.fax(faxes[0])).job
    house.clock.now += DELAYED_AFTER
    assert await house.ask(late.late_jobs, now=house.now) == []
    house.clock.now += 1
    assert await house.ask(late.late_jobs, now=house.now) == [job]
    assert await house.do(late.tell, [job, job], now=house.now) == 1
    assert await house.ask(late.late_jobs, now=house.now) == []
    (item,) = await house.outbox()
    assert (item.kind, item.target, item.job) == ("dsn", ALICE, job)
    assert [(r.fax, r.action) for r in dsn_from_payload(item.payload).recipients] == [(faxes[0], Action.DELAYED)]


async def test_a_final_fax_and_one_without_delay_are_not_late(house: House) -> None:
    _message, faxes = await accepted(house, "DELAY")
    await house.wish(faxes[0], Wish.CANCEL)
    house.clock.now += DELAYED_AFTER + 1
    assert await house.ask(late.late_jobs, now=house.now) == []
