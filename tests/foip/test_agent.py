"""Whole calls between two agents: set-up, T.38, goodbye; each kind of packet lost once."""

from __future__ import annotations

import pytest

from faxgw.foip.agent import UserAgent
from faxgw.foip.digest import Credentials
from faxgw.foip.errors import LocalProtocolError
from faxgw.foip.events import (
    Acknowledged,
    Answered,
    By,
    CallId,
    Ended,
    Event,
    IncomingCall,
    Provisional,
    Rejected,
    ReofferAnswered,
    Reoffered,
    ReofferRefused,
)
from faxgw.foip.headers import Cause
from faxgw.foip.message import Request, Response, parse, response_to
from faxgw.foip.sdp import Origin, SessionDescription, audio_line, offer, t38_line
from tests.foip.wire import AUDIO, AUDIO_ANSWER, CALLEE, CALLER, FAX, FAX_ANSWER, Wire, config, numbers, request

TARGET = "sip:4989@192.0.2.2:5060"


def dial(wire: Wire, **options: object) -> CallId:
    """The caller's INVITE, not yet on the wire."""
    identity = wire.caller.new_identity()
    return wire.caller.invite(
        identity,
        TARGET,
        CALLEE,
        AUDIO,
        from_='"Fax" <sip:+4930@192.0.2.1>',
        now=wire.now,
        **options,  # type: ignore[arg-type]
    )


def incoming(wire: Wire) -> IncomingCall:
    events = [event for event in wire.take(CALLEE) if isinstance(event, IncomingCall)]
    assert len(events) == 1
    return events[0]


def establish(wire: Wire) -> tuple[CallId, CallId]:
    """A call that stands; all events of it taken."""
    outgoing = dial(wire)
    wire.flush()
    call = incoming(wire).call
    wire.callee.answer(call, AUDIO_ANSWER, wire.now)
    wire.run(wire.now + 0.1)
    wire.caller.acknowledge(outgoing, wire.now)
    wire.run(wire.now + 5)
    wire.take(CALLER)
    wire.take(CALLEE)
    return outgoing, call


def kinds(events: list[Event]) -> list[str]:
    return [type(event).__name__ for event in events]


# Set-up


def test_a_call_is_placed_answered_acknowledged_and_ended() -> None:
    wire = Wire()
    outgoing = dial(wire)
    assert wire.flush() == ["INVITE", "100 INVITE"]
    call = incoming(wire)
    assert (call.target, call.caller, call.display, call.offer) == ("4989", "+4930", "Fax", AUDIO)
    wire.callee.ring(call.call, wire.now)
    assert wire.flush() == ["180 INVITE"]
    wire.callee.answer(call.call, AUDIO_ANSWER, wire.now)
    assert wire.flush() == ["200 INVITE"]
    ringing, answered = wire.take(CALLER)
    assert ringing == Provisional(outgoing, 180, None)
    assert isinstance(answered, Answered)
    assert (answered.call, answered.sdp) == (outgoing, AUDIO_ANSWER)
    wire.caller.acknowledge(outgoing, wire.now)
    assert wire.flush() == ["ACK"]
    assert wire.take(CALLEE) == [Acknowledged(call.call, None)]
    wire.caller.bye(outgoing, wire.now)
    assert wire.flush() == ["BYE", "200 BYE"]
    assert wire.take(CALLER) == [Ended(outgoing, By.LOCAL, "bye")]
    assert wire.take(CALLEE) == [Ended(call.call, By.REMOTE, "bye")]
    assert (wire.caller.calls, wire.callee.calls) == (0, 0)
    assert wire.run(200) == []
    assert wire.caller.get_timer() is None
    assert wire.callee.get_timer() is None


def test_the_identity_drawn_before_is_the_one_on_the_wire() -> None:
    """Spine section 3: `planned` is committed with Call-ID, tag, branch and CSeq before the INVITE leaves."""
    wire = Wire()
    identity = wire.caller.new_identity()
    wire.caller.invite(identity, TARGET, CALLEE, AUDIO, from_="sip:a@192.0.2.1", now=0)
    [(data, destination)] = wire.caller.datagrams_to_send()
    invite = parse(data)
    assert destination == CALLEE
    assert (invite.call_id, invite.from_.tag, invite.via.branch) == (
        identity.call_id,
        identity.from_tag,
        identity.branch,
    )
    assert invite.cseq.number == identity.cseq


def test_nothing_is_acknowledged_before_the_user_says_so() -> None:
    """Spine section 3: `answered` is committed, then the ACK; the 2xx repeated meanwhile is absorbed."""
    wire = Wire()
    outgoing = dial(wire)
    wire.flush()
    wire.callee.answer(incoming(wire).call, AUDIO_ANSWER, wire.now)
    assert wire.run(4.0) == ["200 INVITE"] * 4  # 0, 0.5, 1.5, 3.5
    assert kinds(wire.take(CALLER)) == ["Answered"]
    wire.caller.acknowledge(outgoing, wire.now)
    assert wire.run(40.0) == ["ACK"]


def test_an_answer_nobody_acknowledges_is_ended() -> None:
    wire = Wire()
    outgoing = dial(wire)
    wire.flush()
    call = incoming(wire).call
    wire.drop = lambda name: name in ("ACK", "BYE")
    wire.callee.answer(call, AUDIO_ANSWER, wire.now)
    wire.run(100)
    assert wire.take(CALLER)[-1] == Ended(outgoing, By.TIMEOUT, "not acknowledged")
    assert wire.take(CALLEE) == [Ended(call, By.TIMEOUT, "no ACK")]


