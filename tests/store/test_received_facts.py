"""What programs are told of a received fax beside its report."""

from __future__ import annotations

import pytest
from sqlalchemy import insert

from faxgw.fax.account import Level, Origin, resolve
from faxgw.formats.received_payload import ReceivedFacts
from faxgw.store import schema as t
from faxgw.store.received_facts import facts_of
from tests.house import House, house, house_store

__all__ = ["house", "house_store"]

SETTINGS = resolve([(Origin(Level.CUSTOMER, "acme"), {"csid": "+33 1 99", "billing_code": "7"})])
pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_facts_come_from_call_pages_and_rules(house: House) -> None:
    await house.change(
        insert(t.receptions).values(
            id="rcv_1", state="routed", since=0.0, customer="acme", number="+33199000099", dialled="", caller="",
            display="", trunk="t", call_id="c", dialog={}, node="n1", fence=1,
            settings=SETTINGS.snapshot(), started_at=90.0, answered_at=100.0, ended_at=134.0,
            outcome={"bit_rate": 14_400}, routing={"tags": ["invoice"], "extracted": {"order": "4711"}},
        )
    )  # fmt: skip
    for page, resolution in ((1, 3_850), (2, 7_700)):
        await house.change(
            insert(t.reception_pages).values(
                reception="rcv_1", page=page, key=f"k{page}", sha256="0" * 64, size=1, rows=1, width=1,
                x_resolution=8_031, y_resolution=resolution, bad_rows=0, encoding="MMR", page_end="eop",
                confirmed=True, at=120.0,
            )
        )  # fmt: skip
    found = await house.ask(facts_of, "rcv_1")
    assert (found.bit_rate, found.duration, found.fine) == (14_400, 34.0, (False, True))
    assert (found.tags, found.extracted) == (("invoice",), {"order": "4711"})
    assert (found.csid, found.billing_code) == ("+33 1 99", "7")


async def test_what_the_archive_has_forgotten_is_empty(house: House) -> None:
    assert await house.ask(facts_of, "rcv_none") == ReceivedFacts()
