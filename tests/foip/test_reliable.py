"""Reliable provisional responses: numbers, order, repetition (RFC 3262)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faxgw.foip.errors import RemoteProtocolError
from faxgw.foip.message import Headers, Request, Response
from faxgw.foip.reliable import RAck, ReliableResponse, RSeqOrder, rseq_of


def ringing(*fields: tuple[str, str], status: int = 180) -> Response:
    return Response(status, "", Headers([("CSeq", "7 INVITE"), *fields]))


def test_rack_is_read_and_written() -> None:
    """Section 7.2."""
    assert RAck.parse(" 776656  1 INVITE ") == RAck(776656, 1, "INVITE")
    assert str(RAck(776656, 1, "INVITE")) == "776656 1 INVITE"
    for text in ("", "1 INVITE", "a 1 INVITE", "1 2", "99999999999 1 INVITE"):
        with pytest.raises(RemoteProtocolError):
            RAck.parse(text)


@pytest.mark.parametrize(
    ("fields", "status", "rseq"),
    [
        ([("Require", "100rel"), ("RSeq", "5")], 180, 5),
        ([("Require", "foo, 100REL"), ("RSeq", "5")], 183, 5),
        ([("Supported", "100rel"), ("RSeq", "5")], 180, None),
        ([("Require", "100rel")], 180, None),
        ([("Require", "100rel"), ("RSeq", "0")], 180, None),
        ([("Require", "100rel"), ("RSeq", "4294967296")], 180, None),
        ([("Require", "100rel"), ("RSeq", "5")], 100, None),
        ([("Require", "100rel"), ("RSeq", "5")], 200, None),
        ([("Require", '"'), ("RSeq", "5")], 180, None),
    ],
)
def test_which_responses_want_a_prack(fields: list[tuple[str, str]], status: int, rseq: int | None) -> None:
    """Section 4: 101 to 199 with Require and RSeq."""
    assert rseq_of(ringing(*fields, status=status)) == rseq


def test_responses_are_taken_in_order_once_each() -> None:
    """Section 4: the first may have any number; each further one is one higher."""
    order = RSeqOrder()
    assert [order.take(number) for number in (500, 500, 502, 501, 501, 502, 499, 503)] == [
        True, False, False, True, False, True, False, True,
    ]  # fmt: skip


@given(st.lists(st.integers(1, 12), max_size=40))
def test_whatever_arrives_what_is_taken_counts_up_by_one(numbers: list[int]) -> None:
    order = RSeqOrder()
    taken = [number for number in numbers if order.take(number)]
    assert taken == list(range(taken[0], taken[0] + len(taken))) if taken else not numbers


def test_a_response_is_repeated_at_doubling_intervals_and_given_up_after_64_t1() -> None:
    """Section 3: T1 doubles for each repetition, with no bound but 64·T1."""
    waiting = ReliableResponse(ringing(), 9, now=10.0, t1=0.5)
    times = []
    while waiting.repeat_at < waiting.give_up_at:
        times.append(waiting.repeat_at)
        waiting.repeated()
    assert times == [10.5, 11.5, 13.5, 17.5, 25.5, 41.5]
    assert waiting.give_up_at == 42.0
    assert waiting.response.headers.get("RSeq") == "9"
    assert waiting.response.headers.get("Require") == "100rel"


def test_a_prack_must_name_response_and_invite() -> None:
    """Section 3."""
    waiting = ReliableResponse(ringing(), 9, now=0.0, t1=0.5)

    def prack(rack: str) -> Request:
        return Request("PRACK", "sip:a@b", Headers([("RAck", rack)]))

    assert waiting.is_acknowledged_by(prack("9 7 INVITE"))
    for rack in ("8 7 INVITE", "9 8 INVITE", "9 7 UPDATE"):
        assert not waiting.is_acknowledged_by(prack(rack))
    with pytest.raises(RemoteProtocolError):
        waiting.is_acknowledged_by(Request("PRACK", "sip:a@b"))


def test_only_a_session_description_holds_the_2xx_back() -> None:
    """Section 3."""
    bare, full = ringing(), ringing()
    full.body = b"v=0"
    assert not ReliableResponse(bare, 1, 0.0, 0.5).holds_2xx
    assert ReliableResponse(full, 1, 0.0, 0.5).holds_2xx
