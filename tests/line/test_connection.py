"""One connection, its transport and its owner played: what is written, when it ends."""

from __future__ import annotations

import asyncio
from typing import cast

from faxgw.foip.framing import PING, PONG, Broken
from faxgw.line.connection import MAX_STRANGERS_MESSAGES, MAX_UNSENT, MAX_WAITING, Connection, StreamTimes

PEER = ("192.0.2.1", 5060)
MESSAGE = b"OPTIONS sip:a@192.0.2.2 SIP/2.0\r\nl: 0\r\n\r\n"


class Owner:
    def __init__(self, *, known: bool = True) -> None:
        self.times = StreamTimes()
        self.known = known
        self.seen: list[object] = []

    def is_known(self, host: str) -> bool:
        assert host == PEER[0]
        return self.known

    def on_message(self, connection: Connection, data: bytes) -> None:
        self.seen.append(data)

    def on_broken(self, connection: Connection, broken: Broken) -> None:
        self.seen.append(broken.status)

    def on_lost(self, connection: Connection) -> None:
        self.seen.append("lost")


class Pipe:
    """A transport that remembers."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.unsent = 0
        self.ended = ""

    def set_write_buffer_limits(self, high: int) -> None:
        self.high = high

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = "eof"

    def abort(self) -> None:
        self.ended = "abort"


def connect(owner: Owner, *, is_outgoing: bool = False) -> tuple[Connection, Pipe]:
    made, pipe = Connection(owner, PEER, is_outgoing=is_outgoing), Pipe()
    made.connection_made(cast(asyncio.Transport, pipe))
    return made, pipe


async def test_messages_wait_for_the_connection_in_their_order() -> None:
    made, pipe = Connection(Owner(), PEER, is_outgoing=True), Pipe()
    made.send(b"1")
    made.send(b"2")
    assert made.is_usable and not made.is_open
    made.connection_made(cast(asyncio.Transport, pipe))
    assert pipe.written == [b"1", b"2"]
    made.connection_lost(None)


async def test_too_many_that_wait_end_it() -> None:
    owner = Owner()
    made = Connection(owner, PEER, is_outgoing=True)
    for _ in range(MAX_WAITING + 1):
        made.send(b"x")
    assert owner.seen == ["lost"]
    assert not made.is_usable
    pipe = Pipe()
    made.connection_made(cast(asyncio.Transport, pipe))  # it came to stand all the same
    assert (pipe.written, pipe.ended) == ([], "abort")


async def test_too_much_that_is_not_read_ends_it() -> None:
    made, pipe = connect(Owner())
    pipe.unsent = MAX_UNSENT
    made.send(b"x")
    assert (pipe.written, pipe.ended, made.is_usable) == ([], "abort", False)
    made.send(b"y")
    assert pipe.written == []
    made.connection_lost(None)


async def test_who_accepted_answers_pings_who_opened_does_not() -> None:
    """RFC 5626 section 4.4.1; and never while the peer does not read."""
    for is_outgoing, unsent, written in ((False, 0, [PONG]), (True, 0, []), (False, 1, [])):
        made, pipe = connect(Owner(), is_outgoing=is_outgoing)
        pipe.unsent = unsent
        made.data_received(PING)
        assert pipe.written == written
        made.connection_lost(None)


async def test_only_connections_of_ours_are_pinged() -> None:
    for is_outgoing in (False, True):
        made, _pipe = connect(Owner(), is_outgoing=is_outgoing)
        assert ("ping" in made._deadlines()) == is_outgoing
        made.connection_lost(None)


async def test_a_pong_counts_only_if_something_was_asked() -> None:
    made, pipe = connect(Owner(), is_outgoing=True)
    made.data_received(PONG)
    made._pinged_at = 1.0
    assert "pong" not in made._deadlines()  # whether it ever answers is not known yet
    made.data_received(PONG)
    made._pinged_at = 1.0
    assert made._deadlines()["pong"] == 1.0 + StreamTimes().pong
    made.data_received(MESSAGE)  # any octet is a sign of life
    assert "pong" not in made._deadlines()
    assert pipe.ended == ""
    made.connection_lost(None)


async def test_a_message_that_has_begun_has_a_deadline() -> None:
    owner = Owner()
    made, _pipe = connect(owner)
    made.data_received(MESSAGE[:9])
    begun = made._deadlines()["message"]
    made.data_received(MESSAGE[9:15])
    assert made._deadlines()["message"] == begun  # a drip does not move it
    made.data_received(MESSAGE[15:])
    assert "message" not in made._deadlines()
    assert owner.seen == [MESSAGE]
    made.connection_lost(None)


async def test_nothing_is_read_once_it_ends() -> None:
    owner = Owner()
    made, pipe = connect(owner)
    made.data_received(b"\x16\x03")
    assert (owner.seen, pipe.ended) == ([400], "eof")
    made.data_received(MESSAGE)
    made.send(b"x")
    assert (owner.seen, pipe.written) == ([400], [])
    assert set(made._deadlines()) == {"end"}
    assert made.eof_received() is False
    made.connection_lost(None)
    made.connection_lost(None)
    assert owner.seen == [400, "lost"]


async def test_whom_we_connect_to_is_no_stranger() -> None:
    """A Contact at an address that no trunk is known by."""
    owner = Owner(known=False)
    made, pipe = connect(owner, is_outgoing=True)
    made.data_received(MESSAGE * (MAX_STRANGERS_MESSAGES + 1))
    assert len(owner.seen) == MAX_STRANGERS_MESSAGES + 1
    assert pipe.ended == ""
    assert made._deadlines()["idle"] > asyncio.get_running_loop().time() + 3600
    made.connection_lost(None)


async def test_pings_do_not_keep_a_stranger() -> None:
    owner = Owner(known=False)
    made, _pipe = connect(owner)
    before = made._deadlines()["idle"]
    made.data_received(PING)
    assert made._deadlines()["idle"] == before
    made.connection_lost(None)
