"""Calls to us at the inside: admission, pages durable before their acknowledgement, the way into the outbox."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import io
import os
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Any, cast

import pytest
from sqlalchemy import Connection, select, update

from faxgw.dispatch import inbound as module
from faxgw.dispatch.inbound import Inbound, recover
from faxgw.dispatch.outbox import OutboxWorker
from faxgw.dispatch.station import Station
from faxgw.document import pdf_out
from faxgw.document.client import PageClient, PagesDamaged, PagesUnavailable
from faxgw.document.types import PdfMade, PdfPage
from faxgw.fax.outcome import Cause, Outcome
from faxgw.fax.ports import Admission, DeliveryResult, Parcel, Ringing
from faxgw.fax.reception import PageEnd, ReceivedPage
from faxgw.formats.report_payload import received_from_payload
from faxgw.store import directory, receptions, routing
from faxgw.store import schema as t
from faxgw.store.directory import CustomerSeed, NumberSeed
from faxgw.store.errors import CommitUncertain, FileFailed, StoreDown
from faxgw.store.space import Watermark
from tests.dispatch.doubles import ScriptedLine, memory, until
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

NUMBER, OWNER, DESK = "+33199000099", "owner@example.org", "desk@example.org"
SYSTEM: dict[str, object] = {"fallback_mailbox": DESK}
NO_FLOOR = Watermark(0, render_budget=0, percent=0)
RINGING = Ringing("t1", "c1", "0199000099", "+498955", "Peer", {"call_id": "c1"})


class Documents:
    """Makes PDFs without page processes; a queued exception comes first."""

    def __init__(self, *faults: Exception) -> None:
        self.faults = list(faults)
        self.made: list[tuple[list[bytes], str]] = []

    async def pdf(self, pages: Sequence[int], title: str, created: datetime, *, thumbnail_px: int = 0) -> PdfMade:
        if self.faults:
            raise self.faults.pop(0)
        self.made.append(([os.pread(page, 100, 0) for page in pages], title))
        out = io.BytesIO()
        writer = pdf_out.Writer(out, title, created)
        for _page in pages:
            writer.add(pdf_out.Picture(b"\x00\x10\x01", 1728, 1, 8031, 7700))
        writer.finish()
        facts = tuple(PdfPage(1728, 1, 610.0, 0.4, 3, True) for _page in pages)
        return PdfMade(memory(out.getvalue()), facts, memory(b"PNG"))


class Mailbox:
    """A way out that keeps what it is given."""

    def __init__(self, *answers: DeliveryResult) -> None:
        self.answers = list(answers)
        self.got: list[tuple[Parcel, list[bytes]]] = []

    async def deliver(self, parcel: Parcel) -> DeliveryResult:
        self.got.append((parcel, [os.pread(e.descriptor, e.size, 0) for e in parcel.enclosures]))
        return self.answers.pop(0) if self.answers else DeliveryResult(True)


class World:
    """An inside with a number of its own."""

    def __init__(self, house: House, documents: Documents, watermark: Watermark) -> None:
        self.house = house
        self.finished: list[tuple[str, Outcome, int]] = []
        self.inbound = Inbound(
            house.seat(SYSTEM),
            cast(PageClient, documents),
            watermark,
            lambda trunk, outcome, pages: self.finished.append((trunk, outcome, pages)),
        )

    async def receiving(self) -> str:
        admission = await self.inbound.admit(RINGING)
        assert isinstance(admission, Admission)
        assert await self.inbound.answered(admission.reception)
        return admission.reception

    async def page(self, reception: str, number: int, end: PageEnd = PageEnd.MPS, content: bytes = b"") -> bool:
        facts = ReceivedPage(number, 100, 1728, 8031, 7700, 0, "MMR", end, "+49 89")
        descriptor = memory(content or b"II*\0 page %d" % number)
        try:
            return await self.inbound.page(reception, facts, descriptor)
        finally:
            os.close(descriptor)

    async def row(self, reception: str) -> Any:
        return await self.house.ask(receptions.row_of, reception)

    async def state(self, reception: str) -> str:
        return str((await self.row(reception)).state)

    async def ended(self, reception: str, acknowledged: int = 9, cause: Cause = Cause.OK) -> None:
        outcome = Outcome(cause, transport="t38", frames=((0.5, ">", b"\xff\xc8\x8c"),))
        await self.inbound.ended(reception, outcome, acknowledged=acknowledged, farewell=True)


@contextlib.asynccontextmanager
async def world(
    house: House, documents: Documents | None = None, mailbox: Mailbox | None = None, watermark: Watermark = NO_FLOOR
) -> AsyncIterator[World]:
    numbers = (NumberSeed(NUMBER, settings={"csid": NUMBER, "deliver_to": [OWNER]}),)
    await house.do(directory.seed, [CustomerSeed("acme", "Acme", numbers=numbers)])
    made = World(house, documents or Documents(), watermark)
    deliveries = OutboxWorker(made.inbound._seat, {routing.KIND: mailbox or Mailbox()})
    stations: list[Station[Any]] = [made.inbound.routing, deliveries.delivering]
    running = [asyncio.create_task(station.run()) for station in stations]
    try:
        yield made
    finally:
        for station in stations:
            await station.stop(1.0)
        await asyncio.gather(*running)


async def files_of(house: House) -> int:
    """Objects on the disk."""
    return sum(1 for path in (house.folder / "objects").glob("??/*"))


def failing(monkeypatch: pytest.MonkeyPatch, world: World, where: str, error: Exception) -> None:
    """Let the inside's store or files fail from now on."""

    async def fail(*_arguments: object, **_more: object) -> Any:
        raise error

    seat = world.inbound._seat
    owner, _, name = where.partition(".")
    monkeypatch.setattr(getattr(seat, owner), name, fail)


