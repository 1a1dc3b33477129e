"""The vendor's REST interface on a house, and a client that speaks it."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp.web import AbstractRouteDef
from sqlalchemy import select

from faxgw.api.http import Ground
from faxgw.api.retarus import RetarusApi
from faxgw.api.settings import ApiSettings
from faxgw.api.vendor_jobs import VendorJobs
from faxgw.dispatch.jobs import JobGate
from faxgw.egress import Egress
from faxgw.fax.outcome import Cause, Outcome
from faxgw.fax.submission import JobSubmissions
from faxgw.store import rendering
from faxgw.store import schema as t
from tests.api.desk import Desk, desk
from tests.house import House

PDF = b"%PDF-1.4 a page"
FAR = "+33199000001"
BASE = "/rest/v1/acme/fax"


def document(name: str = "letter.pdf", content: bytes = PDF, **more: Any) -> dict[str, Any]:
    return {"name": name, "data": base64.b64encode(content).decode(), **more}


def job(*numbers: str, **more: Any) -> dict[str, Any]:
    """The body of a job."""
    return {"recipients": [{"number": n} for n in numbers or (FAR,)], "documents": [document()], **more}


@dataclass
class Vendor:
    """A login that sends and asks."""

    desk: Desk
    auth: Mapping[str, str]
    base: str = BASE

    @property
    def house(self) -> House:
        return self.desk.house

    async def call(
        self, method: str, path: str = "", body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """(status, parsed answer)."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        fields = {"Content-Type": "application/json", **self.auth, **(headers or {})}
        async with self.desk.client.request(method, self.base + path, data=data, headers=fields) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text else None

    async def send(self, body: Mapping[str, Any] | None = None) -> str:
        """Send a job that is accepted; its id."""
        status, answer = await self.call("POST", "", body or job())
        assert status == 200, answer
        return str(answer["jobId"])

    async def report(self, ident: str) -> Any:
        status, answer = await self.call("GET", f"/reports/{ident}")
        assert status == 200, answer
        return answer

    async def faxes(self, ident: str) -> list[str]:
        rows = await self.house.rows(select(t.faxes.c.id).where(t.faxes.c.job == ident).order_by(t.faxes.c.position))
        return [row.id for row in rows]

    async def deliver(self, ident: str, *, pages: int = 2) -> None:
        """Make the pages of a job and have every fax of it sent."""
        if await self.house.state((await self.faxes(ident))[0]) == "accepted":
            await self.house.do(rendering.lease, fence=self.house.fence, now=self.house.now, limit=1_000)
        await self.house.do(
            rendering.rendered,
            ident,
            fence=self.house.fence,
            body=await self.house.keep(b"II*\0 body"),
            pages=pages,
            facts=(),
            thumbnail=b"PNG",
            now=self.house.now,
        )
        for fax in await self.faxes(ident):
            await self._call(fax, pages)

    async def _call(self, fax: str, pages: int) -> None:
        """A call that is answered after 5 s and lasts 38 s."""
        house = self.house
        attempt = await house.plan(fax)
        house.clock.now += 5
        await house.answer(attempt)
        await house.expose(attempt, fax)
        for page in range(1, pages + 1):
            await house.confirm(attempt, fax, page)
        house.clock.now += 38
        await house.done(attempt, Outcome(Cause.OK, connected=True, exposed=True, remote_ident="+33 1 99 00 00 01"))


def rest(
    ground: Ground, submissions: JobSubmissions, settings: ApiSettings | None = None
) -> Sequence[AbstractRouteDef]:
    """The interface's routes on some ground."""
    chosen = settings or ApiSettings(retarus=True)
    return RetarusApi(ground, VendorJobs(ground, submissions, chosen, Egress()), chosen).routes()


@asynccontextmanager
async def vendor(house: House, name: str = "erp", **settings: Any) -> AsyncIterator[Vendor]:
    chosen = ApiSettings(retarus=True, **settings)
    async with desk(house, lambda ground: [rest(ground, JobGate(house.seat()), chosen)]) as made:
        yield Vendor(made, await made.login(name))
