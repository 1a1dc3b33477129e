"""Lists of a mail: several are one, what an account may have, and who is not told anything."""

from __future__ import annotations

from typing import Any

import pytest

from faxgw.dispatch.gate import dial_plan
from faxgw.dispatch.listing import Listing, read
from faxgw.fax.account import Level, Origin, resolve

ONE, TWO = "+33199000001", "+33199000002"


async def listing(*texts: str, wanted: bool = False, **settings: Any) -> Listing:
    given = resolve([(Origin(Level.CUSTOMER, "acme"), settings)])
    return await read(texts, given, dial_plan(given), wanted=wanted)


def told(found: Listing, language: str = "en") -> str:
    return found.fault.told(language) if found.fault else ""


async def test_several_lists_are_one() -> None:
    found = await listing(f"{ONE},Anna\n", f"{TWO}\n{ONE},again\n")
    assert [(one.number.e164, one.personal) for one in found.recipients] == [(ONE, "Anna"), (TWO, "")]


async def test_no_list_is_a_fault_only_where_one_was_meant() -> None:
    assert await listing() == Listing()
    assert "has no attachment distribution-list.txt" in told(await listing(wanted=True))


@pytest.mark.parametrize("count, too_many", [(3, False), (4, True)])
async def test_the_limit_is_the_accounts(count: int, too_many: bool) -> None:
    found = await listing("\n".join(f"+3319900000{n}" for n in range(count)), max_list=3)
    assert (found.too_many, len(found.recipients)) == (too_many, 0 if too_many else 3)


async def test_an_account_without_lists_has_none() -> None:
    assert told(await listing(ONE, max_list=0)) == "Distribution lists are not open to this account."
    assert told(await listing(ONE, max_list=0), "de") == "Verteilerlisten sind für dieses Konto nicht freigegeben."


async def test_national_numbers_are_the_accounts() -> None:
    found = await listing("79460001", country="GB", area_code="020")
    assert [one.number.e164 for one in found.recipients] == ["+442079460001"]


@pytest.mark.parametrize("beside, fault", [((), ""), ((ONE, TWO), ""), (("+33199000003",), "The fax has 3 recipients")])
async def test_a_list_counts_with_the_envelope_and_nobody_twice(beside: tuple[str, ...], fault: str) -> None:
    given = resolve([(Origin(Level.CUSTOMER, "acme"), {"max_recipients": 2})])
    people = frozenset((number, "") for number in beside)
    found = await read((f"{ONE}\n{TWO}",), given, dial_plan(given), wanted=False, beside=people)
    assert told(found).startswith(fault) and found.too_many == bool(fault) and bool(found.recipients) != bool(fault)
