"""faxgw.delivery.push: the report of a finished job arrives in each form and with each kind of credentials."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import pytest
from aiohttp import web
from sqlalchemy import select, update

from faxgw.delivery.push import PushDelivery
from faxgw.dispatch.outbox import OutboxWorker
from faxgw.fax.outcome import Cause
from faxgw.store import outbox
from faxgw.store import schema as t
from tests.api.desk import Ticks
from tests.api.retarus_world import FAR, Vendor, job, vendor
from tests.delivery.receiver import LOOPBACK, Receiver, digest_is_right, receiver
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")
NAMESPACE = "{http://retarus.com/fax4ba/faxws/3/0}"


@dataclass
class World:
    """A vendor's client, a receiver, and the outbox between them."""

    erp: Vendor
    there: Receiver
    worker: OutboxWorker
    ticks: Ticks

    @property
    def house(self) -> House:
        return self.erp.house

    async def send(self, report_mail: Mapping[str, str] | None = None, **push: str) -> str:
        """A job that is pushed, sent and done."""
        mail = {"reportMail": dict(report_mail)} if report_mail else {}
        asked = {"targetUrl": self.there.url + "/hook", **push}
        ident = await self.erp.send(job(FAR, statusReportOptions={"httpStatusPush": asked, **mail}))
        await self.erp.deliver(ident)
        return ident

    async def push(self) -> Any:
        """One try of what is due; the row of the push."""
        station = self.worker.delivering
        for item in await station._take(10):
            await station._work(item)
        (row,) = [row for row in await self.house.outbox() if row.kind == "push"]
        return row


@asynccontextmanager
async def world(house: House) -> AsyncIterator[World]:
    async with receiver() as there, vendor(house, push_networks=("127.0.0.0/8",)) as erp:
        ticks = Ticks()
        worker = OutboxWorker(house.seat(), {"push": PushDelivery(house.store, LOOPBACK, ticks)})
        yield World(erp, there, worker, ticks)


async def test_a_finished_job_is_pushed_as_the_vendors_xml(house: House) -> None:
    async with world(house) as made:
        ident = await made.send(authMethod="HTTP_BASIC", principal="me", credentials="s3cret:x")
        row = await made.push()
        assert (row.state, row.detail) == ("done", "204 No Content")
        ((request, body),) = made.there.seen
        assert request.headers["Content-Type"] == "text/xml; charset=utf-8"
        assert request.headers["X-Faxgw-Delivery"] == row.id
        assert request.headers["Authorization"] == "Basic " + base64.b64encode(b"me:s3cret:x").decode()
        report = ElementTree.fromstring(body)
        assert report.tag == NAMESPACE + "faxJobReport"
        assert report.findtext(NAMESPACE + "jobId") == ident
        recipient = report.find(NAMESPACE + "faxRecipient")
        assert recipient is not None
        assert recipient.findtext(NAMESPACE + "status") == "OK"
        assert recipient.findtext(NAMESPACE + "number") == FAR
        push = report.find(NAMESPACE + "httpStatusPush")
        assert push is not None
        assert [child.text for child in push] == [made.there.url + "/hook", "HTTP_BASIC"]
        document = report.find(NAMESPACE + "document")
        assert document is not None
        assert [child.text for child in document] == ["letter.pdf", "false"]
        assert b"s3cret" not in body
        assert await _credentials(house) == [""]


async def test_a_push_says_what_goes_with_the_status_mails(house: House) -> None:
    mail = {
        "failureAddress": "ops@example.org",
        "attachedFaxImageMode": "FAILURE_ONLY",
        "attachedFaxImageFormat": "PDF",
    }
    async with world(house) as made:
        await made.send(report_mail=mail)
        await made.push()
        ((_request, body),) = made.there.seen
        told = ElementTree.fromstring(body).find(NAMESPACE + "reportMail")
        assert told is not None
        assert {child.tag.removeprefix(NAMESPACE): child.text or "" for child in told} == {"successAddress": "", **mail}


async def test_a_push_as_json_is_the_report_of_the_rest_interface(house: House) -> None:
    async with world(house) as made:
        await _set(house, push_format="json")
        ident = await made.send()
        await made.push()
        ((request, body),) = made.there.seen
        assert request.content_type == "application/json"
        assert json.loads(body) == await made.erp.report(ident)


async def test_digest_proves_the_password_without_telling_it(house: House) -> None:
    async with world(house) as made:

        async def guarded(request: web.Request) -> web.StreamResponse:
            given = request.headers.get("Authorization", "")
            if given and digest_is_right(given, "me", "s3cret", "n0nce"):
                return web.Response(status=200)
            challenge = 'Digest realm="hooks", nonce="n0nce", qop="auth", algorithm=MD5'
            return web.Response(status=401, headers={"WWW-Authenticate": challenge})

        made.there.answer = guarded
        await made.send(authMethod="HTTP_DIGEST", principal="me", credentials="s3cret")
        assert (await made.push()).state == "done"
        assert len(made.there.seen) == 2


