"""The four machines, timer by timer (RFC 3261 section 17, RFC 6026)."""

import pytest

from faxgw.foip.errors import LocalProtocolError
from faxgw.foip.message import Headers, Request, parse, response_to
from faxgw.foip.transaction import (
    InviteClient,
    InviteServer,
    NonInviteClient,
    NonInviteServer,
    Outbox,
    State,
    Timers,
    TimerValues,
    Transaction,
    cancelled_key,
    client_key,
    server_key,
)

PEER = ("192.0.2.9", 5060)
RELIABLE = TimerValues(reliable=True)


def request(method: str = "INVITE", branch: str = "z9hG4bKone", cseq: str = "") -> Request:
    headers = Headers(
        [
            ("Via", f"SIP/2.0/UDP 192.0.2.1:5060;branch={branch}"),
            ("Route", "<sip:proxy.example.com;lr>"),
            ("From", "<sip:a@example.com>;tag=from"),
            ("To", "<sip:b@example.com>"),
            ("Call-ID", "call"),
            ("CSeq", cseq or f"7 {method}"),
        ]
    )
    return Request(method, "sip:b@example.com", headers)


def run(
    machine: InviteClient | NonInviteClient | InviteServer | NonInviteServer, outbox: Outbox, until: float
) -> list[tuple[float, str]]:
    """Let the timers run; what was sent when, and the time-out at its moment."""
    log: list[tuple[float, str]] = []
    outbox.clear()
    while (at := machine.deadline) is not None and at <= until:
        failed = machine.handle_timer(at)
        log += [(at, parse(data).start_line().split(" ")[0]) for data, _ in outbox]
        outbox.clear()
        if failed:
            log.append((at, "failed"))
    return log


def times(log: list[tuple[float, str]], name: str) -> list[float]:
    return [at for at, what in log if what == name]


# INVITE client


def test_an_invite_is_repeated_with_doubling_intervals_and_fails_after_64_t1() -> None:
    """RFC 3261 section 17.1.1.2: timers A and B."""
    outbox: Outbox = []
    machine = InviteClient(request(), PEER, outbox, 0.0)
    assert outbox == [(request().to_bytes(), PEER)]
    log = run(machine, outbox, 100)
    assert times(log, "INVITE") == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert times(log, "failed") == [32.0]
    assert machine.terminated


def test_a_provisional_response_ends_the_repetition_for_good() -> None:
    outbox: Outbox = []
    machine = InviteClient(request(), PEER, outbox, 0.0)
    assert machine.receive(response_to(request(), 180), 1.0) is not None
    assert machine.receive(response_to(request(), 183), 2.0) is not None
    assert machine.state is State.PROCEEDING
    assert run(machine, outbox, 1000) == []


def test_a_refusal_is_acknowledged_each_time_it_comes_until_timer_d() -> None:
    """RFC 3261 section 17.1.1.3: the ACK bears the INVITE's Via and Route and the response's To."""
    outbox: Outbox = []
    machine = InviteClient(request(), PEER, outbox, 0.0)
    outbox.clear()
    refusal = response_to(request(), 486, tag="busy")
    assert machine.receive(refusal, 1.0) is refusal
    assert machine.receive(refusal, 2.0) is None
    assert machine.receive(response_to(request(), 180), 2.0) is None
    assert len(outbox) == 2 and outbox[0] == outbox[1]
    ack = parse(outbox[0][0])
    assert ack.start_line() == "ACK sip:b@example.com SIP/2.0"
    assert ack.via.branch == "z9hG4bKone"
    assert ack.headers.get("Route") == "<sip:proxy.example.com;lr>"
    assert (ack.to.tag, str(ack.cseq)) == ("busy", "7 ACK")
    assert machine.deadline == 33.0
    assert run(machine, outbox, 100) == []
    assert machine.terminated


def test_every_2xx_is_passed_on_until_timer_m() -> None:
    """RFC 6026 section 7.2: forks and repetitions are the user's business, a refusal after it nobody's."""
    outbox: Outbox = []
    machine = InviteClient(request(), PEER, outbox, 0.0)
    outbox.clear()
    for tag in ("one", "two", "one"):
        assert machine.receive(response_to(request(), 200, tag=tag), 1.0) is not None
    assert machine.receive(response_to(request(), 486), 1.0) is None
    assert machine.receive(response_to(request(), 180), 1.0) is None
    assert machine.state is State.ACCEPTED
    assert outbox == []
    assert machine.deadline == 33.0
    assert run(machine, outbox, 100) == []
    assert machine.terminated


