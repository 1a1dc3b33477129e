"""Documents as they were handed in; pages are looked at over real calls in tests/end_to_end/test_native.py."""

from __future__ import annotations

import base64

import pytest
from sqlalchemy import update

from faxgw.store import schema as t
from tests.api.v1.world import PAGE, Native, fax, received
from tests.document.test_strips import ROWS

pytestmark = pytest.mark.asyncio(loop_scope="session")
BIG = b"%PDF" + bytes(range(256)) * 3_000


async def test_a_document_comes_back_as_it_was(api: Native) -> None:
    data = base64.b64encode(BIG).decode()
    given = {"documents": [{"data": data, "name": "Lettre d'été.pdf"}, {"data": "SGVsbG8="}]}
    ident = (await api.send(fax() | given))["faxes"][0]["id"]
    listed = await api.get(f"/faxes/{ident}/documents")
    assert [(one["position"], one["size"]) for one in listed["documents"]] == [(1, len(BIG)), (2, 5)]
    got = await api.call("GET", f"/faxes/{ident}/documents/1")
    assert (got.octets, got.headers["Content-Type"]) == (BIG, "application/octet-stream")
    assert got.headers["Content-Disposition"] == "attachment; filename*=UTF-8''Lettre%20d%27%C3%A9t%C3%A9.pdf"
    assert "sandbox" in got.headers["Content-Security-Policy"], "nothing of it runs in a browser"
    await api.get(f"/faxes/{ident}/documents/3", 404)


async def test_a_head_tells_the_size_and_nothing_else(api: Native) -> None:
    ident = (await api.send())["faxes"][0]["id"]
    got = await api.call("HEAD", f"/faxes/{ident}/documents/1")
    assert (got.status, got.octets, got.headers["Content-Length"]) == (200, b"", "15")


async def test_a_document_by_url_is_said_to_be_on_its_way(api: Native) -> None:
    made = await api.send(fax() | {"documents": [{"url": "https://www.example.org/a.pdf"}]})
    assert await api.get(f"/faxes/{made['faxes'][0]['id']}/documents") == {"documents": [], "pending": 1}


async def test_pages_of_a_received_fax_are_listed_and_handed_out_as_they_came(api: Native) -> None:
    ident = await received(api.house, pages=2)
    pages = (await api.get(f"/faxes/{ident}/pages"))["pages"]
    assert [(page["page"], page["confirmed"], page["rows"]) for page in pages] == [(1, True, ROWS), (2, True, ROWS)]
    got = await api.call("GET", f"/faxes/{ident}/pages/2?format=tiff")
    assert (got.octets, got.headers["Content-Type"]) == (PAGE, "image/tiff")
    await api.get(f"/faxes/{ident}/pages/3", 404)
    assert (await api.get(f"/faxes/{ident}/documents", 409))["code"] == "not_outbound"


async def test_a_fax_without_pages_has_none_to_show(api: Native) -> None:
    ident = (await api.send())["faxes"][0]["id"]
    assert await api.get(f"/faxes/{ident}/pages") == {"pages": []}
    await api.get(f"/faxes/{ident}/pages/1", 404)
    got = await api.call("GET", f"/faxes/{ident}/preview")
    assert (got.status, got.body["code"], got.headers["Retry-After"]) == (409, "not_ready", "10")


async def test_a_document_with_damaged_rows_says_so(api: Native) -> None:
    given = {"documents": [{"data": "SGVsbG8=", "name": "a.txt"}, {"data": "SGVsbG8="}]}
    made = await api.send(fax() | given)
    ident = made["faxes"][0]["id"]
    assert [one["repaired"] for one in (await api.get(f"/faxes/{ident}/documents"))["documents"]] == [[], []]
    facts = [{"rows": 1, "octets": 1, "document": 0, "page": 1}]
    facts += [{"rows": 1, "octets": 1, "document": 1, "page": 3, "repaired": 4}]
    await api.house.change(update(t.jobs).values(page_facts=facts))
    listed = (await api.get(f"/faxes/{ident}/documents"))["documents"]
    assert [one["repaired"] for one in listed] == [[], [{"page": 3, "rows": 4}]]
