"""A call we place, with everything that may come before its answer (RFC 3261, RFC 3262, RFC 4028)."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faxgw.foip.caller import MAX_ATTEMPTS, MAX_PRACKS, MAX_REDIRECTS
from faxgw.foip.digest import Credentials
from faxgw.foip.errors import LocalProtocolError
from faxgw.foip.events import Answered, By, Ended, Provisional, Rejected
from faxgw.foip.headers import Cause
from faxgw.foip.message import Request, Response
from faxgw.foip.refusal import WarningValue
from faxgw.foip.stack import Transport
from tests.foip.scripted import Scripted, field, kinds
from tests.foip.wire import AUDIO, AUDIO_ANSWER, CALLEE, FAX_ANSWER, Address

CHALLENGE = ("WWW-Authenticate", 'Digest realm="r", nonce="n"')
SECRET = Credentials("u", "p")
THIRD: Address = ("192.0.2.3", 5060)


def reliable(rseq: int) -> tuple[tuple[str, str], tuple[str, str]]:
    return ("Require", "100rel"), ("RSeq", str(rseq))


def anywhere(_uri: str) -> Address | None:
    return THIRD


# Session interval


def test_a_422_is_answered_with_the_interval_it_names_within_the_same_call() -> None:
    """RFC 4028 section 7.3: same Call-ID, From and To; the next CSeq, the branch recovery can name."""
    far = Scripted()
    first = far.dial()
    far.respond(first, 422, ("Min-SE", "3600"))
    ack, second = far.requests()
    assert ack.method == "ACK"
    assert (field(second, "Session-Expires"), field(second, "Min-SE")) == ("3600", "3600")
    assert (second.call_id, second.from_.tag) == (first.call_id, first.from_.tag)
    assert second.cseq.number == first.cseq.number + 1
    assert second.via.branch == first.via.branch + ".1"
    far.respond(second, 422, ("Min-SE", "7200"))
    assert far.names() == ["ACK"]
    assert far.events() == [Rejected(far.call, 422, "Session Interval Too Small")]


@pytest.mark.parametrize("fields", [(), (("Min-SE", "90"),)])
def test_a_422_that_names_no_more_is_a_refusal(fields: tuple[tuple[str, str], ...]) -> None:
    far = Scripted()
    far.respond(far.dial(), 422, *fields)
    assert far.names() == ["ACK"]
    assert kinds(far.events()) == ["Rejected"]


# Reliable provisional responses (RFC 3262 section 4)


def test_pracks_are_offered_unless_told_otherwise() -> None:
    assert field(Scripted().dial(), "Supported") == "timer, 100rel"
    far = Scripted()
    invite = far.dial(reliable=False)
    assert field(invite, "Supported") == "timer"
    far.respond(invite, 183, *reliable(1))
    assert far.names() == []
    assert far.events() == [Provisional(far.call, 183, None)]


def test_a_reliable_response_is_acknowledged_in_its_early_dialog() -> None:
    """RFC 3262 sections 4 and 7.2: to the Contact, by the Record-Route, RAck with both numbers."""
    far = Scripted()
    invite = far.dial()
    route = ("Record-Route", "<sip:192.0.2.9;lr>")
    far.respond(invite, 183, *reliable(776), route, sdp=AUDIO_ANSWER, contact="<sip:early@192.0.2.2>")
    ((prack, destination),) = far.addressed()
    assert isinstance(prack, Request)
    assert (prack.method, prack.uri, destination) == ("PRACK", "sip:early@192.0.2.2", ("192.0.2.9", 5060))
    assert field(prack, "RAck") == f"776 {invite.cseq.number} INVITE"
    assert field(prack, "Route") == "<sip:192.0.2.9;lr>"
    assert prack.cseq.number == invite.cseq.number + 1
    assert (prack.to.tag, prack.from_.tag, prack.body) == ("far", invite.from_.tag, b"")
    assert far.events() == [Provisional(far.call, 183, AUDIO_ANSWER)]


def test_repetitions_are_ignored_and_what_overtook_waits_for_its_turn() -> None:
    """RFC 3262 section 4."""
    far = Scripted()
    invite = far.dial()
    for rseq, expected in ((10, ["PRACK"]), (10, []), (12, []), (11, ["PRACK"]), (12, ["PRACK"]), (11, [])):
        far.respond(invite, 180, *reliable(rseq))
        assert far.names() == expected
    assert kinds(far.events()) == ["Provisional"] * 3


def test_a_lost_prack_is_repeated_by_its_transaction() -> None:
    far = Scripted()
    far.respond(far.dial(), 180, *reliable(1))
    (prack,) = far.requests()
    far.wait(0.6)
    (again,) = far.requests()
    assert again.to_bytes() == prack.to_bytes()
    far.respond(prack, 200)
    far.wait(30.0)
    assert far.requests() == []


def test_a_2xx_without_a_description_has_that_of_the_reliable_response() -> None:
    """RFC 3262 section 5: that was the answer; and the CSeq of the dialog goes on."""
    far = Scripted()
    invite = far.dial()
    far.respond(invite, 183, *reliable(1), sdp=AUDIO_ANSWER)
    (prack,) = far.requests()
    far.respond(invite, 183, *reliable(2), sdp=FAX_ANSWER)  # no second answer
    far.requests()
    far.events()
    far.respond(invite, 200)
    (answered,) = far.events()
    assert isinstance(answered, Answered)
    assert answered.sdp == AUDIO_ANSWER
    assert answered.dialog.local_seq == prack.cseq.number + 1
    far.agent.acknowledge(far.call, far.now)
    far.agent.bye(far.call, far.now)
    ack, bye = far.requests()
    assert ack.cseq.number == invite.cseq.number
    assert bye.cseq.number == prack.cseq.number + 2


def test_only_a_reliable_description_is_the_answer_before_the_2xx() -> None:
    """RFC 3261 section 13.2.1, RFC 3262 section 5: what comes unreliably may be followed by another."""
    far = Scripted()
    invite = far.dial()
    far.respond(invite, 183, sdp=FAX_ANSWER)
    far.respond(invite, 183, *reliable(1), sdp=AUDIO_ANSWER)
    far.respond(invite, 200)
    answered = far.events()[-1]
    assert isinstance(answered, Answered)
    assert answered.sdp == AUDIO_ANSWER


def test_the_description_of_the_2xx_counts_before_an_early_one() -> None:
    """Deviation from RFC 3261 section 13.2.1: gateways announce on one address and answer on another."""
    far = Scripted()
    invite = far.dial()
    far.respond(invite, 183, sdp=FAX_ANSWER)
    far.respond(invite, 200, sdp=AUDIO_ANSWER)
    answered = far.events()[-1]
    assert isinstance(answered, Answered)
    assert answered.sdp == AUDIO_ANSWER


def test_each_early_dialog_of_a_fork_has_its_own_pracks() -> None:
    """RFC 3262 section 4: RSeq spaces and CSeq numbers are per early dialog; the loser gets ACK and BYE."""
    far = Scripted()
    invite = far.dial()
    far.respond(invite, 180, *reliable(1), tag="one")
    far.respond(invite, 180, *reliable(50), tag="two")
    far.respond(invite, 180, *reliable(2), tag="one")
    pracks = far.requests()
    assert [(prack.to.tag, field(prack, "RAck").split()[0]) for prack in pracks] == [
        ("one", "1"), ("two", "50"), ("one", "2"),
    ]  # fmt: skip
    assert [prack.cseq.number - invite.cseq.number for prack in pracks] == [1, 1, 2]
    far.events()
    far.respond(invite, 200, tag="two", sdp=AUDIO_ANSWER)
    assert kinds(far.events()) == ["Answered"]
    far.respond(invite, 200, tag="one", sdp=FAX_ANSWER)
    ack, bye = far.requests()
    assert [(request.method, request.to.tag) for request in (ack, bye)] == [("ACK", "one"), ("BYE", "one")]
    assert bye.cseq.number == pracks[2].cseq.number + 1
    far.agent.acknowledge(far.call, far.now)
    assert [request.to.tag for request in far.requests()] == ["two"]
    assert far.events() == []


def test_early_dialogs_are_bounded() -> None:
    far = Scripted()
    invite = far.dial()
    for number in range(20):
        far.respond(invite, 180, *reliable(1), tag=f"t{number}")
    assert len(far.requests("PRACK")) == 8


def test_pracks_are_bounded() -> None:
    """A called side that never stops costs us so many transactions and no more."""
    far = Scripted()
    invite = far.dial()
    for number in range(100):
        far.respond(invite, 180, *reliable(number + 1))
    assert len(far.requests("PRACK")) == MAX_PRACKS


def test_a_challenged_prack_bears_credentials() -> None:
    far = Scripted()
    far.respond(far.dial(credentials=SECRET), 180, *reliable(1))
    (prack,) = far.requests()
    far.respond(prack, 401, CHALLENGE)
    (again,) = far.requests()
    assert again.cseq.number == prack.cseq.number + 1
    assert field(again, "RAck") == field(prack, "RAck")
    assert 'nonce="n"' in field(again, "Authorization")


def test_a_prack_that_fails_leaves_the_call_to_its_invite() -> None:
    far = Scripted()
    invite = far.dial()
    far.respond(invite, 180, *reliable(1))
    (prack,) = far.requests()
    far.respond(prack, 481)
    far.wait(40.0)
    assert kinds(far.events()) == ["Provisional"]
    far.respond(invite, 504)
    assert kinds(far.events()) == ["Rejected"]


def test_a_cancelled_call_still_acknowledges_what_is_reliable() -> None:
    far = Scripted()
    invite = far.dial()
    far.agent.cancel(far.call, far.now)
    far.respond(invite, 180, *reliable(1))
    assert far.names() == ["PRACK", "CANCEL"]
    assert far.events() == []


# Requests in early dialogs


def test_requests_in_an_early_dialog_are_matched_and_judged() -> None:
    """RFC 3261 sections 12.2.2 and 15, RFC 3311 section 5.2."""
    far = Scripted()
    invite = far.dial()
    assert far.ask("UPDATE").status == 481  # no dialog yet
    far.respond(invite, 183)
    assert far.ask("UPDATE").status == 200
    assert far.ask("UPDATE", sdp=FAX_ANSWER).status == 491  # our offer has no answer
    far.respond(invite, 183, *reliable(1), sdp=AUDIO_ANSWER)
    far.requests()
    same = far.ask("UPDATE", sdp=AUDIO_ANSWER)
    assert (same.status, same.body) == (200, AUDIO.to_bytes())
    assert far.ask("UPDATE", sdp=FAX_ANSWER).status == 504
    assert far.ask("OPTIONS").status == 200
    assert far.ask("OPTIONS", seq=1).status == 500
    assert far.ask("INVITE", sdp=FAX_ANSWER).status == 491
    far.send("ACK")
    assert far.ask("BYE").status == 403
    assert far.ask("PRACK").status == 481
    assert far.ask("OPTIONS", tags=("other", invite.from_.tag)).status == 481
    far.respond(invite, 200, sdp=AUDIO_ANSWER)
    assert kinds(far.events())[-1] == "Answered"
    assert far.ask("OPTIONS", seq=50).status == 500  # the numbers go on from the early dialog


# Redirections (RFC 3261 section 8.1.3.4)


def moved(*uris: str) -> tuple[str, str]:
    return "Contact", ", ".join(uris)


def test_a_redirection_is_followed_where_the_policy_leads() -> None:
    far = Scripted()
    asked: list[str] = []

    def only_third(uri: str) -> Address | None:
        asked.append(uri)
        return THIRD if uri.endswith(".3") else None

    first = far.dial(redirect=only_third, route=("<sip:192.0.2.2;lr>",), credentials=SECRET)
    far.respond(first, 302, moved("<sip:a@192.0.2.8>;q=0.9", "<sip:b@192.0.2.3?Route=%3Csip:x%3E>;q=0.5"))
    (ack, _), (second, destination) = far.addressed()
    assert isinstance(second, Request)
    assert (ack.cseq.method, second.method, second.uri, destination) == ("ACK", "INVITE", "sip:b@192.0.2.3", THIRD)
    assert asked == ["sip:a@192.0.2.8", "sip:b@192.0.2.3"]
    assert (second.call_id, str(second.to), second.from_.tag) == (first.call_id, str(first.to), first.from_.tag)
    assert second.via.branch == first.via.branch + ".1"
    assert second.cseq.number == first.cseq.number + 1
    assert first.headers.get_all("Route") == ["<sip:192.0.2.2;lr>"]
    assert second.headers.get_all("Route") == []
    assert second.body == AUDIO.to_bytes()
    far.respond(second, 200, sdp=AUDIO_ANSWER)
    assert kinds(far.events()) == ["Answered"]


@pytest.mark.parametrize(
    ("status", "options"),
    [(302, {}), (302, {"redirect": lambda _uri: None}), (305, {"redirect": anywhere}), (380, {"redirect": anywhere})],
)
def test_a_redirection_that_may_not_be_followed_is_a_refusal(status: int, options: dict[str, object]) -> None:
    far = Scripted()
    far.respond(far.dial(**options), status, moved("<sip:b@192.0.2.3>"))
    assert far.names() == ["ACK"]
    (rejected,) = far.events()
    assert isinstance(rejected, Rejected)
    assert rejected.status == status


def test_the_preferred_contact_is_tried_first_and_the_next_after_its_failure() -> None:
    """RFC 3261 sections 8.1.3.4 and 20.10."""
    far = Scripted()
    first = far.dial(redirect=anywhere)
    far.respond(first, 300, moved("<sip:c@192.0.2.3>;q=0.1", "<sip:a@192.0.2.3>", "<sip:b@192.0.2.3>;q=0.7"))
    uris = []
    for status in (404, 408, 503):
        (invite,) = far.requests("INVITE")
        uris.append(invite.uri)
        far.respond(invite, status)
    assert uris == ["sip:a@192.0.2.3", "sip:b@192.0.2.3", "sip:c@192.0.2.3"]
    (rejected,) = far.events()
    assert isinstance(rejected, Rejected)
    assert (rejected.status, rejected.local) == (503, False)


def test_a_target_named_twice_is_tried_once() -> None:
    """RFC 3261 section 8.1.3.4."""
    far = Scripted()
    far.respond(far.dial(redirect=anywhere), 302, moved("<sip:a@192.0.2.3>", "<sip:a@192.0.2.3>;q=0.3"))
    (invite,) = far.requests("INVITE")
    far.respond(invite, 302, moved("<sip:a@192.0.2.3>"))
    assert far.names() == ["ACK"]
    assert kinds(far.events()) == ["Rejected"]


def test_a_global_failure_ends_the_search() -> None:
    """RFC 3261 section 8.1.3.4."""
    far = Scripted()
    far.respond(far.dial(redirect=anywhere), 302, moved("<sip:a@192.0.2.3>", "<sip:b@192.0.2.3>"))
    (invite,) = far.requests("INVITE")
    far.respond(invite, 603)
    assert far.names() == ["ACK"]
    assert kinds(far.events()) == ["Rejected"]


def test_redirections_without_end_end() -> None:
    """MAX_REDIRECTS; a target is tried once (RFC 3261 section 8.1.3.4)."""
    far = Scripted()
    invite = far.dial(redirect=anywhere)
    for number in range(10):
        far.respond(invite, 302, moved(f"<sip:t{number}@192.0.2.3>", f"<{invite.uri}>"))
        further = far.requests("INVITE")
        if not further:
            break
        (invite,) = further
    assert number == MAX_REDIRECTS
    assert invite.via.branch.endswith(f".{MAX_REDIRECTS}")
    assert kinds(far.events()) == ["Rejected"]


def test_an_unreachable_target_gives_way_to_the_next() -> None:
    far = Scripted()
    far.respond(far.dial(redirect=anywhere), 302, moved("<sip:a@192.0.2.3>", "<sip:b@192.0.2.3>"))
    far.requests()
    far.agent.handle_transport_error(THIRD, far.now)
    (invite,) = far.requests()
    assert invite.uri == "sip:b@192.0.2.3"
    far.agent.handle_transport_error(THIRD, far.now)
    assert far.events() == [Rejected(far.call, 503, "Service Unavailable", local=True)]


def test_credentials_of_one_target_are_not_shown_to_another() -> None:
    far = Scripted()
    far.respond(far.dial(redirect=anywhere, credentials=SECRET), 401, CHALLENGE)
    (second,) = far.requests("INVITE")
    assert "Authorization" in second.headers
    far.respond(second, 302, moved("<sip:a@192.0.2.3>"))
    (third,) = far.requests("INVITE")
    assert "Authorization" not in third.headers
    assert third.via.branch == second.via.branch.removesuffix(".1") + ".2"


def test_all_reasons_together_send_so_many_invites_at_most() -> None:
    """Recovery names all branches there may be: MAX_ATTEMPTS."""
    far = Scripted()
    invites = [far.dial(redirect=anywhere, credentials=SECRET)]
    script = ((401, CHALLENGE), (422, ("Min-SE", "9000")), *[(302, moved(f"<sip:{n}@192.0.2.3>")) for n in range(9)])
    for status, fields in script:
        far.respond(invites[-1], status, fields)
        further = far.requests("INVITE")
        if not further:
            break
        invites += further
    assert len(invites) == MAX_ATTEMPTS
    base = invites[0].via.branch
    assert [invite.via.branch for invite in invites] == [base, *(f"{base}.{n}" for n in range(1, MAX_ATTEMPTS))]
    assert kinds(far.events()) == ["Rejected"]


def test_a_cancel_goes_where_the_redirection_led() -> None:
    """RFC 3261 section 9.1."""
    far = Scripted()
    far.respond(far.dial(redirect=anywhere), 302, moved("<sip:a@192.0.2.3>"))
    (second,) = far.requests("INVITE")
    far.respond(second, 180)
    far.agent.cancel(far.call, far.now)
    ((cancel, destination),) = far.addressed()
    assert isinstance(cancel, Request)
    assert (cancel.uri, destination, cancel.via.branch) == (second.uri, THIRD, second.via.branch)


# An outbound proxy


def test_an_invite_goes_by_its_preloaded_route() -> None:
    """RFC 3261 section 8.1.2; ACK of a refusal and CANCEL bear it too (sections 9.1 and 17.1.1.3)."""
    far = Scripted()
    route = "<sip:proxy.example.net;lr>"
    invite = far.dial(route=(route,))
    assert (invite.uri, invite.headers.get_all("Route")) == ("sip:4989@192.0.2.2", [route])
    far.respond(invite, 180)
    far.agent.cancel(far.call, far.now)
    (cancel,) = far.requests()
    assert cancel.headers.get_all("Route") == [route]
    far.respond(invite, 487)
    (ack,) = far.requests()
    assert ack.headers.get_all("Route") == [route]
    with pytest.raises(LocalProtocolError):
        Scripted().dial(route=("<<",))


# What a refusal says


def test_a_refusal_tells_reason_warning_and_when_to_come_again() -> None:
    far = Scripted()
    far.respond(
        far.dial(), 503, ("Retry-After", "30"), ("Reason", "Q.850;cause=42"), ("Warning", '399 gw "no circuit"')
    )
    (rejected,) = far.events()
    assert rejected == Rejected(
        far.call,
        503,
        "Service Unavailable",
        (Cause("Q.850", 42),),
        30,
        warnings=(WarningValue(399, "gw", "no circuit"),),
    )


# Transport


def test_a_bye_over_a_broken_connection_is_sent_once_more() -> None:
    """A connection that breaks loses requests (RFC 3261 section 18.4); the shell opens another."""
    far = Scripted(transport=Transport.TCP)
    far.establish_out()
    far.agent.bye(far.call, far.now)
    (first,) = far.requests()
    far.agent.handle_transport_error(CALLEE, far.now)
    (second,) = far.requests()
    assert second.cseq.number == first.cseq.number + 1
    assert far.events() == []
    far.agent.handle_transport_error(CALLEE, far.now)
    assert far.requests() == []
    assert far.events() == [Ended(far.call, By.LOCAL, "bye")]


def test_a_bye_to_a_host_that_is_gone_is_not_repeated() -> None:
    """Over UDP an ICMP error says that nobody is there (section 8.1.3.1)."""
    far = Scripted()
    far.establish_out()
    far.agent.bye(far.call, far.now)
    far.sent()
    far.agent.handle_transport_error(CALLEE, far.now)
    assert far.sent() == []
    assert far.events() == [Ended(far.call, By.LOCAL, "bye")]


def test_an_invite_over_a_broken_connection_fails_at_once() -> None:
    """RFC 3261 section 8.1.3.1; one that is being worked on is not lost with the connection (section 18.2.2)."""
    far = Scripted(transport=Transport.TCP)
    far.dial()
    far.agent.handle_transport_error(CALLEE, far.now)
    assert far.events() == [Rejected(far.call, 503, "Service Unavailable", local=True)]
    working = Scripted(transport=Transport.TCP)
    working.respond(working.dial(), 180)
    working.agent.handle_transport_error(CALLEE, working.now)
    assert kinds(working.events()) == ["Provisional"]


# Any order of things


MOVES = ["180", "183", "rel", "rel-sdp", "relfork", "again", "200", "200fork", "302", "401", "422", "486", "503",
         "cancel", "ack", "bye", "update", "update-sdp", "farbye", "options", "wait", "long", "transport",
         "prack200", "prack401", "prack481"]  # fmt: skip


@settings(max_examples=250, deadline=None)
@given(st.lists(st.sampled_from(MOVES), max_size=30))
def test_any_order_before_and_after_the_answer_never_raises_and_always_ends(moves: list[str]) -> None:
    far = Scripted()
    state = _Far(far.dial(redirect=anywhere, credentials=SECRET))
    events = []
    for move in moves:
        _move(far, move, state)
        for message in far.sent():
            if isinstance(message, Request) and message.method == "INVITE" and not message.to.tag:
                state.invite = message
            elif isinstance(message, Request) and message.method == "PRACK":
                state.pracks.append(message)
        events += far.events()
    if far.agent.calls:
        with contextlib.suppress(LocalProtocolError):
            far.agent.cancel(far.call, far.now)
        with contextlib.suppress(LocalProtocolError):
            far.agent.bye(far.call, far.now)
        far.respond(state.invite, 180)  # lets the CANCEL go
        far.wait(150.0)
        events += far.events()
    assert [kind for kind in kinds(events) if kind in ("Rejected", "Ended")] in (["Rejected"], ["Ended"])
    assert kinds(events).count("Answered") <= 1
    assert far.agent.calls == 0
    far.wait(200.0)
    assert far.agent.get_timer() is None


class _Far:
    def __init__(self, invite: Request) -> None:
        self.invite = invite
        self.rseq = 0
        self.pracks: list[Request] = []


def _move(far: Scripted, move: str, state: _Far) -> None:
    invite = state.invite
    if move in ("180", "183", "401", "422", "486", "503", "302"):
        fields = (CHALLENGE, ("Min-SE", "4000"), moved(f"<sip:{far.now}@192.0.2.3>"))
        far.respond(invite, int(move), *(fields if int(move) > 300 else ()))
    elif move in ("rel", "rel-sdp"):
        state.rseq += 1
        far.respond(invite, 183, *reliable(state.rseq), sdp=AUDIO_ANSWER if move == "rel-sdp" else None)
    elif move == "relfork":
        far.respond(invite, 183, *reliable(7), tag="fork")
    elif move == "again":
        far.respond(invite, 183, *reliable(max(1, state.rseq)))
    elif move in ("200", "200fork"):
        far.respond(invite, 200, sdp=AUDIO_ANSWER, tag="fork" if move == "200fork" else None)
    elif move.startswith("prack") and state.pracks:
        far.respond(state.pracks.pop(), int(move[5:]), CHALLENGE)
    elif move in ("update", "update-sdp", "options"):
        far.send(move.partition("-")[0].upper(), sdp=FAX_ANSWER if move == "update-sdp" else None)
    elif move == "farbye":
        far.send("BYE")
    elif move in ("wait", "long"):
        far.wait(1.0 if move == "wait" else 33.0)
    elif move == "transport":
        far.agent.handle_transport_error(CALLEE, far.now)
    else:
        command = {"cancel": far.agent.cancel, "ack": far.agent.acknowledge, "bye": far.agent.bye}.get(move)
        if command is not None:
            with contextlib.suppress(LocalProtocolError):
                command(far.call, far.now)


def test_the_far_ends_final_word_crossing_a_cancel_is_an_end() -> None:
    far = Scripted()
    invite = far.dial()
    far.respond(invite, 180)
    far.agent.cancel(far.call, far.now)
    far.respond(invite, 302, moved("<sip:a@192.0.2.3>"), ("Reason", "SIP;cause=487"))
    assert far.events()[-1] == Ended(far.call, By.LOCAL, "cancel", (Cause("SIP", 487),))
    assert not any(isinstance(message, Response) for message in far.sent())
