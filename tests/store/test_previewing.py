"""A fax as it is to be shown, and what its next call will take."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from faxgw import show
from faxgw.fax.outcome import Cause, Outcome
from faxgw.store import lookup, previewing
from faxgw.store import schema as t
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

FAR = "+33199000001"


async def job(house: House, **more: object) -> tuple[str, str]:
    """A fax of two pages, 17,600 octets each as made."""
    name, (fax,) = await house.job(FAR, ecm=False, **more)  # type: ignore[arg-type]
    facts = [{"rows": 2286, "octets": 17_600, "document": 0, "page": page} for page in (1, 2)]
    await house.change(update(t.jobs).where(t.jobs.c.id == name).values(page_facts=facts))
    return name, fax


async def test_what_the_next_call_will_take_is_shown_with_a_fax_that_waits(house: House) -> None:
    """18,000 octets with the header line are 10 s at 14,400 bit/s; set-up, the pause and the end take 21 s."""
    name, fax = await job(house)
    found = await house.ask(lookup.find, name)
    assert found is not None
    assert found["faxes"][0]["expected"] == {
        "pages": 2, "octets": 36_000, "rate": 14_400, "seconds": 41.0, "billed_pages": 2,
    }  # fmt: skip
    assert "  next call: 2 pages (billed so), 36,000 octets, about 41 s at 14400 bit/s" in show.detail(found)
    sent = Outcome(Cause.OK, connected=True, exposed=True, transport="t38", bit_rate=4800)
    await house.call(fax, sent, confirmed=2)
    done = await house.ask(lookup.find, name)
    assert done is not None and done["faxes"][0]["expected"] is None
    assert "next call" not in show.detail(done)
    slow = await house.ask(previewing.expected, (await job(house))[1])
    assert slow is not None and slow.rate == 4800


async def test_only_pages_that_are_still_to_be_sent_count(house: House) -> None:
    _name, fax = await job(house)
    await house.call(fax, Outcome(Cause.REMOTE_HUNG_UP, connected=True, exposed=True), confirmed=1)
    will = await house.ask(previewing.expected, fax)
    assert will is not None and (will.pages, will.octets) == (1, 18_000)


async def test_nothing_is_expected_before_the_pages_are_made_nor_in_a_call(house: House) -> None:
    _name, (unready,) = await house.job(FAR, ready=False)
    assert await house.ask(previewing.look, unready) is None
    assert await house.ask(previewing.expected, unready) is None
    _name, fax = await job(house)
    attempt = await house.plan(fax)
    shown = await house.ask(previewing.look, fax)
    assert shown is not None and (shown.attempt, shown.state, shown.first) == (attempt, "calling", 1)
    assert await house.ask(previewing.expected, fax) is None
