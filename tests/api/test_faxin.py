"""The polling interface: the vendor's client sync and async, hiding, acknowledgement, expiry, refusals."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import insert, select

from faxgw.api.faxin import BASE, FaxinApi
from faxgw.delivery.pull import PullWay
from faxgw.delivery.received import Undelivered
from faxgw.fax.target import Encryption, TargetKind
from faxgw.store import outbox, pulls
from faxgw.store import schema as t
from tests.api.desk import Desk, desk
from tests.delivery.consignments import DOCUMENT, RECEPTION, consignment, target
from tests.house import House
from tests.sdk.client import PYTHON, ROOT

pytestmark = pytest.mark.asyncio(loop_scope="session")
ITEM = "out_0193aaaabbbbccccddddeeeeffff0002"


@pytest_asyncio.fixture(loop_scope="session")
async def world(house: House) -> AsyncIterator[tuple[Desk, dict[str, str]]]:
    async with desk(house, lambda ground: [FaxinApi(ground).routes()]) as made:
        yield made, await made.login("90210")


async def lay(house: House, item: str = ITEM, topic: str = "inbox", octets: bytes = DOCUMENT) -> str:
    """A try of the outbox; what it says."""
    way = PullWay(house.store, house.files, house.clock)
    await house.do(
        outbox.put, item, "received_pull", topic, customer="acme", payload={}, now=house.now, reception=RECEPTION
    )
    try:
        return await way.deliver(consignment(target(TargetKind.PULL, topic), item=item, octets=octets))
    except Undelivered as exc:
        assert exc.temporary
        return str(exc)


async def state_of(house: House, item: str = ITEM) -> str:
    (row,) = await house.rows(select(t.outbox.c.state).where(t.outbox.c.id == item))
    return str(row.state)


@pytest_asyncio.fixture(loop_scope="session")
async def received(house: House) -> None:
    """The reception that the tests' deliveries belong to."""
    await house.change(
        insert(t.receptions).values(
            id=RECEPTION, state="routed", since=0.0, customer="acme", number="+33199000099", dialled="", caller="",
            display="", trunk="t", call_id="c", dialog={}, node="n1", fence=1, settings={}, started_at=0.0,
        )
    )  # fmt: skip


