"""What strangers send: RFC 4475 answered, unsolicited requests bounded, dialogs matched strictly, fuzz."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faxgw.foip import agent as agent_module
from faxgw.foip import stack as stack_module
from faxgw.foip import stranger
from faxgw.foip.agent import UserAgent
from faxgw.foip.events import IncomingCall
from faxgw.foip.message import Request, Response, parse
from tests.foip.wire import AUDIO, CALLEE, CALLER, Wire, config, numbers, request

SOURCE = ("203.0.113.9", 5999)

# What a fax gateway that is no registrar answers first; None: a response, dropped; 100: accepted as a call.
ANSWERS: dict[str, int | None] = {
    "wsinv": 481,  # a To tag without a dialog (RFC 3261 section 12.2.2)
    "intmeth": 501, "esc01": 100, "escnull": 405, "esc02": 501, "lwsdisp": 200, "longreq": 100,
    "dblreq": 405, "semiuri": 200, "transports": 200, "mpart01": 405, "unreason": None, "noreason": None,
    "badinv01": 400, "clerr": 400, "ncl": 400, "scalar02": 400, "scalarlg": None, "quotbal": 400, "ltgtruri": 400,
    "lwsruri": 400,
    "lwsstart": 400, "trws": 400, "escruri": 400, "baddate": 100, "regbadct": 400, "badaspec": 400, "baddn": 400,
    "badvers": 505, "mismatch01": 400, "mismatch02": 501, "bigcode": None, "badbranch": 200, "insuf": 400,
    "unkscm": 416, "novelsc": 416, "unksm2": 405, "bext01": 420, "invut": 415, "regaut01": 405, "multi01": 400,
    "mcl01": 400, "bcast": None, "zeromf": 200, "cparam01": 405, "cparam02": 405, "regescrt": 405, "sdp01": 406,
    "inv2543": 100,
}  # fmt: skip


def callee() -> UserAgent:
    return UserAgent(config(CALLEE), numbers())


def via(number: object) -> tuple[str, str]:
    return ("Via", f"SIP/2.0/UDP 203.0.113.9;branch=z9hG4bK{number}")


def first_status(agent: UserAgent, data: bytes) -> int | None:
    agent.receive_datagram(data, SOURCE, 0.0)
    sent = [parse(answer) for answer, _ in agent.datagrams_to_send()]
    assert len(sent) <= 1
    assert all(isinstance(answer, Response) for answer in sent)
    return sent[0].status if sent and isinstance(sent[0], Response) else None


def test_each_torture_message_is_answered_as_the_rfc_says(rfc4475: dict[str, bytes]) -> None:
    """RFC 4475, all 49, as a UAS that is no registrar."""
    assert {name: first_status(callee(), data) for name, data in rfc4475.items()} == ANSWERS


def test_refusals_say_why(rfc4475: dict[str, bytes]) -> None:
    answers = {}
    for name in ("bext01", "invut", "cparam01"):
        agent = callee()
        agent.receive_datagram(rfc4475[name], SOURCE, 0.0)
        answers[name] = parse(agent.datagrams_to_send()[0][0])
    assert answers["bext01"].headers.tokens("Unsupported") == ["nothingSupportsThis", "nothingSupportsThisEither"]
    assert answers["invut"].headers.get("Accept") == "application/sdp"
    assert "INVITE" in answers["cparam01"].headers.tokens("Allow")


@pytest.mark.parametrize(
    ("method", "status"),
    [("REGISTER", 405), ("REFER", 405), ("SUBSCRIBE", 405), ("MESSAGE", 405), ("BYE", 481), ("PRACK", 481),
     ("INFO", 481), ("FLY", 501), ("OPTIONS", 200), ("INVITE", 100)],
)  # fmt: skip
def test_requests_outside_a_dialog(method: str, status: int) -> None:
    assert first_status(callee(), request(method)) == status


@pytest.mark.parametrize("method", ["INVITE", "BYE", "INFO", "OPTIONS", "UPDATE"])
def test_requests_of_no_dialog_get_481(method: str) -> None:
    assert first_status(callee(), request(method, ("To", "<sip:a@b>;tag=none"))) == 481


def test_a_stray_ack_and_cancel() -> None:
    assert first_status(callee(), request("ACK", ("To", "<sip:a@b>;tag=none"))) is None
    assert first_status(callee(), request("ACK", ("Call-ID", "a b"))) is None
    assert first_status(callee(), request("CANCEL")) == 481


def test_answers_go_where_the_rfc_says() -> None:
    """RFC 3261 section 18.2.2, RFC 3581: sent-by port, or the source port with rport; never maddr."""
    agent = callee()
    for via, port in (
        ("SIP/2.0/UDP 10.0.0.1:5080;branch=z9hG4bK1", 5080),
        ("SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK2;maddr=198.51.100.9", 5060),
        ("SIP/2.0/UDP 10.0.0.1:5080;rport;branch=z9hG4bK3", SOURCE[1]),
    ):
        agent.receive_datagram(request("OPTIONS", ("Via", via), ("Call-ID", via)), SOURCE, 0.0)
        [(data, destination)] = agent.datagrams_to_send()
        assert destination == (SOURCE[0], port)
        assert parse(data).via.param("received") == SOURCE[0]


def test_a_repeated_malformed_request_gets_the_same_answer() -> None:
    """RFC 3261 section 8.2.7."""
    wire = Wire()
    bad = request("INVITE", ("CSeq", "1 BYE"))
    assert [answer.to_bytes() for answer in wire.inject(bad)] == [answer.to_bytes() for answer in wire.inject(bad)]


def test_a_repeated_invite_is_one_call() -> None:
    wire = Wire()
    for _ in range(3):
        [answer] = wire.inject(request("INVITE"))
        assert isinstance(answer, Response) and answer.status == 100
    wire.flush()
    assert len(wire.take(CALLEE)) == 1


def test_a_request_that_broke_its_stream_is_answered_if_it_can_be_read() -> None:
    agent = callee()
    head = request("INVITE").partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    for broken in (head, request("ACK"), b"GET / HTTP/1.1\r\n\r\n", b"", b"SIP/2.0 200 OK\r\n\r\n"):
        agent.refuse_broken(broken, SOURCE, 400)
    [(data, destination)] = agent.datagrams_to_send()
    answer = parse(data)
    assert isinstance(answer, Response) and answer.status == 400 and answer.to.tag
    assert destination[0] == SOURCE[0]
    assert agent.calls == 0


def test_a_merged_request_is_a_loop() -> None:
    """RFC 3261 section 8.2.2.2."""
    agent = callee()
    assert first_status(agent, request("INVITE")) == 100
    assert first_status(agent, request("INVITE", ("Via", "SIP/2.0/UDP 198.51.100.1;branch=z9hG4bKother"))) == 482


def test_keepalives_and_noise_are_ignored() -> None:
    agent = callee()
    for data in (b"\r\n\r\n", b"", b"\0\0\0\0", b"hello\r\n\r\n", b"\xff" * 2000):
        assert first_status(agent, data) is None
    assert agent.get_timer() is None


def test_the_fields_of_a_call_are_fit_for_logs() -> None:
    agent = callee()
    data = request("INVITE", ("From", '"a\x07b" <sip:x%0Ay@b>;tag=1'), uri="sip:49%0D%0A89@192.0.2.2")
    assert first_status(agent, data) == 100
    event = agent.next_event()
    assert isinstance(event, IncomingCall)
    assert (event.target, event.caller, event.display) == ("4989", "xy", "ab")


def test_beyond_the_limit_calls_get_503() -> None:
    agent = UserAgent(config(CALLEE, max_calls=2), numbers())
    statuses = [first_status(agent, request("INVITE", ("Call-ID", f"c{n}"), via(n))) for n in range(3)]
    assert statuses == [100, 100, 503]


def test_unsolicited_requests_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_module, "MAX_SERVER_TRANSACTIONS", 10)
    agent = callee()

    def flood(start: int) -> list[int | None]:
        return [first_status(agent, request("OPTIONS", ("Call-ID", f"c{n}"), via(n))) for n in range(start, start + 12)]

    assert flood(0) == [200] * 10 + [503] * 2
    agent.handle_timer(33.0)  # timer J
    assert flood(100)[:10] == [200] * 10


def test_unfetched_events_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_module, "MAX_EVENTS", 1)
    agent = callee()
    assert first_status(agent, request("INVITE")) == 100
    assert first_status(agent, request("OPTIONS", ("Call-ID", "other"))) is None


def test_strangers_2xx_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A forged 2xx makes us send two requests: only so many in 32 s."""
    monkeypatch.setattr(stranger, "MAX_STRANGERS", 3)
    agent = UserAgent(config(CALLER), numbers())

    def forged(number: int) -> bytes:
        return (
            f"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKf{number}\r\nFrom: <sip:a@b>;tag=1\r\n"
            f"To: <sip:c@d>;tag={number}\r\nCall-ID: f\r\nCSeq: 1 INVITE\r\nContact: <sip:v@198.51.100.5>\r\n\r\n"
        ).encode()

    for number in range(10):
        agent.receive_datagram(forged(number), SOURCE, 0.0)
    assert len(agent.datagrams_to_send()) == 6
    agent.receive_datagram(forged(99), SOURCE, 33.0)
    assert len(agent.datagrams_to_send()) == 2


