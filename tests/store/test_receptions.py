"""Received faxes on a real store: admission, pages, ends, routing, recovery (docs/spine.md sections 4 and 5)."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from sqlalchemy import select, update

from faxgw.fax.account import AccountState
from faxgw.fax.errors import IllegalTransition, Stale
from faxgw.fax.outcome import Cause, Outcome
from faxgw.fax.ports import Admission, EnclosedFile, Ringing, StoredFile
from faxgw.fax.reception import TRANSITIONS, PageEnd, ReceivedPage, ReceptionState, Why
from faxgw.fax.target import Encryption, Target, TargetKind
from faxgw.formats.report_payload import enclosed_in, received_from_payload
from faxgw.store import directory, outbox, receptions, routing, sweep
from faxgw.store import schema as t
from faxgw.store.choosing import Onward
from faxgw.store.directory import CustomerSeed, NumberSeed
from faxgw.store.receptions import Kept, Refusal
from tests.house import NODE, House

pytestmark = pytest.mark.asyncio(loop_scope="session")

NUMBER = "+33199000099"
OWNERS = ["alice@example.org", "bob@example.org"]
FALLBACK = "desk@example.org"
SYSTEM = {"fallback_mailbox": FALLBACK}
S = ReceptionState


async def register(house: House, *, to: list[str] | None = None, **settings: Any) -> None:
    """Give acme the number."""
    own = {"csid": NUMBER, "deliver_to": OWNERS if to is None else to, **settings}
    await house.do(directory.seed, [CustomerSeed("acme", "Acme", numbers=(NumberSeed(NUMBER, settings=own),))])


async def ring(house: House, *forms: str, system: dict[str, Any] | None = None) -> Admission | Refusal:
    return await house.do(
        receptions.admit,
        f"rcv_{next(house.serial):032x}",
        Ringing("t1", "c1@peer", "0199000099", "+4989555", "Peer", {"call_id": "c1@peer"}),
        forms=forms or (NUMBER,),
        system=SYSTEM if system is None else system,
        node=NODE,
        fence=house.fence,
        now=house.now,
    )


async def ring_from(
    house: House, caller: str, *, forms: tuple[str, ...] = (NUMBER,), callers: tuple[str, ...] = (), customer: str = ""
) -> Admission | Refusal:
    ident = f"rcv_{next(house.serial):032x}"
    ringing = Ringing("t1", "c1@peer", "0199000099", caller, "", {"call_id": "c1@peer"}, customer)
    return await house.do(
        receptions.admit,
        ident,
        ringing,
        forms=forms,
        callers=callers,
        system=SYSTEM,
        node=NODE,
        fence=house.fence,
        now=house.now,
    )


async def test_a_denied_caller_is_declined_and_that_is_noted(house: House) -> None:
    await register(house, deny_callers=["+4989*", "anonymous"])
    assert await ring_from(house, "08955", callers=("+498955",)) == Refusal(
        603, "the caller is on the number's deny list (+4989*)"
    )
    assert await ring_from(house, "anonymous") == Refusal(603, "the caller withholds its number")
    assert isinstance(await ring_from(house, "+33199000001", callers=("+33199000001",)), Admission)
    assert await house.events(NUMBER) == ["reception.denied", "reception.denied"]


async def test_a_denied_machine_gets_no_confirmation_for_its_first_page(house: House) -> None:
    reception = await receiving(house, deny_idents=["+49 89*"])
    assert await keep(house, reception, 1, PageEnd.EOP) is Kept.REFUSED
    assert await state(house, reception) == S.RECEIVING
    assert "reception.denied" in await house.events(reception)
    await end(house, reception)
    assert await state(house, reception) == S.EMPTY


async def test_each_number_of_a_range_is_received_under_its_own(house: House) -> None:
    seeded = NumberSeed("+33199000100", settings={"csid": "", "deliver_to": OWNERS}, last="+33199000199")
    await house.do(directory.seed, [CustomerSeed("acme", "Acme", numbers=(seeded,))])
    admission = await ring_from(house, "+4989555", forms=("+33199000142",))
    assert isinstance(admission, Admission)
    assert admission.station_id == "+33199000142"
    (row,) = await house.rows(select(t.receptions))
    assert (row.number, row.entry) == ("+33199000142", "+33199000100")


async def test_the_trunk_of_a_customer_reaches_its_numbers_only(house: House) -> None:
    await register(house)
    assert isinstance(await ring_from(house, "+4989555", customer="acme"), Admission)
    refused = await ring_from(house, "+4989555", customer="beta")
    assert isinstance(refused, Refusal)
    assert refused.status == 404


async def test_the_callers_sub_address_is_kept_with_the_first_page(house: House) -> None:
    reception = await receiving(house)
    page = ReceivedPage(1, 2200, 1728, 8031, 7700, 0, "MMR", PageEnd.EOP, "+49 89 555", "4711")
    await house.do(receptions.page, reception, page, await house.keep(b"II*\0"), fence=house.fence, now=house.now)
    (row,) = await house.rows(select(t.receptions))
    assert row.sub_address == "4711"


async def receiving(house: House, **settings: Any) -> str:
    await register(house, **settings)
    admission = await ring(house)
    assert isinstance(admission, Admission)
    assert await house.do(receptions.answered, admission.reception, fence=house.fence, now=house.now)
    return admission.reception


async def keep(
    house: House, reception: str, number: int, end: PageEnd = PageEnd.MPS, file: StoredFile | None = None, **more: Any
) -> Kept:
    page = ReceivedPage(number, 2200, 1728, 8031, 7700, 0, "MMR", end, ident="+49 89 555")
    kept = file or await house.keep(b"II*\0 page %d" % number)
    return await house.do(receptions.page, reception, page, kept, fence=more.get("fence", house.fence), now=house.now)


async def end(house: House, reception: str, acknowledged: int = 99, farewell: bool = True, **more: Any) -> Any:
    outcome = more.pop("outcome", Outcome(Cause.OK, transport="t38"))
    return await house.do(
        receptions.ended,
        reception,
        outcome,
        acknowledged=acknowledged,
        farewell=farewell,
        fence=more.get("fence", house.fence),
        now=house.now,
    )


async def state(house: House, reception: str) -> str:
    return str((await house.ask(receptions.row_of, reception)).state)


async def route(house: House, reception: str, problem: str = "", onward: tuple[Onward, ...] = ()) -> bool:
    (leased,) = await house.do(routing.lease, fence=house.fence, now=house.now, limit=10)
    assert leased.id == reception
    pdf = await house.keep(b"%PDF-1.4 fax")
    return await house.do(
        routing.route,
        reception,
        document=pdf,
        enclosed=(EnclosedFile("fax.pdf", "application/pdf", pdf),),
        thumbnail=b"PNG",
        problem=problem,
        onward=onward,
        fence=house.fence,
        now=house.now,
    )


async def items(house: House, reception: str) -> list[Any]:
    query = select(t.outbox).where(t.outbox.c.reception == reception).order_by(t.outbox.c.created_at, t.outbox.c.target)
    return list(await house.rows(query))


async def deliver(house: House, item: str, *, dead: bool = False) -> str | None:
    """One item to its end, and what its reception makes of it, in one transaction."""
    await house.do(outbox.lease, fence=house.fence, now=house.now, limit=10)

    def unit(conn: Any) -> str | None:
        if dead:
            assert outbox.failed(
                conn, item, fence=house.fence, now=house.now, permanent=True, detail="550 no such user"
            )
        else:
            outbox.done(conn, item, fence=house.fence, now=house.now)
        return routing.settle(conn, item, now=house.now)

    return await house.store.run(unit)


# ------------------------------------------------------------------------------------------------------ admission


async def test_a_number_of_ours_is_admitted_and_its_row_is_there(house: House) -> None:
    """Spine section 1: the row before 200 OK, with what says BYE after a crash."""
    await register(house)
    admission = await ring(house, "+990199000099", NUMBER)
    assert isinstance(admission, Admission)
    assert (admission.station_id, admission.ecm, admission.max_bit_rate) == (NUMBER, True, 14400)
    row = await house.ask(receptions.row_of, admission.reception)
    assert (row.state, row.customer, row.number, row.caller) == ("ringing", "acme", NUMBER, "+4989555")
    assert row.dialog == {"call_id": "c1@peer"}
    assert await house.events(admission.reception) == ["reception.ringing"]


@pytest.mark.parametrize(
    "changed, status",
    [
        (update(t.numbers).values(state=AccountState.SUSPENDED), 480),
        (update(t.numbers).values(state=AccountState.ENDED), 404),
        (update(t.customers).values(state=AccountState.SUSPENDED), 480),
        (update(t.customers).values(state=AccountState.ENDED), 404),
    ],
)
async def test_a_closed_account_refuses(house: House, changed: Any, status: int) -> None:
    await register(house)
    await house.change(changed)
    refusal = await ring(house)
    assert isinstance(refusal, Refusal) and refusal.status == status
    assert await house.rows(select(t.receptions)) == []


async def test_an_account_that_may_not_send_still_receives(house: House) -> None:
    await register(house)
    await house.change(update(t.customers).values(state=AccountState.OUTBOUND_SUSPENDED))
    assert isinstance(await ring(house), Admission)


async def test_an_unknown_number_is_not_found(house: House) -> None:
    await register(house)
    for forms in (("+33199000098",), ("+1", "+2")):
        refusal = await ring(house, *forms)
        assert isinstance(refusal, Refusal) and refusal.status == 404


async def test_nobody_to_deliver_to_is_no_reason_to_answer(house: House) -> None:
    """Never without an owner: a fax nobody would get is not taken."""
    await register(house, to=[])
    refusal = await ring(house, system={})
    assert isinstance(refusal, Refusal) and refusal.status == 480
    assert isinstance(await ring(house), Admission)


async def test_the_same_admission_twice_is_one_row(house: House) -> None:
    """A unit may be run again."""
    await register(house)
    ringing = Ringing("t1", "c", NUMBER, "", "", {})
    for _ in range(2):
        await house.do(
            receptions.admit, "rcv_1", ringing, forms=(NUMBER,), system=SYSTEM, node=NODE, fence=1, now=house.now
        )
    assert len(await house.rows(select(t.receptions))) == 1


# ---------------------------------------------------------------------------------------------------------- pages


async def test_a_reception_moves_exactly_along_the_table(house: House) -> None:
    reception = await receiving(house)
    for old, new in itertools.product(S, S):
        await house.change(update(t.receptions).values(state=old.value))
        if (old, new) in TRANSITIONS:
            await house.do(receptions.move, reception, new, now=house.now)
            assert await state(house, reception) == new
        else:
            with pytest.raises(IllegalTransition):
                await house.do(receptions.move, reception, new, now=house.now)


async def test_the_last_page_completes_the_reception_in_its_own_transaction(house: House) -> None:
    """Spine section 4: delivery may start while the call is still saying goodbye."""
    reception = await receiving(house)
    assert await keep(house, reception, 1) is Kept.ADDED
    assert await state(house, reception) == "receiving"
    assert await keep(house, reception, 2, PageEnd.EOP) is Kept.ADDED
    row = await house.ask(receptions.row_of, reception)
    assert (row.state, row.pages, row.ident, row.ended_at) == ("complete", 2, "+49 89 555", None)
    assert await end(house, reception, 2) is S.COMPLETE
    assert await house.events(reception) == [
        "reception.ringing",
        "reception.receiving",
        "reception.page",
        "reception.page",
        "reception.complete",
        "reception.ended",
    ]


async def test_the_same_page_again_is_acknowledged_and_not_added(house: House) -> None:
    reception = await receiving(house)
    file = await house.keep(b"II*\0 the same")
    again = StoredFile("objects/00/" + "0" * 32 + ".n1.1", file.sha256, file.size)
    assert await keep(house, reception, 1, file=file) is Kept.ADDED
    assert await keep(house, reception, 1, file=again) is Kept.KNOWN
    assert await keep(house, reception, 1) is Kept.REFUSED
    rows = await house.rows(select(t.reception_pages))
    assert [(row.page, row.key) for row in rows] == [(1, file.key)]


async def test_the_last_page_again_is_acknowledged_though_it_completed_the_reception(house: House) -> None:
    reception = await receiving(house)
    file = await house.keep(b"II*\0 last")
    assert await keep(house, reception, 1, PageEnd.EOP, file) is Kept.ADDED
    assert await keep(house, reception, 1, PageEnd.EOP, file) is Kept.KNOWN


async def test_a_page_out_of_order_or_before_the_answer_is_refused(house: House) -> None:
    await register(house)
    admission = await ring(house)
    assert isinstance(admission, Admission)
    assert await keep(house, admission.reception, 1) is Kept.REFUSED
    await house.do(receptions.answered, admission.reception, fence=house.fence, now=house.now)
    assert await keep(house, admission.reception, 2) is Kept.REFUSED
    assert await house.rows(select(t.reception_pages)) == []


async def test_a_late_page_is_kept_and_not_confirmed(house: House) -> None:
    """Spine section 5: after the call's end, or under a lost fence."""
    reception = await receiving(house)
    await keep(house, reception, 1)
    await end(house, reception, 1)
    assert await state(house, reception) == "partial"
    assert await keep(house, reception, 2) is Kept.LATE
    rows = await house.rows(select(t.reception_pages).order_by(t.reception_pages.c.page))
    assert [(row.page, row.confirmed) for row in rows] == [(1, True), (2, False)]
    assert "late.page" in await house.events(reception)


