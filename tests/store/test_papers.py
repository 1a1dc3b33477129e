"""faxgw.store.papers: a consent opens its number until it ends, and nobody else's number is shown."""

from __future__ import annotations

import pytest
import pytest_asyncio
from sqlalchemy import insert, select

from faxgw.store import papers
from faxgw.store import schema as t
from faxgw.store.accounts import Author, NotFound
from faxgw.store.papers import MAX_PAPER, MAX_PAPERS, BadPaper, Paper, PaperKind
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

NUMBER = "+33199000500"
PDF = b"%PDF-1.4 consent"


@pytest_asyncio.fixture(loop_scope="session")
async def number(house: House) -> str:
    values = {"e164": NUMBER, "customer": "acme", "state": "active", "settings": {}, "clip": False}
    await house.change(insert(t.numbers).values(**values))
    return NUMBER


async def add(
    house: House, ident: str, kind: PaperKind = PaperKind.CONSENT, content: bytes = PDF, until: float | None = None,
    customer: str = "acme",
) -> Paper:  # fmt: skip
    by = Author("operator", house.now)
    return await house.do(papers.add, customer, NUMBER, ident, kind, "consent.pdf", content, until=until, by=by)


async def why_not(house: House, customer: str = "acme", clip: str = NUMBER) -> str:
    return await house.ask(papers.unshowable, customer, clip, now=house.now)


async def test_a_consent_opens_the_number_until_it_ends(house: House, number: str) -> None:
    assert await why_not(house) == f"There is no consent to show {NUMBER} as caller number."
    paper = await add(house, "pap_1", until=house.now + 100)
    assert (paper.content_type, paper.size, paper.until) == ("application/pdf", len(PDF), house.now + 100)
    assert await why_not(house) == ""
    house.clock.now += 100
    assert await why_not(house) == f"The consent to show {NUMBER} as caller number has ended."
    await add(house, "pap_2")
    assert await why_not(house) == ""
    assert await house.ask(papers.find, "acme", NUMBER, "pap_2") == (
        (await house.ask(papers.every, "acme", NUMBER))[1],
        PDF,
    )


async def test_with_the_last_consent_the_number_is_closed(house: House, number: str) -> None:
    await add(house, "pap_1")
    await add(house, "pap_2", PaperKind.AUTHORITY)
    await house.do(papers.remove, "acme", NUMBER, "pap_1", by=Author("operator", house.now))
    assert "no consent" in await why_not(house)
    assert [paper.id for paper in await house.ask(papers.every, "acme", NUMBER)] == ["pap_2"]
    events = await house.events("acme")
    assert [event for event in events if "paper" in event] == [
        "account.paper.added", "account.paper.added", "account.paper.removed",
    ]  # fmt: skip


async def test_a_number_of_somebody_else_is_never_shown(house: House, number: str) -> None:
    await add(house, "pap_1")
    assert await why_not(house, "beta") == f"The caller number {NUMBER} is another customer's."
    assert await why_not(house, "beta", "+33199000999") == "", "a trunk's own number is the operator's word"


async def test_papers_that_are_not_taken(house: House, number: str) -> None:
    for content, why in ((b"MZ program", "PDF, PNG"), (b"%PDF-" + bytes(MAX_PAPER), "at most")):
        with pytest.raises(BadPaper) as refused:
            await add(house, "pap_1", content=content)
        assert why in refused.value.public
    with pytest.raises(BadPaper):
        await add(house, "pap_1", until=house.now)
    with pytest.raises(NotFound):
        await add(house, "pap_1", customer="beta")
    for serial in range(MAX_PAPERS):
        await add(house, f"pap_{serial}")
    with pytest.raises(BadPaper):
        await add(house, "pap_more")
    assert len(await house.rows(select(t.number_papers))) == MAX_PAPERS


async def test_what_ends_soon_is_told_soonest_first(house: House, number: str) -> None:
    for ident, days in (("pap_1", 40), ("pap_2", 20), ("pap_3", 10)):
        await add(house, ident, until=house.now + days * 86_400)
    await add(house, "pap_4")
    found = await house.ask(papers.ending, before=house.now + 30 * 86_400)
    assert [paper.id for paper in found] == ["pap_3", "pap_2"]
