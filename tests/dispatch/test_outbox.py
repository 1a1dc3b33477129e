"""The outbox at work: at least once, never by two at a time, and dead only when that is said (spine section 1)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping

import pytest
from sqlalchemy import select

from faxgw.dispatch import outbox as module
from faxgw.dispatch.outbox import OutboxWorker
from faxgw.fax.errors import FaxError
from faxgw.fax.outcome import Cause
from faxgw.fax.ports import Delivery, DeliveryResult, Parcel
from faxgw.fax.reception import PageEnd
from faxgw.fax.target import Encryption, Target, TargetKind
from faxgw.formats.report_payload import report_from_payload
from faxgw.store import outbox
from faxgw.store import schema as t
from faxgw.store.choosing import Onward
from tests.dispatch.doubles import until
from tests.house import ALICE, House
from tests.store.test_receptions import FALLBACK, deliver, items, keep, receiving, route

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Relay:
    """A way out that answers what the test says; the last answer repeats."""

    def __init__(self, *answers: DeliveryResult | Exception) -> None:
        self.answers = list(answers)
        self.parcels: list[Parcel] = []

    async def deliver(self, parcel: Parcel) -> DeliveryResult:
        self.parcels.append(parcel)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


GOOD = DeliveryResult(True, detail="250 taken")
DOWN = DeliveryResult(False, detail="connection refused")
NEVER = DeliveryResult(False, permanent=True, detail="550 no such mailbox")


@contextlib.asynccontextmanager
async def working(house: House, ways: Mapping[str, Delivery], dead: list[Parcel] | None = None) -> AsyncIterator[None]:
    worker = OutboxWorker(house.seat(), ways, (dead if dead is not None else []).append)
    running = asyncio.create_task(worker.delivering.run())
    try:
        yield
    finally:
        await worker.delivering.stop(1.0)
        await running


async def item(house: House, kind: str = "status_mail") -> None:
    await house.do(outbox.put, "out_1", kind, ALICE, customer="acme", payload={"version": 1}, now=house.now)


async def state(house: House) -> tuple[str, int, str]:
    (row,) = await house.rows(select(t.outbox.c.state, t.outbox.c.tries, t.outbox.c.detail))
    return row.state, row.tries, row.detail


async def reached(house: House, wanted: str) -> None:
    async def there() -> bool:
        return (await state(house))[0] == wanted

    await until(there)


async def test_a_report_is_delivered_with_the_picture_of_its_first_page(house: House) -> None:
    fax = await house.ready_fax()
    await house.call(fax, Cause.OK, confirmed=2)
    relay = Relay(GOOD)
    async with working(house, {"status_mail": relay}):
        await reached(house, "done")
    (parcel,) = relay.parcels
    assert (parcel.kind, parcel.target, parcel.tries) == ("status_mail", ALICE, 1)
    assert report_from_payload(parcel.payload).thumbnail == b"PNG"


async def test_a_relay_that_is_down_delays_and_loses_nothing(house: House) -> None:
    """Issue 2, bad input: relay down."""
    relay = Relay(DOWN, GOOD)
    await item(house)
    async with working(house, {"status_mail": relay}):
        await until(lambda: len(relay.parcels) == 1)
        await reached(house, "due")
        assert await state(house) == ("due", 1, "connection refused")
    house.clock.now += outbox.PAUSES[0]
    async with working(house, {"status_mail": relay}):
        await reached(house, "done")
    assert [p.item for p in relay.parcels] == ["out_1", "out_1"]
    assert relay.parcels[1].tries == 2


@pytest.mark.parametrize("answer, later", [(NEVER, 0.0), (DOWN, outbox.LIFETIME + 1)])
async def test_an_item_dies_by_a_permanent_answer_or_after_five_days_and_somebody_hears_of_it(
    house: House, answer: DeliveryResult, later: float
) -> None:
    await item(house)
    house.clock.now += later
    dead: list[Parcel] = []
    async with working(house, {"status_mail": Relay(answer)}, dead):
        await reached(house, "dead")
        await until(lambda: [p.item for p in dead] == ["out_1"])


async def test_a_kind_without_a_way_out_waits(house: House) -> None:
    await item(house, "pigeon")
    async with working(house, {}):
        await reached(house, "due")

        async def tried() -> bool:
            return (await state(house))[1] == 1

        await until(tried)
    assert (await state(house))[2] == "no way out for pigeon"


async def test_a_way_that_is_added_later_is_used(house: House) -> None:
    """Parts of the gateway that start after the outbox bring theirs with them."""
    ways: dict[str, Delivery] = {}
    relay = Relay(GOOD)
    async with working(house, ways):
        ways["webhook"] = relay
        await item(house, "webhook")
        await reached(house, "done")
    assert len(relay.parcels) == 1


@pytest.mark.parametrize("temporary, wanted", [(True, "due"), (False, "dead")])
async def test_an_adapter_that_raises_is_a_failed_try(house: House, temporary: bool, wanted: str) -> None:
    await item(house)
    async with working(house, {"status_mail": Relay(FaxError("odd", temporary=temporary))}):

        async def tried() -> bool:
            return (await state(house))[:2] == (wanted, 1)

        await until(tried)


async def test_a_try_ends_before_its_lease(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise two would deliver the same item beside each other: a mail sent twice."""
    assert module.TRY_SECONDS < outbox.LEASE
    monkeypatch.setattr(module, "TRY_SECONDS", 0.02)

    class Hangs:
        async def deliver(self, parcel: Parcel) -> DeliveryResult:
            await asyncio.Event().wait()
            raise AssertionError

    await item(house)
    async with working(house, {"status_mail": Hangs()}):

        async def tried() -> bool:
            return (await state(house))[:2] == ("due", 1)

        await until(tried)