# Within a dialog


def talk() -> tuple[Wire, str]:
    """A stranger's call that stands; returns our tag."""
    wire = Wire()
    wire.inject(request("INVITE", ("Content-Type", "application/sdp"), body=AUDIO.to_bytes()))
    wire.flush()
    [event] = wire.take(CALLEE)
    assert isinstance(event, IncomingCall)
    wire.callee.answer(event.call, AUDIO, wire.now)
    tag = event.call.rpartition("/")[2]
    wire.callee.datagrams_to_send()
    wire.inject(inside("ACK", tag, 1, "ack"))
    wire.flush()
    wire.take(CALLEE)
    return wire, tag


def inside(method: str, tag: str, number: int, branch: str, *fields: tuple[str, str], body: bytes = b"") -> bytes:
    usual = (
        ("To", f"<sip:100@192.0.2.2>;tag={tag}"),
        ("CSeq", f"{number} {method}"),
        ("Via", f"SIP/2.0/UDP 203.0.113.9:5999;branch=z9hG4bK{branch}"),
    )
    return request(method, *usual, *fields, body=body)


@pytest.mark.parametrize(
    ("method", "body", "status"),
    [("OPTIONS", b"", 200), ("INFO", b"", 200), ("INFO", b"Signal=1", 415), ("UPDATE", b"", 200),
     ("UPDATE", b"v=0", 415), ("NOTIFY", b"", 481), ("REFER", b"", 405),
     ("MESSAGE", b"x", 405), ("BYE", b"", 200), ("FLY", b"", 501)],
)  # fmt: skip
def test_requests_within_a_dialog(method: str, body: bytes, status: int) -> None:
    wire, tag = talk()
    [answer] = wire.inject(inside(method, tag, 2, "two", body=body))
    assert isinstance(answer, Response)
    assert answer.status == status