async def test_a_fax_goes_from_the_call_to_the_mailbox(house: House) -> None:
    """Spine section 4, the whole of it: ringing, receiving, complete, routed, delivered."""
    documents, mailbox = Documents(), Mailbox()
    async with world(house, documents, mailbox) as w:
        reception = await w.receiving()
        assert w.inbound.live[reception].number == "0199000099"
        assert await w.page(reception, 1)
        assert await w.page(reception, 2, PageEnd.EOP)
        assert w.inbound.live[reception].pages == 2
        await until(lambda: len(mailbox.got) == 1)  # before the call's goodbye
        await w.ended(reception)
        await until(lambda: _is(w, reception, "delivered"))
    ((parcel, (pdf,)),) = mailbox.got
    assert documents.made == [([b"II*\0 page 1", b"II*\0 page 2"], f"Fax +49 89 > {NUMBER}")]
    assert parcel.target == OWNER and pdf.startswith(b"%PDF-1.4")
    assert received_from_payload(parcel.payload).pages == 2
    (enclosure,) = parcel.enclosures
    assert enclosure.name.startswith("fax-2026") and enclosure.name.endswith("-from-498955.pdf")
    assert (w.finished[0][0], w.finished[0][2], w.inbound.live) == ("t1", 2, {})
    row = await w.row(reception)
    assert row.trace[0][:2] == [0.5, ">"] and row.document_size == len(pdf)


async def _is(w: World, reception: str, state: str) -> bool:
    return await w.state(reception) == state


# ------------------------------------------------------------------------------------------------------ admission


@pytest.mark.parametrize("dialled, status", [("0199000098", 404), ("anonymous", 404), ("+33199000099", None)])
async def test_the_number_dialled_decides(house: House, dialled: str, status: int | None) -> None:
    async with world(house) as w:
        decided = await w.inbound.admit(dataclasses.replace(RINGING, dialled=dialled))
        assert decided == status if status else isinstance(decided, Admission)
        assert len(w.inbound.live) == (0 if status else 1)


