"""Previews of faxes of the queue: what was sent as it was sent, what waits as it would go out now."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Any, cast

import pytest
from sqlalchemy import update

from faxgw.dispatch import preview as module
from faxgw.dispatch.preview import Previewer
from faxgw.document import types as pages
from faxgw.document.client import PageClient
from faxgw.fax.errors import Refused
from faxgw.fax.job import Wish
from faxgw.fax.outcome import Cause, FarEnd, Outcome
from faxgw.fax.resolution import Resolution
from faxgw.store import schema as t
from tests.dispatch.doubles import Pages, memory
from tests.house import House, house, house_store

__all__ = ["house", "house_store"]

pytestmark = pytest.mark.asyncio(loop_scope="session")

FAR = "+33199000001"
OCTETS = 18_000
"""Of a composed page: ten seconds at 14,400 bit/s."""


class Showing(Pages):
    """Composes pages that can be told apart: the body's octets, the page and the time of the header line."""

    def __init__(self, octets: int = OCTETS) -> None:
        super().__init__()
        self.bodies: list[bytes] = []
        self.octets = octets

    async def compose(self, body_fd: int, options: pages.ComposeOptions) -> pages.Composed:
        self.composed.append(options)
        self.bodies.append(os.pread(body_fd, 100, 0))
        last = options.last_page or 2
        numbers = range(options.first_page, last + 1)
        facts = tuple(pages.PageFacts(1728, 2286, self.octets, 0.1, 0, page) for page in numbers)
        shown = [pages.PNG + f"{page} {options.header}".encode() for page in numbers]
        places = tuple(pages.Picture(sum(map(len, shown[:at])), len(one)) for at, one in enumerate(shown))
        resolution = options.resolution or Resolution.FINE
        picture_fd = memory(b"".join(shown)) if options.pictures else None
        return pages.Composed(memory(b"II*\0"), facts, resolution, None, picture_fd, places if options.pictures else ())


def build(house: House, client: Pages) -> Previewer:
    return Previewer(house.seat(), cast(PageClient, client))


async def job(house: House, *, count: int = 2, octets: Sequence[int] = (), **more: Any) -> str:
    name, (fax,) = await house.job(FAR, pages=count, **more)
    facts = [{"rows": 2286, "octets": one, "document": 0, "page": n + 1} for n, one in enumerate(octets)]
    await house.change(update(t.jobs).where(t.jobs.c.id == name).values(page_facts=facts))
    return fax


async def test_a_fax_that_waits_is_shown_as_it_would_go_out_now(house: House) -> None:
    fax = await job(house, header="%P/%T", csid="+33 1", time_zone="Europe/Paris", language="fr")
    client = Showing()
    found = await build(house, client).preview(fax)
    assert [page.png for page in found.pages] == [pages.PNG + b"1 %P/%T", pages.PNG + b"2 %P/%T"]
    assert (found.is_final, found.attempt, found.state, found.first) == (False, "", "ready", 1)
    assert found.composed_at == house.now and found.to_json()["as"] == "it would go out now"
    (options,) = client.composed
    assert (options.context.number, options.context.csid, options.context.zone) == (FAR, "+33 1", "Europe/Paris")
    assert options.context.when.timestamp() == house.now and options.resolution is Resolution.FINE
    assert client.bodies == [b"II*\0 body"]


async def test_a_fax_in_a_call_and_one_that_was_sent_is_shown_as_its_call_has_it(house: House) -> None:
    fax = await job(house, header="%P")
    attempt = await house.plan(fax)
    file = await house.keep(b"II*\0 of the call")
    where = t.attempt_faxes.c.attempt == attempt
    values = {"tiff_key": file.key, "tiff_sha256": file.sha256, "tiff_size": file.size}
    await house.change(update(t.attempt_faxes).where(where).values(values))
    client = Showing()
    previewer = build(house, client)
    calling = await previewer.preview(fax)
    assert (calling.is_final, calling.attempt, calling.state) == (True, attempt, "calling")
    assert await house.answer(attempt) and await house.expose(attempt, fax)
    for page in (1, 2):
        assert await house.confirm(attempt, fax, page)
    await house.done(attempt, Outcome(Cause.OK, connected=True, exposed=True))
    house.clock.now += 3600
    sent = await previewer.preview(fax, 2)
    assert (sent.state, sent.attempt, sent.composed_at) == ("sent", attempt, calling.composed_at)
    assert [page.page for page in sent.pages] == [2] and sent.to_json()["as"] == "sent"
    assert set(client.bodies) == {b"II*\0 of the call"}
    assert [options.header for options in client.composed] == ["", ""], "its pages have their header lines"
    assert [options.resolution for options in client.composed] == [None, None]


