"""Logins at a relay: access tokens of a real OAuth server, and passwords in every way that servers ask for them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs

import pytest
from aiohttp import web
from pydantic import ValidationError

from faxgw.delivery.mail import MailDelivery, RelaySettings
from faxgw.fax.ports import DeliveryResult, Parcel
from faxgw.formats.report_payload import report_to_payload
from faxgw.settings import Duration, Secret
from tests.formats import samples

LOGIN, PASSWORD = "fax@example.org", "päss word"


@dataclass
class Issuer:
    """An authorisation server of RFC 6749."""

    status: int = 200
    lasts: int = 3_600
    asked: list[dict[str, list[str]]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    port: int = 0

    async def handle(self, request: web.Request) -> web.Response:
        pair = base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")).decode()
        self.asked.append(parse_qs(await request.text()))
        if self.status != 200 or pair != "client%2F1:s%26cret":
            return web.json_response({"error": "invalid_client"}, status=self.status if self.status != 200 else 401)
        self.tokens.append(f"token-{len(self.tokens)}")
        return web.json_response({"access_token": self.tokens[-1], "token_type": "Bearer", "expires_in": self.lasts})


@asynccontextmanager
async def issuing(issuer: Issuer) -> AsyncIterator[Issuer]:
    app = web.Application()
    app.router.add_post("/token", issuer.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    issuer.port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]  # asyncio's server
    yield issuer
    await runner.cleanup()


@dataclass
class Server:
    """A mail server that wants a login and checks it."""

    offers: str
    issuer: Issuer | None = None
    refuses: set[str] = field(default_factory=set)
    used: list[str] = field(default_factory=list)
    unwanted: dict[str, str] = field(default_factory=dict)
    """By mechanism, how it is refused."""
    mails: list[bytes] = field(default_factory=list)
    port: int = 0
    talks: set[asyncio.Task[None]] = field(default_factory=set)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.talks.add(task)
        try:
            await self.serve(reader, writer)
        finally:
            writer.close()
            await writer.wait_closed()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def say(text: str) -> None:
            writer.write(text.encode() + b"\r\n")
            await writer.drain()

        async def hear() -> str:
            return (await reader.readline()).decode().rstrip("\r\n")

        await say("220 mx.example.org")
        known = False
        while line := await hear():
            verb = line.split(" ")[0].upper()
            if verb == "EHLO":
                await say(f"250-mx.example.org\r\n250-SIZE 90000000\r\n250 AUTH {self.offers}")
            elif verb == "AUTH":
                mechanism = line.split(" ")[1]
                self.used.append(mechanism)
                if mechanism in self.unwanted:
                    await say(self.unwanted[mechanism])
                    continue
                known = await self._good(mechanism, line.split(" ", 2)[2:], say, hear)
                await say("235 2.7.0 accepted" if known else "535 5.7.8 refused")
            elif verb == "DATA" and known:
                await say("354 go on")
                lines = []
                while (each := await reader.readline()) != b".\r\n":
                    lines.append(each)
                self.mails.append(b"".join(lines))
                await say("250 2.0.0 queued")
            elif verb == "QUIT":
                await say("221 bye")
                return
            else:
                await say("250 OK" if known else "530 5.7.0 authenticate first")

    async def _good(self, mechanism, first, say, hear) -> bool:  # type: ignore[no-untyped-def]  # the two above
        def read(text: str) -> str:
            return base64.b64decode(text).decode()

        match mechanism:
            case "PLAIN":
                return read(first[0]) == f"\0{LOGIN}\0{PASSWORD}"
            case "LOGIN":
                if first:
                    user = read(first[0])
                else:
                    await say("334 " + base64.b64encode(b"Username:").decode())
                    user = read(await hear())
                await say("334 " + base64.b64encode(b"Password:").decode())
                return (user, read(await hear())) == (LOGIN, PASSWORD)
            case "CRAM-MD5":
                await say("334 " + base64.b64encode(b"<1.2@mx.example.org>").decode())
                digest = hmac.new(PASSWORD.encode(), b"<1.2@mx.example.org>", hashlib.md5).hexdigest()
                return read(await hear()) == f"{LOGIN} {digest}"
            case "XOAUTH2" | "OAUTHBEARER":
                assert self.issuer is not None
                said = read(first[0])
                good = {
                    f"user={LOGIN}\x01auth=Bearer {token}\x01\x01"
                    if mechanism == "XOAUTH2"
                    else f"n,a={LOGIN},\x01host=127.0.0.1\x01port={self.port}\x01auth=Bearer {token}\x01\x01"
                    for token in self.issuer.tokens
                    if token not in self.refuses
                }
                if said in good:
                    return True
                await say("334 " + base64.b64encode(json.dumps({"status": "401"}).encode()).decode())
                assert await hear() == ("" if mechanism == "XOAUTH2" else "AQ==")
                return False
        raise AssertionError(mechanism)


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[Server]:
    listening = await asyncio.start_server(server.connected, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    yield server
    listening.close()
    await listening.wait_closed()
    await asyncio.gather(*server.talks)


def relay(port: int, **more: object) -> RelaySettings:
    fields: dict[str, object] = {
        "host": "127.0.0.1", "port": port, "tls": "none", "login": LOGIN, "sender": LOGIN, "timeout": Duration(5),
        "data_timeout": Duration(5),
    }  # fmt: skip
    return RelaySettings(**(fields | more))  # type: ignore[arg-type]  # the table above


def oauth(server: Server, issuer: Issuer, **more: object) -> MailDelivery:
    fields = {
        "oauth_token_url": f"http://127.0.0.1:{issuer.port}/token",
        "oauth_client": "client/1",
        "oauth_secret": Secret("s&cret"),
        "oauth_scope": "https://outlook.office365.com/.default",
    }
    return MailDelivery(relay(server.port, **(fields | more)))


async def send(way: MailDelivery) -> DeliveryResult:
    payload = report_to_payload(samples.job([samples.DELIVERED]))
    return await way.deliver(Parcel("out_1", "status_mail", "ann@example.org", payload, samples.T, 0))


@pytest.mark.parametrize("offers", ["XOAUTH2", "PLAIN LOGIN XOAUTH2 OAUTHBEARER", "OAUTHBEARER"])
async def test_a_token_is_asked_for_once_and_used_while_it_lasts(offers: str) -> None:
    """RFC 6749 section 4.4, RFC 7628; never a password, though the server offers to take one."""
    async with issuing(Issuer()) as issuer, serving(Server(offers, issuer)) as server:
        way = oauth(server, issuer)
        for _ in range(3):
            assert (await send(way)).delivered
        assert set(server.used) == {"OAUTHBEARER" if offers == "OAUTHBEARER" else "XOAUTH2"}
        assert issuer.asked == [
            {"grant_type": ["client_credentials"], "scope": ["https://outlook.office365.com/.default"]}
        ]
        assert len(server.mails) == 3 and b"Delivered" in server.mails[0]


async def test_a_token_that_ends_is_asked_for_again() -> None:
    async with issuing(Issuer(lasts=20)) as issuer, serving(Server("XOAUTH2", issuer)) as server:
        way = oauth(server, issuer)
        assert (await send(way)).delivered and (await send(way)).delivered
        assert len(issuer.asked) == 2


@pytest.mark.parametrize("offers", ["XOAUTH2", "OAUTHBEARER"])
async def test_a_token_that_is_refused_is_forgotten_and_the_mail_waits(offers: str) -> None:
    async with issuing(Issuer()) as issuer, serving(Server(offers, issuer, refuses={"token-0"})) as server:
        way = oauth(server, issuer)
        result = await send(way)
        assert not result.delivered and not result.permanent
        assert '"status": "401"' in result.detail and "token-0" not in result.detail
        assert (await send(way)).delivered
        assert len(issuer.asked) == 2


async def test_a_refresh_token_is_used_where_there_is_one() -> None:
    async with issuing(Issuer()) as issuer, serving(Server("XOAUTH2", issuer)) as server:
        assert (await send(oauth(server, issuer, oauth_refresh_token=Secret("r1"), oauth_scope=""))).delivered
        assert issuer.asked == [{"grant_type": ["refresh_token"], "refresh_token": ["r1"]}]


async def test_without_a_token_the_mail_waits_and_says_why() -> None:
    async with issuing(Issuer(status=503)) as issuer, serving(Server("XOAUTH2", issuer)) as server:
        result = await send(oauth(server, issuer))
        assert not result.delivered and not result.permanent and "no access token: 503" in result.detail
        issuer.status = 200
        result = await send(oauth(server, issuer, oauth_secret=Secret("other")))
        assert not result.delivered and "no access token: 401" in result.detail
    result = await send(oauth(server, issuer))
    assert not result.delivered and not result.permanent


async def test_a_server_that_takes_no_tokens_is_not_given_any() -> None:
    async with issuing(Issuer()) as issuer, serving(Server("PLAIN LOGIN", issuer)) as server:
        result = await send(oauth(server, issuer))
        assert not result.delivered and "takes no access tokens" in result.detail
        assert not issuer.asked and not server.used


GOOD = {"oauth_token_url": "https://x.org/t", "oauth_client": "x", "oauth_secret": Secret("s")}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"oauth_token_url": "https://login.example.org/t"}, "needs login, oauth_client and oauth_secret"),
        ({"oauth_client": "x"}, "needs login, oauth_client and oauth_secret"),
        (
            {**GOOD, "password": Secret("p")},
            "and no password",
        ),
        ({"oauth_refresh_token": Secret("r"), "password": Secret("p")}, "oauth_refresh_token needs oauth_token_url"),
        (
            {**GOOD, "oauth_token_url": "http://login.example.org/t"},
            "must begin with https:",
        ),
        (
            {**GOOD, "host": "smtp.example.org", "tls": "opportunistic"},
            "a password needs tls",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused(fields: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        relay(25, **fields)