async def test_a_lost_fence_confirms_nothing(house: House) -> None:
    reception = await receiving(house)
    old = house.fence
    await house.next_life()
    assert await keep(house, reception, 1, fence=old) is Kept.LATE
    assert not await house.do(receptions.answered, reception, fence=old, now=house.now)
    assert await end(house, reception, fence=house.fence) is None


async def test_the_answer_twice_is_one_transition(house: House) -> None:
    reception = await receiving(house)
    assert await house.do(receptions.answered, reception, fence=house.fence, now=house.now)
    assert (await house.events(reception)).count("reception.receiving") == 1


# ----------------------------------------------------------------------------------------------------------- ends


@pytest.mark.parametrize(
    "ends, expected",
    [
        ([], S.EMPTY),
        ([PageEnd.MPS], S.PARTIAL),
        ([PageEnd.MPS, PageEnd.MPS], S.PARTIAL),
        ([PageEnd.EOM], S.COMPLETE),
        ([PageEnd.EOM, PageEnd.MPS], S.PARTIAL),
        ([PageEnd.MPS, PageEnd.EOP], S.COMPLETE),
    ],
)
async def test_the_end_of_the_call_closes_by_the_pages(house: House, ends: list[PageEnd], expected: S) -> None:
    """Spine section 4: EOM alone goes on in the same reception."""
    reception = await receiving(house)
    for number, page_end in enumerate(ends, 1):
        await keep(house, reception, number, page_end)
    assert await end(house, reception, len(ends)) is expected
    assert await end(house, reception, len(ends)) is None


