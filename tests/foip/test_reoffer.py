"""A session kept alive and changed within a call: session timer, UPDATE, re-INVITE (RFC 4028, RFC 3311, RFC 3261)."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faxgw.foip.digest import Credentials
from faxgw.foip.errors import LocalProtocolError
from faxgw.foip.events import By, Ended, MediaMoved, ReofferAnswered, Reoffered, ReofferRefused
from faxgw.foip.message import Request, Response
from faxgw.foip.reoffer import MAX_RETRY_AFTER, REFRESH_AGAIN, mirrored
from faxgw.foip.sdp import MediaLine, Origin, SessionDescription, audio_line, offer, t38_line
from faxgw.foip.stack import Transport
from tests.foip.scripted import Scripted, field, kinds
from tests.foip.wire import AUDIO, AUDIO_ANSWER, CALLEE, CALLER, FAX, FAX_ANSWER, Wire

TIMER = ("Supported", "timer")
UPDATE = ("Allow", "INVITE, ACK, BYE, UPDATE")
WE_REFRESH = ("Session-Expires", "90;refresher=uac")
THEY_REFRESH = ("Session-Expires", "90;refresher=uas")


# We refresh


def test_our_invite_offers_the_timer_and_update() -> None:
    """RFC 4028 section 7.1, RFC 3311 section 4."""
    invite = Scripted().dial()
    assert field(invite, "Session-Expires") == "1800"
    assert "timer" in field(invite, "Supported")
    assert "UPDATE" in field(invite, "Allow")


def test_a_peer_that_takes_update_is_refreshed_by_it_at_half_the_interval() -> None:
    """RFC 4028 section 7.4: without a body, with the roles as they are."""
    far = Scripted()
    far.establish_out(WE_REFRESH, UPDATE)
    far.wait(44.9)
    assert far.names() == []
    far.wait(0.2)
    (update,) = far.requests()
    assert (update.method, update.body) == ("UPDATE", b"")
    assert field(update, "Session-Expires") == "90;refresher=uac"
    far.respond(update, 200, WE_REFRESH)
    far.wait(44.0)
    assert far.requests("BYE", "UPDATE") == []
    far.wait(1.0)
    assert [request.method for request in far.requests("BYE", "UPDATE")] == ["UPDATE"]
    assert far.events() == []


def test_any_other_peer_is_refreshed_by_a_reinvite_with_the_same_description() -> None:
    """RFC 4028 section 7.4: the o= version stays; nothing is told, and the answer gets its ACK."""
    far = Scripted()
    far.establish_out(WE_REFRESH)
    far.wait(45.0)
    (invite,) = far.requests()
    assert invite.method == "INVITE"
    assert invite.body == AUDIO.to_bytes()
    far.respond(invite, 200, WE_REFRESH, sdp=AUDIO_ANSWER)
    assert far.names() == ["ACK"]
    assert far.events() == []
    far.wait(46.0)
    assert [request.method for request in far.requests("INVITE", "BYE")][:1] == ["INVITE"]


def test_a_peer_that_refuses_update_after_all_is_refreshed_by_reinvite() -> None:
    """RFC 3261 section 21.4.6."""
    far = Scripted()
    far.establish_out(WE_REFRESH, UPDATE)
    far.wait(45.0)
    (update,) = far.requests()
    far.respond(update, 405)
    assert far.names() == ["INVITE"]


def test_a_refreshed_session_whose_peer_moves_its_media_says_so() -> None:
    far = Scripted()
    far.establish_out(WE_REFRESH)
    far.wait(45.0)
    (invite,) = far.requests()
    moved = offer(Origin(22, 2, CALLEE[0]), audio_line(41000, (8,)))
    far.respond(invite, 200, WE_REFRESH, sdp=moved)
    assert far.events() == [MediaMoved(far.call, moved)]


def test_a_refresh_that_is_never_granted_ends_with_a_bye_before_the_expiry() -> None:
    """RFC 4028 section 10: tried again, and at 90 - 30 s the session is given up."""
    far = Scripted()
    far.establish_out(WE_REFRESH, UPDATE)
    far.wait(45.0)
    for _ in range(2):
        (update,) = far.requests("UPDATE")
        far.respond(update, 500)
        far.wait(REFRESH_AGAIN if far.now < 55 else 4.9)
    assert far.requests("BYE") == []
    far.wait(0.2)
    (bye,) = far.requests("BYE")
    far.respond(bye, 200)
    assert far.events() == [Ended(far.call, By.TIMEOUT, "session expired")]
    assert far.agent.get_timer() is not None  # the BYE's timer K
    assert far.agent.calls == 0


@pytest.mark.parametrize("status", [408, 481])
def test_a_refresh_into_a_lost_dialog_ends_the_call(status: int) -> None:
    """RFC 4028 section 10, RFC 3261 section 12.2.1.2."""
    for fields in ((WE_REFRESH,), (WE_REFRESH, UPDATE)):
        far = Scripted()
        far.establish_out(*fields)
        far.wait(45.0)
        (request,) = far.requests()
        far.respond(request, status)
        assert "BYE" in far.names()


def test_a_refresh_nobody_answers_ends_the_call() -> None:
    far = Scripted()
    far.establish_out(("Session-Expires", "600;refresher=uac"), UPDATE)
    far.wait(300.0 + 32.1)
    assert [request.method for request in far.requests("BYE")] == ["BYE"]


def test_a_refresh_that_asks_for_too_little_is_repeated_with_more() -> None:
    """RFC 4028 section 7.3 with a 422 in mid-call."""
    far = Scripted()
    far.establish_out(WE_REFRESH, UPDATE)
    far.wait(45.0)
    (first,) = far.requests()
    far.respond(first, 422, ("Min-SE", "200"))
    (second,) = far.requests()
    assert (field(second, "Session-Expires"), field(second, "Min-SE")) == ("200;refresher=uac", "200")
    assert second.cseq.number == first.cseq.number + 1
    far.respond(second, 200, ("Session-Expires", "200;refresher=uac"))
    far.wait(99.0)
    assert far.names() == []


@pytest.mark.parametrize("fields", [(WE_REFRESH,), (WE_REFRESH, UPDATE)])
def test_a_challenged_refresh_bears_credentials(fields: tuple[tuple[str, str], ...]) -> None:
    far = Scripted()
    far.establish_out(*fields, credentials=Credentials("u", "p"))
    far.wait(45.0)
    (first,) = far.requests()
    far.respond(first, 407, ("Proxy-Authenticate", 'Digest realm="r", nonce="n"'))
    (second,) = far.requests(first.method)
    assert 'nonce="n"' in field(second, "Proxy-Authorization")


def test_a_glaring_refresh_waits_and_is_sent_again() -> None:
    """RFC 3261 section 14.1."""
    far = Scripted()
    far.establish_out(WE_REFRESH)
    far.wait(45.0)
    (first,) = far.requests()
    far.respond(first, 491)
    far.sent()
    far.wait(4.1)
    second = far.requests("INVITE")[0]
    assert second.body == AUDIO.to_bytes()
    assert second.cseq.number == first.cseq.number + 1
    assert far.events() == []


def test_a_refresh_waits_for_the_peers_open_reinvite_and_the_change_is_the_refresh() -> None:
    far = Scripted()
    far.establish_out(WE_REFRESH, UPDATE)
    far.wait(40.0)
    far.send("INVITE", sdp=FAX_ANSWER)
    far.events()
    far.wait(6.0)
    assert far.requests() == []
    far.agent.answer_reinvite(far.call, FAX, far.now)
    (granted,) = far.sent()
    assert field(granted, "Session-Expires") == "90;refresher=uas"
    far.send("ACK")
    far.wait(44.0)
    assert far.names() == []
    far.wait(1.1)
    assert far.names()[:1] == ["UPDATE"]


def test_a_broken_connection_does_not_end_a_call_whose_media_flow() -> None:
    """RFC 3261 section 12.2.1.2 speaks of silence; 503 of the transport is none (section 8.1.3.1)."""
    far = Scripted(transport=Transport.TCP)
    far.establish_out(WE_REFRESH, UPDATE)
    far.agent.reinvite(far.call, FAX, far.now)
    far.agent.handle_transport_error(CALLEE, far.now)
    assert far.events() == [ReofferRefused(far.call, 503)]
    far.wait(45.0)
    far.agent.handle_transport_error(CALLEE, far.now)
    far.sent()
    far.wait(REFRESH_AGAIN)
    assert far.names() == ["UPDATE"]
    assert far.events() == []


def test_a_peer_without_timers_has_a_session_without_end() -> None:
    """RFC 4028 section 7.2."""
    far = Scripted()
    far.establish_out()
    far.wait(40.0)  # the transaction's own timers
    assert far.agent.get_timer() is None


def test_a_fax_of_two_hours_lives_through_its_refreshes() -> None:
    """Two agents: the shortest interval, whoever refreshes, nobody is troubled, no BYE."""
    wire = Wire()
    for side in wire.agents.values():
        side.stack.config = replace(side.stack.config, session_expires=90)
    outgoing = wire.caller.invite(
        wire.caller.new_identity(), "sip:4989@192.0.2.2", CALLEE, AUDIO, from_="sip:a@192.0.2.1", now=0.0
    )
    wire.flush()
    incoming = wire.take(CALLEE)[0].call
    wire.callee.answer(incoming, AUDIO_ANSWER, wire.now)
    wire.run(0.1)
    wire.caller.acknowledge(outgoing, wire.now)
    wire.run(1.0)
    wire.caller.reinvite(outgoing, FAX, wire.now)
    wire.flush()
    wire.callee.answer_reinvite(incoming, FAX_ANSWER, wire.now)
    wire.run(2.0)
    wire.take(CALLER), wire.take(CALLEE)
    wire.run(7200.0)
    assert 155 <= wire.log.count("UPDATE") <= 160
    assert wire.log.count("200 UPDATE") == wire.log.count("UPDATE")
    assert wire.take(CALLER) == wire.take(CALLEE) == []
    wire.caller.bye(outgoing, wire.now)
    wire.run(7210.0)
    assert kinds(wire.take(CALLEE)) == ["Ended"]


def test_a_timer_that_a_later_answer_does_not_name_is_off() -> None:
    """RFC 4028 section 7.2: the session does not expire any more, and nobody refreshes it."""
    for fields in (THEY_REFRESH, WE_REFRESH):
        far = Scripted()
        far.establish_out(fields)
        far.agent.reinvite(far.call, FAX, far.now)
        (invite,) = far.requests()
        far.respond(invite, 200, sdp=FAX_ANSWER)
        assert far.names() == ["ACK"]
        far.wait(200.0)
        assert far.names() == []


# The peer refreshes


def test_a_peer_that_refreshes_keeps_the_call_and_troubles_nobody() -> None:
    """RFC 4028 section 9: a re-INVITE with the same description, an UPDATE without one."""
    far = Scripted()
    far.establish_out(THEY_REFRESH)
    for number in range(6):
        far.wait(45.0)
        fields = (("Session-Expires", "90;refresher=uac"), TIMER)
        if number % 2:
            answer = far.ask("UPDATE", *fields)
            assert answer.body == b""
        else:
            answer = far.ask("INVITE", *fields, sdp=AUDIO_ANSWER)
            assert answer.body == AUDIO.to_bytes()
            far.send("ACK")
        assert answer.status == 200
        assert field(answer, "Session-Expires") == "90;refresher=uac"
        assert field(answer, "Require") == "timer"
    assert far.events() == []
    assert far.requests() == []


def test_a_peer_that_forgets_to_refresh_gets_a_bye() -> None:
    """RFC 4028 section 10."""
    far = Scripted()
    far.establish_out(THEY_REFRESH)
    far.wait(59.9)
    assert far.names() == []
    far.wait(0.2)
    (bye,) = far.requests()
    far.respond(bye, 200)
    assert far.events() == [Ended(far.call, By.TIMEOUT, "session expired")]


def test_a_refresh_that_comes_to_us_with_too_short_an_interval_gets_422() -> None:
    """RFC 4028 section 9; the session stays as it was."""
    far = Scripted(min_se=200)
    far.establish_out(("Session-Expires", "300;refresher=uas"))
    for method, sdp in (("UPDATE", None), ("INVITE", FAX_ANSWER)):
        answer = far.ask(method, ("Session-Expires", "100"), TIMER, sdp=sdp)
        assert (answer.status, field(answer, "Min-SE")) == (422, "200")
        if method == "INVITE":
            far.send("ACK")
    assert far.events() == []


def test_a_caller_with_a_timer_is_watched_or_refreshed() -> None:
    """RFC 4028 section 9, table 2, from the called side."""
    watched = Scripted()
    answer = watched.establish_in(("Session-Expires", "90"), TIMER)
    assert (field(answer, "Session-Expires"), field(answer, "Require")) == ("90;refresher=uac", "timer")
    watched.wait(60.1)
    assert watched.names() == ["BYE"]
    refreshed = Scripted()
    answer = refreshed.establish_in(("Session-Expires", "90"), UPDATE)
    assert field(answer, "Session-Expires") == "90;refresher=uas"
    assert "Require" not in answer.headers
    refreshed.wait(45.0)
    (update,) = refreshed.requests()
    assert (update.method, field(update, "Session-Expires")) == ("UPDATE", "90;refresher=uac")


# UPDATE of the peer (RFC 3311)


def test_an_update_without_an_offer_refreshes_the_target() -> None:
    """RFC 3311 section 5.2."""
    far = Scripted()
    far.establish_out()
    far.send("UPDATE", ("Contact", "<sip:moved@192.0.2.2:5099>"))  # two Contacts: the first counts
    far.sent()
    answer = far.ask("UPDATE")
    assert (answer.status, "Contact" in answer.headers) == (200, True)
    far.agent.bye(far.call, far.now)
    (bye,) = far.requests()
    assert bye.uri == "sip:far@192.0.2.2"


def test_an_update_with_an_offer_is_a_reoffer() -> None:
    """RFC 3311 section 5.2: accepted, refused, and answered here when it changes nothing."""
    far = Scripted()
    far.establish_out()
    same = far.ask("UPDATE", sdp=AUDIO_ANSWER)
    assert (same.status, same.body) == (200, AUDIO.to_bytes())
    assert far.events() == []
    far.send("UPDATE", sdp=FAX_ANSWER)
    assert far.events() == [Reoffered(far.call, FAX_ANSWER)]
    assert not far.agent.may_reinvite(far.call)
    far.agent.answer_reinvite(far.call, FAX, far.now)
    (accepted,) = far.sent()
    assert isinstance(accepted, Response)
    assert (accepted.status, accepted.body) == (200, FAX.to_bytes())
    assert far.agent.may_reinvite(far.call)
    far.send("UPDATE", sdp=AUDIO_ANSWER)
    far.agent.refuse_reinvite(far.call, 488, far.now)
    assert far.names() == ["488 UPDATE"]


def test_an_update_that_crosses_an_open_offer_comes_again() -> None:
    """RFC 3311 section 5.2: 491 while ours has no answer, 500 with Retry-After while theirs has none."""
    far = Scripted()
    far.establish_out()
    far.agent.reinvite(far.call, FAX, far.now)
    far.requests()
    assert far.ask("UPDATE", sdp=FAX_ANSWER).status == 491
    assert far.ask("UPDATE").status == 200
    other = Scripted()
    other.establish_out()
    other.send("UPDATE", sdp=FAX_ANSWER)
    again = other.ask("UPDATE", sdp=FAX_ANSWER)
    assert again.status == 500
    assert 0 <= int(field(again, "Retry-After")) <= MAX_RETRY_AFTER
    assert other.ask("INVITE", sdp=FAX_ANSWER).status == 500


def test_an_update_that_cannot_be_read_is_told_what_can() -> None:
    far = Scripted()
    far.establish_out()
    answer = far.ask("UPDATE", ("Content-Type", "text/plain"))
    assert answer.status == 200  # no body, no matter
    far.sent()
    request = far.send("UPDATE")
    request.headers.set("Content-Type", "text/plain")
    request.headers.set("CSeq", f"{far.seq + 1} UPDATE")
    request.headers.set("Via", "SIP/2.0/UDP 192.0.2.2;branch=z9hG4bKplain")
    request.body = b"hello"
    far.sent()
    far.agent.receive_datagram(request.to_bytes(), CALLEE, far.now)
    (refused,) = far.sent()
    assert isinstance(refused, Response)
    assert (refused.status, field(refused, "Accept")) == (415, "application/sdp")


def test_a_user_that_forgets_an_update_refuses_it() -> None:
    far = Scripted()
    far.establish_out()
    far.send("UPDATE", sdp=FAX_ANSWER)
    far.wait(20.1)
    assert far.names() == ["488 UPDATE"]
    with pytest.raises(LocalProtocolError):
        far.agent.answer_reinvite(far.call, FAX, far.now)


def test_hanging_up_refuses_an_open_update() -> None:
    """RFC 3261 section 15.1.2."""
    far = Scripted()
    far.establish_out()
    far.send("UPDATE", sdp=FAX_ANSWER)
    far.agent.bye(far.call, far.now)
    assert far.names() == ["487 UPDATE", "BYE"]


# Refusals of a change


def test_a_refused_reinvite_tells_all_it_says() -> None:
    """RFC 3326, RFC 3261 sections 20.33 and 20.43."""
    far = Scripted()
    far.establish_out()
    far.agent.reinvite(far.call, FAX, far.now)
    (invite,) = far.requests()
    far.respond(invite, 488, ("Warning", '304 gw "no T.38"'), ("Retry-After", "5"), ("Reason", "Q.850;cause=65"))
    (refused,) = far.events()
    assert isinstance(refused, ReofferRefused)
    assert (refused.status, refused.retry_after) == (488, 5)
    assert refused.causes[0].code == 65
    assert str(refused.warnings[0]) == "304 no T.38"


def test_a_reinvite_that_came_too_early_is_sent_again_when_the_peer_says() -> None:
    """RFC 3261 sections 14.2 and 21.5.1: 500 with Retry-After; without it, or with too long a one, it is a refusal."""
    far = Scripted()
    far.establish_out()
    far.agent.reinvite(far.call, FAX, far.now)
    (first,) = far.requests()
    far.respond(first, 500, ("Retry-After", "3"))
    far.sent()
    far.wait(2.9)
    assert far.requests("INVITE") == []
    far.wait(0.3)
    (second,) = far.requests("INVITE")
    assert second.body == FAX.to_bytes()
    far.respond(second, 500, ("Retry-After", "60"))
    assert far.events() == [ReofferRefused(far.call, 500, retry_after=60)]


def test_a_reinvite_that_asks_for_too_short_an_interval_is_sent_again() -> None:
    """RFC 4028 section 7.3."""
    far = Scripted()
    far.establish_out(WE_REFRESH)
    far.agent.reinvite(far.call, FAX, far.now)
    (first,) = far.requests()
    far.respond(first, 422, ("Min-SE", "180"))
    _, second = far.requests()
    assert field(second, "Session-Expires") == "180;refresher=uac"
    far.respond(second, 200, sdp=FAX_ANSWER)
    assert far.events() == [ReofferAnswered(far.call, FAX_ANSWER)]


# The answer to a refresh mirrors its offer


def lines(description: SessionDescription) -> list[tuple[str, int]]:
    return [(line.media, line.port) for line in description.media]


def test_an_answer_has_the_lines_of_its_offer_in_their_order() -> None:
    """RFC 3264 section 6."""
    own = SessionDescription(
        Origin(1, 1, CALLER[0]), (MediaLine("audio", 0, "RTP/AVP", ("8",)), t38_line(9)), CALLER[0]
    )
    assert mirrored(own, own) is own
    image = SessionDescription(Origin(2, 1, CALLEE[0]), (t38_line(7),), CALLEE[0])
    assert lines(mirrored(own, image)) == [("image", 9)]
    turned = SessionDescription(
        Origin(2, 1, CALLEE[0]), (t38_line(7), MediaLine("audio", 0, "RTP/AVP", ("0",))), CALLEE[0]
    )
    assert lines(mirrored(own, turned)) == [("image", 9), ("audio", 0)]


# Any order of things


MOVES = [
    "wait", "long", "update", "update-sdp", "update-fax", "reinvite", "reinvite-fax", "ack", "answer", "refuse",
    "ours", "200", "491", "422", "408", "481", "503", "transport", "old", "prack", "options",
]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.booleans(), st.booleans(), st.lists(st.sampled_from(MOVES), max_size=25))
def test_any_order_of_changes_and_refreshes_never_raises_and_always_ends(
    called: bool, ours: bool, moves: list[str]
) -> None:
    """The only errors are LocalProtocolError for commands out of place; a BYE ends the call within 64·T1."""
    far = Scripted()
    role = "uac" if ours else "uas"
    if called:
        far.establish_in(("Session-Expires", f"120;refresher={'uas' if ours else 'uac'}"), TIMER, UPDATE)
    else:
        far.establish_out(("Session-Expires", f"120;refresher={role}"), UPDATE)
    pending: list[Request] = []
    for move in moves:
        _move(far, move, pending)
        pending += far.requests()
    ended = kinds(far.events()).count("Ended")
    if far.agent.calls:
        with contextlib.suppress(LocalProtocolError):  # its BYE is under way
            far.agent.bye(far.call, far.now)
        far.wait(70.0)
        ended += kinds(far.events()).count("Ended")
    assert ended == 1
    assert far.agent.calls == 0
    far.wait(200.0)
    assert far.agent.get_timer() is None


def _move(far: Scripted, move: str, pending: list[Request]) -> None:
    statuses = ("200", "491", "422", "408", "481", "503")
    try:
        if move in statuses and pending:
            request = pending.pop()
            sdp = AUDIO_ANSWER if request.method == "INVITE" and move == "200" else None
            far.respond(request, int(move), ("Min-SE", "300"), ("Session-Expires", "120;refresher=uac"), sdp=sdp)
        elif move in ("wait", "long"):
            far.wait(3.0 if move == "wait" else 50.0)
        elif move in ("update", "options", "prack"):
            far.send(move.upper())
        elif move in ("update-sdp", "update-fax"):
            far.send("UPDATE", sdp=AUDIO_ANSWER if move == "update-sdp" else FAX_ANSWER)
        elif move in ("reinvite", "reinvite-fax"):
            far.send("INVITE", sdp=AUDIO_ANSWER if move == "reinvite" else FAX_ANSWER)
        elif move == "ack":
            far.send("ACK")
        elif move == "answer":
            far.agent.answer_reinvite(far.call, FAX, far.now)
        elif move == "refuse":
            far.agent.refuse_reinvite(far.call, 488, far.now)
        elif move == "ours":
            far.agent.reinvite(far.call, FAX, far.now)
        elif move == "transport":
            far.agent.handle_transport_error(CALLEE, far.now)
        elif move == "old":
            far.send("UPDATE", seq=1)
    except LocalProtocolError:
        pass  # a command out of place
