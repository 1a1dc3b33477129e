"""Events: of one fax, and as a stream that can be resumed."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import aiohttp
import pytest
from sqlalchemy import select, update

from faxgw.api.v1 import events
from faxgw.fax.account import AccountState
from faxgw.sdk.stream import EventReader
from faxgw.store import accounts, credentials, event_feed
from faxgw.store import schema as t
from faxgw.store.accounts import Author
from faxgw.store.journal import note
from tests.api.desk import CHEAP
from tests.api.v1.world import Native, native, received
from tests.house import House
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture(autouse=True)
def _clock_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """On PostgreSQL an entry is told when it is old enough; here nothing ages."""
    monkeypatch.setattr(event_feed, "SETTLE_S", -1.0)


async def opened(api: Native, **headers: str) -> aiohttp.ClientResponse:
    return await api.desk.client.get("/api/v1/events", headers={**api.auth, **headers})


async def next_of(answer: aiohttp.ClientResponse, reader: EventReader, number: int) -> list[Any]:
    found: list[Any] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(found) < number:
            if (event := reader.feed((await answer.content.readline()).decode().rstrip("\n"))) is not None:
                found.append(event)
    return found


async def test_a_stream_begins_now_and_tells_what_happens(api: Native) -> None:
    await api.send()
    answer, reader = await opened(api), EventReader()
    async with answer:
        assert answer.content_type == "text/event-stream"
        while reader.last == "":
            reader.feed((await answer.content.readline()).decode().rstrip("\n"))
        sent = await api.send()
        job, fax = await next_of(answer, reader, 2)
    assert (job.type, job.job, job.fax, job.data) == ("job.accepted", sent["job"], None, {"faxes": 1})
    assert (fax.type, fax.fax) == ("fax.accepted", sent["faxes"][0]["id"])


async def test_a_client_that_comes_again_misses_nothing(api: Native) -> None:
    ident = (await api.send())["faxes"][0]["id"]
    async with await opened(api, **{"Last-Event-ID": "0"}) as answer:
        first, second = await next_of(answer, EventReader(), 2)
    await api.post(f"/faxes/{ident}/cancel")
    async with await opened(api, **{"Last-Event-ID": second.id}) as answer:
        cancelled, finished = await next_of(answer, EventReader(), 2)
    assert [event.type for event in (first, second)] == ["job.accepted", "fax.accepted"]
    assert (cancelled.type, cancelled.data, finished.type) == ("fax.cancelled", {"cause": "cancelled"}, "job.finished")


async def test_an_id_that_has_not_come_yet_is_no_silence(api: Native) -> None:
    """As after a move to another gateway: the stream begins now, and says so."""
    await api.send()
    answer, reader = await opened(api, **{"Last-Event-ID": "999999999999"}), EventReader()
    async with answer:
        while reader.last == "":
            reader.feed((await answer.content.readline()).decode().rstrip("\n"))
        sent = await api.send()
        (job,) = await next_of(answer, reader, 1)
    assert (job.type, job.job) == ("job.accepted", sent["job"])


async def test_a_stream_tells_each_its_own(api: Native) -> None:
    """Another customer, a user, and credentials without the scope: each hears what it may see and nothing more."""
    bert = api.by(await api.desk.token(user="acme/bert"))
    beta = api.by(await api.desk.token(customer="beta"))
    inbox = api.by(await api.desk.token(scopes=["inbox:read"]))
    others = (await api.send())["job"]
    mine = (await bert.send())["job"]
    foreign = (await beta.send())["job"]
    came = await received(api.house)
    heard = {}
    for who, number in (("acme", 5), ("bert", 3), ("beta", 2), ("inbox", 1)):
        caller = {"acme": api, "bert": bert, "beta": beta, "inbox": inbox}[who]
        async with await opened(caller, **{"Last-Event-ID": "0"}) as answer:
            heard[who] = {event.job or event.fax for event in await next_of(answer, EventReader(), number)}
    assert heard == {"acme": {others, mine, came}, "bert": {mine, came}, "beta": {foreign}, "inbox": {came}}


async def test_what_is_inside_is_not_told(api: Native) -> None:
    """Only public kinds, and of their data what a sender may know."""
    ident = (await api.send())["faxes"][0]["id"]
    await api.house.do(note, ident, "late.confirmed", now=api.house.now, data={"node": "n1"})
    data = {"to": "waiting", "until": 1_795_000_060.0, "trunk": "carrier", "cause": "busy"}
    await api.house.do(note, ident, "fax.waiting", now=api.house.now, job=None, data=data)
    found = (await api.get(f"/faxes/{ident}/events"))["events"]
    assert [event["type"] for event in found] == ["fax.accepted"], "without its job it is nobody's"
    job = (await api.get(f"/faxes/{ident}"))["job"]
    await api.house.do(note, ident, "fax.waiting", now=api.house.now, job=job, data=data)
    told = (await api.get(f"/faxes/{ident}/events"))["events"][-1]
    assert told["data"] == {"cause": "busy", "until": "2026-11-18T11:07:40.000Z"}


async def test_a_silent_stream_shows_that_it_lives_and_ends(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.05)
    async with native(house, stream_s=0.3) as api, await opened(api) as answer:
        text = (await answer.read()).decode()
    assert text.startswith("retry: 3000\nid: 0\nevent: ready\n") and text.count(":\n\n") >= 2
    assert not api.api.events._streams


async def test_streams_of_an_account_are_counted_and_given_back(api: Native, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MAX_STREAMS", 2)
    one, two = await opened(api), await opened(api)
    three = await opened(api)
    assert (one.status, two.status, three.status) == (200, 200, 429)
    other = await opened(api.by(await api.desk.token(customer="beta")))
    assert other.status == 200
    for answer in (one, two, three, other):
        answer.close()


async def test_windows_of_others_events_are_passed_over(api: Native, monkeypatch: pytest.MonkeyPatch) -> None:
    """A customer that was quiet for a million events of others finds its own one."""
    monkeypatch.setattr(event_feed, "after", partial(event_feed.after, window=3))
    beta = api.by(await api.desk.token(customer="beta"))
    for _ in range(5):
        await beta.send()
    mine = (await api.send())["job"]
    async with await opened(api, **{"Last-Event-ID": "0"}) as answer:
        (first,) = await next_of(answer, EventReader(), 1)
    assert first.job == mine


async def test_an_id_that_is_none_is_refused(api: Native) -> None:
    answer = await opened(api, **{"Last-Event-ID": "newest"})
    assert answer.status == 422


@pytest.mark.parametrize("how", ["token revoked", "login ended", "account suspended", "interface taken away"])
async def test_who_is_shut_out_hears_no_more(api: Native, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """A stream lasts an hour; credentials that hold no longer end it, and the client is told when it comes again."""
    monkeypatch.setattr(events, "RECHECK_S", 0.0)
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.05)
    who = api.by(await (api.desk.login("erp") if how.startswith("login") else api.desk.token()))
    changes = {
        "token revoked": update(t.tokens).values(state="ended"),
        "login ended": update(t.logins).where(t.logins.c.name == "erp").values(state="ended"),
        "account suspended": update(t.customers).where(t.customers.c.id == "acme").values(state="suspended"),
        "interface taken away": update(t.customers)
        .where(t.customers.c.id == "acme")
        .values(settings={"interfaces": ["smtp"]}),
    }
    async with asyncio.timeout(PATIENCE_S), await opened(who) as answer:
        beats = 0
        while beats < 2:  # it goes on as long as they hold
            beats += (await answer.content.readline()).startswith(b":")
        await api.house.change(changes[how])
        assert b"data" not in await answer.content.read()
    assert (await opened(who)).status in (401, 403)


@pytest.mark.parametrize("how", ["password", "token"])
async def test_a_change_of_an_account_is_seen_at_the_next_look(api: Native, how: str) -> None:
    """Nobody waits for RECHECK_S when the gateway itself made the change."""
    who = api.by(await (api.desk.login("erp") if how == "password" else api.desk.token()))
    by = Author("test", api.house.now)
    async with asyncio.timeout(events.RECHECK_S - 10), await opened(who) as answer:
        assert (await answer.content.readline()).startswith(b"retry")
        if how == "password":
            changed = {"password": CHEAP.hash("another")}
            await api.house.do(accounts.change, "acme", accounts.LOGIN, "erp", changed, by=by)
        else:
            token = (await api.house.rows(select(t.tokens.c.id)))[-1].id
            await api.house.do(credentials.set_token_state, "acme", token, AccountState.ENDED, by=by)
        assert b'data: {"' not in await answer.content.read()
