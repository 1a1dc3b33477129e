"""Each twist on the messages of one call, by hand."""

from __future__ import annotations

from faxgw.foip.message import Headers, Request, Response, parse
from faxgw.simulator.manner import Twist
from faxgw.simulator.twist import ACKS_LOST, BYES_UNHEARD, CROSSES_AFTER, FORK_TAG, Twister, call_id_of, number_of

SOURCE = ("192.0.2.1", 5060)
TAG = ";tag=machine"


def fields(method: str, to_tag: str = "", **more: str) -> Headers:
    return Headers(
        [
            ("Via", "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1"),
            ("From", "<sip:+49@192.0.2.1>;tag=gateway"),
            ("To", f"<sip:+49300901@192.0.2.2>{to_tag}"),
            ("Call-ID", "call-1"),
            ("CSeq", f"1 {method}"),
            *((name.replace("_", "-"), value) for name, value in more.items()),
        ]
    )


def request(method: str, to_tag: str = "", **more: str) -> bytes:
    return Request(method, "sip:+49300901@192.0.2.2;user=phone", fields(method, to_tag, **more)).to_bytes()


def ok(method: str, body: bytes = b"") -> bytes:
    return Response(200, "OK", fields(method, TAG, Content_Type="application/sdp"), body).to_bytes()


INVITE, REINVITE, ACK, CANCEL, BYE = (
    request("INVITE"),
    request("INVITE", TAG),
    request("ACK", TAG),
    request("CANCEL"),
    request("BYE", TAG),
)
ANSWER, BYE_OK = ok("INVITE", b"v=0\r\n"), ok("BYE")
OTHERS = (INVITE, REINVITE, ACK, CANCEL, BYE, b"no message")


def into(twister: Twister, *octets: bytes) -> list[bytes]:
    return [passed for one in octets for passed in twister.incoming(one, SOURCE, 10.0)]


def out(twister: Twister, *octets: bytes) -> list[bytes]:
    return [passed for one in octets for passed in twister.outgoing(one)]


def test_most_messages_pass_untouched() -> None:
    for twist in (Twist.FIRST_200_LOST, Twist.FORKED, Twist.NO_BODY, Twist.REASON, Twist.BYE_UNHEARD):
        assert into(Twister(twist), *OTHERS) == list(OTHERS)
    for twist in (Twist.ACK_LOST_TWICE, Twist.GLARE, Twist.ANSWERS_CANCEL, Twist.REINVITE_UNHEARD):
        assert out(Twister(twist), ANSWER, BYE_OK, BYE, b"\0") == [ANSWER, BYE_OK, BYE, b"\0"]


def test_one_that_is_mute_says_nothing() -> None:
    assert out(Twister(Twist.MUTE), ANSWER, BYE_OK) == []


def test_the_first_acks_are_lost() -> None:
    twister = Twister(Twist.ACK_LOST_TWICE)
    assert into(twister, *[ACK] * (ACKS_LOST + 2), INVITE) == [ACK, ACK, INVITE]


def test_reinvites_are_lost_and_the_first_invite_is_not() -> None:
    assert into(Twister(Twist.REINVITE_UNHEARD), INVITE, REINVITE, REINVITE, BYE) == [INVITE, BYE]


def test_the_first_200_is_lost_that_of_the_bye_is_not() -> None:
    assert out(Twister(Twist.FIRST_200_LOST), BYE_OK, ANSWER, ANSWER) == [BYE_OK, ANSWER]


def test_the_answers_to_byes_are_lost() -> None:
    assert out(Twister(Twist.BYE_UNHEARD), *[BYE_OK] * (BYES_UNHEARD + 1), ANSWER) == [BYE_OK, ANSWER]


def test_a_fork_answers_once_with_a_tag_of_its_own() -> None:
    first, second, repeated = out(Twister(Twist.FORKED), ANSWER, ANSWER)
    assert first == repeated == ANSWER
    assert parse(second).to.tag == FORK_TAG
    assert parse(second).body == parse(first).body


def test_a_200_without_a_description() -> None:
    (answer,) = out(Twister(Twist.NO_BODY), ANSWER)
    assert parse(answer).body == b""
    assert parse(answer).headers.get("Content-Length") == "0"


def test_messages_leave_twice_or_after_noise() -> None:
    assert out(Twister(Twist.ALL_TWICE), ANSWER) == [ANSWER, ANSWER]
    noise, answer = out(Twister(Twist.NOISE), ANSWER)
    assert answer == ANSWER
    assert call_id_of(noise) == ""


def test_a_bye_says_why() -> None:
    (bye,) = out(Twister(Twist.REASON), BYE)
    assert (parse(bye).headers.get("Reason") or "").startswith("Q.850;cause=41")


def test_what_is_to_be_crossed_waits_and_gives_a_cue() -> None:
    """What is repeated meanwhile is lost; later ones pass."""
    for twist, cue, octets in ((Twist.GLARE, "reinvite", REINVITE), (Twist.ANSWERS_CANCEL, "cancel", CANCEL)):
        twister = Twister(twist)
        assert into(twister, INVITE, octets, octets, ACK) == [INVITE, ACK]
        assert twister.cues == [cue]
        assert twister.due(10.0 + CROSSES_AFTER / 2) == []
        assert twister.due(10.0 + CROSSES_AFTER) == [(octets, SOURCE)]
        assert twister.due(20.0) == []
        assert into(twister, octets) == [octets]


def test_a_session_becomes_short() -> None:
    asked = request("INVITE", Session_Expires="1800")
    for twist, wanted in ((Twist.REFRESHED_BY_GATEWAY, "90"), (Twist.REFRESHED_BY_MACHINE, "90;refresher=uas")):
        (invite,) = into(Twister(twist), asked)
        assert parse(invite).headers.get("Session-Expires") == wanted
        assert into(Twister(twist), REINVITE) == [REINVITE]


def test_whom_a_message_calls_and_which_call_it_is_of() -> None:
    assert number_of(INVITE) == "+49300901"
    assert [number_of(octets) for octets in (REINVITE, BYE, ANSWER, b"x")] == [""] * 4
    assert [call_id_of(octets) for octets in (INVITE, ANSWER, b"x")] == ["call-1", "call-1", ""]
    assert call_id_of(b"BYE sip:x@y SIP/2.0\r\n\r\n") == ""
