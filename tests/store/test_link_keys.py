"""Keys of links: made once, the same ever after, one for each purpose."""

from __future__ import annotations

import pytest

from faxgw.store import link_keys
from faxgw.store.link_keys import KEY_OCTETS
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

FIRST, SECOND = b"1" * KEY_OCTETS, b"2" * KEY_OCTETS


async def test_a_key_is_made_once_for_each_purpose(house: House) -> None:
    assert await house.ask(link_keys.find, link_keys.JUNK) is None
    assert await house.do(link_keys.obtain, link_keys.JUNK, drawn=FIRST, now=house.now) == FIRST
    await house.next_life()
    assert await house.do(link_keys.obtain, link_keys.JUNK, drawn=SECOND, now=house.now) == FIRST
    assert await house.do(link_keys.obtain, "another", drawn=SECOND, now=house.now) == SECOND
    assert await house.ask(link_keys.find, link_keys.JUNK) == FIRST


async def test_a_short_key_is_none(house: House) -> None:
    with pytest.raises(ValueError, match="32 octets"):
        await house.do(link_keys.obtain, link_keys.JUNK, drawn=b"short", now=house.now)