async def test_a_call_that_ends_while_it_rings_is_empty(house: House) -> None:
    await register(house)
    admission = await ring(house)
    assert isinstance(admission, Admission)
    assert await end(house, admission.reception, outcome=Outcome(Cause.REMOTE_HUNG_UP)) is S.EMPTY


async def test_a_page_whose_release_came_too_late_is_kept_unconfirmed(house: House) -> None:
    """Spine section 5: an acknowledgement after the 2 s."""
    reception = await receiving(house)
    await keep(house, reception, 1)
    await keep(house, reception, 2)
    assert await end(house, reception, 1, farewell=False) is S.PARTIAL
    rows = await house.rows(select(t.reception_pages).order_by(t.reception_pages.c.page))
    assert [row.confirmed for row in rows] == [True, False]
    row = await house.ask(receptions.row_of, reception)
    assert (row.farewell, row.cause) == (False, "ok")
    await route(house, reception)
    report = received_from_payload((await items(house, reception))[0].payload)
    assert (report.complete, report.pages, report.unconfirmed) == (False, 2, (2,))


# ------------------------------------------------------------------------------------------------------- recovery


async def test_recovery_closes_by_the_pages_and_is_idempotent(house: House) -> None:
    """Spine section 4: recovery closes ringing and receiving by their pages."""
    first = await receiving(house)
    await keep(house, first, 1)
    admission = await ring(house)
    assert isinstance(admission, Admission)
    assert await house.ask(receptions.open_strangers) == []
    await house.next_life()
    strangers = await house.ask(receptions.open_strangers)
    assert {row.id for row in strangers} == {first, admission.reception}
    assert strangers[0].dialog == {"call_id": "c1@peer"}
    for _ in range(2):
        assert await house.do(receptions.recover, first, now=house.now) is S.PARTIAL
        assert await house.do(receptions.recover, admission.reception, now=house.now) is S.EMPTY
    assert await house.ask(receptions.open_strangers) == []
    assert (await house.events(first)).count("reception.interrupted") == 1
    assert await route(house, first)