@pytest.mark.parametrize("how", ["sync", "async"])
async def test_the_vendors_client_fetches_and_acknowledges(
    world: tuple[Desk, dict[str, str]], received: None, how: str, tmp_path: Path
) -> None:
    made, _who = world
    assert await lay(made.house) == "waits in inbox to be fetched"
    assert await state_of(made.house) == "due"
    given = {
        "base": str(made.client._base_url).rstrip("/") + "/faxin", "login": "90210", "password": "secret", "how": how,
        "into": str(tmp_path), "topic": "inbox",
    }  # fmt: skip
    if not PYTHON.exists():
        pytest.fail("the vendor's client is not installed: run script/setup --tests")
    process = await asyncio.create_subprocess_exec(
        str(PYTHON), str(ROOT / "tests/sdk/drive_poll.py"), json.dumps(given),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()[-2000:]
    listed, hidden, acknowledged, empty = json.loads(out.splitlines()[-1])
    (fax,) = listed
    assert (fax["id"], fax["JobID"], fax["CallingNumber"], fax["PageCount"]) == (ITEM, RECEPTION, "00498955500", "2")
    (document,) = fax["documents"]
    assert (tmp_path / document["url"].rpartition("/")[2]).read_bytes() == DOCUMENT
    assert (hidden, acknowledged, empty) == ([], [], [])
    assert await state_of(made.house) == "done"
    assert await lay(made.house) == "fetched from inbox"
    (row,) = await made.house.rows(select(t.receptions.c.state).where(t.receptions.c.id == RECEPTION))
    assert row.state == "delivered"


async def poll(made: Desk, who: dict[str, str], topic: str = "inbox", **query: Any) -> tuple[int, Any]:
    async with made.client.post(f"{BASE}/topics/{topic}", params=query, headers=who, json={}) as answer:
        return answer.status, await answer.json()


async def test_what_is_not_acknowledged_comes_back_after_the_timeout(
    world: tuple[Desk, dict[str, str]], received: None
) -> None:
    made, who = world
    for number in (1, 2, 3):
        await lay(made.house, f"out_{number}")
        made.house.clock.now += 1
    assert [one["id"] for one in (await poll(made, who, fetch=2, timeout=30))[1]["results"]] == ["out_1", "out_2"]
    assert [one["id"] for one in (await poll(made, who, fetch=9))[1]["results"]] == ["out_3"]
    assert (await poll(made, who))[1]["results"] == []
    made.house.clock.now += 31
    assert [one["id"] for one in (await poll(made, who))[1]["results"]] == ["out_1", "out_2"]
    made.house.clock.now += 60
    assert len((await poll(made, who, timeout=0))[1]["results"]) == 3
    assert len((await poll(made, who))[1]["results"]) == 3


async def test_next_and_exit_acknowledge_what_was_handed_out(
    world: tuple[Desk, dict[str, str]], received: None
) -> None:
    made, who = world
    for number in (1, 2, 3):
        await lay(made.house, f"out_{number}")
    _status, first = await poll(made, who, fetch=2)
    async with made.client.post(first["meta"]["next"], headers=who) as answer:
        second = await answer.json()
    assert ([one["id"] for one in second["results"]], second["meta"]["acknowledged"]) == (["out_3"], 2)
    async with made.client.post(second["meta"]["exit"], headers=who) as answer:
        last = await answer.json()
    assert (last["results"], last["meta"]["acknowledged"]) == ([], 1)
    assert [await state_of(made.house, f"out_{number}") for number in (1, 2, 3)] == ["done"] * 3
    (row,) = await made.house.rows(select(t.receptions.c.state).where(t.receptions.c.id == RECEPTION))
    assert row.state == "delivered"


@pytest.mark.parametrize("ids", ["out_1,out_2", "out_1%out_2", "out_1, out_2,,none"])
async def test_ids_are_taken_as_the_vendors_client_joins_them(
    world: tuple[Desk, dict[str, str]], received: None, ids: str
) -> None:
    made, who = world
    for number in (1, 2):
        await lay(made.house, f"out_{number}")
    status, answer = await poll(made, who, fetch=0, ids=ids, toString="")
    assert (status, answer["meta"]["acknowledged"]) == (200, 2)


async def test_others_neither_see_nor_acknowledge_nor_fetch(world: tuple[Desk, dict[str, str]], received: None) -> None:
    made, who = world
    await lay(made.house)
    url = (await poll(made, who, timeout=0))[1]["results"][0]["documents"][0]["url"]
    stranger = await made.login("stranger", customer="beta")
    user = await made.login("bert2", user="acme/bert")
    assert (await poll(made, stranger, ids=ITEM))[1]["results"] == []
    assert (await poll(made, user))[0] == 404
    for other in (stranger, user):
        async with made.client.get(url, headers=other) as answer:
            assert answer.status == 404
    assert await state_of(made.house) == "due"
    await lay(made.house, "out_own", topic="bert2")
    assert len((await poll(made, user, topic="bert2"))[1]["results"]) == 1


@pytest.mark.parametrize(
    ("query", "topic", "status"),
    [
        ({"fetch": "x"}, "inbox", 400),
        ({"timeout": "-1"}, "inbox", 400),
        ({"ids": ",".join(f"o{i}" for i in range(1_001))}, "inbox", 400),
        ({}, "none%20such", 404),
    ],
)
async def test_requests_that_mean_nothing_are_refused(
    world: tuple[Desk, dict[str, str]], query: dict[str, str], topic: str, status: int
) -> None:
    made, who = world
    assert (await poll(made, who, topic, **query))[0] == status
    async with made.client.post(f"{BASE}/topics/inbox") as answer:
        assert answer.status == 401


async def test_documents_are_gone_after_seven_days_whatever_happened(
    world: tuple[Desk, dict[str, str]], received: None
) -> None:
    made, who = world
    house = made.house
    await lay(house)
    url = (await poll(made, who))[1]["results"][0]["documents"][0]["url"]
    (before,) = await house.rows(select(t.pull_documents.c.key))
    assert await house.do(pulls.expire, now=house.now) == []
    house.clock.now += pulls.KEPT_FOR + 1
    assert (await poll(made, who))[1]["results"] == []
    async with made.client.get(url, headers=who) as answer:
        assert answer.status == 404
    assert await house.do(pulls.expire, now=house.now) == [before.key]
    assert await house.rows(select(t.pulls.c.id)) == []


async def test_what_lies_there_is_encrypted_as_the_target_says(house: House) -> None:
    """The way out lays down what it is handed: sealed documents, and nothing else of them."""
    to = target(TargetKind.PULL, "inbox", {"document_password": "x"}, encryption=Encryption.PASSWORD)
    sealed = consignment(to, octets=b"sealed")
    with pytest.raises(Undelivered):
        await PullWay(house.store, house.files, house.clock).deliver(sealed)
    (row,) = await house.rows(select(t.pull_documents.c.size))
    assert row.size == 6


async def test_many_faxes_are_acknowledged_in_short_units(
    world: tuple[Desk, dict[str, str]], received: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A unit delays every gate and MCF: a thousand acknowledgements in one would last a second."""
    made, who = world
    most, real = list[int](), pulls.acknowledge

    def counted(conn: Any, **values: Any) -> int:
        most.append(len(values["pulls"]))
        return real(conn, **values)

    monkeypatch.setattr(pulls, "acknowledge", counted)
    items = [f"{ITEM[:-4]}{number:04}" for number in range(3)]
    for item in items:
        await lay(made.house, item)
    monkeypatch.setattr("faxgw.api.faxin.IDS_AT_ONCE", 2)
    answer = await made.client.post(f"{BASE}/topics/inbox", headers=who, params={"ids": ",".join(items), "fetch": "0"})
    assert answer.status == 200 and (await answer.json())["meta"]["acknowledged"] == 3
    assert most == [2, 1]
    assert {await state_of(made.house, item) for item in items} == {"done"}
