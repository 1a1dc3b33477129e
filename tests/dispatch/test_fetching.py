"""Documents by URL from a real server on loopback into the job, and what becomes of those that cannot be had."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from ipaddress import ip_network

import pytest
import pytest_asyncio
from aiohttp import web
from sqlalchemy import select

from faxgw.dispatch.fetching import Fetcher
from faxgw.egress import Egress
from faxgw.store import schema as t
from tests.house import House
from tests.patience import PATIENCE_S
from tests.store.test_references import job, states

pytestmark = pytest.mark.asyncio(loop_scope="session")

PDF = b"%PDF-1.4 a page"


class Source:
    def __init__(self) -> None:
        self.base = ""
        self.away = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if self.away:
            self.away -= 1
            return web.Response(status=503)
        bodies = {"/a.pdf": PDF, "/empty": b"", "/large": b"x" * 2_000}
        if request.path in bodies:
            return web.Response(body=bodies[request.path])
        return web.Response(status=404)


@pytest_asyncio.fixture(loop_scope="session")
async def source() -> AsyncIterator[Source]:
    made = Source()
    app = web.Application()
    app.router.add_get("/{path:.*}", made.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest_asyncio.fixture(loop_scope="session")
async def fetcher(house: House) -> AsyncIterator[Fetcher]:
    made = Fetcher(house.seat(), Egress((ip_network("127.0.0.1"),)), 1_000)
    task = asyncio.create_task(made.fetching.run())
    yield made
    await made.fetching.stop(5.0)
    await task


async def until(house: House, ident: str, what: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while what not in await house.events(ident):  # noqa: ASYNC110 - the journal tells nobody
            await asyncio.sleep(0.01)


async def test_a_document_comes_into_its_job(house: House, source: Source, fetcher: Fetcher) -> None:
    ident = await job(house, f"{source.base}/a.pdf")
    await until(house, ident, "document.fetched")
    (row,) = await house.rows(select(t.job_documents).where(t.job_documents.c.job == ident))
    assert (house.folder / row.key).read_bytes() == PDF
    assert list((house.folder / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/none", "1.pdf: The document's server answered 404."),
        ("/large", "1.pdf: The document has more than 1000 octets."),
        ("/empty", "1.pdf: The document is empty."),
    ],
)
async def test_one_that_cannot_be_had_fails_the_job(
    house: House, source: Source, fetcher: Fetcher, path: str, reason: str
) -> None:
    ident = await job(house, source.base + path)
    await until(house, ident, "job.finished")
    assert await states(house, ident) == [("failed", reason)] * 2
    assert list((house.folder / "tmp").iterdir()) == [] == list((house.folder / "objects").glob("*/*"))


async def test_an_address_of_ours_fails_the_job(house: House, source: Source) -> None:
    made = Fetcher(house.seat(), Egress(), 1_000)
    task = asyncio.create_task(made.fetching.run())
    ident = await job(house, f"{source.base}/a.pdf", numbers=1)
    await until(house, ident, "job.finished")
    reason = "1.pdf: The document's address is none that this gateway fetches from."
    assert await states(house, ident) == [("failed", reason)]
    await made.fetching.stop(5.0)
    await task


async def test_a_source_that_is_away_is_asked_again(house: House, source: Source, fetcher: Fetcher) -> None:
    source.away = 1
    ident = await job(house, f"{source.base}/a.pdf")
    await until(house, ident, "document.put_off")
    house.clock.now += 10
    fetcher.fetching.wake()
    await until(house, ident, "document.fetched")