async def test_a_lost_lease_of_the_routing_comes_back(house: House) -> None:
    reception = await receiving(house)
    await keep(house, reception, 1, PageEnd.EOP)
    assert len(await house.do(routing.lease, fence=house.fence, now=house.now, limit=10)) == 1
    assert await house.do(routing.lease, fence=house.fence, now=house.now, limit=10) == []
    await house.next_life()
    (leased,) = await house.do(routing.lease, fence=house.fence, now=house.now, limit=10)
    assert (leased.id, leased.tries, len(leased.pages)) == (reception, 2, 1)


# -------------------------------------------------------------------------------------------------------- routing


async def test_routing_writes_one_item_for_each_mailbox(house: House) -> None:
    reception = await receiving(house, language="fr", time_zone="Europe/Paris")
    await keep(house, reception, 1, PageEnd.EOP)
    assert await route(house, reception)
    assert not await house.do(
        routing.route, reception, document=None, enclosed=(), thumbnail=b"", problem="", fence=house.fence, now=0.0
    )
    rows = await items(house, reception)
    assert [(row.kind, row.target, row.state) for row in rows] == [("received_mail", a, "due") for a in OWNERS]
    report = received_from_payload(rows[0].payload)
    assert (report.number, report.ident, report.caller) == (NUMBER, "+49 89 555", "+4989555")
    assert (report.complete, report.pages, report.why, report.language) == (True, 1, Why.OWNER, "fr")
    (file,) = enclosed_in(rows[0].payload)
    row = await house.ask(receptions.row_of, reception)
    assert (row.state, row.document_key) == ("routed", file.file.key)
    assert await house.ask(routing.thumbnail_of, reception) == b"PNG"