def test_over_a_reliable_transport_an_invite_is_sent_once() -> None:
    outbox: Outbox = []
    machine = InviteClient(request(), PEER, outbox, 0.0, RELIABLE)
    assert run(machine, outbox, 100) == [(32.0, "failed")]
    machine = InviteClient(request(), PEER, outbox, 0.0, RELIABLE)
    machine.receive(response_to(request(), 486), 1.0)
    assert machine.terminated


def test_cancel_waits_for_a_provisional_response() -> None:
    """RFC 3261 section 9.1."""
    machine = InviteClient(request(), PEER, [], 0.0)
    with pytest.raises(LocalProtocolError):
        machine.build_cancel()
    machine.receive(response_to(request(), 100), 0.1)
    cancel = machine.build_cancel()
    assert cancel.via.branch == "z9hG4bKone"
    assert str(cancel.cseq) == "7 CANCEL"
    assert cancel.to.tag == ""
    assert cancelled_key(cancel) == server_key(request())
    machine.receive(response_to(request(), 200, tag="x"), 0.2)
    with pytest.raises(LocalProtocolError):
        machine.build_cancel()
    machine.abandon()
    assert machine.terminated and machine.deadline is None


# non-INVITE client


def test_a_request_is_repeated_up_to_t2_and_fails_after_64_t1() -> None:
    """RFC 3261 section 17.1.2.2: timers E and F."""
    outbox: Outbox = []
    machine = NonInviteClient(request("BYE"), PEER, outbox, 0.0)
    log = run(machine, outbox, 100)
    assert times(log, "BYE") == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert times(log, "failed") == [32.0]


def test_after_a_provisional_a_request_is_repeated_every_t2() -> None:
    outbox: Outbox = []
    machine = NonInviteClient(request("BYE"), PEER, outbox, 0.0)
    assert machine.receive(response_to(request("BYE"), 100), 0.1) is not None
    assert times(run(machine, outbox, 13), "BYE") == [0.5, 4.5, 8.5, 12.5]
    final = response_to(request("BYE"), 200)
    assert machine.receive(final, 13.0) is final
    assert machine.receive(final, 14.0) is None
    assert machine.deadline == 18.0  # timer K
    assert run(machine, outbox, 100) == []
    assert machine.terminated


def test_over_a_reliable_transport_a_request_is_sent_once() -> None:
    outbox: Outbox = []
    machine = NonInviteClient(request("BYE"), PEER, outbox, 0.0, RELIABLE)
    assert run(machine, outbox, 31) == []
    machine.receive(response_to(request("BYE"), 200), 31.5)
    assert machine.terminated
    other = NonInviteClient(request("BYE"), PEER, outbox, 0.0)
    other.abandon()
    assert other.terminated and other.deadline is None


# INVITE server


def test_a_repeated_invite_gets_the_last_provisional_again() -> None:
    """RFC 3261 section 17.2.1."""
    outbox: Outbox = []
    machine = InviteServer(request(), PEER, outbox)
    machine.send(response_to(request(), 100), 0.0)
    machine.send(response_to(request(), 180, tag="t"), 0.1)
    outbox.clear()
    assert machine.receive(request(), 0.5) is None
    assert parse(outbox[0][0]).start_line() == "SIP/2.0 180 Ringing"


def test_a_refusal_is_repeated_until_its_ack_and_fails_after_64_t1() -> None:
    """RFC 3261 section 17.2.1: timers G and H."""
    outbox: Outbox = []
    machine = InviteServer(request(), PEER, outbox)
    machine.send(response_to(request(), 486, tag="t"), 0.0)
    log = run(machine, outbox, 100)
    assert times(log, "SIP/2.0") == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert times(log, "failed") == [32.0]


