"""The UDP socket: large messages are told once, errors of the network are told for whom they are."""

from __future__ import annotations

import errno
import logging
import socket
import struct
from collections.abc import AsyncIterator

import pytest

from faxgw.foip.transaction import Address
from faxgw.line.datagrams import LARGE, Datagrams
from faxgw.settings import Listener
from tests.line.far_end import until

HERE = "127.0.0.1"


class Ground:
    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.lost: list[Address] = []
        self.carrier = Datagrams(Listener(HERE, 0), lambda data, source: self.received.append(data), self.lost.append)
        self.port = 0


@pytest.fixture
async def ground() -> AsyncIterator[Ground]:
    made = Ground()
    made.port = await made.carrier.start()
    yield made
    await made.carrier.stop()


async def test_a_datagram_goes_and_comes(ground: Ground) -> None:
    ground.carrier.send(b"x", (HERE, ground.port))
    await until(lambda: ground.received == [b"x"])


async def test_a_large_message_is_told_once_for_each_destination(
    ground: Ground, caplog: pytest.LogCaptureFixture
) -> None:
    """RFC 3261 section 18.1.1: it is sent all the same, not by another transport in secret."""
    with caplog.at_level(logging.WARNING, "faxgw.line.datagrams"):
        ground.carrier.send(b"x" * LARGE, (HERE, ground.port))
        assert caplog.records == []
        for octets in (LARGE + 1, LARGE + 2):
            ground.carrier.send(b"x" * octets, (HERE, ground.port))
    assert [getattr(record, "octets", 0) for record in caplog.records] == [LARGE + 1]
    await until(lambda: len(ground.received) == 3)


async def test_a_destination_of_another_family_is_lost_at_once(ground: Ground) -> None:
    ground.carrier.send(b"x", ("2001:db8::1", 5060))
    assert ground.lost == [("2001:db8::1", 5060)]


@pytest.mark.parametrize(("number", "lost"), [(errno.ECONNREFUSED, [("192.0.2.1", 5060)]), (errno.EMSGSIZE, [])])
async def test_icmp_errors_are_told_but_for_the_wish_for_fragments(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, number: int, lost: list[Address]
) -> None:
    """ip(7): struct sock_extended_err begins with the error's number; EMSGSIZE only means a smaller path."""
    queue = [
        (b"", [(socket.IPPROTO_IP, 11, struct.pack("=IBBBBII", number, 2, 3, 3, 0, 0, 0))], 0x2000, ("192.0.2.1", 5060))
    ]

    class Socket:
        def recvmsg(self, *_args: int) -> object:
            if not queue:
                raise BlockingIOError
            return queue.pop()

    monkeypatch.setattr(ground.carrier, "_socket", Socket())
    ground.carrier.error_received(OSError(number, "x"))
    assert ground.lost == lost


async def test_nothing_is_sent_after_the_end() -> None:
    made = Ground()
    made.port = await made.carrier.start()
    made.carrier.cut_off()
    made.carrier.send(b"x", (HERE, made.port))
    await made.carrier.reach((HERE, made.port))
    await made.carrier.stop()
    assert made.received == [] == made.lost
