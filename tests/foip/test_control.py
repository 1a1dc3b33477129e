"""Every control message survives the pipe, and nothing else is taken for one."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faxgw.foip.control import (
    Ack,
    Cfr,
    Confirmed,
    Document,
    Documents,
    Gate,
    Hangup,
    Heard,
    Limits,
    Media,
    Message,
    PageReceived,
    PhaseB,
    PhaseE,
    Ping,
    Pong,
    Role,
    Start,
    Statistics,
    SwitchRefused,
    SwitchT38,
    T38Media,
    Tone,
    TooFine,
    Trace,
    decode,
    encode,
)
from faxgw.foip.errors import LocalProtocolError

T38 = T38Media(("192.0.2.1", 4000), 300, "fec", 9600)
MESSAGES: list[Message] = [
    Start(1, Role.SEND, ("192.0.2.1", 5), 8, None, "+49 1", (Document("FN1", 3, 2, 3),), limits=Limits(page=5.0)),
    Start(2, Role.RECEIVE, None, 0, T38, "", ecm=False, calling_party=False),
    Start(3, Role.SEND, None, 8, None, "", (Document("FN1", 1, 1, 1),), sub_address="4711#"),
    Start(4, Role.RECEIVE, None, 8, None, "", calling_party=False, takes_sub_address=True),
    Start(5, Role.RECEIVE, None, 8, None, "", signalling="192.0.2.9", nat=True),
    Media(1, ("192.0.2.1", 6), 0),
    SwitchT38(1, T38),
    Ack(1, Gate.CONFIRMED, "FN1", 3),
    Hangup(1),
    Ping(9),
    Heard(1, Tone.V21),
    PhaseB(1, "+49 2", b"\xff\x13\x80", "FN1", 2),
    PhaseB(1, "+49 2", b"\xff\x13\x83", sub_address="4711"),
    TooFine(1, ("204x98", "204x196")),
    Documents(1, (Document("FN1", 3, 2, 3),)),
    Cfr(1, "FN1"),
    Confirmed(1, "FN1", 2),
    PageReceived(1, 1, 2200, 1728, 8031, 7700, 0, "MMR", True),
    PhaseE(1, 0, "OK", "+49 2", Statistics("t38", 14400, True, "MMR", 2), "hangup"),
    Trace(1, ((0.5, "<", b"\xff\x13\x80"), (1.5, ">", b"\xff\x13\x83"))),
    SwitchRefused(1),
    Pong(9, 1.5, 3),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_every_message_survives(message: Message) -> None:
    assert decode(encode(message)) == message


def test_every_kind_of_message_is_tried_here() -> None:
    assert {type(message) for message in MESSAGES} == set(Message.__args__)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc1",
        msgpack.packb(["Nothing", {}]),
        msgpack.packb(["Ping", {}]),
        msgpack.packb(["Ping", {"serial": 1, "more": 2}]),
        msgpack.packb(["Ack", {"call": 1, "gate": "ajar", "fax": "", "page": 1}]),
        msgpack.packb(7),
    ],
)
def test_anything_else_is_refused(payload: bytes) -> None:
    with pytest.raises(LocalProtocolError):
        decode(payload)


@given(st.binary(max_size=100))
def test_garbage_is_refused(payload: bytes) -> None:
    with pytest.raises(LocalProtocolError):
        decode(payload)