def test_a_lost_ack_is_sent_again_with_each_repeated_2xx() -> None:
    """RFC 3261 section 13.2.2.4."""
    wire = Wire()
    outgoing = dial(wire)
    wire.flush()
    call = incoming(wire).call
    wire.callee.answer(call, AUDIO_ANSWER, wire.now)
    wire.flush()
    wire.lose("ACK", times=2)
    wire.caller.acknowledge(outgoing, wire.now)
    assert wire.run(10) == ["(ACK)", "200 INVITE", "(ACK)", "200 INVITE", "ACK"]
    acks = [data for _, _, _, data in wire.sent if data.startswith(b"ACK")]
    assert acks[0] == acks[1] == acks[2]
    assert wire.take(CALLEE) == [Acknowledged(call, None)]


@pytest.mark.parametrize("lost", ["INVITE", "100 INVITE", "180 INVITE", "200 INVITE", "ACK", "BYE", "200 BYE"])
@pytest.mark.parametrize("times", [1, 3])
def test_a_call_survives_the_loss_of_any_packet(lost: str, times: int) -> None:
    wire = Wire()
    wire.lose(lost, times=times)
    outgoing = dial(wire)
    wire.run(8)
    call = incoming(wire).call
    wire.callee.ring(call, wire.now)
    wire.callee.answer(call, AUDIO_ANSWER, wire.now)
    wire.run(16)
    wire.caller.acknowledge(outgoing, wire.now)
    wire.run(30)
    wire.caller.bye(outgoing, wire.now)
    wire.run(60)
    assert kinds(wire.take(CALLER))[-2:] == ["Answered", "Ended"]
    assert wire.take(CALLEE) == [Acknowledged(call, None), Ended(call, By.REMOTE, "bye")]
    assert f"({lost})" in wire.log


def test_a_dead_peer_is_a_408_after_timer_b() -> None:
    wire = Wire()
    wire.drop = lambda _name: True
    outgoing = dial(wire)
    wire.run(31.9)
    assert wire.take(CALLER) == []
    wire.run(32.1)
    assert wire.take(CALLER) == [Rejected(outgoing, 408, "Request Timeout", local=True)]
    assert wire.log == ["(INVITE)"] * 7


def test_an_unreachable_peer_is_a_503_at_once() -> None:
    """RFC 3261 section 8.1.3.1."""
    wire = Wire()
    outgoing = dial(wire)
    wire.caller.handle_transport_error(("192.0.2.77", 5060), 0.1)
    assert wire.caller.next_event() is None
    wire.caller.handle_transport_error(CALLEE, 0.1)
    assert wire.caller.next_event() == Rejected(outgoing, 503, "Service Unavailable", local=True)
    assert wire.caller.calls == 0


def test_a_refusal_tells_status_cause_and_when_to_come_again() -> None:
    wire = Wire()
    outgoing = dial(wire)
    wire.flush()
    call = incoming(wire).call
    headers = (("Reason", 'Q.850;cause=17;text="User busy", SIP;cause=486, broken'), ("Retry-After", "60 (lunch)"))
    wire.callee.reject(call, 486, wire.now, headers)
    assert wire.flush() == ["486 INVITE", "ACK"]
    causes = (Cause("Q.850", 17, "User busy"), Cause("SIP", 486, ""))
    assert wire.take(CALLER) == [Rejected(outgoing, 486, "Busy Here", causes, 60)]
    assert wire.take(CALLEE) == []
    assert wire.callee.calls == 0


def test_a_redirection_is_a_refusal() -> None:
    wire = Wire()
    outgoing = dial(wire)
    wire.flush()
    wire.callee.reject(incoming(wire).call, 302, wire.now, (("Contact", "<sip:b@192.0.2.3>"),))
    wire.flush()
    assert wire.take(CALLER) == [Rejected(outgoing, 302, "Moved Temporarily")]


def test_a_call_nobody_answers_is_refused_for_the_user() -> None:
    wire = Wire()
    outgoing = dial(wire)
    wire.flush()
    call = incoming(wire).call
    wire.run(179)
    assert wire.take(CALLER) == []
    wire.run(181)
    assert wire.take(CALLEE) == [Ended(call, By.TIMEOUT, "not answered")]
    assert wire.take(CALLER) == [Rejected(outgoing, 480, "Temporarily Unavailable")]


def test_an_invite_without_an_offer_gets_ours_and_answers_in_the_ack() -> None:
    """RFC 3261 section 13.2.1."""
    wire = Wire()
    wire.inject(request("INVITE"))
    wire.flush()
    event = incoming(wire)
    assert event.offer is None
    wire.callee.answer(event.call, AUDIO_ANSWER, wire.now)
    [(data, _)] = wire.callee.datagrams_to_send()
    tag = parse(data).to.tag
    answer = offer(Origin(1, 1, "203.0.113.9"), audio_line(4000, (8,)))
    ack = request("ACK", ("To", f"<sip:100@192.0.2.2>;tag={tag}"), ("Content-Type", "application/sdp"),
                  ("Via", "SIP/2.0/UDP 203.0.113.9:5999;branch=z9hG4bKack"), body=answer.to_bytes())  # fmt: skip
    wire.inject(ack)
    assert wire.callee.next_event() == Acknowledged(event.call, answer)


# CANCEL


