"""Who reads a document is written down before its first octet leaves, or nothing leaves (docs/audit.md)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp.test_utils import make_mocked_request
from sqlalchemy import select

from faxgw.api import accesses
from faxgw.api.faxin import BASE, FaxinApi
from faxgw.fax.ports import EnclosedFile
from faxgw.store import audit, pulls
from faxgw.store import schema as t
from faxgw.store.errors import StoreError
from tests.api.desk import Desk, desk
from tests.delivery.consignments import DOCUMENT, RECEPTION
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")
ITEM = "out_0193aaaabbbbccccddddeeeeffff0002"


async def records(house: House) -> list[tuple[Any, ...]]:
    columns = [t.audit.c[name] for name in ("what", "entity", "who", "way", "customer", "data")]
    return [tuple(row) for row in await house.rows(select(*columns).order_by(t.audit.c.serial))]


@pytest_asyncio.fixture(loop_scope="session")
async def pull(house: House) -> AsyncIterator[tuple[Desk, dict[str, str], str]]:
    """A polling interface, its login, and the path of a document."""
    kept = await house.files.keep(DOCUMENT)
    documents = [EnclosedFile("fax.pdf", "application/pdf", kept)]
    of: dict[str, Any] = {"customer": "acme", "topic": "inbox", "reception": RECEPTION, "told": {}}
    await house.do(pulls.lay, ITEM, documents=documents, now=house.now, **of)
    async with desk(house, lambda ground: [FaxinApi(ground).routes()]) as made:
        who = await made.login("90210")
        async with made.client.post(f"{BASE}/topics/inbox", headers=who, json={}) as answer:
            url = (await answer.json())["results"][0]["documents"][0]["url"]
        yield made, who, url.removeprefix(str(made.client._base_url).rstrip("/"))


async def test_a_fetched_document_leaves_a_record_that_names_login_way_and_fax(
    pull: tuple[Desk, dict[str, str], str],
) -> None:
    made, who, path = pull
    before = await records(made.house)
    async with made.client.get(path, headers=who) as answer:
        assert (answer.status, await answer.read()) == (200, DOCUMENT)
    (record,) = (await records(made.house))[len(before) :]
    assert record == ("document.read", RECEPTION, "login:90210", "pull", "acme", '{"file":"fax.pdf"}')
    verifier = audit.Verifier([])
    while (found := await made.house.store.read(verifier.look)) is True:
        pass
    assert not isinstance(found, audit.Broken)


async def test_who_is_refused_leaves_none(pull: tuple[Desk, dict[str, str], str]) -> None:
    made, who, path = pull
    stranger = await made.login("55555", customer="beta")
    before = await records(made.house)
    for url, headers, status in ((path, stranger, 404), (f"{path}x", who, 404), (path, {}, 401)):
        async with made.client.get(url, headers=headers) as answer:
            assert answer.status == status
    assert await records(made.house) == before


async def test_without_a_record_nothing_leaves(
    pull: tuple[Desk, dict[str, str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, who, path = pull

    def full(*_args: Any, **_values: Any) -> int:
        raise StoreError("database or disk is full")

    monkeypatch.setattr(audit, "write", full)
    async with made.client.get(path, headers=who) as answer:
        octets = await answer.read()
        assert (answer.status, answer.headers["Retry-After"]) == (503, "60")
        assert DOCUMENT[:20] not in octets


async def test_a_record_holds_what_of_the_fax_was_read(house: House) -> None:
    await accesses.record(
        house.store, accesses.PAGES, "FN1", who="token:t", way="api", now=house.now, customer="acme", data={"page": 7}
    )
    assert (await records(house))[-1] == ("pages.read", "FN1", "token:t", "api", "acme", '{"page":7}')


async def test_only_a_unix_socket_tells_whose_process_asks() -> None:
    assert accesses.peer(make_mocked_request("GET", "/")) == ""