async def test_an_oauth2_token_is_asked_for_once_and_again_when_it_is_refused(house: House) -> None:
    async with world(house) as made:
        tokens = iter(("one", "two"))
        good = {"one"}

        async def serve(request: web.Request) -> web.StreamResponse:
            if request.path == "/token":
                return web.json_response({"access_token": next(tokens), "expires_in": 3600, "token_type": "bearer"})
            held = request.headers["Authorization"].removeprefix("Bearer ")
            return web.Response(status=200 if held in good else 401)

        made.there.answer = serve
        await _set(house, push_token_url=made.there.url + "/token")
        await made.send(authMethod="OAUTH2", principal="id", credentials="se:cret")
        assert (await made.push()).state == "done"
        asked, body = made.there.seen[0]
        assert asked.headers["Authorization"] == "Basic " + base64.b64encode(b"id:se%3Acret").decode()
        assert body == b"grant_type=client_credentials"
        await house.change(t.outbox.delete())
        await made.send(authMethod="OAUTH2", principal="id", credentials="se:cret", targetUrl=made.there.url + "/b")
        good.clear()
        good.add("two")
        assert (await made.push()).state == "due"  # the token was revoked
        house.clock.now += 100
        assert (await made.push()).state == "done"
        assert [request.path for request, _ in made.there.seen] == ["/token", "/hook", "/b", "/token", "/b"]


async def test_no_token_is_a_reason_that_is_told(house: House) -> None:
    async with world(house) as made:
        made.there.says(200, '{"token": "x"}')
        await _set(house, push_token_url=made.there.url + "/token")
        await made.send(authMethod="OAUTH", principal="id", credentials="secret")
        row = await made.push()
        assert (row.state, row.detail) == ("due", "no token: the answer has no access_token")


async def test_tries_follow_the_vendors_rule_for_two_days(house: House) -> None:
    """Three in the first minute, nine more in ten minutes, then every 15 minutes; dead after two days."""
    async with world(house) as made:
        made.there.says(503)
        await made.send(authMethod="HTTP_BASIC", principal="me", credentials="s3cret")
        begun, at = house.clock.now, []
        row = await made.push()
        while row.state == "due":
            at.append(house.clock.now - begun)
            assert await _credentials(house) == ["s3cret"]
            house.clock.now = row.due_at
            row = await made.push()
        assert at[:3] == [0, 20, 40]
        assert len([moment for moment in at if 60 <= moment <= 660]) == 9
        assert at[13] - at[12] == 900
        assert row.state == "dead"
        assert 2 * 86_400 < house.clock.now - begun < 2 * 86_400 + 1_000
        assert await _credentials(house) == [""]


async def test_a_receiver_that_is_gone_for_good_is_not_asked_again(house: House) -> None:
    async with world(house) as made:
        made.there.says(410)
        await made.send()
        assert (await made.push()).state == "dead"


async def test_what_is_over_can_be_delivered_once_more(house: House) -> None:
    async with world(house) as made:
        await made.send()
        row = await made.push()
        assert await house.do(outbox.again, row.id, now=house.clock.now, who="admin")
        assert not await house.do(outbox.again, row.id, now=house.clock.now, who="admin")
        assert (await made.push()).state == "done"
        first, second = (request.headers["X-Faxgw-Delivery"] for request, _ in made.there.seen)
        assert first == second


async def test_a_job_that_failed_is_pushed_too(house: House) -> None:
    async with world(house) as made:
        asked = {"targetUrl": made.there.url}
        await made.erp.send(job("nonsense", statusReportOptions={"httpStatusPush": asked}))
        await made.push()
        ((_, body),) = made.there.seen
        recipient = ElementTree.fromstring(body).find(NAMESPACE + "faxRecipient")
        assert recipient is not None
        assert recipient.findtext(NAMESPACE + "status") == Cause.NUMBER_REFUSED.facts.status


async def test_the_accounts_own_address_is_used_where_the_job_names_none(house: House) -> None:
    async with world(house) as made:
        await _set(house, push_url=made.there.url + "/always")
        await made.erp.deliver(await made.erp.send())
        await made.push()
        assert [request.path for request, _ in made.there.seen] == ["/always"]


@pytest.mark.parametrize(
    ("push", "code"),
    [
        ({"authMethod": "NONE"}, "no_push_url"),
        ({"targetUrl": "http://169.254.169.254/latest"}, "bad_push_url"),
        ({"targetUrl": "ftp://example.org/"}, "bad_push_url"),
        ({"targetUrl": "https://hooks.example.org/", "authMethod": "OAUTH2"}, "no_token_url"),
        ({"targetUrl": "https://hooks.example.org/", "authMethod": "KERBEROS"}, "bad_request"),
    ],
)
async def test_what_could_never_be_pushed_is_refused_with_the_job(
    house: House, push: dict[str, str], code: str
) -> None:
    async with world(house) as made:
        status, answer = await made.erp.call("POST", "", job(FAR, statusReportOptions={"httpStatusPush": push}))
        assert (status, answer["code"]) == (400, code)
        assert "httpStatusPush" in answer["param"]


async def _set(house: House, **settings: str) -> None:
    await house.change(update(t.customers).where(t.customers.c.id == "acme").values(settings=settings))


async def _credentials(house: House) -> Sequence[str]:
    return [row.credentials for row in await house.rows(select(t.pushes))]