def test_a_cancel_ends_a_ringing_call() -> None:
    wire = Wire()
    outgoing = dial(wire)
    wire.flush()
    call = incoming(wire).call
    wire.callee.ring(call, wire.now)
    wire.flush()
    wire.take(CALLER)
    wire.caller.cancel(outgoing, wire.now)
    wire.caller.cancel(outgoing, wire.now)
    assert wire.flush() == ["CANCEL", "200 CANCEL", "487 INVITE", "ACK"]
    assert wire.take(CALLER) == [Ended(outgoing, By.LOCAL, "cancel")]
    assert wire.take(CALLEE) == [Ended(call, By.REMOTE, "cancel")]


@pytest.mark.parametrize("lost", ["CANCEL", "200 CANCEL", "487 INVITE", "ACK"])
def test_a_cancel_survives_the_loss_of_any_packet(lost: str) -> None:
    wire = Wire()
    outgoing = dial(wire)
    wire.flush()
    call = incoming(wire).call
    wire.lose(lost)
    wire.caller.cancel(outgoing, wire.now)
    wire.run(50)
    assert wire.take(CALLER) == [Ended(outgoing, By.LOCAL, "cancel")]
    assert wire.take(CALLEE) == [Ended(call, By.REMOTE, "cancel")]


def test_a_cancel_before_any_answer_waits_for_the_provisional() -> None:
    """RFC 3261 section 9.1."""
    wire = Wire()
    wire.lose("INVITE", times=2)
    outgoing = dial(wire)
    wire.flush()
    wire.caller.cancel(outgoing, 0.1)
    assert wire.run(1.0) == ["(INVITE)"]
    assert wire.run(1.6) == ["INVITE", "100 INVITE", "CANCEL", "200 CANCEL", "487 INVITE", "ACK"]
    assert wire.take(CALLER) == [Ended(outgoing, By.LOCAL, "cancel")]


def test_a_cancel_that_nobody_heeds_is_given_up_after_64_t1() -> None:
    wire = Wire()
    outgoing = dial(wire)
    wire.flush()
    wire.drop = lambda _name: True
    wire.caller.cancel(outgoing, wire.now)
    wire.run(31)
    assert wire.take(CALLER) == []
    wire.run(33)
    assert wire.take(CALLER) == [Ended(outgoing, By.LOCAL, "cancel")]


def test_a_cancel_of_a_dead_peer_ends_with_timer_b() -> None:
    wire = Wire()
    wire.drop = lambda _name: True
    outgoing = dial(wire)
    wire.flush()
    wire.caller.cancel(outgoing, wire.now)
    wire.run(33)
    assert wire.take(CALLER) == [Ended(outgoing, By.LOCAL, "cancel")]
    assert "(CANCEL)" not in wire.log


def test_an_answer_that_crosses_the_cancel_is_ended_at_once() -> None:
    """Spine section 5: ACK + BYE, never media."""
    wire = Wire()
    outgoing = dial(wire)
    wire.flush()
    call = incoming(wire).call
    wire.callee.answer(call, AUDIO_ANSWER, wire.now)
    wire.caller.cancel(outgoing, wire.now)
    log = wire.flush()
    assert log[:2] == ["CANCEL", "200 INVITE"]
    assert {"ACK", "BYE", "200 BYE", "481 CANCEL"} >= {*log[2:]} - {"200 CANCEL"}
    assert wire.take(CALLER) == [Ended(outgoing, By.LOCAL, "cancel")]
    assert wire.take(CALLEE) == [Acknowledged(call, None), Ended(call, By.REMOTE, "bye")]


# Forks and strays


def test_the_second_leg_of_a_fork_gets_ack_and_bye() -> None:
    wire = Wire()
    outgoing = dial(wire)
    wire.flush()
    call = incoming(wire).call
    wire.callee.answer(call, AUDIO_ANSWER, wire.now)
    wire.flush()
    wire.caller.acknowledge(outgoing, wire.now)
    wire.flush()
    wire.take(CALLER)
    invite = parse(wire.sent[0][3])
    assert isinstance(invite, Request)
    second = response_to(invite, 200, tag="other")
    second.headers.add("Contact", "<sip:b@198.51.100.7:5070>")
    for _ in range(2):  # its repetition gets the ACK again, not a second BYE
        wire.caller.receive_datagram(second.to_bytes(), CALLEE, wire.now)
    sent = [(parse(data).start_line(), destination) for data, destination in wire.caller.datagrams_to_send()]
    assert sent == [
        ("ACK sip:b@198.51.100.7:5070 SIP/2.0", ("198.51.100.7", 5070)),
        ("BYE sip:b@198.51.100.7:5070 SIP/2.0", ("198.51.100.7", 5070)),
        ("ACK sip:b@198.51.100.7:5070 SIP/2.0", ("198.51.100.7", 5070)),
    ]
    assert wire.caller.next_event() is None
    assert wire.caller.calls == 1


def test_a_2xx_for_a_forgotten_call_gets_ack_and_bye_once() -> None:
    wire = Wire()
    dial(wire)
    wire.flush()
    invite = parse(wire.sent[0][3])
    assert isinstance(invite, Request)
    answer = response_to(invite, 200, tag="late")
    answer.headers.add("Contact", "<sip:b@192.0.2.2>")
    reborn = UserAgent(config(CALLER), numbers(1 << 70))
    for _ in range(2):
        reborn.receive_datagram(answer.to_bytes(), CALLEE, 1.0)
    names = [parse(data).start_line().split()[0] for data, _ in reborn.datagrams_to_send()]
    assert names == ["ACK", "BYE", "ACK"]
    assert reborn.next_event() is None