def test_the_ack_of_a_refusal_ends_its_repetition() -> None:
    """Timer I absorbs further ACKs."""
    outbox: Outbox = []
    machine = InviteServer(request(), PEER, outbox)
    machine.send(response_to(request(), 486, tag="t"), 0.0)
    outbox.clear()
    assert machine.receive(request(), 0.2) is None
    assert len(outbox) == 1
    outbox.clear()
    ack = request("ACK", cseq="7 ACK")
    assert server_key(ack) == server_key(request())
    assert machine.receive(ack, 0.3) is None
    assert machine.state is State.CONFIRMED
    assert machine.receive(ack, 0.4) is None
    assert machine.receive(request(), 0.4) is None
    assert run(machine, outbox, 100) == []
    assert machine.terminated


def test_in_accepted_the_user_repeats_the_2xx_and_gets_the_ack() -> None:
    """RFC 6026 section 7.1: timer L; a repeated INVITE is absorbed."""
    outbox: Outbox = []
    machine = InviteServer(request(), PEER, outbox)
    ok = response_to(request(), 200, tag="t")
    machine.send(ok, 0.0)
    machine.send(ok, 0.5)
    assert len(outbox) == 2
    assert machine.receive(request(), 0.6) is None
    assert len(outbox) == 2
    assert machine.receive(request("ACK", cseq="7 ACK"), 0.7) is not None
    with pytest.raises(LocalProtocolError):
        machine.send(response_to(request(), 486), 0.8)
    assert machine.deadline == 32.0
    assert run(machine, outbox, 100) == []
    assert machine.terminated


def test_over_a_reliable_transport_a_refusal_is_sent_once() -> None:
    outbox: Outbox = []
    machine = InviteServer(request(), PEER, outbox, RELIABLE)
    machine.send(response_to(request(), 486, tag="t"), 0.0)
    assert run(machine, outbox, 31) == []
    machine.receive(request("ACK", cseq="7 ACK"), 31.0)
    assert machine.terminated


# non-INVITE server


def test_a_repeated_request_gets_the_same_response_until_timer_j() -> None:
    """RFC 3261 section 17.2.2."""
    outbox: Outbox = []
    machine = NonInviteServer(request("BYE"), PEER, outbox)
    assert machine.receive(request("BYE"), 0.0) is None
    assert outbox == []  # Trying: nothing to repeat yet
    machine.send(response_to(request("BYE"), 100), 0.1)
    machine.send(response_to(request("BYE"), 200), 0.2)
    machine.receive(request("BYE"), 1.0)
    assert [parse(data).start_line() for data, _ in outbox] == [
        "SIP/2.0 100 Trying",
        "SIP/2.0 200 OK",
        "SIP/2.0 200 OK",
    ]
    with pytest.raises(LocalProtocolError):
        machine.send(response_to(request("BYE"), 500), 2.0)
    assert machine.deadline == 32.2
    assert run(machine, outbox, 100) == []
    assert machine.terminated
    reliable = NonInviteServer(request("BYE"), PEER, outbox, RELIABLE)
    reliable.send(response_to(request("BYE"), 200), 0.0)
    assert reliable.terminated


# matching and timers


def test_requests_of_rfc_2543_elements_are_matched_by_their_fields() -> None:
    """RFC 3261 section 17.2.3; RFC 4475 badbranch and inv2543."""
    first = request(branch="z9hG4bK")
    assert server_key(first) == server_key(request(branch="z9hG4bK"))
    assert server_key(first) != server_key(request(branch="z9hG4bK", cseq="8 INVITE"))
    assert server_key(request(branch="old")) != server_key(request(branch="other"))
    assert server_key(request(branch="old")) == server_key(request("ACK", branch="old", cseq="7 ACK"))


def test_responses_are_matched_by_branch_and_method() -> None:
    """RFC 3261 section 17.1.3: a CANCEL shares the branch of its INVITE."""
    assert client_key(request()) == client_key(response_to(request(), 200))
    assert client_key(request()) != client_key(request("CANCEL"))


def test_timers_fire_in_order_and_once() -> None:
    timers = Timers()
    timers.start("late", 2.0)
    timers.start("early", 1.0)
    timers.start("never", 9.0)
    timers.stop("never", "unknown")
    assert timers.deadline == 1.0
    assert timers.running("late")
    assert list(timers.due(2.0)) == ["early", "late"]
    assert timers.deadline is None


def test_a_transaction_starts_alive() -> None:
    assert not Transaction([], PEER, TimerValues(), State.TRYING).terminated
