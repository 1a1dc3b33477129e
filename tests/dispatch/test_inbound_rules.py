"""Rules at work in the inside: several ways at once, waiting for reading, held deliveries, replies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from faxgw.dispatch.consigning import consigned
from faxgw.dispatch.replying import Replying
from faxgw.fax.account import Level
from faxgw.fax.errors import Refused
from faxgw.fax.ports import Admission, EnclosedFile, Parcel
from faxgw.fax.reading import PageReading
from faxgw.fax.received_document import DocumentOptions
from faxgw.fax.received_document import Format as Form
from faxgw.fax.reception import PageEnd
from faxgw.fax.routing_rule import RULE_WAIT, Actions, Conditions, Extraction, Rule
from faxgw.fax.submission import JobKnown, JobReceipt, JobRefused, JobSubmission
from faxgw.fax.target import Format, Target, TargetKind, mailbox
from faxgw.formats.report_payload import enclosed_in, received_from_payload
from faxgw.store import readings, replies, routing, rules, targets, templates
from faxgw.store import schema as t
from faxgw.store.accounts import Author
from tests.dispatch.doubles import until
from tests.dispatch.test_inbound import DESK, NUMBER, OWNER, RINGING, Mailbox, World, world
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

BY = Author("operator", 1.0)
CRM = Target("tgt_crm", "acme", "crm", TargetKind.PULL, "crm", formats=(Format.TIFF, Format.XML))


PLAIN = DocumentOptions()


class Made:
    """Makes documents out of nothing."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.asked: list[tuple[Form, DocumentOptions]] = []

    async def make(self, reception: str, form: Form, options: DocumentOptions = PLAIN) -> tuple[EnclosedFile, ...]:
        self.asked.append((form, options))
        file = await self.house.keep(f"{form.value} of {reception}".encode())
        return (EnclosedFile(f"fax.{form.value}", "application/octet-stream", file),)


async def add(house: House, name: str, when: Conditions, *deliver: str, **more: Any) -> None:
    actions = more.pop("actions", Actions(deliver=deliver))
    if actions.reply not in ("", "none"):
        what, page = (templates.Kind.COVER, actions.reply), b"<p>Thank you.</p>"
        await house.do(templates.keep, "acme", *what, format="html", content=page, who="test", now=house.now)
    rule = Rule(f"rul_{name}", name, "acme", Level.NUMBER, NUMBER, conditions=when, actions=actions)
    await house.do(rules.create, replace(rule, **more), by=BY)


async def rows(house: House, reception: str) -> Sequence[Any]:
    """Outbox items of a fax."""
    query = select(t.outbox).where(t.outbox.c.reception == reception)
    return await house.rows(query.order_by(t.outbox.c.kind, t.outbox.c.target))


async def to_be_read(house: House, reception: str, *pages: int) -> None:
    for page in pages:
        wanted = {"languages": ["eng"], "barcodes": False}
        values = {"reception": reception, "page": page, "state": "waiting", "wanted": wanted, "asked_at": house.now}
        await house.change(insert(t.readings).values(**values))


async def read(house: House, reception: str, page: int, text: str) -> None:
    await house.change(
        update(t.readings)
        .where(t.readings.c.reception == reception, t.readings.c.page == page)
        .values(lease_fence=house.fence)
    )
    found = PageReading(page, 1728, 2200, text)
    assert await house.do(readings.done, reception, found, fence=house.fence, now=house.now)


async def test_rules_send_one_fax_several_ways_each_its_own_item(house: House) -> None:
    async with world(house) as place:
        await house.do(targets.create, CRM, {}, by=BY)
        await add(house, "both", Conditions(csid=("+49 89*",)), "crm", "boss@example.org", "owner", stop=False)
        await add(house, "tag", Conditions(), actions=Actions(tags=("all",), language="de"), position=200)
        reception = await place.receiving()
        assert await place.page(reception, 1, PageEnd.EOP)
        await until(lambda: place.house.ask(_has_items, reception, 3))
        found = await rows(house, reception)
        assert [(row.kind, row.target) for row in found] == [
            ("received_mail", "boss@example.org"),
            ("received_mail", OWNER),
            ("received_pull", "crm"),
        ]
        pull = found[2].payload
        assert (pull["target"]["name"], pull["target"]["formats"], pull["rule"], pull["made"]) == (
            "crm",
            ["tiff", "xml"],
            "both",
            False,
        )
        assert received_from_payload(pull).language == "de"
        said = (await place.row(reception)).routing
        assert (said["rules"], said["tags"], said["missing"]) == (["both", "tag"], ["all"], [])