def test_cseq_must_rise() -> None:
    """RFC 3261 section 12.2.2."""
    wire, tag = talk()
    for number, branch, status in ((5, "a", 200), (4, "b", 500), (5, "c", 500), (6, "d", 200)):
        [answer] = wire.inject(inside("OPTIONS", tag, number, branch))
        assert isinstance(answer, Response)
        assert answer.status == status


def test_dialogs_are_matched_by_both_tags() -> None:
    wire, tag = talk()
    [answer] = wire.inject(inside("BYE", tag, 2, "x", ("From", "<sip:x@203.0.113.9>;tag=other")))
    assert isinstance(answer, Response) and answer.status == 481
    [answer] = wire.inject(inside("BYE", tag + "0", 2, "y"))
    assert isinstance(answer, Response) and answer.status == 481
    assert wire.callee.calls == 1


def test_an_extension_required_within_a_dialog_is_refused() -> None:
    wire, tag = talk()
    [answer] = wire.inject(inside("INVITE", tag, 2, "x", ("Require", "100rel, precondition")))
    assert isinstance(answer, Response) and answer.status == 420
    assert answer.headers.get("Unsupported") == "precondition"


@pytest.mark.parametrize(("kind", "status"), [("text/plain", 415), ("application/sdp", 400)])
def test_a_reinvite_that_cannot_be_read_leaves_the_call(kind: str, status: int) -> None:
    wire, tag = talk()
    [answer] = wire.inject(inside("INVITE", tag, 2, "x", ("Content-Type", kind), body=b"hello"))
    assert isinstance(answer, Response) and answer.status == status
    assert wire.callee.calls == 1


