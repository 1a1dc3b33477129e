"""Listening: every address of a host, connections that wait while the door is shut, a system short of descriptors."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator

import pytest

from faxgw.intake import smtp_door
from faxgw.intake.smtp_door import Door
from faxgw.intake.smtp_settings import SmtpListener
from faxgw.settings import Listener
from tests.intake.world import listener
from tests.patience import PATIENCE_S


class Seen:
    """What came in."""

    def __init__(self) -> None:
        self.came: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    def accepted(self, sock: socket.socket, peer: str, where: SmtpListener) -> None:
        assert sock.gettimeout() == 0.0
        sock.close()
        self.came.put_nowait((peer, where.name))

    async def next(self) -> tuple[str, str]:
        return await asyncio.wait_for(self.came.get(), PATIENCE_S)


@pytest.fixture
async def seen() -> Seen:
    return Seen()


@pytest.fixture
async def door(seen: Seen) -> AsyncIterator[Door]:
    """One that is closed at the end."""
    made = Door(seen.accepted)
    yield made
    made.close()


async def knock(port: int, host: str = "127.0.0.1") -> None:
    _reader, writer = await asyncio.open_connection(host, port)
    writer.close()


async def test_who_comes_is_handed_over_with_the_listener(door: Door, seen: Seen) -> None:
    (one,) = await door.bind(listener("one"))
    (two,) = await door.bind(listener("two"))
    door.open()
    door.open()
    await knock(two.port)
    assert await seen.next() == ("127.0.0.1", "two")
    await knock(one.port)
    assert await seen.next() == ("127.0.0.1", "one")


async def test_who_comes_while_it_is_shut_waits(door: Door, seen: Seen) -> None:
    (bound,) = await door.bind(listener())
    await knock(bound.port)
    door.open()
    assert await seen.next() == ("127.0.0.1", "submission")
    door.shut()
    await knock(bound.port)
    for _ in range(10):
        await asyncio.sleep(0)
    assert seen.came.empty()
    door.open()
    assert await seen.next() == ("127.0.0.1", "submission")


async def test_every_address_of_a_host_is_listened_at(door: Door, seen: Seen) -> None:
    """IPv6 beside IPv4 on the same port: neither takes the other's."""
    (v6,) = await door.bind(listener().model_copy(update={"listen": Listener("::1", 0)}))
    (v4,) = await door.bind(listener().model_copy(update={"listen": Listener("127.0.0.1", v6.port)}))
    assert (v4.host, v6.host, v4.port) == ("127.0.0.1", "::1", v6.port)
    door.open()
    await knock(v6.port, "::1")
    assert (await seen.next())[0] == "::1"
    await knock(v4.port)
    assert (await seen.next())[0] == "127.0.0.1"


async def test_a_port_that_is_taken_is_told_and_closed_doors_give_theirs_back(door: Door) -> None:
    (bound,) = await door.bind(listener())
    again = listener().model_copy(update={"listen": Listener("127.0.0.1", bound.port)})
    with pytest.raises(OSError, match=rf"cannot listen on 127\.0\.0\.1 port {bound.port}: Address already in use"):
        await door.bind(again)
    door.close()
    (once_more,) = await door.bind(again)
    assert once_more.port == bound.port


async def test_without_descriptors_it_waits_and_goes_on(
    door: Door, seen: Seen, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A system that is short of them is asked again after a pause, not at once and for ever."""
    monkeypatch.setattr(smtp_door, "PAUSE", 0.05)
    tries: list[float] = []

    class Short(socket.socket):
        def accept(self) -> tuple[socket.socket, object]:
            tries.append(asyncio.get_running_loop().time())
            if len(tries) < 3:
                raise OSError(errno.EMFILE, "Too many open files")
            return super().accept()

    monkeypatch.setattr(socket, "socket", Short)
    (bound,) = await door.bind(listener())
    monkeypatch.undo()
    monkeypatch.setattr(smtp_door, "PAUSE", 0.05)
    door.open()
    await knock(bound.port)
    assert await seen.next() == ("127.0.0.1", "submission")
    assert tries[1] - tries[0] >= 0.05 and tries[2] - tries[1] >= 0.05
    assert caplog.text.count("smtp cannot accept") == 2
