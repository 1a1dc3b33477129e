"""What strangers cost: few answers, no memory, nothing sent on their word (RFC 3261 sections 11.2 and 26)."""

from __future__ import annotations

import pytest

from faxgw.foip.agent import AgentConfig, UserAgent
from faxgw.foip.stack import MAX_SERVER_TRANSACTIONS

US = ("192.0.2.1", 5060)
PEER, STRANGER = ("192.0.2.2", 5060), ("198.51.100.7", 5060)
ANSWERED = 10


class Gate:
    """As the line's screen: peers pass, a few of the others are answered."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, source: tuple[str, int]) -> int | None:
        if source == PEER:
            return None
        self.asked += 1
        return 404 if self.asked <= ANSWERED else 0


def agent() -> UserAgent:
    return UserAgent(AgentConfig(US[0]), screen=Gate())


def request(method: str, number: int, source: tuple[str, int], more: str = "") -> bytes:
    return (
        f"{method} sip:1@{US[0]} SIP/2.0\r\nVia: SIP/2.0/UDP {source[0]};branch=z9hG4bK{number};rport\r\n"
        f"Max-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:1@{US[0]}>\r\nCall-ID: {number}\r\n"
        f"CSeq: 1 {method}\r\n{more}Content-Length: 0\r\n\r\n"
    ).encode()


@pytest.mark.parametrize(
    ("method", "more"),
    [("OPTIONS", ""), ("INVITE", ""), ("REGISTER", ""), ("BYE", ""), ("CANCEL", ""), ("INVITE", "Max-Forwards: x\r\n")],
)
def test_a_flood_of_strangers_is_answered_a_few_times_and_leaves_nothing(method: str, more: str) -> None:
    """Seen: OPTIONS of anybody took a transaction each, and 4,096 of them left none for the trunk's calls."""
    ours = agent()
    for number in range(MAX_SERVER_TRANSACTIONS + 10):
        ours.receive_datagram(request(method, number, STRANGER, more), STRANGER, 0.0)
    assert 0 < len(ours.datagrams_to_send()) <= ANSWERED
    assert ours.get_timer() is None
    ours.receive_datagram(request("OPTIONS", -1, PEER), PEER, 0.0)
    assert ours.datagrams_to_send()[0][0].startswith(b"SIP/2.0 200")


def test_forged_answers_make_us_send_a_few_requests_only() -> None:
    """A 2xx that nobody waits for gets ACK and BYE, and the BYE is repeated for 32 s: towards whoever was named."""
    ours = agent()
    for number in range(200):
        ours.receive_datagram(
            (
                f"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP {US[0]};branch=z9hG4bK{number}\r\nFrom: <sip:a@b>;tag=1\r\n"
                f"To: <sip:b@c>;tag=2\r\nCall-ID: {number}\r\nCSeq: 1 INVITE\r\nContact: <sip:x@{STRANGER[0]}>\r\n"
                "Content-Length: 0\r\n\r\n"
            ).encode(),
            STRANGER,
            0.0,
        )
    assert 0 < len(ours.datagrams_to_send()) <= 2 * ANSWERED


def test_a_trunk_hears_what_was_wrong_however_often() -> None:
    ours = agent()
    for number in range(50):
        ours.receive_datagram(request("REGISTER", number, PEER), PEER, 0.0)
    assert len(ours.datagrams_to_send()) == 50