async def test_below_the_watermark_no_call_is_admitted(house: House) -> None:
    """Reliability section 2.3: refuse before you promise, 503."""
    async with world(house, watermark=Watermark(2**60)) as w:
        assert await w.inbound.admit(RINGING) == 503
    assert await house.rows(select(t.receptions)) == []


async def test_with_the_store_away_no_call_is_admitted(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(house) as w:
        with monkeypatch.context() as away:
            failing(away, w, "store.run", StoreDown("gone"))
            assert await w.inbound.admit(RINGING) == 503
        await until(lambda: not w.inbound._tasks)
    assert await house.rows(select(t.receptions)) == []


async def test_a_row_that_came_after_the_refusal_is_closed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A COMMIT without an answer: the call is refused, and the row does not ring for ever."""
    async with world(house) as w:
        seat = w.inbound._seat
        run = seat.store.run

        async def uncertain(unit: Callable[[Connection], Any]) -> Any:
            await run(unit)
            raise CommitUncertain("no answer")

        with monkeypatch.context() as once:
            once.setattr(seat.store, "run", uncertain)
            assert await w.inbound.admit(RINGING) == 503
            once.undo()
        await until(lambda: not w.inbound._tasks)
    (row,) = await house.rows(select(t.receptions))
    assert row.state == "empty"


# ---------------------------------------------------------------------------------------------------------- pages


async def test_a_file_that_cannot_be_written_is_not_acknowledged(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(house) as w:
        reception = await w.receiving()
        assert await w.page(reception, 1)
        with monkeypatch.context() as full:
            failing(full, w, "files.adopt_fd", FileFailed("disk"))
            assert not await w.page(reception, 2)
        await w.ended(reception, 1, Cause.LINE_FAULT)
        await until(lambda: _is(w, reception, "delivered"))
        assert (await w.row(reception)).pages == 1


async def test_a_page_without_its_row_is_not_acknowledged_and_leaves_no_file(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(house) as w:
        reception = await w.receiving()
        before = await files_of(house)
        with monkeypatch.context() as away:
            failing(away, w, "store.run", StoreDown("gone"))
            assert not await w.page(reception, 1)
        assert await files_of(house) == before
        with monkeypatch.context() as away:
            failing(away, w, "store.run", CommitUncertain("no answer"))
            assert not await w.page(reception, 1)
        assert await files_of(house) == before + 1  # a row may name it: the sweep decides


async def test_beyond_the_budget_a_page_is_kept_and_not_acknowledged(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spine section 5: an acknowledgement after the 2 s leaves the page kept, unconfirmed."""
    monkeypatch.setattr(module, "BUDGET", 0.2)
    async with world(house) as w:
        reception = await w.receiving()
        seat, slow = w.inbound._seat, asyncio.Event()
        run = seat.store.run

        async def late(unit: Callable[[Connection], Any]) -> Any:
            await slow.wait()
            return await run(unit)

        with monkeypatch.context() as stalled:
            stalled.setattr(seat.store, "run", late)
            assert not await w.page(reception, 1)
        slow.set()
        await w.ended(reception, 0, Cause.LINE_FAULT)
        await until(lambda: _is(w, reception, "delivered"))
        (page,) = await house.rows(select(t.reception_pages))
        assert (page.page, page.confirmed) == (1, False)


async def test_the_same_page_again_is_acknowledged_and_its_second_file_goes(house: House) -> None:
    async with world(house) as w:
        reception = await w.receiving()
        assert await w.page(reception, 1)
        before = await files_of(house)
        assert await w.page(reception, 1)
        assert not await w.page(reception, 1, content=b"II*\0 another")
        assert await files_of(house) == before


# -------------------------------------------------------------------------------------------------------- routing


async def test_a_document_that_cannot_be_made_now_is_tried_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "PAUSE", 0.0)
    documents, mailbox = Documents(PagesUnavailable("none"), PagesUnavailable("none")), Mailbox()
    async with world(house, documents, mailbox) as w:
        reception = await w.receiving()
        await w.page(reception, 1, PageEnd.EOP)
        await until(lambda: len(mailbox.got) == 1)
        assert (await w.row(reception)).tries == 3
    assert mailbox.got[0][1][0].startswith(b"%PDF")