def test_responses_that_went_astray_are_dropped() -> None:
    wire = Wire()
    dial(wire)
    wire.flush()
    invite = parse(wire.sent[0][3])
    assert isinstance(invite, Request)
    foreign = response_to(invite, 200, tag="x")
    foreign.headers.set("Via", "SIP/2.0/UDP 192.0.2.99;branch=z9hG4bKx")
    double = response_to(invite, 200, tag="x")
    double.headers.add("Via", "SIP/2.0/UDP 192.0.2.99;branch=z9hG4bKx")
    broken = response_to(invite, 200, tag="x")
    broken.headers.set("To", "<broken")
    for response in (foreign, double, broken):
        wire.caller.receive_datagram(response.to_bytes(), CALLEE, 1.0)
    assert wire.caller.datagrams_to_send() == []
    assert wire.caller.next_event() is None


# re-INVITE


def test_the_called_side_switches_to_t38() -> None:
    wire = Wire()
    outgoing, call = establish(wire)
    wire.callee.reinvite(call, FAX_ANSWER, wire.now)
    assert wire.flush() == ["INVITE"]
    assert wire.take(CALLER) == [Reoffered(outgoing, FAX_ANSWER)]
    wire.caller.answer_reinvite(outgoing, FAX, wire.now)
    assert wire.flush() == ["200 INVITE", "ACK"]
    assert wire.take(CALLEE) == [ReofferAnswered(call, FAX)]
    assert wire.run(wire.now + 40) == []
    assert wire.caller.may_reinvite(outgoing) and wire.callee.may_reinvite(call)


@pytest.mark.parametrize("lost", ["INVITE", "200 INVITE", "ACK"])
def test_a_switch_survives_the_loss_of_any_packet(lost: str) -> None:
    wire = Wire()
    outgoing, call = establish(wire)
    wire.lose(lost)
    wire.caller.reinvite(outgoing, FAX, wire.now)
    wire.run(wire.now + 1)
    assert wire.take(CALLEE) == [Reoffered(call, FAX)]
    wire.callee.answer_reinvite(call, FAX_ANSWER, wire.now)
    wire.run(wire.now + 20)
    assert wire.take(CALLER) == [ReofferAnswered(outgoing, FAX_ANSWER)]
    assert wire.take(CALLEE) == []
    wire.caller.bye(outgoing, wire.now)
    assert wire.run(wire.now + 10)[:2] == ["BYE", "200 BYE"]


@pytest.mark.parametrize("status", [488, 415, 606, 500, 603])
def test_a_refused_switch_leaves_the_call_as_it_was(status: int) -> None:
    """transport.md D.3 rule 3."""
    wire = Wire()
    outgoing, call = establish(wire)
    wire.caller.reinvite(outgoing, FAX, wire.now)
    wire.flush()
    wire.callee.refuse_reinvite(call, status, wire.now)
    wire.run(wire.now + 40)
    assert wire.take(CALLER) == [ReofferRefused(outgoing, status)]
    assert wire.caller.calls == 1
    wire.caller.bye(outgoing, wire.now)
    wire.flush()
    assert kinds(wire.take(CALLER)) == ["Ended"]


@pytest.mark.parametrize("status", [408, 481])
def test_a_switch_into_a_lost_dialog_ends_the_call(status: int) -> None:
    """RFC 3261 section 12.2.1.2."""
    wire = Wire()
    outgoing, call = establish(wire)
    wire.caller.reinvite(outgoing, FAX, wire.now)
    wire.flush()
    wire.callee.refuse_reinvite(call, status, wire.now)
    wire.flush()
    assert wire.take(CALLER) == [ReofferRefused(outgoing, status), Ended(outgoing, By.REMOTE, "dialog gone")]


def test_a_switch_that_nobody_answers_leaves_the_call_as_it_is() -> None:
    """Some gateways ignore a re-INVITE and carry on in audio: against section 12.2.1.2 the fax goes on."""
    wire = Wire()
    outgoing, _ = establish(wire)
    wire.drop = lambda _name: True
    wire.caller.reinvite(outgoing, FAX, wire.now)
    wire.run(wire.now + 70)
    assert wire.take(CALLER) == [ReofferRefused(outgoing, 408)]
    wire.drop = lambda _name: False
    wire.take(CALLEE)
    wire.caller.bye(outgoing, wire.now)
    wire.flush()
    assert kinds(wire.take(CALLER)) == ["Ended"] and "Ended" in kinds(wire.take(CALLEE))


def test_a_switch_accepted_long_after_we_gave_it_up_ends_the_call() -> None:
    wire = Wire()
    outgoing, call = establish(wire)
    wire.drop = lambda name: name[0].isdigit()  # no response comes back
    wire.caller.reinvite(outgoing, FAX, wire.now)
    wire.flush()
    wire.run(wire.now + 10)
    wire.callee.answer_reinvite(call, FAX, wire.now)
    wire.run(wire.now + 23)
    assert kinds(wire.take(CALLER)) == ["ReofferRefused"]
    wire.drop = lambda _name: False
    wire.run(wire.now + 5)
    assert wire.take(CALLER) == [Ended(outgoing, By.REMOTE, "session lost")]


def test_glare_is_resolved_by_the_side_that_was_called() -> None:
    """RFC 3261 section 14.1: 2.1 to 4 s for the owner of the Call-ID, 0 to 2 s for the other."""
    wire = Wire()
    outgoing, call = establish(wire)
    wire.callee.reinvite(call, FAX_ANSWER, wire.now)
    wire.caller.reinvite(outgoing, FAX, wire.now)
    start = wire.now
    assert sorted(wire.flush()) == ["491 INVITE", "491 INVITE", "ACK", "ACK", "INVITE", "INVITE"]
    assert wire.take(CALLER) == wire.take(CALLEE) == []
    assert not wire.caller.may_reinvite(outgoing)
    while not wire.events[CALLER]:
        wire.run(wire.now + 0.01)
    assert 0 <= wire.now - start <= 2.02
    assert wire.take(CALLER) == [ReofferRefused(outgoing, 491), Reoffered(outgoing, FAX_ANSWER)]
    wire.caller.answer_reinvite(outgoing, FAX, wire.now)
    wire.run(wire.now + 20)
    assert wire.take(CALLEE) == [ReofferAnswered(call, FAX)]
    assert wire.log.count("491 INVITE") == 2


