"""faxgw.api.papers and the refusals that hang on them: operators bring papers, customers read their own."""

from __future__ import annotations

import pytest
from sqlalchemy import insert, update

from faxgw.api.papers import PaperRoutes
from faxgw.fax.access import Scope
from faxgw.store import schema as t
from tests.api.desk import Desk, desk
from tests.api.retarus_world import job, vendor
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

NUMBER = "+33199000500"
OF = f"/api/v1/admin/customers/acme/numbers/{NUMBER}/papers"
PNG = b"\x89PNG\r\n a consent"


async def enter(house: House) -> None:
    values = {"e164": NUMBER, "customer": "acme", "state": "active", "settings": {}, "clip": False}
    await house.change(insert(t.numbers).values(**values))


async def operator(made: Desk) -> dict[str, str]:
    return await made.token(customer=None, scopes=[Scope.ADMIN.value, Scope.OPERATOR.value])


async def test_an_operator_brings_a_paper_and_the_customer_reads_it(house: House) -> None:
    await enter(house)
    async with desk(house, lambda ground: [PaperRoutes(ground).routes()]) as made:
        boss, own = await operator(made), await made.token(scopes=[Scope.ADMIN.value])
        query = {"kind": "consent", "name": "consent.png", "until": str(house.now + 86_400)}
        async with made.client.post(OF, params=query, data=PNG, headers=boss) as answer:
            paper = await answer.json()
            assert (answer.status, paper["kind"], paper["content_type"]) == (201, "consent", "image/png")
        async with made.client.get(OF, headers=own) as answer:
            assert [one["id"] for one in (await answer.json())["papers"]] == [paper["id"]]
        async with made.client.get(f"{OF}/{paper['id']}", headers=own) as answer:
            assert (await answer.read(), answer.content_type) == (PNG, "image/png")
        async with made.client.get("/api/v1/admin/papers", headers=boss) as answer:
            assert len((await answer.json())["papers"]) == 1
        async with made.client.delete(f"{OF}/{paper['id']}", headers=boss) as answer:
            assert answer.status == 204


async def test_what_is_refused(house: House) -> None:
    await enter(house)
    async with desk(house, lambda ground: [PaperRoutes(ground).routes()]) as made:
        boss, own = await operator(made), await made.token(scopes=[Scope.ADMIN.value])
        foreign = await made.token(customer="beta", scopes=[Scope.ADMIN.value])
        good = {"kind": "consent", "name": "a.png"}
        for headers, path, query, body, status in (
            (own, OF, good, PNG, 403),
            (foreign, OF, good, PNG, 403),
            (boss, OF, {"kind": "poem"}, PNG, 422),
            (boss, OF, {"kind": "consent", "until": "soon"}, PNG, 422),
            (boss, OF, {"kind": "consent", "until": "1"}, PNG, 422),
            (boss, OF, good, b"#!/bin/sh", 422),
            (boss, OF.replace(NUMBER, "+33199000501"), good, PNG, 404),
        ):
            async with made.client.post(path, params=query, data=body, headers=headers) as answer:
                assert answer.status == status, (query, await answer.text())
        for headers, path, status in (
            (foreign, OF, 404),
            (own, f"{OF}/pap_none", 404),
            (own, "/api/v1/admin/papers", 403),
            (boss, "/api/v1/admin/papers?days=x", 422),
        ):
            async with made.client.get(path, headers=headers) as answer:
                assert answer.status == status, path


async def test_a_job_that_would_show_a_number_without_consent_is_refused(house: House) -> None:
    await enter(house)
    await house.change(update(t.customers).where(t.customers.c.id == "acme").values(settings={"clip": NUMBER}))
    async with vendor(house) as erp:
        status, answer = await erp.call("POST", "", job())
        assert (status, answer["code"]) == (400, "clip_not_open")
        assert answer["detail"] == f"There is no consent to show {NUMBER} as caller number."
