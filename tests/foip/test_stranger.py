"""Calls this process knows nothing of are ended, never spoken in (spine section 5)."""

from __future__ import annotations

import pytest

from faxgw.foip.caller import MAX_ATTEMPTS, MAX_RAISES
from faxgw.foip.dialog import DialogRecord
from faxgw.foip.errors import LocalProtocolError
from faxgw.foip.events import By, CallIdentity, Ended
from tests.foip.scripted import Scripted, field
from tests.foip.wire import AUDIO_ANSWER, CALLEE

IDENTITY = CallIdentity("earlier@192.0.2.1", "own", "z9hG4bKearlier", 40)


def cancel(far: Scripted, **options: object) -> None:
    far.call = far.agent.cancel_stranger(
        IDENTITY, "sip:4989@192.0.2.2", CALLEE, from_="sip:a@192.0.2.1", now=far.now, **options  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("options", "count"),
    [({}, 1 + MAX_RAISES), ({"with_credentials": True}, MAX_ATTEMPTS), ({"with_redirects": True}, MAX_ATTEMPTS)],
)
def test_every_invite_there_may_have_been_is_cancelled(options: dict[str, object], count: int) -> None:
    """RFC 3261 section 9.1: each CANCEL has branch and CSeq number of its INVITE."""
    far = Scripted()
    cancel(far, **options)
    sent = far.requests()
    assert [request.method for request in sent] == ["CANCEL"] * count
    branches = ["z9hG4bKearlier", *(f"z9hG4bKearlier.{number}" for number in range(1, count))]
    assert [request.via.branch for request in sent] == branches
    assert [request.cseq.number for request in sent] == list(range(40, 40 + count))
    assert {request.from_.tag for request in sent} == {"own"}


def test_a_cancel_goes_by_the_route_of_its_invite() -> None:
    far = Scripted()
    cancel(far, route=("<sip:proxy.example.net;lr>",))
    assert [field(request, "Route") for request in far.requests()] == ["<sip:proxy.example.net;lr>"] * 2


def test_an_answer_to_an_invite_with_another_branch_gets_ack_and_bye() -> None:
    far = Scripted()
    cancel(far)
    second = far.requests()[1]
    second.method = "INVITE"
    second.headers.set("CSeq", f"{second.cseq.number} INVITE")
    far.respond(second, 200, sdp=AUDIO_ANSWER)
    assert [(request.method, request.to.tag) for request in far.requests()] == [("ACK", "far"), ("BYE", "far")]
    assert far.events() == [Ended(far.call, By.LOCAL, "recovered")]


def test_silence_ends_it_after_64_t1() -> None:
    far = Scripted()
    cancel(far)
    far.wait(31.9)
    assert far.events() == []
    far.wait(0.2)
    assert far.events() == [Ended(far.call, By.LOCAL, "recovered")]
    far.wait(60.0)
    assert far.agent.get_timer() is None


def test_a_stored_dialog_is_ended_above_all_it_may_have_sent() -> None:
    """RFC 3261 section 12.2.1.1: the CSeq number must rise, also above two hours of refreshes."""
    far = Scripted()
    record = DialogRecord(
        "c@192.0.2.1", "<sip:a@192.0.2.1>;tag=own", "<sip:b@192.0.2.2>;tag=far", 41, -1, "sip:b@192.0.2.2", (),
        "192.0.2.2", 5060, 40,
    )  # fmt: skip
    far.call = far.agent.bye_stranger(record, far.now)
    ack, bye = far.requests()
    assert (ack.method, ack.cseq.number, bye.method) == ("ACK", 40, "BYE")
    assert bye.cseq.number > 41 + 7200 // 45
    far.respond(bye, 481)
    assert far.events() == [Ended(far.call, By.LOCAL, "recovered")]


def test_a_record_that_is_none_is_our_own_fault() -> None:
    far = Scripted()
    with pytest.raises(LocalProtocolError):
        far.agent.bye_stranger(DialogRecord("c", "<<", "x", 1, 1, "y", (), "h", 5060), far.now)
