"""Pages beside the body of a job."""

from __future__ import annotations

import pytest

from faxgw.fax.ports import StoredFile
from faxgw.store import renditions
from faxgw.store.renditions import Kind, Rendition
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")


def cover(fax: str, file: StoredFile, first: int = 1, resolution: str = "fine") -> Rendition:
    return Rendition(Kind.COVER, resolution, file, first, 1, fax, ({"rows": 2200, "octets": 5},))


async def test_covers_are_found_by_their_fax_and_a_body_by_its_job(house: House) -> None:
    job, (first, second) = await house.job("+33199000001", "+33199000002")
    file = await house.keep(b"covers")
    body = Rendition(Kind.BODY, "standard", await house.keep(b"body"), 1, 2)
    made = [cover(first, file), cover(second, file, 2), body]
    await house.do(renditions.keep, job, made)
    assert await house.ask(renditions.find, job, Kind.COVER, fax=second) == [made[1]]
    assert await house.ask(renditions.find, job, Kind.BODY) == [body]
    assert not await house.ask(renditions.find, job, Kind.BODY, fax=first)
    assert await house.ask(renditions.of_faxes, job, [first, second, "FNX"], Kind.COVER) == {
        first: [made[0]],
        second: [made[1]],
    }


async def test_what_is_there_already_stays_when_it_is_made_again(house: House) -> None:
    job, (fax,) = await house.job("+33199000001")
    once, twice = await house.keep(b"once"), await house.keep(b"twice")
    await house.do(renditions.keep, job, [cover(fax, once)])
    await house.do(renditions.keep, job, [cover(fax, twice), cover(fax, twice, resolution="standard")])
    found = await house.ask(renditions.find, job, Kind.COVER, fax=fax)
    assert [(one.resolution, one.file) for one in found] == [("fine", once), ("standard", twice)]
    await house.do(renditions.keep, job, [])


async def test_thousands_of_faxes_are_looked_for_in_parts(house: House) -> None:
    job, faxes = await house.job(*(f"+3319900{n:04}" for n in range(1_100)))
    file = await house.keep(b"covers")
    await house.do(renditions.keep, job, [cover(fax, file, at) for at, fax in enumerate(faxes, 1)])
    found = await house.ask(renditions.of_faxes, job, faxes, Kind.COVER)
    assert [found[fax][0].first for fax in faxes] == list(range(1, 1_101))
