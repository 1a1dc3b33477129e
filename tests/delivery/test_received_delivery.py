"""What every way out is handed: documents as stored, or nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from faxgw.delivery import received as module
from faxgw.delivery.received import Consignment, ReceivedDelivery, Room, Undelivered
from faxgw.fax.target import TargetKind
from faxgw.formats.received_payload import FaxDocument, ReceivedFacts
from tests.delivery.consignments import DOCUMENT, RECEPTION, consignment, delivered, parcel, target

TO = target(TargetKind.PULL, "inbox")


class Keeps:
    """A way out that keeps what it is handed, or fails."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.fault = fault
        self.seen: list[Consignment] = []

    async def deliver(self, consignment: Consignment) -> str:
        if self.fault is not None:
            raise self.fault
        self.seen.append(consignment)
        return "taken"


async def test_a_way_is_handed_the_stored_document_under_its_name() -> None:
    way = Keeps()
    result = await delivered(way, TO)
    assert (result.delivered, result.detail) == (True, "taken")
    (seen,) = way.seen
    assert seen.documents == (FaxDocument(f"acme-{RECEPTION}.pdf", "application/pdf", DOCUMENT),)
    assert (seen.report.reception, seen.target, seen.is_apart) == (RECEPTION, TO, True)


@pytest.mark.parametrize(
    ("fault", "permanent", "word"),
    [
        (Undelivered("later"), False, "later"),
        (Undelivered("never", temporary=False), True, "never"),
        (OSError(5, "Input/output error"), False, "OSError: Input/output error"),
        (TimeoutError(), False, "not finished in time"),
        (Undelivered("two\nlines " + "x" * 1000), False, "two lines xxx"),
    ],
)
async def test_a_fault_is_a_result(fault: Exception, permanent: bool, word: str) -> None:
    result = await delivered(Keeps(fault), TO)
    assert (result.delivered, result.permanent) == (False, permanent)
    assert word in result.detail
    assert len(result.detail) <= module.MAX_DETAIL


async def test_a_document_that_is_not_the_stored_one_never_leaves() -> None:
    way = Keeps()
    with parcel(TO) as made:
        for wrong in ({"sha256": "0" * 64}, {"size": len(DOCUMENT) - 1}, {"size": len(DOCUMENT) + 1}):
            enclosure = replace(made.enclosures[0], **wrong)
            result = await _try(way, replace(made, enclosures=(enclosure,)))
            assert (result.delivered, result.permanent) == (False, False)
        assert not (await _try(way, replace(made, enclosures=()))).delivered
        unreadable = await _try(way, replace(made, payload={}))
        assert (unreadable.delivered, unreadable.permanent) == (False, True)
    assert way.seen == []


async def test_what_is_too_large_for_memory_is_given_up_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its reception is then retained, and somebody is told."""
    monkeypatch.setattr(module, "MAX_OCTETS", 1000)
    result = await delivered(Keeps(), TO)
    assert (result.delivered, result.permanent) == (False, True)


async def _try(way: Keeps, made: Any) -> Any:
    async def facts(reception: str) -> ReceivedFacts:
        return ReceivedFacts()

    async def known(one: Any) -> Any:
        return one, {}

    return await ReceivedDelivery(way, facts, known).deliver(made)


def test_sidecars_have_names_of_their_own_and_the_metadata_file_is_the_last() -> None:
    to = target(TargetKind.PICKUP, "erp", params={"sidecars": "idx xml"})
    read = FaxDocument("f.xml", "application/xml", b"<text/>")
    seen = consignment(to, stem="f", documents=(FaxDocument("f.pdf", "application/pdf", b"%PDF"), read))
    assert [file.name for file in seen.files] == ["f.pdf", "f.xml", "f.fax.xml", "f.idx"]
    mark = RECEPTION[-12:]
    assert [file.name for file in seen.apart().files] == [
        f"f-{mark}.pdf", f"f-{mark}.xml", f"f-{mark}.fax.xml", f"f-{mark}.idx",
    ]  # fmt: skip


async def test_a_slow_receiver_of_a_large_fax_holds_back_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGE", 10)
    monkeypatch.setattr(ReceivedDelivery, "_room", Room(2 * len(DOCUMENT)))
    slow = Waits()
    first = asyncio.create_task(delivered(slow, TO))
    await slow.begun.wait()
    assert (await delivered(Keeps(), TO)).delivered
    second = asyncio.create_task(delivered(slow, TO, octets=DOCUMENT[:20]))
    assert (await delivered(Keeps(), TO, octets=DOCUMENT[:9])).delivered  # what is small needs no room
    assert (await delivered(Keeps(), TO, within=0.05)).detail == "not finished in time"  # there is none left
    slow.goes_on.set()
    assert [one.delivered for one in await asyncio.gather(first, second)] == [True, True]
    assert (await delivered(Keeps(), TO)).delivered


async def test_room_is_given_in_turn_and_the_largest_goes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGE", 0)
    room, entered = Room(10), list[int]()

    async def visit(size: int, leave: asyncio.Event) -> None:
        async with room.of(size):
            entered.append(size)
            await leave.wait()

    leave = asyncio.Event()
    visits = [asyncio.create_task(visit(size, leave)) for size in (6, 4, 50, 1)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert entered == [6, 4]
    visits[2].cancel()  # who gives up waiting keeps nobody waiting
    await asyncio.wait({visits[2]})
    leave.set()
    await asyncio.gather(visits[0], visits[1], visits[3])
    assert entered == [6, 4, 1]
    async with room.of(50):
        entered.append(50)
    assert entered[-1] == 50


class Waits:
    """A way out that takes until it is told to go on."""

    def __init__(self) -> None:
        self.begun, self.goes_on = asyncio.Event(), asyncio.Event()

    async def deliver(self, consignment: Consignment) -> str:
        self.begun.set()
        await self.goes_on.wait()
        return "taken"