@pytest.mark.parametrize("faults", [[PagesDamaged("bad strip")], [PagesUnavailable("none")] * 3])
async def test_a_fax_no_pdf_can_be_made_of_goes_as_it_came(
    house: House, monkeypatch: pytest.MonkeyPatch, faults: list[Exception]
) -> None:
    """Spine section 4: given up after 3 tries and said so; never without its fax."""
    monkeypatch.setattr(routing, "PAUSE", 0.0)
    mailbox = Mailbox()
    async with world(house, Documents(*faults), mailbox) as w:
        reception = await w.receiving()
        await w.page(reception, 1)
        await w.page(reception, 2, PageEnd.EOP)
        await until(lambda: len(mailbox.got) == 1)
        await w.ended(reception)
        row = await w.row(reception)
        assert (row.problem, row.document_key) == ("tiff", None)
    ((parcel, pages),) = mailbox.got
    assert pages == [b"II*\0 page 1", b"II*\0 page 2"]
    assert [e.content_type for e in parcel.enclosures] == ["image/tiff"] * 2
    assert [e.name[-7:] for e in parcel.enclosures] == ["-1.tiff", "-2.tiff"]


async def test_a_refused_mailbox_leads_to_the_fallback(house: House) -> None:
    mailbox = Mailbox(DeliveryResult(False, permanent=True, detail="550"))
    async with world(house, mailbox=mailbox) as w:
        reception = await w.receiving()
        await w.page(reception, 1, PageEnd.EOP)
        await until(lambda: len(mailbox.got) == 2)
        assert await w.state(reception) == "retained"
    assert [parcel.target for parcel, _pages in mailbox.got] == [OWNER, DESK]
    assert received_from_payload(mailbox.got[1][0].payload).target == OWNER


async def test_a_document_lost_from_the_disk_is_an_alarm_and_no_empty_mail(house: House) -> None:
    mailbox = Mailbox()
    async with world(house, mailbox=mailbox) as w:
        reception = await w.receiving()
        await w.page(reception, 1)
        (page,) = await house.rows(select(t.reception_pages))
        (house.folder / page.key).unlink()
        await w.ended(reception, 1)
        await until(lambda: _is(w, reception, "retained"))
    assert mailbox.got == []


# ------------------------------------------------------------------------------------------------------- recovery


@pytest.mark.parametrize("error", [None, OSError("no route")])
async def test_recovery_says_goodbye_closes_and_routes(house: House, error: Exception | None) -> None:
    """Spine section 4; a second run finds nothing."""
    mailbox, line = Mailbox(), ScriptedLine(end_error=error)
    async with world(house, mailbox=mailbox) as w:
        reception = await w.receiving()
        await w.page(reception, 1)
        ringing = await w.inbound.admit(RINGING)
        assert isinstance(ringing, Admission)
    await house.next_life()
    assert await recover(house.seat(SYSTEM), line) == 2
    assert await recover(house.seat(SYSTEM), line) == 0
    assert line.ended == [("t1", "c1", True)] * 2
    async with world(house, mailbox=mailbox) as again:
        await until(lambda: _is(again, reception, "delivered"))
        assert await again.state(ringing.reception) == "empty"
    ((parcel, _pages),) = mailbox.got
    assert not received_from_payload(parcel.payload).complete


async def test_a_lost_fence_keeps_the_page_and_acknowledges_nothing(house: House) -> None:
    async with world(house) as w:
        reception = await w.receiving()
        await house.change(update(t.nodes).values(fence=99))
        assert not await w.page(reception, 1)
        assert not await w.inbound.answered(reception)
        (page,) = await house.rows(select(t.reception_pages))
        assert not page.confirmed