@pytest.mark.parametrize("told", [False, True])
async def test_a_second_copy_is_flagged_when_the_sender_may_not_know_of_the_first(house: House, told: bool) -> None:
    """Spine section 4: our last MCF was not followed by DCN."""
    first = await receiving(house)
    await keep(house, first, 1, PageEnd.EOP)
    await end(house, first, 1, farewell=told)
    await route(house, first)
    assert received_from_payload((await items(house, first))[0].payload).again_of == ""
    house.clock.now += 600
    second = await receiving(house)
    await keep(house, second, 1, PageEnd.EOP)
    await route(house, second)
    report = received_from_payload((await items(house, second))[0].payload)
    assert report.again_of == ("" if told else first)


async def test_a_number_without_an_owner_goes_to_the_fallback_mailbox(house: House) -> None:
    reception = await receiving(house, to=[])
    await keep(house, reception, 1, PageEnd.EOP)
    await route(house, reception)
    (row,) = await items(house, reception)
    assert row.target == FALLBACK
    assert received_from_payload(row.payload).why is Why.NO_OWNER


async def test_all_done_is_delivered(house: House) -> None:
    reception = await receiving(house)
    await keep(house, reception, 1, PageEnd.EOP)
    await route(house, reception)
    first, second = [row.id for row in await items(house, reception)]
    assert await deliver(house, first) is None
    assert await state(house, reception) == "routed"
    assert await deliver(house, second) is None
    row = await house.ask(receptions.row_of, reception)
    assert (row.state, row.finished_at) == ("delivered", house.now)


async def test_one_dead_is_retained_and_the_fallback_mailbox_gets_it(house: House) -> None:
    reception = await receiving(house)
    await keep(house, reception, 1, PageEnd.EOP)
    await route(house, reception)
    first, second = [row.id for row in await items(house, reception)]
    assert await deliver(house, first, dead=True) == reception
    assert await deliver(house, second) is None
    assert await state(house, reception) == "retained"
    fallback = next(row for row in await items(house, reception) if row.target == FALLBACK)
    report = received_from_payload(fallback.payload)
    assert (report.why, report.target) == (Why.UNDELIVERABLE, OWNERS[0])
    assert enclosed_in(fallback.payload)
    assert await deliver(house, fallback.id) is None
    assert await house.ask(routing.count_by_state) == {"retained": 1}