def test_the_owner_of_the_call_id_waits_longer() -> None:
    wire = Wire()
    outgoing, call = establish(wire)
    wire.caller.reinvite(outgoing, FAX, wire.now)
    wire.flush()
    start = wire.now
    wire.callee.refuse_reinvite(call, 491, wire.now)
    wire.flush()
    wire.take(CALLEE)
    while not wire.events[CALLEE]:
        wire.run(wire.now + 0.01)
    assert 2.1 <= wire.now - start <= 4.02
    wire.callee.answer_reinvite(call, FAX_ANSWER, wire.now)
    wire.flush()
    assert wire.take(CALLER) == [ReofferAnswered(outgoing, FAX_ANSWER)]


def test_glare_without_end_is_reported() -> None:
    wire = Wire()
    outgoing, call = establish(wire)
    wire.caller.reinvite(outgoing, FAX, wire.now)
    for _ in range(5):
        while not wire.events[CALLEE]:
            wire.run(wire.now + 0.5)
        wire.take(CALLEE)
        wire.callee.refuse_reinvite(call, 491, wire.now)
    wire.flush()
    assert wire.take(CALLER) == [ReofferRefused(outgoing, 491)]


def test_a_repeated_offer_is_answered_without_an_event() -> None:
    """transport.md D.2: the late T.38 re-INVITE in mid-fax gets 200 with the same session, nothing is restarted."""
    wire = Wire()
    outgoing, call = establish(wire)
    wire.caller.reinvite(outgoing, FAX, wire.now)
    wire.flush()
    wire.callee.answer_reinvite(call, FAX_ANSWER, wire.now)
    wire.flush()
    wire.take(CALLER)
    again = SessionDescription(FAX_ANSWER.origin.next(), FAX_ANSWER.media, FAX_ANSWER.connection)
    wire.callee.reinvite(call, again, wire.now)
    assert wire.flush() == ["INVITE", "200 INVITE", "ACK"]
    assert wire.take(CALLER) == []
    answer = parse(next(data for _, _, _, data in reversed(wire.sent) if data.startswith(b"SIP/2.0 200")))
    assert SessionDescription.parse(answer.body) == FAX


def test_a_new_offer_after_that_is_an_event_again() -> None:
    """transport.md D.3 rule 4: back to audio at the end, followed by BYE."""
    wire = Wire()
    outgoing, call = establish(wire)
    wire.caller.reinvite(outgoing, FAX, wire.now)
    wire.flush()
    wire.callee.answer_reinvite(call, FAX_ANSWER, wire.now)
    wire.flush()
    wire.take(CALLER)
    wire.callee.reinvite(call, AUDIO_ANSWER, wire.now)
    wire.flush()
    assert wire.take(CALLER) == [Reoffered(outgoing, AUDIO_ANSWER)]
    wire.callee.bye(call, wire.now)
    log = wire.flush()
    assert log[:3] == ["BYE", "200 BYE", "487 INVITE"]  # section 15.1.2
    assert kinds(wire.take(CALLER)) == ["Ended"]


def test_a_user_that_forgets_a_reoffer_refuses_it() -> None:
    wire = Wire()
    outgoing, call = establish(wire)
    wire.callee.reinvite(call, FAX_ANSWER, wire.now)
    wire.run(wire.now + 21)
    assert wire.take(CALLEE) == [ReofferRefused(call, 488)]
    with pytest.raises(LocalProtocolError):
        wire.caller.answer_reinvite(outgoing, FAX, wire.now)


def test_a_session_refresh_without_an_offer_gets_the_present_one() -> None:
    wire = Wire()
    outgoing, _ = establish(wire)
    tag = outgoing.rpartition("/")[2]
    peer_tag = parse(next(data for _, _, _, data in wire.sent if data.startswith(b"SIP/2.0 200"))).to.tag
    call_id = outgoing.rpartition("/")[0]
    bare = request(
        "INVITE", ("To", f"<sip:a@b>;tag={tag}"), ("From", f"<sip:b@b>;tag={peer_tag}"), ("Call-ID", call_id)
    )
    [answer] = wire.inject(bare, CALLER, CALLEE)
    assert isinstance(answer, Response)
    assert answer.status == 200
    assert SessionDescription.parse(answer.body) == AUDIO


# Goodbye


def test_both_sides_may_hang_up_at_once() -> None:
    wire = Wire()
    outgoing, call = establish(wire)
    wire.caller.bye(outgoing, wire.now)
    wire.callee.bye(call, wire.now)
    assert sorted(wire.flush()) == ["200 BYE", "200 BYE", "BYE", "BYE"]
    assert kinds(wire.take(CALLER)) == kinds(wire.take(CALLEE)) == ["Ended"]


def test_a_bye_that_nobody_answers_still_ends_the_call() -> None:
    wire = Wire()
    outgoing, _ = establish(wire)
    wire.drop = lambda _name: True
    wire.caller.bye(outgoing, wire.now)
    wire.run(wire.now + 33)
    assert wire.take(CALLER) == [Ended(outgoing, By.LOCAL, "bye")]


