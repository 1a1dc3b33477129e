"""Received faxes that wait to be fetched: laid once, hidden for a while, gone when they are acknowledged."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import func, select

from faxgw.fax.ports import EnclosedFile, StoredFile
from faxgw.store import outbox, pulls
from faxgw.store import schema as t
from faxgw.store.pulls import KEPT_FOR, Laid
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

TOPIC = "orders"


def files(*names: str) -> list[EnclosedFile]:
    return [EnclosedFile(n, "application/pdf", StoredFile(f"objects/00/{n}", "1" * 64, 9)) for n in names]


async def lay(house: House, pull: str, *names: str, customer: str = "acme", topic: str = TOPIC) -> bool:
    return await house.do(
        pulls.lay, pull, customer=customer, topic=topic, reception=f"rcv_{pull}", told={"pages": 2},
        documents=files(*(names or ("fax.pdf",))), now=house.now,
    )  # fmt: skip


async def fetch(house: House, *, customer: str = "acme", topic: str = TOPIC, limit: int = 10, hide: float = 60) -> Any:
    found = await house.do(pulls.fetch, customer, topic, limit=limit, hide=hide, now=house.now)
    return [waiting.id for waiting in found]


async def acknowledge(house: House, *ids: str, customer: str = "acme", topic: str = TOPIC) -> int:
    return await house.do(pulls.acknowledge, customer, topic, ids, now=house.now, who="erp")


async def test_a_fax_is_laid_once_however_often_its_delivery_is_tried(house: House) -> None:
    assert await house.ask(pulls.laid, "out_1") is None
    assert await lay(house, "out_1")
    assert not await lay(house, "out_1", "another.pdf")
    assert await house.ask(pulls.laid, "out_1") == Laid(acknowledged=False)
    assert await house.events("out_1") == ["pull.laid"]
    (waiting,) = await house.do(pulls.fetch, "acme", TOPIC, limit=10, hide=0, now=house.now)
    assert waiting.told == {"pages": 2}
    assert waiting.documents == (("out_1-1.pdf", files("fax.pdf")[0]),)


async def test_what_was_handed_out_is_hidden_and_comes_back(house: House) -> None:
    """A program that dies with a fax in hand has not taken it."""
    await lay(house, "out_1")
    house.clock.now += 1
    await lay(house, "out_2")
    assert await fetch(house, limit=1) == ["out_1"]
    assert await fetch(house) == ["out_2"]
    assert await fetch(house) == []
    house.clock.now += 60
    assert await fetch(house, hide=0) == ["out_1", "out_2"]
    assert await fetch(house) == ["out_1", "out_2"]


async def test_nobody_sees_another_customers_or_topics_faxes(house: House) -> None:
    await lay(house, "out_1")
    assert await fetch(house, customer="beta") == []
    assert await fetch(house, topic="invoices") == []
    assert await acknowledge(house, "out_1", customer="beta") == 0
    assert await acknowledge(house, "out_1", topic="invoices") == 0
    assert await house.ask(pulls.document, "beta", "out_1-1.pdf", now=house.now) is None
    assert await fetch(house) == ["out_1"]


async def test_an_acknowledged_fax_never_comes_back_and_its_delivery_is_done(house: House) -> None:
    await house.do(outbox.put, "out_1", "pull", TOPIC, customer="acme", payload={}, now=house.now)
    await lay(house, "out_1")
    assert await acknowledge(house, "out_1", "out_unknown", "out_1") == 1
    house.clock.now += 3600
    assert await fetch(house) == []
    assert await house.ask(pulls.laid, "out_1") == Laid(acknowledged=True)
    (item,) = await house.outbox()
    assert (item.state, item.detail) == ("done", "fetched by erp")
    assert "pull.acknowledged" in await house.events("out_1")


async def test_a_document_is_had_by_its_name_as_long_as_it_is_kept(house: House) -> None:
    await lay(house, "out_1", "fax.pdf", "text", "barcodes.txt")
    names = [
        name
        for name, _file in (await house.do(pulls.fetch, "acme", TOPIC, limit=1, hide=0, now=house.now))[0].documents
    ]
    assert names == ["out_1-1.pdf", "out_1-2.bin", "out_1-3.txt"]
    await acknowledge(house, "out_1")
    found = await house.ask(pulls.document, "acme", "out_1-2.bin", now=house.now)
    assert found == (TOPIC, files("text")[0], "rcv_out_1")
    house.clock.now += KEPT_FOR
    assert await house.ask(pulls.document, "acme", "out_1-2.bin", now=house.now) is None


async def test_what_is_too_old_goes_with_its_files(house: House) -> None:
    """The vendor's rule: fetched or not."""
    await lay(house, "out_1", "a.pdf", "b.pdf")
    house.clock.now += KEPT_FOR / 2
    await lay(house, "out_2", "c.pdf")
    house.clock.now += KEPT_FOR / 2
    assert await fetch(house, hide=0) == ["out_2"]
    keys = await house.do(pulls.expire, now=house.now)
    assert sorted(keys) == ["objects/00/a.pdf", "objects/00/b.pdf"]
    assert await house.do(pulls.expire, now=house.now) == []
    assert await house.ask(pulls.laid, "out_1") is None
    (count,) = await house.rows(select(func.count()).select_from(t.pull_documents))
    assert count[0] == 1
    assert await house.events("out_1") == ["pull.laid", "pull.expired"]


async def test_more_than_an_answer_may_have_is_not_handed_out_at_once(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulls, "MAX_FETCHED", 2)
    for n in range(3):
        await lay(house, f"out_{n}")
    assert await fetch(house, limit=1000) == ["out_0", "out_1"]
