"""A dialog from the answer to BYE: what is granted in it, what is matched to it (RFC 3261 sections 12.2 and 15)."""

from __future__ import annotations

import pytest

from faxgw.foip.digest import Credentials
from faxgw.foip.errors import LocalProtocolError, RemoteProtocolError
from faxgw.foip.events import Acknowledged, By, Ended
from faxgw.foip.headers import Cause
from faxgw.foip.message import Headers, Request
from faxgw.foip.session import readable_sdp, sdp_of
from tests.foip.scripted import Scripted, field, kinds
from tests.foip.wire import AUDIO, AUDIO_ANSWER, FAX_ANSWER

CHALLENGE = ("WWW-Authenticate", 'Digest realm="r", nonce="n"')


@pytest.mark.parametrize("called", [False, True])
@pytest.mark.parametrize(
    ("method", "status"),
    [("OPTIONS", 200), ("INFO", 200), ("NOTIFY", 481), ("PRACK", 481), ("REFER", 405), ("SUBSCRIBE", 405),
     ("MESSAGE", 405), ("PUBLISH", 405), ("REGISTER", 405), ("FLY", 501), ("UPDATE", 200)],
)  # fmt: skip
def test_requests_in_a_call_are_granted_or_refused_and_change_nothing(called: bool, method: str, status: int) -> None:
    """Sections 8.2.1 and 12.2.2: what we do not have gets 405 with Allow."""
    far = Scripted()
    if called:
        far.establish_in()
    else:
        far.establish_out()
    extra: tuple[tuple[str, str], ...] = (("Refer-To", "<sip:other@192.0.2.9>"), ("Event", "dialog"))
    if method == "PRACK" and called:
        extra = (*extra, ("RAck", "1 101 INVITE"))
    answer = far.ask(method, *extra)
    assert answer.status == status
    if status == 405:
        allowed = field(answer, "Allow")
        assert "REFER" not in allowed
        assert {"PRACK", "UPDATE"} <= set(allowed.split(", "))
    assert far.events() == []
    assert far.agent.calls == 1


def test_options_in_a_call_say_what_we_can() -> None:
    """Section 11.2."""
    far = Scripted()
    far.establish_out()
    answer = far.ask("OPTIONS")
    assert field(answer, "Accept") == "application/sdp"
    assert field(answer, "Supported") == "timer, 100rel"


def test_an_extension_we_lack_is_named() -> None:
    """Section 8.2.2.3; the request does not count for the dialog's CSeq."""
    far = Scripted()
    far.establish_out()
    answer = far.ask("INFO", ("Require", "timer, precondition"))
    assert (answer.status, field(answer, "Unsupported")) == (420, "precondition")
    assert far.ask("INFO", seq=far.seq).status == 200


def test_a_request_is_of_a_dialog_by_call_id_and_both_tags() -> None:
    """Section 12.2.2."""
    far = Scripted()
    far.establish_out()
    own = far.call.rpartition("/")[2]
    for tags in (("other", own), (far.tag, "other"), ("other", "other")):
        assert far.ask("BYE", tags=tags).status == 481
    call = far.call
    far.call = type(call)("elsewhere/" + own)
    assert far.ask("BYE").status == 481
    far.call = call
    assert far.agent.calls == 1
    assert far.ask("BYE").status == 200


def test_a_lower_cseq_is_refused() -> None:
    """Section 12.2.2."""
    far = Scripted()
    far.establish_out()
    far.seq = 500
    assert far.ask("OPTIONS").status == 200
    for method, sdp in (("BYE", None), ("UPDATE", None), ("INVITE", FAX_ANSWER)):
        assert far.ask(method, seq=500, sdp=sdp).status == 500
        if method == "INVITE":
            far.send("ACK", seq=500)
    assert far.agent.calls == 1


def test_an_ack_of_another_dialog_acknowledges_nothing() -> None:
    far = Scripted()
    far.invite()
    far.sent()
    far.agent.answer(far.call, AUDIO, far.now)
    for tags in (("other", far.call.rpartition("/")[2]), (far.tag, "other")):
        far.send("ACK", tags=tags)
    far.send("ACK", seq=99)
    assert far.events() == []
    far.send("ACK")
    assert far.events() == [Acknowledged(far.call, None)]


def test_the_reason_of_a_bye_is_told() -> None:
    """RFC 3326."""
    far = Scripted()
    far.establish_out()
    far.send("BYE", ("Reason", 'Q.850;cause=16;text="Normal call clearing"'))
    assert far.events() == [Ended(far.call, By.REMOTE, "bye", (Cause("Q.850", 16, "Normal call clearing"),))]


def test_a_challenged_bye_is_sent_again_with_credentials() -> None:
    """Section 22.2; a second challenge ends it all the same."""
    far = Scripted()
    far.establish_out(credentials=Credentials("u", "p"))
    far.agent.bye(far.call, far.now)
    (first,) = far.requests()
    far.respond(first, 401, CHALLENGE)
    (second,) = far.requests()
    assert 'nonce="n"' in field(second, "Authorization")
    far.respond(second, 401, (CHALLENGE[0], CHALLENGE[1].replace('"n"', '"m"')))
    assert far.requests() == []
    assert far.events() == [Ended(far.call, By.LOCAL, "bye")]


def test_requests_after_our_bye_find_no_dialog_but_a_bye_is_granted() -> None:
    far = Scripted()
    far.establish_out()
    far.agent.bye(far.call, far.now)
    far.sent()
    assert far.ask("INVITE", sdp=FAX_ANSWER).status == 481
    far.send("ACK")
    assert far.ask("OPTIONS").status == 481
    assert far.ask("BYE").status == 200
    with pytest.raises(LocalProtocolError):
        far.agent.bye(far.call, far.now)
    far.wait(40.0)
    assert kinds(far.events()) == ["Ended"]


def test_a_reinvite_and_a_bye_of_the_peer_at_once() -> None:
    """Section 15.1.2: what has no answer yet gets 487."""
    far = Scripted()
    far.establish_out()
    far.send("INVITE", sdp=FAX_ANSWER)
    far.send("BYE")
    assert far.names() == ["200 BYE", "487 INVITE"]
    assert kinds(far.events()) == ["Reoffered", "Ended"]


def message(kind: str, body: bytes) -> Request:
    return Request("INVITE", "sip:a@b", Headers([("Content-Type", kind)]), body)


def test_a_description_is_found_alone_and_among_parts() -> None:
    """RFC 5621 section 3.1: SIP-I carries its ISUP beside it."""
    plain = AUDIO_ANSWER.to_bytes()
    parts = b"--x\r\nContent-Type: application/ISUP\r\n\r\n\x01\r\n--x\r\nContent-Type: application/sdp\r\n\r\n" + plain
    assert sdp_of(message("application/sdp", plain)) == AUDIO_ANSWER
    assert sdp_of(message('multipart/mixed; boundary="x"', parts + b"\r\n--x--\r\n")) == AUDIO_ANSWER
    assert sdp_of(message("application/sdp", b"")) is None


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [("text/plain", b"x", 415), ("multipart/mixed", b"--x", 415), ("multipart/mixed;boundary=x", b"--x\r\n\r\n", 415),
     ("application/sdp", b"x", 400)],
)  # fmt: skip
def test_a_body_that_is_none_says_which_fault_it_is(kind: str, body: bytes, status: int) -> None:
    with pytest.raises(RemoteProtocolError) as fault:
        sdp_of(message(kind, body))
    assert fault.value.status == status
    assert readable_sdp(message(kind, body)) is None
