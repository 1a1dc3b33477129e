"""The native API on a house, and a client that speaks it."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from sqlalchemy import insert, select

from faxgw.api.settings import ApiSettings
from faxgw.api.v1.native import NativeApi
from faxgw.dispatch.gate import dial_plan
from faxgw.dispatch.jobs import JobGate
from faxgw.dispatch.preview import Previewer
from faxgw.dispatch.template_desk import TemplateDesk
from faxgw.document.client import PageClient
from faxgw.egress import Egress
from faxgw.store import schema as t
from faxgw.store.journal import note
from tests.api.desk import Desk, desk
from tests.document.test_strips import ROWS
from tests.document.test_strips import page as page_tiff
from tests.house import House

PDF = b"%PDF-1.4 a page"
PAGE = page_tiff()
"""A received page as the call worker cuts it out."""
FAR = "+33199000001"
BASE = "/api/v1"


def inline(content: bytes = PDF, **more: Any) -> dict[str, Any]:
    return {"data": base64.b64encode(content).decode(), **more}


def fax(*numbers: Any, **more: Any) -> dict[str, Any]:
    """The body of a request to send."""
    return {"to": list(numbers or (FAR,)), "documents": [inline()], **more}


@dataclass
class Got:
    """An answer."""

    status: int
    body: Any
    headers: Mapping[str, str]
    octets: bytes


@dataclass
class Native:
    """A caller of the API."""

    desk: Desk
    api: NativeApi
    auth: Mapping[str, str] = field(default_factory=dict)

    @property
    def house(self) -> House:
        return self.desk.house

    def by(self, auth: Mapping[str, str]) -> Native:
        """The same API, called by somebody else."""
        return Native(self.desk, self.api, auth)

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        query: Any = None,
        form: aiohttp.FormData | None = None,
    ) -> Got:
        fields = {**self.auth, **(headers or {})}
        data: Any = form
        if form is None and body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            fields.setdefault("Content-Type", "application/json")
        async with self.desk.client.request(method, BASE + path, data=data, headers=fields, params=query) as answer:
            octets = await answer.read()
            parsed = json.loads(octets) if octets and "json" in answer.content_type else None
            return Got(answer.status, parsed, answer.headers, octets)

    async def get(self, path: str, status: int = 200, **query: Any) -> Any:
        """The JSON of a GET that must be answered so."""
        got = await self.call("GET", path, query=query or None)
        assert got.status == status, got.body
        return got.body

    async def post(self, path: str, body: Any = None, status: int = 200, **headers: str) -> Any:
        """The JSON of a POST that must be answered so."""
        got = await self.call("POST", path, body, headers={k.replace("_", "-"): v for k, v in headers.items()})
        assert got.status == status, got.body
        return got.body

    async def send(self, body: Any = None, **headers: str) -> Any:
        """Send a fax that is accepted."""
        return await self.post("/faxes", body or fax(), 202, **headers)


@asynccontextmanager
async def native(house: House, *, pages: Any = None, stream_s: float = 30.0, **settings: Any) -> AsyncIterator[Native]:
    """The API with a token of acme as a whole."""
    pages = pages or PageClient()
    previews = Previewer(house.seat(), pages)
    made: list[NativeApi] = []

    def tables(ground: Any) -> Any:
        made.append(
            NativeApi(
                ground,
                JobGate(house.seat()),
                ApiSettings(**settings),
                Egress(),
                push_egress=Egress(),
                pages=pages,
                previews=previews,
                templates=TemplateDesk(house.seat(), pages),
                plan=dial_plan,
                system={},
                stream_s=stream_s,
            )
        )
        return [made[0].routes()]

    async with desk(house, tables) as served:
        watching = asyncio.create_task(made[0].events.watch_for_ever())
        yield Native(served, made[0], await served.token())
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def received(house: House, *, number: str = "+33199000099", caller: str = "+33199000055", pages: int = 1) -> str:
    """A received fax that was delivered; its id."""
    ident = f"rcv_{next(house.serial):032x}"
    if not await house.rows(select(t.numbers).where(t.numbers.c.e164 == number)):
        await house.change(insert(t.numbers).values(e164=number, customer="acme", state="active", settings={}))
    await house.change(
        insert(t.receptions).values(
            id=ident,
            state="delivered",
            since=house.now,
            customer="acme",
            number=number,
            entry=number,
            dialled=number,
            caller=caller,
            display="A caller",
            ident="+33 1 99 00 00 55",
            trunk="t1",
            call_id="c",
            dialog={},
            node="n1",
            fence=house.fence,
            settings={},
            started_at=house.now,
            answered_at=house.now,
            ended_at=house.now,
            finished_at=house.now,
            pages=pages,
            page_end="eop",
            cause="ok",
            trace=[[0.5, "<", "ff1301", "DIS"], [1.0, "=", "", "a note of ours about 192.0.2.1"]],
        )
    )
    for page in range(1, pages + 1):
        file = await house.keep(PAGE)
        await house.change(
            insert(t.reception_pages).values(
                reception=ident,
                page=page,
                key=file.key,
                sha256=file.sha256,
                size=file.size,
                rows=ROWS,
                width=1728,
                x_resolution=8031,
                y_resolution=7700,
                bad_rows=0,
                encoding="MMR",
                page_end="eop",
                confirmed=True,
                at=house.now,
            )
        )
    await house.do(note, ident, "reception.delivered", now=house.now)
    return ident
