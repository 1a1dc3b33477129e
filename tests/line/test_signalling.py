"""SIP messages in words (RFC 3261, RFC 4566)."""

from __future__ import annotations

import pytest

from faxgw.foip.sdp import MediaLine, Origin, T38Parameters, audio_line, offer, t38_line
from faxgw.line import signalling
from faxgw.line.signalling import Signalling, call_id_of, describe_message

ORIGIN = Origin(1, 1, "192.0.2.1")


OFF = MediaLine("audio", 0, "RTP/AVP", ("0",))
VIDEO = MediaLine("video", 9, "RTP/AVP", ("31",))


def message(
    start: str, *lines: MediaLine, to: str = "<sip:b@192.0.2.2>", more: str = "", cseq: str = "1 INVITE"
) -> bytes:
    body = offer(ORIGIN, *lines).to_bytes() if lines else b""
    head = (
        f"{start}\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nFrom: <sip:a@192.0.2.1>;tag=1\r\nTo: {to}\r\n"
        f"Call-ID: abc@192.0.2.1\r\nCSeq: {cseq}\r\n{more}"
    )
    kind = "Content-Type: application/sdp\r\n" if body else ""
    return f"{head}{kind}Content-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.mark.parametrize(
    "octets, words",
    [
        (message("INVITE sip:b@192.0.2.2 SIP/2.0", audio_line(4000)), "INVITE, audio PCMA/PCMU, port 4000"),
        (
            message("INVITE sip:b@192.0.2.2 SIP/2.0", t38_line(4002), to="<sip:b@192.0.2.2>;tag=2"),
            "re-INVITE, T.38 14400 bit/s, redundancy, datagrams of 400, port 4002",
        ),
        (
            message("SIP/2.0 200 OK", t38_line(4002, T38Parameters(9600, 200)), OFF),
            "200 OK to INVITE, T.38 9600 bit/s, redundancy, datagrams of 200, port 4002 + audio off",
        ),
        (message("SIP/2.0 488 Not Acceptable Here"), "488 Not Acceptable Here to INVITE"),
        (
            message("BYE sip:b@192.0.2.2 SIP/2.0", cseq="2 BYE", more="Reason: Q.850;cause=16;text=\"bye\"\r\n"),
            'BYE, reason Q.850;cause=16;text="bye"',
        ),
        (message("SIP/2.0 200 OK", VIDEO), "200 OK to INVITE, video RTP/AVP, port 9"),
        (b"\0\1\2 nonsense", "a message that is none"),
    ],
)  # fmt: skip
def test_a_message_is_told_in_one_line(octets: bytes, words: str) -> None:
    assert describe_message(octets) == words


def test_an_unreadable_session_description_is_said() -> None:
    octets = message("SIP/2.0 200 OK", audio_line(4000)).replace(b"m=audio 4000", b"m=audio what")
    assert describe_message(octets) == "200 OK to INVITE, an unreadable session description"


@pytest.mark.parametrize(
    "octets, found",
    [
        (message("SIP/2.0 180 Ringing"), "abc@192.0.2.1"),
        (b"BYE x SIP/2.0\r\ni:  short@x\r\n\r\n", "short@x"),
        (b"BYE x SIP/2.0\r\nX: y\r\n\r\nCall-ID: in-the-body\r\n", ""),
        (b"", ""),
    ],
)
def test_the_call_id_is_found_without_a_parser(octets: bytes, found: str) -> None:
    assert call_id_of(octets) == found


def test_repetitions_are_counted_and_times_are_relative() -> None:
    """RFC 3261 section 17: what is repeated is the same octets."""
    now = [100.0]
    said = Signalling(lambda: now[0])
    invite = message("INVITE sip:b@192.0.2.2 SIP/2.0")
    for at in (100.0, 100.5, 101.5):
        now[0] = at
        said.see(True, invite)
    now[0] = 101.6
    said.see(False, message("SIP/2.0 180 Ringing"))
    assert said.since(100.0) == [(0.0, ">", "INVITE (repeated 2 times)"), (1.6, "<", "180 Ringing to INVITE")]
    assert [at for at, _sent, _octets in said.messages] == [100.0, 100.5, 101.5, 101.6]


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signalling, "MAX_STEPS", 3)
    monkeypatch.setattr(signalling, "MAX_OCTETS", 700)
    said = Signalling(lambda: 1.0)
    for number in range(10):
        said.see(False, message(f"SIP/2.0 18{number} Ringing"))
    assert len(said.steps) == 3
    assert 0 < sum(len(octets) for _at, _sent, octets in said.messages) <= 700
