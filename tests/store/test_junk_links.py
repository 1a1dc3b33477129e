"""What a link in the mail about junk does to the store: for its fax, its owner and its time (features G8)."""

from __future__ import annotations

import pytest

from faxgw.fax import release_link
from faxgw.store import junk, junk_links, link_keys
from faxgw.store.junk import State, Verdict
from tests.house import House
from tests.store.test_junk import row
from tests.store.test_junk_mail import ALICE, BOB, aside, numbers

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEY = b"k" * link_keys.KEY_OCTETS


async def linked(house: House, address: str = ALICE) -> tuple[str, str]:
    """(fax, token) of a fax that was set aside."""
    await numbers(house, {"deliver_to": [ALICE], "language": "en"})
    assert await house.do(link_keys.obtain, link_keys.JUNK, drawn=KEY, now=house.now) == KEY
    reception = await aside(house)
    path = release_link.path(KEY, reception, address, house.now + 60)
    return reception, path.rpartition("/")[2]


async def test_looking_does_nothing_and_releasing_it_does(house: House) -> None:
    reception, token = await linked(house)
    found = await house.ask(junk_links.look, reception, token, now=house.now)
    assert found is not None and found.waits and (found.owner, found.language) == (ALICE, "en")
    assert (await row(house, reception)).state == State.ASIDE
    assert await house.do(junk_links.release, reception, token, now=house.now) == found
    settled = await row(house, reception)
    assert (settled.state, settled.settled_by) == (State.RELEASED, f"link to {ALICE}")
    events = await house.events(reception)
    again = await house.do(junk_links.release, reception, token, now=house.now)
    assert again is not None and not again.waits
    assert await house.events(reception) == events  # once more is no harm, and no news


async def test_what_an_administrator_called_junk_its_owner_may_have_all_the_same(house: House) -> None:
    reception, token = await linked(house)
    await house.do(junk.settle, reception=reception, verdict=Verdict.JUNK, customer="", who="admin", now=house.now)
    assert (await row(house, reception)).state == State.JUNK
    await house.do(junk_links.release, reception, token, now=house.now)
    assert (await row(house, reception)).state == State.RELEASED


async def test_a_link_that_is_wrong_over_or_somebody_elses_does_nothing(house: House) -> None:
    reception, token = await linked(house)
    strangers = release_link.path(KEY, reception, BOB, house.now + 60).rpartition("/")[2]
    for which, given, now in (
        (reception, token[:-1] + ("A" if token[-1] != "A" else "B"), house.now),
        (reception, token, house.now + 61),
        (reception, strangers, house.now),
        ("rcv_" + "0" * 32, token, house.now),
        ("rcv_\0", token, house.now),
    ):
        assert await house.ask(junk_links.look, which, given, now=now) is None
        assert await house.do(junk_links.release, which, given, now=now) is None
    assert (await row(house, reception)).state == State.ASIDE


async def test_without_a_key_there_is_no_link(house: House) -> None:
    await numbers(house, {"deliver_to": [ALICE]})
    reception = await aside(house)
    token = release_link.path(b"", reception, ALICE, house.now + 60).rpartition("/")[2]
    assert await house.do(junk_links.release, reception, token, now=house.now) is None