def _has_items(conn: Any, reception: str, count: int) -> bool:
    query = select(t.outbox.c.id).where(t.outbox.c.reception == reception)
    return len(conn.execute(query).all()) >= count


async def test_no_fax_is_without_an_owner_whatever_the_rules_say(house: House) -> None:
    """A rule whose only target was switched off, and one that fits nothing: the number's mailbox has it."""
    async with world(house) as place:
        await house.do(targets.create, replace(CRM, active=False), {}, by=BY)
        await add(house, "off", Conditions(), "crm", stop=False)
        await add(house, "never", Conditions(csid=("nobody",)), "boss@example.org")
        reception = await place.receiving()
        await place.page(reception, 1, PageEnd.EOP)
        await until(lambda: place.house.ask(_has_items, reception, 1))
        assert [row.target for row in await rows(house, reception)] == [OWNER]
        assert (await place.row(reception)).routing["missing"] == ["crm"]


async def test_a_fault_of_ours_leaves_no_fax_without_an_owner(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever fails, each time: the third time the pages go to the number's owner as they came."""
    tries = 0

    def broken(*_arguments: Any, **_more: Any) -> Any:
        nonlocal tries
        tries += 1
        raise RuntimeError("nobody thought of this")

    monkeypatch.setattr("faxgw.dispatch.routing.decide", broken)
    async with world(house) as place:
        reception = await place.receiving()
        await place.page(reception, 1, PageEnd.EOP)
        for count in range(1, routing.MAX_TRIES + 1):
            await until(lambda count=count: tries == count)  # type: ignore[misc]
            if count < routing.MAX_TRIES:
                await until(lambda: place.house.ask(_is_free, reception))
                assert await rows(house, reception) == []
            house.clock.now += routing.PAUSE + 1
            place.inbound.routing.wake()
        await until(lambda: place.house.ask(_has_items, reception, 1))
        (item,) = await rows(house, reception)
        assert (item.target, received_from_payload(item.payload).problem) == (OWNER, "tiff")
        assert tries == routing.MAX_TRIES


def _is_free(conn: Any, reception: str) -> bool:
    query = select(t.receptions.c.lease_fence).where(t.receptions.c.id == reception)
    return conn.execute(query).scalar() is None


async def test_a_rule_waits_for_the_page_that_decides_and_no_longer(house: House) -> None:
    async with world(house) as place:
        await add(house, "invoices", Conditions(text=("invoice",)), "bills@example.org")
        reception = await place.receiving()
        await place.page(reception, 1)
        await to_be_read(house, reception, 1, 2)
        await place.page(reception, 2, PageEnd.EOP)
        await until(lambda: place.house.ask(_awaits, reception))
        assert await rows(house, reception) == []
        await read(house, reception, 1, "Your INVOICE of today")
        await until(lambda: place.house.ask(_has_items, reception, 1))
        assert [row.target for row in await rows(house, reception)] == ["bills@example.org"]
        assert "reception.awaits_reading" in await house.events(reception)
        assert (await place.row(reception)).tries == 1


def _awaits(conn: Any, reception: str) -> bool:
    query = select(t.receptions.c.awaits_until).where(t.receptions.c.id == reception)
    return conn.execute(query).scalar() is not None


async def test_when_reading_takes_too_long_the_fax_goes_without_and_says_so(house: House) -> None:
    async with world(house) as place:
        await add(house, "invoices", Conditions(text=("invoice",)), "bills@example.org")
        reception = await place.receiving()
        await to_be_read(house, reception, 1)
        await place.page(reception, 1, PageEnd.EOP)
        await until(lambda: place.house.ask(_awaits, reception))
        house.clock.now += RULE_WAIT + 1
        place.inbound.routing.wake()
        await until(lambda: place.house.ask(_has_items, reception, 1))
        assert [row.target for row in await rows(house, reception)] == [OWNER]
        assert (await place.row(reception)).routing["unread"] == ["invoices"]


async def test_a_rule_that_needs_no_reading_goes_at_once(house: House) -> None:
    async with world(house) as place:
        await add(house, "quick", Conditions(csid=("+49 89*",)), "boss@example.org", position=1)
        await add(house, "slow", Conditions(text=("invoice",)), "bills@example.org", position=2)
        reception = await place.receiving()
        await to_be_read(house, reception, 1)
        await place.page(reception, 1, PageEnd.EOP)
        await until(lambda: place.house.ask(_has_items, reception, 1))
        assert [row.target for row in await rows(house, reception)] == ["boss@example.org"]


async def test_what_is_taken_out_of_the_text_is_kept_for_programs(house: House) -> None:
    async with world(house) as place:
        order = Extraction("order", r"/Order (?P<no>\d+)/")
        await add(house, "orders", Conditions(), actions=Actions(extract=(order,)))
        reception = await place.receiving()
        await to_be_read(house, reception, 1)
        await place.page(reception, 1, PageEnd.EOP)
        await until(lambda: place.house.ask(_awaits, reception))
        await read(house, reception, 1, "Order 4711")
        await until(lambda: place.house.ask(_has_items, reception, 1))
        assert (await place.row(reception)).routing["extracted"] == {"order": {"no": "4711"}}


async def test_documents_with_text_wait_for_it_and_others_do_not(house: House) -> None:
    """One fax: a mail at once, the CRM's XML when the page was read, made then and as its target wants it."""
    mails, made = Mailbox(), Made(house)
    async with world(house, mailbox=mails) as place:
        await house.do(targets.create, CRM, {}, by=BY)
        await add(house, "both", Conditions(), "crm", "owner")
        reception = await place.receiving()
        await to_be_read(house, reception, 1)
        await place.page(reception, 1, PageEnd.EOP)
        await until(lambda: place.house.ask(_has_items, reception, 2))
        held = next(row for row in await rows(house, reception) if row.kind == "received_pull")
        assert (held.state, held.detail) == ("due", routing.HELD)
        assert held.due_at > house.now + RULE_WAIT
        await read(house, reception, 1, "text")
        await until(lambda: place.house.ask(_released, held.id))
        assert [parcel.target for parcel, _octets in mails.got] == [OWNER]
        parcel = Parcel(held.id, held.kind, held.target, held.payload, held.created_at, 1)
        whole = await consigned(parcel, made)
        assert [form for form, _options in made.asked] == [Form.TIFF, Form.XML]
        assert [one.name for one in enclosed_in(whole.payload)] == ["fax.tiff", "fax.xml"]
        assert whole.payload["target"] == CRM.snapshot()


def _released(conn: Any, item: str) -> bool:
    row = conn.execute(select(t.outbox).where(t.outbox.c.id == item)).one()
    return bool(row.detail != routing.HELD)


async def test_a_dead_delivery_of_any_kind_retains_the_fax_and_tells_the_fallback_mailbox(house: House) -> None:
    async with world(house) as place:
        await house.do(targets.create, CRM, {}, by=BY)
        await add(house, "crm", Conditions(), "crm")
        reception = await place.receiving()
        await place.page(reception, 1, PageEnd.EOP)
        await until(lambda: place.house.ask(_has_items, reception, 1))
        (row,) = await rows(house, reception)
        await until(lambda: place.house.ask(_deferred, row.id))
        await house.change(update(t.outbox).where(t.outbox.c.id == row.id).values(state="dead"))
        assert await house.do(routing.settle, row.id, now=house.now) == reception
        fallback = next(one for one in await rows(house, reception) if one.kind == "received_mail")
        assert fallback.target == DESK
        report = received_from_payload(fallback.payload)
        assert (report.why.value, report.target) == ("undeliverable", "crm")
        (enclosed,) = fallback.payload["enclosed"]
        assert enclosed["file"]["key"] == (await place.row(reception)).document_key


def _deferred(conn: Any, item: str) -> bool:
    row = conn.execute(select(t.outbox).where(t.outbox.c.id == item)).one()
    return bool(row.tries == 1 and row.state == "due")


async def test_an_operator_delivers_a_fax_once_more_and_a_repeated_request_is_one(house: House) -> None:
    async with world(house) as place:
        reception = await place.receiving()
        target = mailbox("later@example.org")
        with pytest.raises(Refused, match="receiving"):
            await house.do(routing.again, reception, target, nonce="a", who="ann", now=house.now)
        await place.page(reception, 1, PageEnd.EOP)
        await until(lambda: _is(place, reception, "delivered"))
        items = [await house.do(routing.again, reception, target, nonce="a", who="ann", now=house.now) for _ in "ab"]
        other = await house.do(routing.again, reception, target, nonce="b", who="ann", now=house.now)
        assert items[0] == items[1] != other
        assert "reception.delivered_again" in await house.events(reception)
        assert await place.state(reception) == "delivered"


async def _is(place: World, reception: str, state: str) -> bool:
    return await place.state(reception) == state


class Funnel:
    """Takes jobs; a queued answer comes first."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.got: list[JobSubmission] = []

    async def submit(self, job: JobSubmission) -> JobReceipt | JobKnown | JobRefused:
        self.got.append(job)
        answer = self.answers.pop(0) if self.answers else JobReceipt(job.job)
        if isinstance(answer, Exception):
            raise answer
        found: JobReceipt | JobKnown | JobRefused = answer
        return found


async def replied(house: House, place: World, funnel: Funnel, caller: str = "+498955") -> Any:
    """Let a fax come in and its reply be dealt with; the row of the reply."""
    admission = await place.inbound.admit(replace(RINGING, caller=caller))
    assert isinstance(admission, Admission)
    reception = admission.reception
    await place.inbound.answered(reception)
    await place.page(reception, 1, PageEnd.EOP)
    await until(lambda: place.house.ask(_has_items, reception, 1))
    replying = Replying(place.inbound._seat, funnel)
    for reply in await replying._take(10):
        await replying._hand_in(reply)
    return await house.ask(replies.of, reception)


async def test_a_caller_is_faxed_a_reply_with_the_details_of_the_transmission(house: House) -> None:
    funnel = Funnel()
    async with world(house) as place:
        await add(house, "reply", Conditions(), actions=Actions(reply="thanks", language="de"))
        row = await replied(house, place, funnel)
        (job,) = funnel.got
        assert (row["state"], row["job"], row["caller"]) == ("sent", job.job, "+498955")
        assert job.recipients[0].numbers == ("+498955",)
        assert (job.cover, job.documents, job.principal.customer) == ("thanks", (), "acme")
        assert "vollständig angekommen: 1 Seite" in job.text
        assert dict(job.recipients[0].properties)["ReceivedPages"] == "1"
        assert job.owner.startswith("reply:rcv_")


@pytest.mark.parametrize(
    ("caller", "why"), [("", "withheld"), ("anonymous", "withheld"), ("08", "withheld"), (NUMBER, "our own numbers")]
)
async def test_nobody_is_replied_to_who_cannot_or_must_not_be(house: House, caller: str, why: str) -> None:
    funnel = Funnel()
    async with world(house) as place:
        await add(house, "reply", Conditions(), actions=Actions(reply="thanks"))
        row = await replied(house, place, funnel, caller)
        assert row["state"] == "not"
        assert why in row["why"]
        assert funnel.got == []


async def test_a_caller_is_replied_to_once_an_hour_and_a_few_times_a_day(house: House) -> None:
    funnel = Funnel()
    async with world(house) as place:
        await add(house, "reply", Conditions(), actions=Actions(reply="thanks"))
        assert (await replied(house, place, funnel))["state"] == "sent"
        house.clock.now += 3_000
        again = await replied(house, place, funnel)
        assert (again["state"], again["why"]) == ("not", "the caller was replied to 50 minutes ago")
        assert (await replied(house, place, funnel, "+493099"))["state"] == "sent"
        for _ in range(replies.MAX_A_DAY - 1):
            house.clock.now += 3_601
            assert (await replied(house, place, funnel))["state"] == "sent"
        house.clock.now += 3_601
        assert "times in a day" in (await replied(house, place, funnel))["why"]


async def test_a_reply_that_the_funnel_refuses_is_said_and_one_that_fails_comes_again(house: House) -> None:
    funnel = Funnel(JobRefused("unknown_cover", "There is no cover page thanks."))
    async with world(house) as place:
        await add(house, "reply", Conditions(), actions=Actions(reply="thanks"))
        row = await replied(house, place, funnel)
        assert (row["state"], row["why"]) == ("not", "There is no cover page thanks.")
        funnel = Funnel(Refused("away", temporary=True))
        row = await replied(house, place, funnel)
        assert row["state"] == "due"  # one that was refused did not count
        house.clock.now += replies.PAUSE + 1
        replying = Replying(place.inbound._seat, funnel)
        for reply in await replying._take(10):
            await replying._hand_in(reply)
        assert funnel.got[0].key == funnel.got[1].key


async def test_a_rule_can_switch_the_numbers_reply_off(house: House) -> None:
    async with world(house) as place:
        await house.change(
            update(t.numbers).values(settings={"csid": NUMBER, "deliver_to": [OWNER], "fax_reply": "thanks"})
        )
        await add(house, "quiet", Conditions(caller=("+4989*",)), actions=Actions(reply="none"))
        assert await replied(house, place, Funnel()) is None
        assert (await replied(house, place, Funnel(), "+493099"))["template"] == "thanks"
