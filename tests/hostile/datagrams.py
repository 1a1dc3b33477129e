"""Hostile media: UDPTL and RTP datagrams at the ports of a real worker's calls, from right and wrong addresses.

In the same worker two calls exchange a fax with each other; it must arrive pixel by pixel, and the worker must live.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from faxgw.foip import udptl
from faxgw.foip.control import Document, PageReceived, PhaseE, Start, T38Media
from faxgw.foip.udptl import Datagram, Parity
from faxgw.line.workers import CallWorkers, Inbox, Place, Received, WorkerGone
from tests.hostile.attacks import an_ifp_packet, noise
from tests.t30.conftest import answer, memory_file, page_image, pixels, read_all, receive_start, send_start, tiff

HOST: Final = "127.0.0.1"
ATTACKED: Final = 6
"""Calls under fire at any time; a third of them G.711."""
BURST: Final = 20
"""Datagrams to one call at a time."""
PAUSE: Final = 0.02
"""Seconds between two bursts: 6,000 datagrams a second in all."""
FAX_WITHIN: Final = 240.0
"""Seconds the fax may take on a busy machine."""


@dataclass
class Storm:
    """What came of it."""

    sent: dict[str, int] = field(default_factory=lambda: {"udptl": 0, "rtp": 0})
    calls: int = 0
    """Calls that were under fire, one after the other."""
    reasons: dict[str, int] = field(default_factory=dict)
    """How they ended."""
    crashes: list[str] = field(default_factory=list)
    """Ends of workers."""
    fax: str = ""
    """What became of the fax beside them; `identical` is right."""


def a_udptl_datagram(draw: random.Random, sequence: int) -> bytes:
    """One datagram to a T.38 port."""
    number = draw.choice((sequence, sequence, 0, 65535, 32768, draw.randrange(65536))) % 65536
    match draw.randrange(8):
        case 0:
            return draw.randbytes(draw.choice((0, 1, 2, 3, 8, 60, 1400, 4000)))
        case 1:
            size = draw.choice((0x7F, 0x80, 0x8000, 0xBFFF, 0xC0, 0xFF))
            return number.to_bytes(2, "big") + size.to_bytes(2, "big") + noise(draw, draw.choice((0, 1, 100)))
        case 2:
            head = number.to_bytes(2, "big") + b"\x01\x06"
            return head + bytes((0, draw.choice((1, 33, 127, 128, 255)))) + noise(draw, draw.choice((0, 3, 300)))
        case 3:
            parity = Parity(draw.choice((0, 1, 3, 255)), tuple(noise(draw, 9) for _ in range(draw.choice((0, 1, 32)))))
            return udptl.encode(Datagram(number, an_ifp_packet(draw), parity=parity))
        case 4:
            earlier = tuple(an_ifp_packet(draw) for _ in range(draw.choice((1, 3, 32))))
            return udptl.encode(Datagram(number, an_ifp_packet(draw), earlier))
        case 5:
            octets = bytearray(udptl.encode(Datagram(number, an_ifp_packet(draw))))
            octets[draw.randrange(len(octets))] ^= 1 << draw.randrange(8)
            return bytes(octets)
        case _:
            return udptl.encode(Datagram(number, an_ifp_packet(draw)))


def an_rtp_datagram(draw: random.Random, sequence: int) -> bytes:
    """One datagram to an audio port."""
    number = draw.choice((sequence, sequence, sequence, draw.randrange(65536))) % 65536
    first = draw.choice((0x80, 0x80, 0x80, 0x90, 0xA0, 0x8F, 0xBF, 0x00, 0xFF))
    kind = draw.choice((0, 8, 8, 8, 13, 101, 127, 0x88))
    ssrc = draw.choice((1, 1, 1, 2, draw.randrange(1 << 32)))
    head = bytes((first, kind)) + number.to_bytes(2, "big") + draw.randbytes(4) + ssrc.to_bytes(4, "big")
    return (head + noise(draw, draw.choice((0, 1, 80, 160, 160, 160, 161, 1600, 1601, 3000))))[: draw.choice((3, 9000))]


class _Target:
    """A call under fire, and another when it has ended."""

    def __init__(self, workers: CallWorkers, storm: Storm, kind: str, seed: int) -> None:
        self.kind = kind
        self._workers = workers
        self._storm = storm
        self._draw = random.Random(seed)
        self._sequence = 0
        self._inbox: Inbox = asyncio.Queue()
        self._place: Place | None = None
        self._right, self._wrong = _socket(HOST), _socket("127.0.0.5")
        self._ours: list[socket.socket] = []

    async def fire(self) -> None:
        """One burst."""
        if self._place is None:
            await self._begin()
        at = self._ours[self.kind == "udptl"].getsockname()
        make: Callable[[random.Random, int], bytes] = a_udptl_datagram if self.kind == "udptl" else an_rtp_datagram
        for _ in range(BURST):
            self._sequence += 1
            octets = make(self._draw, self._sequence)
            (self._wrong if self._draw.random() < 0.2 else self._right).sendto(octets, at)
            self._storm.sent[self.kind] += 1
        while not self._inbox.empty():
            self._hear(self._inbox.get_nowait())

    async def _begin(self) -> None:
        self._ours = [_socket(HOST), _socket(HOST)]
        self._inbox = asyncio.Queue()
        self._place = await self._workers.reserve(self._inbox)
        remote = self._right.getsockname()
        sends = self._draw.random() < 0.4
        start = replace(
            send_start() if sends else receive_start(),
            call=self._place.number,
            rtp_remote=remote,
            t38=T38Media(remote, error_correction=self._draw.choice(("redundancy", "fec", "none")))
            if self.kind == "udptl"
            else None,
            documents=(Document("F", 1, 1, 1),) if sends else (),
        )
        files = [memory_file(tiff([page_image(1)]))] if sends else []
        _start(self._place, start, self._ours, files)
        self._storm.calls += 1

    def _hear(self, item: object) -> None:
        if isinstance(item, WorkerGone):
            self._storm.crashes.append(item.text)
            self.close()
        elif isinstance(item, Received):
            for descriptor in item.descriptors:
                os.close(descriptor)
            ack = answer(item.message)
            if ack is not None and self._place is not None:
                self._place.send(ack)
            if isinstance(item.message, PhaseE):
                why = item.message.reason or f"code {item.message.code}"
                self._storm.reasons[why] = self._storm.reasons.get(why, 0) + 1
                self.close()

    def close(self) -> None:
        """The call is over."""
        if self._place is not None:
            self._place.release()
            self._place = None
        for sock in self._ours:
            sock.close()
        self._ours = []

    def stop(self) -> None:
        """And no other follows."""
        self.close()
        self._right.close()
        self._wrong.close()


def _socket(host: str) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setblocking(False)
    made.bind((host, 0))
    return made


def _start(place: Place, start: Start, sockets: list[socket.socket], files: list[int]) -> None:
    place.send(start, [*(sock.fileno() for sock in sockets), *files])
    for file in files:
        os.close(file)


async def fax(workers: CallWorkers, pages: int = 2) -> str:
    """A fax from one call of the worker to another: `identical`, or what was wrong with it."""
    images = [page_image(number) for number in range(1, pages + 1)]
    document = tiff(images)
    inboxes: list[Inbox] = [asyncio.Queue(), asyncio.Queue()]
    places = [await workers.reserve(inbox) for inbox in inboxes]
    sockets = [[_socket(HOST), _socket(HOST)] for _ in places]
    there = [T38Media(pair[1].getsockname()) for pair in reversed(sockets)]
    sender = replace(send_start(), call=places[0].number, t38=there[0], documents=(Document("F", pages, 1, pages),))
    receiver = replace(receive_start(), call=places[1].number, t38=there[1])
    _start(places[1], receiver, sockets[1], [])
    _start(places[0], sender, sockets[0], [memory_file(document)])
    try:
        async with asyncio.timeout(FAX_WITHIN):
            (sent, _), (got, received) = await asyncio.gather(*map(_see, places, inboxes))
    except TimeoutError:
        return "not in time"
    finally:
        for place, pair in zip(places, sockets, strict=True):
            place.release()
            for sock in pair:
                sock.close()
    if sent != "code 0" or got != "code 0":
        return f"sender {sent}, receiver {got}"
    return "identical" if [p for page in received for p in pixels(page)] == pixels(document) else "other pages"


async def _see(place: Place, inbox: Inbox) -> tuple[str, list[bytes]]:
    pages: list[bytes] = []
    while True:
        item = await inbox.get()
        if isinstance(item, WorkerGone):
            return item.text, pages
        assert isinstance(item, Received)
        if isinstance(item.message, PageReceived):
            pages.append(read_all(item.descriptors[0]))
        ack = answer(item.message)
        if ack is not None:
            place.send(ack)
        if isinstance(item.message, PhaseE):
            return item.message.reason or f"code {item.message.code}", pages


async def storm(udptl_count: int, rtp_count: int, seed: int = 0) -> Storm:
    """Fire so many datagrams at calls of a worker in which a fax is under way."""
    result = Storm()
    workers = CallWorkers(32)
    await workers.start()
    targets = [_Target(workers, result, "rtp" if n % 3 == 0 else "udptl", seed + n) for n in range(ATTACKED)]
    beside = asyncio.create_task(fax(workers))
    wanted = {"udptl": udptl_count, "rtp": rtp_count}
    try:
        while any(result.sent[kind] < count for kind, count in wanted.items()):
            for target in targets:
                if result.sent[target.kind] < wanted[target.kind]:
                    await target.fire()
            await asyncio.sleep(PAUSE)
            if beside.done() and beside.result() == "identical":
                beside = asyncio.create_task(fax(workers))  # there is always one
        result.fax = await beside
    finally:
        for target in targets:
            target.stop()
        await workers.stop()
    return result
