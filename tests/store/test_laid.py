"""Which fax a file of a pick-up area is, by its name or by the delivery that laid it there."""

from __future__ import annotations

import pytest
from sqlalchemy import insert

from faxgw.store import laid, outbox
from faxgw.store import schema as t
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

FIRST, SECOND = f"rcv_{1:032x}", f"rcv_{2:032x}"


async def lay(house: House, item: str, reception: str, detail: str, login: str = "erp", state: str = "done") -> None:
    await house.change(
        insert(t.outbox).values(
            id=item, kind="received_pickup", target=login, customer="acme", reception=reception, payload={},
            state=state, created_at=house.now, due_at=house.now, tries=1, done_at=house.now, detail=detail,
        )
    )  # fmt: skip
    house.clock.now += 1


async def test_a_name_with_the_faxs_id_needs_no_delivery(house: House) -> None:
    assert await house.ask(laid.reception_of, "acme", "erp", f"acme-{FIRST}.pdf") == FIRST


async def test_a_name_of_a_template_is_the_newest_faxs_that_was_laid_under_it(house: House) -> None:
    await lay(house, "out_1", FIRST, "2.pdf, 2.idx")
    await lay(house, "out_2", SECOND, "2.pdf, 2.idx")
    assert await house.ask(laid.reception_of, "acme", "erp", "2.idx") == SECOND


@pytest.mark.parametrize(
    ("customer", "login", "name"),
    [
        ("acme", "erp", "3.pdf"),
        ("acme", "crm", "2.pdf"),
        ("beta", "erp", "2.pdf"),
        ("acme", "erp", "2.pd"),
        ("acme", "erp", "%"),
        ("acme", "erp", "_.pdf"),
    ],
    ids=["another file", "another login", "another customer", "part of a name", "a wildcard", "another wildcard"],
)
async def test_no_other_fax_is_named(house: House, customer: str, login: str, name: str) -> None:
    await lay(house, "out_1", FIRST, "2.pdf, 2.idx")
    assert await house.ask(laid.reception_of, customer, login, name) == ""


async def test_a_delivery_that_has_failed_laid_nothing(house: House) -> None:
    await lay(house, "out_1", FIRST, "2.pdf", state="dead")
    assert await house.ask(laid.reception_of, "acme", "erp", "2.pdf") == ""


async def test_the_kind_is_the_one_of_pick_up_deliveries(house: House) -> None:
    await house.do(
        outbox.put, "out_1", "received_sftp", "erp", customer="acme", payload={}, now=house.now, reception=FIRST
    )
    assert await house.ask(laid.reception_of, "acme", "erp", "2.pdf") == ""
