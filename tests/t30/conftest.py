"""Two `MediaCall`s back to back in memory, in virtual time: a minute of fax takes a few hundredths of a second."""

from __future__ import annotations

import io
import os
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from PIL import Image, ImageDraw, ImageSequence

from faxgw.foip.control import (
    Ack,
    Address,
    Confirmed,
    Document,
    Gate,
    Limits,
    Message,
    PageReceived,
    PhaseB,
    PhaseE,
    Role,
    Start,
    SwitchT38,
    T38Media,
    Trace,
)
from faxgw.foip.t30_frames import name
from faxgw.t30 import terminal
from faxgw.t30.call import MediaCall

T = TypeVar("T")
TICK = 0.02
FINE = (204.0, 196.0)
STANDARD = (204.0, 98.0)


def page_image(number: int, rows: int = 300, width: int = 1728) -> Image.Image:
    """A page that no other number shares: lines, a box and text."""
    image = Image.new("1", (width, rows), 1)
    draw = ImageDraw.Draw(image)
    for row in range(10 + number, rows - 10, 23 + number):
        draw.line((20, row, 1700 - 7 * number, row), fill=0)
        draw.text((40 + row % 500, row + 2), f"page {number} row {row} " * 6, fill=0)
    draw.rectangle((100 * number, 20, 100 * number + 60, rows - 20), outline=0, width=5)
    return image


def tiff(images: Sequence[Image.Image], dpi: tuple[float, float] = FINE) -> bytes:
    """The images as one G4 TIFF."""
    out = io.BytesIO()
    images[0].save(out, "TIFF", compression="group4", dpi=dpi, save_all=True, append_images=list(images[1:]))
    return out.getvalue()


def pixels(octets: bytes) -> list[tuple[tuple[int, int], bytes]]:
    """Size and pixels of each page."""
    with Image.open(io.BytesIO(octets)) as image:
        return [(page.size, page.convert("1").tobytes()) for page in ImageSequence.Iterator(image)]


def memory_file(octets: bytes) -> int:
    """A descriptor that holds the octets."""
    descriptor = os.memfd_create("test", os.MFD_CLOEXEC)
    os.write(descriptor, octets)
    return descriptor


def read_all(descriptor: int) -> bytes:
    """The whole file, and the descriptor closed."""
    size = os.fstat(descriptor).st_size
    octets = os.pread(descriptor, size, 0)
    os.close(descriptor)
    return octets


class Network:
    """Delivers at once what `lose` does not eat."""

    def __init__(self) -> None:
        self.sockets: dict[Address, MemorySocket] = {}
        self.lose: Callable[[Address, bytes], bool] = lambda _source, _octets: False
        self.sent: defaultdict[Address, list[bytes]] = defaultdict(list)

    def socket(self, port: int) -> MemorySocket:
        address = ("192.0.2.1", port)
        self.sockets[address] = MemorySocket(self, address)
        return self.sockets[address]


class MemorySocket:
    """One end of the network."""

    def __init__(self, network: Network, address: Address) -> None:
        self.network = network
        self.address = address
        self.queue: deque[tuple[bytes, Address]] = deque()
        self.closed = False

    def recvfrom(self, _size: int, /) -> tuple[bytes, Address]:
        if not self.queue:
            raise BlockingIOError
        return self.queue.popleft()

    def sendto(self, octets: bytes, address: Address, /) -> int:
        self.network.sent[self.address].append(octets)
        other = self.network.sockets.get(address)
        if other is not None and not self.network.lose(self.address, octets):
            other.queue.append((octets, self.address))
        return len(octets)

    def close(self) -> None:
        self.closed = True