def test_hanging_up_instead_of_acknowledging_sends_both() -> None:
    """RFC 3261 section 13.2.2.4; the daemon could not commit `answered`."""
    wire = Wire()
    outgoing = dial(wire)
    wire.flush()
    call = incoming(wire).call
    wire.callee.answer(call, AUDIO_ANSWER, wire.now)
    wire.flush()
    wire.caller.bye(outgoing, wire.now)
    assert wire.flush() == ["ACK", "BYE", "200 BYE"]


def test_a_bye_before_our_ack_is_granted_and_the_answer_acknowledged() -> None:
    """The called side must not (RFC 3261 section 15), but some do."""
    wire = Wire()
    outgoing = dial(wire)
    wire.flush()
    wire.callee.answer(incoming(wire).call, AUDIO_ANSWER, wire.now)
    wire.flush()
    answer = parse(wire.sent[-1][3])
    early = request("BYE", ("From", str(answer.to)), ("To", str(answer.from_)), ("Call-ID", answer.call_id))
    granted, ack = wire.inject(early, CALLER, CALLEE)
    assert isinstance(granted, Response) and isinstance(ack, Request)
    assert (granted.status, ack.method) == (200, "ACK")
    wire.flush()
    assert wire.take(CALLER)[-1] == Ended(outgoing, By.REMOTE, "bye")


def test_our_bye_waits_for_the_ack_of_our_answer() -> None:
    """RFC 3261 section 15: the called side sends none before it."""
    wire = Wire()
    outgoing = dial(wire)
    wire.flush()
    call = incoming(wire).call
    wire.callee.answer(call, AUDIO_ANSWER, wire.now)
    wire.flush()
    wire.callee.bye(call, wire.now)
    wire.callee.bye(call, wire.now)
    assert wire.run(4.0) == ["200 INVITE"] * 3  # still repeated
    wire.caller.acknowledge(outgoing, wire.now)
    assert wire.flush() == ["ACK", "BYE", "200 BYE"]
    assert wire.take(CALLEE) == [Ended(call, By.LOCAL, "bye")]
    assert wire.take(CALLER)[-1] == Ended(outgoing, By.REMOTE, "bye")


def test_our_bye_leaves_without_an_ack_when_the_transaction_has_timed_out() -> None:
    """RFC 3261 section 15."""
    wire = Wire()
    dial(wire)
    wire.flush()
    call = incoming(wire).call
    wire.drop = lambda name: name == "200 INVITE"
    wire.callee.answer(call, AUDIO_ANSWER, wire.now)
    wire.callee.bye(call, wire.now)
    wire.run(31.9)
    assert "BYE" not in wire.log
    wire.run(32.1)
    assert wire.log[-2:] == ["BYE", "481 BYE"]
    assert wire.take(CALLEE) == [Ended(call, By.LOCAL, "bye")]


# Digest


class Registrar:
    """Challenges every request once with a fresh nonce, then lets it through."""

    def __init__(self, status: int = 407, algorithm: str = "SHA-256") -> None:
        self.status = status
        self.field = "Proxy-Authenticate" if status == 407 else "WWW-Authenticate"
        self.value = f'Digest realm="r", nonce="n", qop="auth", algorithm={algorithm}'

    def challenge(self, data: bytes) -> bytes:
        message = parse(data)
        assert isinstance(message, Request)
        answer = response_to(message, self.status, tag="proxy")
        answer.headers.add(self.field, self.value)
        return answer.to_bytes()


@pytest.mark.parametrize(("status", "field"), [(401, "Authorization"), (407, "Proxy-Authorization")])
def test_invite_reinvite_and_bye_are_authenticated(status: int, field: str) -> None:
    wire = Wire()
    registrar = Registrar(status)
    outgoing = dial(wire, credentials=Credentials("u", "p"))

    def challenged() -> Request:
        """What is sent once more after the challenge, left on the wire."""
        [(data, _)] = wire.caller.datagrams_to_send()
        wire.caller.receive_datagram(registrar.challenge(data), CALLEE, wire.now)
        sent = [item for item in wire.caller.datagrams_to_send() if not item[0].startswith(b"ACK")]
        repeated = parse(sent[0][0])
        assert isinstance(repeated, Request)
        assert repeated.cseq.number == parse(data).cseq.number + 1
        assert repeated.via.branch != parse(data).via.branch
        wire.callee.receive_datagram(sent[0][0], CALLER, wire.now)
        return repeated

    invite = challenged()
    assert field in invite.headers
    wire.flush()
    call = incoming(wire).call
    wire.callee.answer(call, AUDIO_ANSWER, wire.now)
    wire.flush()
    wire.caller.acknowledge(outgoing, wire.now)
    wire.flush()
    ack = parse(next(data for _, _, _, data in wire.sent if data.startswith(b"ACK")))
    assert ack.headers.get(field) == invite.headers.get(field)  # section 22.1
    assert ack.cseq.number == invite.cseq.number
    registrar.value = registrar.value.replace('"n"', '"m"')
    wire.caller.reinvite(outgoing, FAX, wire.now)
    assert field in challenged().headers
    wire.flush()
    wire.callee.answer_reinvite(call, FAX_ANSWER, wire.now)
    wire.flush()
    wire.caller.bye(outgoing, wire.now)
    registrar.value = registrar.value.replace('"m"', '"k"')
    assert 'nonce="k"' in str(challenged().headers.get(field))
    wire.flush()
    assert kinds(wire.take(CALLER))[-1] == "Ended"