async def test_a_fault_of_ours_is_a_failed_try_and_dies_in_its_time(house: House) -> None:
    """What nobody foresaw must not be tried every half an hour for ever, without a word."""
    await item(house)
    relay = Relay(KeyError("colour"))  # no FaxError, no OSError
    async with working(house, {"status_mail": relay}):
        await reached(house, "due")
        await until(lambda: len(relay.parcels) == 1)

        async def tried() -> bool:
            return (await state(house))[:2] == ("due", 1)

        await until(tried)
    assert "KeyError" in (await state(house))[2]
    house.clock.now += outbox.LIFETIME + 1
    dead: list[Parcel] = []
    async with working(house, {"status_mail": relay}, dead):
        await reached(house, "dead")
        await until(lambda: [p.item for p in dead] == ["out_1"])


async def test_a_webhook_that_answers_nobody_holds_back_no_mail(house: House) -> None:
    """All its tries hang; what is for others goes, and nothing of ours turns in circles meanwhile."""
    hangs = asyncio.Event()

    class Hanging:
        tries = 0

        async def deliver(self, parcel: Parcel) -> DeliveryResult:
            self.tries += 1
            await hangs.wait()
            return DOWN

    slow, relay = Hanging(), Relay(GOOD)
    for count in range(40):
        await house.do(
            outbox.put, f"out_hook{count:02}", "webhook", "https://slow.example/", customer="acme", payload={},
            now=house.now,
        )  # fmt: skip
    async with working(house, {"webhook": slow, "status_mail": relay}):
        await until(lambda: slow.tries == outbox.PER_TARGET)
        await item(house)
        await until(lambda: len(relay.parcels) == 1)
        assert slow.tries == outbox.PER_TARGET
        hangs.set()
        await until(lambda: slow.tries == 40)


async def test_a_program_that_is_gone_is_no_alarm_of_ours(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """A customer who removes a webhook, or answers 410, must not make the gateway look out of order."""
    await item(house, "webhook")
    dead: list[Parcel] = []
    async with working(house, {"webhook": Relay(NEVER)}, dead):
        await reached(house, "dead")
        await until(lambda: any(getattr(r, "event", "") == "outbox.untold" for r in caplog.records))
    assert dead == [] and not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize("in_clear", [False, True])
async def test_the_notice_of_a_fax_that_was_to_be_encrypted_bears_neither_page_nor_picture(
    house: House, in_clear: bool
) -> None:
    reception = await receiving(house, fallback_in_clear=in_clear)
    await keep(house, reception, 1, PageEnd.EOP)
    to = Target("tgt_1", "acme", "theirs", TargetKind.MAIL, "owner@example.org", encryption=Encryption.PASSWORD)
    await route(house, reception, onward=(Onward(to),))
    (first,) = await items(house, reception)
    await deliver(house, first.id, dead=True)
    relay = Relay(GOOD)
    async with working(house, {"received_mail": relay}):
        await until(lambda: bool(relay.parcels))
    (parcel,) = relay.parcels
    assert parcel.target == FALLBACK
    assert (len(parcel.enclosures), "thumbnail" in parcel.payload) == ((1, True) if in_clear else (0, False))
