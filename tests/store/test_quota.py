"""A day's faxes and pages."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from faxgw.fax.ports import Principal
from faxgw.store import quota
from faxgw.store import schema as t
from tests.house import ALICE, House

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def limits(house: House, user: dict[str, Any] | None = None, **customer: Any) -> None:
    await house.change(update(t.customers).where(t.customers.c.id == "acme").values(settings=customer))
    await house.change(update(t.users).values(settings=user or {}))


async def over(house: House, faxes: int = 1, user: str = "", customer: str = "acme") -> str:
    return await house.ask(quota.refusal, {}, customer, user, faxes=faxes, now=house.now)


async def test_without_limits_everything_is_accepted(house: House) -> None:
    await house.job(*(["+33199000001"] * 9))
    assert await over(house, 1_000_000) == ""


async def test_a_days_faxes_are_the_last_24_hours(house: House) -> None:
    await limits(house, faxes_per_day=5)
    await house.job("+33199000001", "+33199000002", "+33199000003")
    assert await over(house, 2) == ""
    assert await over(house, 3) == "At most 5 faxes are accepted from this account in 24 hours."
    assert await over(house, 99, customer="beta") == ""
    house.clock.now += 86_401
    assert await over(house, 5) == "" and await over(house, 6)


async def test_mails_that_are_not_walked_yet_count(house: House) -> None:
    await limits(house, faxes_per_day=2)
    message = await house.mail("+33199000001", "+33199000002")
    await house.accept(message)
    assert await over(house)
    await house.walk(message.message)
    assert await over(house), "the same faxes, counted once"
    await limits(house, faxes_per_day=3)
    assert await over(house) == ""


async def test_a_days_pages_count_once_they_are_known(house: House) -> None:
    await limits(house, pages_per_day=6)
    await house.job("+33199000001", pages=3)
    assert await over(house) == ""
    await house.job("+33199000001", pages=3)
    assert await over(house) == "At most 6 pages are accepted from this account in 24 hours."


async def test_a_users_limit_counts_his_own_and_the_customers_counts_all(house: House) -> None:
    await limits(house, {"faxes_per_day": 2}, faxes_per_day=4)
    await house.job("+33199000001", user="acme/bert")
    assert await over(house, 1, user="acme/bert") == ""
    assert "At most 2" in await over(house, 2, user="acme/bert")
    await house.job("+33199000001", "+33199000002", "+33199000003")
    assert "At most 4" in await over(house, 1, user="acme/bert")


async def test_a_day_of_no_faxes_is_none(house: House) -> None:
    await limits(house, faxes_per_day=0)
    assert await over(house)


async def test_the_recipients_that_are_known_already_do_not_count_twice(house: House) -> None:
    await limits(house, faxes_per_day=2)
    principal = Principal("acme", "", "", ALICE, "address")
    for _ in range(2):
        await house.accept(await house.mail("+33199000001", principal=principal))
    assert await over(house) == ""
