"""A call somebody places to us, until its answer stands (RFC 3261 sections 9, 13.3 and 15, RFC 3262 section 3)."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faxgw.foip.errors import LocalProtocolError
from faxgw.foip.events import Acknowledged, By, Ended, IncomingCall
from faxgw.foip.message import Request, Response
from faxgw.foip.sdp import Origin, audio_line, offer
from tests.foip.scripted import Scripted, field, kinds
from tests.foip.wire import AUDIO, AUDIO_ANSWER, CALLER, FAX_ANSWER

REQUIRED = ("Require", "100rel")
SUPPORTED = ("Supported", "100rel")
EARLY = offer(Origin(11, 1, CALLER[0]), audio_line(30500))


def only(far: Scripted) -> Response:
    (message,) = far.sent()
    assert isinstance(message, Response)
    return message


def ringing(*fields: tuple[str, str]) -> tuple[Scripted, Response]:
    """A call that rings reliably, and our 180."""
    far = Scripted()
    assert len(far.invite(*fields)) == 1
    far.sent()
    far.agent.ring(far.call, far.now)
    return far, only(far)


def prack(far: Scripted, provisional: Response, *more: tuple[str, str]) -> Response:
    return far.ask("PRACK", ("RAck", f"{field(provisional, 'RSeq')} {provisional.cseq}"), *more)


# Reliable ringing


def test_who_requires_it_hears_180_until_prack() -> None:
    """RFC 3262 section 3: T1, doubled each time; our CSeq space is not touched."""
    far, first = ringing(REQUIRED)
    assert (first.status, field(first, "Require")) == (180, "100rel")
    assert 1 <= int(field(first, "RSeq")) < 2**31
    assert "Contact" in first.headers
    far.wait(3.6)
    repeated = far.sent()
    assert [message.to_bytes() for message in repeated] == [first.to_bytes()] * 3  # 0.5, 1.5, 3.5
    assert prack(far, first).status == 200
    far.wait(60.0)
    assert far.sent() == []
    far.agent.answer(far.call, AUDIO, far.now)
    assert only(far).status == 200


def test_who_only_supports_it_hears_180_once() -> None:
    far, first = ringing(SUPPORTED)
    assert "RSeq" not in first.headers
    far.wait(60.0)
    assert far.sent() == []


def test_without_a_prack_the_call_is_refused_with_504() -> None:
    """RFC 3262 section 3: after 64·T1 a 5xx."""
    far, _ = ringing(REQUIRED)
    far.wait(31.9)
    far.sent()
    far.wait(0.2)
    assert far.names() == ["504 INVITE"]
    assert far.events() == [Ended(far.call, By.TIMEOUT, "no PRACK")]


def test_a_prack_that_means_nothing_is_refused() -> None:
    """RFC 3262 section 3: 481 for another response, another INVITE, or a second time; 400 without a RAck."""
    far, first = ringing(REQUIRED)
    assert far.ask("PRACK", ("RAck", f"{int(field(first, 'RSeq')) + 1} {first.cseq}")).status == 481
    assert far.ask("PRACK", ("RAck", f"{field(first, 'RSeq')} {first.cseq.number + 1} INVITE")).status == 481
    assert far.ask("PRACK").status == 400
    assert prack(far, first).status == 200
    assert prack(far, first).status == 481


def test_ringing_again_waits_for_the_prack_and_counts_up() -> None:
    """RFC 3262 section 3: no second one before the first is acknowledged; RSeq rises by one."""
    far, first = ringing(REQUIRED)
    far.agent.ring(far.call, far.now)
    assert far.sent() == []
    prack(far, first)
    far.agent.ring(far.call, far.now)
    assert int(field(only(far), "RSeq")) == int(field(first, "RSeq")) + 1


def test_a_2xx_need_not_wait_for_the_prack_of_a_bare_180() -> None:
    """RFC 3262 section 3; the 180 is repeated no more, and a late PRACK is granted."""
    far, first = ringing(REQUIRED)
    far.agent.answer(far.call, AUDIO, far.now)
    assert only(far).status == 200
    assert prack(far, first).status == 200
    far.send("ACK", seq=first.cseq.number)
    assert far.events() == [Acknowledged(far.call, None)]
    far.wait(60.0)
    assert far.sent() == []


def test_a_caller_without_an_offer_that_requires_it_is_not_rung() -> None:
    """RFC 3262 section 5: the first reliable response would have to bear our offer, which is in the 2xx instead."""
    far = Scripted()
    far.invite(REQUIRED, sdp=None)
    far.sent()
    far.agent.ring(far.call, far.now)
    assert far.sent() == []
    far.agent.answer(far.call, AUDIO, far.now)
    assert only(far).body == AUDIO.to_bytes()
    far.send("ACK", sdp=AUDIO_ANSWER)
    assert far.events() == [Acknowledged(far.call, AUDIO_ANSWER)]


# Early answers


def test_a_2xx_waits_for_the_prack_of_an_early_answer_and_bears_none() -> None:
    """RFC 3262 sections 3 and 5."""
    far = Scripted()
    far.invite(SUPPORTED)
    far.sent()
    far.agent.ring(far.call, far.now, EARLY)
    early = only(far)
    assert (early.status, early.body) == (183, EARLY.to_bytes())
    far.agent.answer(far.call, AUDIO, far.now)
    assert far.sent() == []
    with pytest.raises(LocalProtocolError):
        far.agent.answer(far.call, AUDIO, far.now)
    far.send("PRACK", ("RAck", f"{field(early, 'RSeq')} {early.cseq}"))
    granted, answer = far.sent()
    assert isinstance(granted, Response) and isinstance(answer, Response)
    assert (granted.cseq.method, granted.status) == ("PRACK", 200)
    assert (answer.cseq.method, answer.status, answer.body) == ("INVITE", 200, b"")
    far.send("ACK", seq=answer.cseq.number)
    refreshed = far.ask("INVITE", sdp=AUDIO_ANSWER)
    assert refreshed.body == EARLY.to_bytes()


def test_an_early_answer_needs_an_offer_and_prack() -> None:
    for fields, sdp in (((), AUDIO_ANSWER), ((SUPPORTED,), None)):
        far = Scripted()
        far.invite(*fields, sdp=sdp)
        with pytest.raises(LocalProtocolError):
            far.agent.ring(far.call, far.now, EARLY)


def test_hanging_up_while_the_answer_waits_refuses_the_call() -> None:
    far = Scripted()
    far.invite(SUPPORTED)
    far.agent.ring(far.call, far.now, EARLY)
    far.agent.answer(far.call, AUDIO, far.now)
    far.sent()
    far.agent.bye(far.call, far.now)
    assert far.names() == ["480 INVITE"]
    assert far.events() == [Ended(far.call, By.LOCAL, "bye")]
    assert far.agent.calls == 0


def test_a_cancel_still_reaches_a_call_whose_answer_waits() -> None:
    """RFC 3261 section 9.2: there was no final response."""
    far = Scripted()
    far.invite(SUPPORTED)
    far.agent.ring(far.call, far.now, EARLY)
    far.agent.answer(far.call, AUDIO, far.now)
    far.sent()
    far.cancel()
    assert far.names() == ["200 CANCEL", "487 INVITE"]
    assert far.events() == [Ended(far.call, By.REMOTE, "cancel")]


def test_a_further_offer_in_a_prack_is_refused_but_counts() -> None:
    """RFC 3262 section 5."""
    far, first = ringing(REQUIRED)
    answer = far.ask("PRACK", ("RAck", f"{field(first, 'RSeq')} {first.cseq}"), sdp=FAX_ANSWER)
    assert answer.status == 488
    far.wait(60.0)
    assert far.sent() == []


# In the early dialog


def test_a_bye_before_the_answer_ends_the_invite_too() -> None:
    """RFC 3261 section 15.1.2: 487 for the INVITE."""
    far, _ = ringing()
    far.send("BYE")
    assert far.names() == ["200 BYE", "487 INVITE"]
    assert far.events() == [Ended(far.call, By.REMOTE, "bye")]
    assert far.agent.calls == 0


def test_changes_before_the_answer_come_too_early() -> None:
    """RFC 3261 section 14.2, RFC 3311 section 5.2: the offer has no answer."""
    far, _ = ringing()
    for method in ("INVITE", "UPDATE"):
        answer = far.ask(method, sdp=FAX_ANSWER)
        assert answer.status == 500
        assert "Retry-After" in answer.headers
        if method == "INVITE":
            far.send("ACK")
    assert far.ask("UPDATE").status == 200
    assert far.ask("OPTIONS").status == 200
    assert far.agent.calls == 1


def test_an_interval_too_short_refuses_the_call() -> None:
    """RFC 4028 section 9."""
    for shortest in (90, 1800):
        far = Scripted(min_se=shortest)
        assert far.invite(("Session-Expires", str(shortest - 1)), ("Supported", "timer")) == []
        answer = only(far)
        assert (answer.status, field(answer, "Min-SE")) == (422, str(shortest))
        assert far.agent.calls == 0


# Any order of things


MOVES = ["ring", "ring-early", "answer", "reject", "bye", "prack", "prack-bad", "cancel", "ack", "farbye", "update",
         "update-sdp", "reinvite", "answer-reinvite", "repeat", "wait", "long", "transport"]  # fmt: skip


@settings(max_examples=250, deadline=None)
@given(
    st.sampled_from([(), (REQUIRED,), (SUPPORTED,), (REQUIRED, ("Session-Expires", "90"))]),
    st.booleans(),
    st.lists(st.sampled_from(MOVES), max_size=30),
)
def test_any_order_of_ringing_answer_and_goodbye_never_raises_and_always_ends(
    fields: tuple[tuple[str, str], ...], has_offer: bool, moves: list[str]
) -> None:
    far = Scripted()
    events = far.invite(*fields, sdp=AUDIO_ANSWER if has_offer else None)
    assert isinstance(events[0], IncomingCall)
    seen: dict[str, Response] = {}
    rejected = False
    for move in moves:
        rejected |= _move(far, move, seen)
        for message in far.sent():
            if isinstance(message, Response) and "RSeq" in message.headers:
                seen["reliable"] = message
        events += far.events()
    if far.agent.calls:
        with contextlib.suppress(LocalProtocolError):
            far.agent.bye(far.call, far.now)
        far.wait(300.0)
        events += far.events()
    # What is repeated after 64·T1 is a call of its own: nobody remembers the first.
    assert kinds(events).count("Ended") == kinds(events).count("IncomingCall") - rejected
    assert far.agent.calls == 0
    far.wait(200.0)
    assert far.agent.get_timer() is None


def _move(far: Scripted, move: str, seen: dict[str, Response]) -> bool:
    """One move; whether our user has rejected the call by it."""
    agent = far.agent
    try:
        if move == "ring":
            agent.ring(far.call, far.now)
        elif move == "ring-early":
            agent.ring(far.call, far.now, EARLY)
        elif move == "answer":
            agent.answer(far.call, AUDIO, far.now)
        elif move == "reject":
            agent.reject(far.call, 486, far.now)
            return True
        elif move == "bye":
            agent.bye(far.call, far.now)
        elif move == "answer-reinvite":
            agent.answer_reinvite(far.call, AUDIO, far.now)
    except LocalProtocolError:
        return False  # a command out of place
    _move_far(far, move, seen)
    return False


def _move_far(far: Scripted, move: str, seen: dict[str, Response]) -> None:
    if move == "prack" and "reliable" in seen:
        far.send("PRACK", ("RAck", f"{field(seen['reliable'], 'RSeq')} {seen['reliable'].cseq}"))
    elif move == "prack-bad":
        far.send("PRACK", ("RAck", "1 1 INVITE"))
    elif move == "cancel":
        far.cancel()
    elif move == "ack":
        far.send("ACK", seq=101)
    elif move == "farbye":
        far.send("BYE")
    elif move in ("update", "update-sdp"):
        far.send("UPDATE", sdp=FAX_ANSWER if move == "update-sdp" else None)
    elif move == "reinvite":
        far.send("INVITE", sdp=FAX_ANSWER)
    elif move == "repeat":
        far.repeat_invite()
    elif move in ("wait", "long"):
        far.wait(1.0 if move == "wait" else 33.0)
    elif move == "transport":
        far.agent.handle_transport_error(("192.0.2.2", 5060), far.now)


def test_a_repeated_invite_hears_the_last_provisional_again() -> None:
    """RFC 3261 section 17.2.1."""
    far, first = ringing(REQUIRED)
    far.repeat_invite()
    assert only(far).to_bytes() == first.to_bytes()
    assert not any(isinstance(message, Request) for message in far.sent())