@pytest.mark.parametrize("in_clear", [False, True])
@pytest.mark.parametrize("kind, how", [("mail", "password"), ("folder", "pgp")])
async def test_the_fallback_mailbox_is_only_told_of_what_was_to_be_encrypted(
    house: House, kind: str, how: str, in_clear: bool
) -> None:
    """A delivery that is given up does not lift the promise of encryption, unless a setting says so."""
    settings = {"fallback_in_clear": True} if in_clear else {}
    reception = await receiving(house, **settings)
    await keep(house, reception, 1, PageEnd.EOP)
    address = "owner@example.org" if kind == "mail" else "/srv/fax"
    to = Target("tgt_1", "acme", "theirs", TargetKind(kind), address, encryption=Encryption(how), recipient_key="key")
    await route(house, reception, onward=(Onward(to),))
    (first,) = await items(house, reception)
    assert await deliver(house, first.id, dead=True) == reception
    assert await state(house, reception) == "retained"
    fallback = next(row for row in await items(house, reception) if row.target == FALLBACK)
    report = received_from_payload(fallback.payload)
    assert (report.why, report.target) == (Why.UNDELIVERABLE if in_clear else Why.SEALED, address)
    assert len(enclosed_in(fallback.payload)) == in_clear
    assert fallback.payload["made"] is True  # or documents would be made for it before its first try
    row = await house.ask(receptions.row_of, reception)
    assert row.document_key and row.purge_at is None  # it can be fetched until its days are over


async def test_a_dead_fallback_ends_in_an_alarm_and_no_loop(house: House) -> None:
    reception = await receiving(house, to=[])
    await keep(house, reception, 1, PageEnd.EOP)
    await route(house, reception)
    (row,) = await items(house, reception)
    assert await deliver(house, row.id, dead=True) == reception
    assert len(await items(house, reception)) == 1


async def test_another_items_end_settles_nothing(house: House) -> None:
    await house.do(outbox.put, "out_1", "status_mail", "a@example.org", customer="acme", payload={}, now=house.now)
    assert await deliver(house, "out_1", dead=True) is None


async def test_what_could_not_be_made_is_tried_again_after_a_pause(house: House) -> None:
    reception = await receiving(house)
    await keep(house, reception, 1, PageEnd.EOP)
    await house.do(routing.lease, fence=house.fence, now=house.now, limit=10)
    await house.do(routing.put_back, reception, fence=house.fence, now=house.now, why="no page process")
    assert await house.do(routing.lease, fence=house.fence, now=house.now, limit=10) == []
    assert await house.ask(routing.next_due) == house.now + routing.PAUSE
    house.clock.now += routing.PAUSE
    (leased,) = await house.do(routing.lease, fence=house.fence, now=house.now, limit=10)
    assert leased.tries == 2


async def test_the_sweep_knows_pages_and_documents(house: House) -> None:
    reception = await receiving(house)
    page = await house.keep(b"II*\0 page")
    await keep(house, reception, 1, PageEnd.EOP, page)
    await route(house, reception)
    document = (await house.ask(receptions.row_of, reception)).document_key
    stray = await house.keep(b"nobody's")
    assert await house.ask(sweep.known_keys, [page.key, document, stray.key]) == {page.key, document}


async def test_the_inbox_shows_what_holds_pages_and_one_in_detail(house: House) -> None:
    reception = await receiving(house)
    empty = await receiving(house)
    await end(house, empty, 0)
    await keep(house, reception, 1, PageEnd.EOP)
    await route(house, reception)
    assert [row["id"] for row in await house.ask(routing.inbox, limit=10, everything=False)] == [reception]
    assert len(await house.ask(routing.inbox, limit=10, everything=True)) == 2
    found = await house.ask(routing.detail, reception)
    assert [page["page"] for page in found["pages"]] == [1]
    assert [d["target"] for d in found["deliveries"]] == OWNERS
    assert found["events"][0]["what"] == "reception.ringing"


async def test_a_reception_that_does_not_exist_is_said_so(house: House) -> None:
    with pytest.raises(Stale):
        await house.ask(receptions.row_of, "rcv_none")
