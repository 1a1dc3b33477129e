"""Results of job files: one for each, of all its faxes, and none before the last of them was handed in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from sqlalchemy import select

from faxgw.dispatch.jobs import JobGate
from faxgw.fax.ports import DeliveryResult, Parcel
from faxgw.fax.submission import JobKnown, JobReceipt, JobRefused, JobSubmission
from faxgw.store import schema as t
from faxgw.store.errors import StoreDown
from tests.house import House, house, house_store
from tests.intake.files_world import PDF, FilesWorld, files_world, job_xml

__all__ = ["house", "house_store"]

pytestmark = pytest.mark.asyncio(loop_scope="session")

WRONG = "+1"
"""No number: the fax fails at once, and its job is finished."""


@pytest.fixture(scope="session")
def house_engine() -> str:
    return "sqlite"


class Between(JobGate):
    """Something happens before the second fax of a file is handed in."""

    def __init__(self, house: House) -> None:
        super().__init__(house.seat())
        self.seen = 0
        self.then: Callable[[], Awaitable[None]] | None = None

    async def submit(self, job: JobSubmission) -> JobReceipt | JobKnown | JobRefused:
        self.seen += 1
        if self.seen == 2 and self.then is not None:
            await self.then()
        return await super().submit(job)


async def delivered(world: FilesWorld) -> list[DeliveryResult]:
    """One try for each result that is due."""
    rows = await world.house.rows(select(t.outbox).where(t.outbox.c.kind == "result_file").order_by(t.outbox.c.id))
    parcels = [Parcel(row.id, row.kind, row.target, row.payload, 0.0, 1) for row in rows]
    return [await world.results.deliver(parcel) for parcel in parcels]


@pytest.mark.parametrize("killed", [False, True])
async def test_no_result_is_written_while_faxes_of_the_file_are_still_handed_in(
    house: House, tmp_path: Path, killed: bool
) -> None:
    """The first may be over before the second is a job, the more so where the gateway was away in between."""
    gate = Between(house)
    async with files_world(house, tmp_path, gate) as world:
        await world.login("erp")

        async def too_early() -> None:
            (early,) = await delivered(world)
            assert (early.delivered, early.permanent) == (False, False) and await world.out() == {}
            if killed:
                raise StoreDown("as good as killed")

        gate.then = too_early
        second = job_xml(number=WRONG).split(b"<fax>")[1].split(b"</jobs>")[0]
        await world.lay("letter.pdf", PDF)
        await world.lay("job-2.xml", job_xml(number=WRONG).replace(b"</jobs>", b"<fax>" + second + b"</jobs>"))
        if killed:
            with pytest.raises(StoreDown):
                await world.settle()
            (early,) = await delivered(world)
            assert not early.delivered and await world.out() == {}
        await world.settle()
        assert [one.delivered for one in await delivered(world)] == [True, True]
        (result,) = (await world.out()).items()
        assert result[0] == "rep-2.xml" and len(ElementTree.fromstring(result[1]).findall("fax")) == 2