@dataclass
class Daemon:
    """The daemon of one call: acknowledges what is asked, after `delay` seconds, unless `refuse` says no."""

    call: MediaCall
    delay: float = 0.0
    refuse: Callable[[Message], bool] = lambda _message: False
    messages: list[Message] = field(default_factory=list)
    pages: list[bytes] = field(default_factory=list)
    due: list[tuple[float, Ack]] = field(default_factory=list)
    times: list[tuple[float, Message]] = field(default_factory=list)
    frames: list[str] = field(default_factory=list)

    def step(self, now: float) -> None:
        for outgoing in self.call.take():
            message = outgoing.message
            if isinstance(message, Trace):
                self.frames += [direction + name(frame) for _at, direction, frame in message.frames]
            else:
                self.messages.append(message)
                self.times.append((now, message))
            if outgoing.descriptor is not None:
                octets = read_all(outgoing.descriptor)
                if not self.refuse(message):
                    self.pages.append(octets)
            ack = answer(message)
            if ack is not None and not self.refuse(message):
                self.due.append((now + self.delay, ack))
        for at, ack in list(self.due):
            if now >= at:
                self.due.remove((at, ack))
                self.call.receive(ack, now)

    def of(self, kind: type[T]) -> list[T]:
        return [message for message in self.messages if isinstance(message, kind)]

    @property
    def result(self) -> PhaseE:
        (result,) = self.of(PhaseE)
        return result


def answer(message: Message) -> Ack | None:
    match message:
        case PhaseB(call, _, _, fax, page) if fax:
            return Ack(call, Gate.EXPOSED, fax, page)
        case Confirmed(call, fax, page):
            return Ack(call, Gate.CONFIRMED, fax, page)
        case PageReceived(call=call, page=page):
            return Ack(call, Gate.PAGE, "", page)
        case _:
            return None


class Line:
    """A sender and a receiver, wired."""

    def __init__(
        self,
        documents: Sequence[bytes],
        *,
        t38: bool = True,
        sender: Start | None = None,
        receiver: Start | None = None,
        error_correction: str = "redundancy",
        max_datagram: int = 400,
        ranges: Sequence[tuple[int, int]] = (),
        receiver_resolutions: int = terminal.RESOLUTIONS_ALL,
    ) -> None:
        self.network = Network()
        self.now = 100.0
        self.started = self.now
        sockets = [self.network.socket(port) for port in (1, 2, 3, 4)]
        media = [
            T38Media(("192.0.2.1", port), max_datagram=max_datagram, error_correction=error_correction)
            for port in (2, 4)
        ]
        described = []
        for index, document in enumerate(documents):
            pages = len(pixels(document))
            first, last = ranges[index] if ranges else (1, pages)
            described.append(Document(f"FN{index}", pages, first, last))
        base = sender or send_start()
        start_a = replace(base, rtp_remote=("192.0.2.1", 3), t38=media[1] if t38 else None, documents=tuple(described))
        start_b = replace(receiver or receive_start(), rtp_remote=("192.0.2.1", 1), t38=media[0] if t38 else None)
        self.media_of_receiver, self.media_of_sender = media[1], media[0]
        files = [memory_file(document) for document in documents]
        self.sender = Daemon(MediaCall(start_a, sockets[0], sockets[1], files, self.now))
        for file in files:
            os.close(file)
        self.receiver = Daemon(
            MediaCall(start_b, sockets[2], sockets[3], (), self.now, resolutions=receiver_resolutions)
        )
        self.hooks: list[Callable[[float], None]] = []

    def step(self) -> None:
        self.now = round(self.now + TICK, 3)
        for daemon in (self.sender, self.receiver):
            daemon.call.tick(self.now)
            daemon.step(self.now)
        for hook in self.hooks:
            hook(self.now)

    def run(self, seconds: float = 600.0, until: Callable[[], bool] | None = None) -> Line:
        end = self.now + seconds
        while self.now < end and not (self.sender.call.ended and self.receiver.call.ended):
            self.step()
            if until is not None and until():
                break
        return self

    def switch(self) -> None:
        """Both sides agree on T.38."""
        self.sender.call.receive(SwitchT38(1, self.media_of_receiver), self.now)
        self.receiver.call.receive(SwitchT38(2, self.media_of_sender), self.now)

    def close(self) -> None:
        self.sender.call.close()
        self.receiver.call.close()


def send_start() -> Start:
    return Start(1, Role.SEND, None, 8, None, "+49 30 1", limits=Limits())


def receive_start() -> Start:
    return Start(2, Role.RECEIVE, None, 8, None, "+49 40 2", calling_party=False, limits=Limits())
