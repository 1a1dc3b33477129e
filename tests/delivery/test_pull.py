"""Faxes laid where a program fetches them: once, and the delivery is done when they were acknowledged."""

from __future__ import annotations

import pytest
import pytest_asyncio
from sqlalchemy import func, insert, select

from faxgw.delivery.pull import PullWay
from faxgw.delivery.received import Undelivered
from faxgw.fax.target import TargetKind
from faxgw.store import outbox, pulls
from faxgw.store import schema as t
from tests.delivery.consignments import DOCUMENT, RECEPTION, consignment, target
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")
ITEM = "out_0193aaaabbbbccccddddeeeeffff0002"


@pytest_asyncio.fixture(loop_scope="session")
async def way(house: House) -> PullWay:
    await house.change(
        insert(t.receptions).values(
            id=RECEPTION, state="routed", since=0.0, customer="acme", number="+33199000099", dialled="", caller="",
            display="", trunk="t", call_id="c", dialog={}, node="n1", fence=1, settings={}, started_at=0.0,
        )
    )  # fmt: skip
    await house.do(
        outbox.put, ITEM, "received_pull", "inbox", customer="acme", payload={}, now=house.now, reception=RECEPTION
    )
    return PullWay(house.store, house.files, house.clock)


async def files(house: House) -> int:
    (row,) = await house.rows(select(func.count()).select_from(t.pull_documents))
    return int(row[0])


async def test_it_waits_in_its_topic_and_is_no_failure_of_the_target(house: House, way: PullWay) -> None:
    with pytest.raises(Undelivered) as waits:
        await way.deliver(consignment(target(TargetKind.PULL, "inbox")))
    assert str(waits.value) == "waits in inbox to be fetched" and waits.value.temporary
    (found,) = await house.do(pulls.fetch, "acme", "inbox", limit=9, hide=0, now=house.now)
    assert found.told["JobID"] == RECEPTION
    ((_url, document),) = found.documents
    assert (document.name, document.file.size) == (f"acme-{RECEPTION}.pdf", len(DOCUMENT))


async def test_a_second_try_lays_nothing_a_second_time(house: House, way: PullWay) -> None:
    """The process died between the commit and the end of the first."""
    for _try in range(2):
        with pytest.raises(Undelivered):
            await way.deliver(consignment(target(TargetKind.PULL, "inbox")))
    assert await files(house) == 1


async def test_two_tries_at_once_keep_one_document_and_leave_no_other_behind(house: House, way: PullWay) -> None:
    kept = len(list(house.folder.rglob("*")))
    await house.do(
        pulls.lay, ITEM, customer="acme", topic="inbox", reception=RECEPTION, told={}, documents=[], now=house.now
    )
    await way._lay(consignment(target(TargetKind.PULL, "inbox")), "inbox")
    assert await files(house) == 0
    assert len([path for path in house.folder.rglob("*") if path.is_file()]) <= kept + 2


async def test_it_is_delivered_when_it_was_acknowledged(house: House, way: PullWay) -> None:
    to = target(TargetKind.PULL, "inbox")
    with pytest.raises(Undelivered):
        await way.deliver(consignment(to))
    await house.do(pulls.acknowledge, "acme", "inbox", [ITEM], now=house.now, who="login:erp")
    assert await way.deliver(consignment(to)) == "fetched from inbox"