def test_a_challenge_without_credentials_is_a_refusal() -> None:
    wire = Wire()
    outgoing = dial(wire)
    [(data, _)] = wire.caller.datagrams_to_send()
    wire.caller.receive_datagram(Registrar(407).challenge(data), CALLEE, 0.1)
    assert wire.caller.next_event() == Rejected(outgoing, 407, "Proxy Authentication Required")


def test_endless_challenges_end() -> None:
    wire = Wire()
    registrar = Registrar(407)
    outgoing = dial(wire, credentials=Credentials("u", "p"))
    for number in range(10):
        for data, _ in wire.caller.datagrams_to_send():
            if data.startswith(b"INVITE"):
                registrar.value = f'Digest realm="r", nonce="{number}", stale=true'
                wire.caller.receive_datagram(registrar.challenge(data), CALLEE, 0.1)
    assert wire.caller.next_event() == Rejected(outgoing, 407, "Proxy Authentication Required")


# An earlier process's calls


def test_a_later_process_cancels_what_is_ringing() -> None:
    wire = Wire()
    identity = wire.caller.new_identity()
    wire.caller.invite(identity, TARGET, CALLEE, AUDIO, from_="sip:a@192.0.2.1", now=0)
    wire.flush()
    call = incoming(wire).call
    wire.agents[CALLER] = UserAgent(config(CALLER), numbers(1 << 80))
    stranger = wire.caller.cancel_stranger(identity, TARGET, CALLEE, from_="sip:a@192.0.2.1", now=wire.now)
    assert wire.flush() == ["CANCEL", "CANCEL", "200 CANCEL", "487 INVITE", "481 CANCEL", "ACK"]
    assert wire.take(CALLEE) == [Ended(call, By.REMOTE, "cancel")]
    assert wire.take(CALLER) == [Ended(stranger, By.LOCAL, "recovered")]
    assert wire.run(200) == []


def test_a_later_process_cancels_an_invite_with_credentials_too() -> None:
    wire = Wire()
    identity = wire.caller.new_identity()
    wire.caller.invite(identity, TARGET, CALLEE, AUDIO, from_="sip:a@b", credentials=Credentials("u", "p"), now=0)
    [(data, _)] = wire.caller.datagrams_to_send()
    wire.caller.receive_datagram(Registrar().challenge(data), CALLEE, 0.0)
    wire.flush()
    call = incoming(wire).call
    wire.agents[CALLER] = UserAgent(config(CALLER), numbers(1 << 80))
    wire.caller.cancel_stranger(identity, TARGET, CALLEE, from_="sip:a@b", with_credentials=True, now=wire.now)
    wire.run(10)
    assert wire.take(CALLEE) == [Ended(call, By.REMOTE, "cancel")]
    assert kinds(wire.take(CALLER)) == ["Ended"]


def test_a_later_process_hangs_up_on_what_answers_its_cancel() -> None:
    wire = Wire()
    identity = wire.caller.new_identity()
    wire.caller.invite(identity, TARGET, CALLEE, AUDIO, from_="sip:a@192.0.2.1", now=0)
    wire.flush()
    call = incoming(wire).call
    wire.callee.answer(call, AUDIO_ANSWER, wire.now)
    wire.callee.datagrams_to_send()  # lost with the process
    wire.agents[CALLER] = UserAgent(config(CALLER), numbers(1 << 80))
    wire.caller.cancel_stranger(identity, TARGET, CALLEE, from_="sip:a@192.0.2.1", now=wire.now)
    wire.run(20)
    assert wire.take(CALLEE) == [Acknowledged(call, None), Ended(call, By.REMOTE, "bye")]
    assert kinds(wire.take(CALLER)) == ["Ended"]


def test_a_later_process_gives_up_on_a_dead_peer() -> None:
    wire = Wire()
    identity = wire.caller.new_identity()
    wire.drop = lambda _name: True
    stranger = wire.caller.cancel_stranger(identity, TARGET, CALLEE, from_="sip:a@192.0.2.1", now=0)
    wire.run(100)
    assert wire.take(CALLER) == [Ended(stranger, By.LOCAL, "recovered")]
    assert wire.caller.get_timer() is None


@pytest.mark.parametrize("acknowledged", [True, False])
def test_a_later_process_says_bye_for_a_stored_dialog(acknowledged: bool) -> None:
    wire = Wire()
    outgoing = dial(wire)
    wire.flush()
    call = incoming(wire).call
    wire.callee.answer(call, AUDIO_ANSWER, wire.now)
    wire.flush()
    [answered] = wire.take(CALLER)
    assert isinstance(answered, Answered)
    if acknowledged:
        wire.caller.acknowledge(outgoing, wire.now)
        wire.flush()
        wire.caller.reinvite(outgoing, FAX, wire.now)  # raises the CSeq beyond the stored one
        wire.flush()
        wire.callee.answer_reinvite(call, FAX_ANSWER, wire.now)
        wire.flush()
    wire.agents[CALLER] = UserAgent(config(CALLER), numbers(1 << 80))
    wire.take(CALLER)
    stranger = wire.caller.bye_stranger(answered.dialog, wire.now)
    assert stranger == outgoing
    wire.run(wire.now + 10)
    assert kinds(wire.take(CALLEE))[-1] == "Ended"
    assert wire.take(CALLER) == [Ended(outgoing, By.LOCAL, "recovered")]


# Our own mistakes


