"""What a 250 promised, on a real store (docs/spine.md section 5)."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select, update

from faxgw.fax.job import FaxState, Wish
from faxgw.fax.outcome import Cause, Outcome
from faxgw.fax.ports import Principal
from faxgw.store import messages
from faxgw.store import schema as t
from tests.house import ALICE, House

pytestmark = pytest.mark.asyncio(loop_scope="session")

FAR, OTHER, THIRD = "+33199000001", "+33199000002", "+33199000003"


async def lease(house: House) -> Any:
    return await house.do(messages.lease, fence=house.fence, now=house.now, limit=10)


async def refuse(house: House, message: str, fence: int | None = None) -> None:
    await house.do(
        messages.refuse,
        message,
        fence=house.fence if fence is None else fence,
        now=house.now,
        reason="The mail is empty.",
        our_fault=False,
        targets={"out_1": ALICE, "out_2": "bert@example.org"},
        payload={"version": 1},
    )


async def people(house: House, message: str) -> list[tuple[str, str | None]]:
    query = select(t.message_recipients).where(t.message_recipients.c.message == message)
    rows = await house.rows(query.order_by(t.message_recipients.c.position))
    return [(row.number_e164, row.duplicate_of) for row in rows]


async def test_an_accepted_mail_waits_to_be_walked_with_all_that_was_promised(house: House) -> None:
    mail = await house.mail(FAR, OTHER)
    assert await house.accept(mail) == ""
    (found,) = await lease(house)
    assert (found.id, found.owner, found.sender, found.tries, found.file) == (mail.message, ALICE, ALICE, 1, mail.file)
    assert [(r.position, r.e164, r.linked) for r in found.recipients] == [(1, FAR, False), (2, OTHER, False)]
    assert await house.events(mail.message) == ["message.received"]


async def test_a_unit_run_again_after_an_uncertain_commit_finds_its_own_message(house: House) -> None:
    mail = await house.mail(FAR)
    assert await house.accept(mail) == ""
    assert await house.accept(mail) == ""
    assert len(await house.rows(select(t.messages))) == 1


async def test_the_same_mail_again_is_linked_to_the_first_and_not_sent(house: House) -> None:
    first, again = await house.mail(FAR, OTHER), await house.mail(FAR, OTHER)
    await house.accept(first)
    assert await house.accept(again) == first.message
    assert len(await house.rows(select(t.messages))) == 1
    assert "message.duplicate" in await house.events(first.message)


async def test_known_recipients_are_linked_and_unknown_ones_are_new(house: House) -> None:
    """Spine section 5: the key is per recipient."""
    first, mixed = await house.mail(FAR, OTHER), await house.mail(OTHER, THIRD)
    await house.accept(first)
    assert await house.accept(mixed) == ""
    assert await people(house, mixed.message) == [(OTHER, first.message), (THIRD, None)]
    assert len(await house.walk(mixed.message)) == 1


async def test_mails_committed_together_are_each_what_they_would_be_alone(house: House) -> None:
    before = await house.mail(THIRD)
    await house.accept(before)
    first, again, mixed, other, known = [
        await house.mail(*numbers, message_id=message_id)
        for numbers, message_id in (
            ((FAR, OTHER), "<1@example.org>"),
            ((FAR, OTHER), "<1@example.org>"),
            ((OTHER, "+33199000004"), "<1@example.org>"),
            ((FAR,), "<2@example.org>"),
            ((THIRD,), "<1@example.org>"),
        )
    ]
    together = [first, again, mixed, other, known]
    answers = ["", first.message, "", "", before.message]
    assert await house.do(messages.accept_all, together) == answers
    assert await people(house, first.message) == [(FAR, None), (OTHER, None)]
    assert await people(house, mixed.message) == [(OTHER, first.message), ("+33199000004", None)]
    assert await people(house, other.message) == [(FAR, None)]
    assert await house.events(first.message) == ["message.received", "message.duplicate"]
    assert len(await house.rows(select(t.messages))) == 4
    assert await house.do(messages.accept_all, together) == answers  # after an uncertain commit
    assert len(await house.rows(select(t.messages))) == 4


async def test_a_recipient_that_stands_twice_in_one_mail_gets_one_fax(house: House) -> None:
    mail = await house.mail(FAR, FAR)
    assert await house.accept(mail) == ""
    assert await people(house, mail.message) == [(FAR, None), (FAR, mail.message)]
    assert len(await house.walk(mail.message)) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"content": b"Subject: another\r\n\r\n"},
        {"message_id": "<2@example.org>"},
        {"sender": "bert@example.org"},
        {"principal": Principal("beta", "", "", ALICE, "network")},
        {"principal": Principal("acme", "acme/bert", "bert", ALICE, "auth")},
    ],
)
async def test_another_mail_sender_owner_or_customer_is_no_duplicate(house: House, changed: dict[str, Any]) -> None:
    await house.accept(await house.mail(FAR))
    assert await house.accept(await house.mail(FAR, **changed)) == ""
    assert len(await house.rows(select(t.messages))) == 2


@pytest.mark.parametrize("later, linked", [(0.0, True), (86400.0, True), (86401.0, False)])
async def test_a_mail_is_known_for_24_hours(house: House, later: float, linked: bool) -> None:
    first = await house.mail(FAR)
    await house.accept(first)
    house.clock.now += later
    assert (await house.accept(await house.mail(FAR)) == first.message) == linked
    assert await house.do(messages.forget_old_keys, now=house.now) == 0
    assert await house.do(messages.forget_old_keys, now=house.now + 86402) == 1


@pytest.mark.parametrize("state", list(FaxState))
async def test_a_duplicate_is_new_only_after_the_first_failed_expired_or_was_cancelled(
    house: House, state: FaxState
) -> None:
    first = await house.mail(FAR)
    await house.accept(first)
    await house.walk(first.message)
    await house.change(update(t.faxes).values(state=state.value))
    new = state in (FaxState.FAILED, FaxState.EXPIRED, FaxState.CANCELLED)
    answer = await house.accept(await house.mail(FAR))
    assert answer == ("" if new else first.message)


async def test_after_a_failure_the_new_mail_is_the_one_that_is_known(house: House) -> None:
    first, second = await house.mail(FAR), await house.mail(FAR)
    await house.accept(first)
    (fax,) = await house.walk(first.message)
    await house.wish(fax, Wish.CANCEL)
    assert await house.accept(second) == ""
    assert await house.accept(await house.mail(FAR)) == second.message


async def test_a_refusal_tells_the_owner_once_and_frees_the_keys(house: House) -> None:
    mail = await house.mail(FAR)
    await house.accept(mail)
    await refuse(house, mail.message)
    assert await house.outbox() == [], "not under our lease"
    await lease(house)
    for _ in range(2):
        await refuse(house, mail.message)
    items = await house.outbox()
    assert sorted((i.kind, i.target, i.message) for i in items) == [
        ("refused_mail", ALICE, mail.message),
        ("refused_mail", "bert@example.org", mail.message),
    ]
    assert (await house.rows(select(t.messages.c.state, t.messages.c.reason)))[0] == ("refused", "The mail is empty.")
    assert await house.accept(await house.mail(FAR)) == ""


async def test_a_leased_message_comes_back_after_its_lease_or_with_the_next_life(house: House) -> None:
    await house.accept(await house.mail(FAR))
    assert [m.tries for m in await lease(house)] == [1]
    assert await lease(house) == []
    house.clock.now += messages.LEASE + 1
    assert [m.tries for m in await lease(house)] == [2]
    await house.next_life()
    assert [m.tries for m in await lease(house)] == [3]


async def test_a_walk_put_back_waits_and_counts_its_try_unless_the_fault_was_the_disks(house: House) -> None:
    mail = await house.mail(FAR)
    await house.accept(mail)
    await lease(house)
    await house.do(messages.put_back, mail.message, fence=house.fence, now=house.now, why="busy", uncounted=1)
    assert await lease(house) == []
    assert await house.ask(messages.next_walk) == house.now + messages.PAUSE
    house.clock.now += messages.PAUSE
    assert [m.tries for m in await lease(house)] == [1]
    await house.do(messages.put_back, mail.message, fence=house.fence, now=house.now, why="died")
    house.clock.now += messages.PAUSE
    assert [m.tries for m in await lease(house)] == [2]


async def test_an_orderly_stop_gives_leases_back_without_counting_them(house: House) -> None:
    await house.accept(await house.mail(FAR))
    await lease(house)
    await house.do(messages.release_all, fence=house.fence)
    assert [m.tries for m in await lease(house)] == [1]


async def test_a_mail_of_the_operator_without_sender_has_an_owner(house: House) -> None:
    mail = await house.mail(FAR, principal=Principal("acme", "", "", "", "operator"), sender="")
    await house.accept(mail)
    assert [m.owner for m in await lease(house)] == ["operator"]


async def test_an_unknown_fax_keeps_its_key(house: House) -> None:
    """Spine section 5: a fax that may have arrived is not sent again by a retry of the same mail."""
    first = await house.mail(FAR)
    await house.accept(first)
    (fax,) = await house.walk(first.message, ready=True)
    attempt = await house.plan(fax)
    await house.answer(attempt)
    await house.expose(attempt, fax)
    await house.done(attempt, Outcome(Cause.LINE_FAULT, worker_died=True))
    assert await house.state(fax) == "unknown"
    assert await house.accept(await house.mail(FAR)) == first.message
