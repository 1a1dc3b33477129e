"""A received fax on its way into the outbox: document and rules at once, nothing left behind, names of files."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Connection, select

from faxgw.dispatch import routing as module
from faxgw.document.types import PdfMade
from faxgw.fax.junk import Judgement
from faxgw.fax.reception import PageEnd
from faxgw.fax.routing_rule import Conditions
from faxgw.store import choosing, junk, routing
from faxgw.store import schema as t
from faxgw.store.errors import StoreBusy
from tests.dispatch.doubles import until
from tests.dispatch.test_inbound import NUMBER, Documents, Mailbox, files_of, world
from tests.dispatch.test_inbound_rules import _awaits, _has_items, add, read, to_be_read
from tests.house import House
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Slow(Documents):
    """Makes a document when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()
        self.asked = 0
        self.given_up = asyncio.Event()

    async def pdf(self, pages: Sequence[int], title: str, created: datetime, *, thumbnail_px: int = 0) -> PdfMade:
        self.asked += 1
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.given_up.set()
            raise
        return await super().pdf(pages, title, created, thumbnail_px=thumbnail_px)


def _judged(conn: Connection, reception: str) -> bool:
    return conn.execute(select(t.junk.c.score).where(t.junk.c.reception == reception)).first() is not None


async def test_the_rules_are_asked_while_the_document_is_made(house: House) -> None:
    documents, mailbox = Slow(), Mailbox()
    async with world(house, documents, mailbox) as place:
        reception = await place.receiving()
        await place.page(reception, 1, PageEnd.EOP)
        await until(lambda: house.ask(_judged, reception))
        assert (documents.asked, documents.made, mailbox.got) == (1, [], [])
        documents.go.set()
        await until(lambda: len(mailbox.got) == 1)


async def test_while_rules_wait_no_document_is_kept_and_none_is_begun_again(house: House) -> None:
    documents = Slow()
    async with world(house, documents) as place:
        await add(house, "invoices", Conditions(text=("invoice",)), "bills@example.org")
        reception = await place.receiving()
        await place.page(reception, 1)
        await to_be_read(house, reception, 1, 2)
        await place.page(reception, 2, PageEnd.EOP)
        await until(lambda: house.ask(_awaits, reception))
        await asyncio.wait_for(documents.given_up.wait(), PATIENCE_S)
        documents.go.set()
        await read(house, reception, 1, "nothing")
        await until(lambda: house.ask(_read_pages, reception, 1))
        assert documents.asked == 1 and await files_of(house) == 2
        await read(house, reception, 2, "an invoice")
        await until(lambda: house.ask(_has_items, reception, 1))
        assert documents.asked == 2 and len(documents.made) == 1 and await files_of(house) == 3


def _read_pages(conn: Connection, reception: str, count: int) -> bool:
    row = conn.execute(select(t.receptions).where(t.receptions.c.id == reception)).one()
    return bool(row.read_pages == count and row.lease_fence is None)


async def test_a_document_that_was_ready_before_the_rules_is_dropped_when_they_wait(house: House) -> None:
    documents = Documents()
    async with world(house, documents) as place:
        await add(house, "invoices", Conditions(text=("invoice",)), "bills@example.org")
        reception = await place.receiving()
        await to_be_read(house, reception, 1)
        await place.page(reception, 1, PageEnd.EOP)
        await until(lambda: house.ask(_awaits, reception))
        await until(lambda: _leaves(house, 1))
        await read(house, reception, 1, "an invoice")
        await until(lambda: house.ask(_has_items, reception, 1))
        assert await files_of(house) == 2


async def _leaves(house: House, files: int) -> bool:
    return await files_of(house) == files


async def test_a_store_that_is_too_busy_to_be_asked_puts_the_fax_back(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routing, "PAUSE", 0.0)
    asked, question = 0, choosing.question

    def busy(conn: Connection, reception: str, **more: bool) -> choosing.Question:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise StoreBusy("too many units wait")
        return question(conn, reception, **more)

    monkeypatch.setattr(choosing, "question", busy)
    mailbox = Mailbox()
    async with world(house, mailbox=mailbox) as place:
        reception = await place.receiving()
        await place.page(reception, 1, PageEnd.EOP)
        await until(lambda: len(mailbox.got) == 1)
        assert "reception.not_routed" in await house.events(reception)
        assert await files_of(house) == 2


async def test_looks_that_change_the_score_ask_the_rules_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the rules were told must be what is so when the deliveries are written."""
    told, question, judge = list[int](), choosing.question, junk.judge
    judged = 0

    def asked(conn: Connection, reception: str, **more: bool) -> choosing.Question:
        found = question(conn, reception, **more)
        told.append(found.facts.junk)
        return found

    def judging(conn: Connection, reception: str, **more: Any) -> Judgement:
        nonlocal judged
        judged += 1
        found = judge(conn, reception, **more)
        if judged == 1:
            return found
        conn.execute(t.junk.update().where(t.junk.c.reception == reception).values(score=found.score + 7))
        return dataclasses.replace(found, score=found.score + 7)

    monkeypatch.setattr(choosing, "question", asked)
    monkeypatch.setattr(junk, "judge", judging)
    mailbox = Mailbox()
    async with world(house, mailbox=mailbox) as place:
        reception = await place.receiving()
        await place.page(reception, 1, PageEnd.EOP)
        await until(lambda: len(mailbox.got) == 1)
    assert len(told) == 2 and told[1] == told[0] + 7


async def test_a_file_name_says_when_and_from_whom() -> None:
    at = datetime(2026, 11, 21, 20, 10, tzinfo=UTC).timestamp()
    item = routing.Unrouted("rcv_1", 1, at, NUMBER, "", "Büro", "Europe/Paris", ())
    assert module._file_name(item) == "fax-20261121-211000"
    assert module._file_name(dataclasses.replace(item, ident="+49 89/55")) == "fax-20261121-211000-from-498955"