async def test_a_retry_is_shown_from_its_first_page_with_its_marks(house: House) -> None:
    fax = await job(house)
    await house.call(fax, Outcome(Cause.REMOTE_HUNG_UP, connected=True, exposed=True, doubtful=True), confirmed=1)
    client = Showing()
    found = await build(house, client).preview(fax)
    assert (found.state, found.first, found.is_final) == ("waiting", 2, False)
    assert client.composed[0].marked == (2,)
    assert found.expected.pages == 1, "page 1 is confirmed and not sent again"


async def test_what_is_known_of_the_far_end_decides_resolution_and_rate(house: House) -> None:
    fine = FarEnd(resolutions=("204x98",), dis_after=3.0)
    sent = Outcome(Cause.OK, connected=True, exposed=True, transport="t38", bit_rate=9600, ecm=True, far=fine)
    await house.call(await job(house, count=1), sent, confirmed=1)
    found = await build(house, Showing()).preview(await job(house))
    assert found.resolution is Resolution.STANDARD
    assert (found.expected.rate, found.known) == (9600, "this far end")


async def test_the_prediction_is_the_vendors_formula(house: House) -> None:
    """Features H4: a page more per begun minute beyond the first; the clock starts with the answer."""
    fax = await job(house, ecm=False, max_bit_rate=14400)
    found = await build(house, Showing(octets=100_000)).preview(fax)
    assert (found.expected.octets, found.expected.rate, found.known) == (200_000, 14_400, "nothing")
    assert [round(page.seconds, 1) for page in found.pages] == [55.6, 55.6]
    assert found.expected.billed_pages == 3, "with its 14 s of set-up page 1 takes 69.6 s, page 2 with its pause 59.6"


async def test_pages_that_are_not_shown_are_counted_as_they_were_made(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_PAGES", 2)
    fax = await job(house, count=3, octets=(1000, 1000, 5000))
    found = await build(house, Showing()).preview(fax)
    assert [page.page for page in found.pages] == [1, 2]
    assert found.expected.octets == 2 * OCTETS + 5000 + 400 and found.expected.pages == 3


async def test_it_is_made_once_a_minute(house: House) -> None:
    fax = await job(house)
    client = Showing()
    previewer = build(house, client)
    await asyncio.gather(*(previewer.preview(fax) for _ in range(5)))
    assert len(client.composed) == 1
    await previewer.preview(fax, pictures=False)
    assert len(client.composed) == 2 and not client.composed[1].pictures
    house.clock.now += module.KEPT_FOR
    await previewer.preview(fax)
    assert len(client.composed) == 3


async def test_what_is_kept_is_bounded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KEPT", 2)
    previewer = build(house, Showing())
    for _ in range(4):
        await previewer.preview(await job(house))
    assert len(previewer._kept) == 2
    await previewer.close()


async def test_there_is_nothing_to_show_before_the_pages_are_made_and_no_page_beyond_them(house: House) -> None:
    _name, (unready,) = await house.job(FAR, ready=False)
    previewer = build(house, Showing())
    with pytest.raises(Refused, match="no pages yet"):
        await previewer.preview(unready)
    fax = await job(house)
    for page in (0, 3):
        with pytest.raises(Refused, match="no such page"):
            await previewer.preview(fax, page)


async def test_a_fax_that_was_cancelled_before_any_call_is_still_shown(house: House) -> None:
    fax = await job(house)
    await house.wish(fax, Wish.CANCEL)
    assert await house.state(fax) == "cancelled"
    found = await build(house, Showing()).preview(fax)
    assert not found.is_final and len(found.pages) == 2