def test_commands_out_of_place_are_our_own_fault() -> None:
    wire = Wire()
    outgoing, call = establish(wire)
    for command in (
        lambda: wire.caller.acknowledge(outgoing, 9),
        lambda: wire.caller.cancel(outgoing, 9),
        lambda: wire.caller.acknowledge(CallId("nobody"), 9),
        lambda: wire.callee.answer(call, AUDIO_ANSWER, 9),
        lambda: wire.callee.reject(call, 486, 9),
        lambda: wire.callee.ring(outgoing, 9),
        lambda: wire.callee.acknowledge(call, 9),
        lambda: wire.caller.ring(outgoing, 9),
        lambda: wire.caller.answer_reinvite(outgoing, FAX, 9),
        lambda: wire.caller.refuse_reinvite(outgoing, 488, 9),
        lambda: wire.caller.invite(wire.caller.new_identity(), "tel:5", CALLEE, AUDIO, from_="sip:a@b", now=9),
        lambda: wire.caller.invite(wire.caller.new_identity(), TARGET, CALLEE, AUDIO, from_="a b", now=9),
    ):
        with pytest.raises(LocalProtocolError):
            command()
    wire.caller.reinvite(outgoing, FAX, wire.now)
    with pytest.raises(LocalProtocolError):
        wire.caller.reinvite(outgoing, FAX, wire.now)


def test_an_identity_is_used_once_and_calls_are_bounded() -> None:
    wire = Wire(
        {CALLER: UserAgent(config(CALLER, max_calls=1), numbers()), CALLEE: UserAgent(config(CALLEE), numbers(9))}
    )
    dial(wire)
    with pytest.raises(LocalProtocolError):
        dial(wire)


def test_a_call_with_record_routes_goes_through_its_proxy() -> None:
    """RFC 3261 sections 12.1.2 and 12.2.1.1: Record-Route reversed, loose routing."""
    wire = Wire()
    outgoing = dial(wire)
    [(data, _)] = wire.caller.datagrams_to_send()
    invite = parse(data)
    assert isinstance(invite, Request)
    answer = response_to(invite, 200, tag="t")
    answer.headers.add("Record-Route", "<sip:198.51.100.2;lr>, <sip:198.51.100.1:5080;lr>")
    answer.headers.add("Contact", "<sip:b@10.0.0.1>")
    answer.headers.add("Content-Type", "application/sdp")
    answer.body = AUDIO_ANSWER.to_bytes()
    wire.caller.receive_datagram(answer.to_bytes(), CALLEE, 0.5)
    wire.caller.acknowledge(outgoing, 0.6)
    [(data, destination)] = wire.caller.datagrams_to_send()
    ack = parse(data)
    assert destination == ("198.51.100.1", 5080)
    assert ack.start_line() == "ACK sip:b@10.0.0.1 SIP/2.0"
    assert ack.headers.get_all("Route") == ["<sip:198.51.100.1:5080;lr>", "<sip:198.51.100.2;lr>"]


def test_a_2xx_without_a_readable_session_says_so() -> None:
    wire = Wire()
    outgoing = dial(wire)
    [(data, _)] = wire.caller.datagrams_to_send()
    invite = parse(data)
    assert isinstance(invite, Request)
    wire.caller.receive_datagram(response_to(invite, 200, tag="t").to_bytes(), CALLEE, 0.5)
    event = wire.caller.next_event()
    assert isinstance(event, Answered)
    assert event.sdp is None
    assert event.call == outgoing


def test_a_t38_offer_inside_multipart_is_found() -> None:
    """SIP-I: the session description is one part of several."""
    wire = Wire()
    body = (
        b"--b1\r\nContent-Type: application/isup\r\n\r\nxx\r\n--b1\r\nContent-Type: application/sdp\r\n\r\n"
        + AUDIO.to_bytes()
        + b"\r\n--b1--\r\n"
    )
    wire.inject(request("INVITE", ("Content-Type", 'multipart/mixed; boundary="b1"'), body=body))
    wire.flush()
    assert incoming(wire).offer == AUDIO
    assert t38_line(4).is_t38


def test_an_answer_that_makes_no_dialog_is_a_refusal() -> None:
    """Routes without end: nobody could be talked to, and nobody waits for it."""
    wire = Wire()
    outgoing = dial(wire)
    [(data, _)] = wire.caller.datagrams_to_send()
    invite = parse(data)
    assert isinstance(invite, Request)
    answer = response_to(invite, 200, tag="t")
    answer.headers.add("Record-Route", ", ".join(["<sip:p;lr>"] * 30))
    wire.caller.receive_datagram(answer.to_bytes(), CALLEE, 0.5)
    event = wire.caller.next_event()
    assert isinstance(event, Rejected)
    assert (event.call, event.status, event.local) == (outgoing, 513, True)
    assert wire.caller.calls == 0


def test_a_realm_of_any_octets_is_answered() -> None:
    wire = Wire()
    registrar = Registrar(401, "MD5")
    dial(wire, credentials=Credentials("u", "p"))
    [(data, _)] = wire.caller.datagrams_to_send()
    challenge = registrar.challenge(data).replace(b'realm="r"', b'realm="r\xff\xe4"')
    wire.caller.receive_datagram(challenge, CALLEE, 0.1)
    _ack, (repeated, _destination) = wire.caller.datagrams_to_send()
    assert b'realm="r\xff\xe4"' in repeated


def test_a_call_is_unanswered_until_anything_comes_back() -> None:
    """Whoever has another server to try asks; 100 is an answer too."""
    wire = Wire()
    call = dial(wire)
    assert wire.caller.is_unanswered(call)
    wire.flush()
    assert wire.log == ["INVITE", "100 INVITE"]
    assert not wire.caller.is_unanswered(call)
    with pytest.raises(LocalProtocolError):
        wire.caller.is_unanswered(CallId("gone"))