def test_a_second_reinvite_before_the_first_is_answered_gets_500() -> None:
    """RFC 3261 section 14.2."""
    wire, tag = talk()
    changed = AUDIO.to_bytes().replace(b"30000", b"30010")
    kind = ("Content-Type", "application/sdp")
    assert wire.inject(inside("INVITE", tag, 2, "x", kind, body=changed)) == []
    [answer] = wire.inject(inside("INVITE", tag, 3, "y", kind, body=changed))
    assert isinstance(answer, Response)
    assert answer.status == 500
    assert 0 <= int(answer.headers.get("Retry-After") or "-1") <= 10


def test_a_cancel_must_match_its_invite() -> None:
    wire = Wire()
    wire.inject(request("INVITE"))
    [refused] = wire.inject(request("CANCEL", ("Via", "SIP/2.0/UDP 203.0.113.9:5999;branch=z9hG4bKother")))
    assert isinstance(refused, Response) and refused.status == 481
    granted, ended = wire.inject(request("CANCEL"))
    assert isinstance(granted, Response) and isinstance(ended, Response)
    assert (granted.status, ended.status) == (200, 487)
    assert granted.to.tag == ended.to.tag


def test_an_unanswerable_request_is_dropped() -> None:
    """An answer that would not fit a datagram is not sent."""
    agent = callee()
    vias = b"".join(b"Via: SIP/2.0/UDP h;branch=z9hG4bK%d;x=%s\r\n" % (n, b"y" * 240) for n in range(210))
    head = b"OPTIONS sip:a@b SIP/2.0\r\n" + vias + b"From: <sip:a@b>;tag="
    agent.receive_datagram(head + b"x" * (65_530 - len(head) - 4) + b"\r\n\r\n", SOURCE, 0.0)
    assert agent.datagrams_to_send() == []


EDITS = st.lists(st.tuples(st.integers(0, 700), st.binary(max_size=3)), max_size=5)


@settings(max_examples=250, deadline=None)
@given(
    st.integers(0, 9), st.lists(st.tuples(st.integers(0, 700), st.binary(max_size=3)), max_size=5), st.integers(0, 3)
)
def test_mutated_datagrams_never_raise(index: int, edits: list[tuple[int, bytes]], copies: int) -> None:
    wire, tag = talk()
    seeds = [
        request("INVITE", ("Content-Type", "application/sdp"), body=AUDIO.to_bytes()),
        request("CANCEL"),
        request("OPTIONS"),
        *(inside(method, tag, 2, "m") for method in ("BYE", "ACK", "INFO", "UPDATE", "PRACK")),
        inside("INVITE", tag, 2, "m", ("Content-Type", "application/sdp"), body=AUDIO.to_bytes()),
        b"SIP/2.0 200 OK\r\n" + request("INVITE").partition(b"\r\n")[2].replace(b"203.0.113.9:5999", b"192.0.2.2:5060"),
    ]
    data = bytearray(seeds[index])
    for position, octets in edits:
        at = position % len(data)
        data[at : at + len(octets)] = octets
    for _ in range(copies + 1):
        wire.callee.receive_datagram(bytes(data), SOURCE, wire.now)
        for answer, _destination in wire.callee.datagrams_to_send():
            assert isinstance(parse(answer), Request | Response)
    wire.callee.handle_timer(wire.now + 100)
