"""Pages made to harm: rows without end, and image data that the bare library does not survive (docs/transport.md)."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace

import pytest

from faxgw.fax.outcome import Cause
from faxgw.foip.control import PhaseE, T38Media
from faxgw.foip.t30_frames import from_line
from faxgw.line.arrival import Arrival
from faxgw.line.workers import CallWorkers, Inbox, Received, WorkerGone
from faxgw.simulator.carrier import Transmission
from faxgw.simulator.script import Expected, Script
from faxgw.t30.bounds import MAX_PAGE_ROWS
from faxgw.t30.decoder import Harm
from tests.hostile import datagrams
from tests.hostile.attacks import Stuffed
from tests.simulator import stage
from tests.t30.conftest import answer, receive_start

SENDER = Script("S1", "stuffed", "", Expected(Cause.OK, 0, ()), tone=0.5)
ROWS_OF_ONE_BIT, PASS_CODES = b"\xff", b"\x88"
RUNS_WITHOUT_PIXELS = from_line(int(("001001101010000110111") * 8, 2).to_bytes(21, "big"))
"""Horizontal mode, white 0, black 0: eight times, 168 bits."""
FASTER = 10
"""A block of 64 KB in 3.6 s instead of 36."""


class Hasty(Stuffed):
    """Sends its blocks faster than any modem."""

    def _transmit(self, what: Transmission, now: float, delay: float = 0.0) -> None:
        if what.seconds > 10.0:
            packets = tuple((at / FASTER, packet) for at, packet in what.packets)
            what = Transmission(packets, what.seconds / FASTER)
        super()._transmit(what, now, delay)


def blocks(fill: bytes, count: int) -> list[list[bytes]]:
    octets = (fill * (65_536 // len(fill) + 1))[:65_536]
    return [[octets[at : at + 256] for at in range(0, 65_536, 256)]] * count


@pytest.mark.parametrize("count", [1, 3])
def test_a_page_of_a_million_rows_ends_the_call_and_is_not_kept(count: int) -> None:
    """64 KB of ones are half a million white rows in MMR, 113 MB in the library; three blocks were a page of ours."""
    machine = Stuffed(SENDER, [stage.rows(1)], blocks(ROWS_OF_ONE_BIT, count))
    start = replace(receive_start(), t38=T38Media(stage.MACHINE))
    played = stage._play(start, [], machine, Arrival(0.0))
    assert played.ended
    assert f"more than {MAX_PAGE_ROWS} rows" in played.outcome.detail
    assert played.pages == []


@pytest.mark.realtime
@pytest.mark.parametrize("fill", [PASS_CODES, RUNS_WITHOUT_PIXELS], ids=["passes", "runs"])
async def test_a_page_that_would_kill_the_library_ends_its_call_and_nobody_elses(fill: bytes) -> None:
    """Nothing but pass codes (ITU-T T.4 section 4.2.1.3.1) lead libspandsp 0.0.6 out of its reference row, runs
    without pixels out of the row it writes: `tests/t30/test_decoder.py` shows both. The worker lives: a fax of another
    call in it arrives, and so does the next one.
    """
    workers = CallWorkers(4)
    await workers.start()
    try:
        beside = asyncio.create_task(datagrams.fax(workers, pages=1))
        await asyncio.sleep(0)
        told = await _strike(workers, fill)
        assert await beside == "identical"
        assert await datagrams.fax(workers, pages=1) == "identical"
    finally:
        await workers.stop()
    assert told == Harm.RUNS.text


async def _strike(workers: CallWorkers, fill: bytes) -> str:
    """Send the page; returns what its call was told: how the worker ended, or the call."""
    inbox: Inbox = asyncio.Queue()
    place = await workers.reserve(inbox)
    ours, theirs = [datagrams._socket("127.0.0.1") for _ in range(2)], datagrams._socket("127.0.0.1")
    datagrams._start(place, replace(receive_start(), call=place.number, t38=T38Media(theirs.getsockname())), ours, [])
    machine = Hasty(SENDER, [stage.rows(1)], blocks(fill, 4))
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(60):
            while True:
                await asyncio.sleep(0.02)
                for octets in machine.tick(loop.time()):
                    theirs.sendto(octets, ours[1].getsockname())
                _listen(machine, theirs, loop.time())
                while not inbox.empty():
                    item = inbox.get_nowait()
                    if isinstance(item, WorkerGone):
                        return item.text
                    if isinstance(item, Received) and isinstance(item.message, PhaseE):
                        return item.message.text
                    if isinstance(item, Received) and (ack := answer(item.message)) is not None:
                        place.send(ack)
    finally:
        place.release()
        for sock in (*ours, theirs):
            sock.close()


def _listen(machine: Hasty, sock: socket.socket, now: float) -> None:
    while True:
        try:
            octets = sock.recv(2048)
        except BlockingIOError:
            return
        machine.receive(octets, now)
