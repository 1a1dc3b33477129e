"""`python -m bench.loss`: pages that arrive, pixel by pixel, over a network that loses datagrams, in virtual time.

Two engines of ours talk T.38 with each other through two `Impairment`s; a call of an hour takes seconds. Every call
has its own seed, printed when it fails, so that a failure can be looked at again: `--first-seed N --calls 1`. A page
counts as identical when it was confirmed to the sender and the receiver has it, pixel by pixel, at its place. A call
that does not confirm all its pages is what a dispatcher would repeat; here it is not repeated.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from PIL import Image, ImageDraw, ImageSequence

from bench.measure import finish, say
from faxgw.foip import t30_frames
from faxgw.foip.control import (
    Ack,
    Address,
    Confirmed,
    Document,
    Gate,
    Hangup,
    Limits,
    Message,
    PageReceived,
    PhaseB,
    PhaseE,
    Role,
    Start,
    T38Media,
    Trace,
)
from faxgw.simulator.impairment import Conditions, Impairment
from faxgw.t30.call import MediaCall

TICK = 0.02
LIMIT = 7200.0
"""Seconds of virtual time of one call."""
ROWS, WIDTH, FINE = 1100, 1728, (204.0, 196.0)
"""Half an A4 page."""
SENDER, RECEIVER = ("192.0.2.1", 2), ("192.0.2.2", 2)


class Pipe:
    """One direction between two calls."""

    def __init__(self, impairment: Impairment, source: Address) -> None:
        self.impairment = impairment
        self.source = source
        self.queue: deque[tuple[bytes, Address]] = deque()

    def move(self, now: float) -> None:
        self.queue.extend(self.impairment.take(now))


class End:
    """A socket in memory: it sends into one pipe and reads from another."""

    def __init__(self, into: Pipe | None = None, out_of: Pipe | None = None) -> None:
        self._into = into
        self._out_of = out_of
        self.now = 0.0

    def recvfrom(self, _size: int, /) -> tuple[bytes, Address]:
        if self._out_of is None or not self._out_of.queue:
            raise BlockingIOError
        return self._out_of.queue.popleft()

    def sendto(self, octets: bytes, _address: Address, /) -> int:
        if self._into is not None:
            self._into.impairment.put(octets, self._into.source, self.now)
        return len(octets)

    def close(self) -> None:
        """Nothing to be closed."""


@dataclass
class Side:
    """One engine and what its daemon would know."""

    call: MediaCall
    socket: End
    confirmed: int = 0
    pages: list[bytes] = field(default_factory=list)
    ladder: list[str] = field(default_factory=list)
    end: PhaseE | None = None

    def step(self, now: float) -> None:
        self.socket.now = now
        self.call.tick(now)
        for outgoing in self.call.take():
            if outgoing.descriptor is not None:
                self.pages.append(os.pread(outgoing.descriptor, os.fstat(outgoing.descriptor).st_size, 0))
                os.close(outgoing.descriptor)
            self._note(outgoing.message)
            ack = acknowledgement(outgoing.message)
            if ack is not None:
                self.call.receive(ack, now)

    def _note(self, message: Message) -> None:
        match message:
            case Trace():
                self.ladder += [f"{at:.1f}{way}{t30_frames.name(frame)}" for at, way, frame in message.frames]
            case Confirmed():
                self.confirmed += 1
            case PhaseE():
                self.end = message


def acknowledgement(message: Message) -> Ack | None:
    match message:
        case PhaseB(call, _, _, fax, page) if fax:
            return Ack(call, Gate.EXPOSED, fax, page)
        case Confirmed(call, fax, page):
            return Ack(call, Gate.CONFIRMED, fax, page)
        case PageReceived(call=call, page=page):
            return Ack(call, Gate.PAGE, "", page)
        case _:
            return None


@dataclass
class Result:
    """What came of one call."""

    seed: int
    pages: int
    identical: int
    confirmed: int
    """Pages confirmed to the sender."""
    retries: int
    """ECM blocks sent again."""
    datagrams: int
    lost: int
    seconds: float
    text: str
    ladder: list[str]


def page_image(draw: random.Random, rows: int) -> Image.Image:
    """A page of words and lines no other is like."""
    image = Image.new("1", (WIDTH, rows), 1)
    pen = ImageDraw.Draw(image)
    for row in range(20, rows - 20, 26):
        words = " ".join(f"{draw.getrandbits(32):x}" for _ in range(draw.randint(3, 14)))
        pen.text((90, row), words, fill=0, font_size=24)
    pen.rectangle((60, 8, WIDTH - 60, rows - 8), outline=0, width=3)
    return image


def document(seed: int, pages: int, rows: int) -> bytes:
    """A TIFF of fine pages."""
    draw = random.Random(seed)
    first, *rest = [page_image(draw, rows) for _ in range(pages)]
    out = io.BytesIO()
    first.save(out, "TIFF", compression="group4", dpi=FINE, save_all=True, append_images=rest)
    return out.getvalue()


def pixels(octets: bytes) -> list[bytes]:
    """The pixels of each page, with its size."""
    with Image.open(io.BytesIO(octets)) as image:
        return [repr(page.size).encode() + page.convert("1").tobytes() for page in ImageSequence.Iterator(image)]


def run_call(options: argparse.Namespace, seed: int, pages: int) -> Result:
    """One call over the network of the options."""
    conditions = Conditions(
        loss=options.loss,
        burst=options.burst,
        delay=options.delay,
        jitter=options.jitter,
        reordered=options.reordered,
        duplicated=options.duplicated,
    )
    sent = document(seed, pages, options.rows)
    there = Pipe(Impairment(conditions, 2 * seed), SENDER)
    back = Pipe(Impairment(conditions, 2 * seed + 1), RECEIVER)
    correction = {0: "none", -1: "fec"}.get(options.redundancy, "redundancy")
    descriptor = os.memfd_create("document", os.MFD_CLOEXEC)
    os.write(descriptor, sent)
    base = Start(1, Role.SEND, None, 8, None, "+49 30 1", ecm=options.ecm, limits=Limits(call=LIMIT))
    ends = End(there, back), End(back, there)
    start = replace(
        base,
        t38=T38Media(RECEIVER, options.max_datagram, correction),
        documents=(Document("F", pages, 1, pages),),
    )
    other = replace(
        base, call=2, role=Role.RECEIVE, calling_party=False, t38=T38Media(SENDER, options.max_datagram, correction)
    )
    sender = Side(MediaCall(start, End(), ends[0], [descriptor], 0.0), ends[0])
    receiver = Side(MediaCall(other, End(), ends[1], (), 0.0), ends[1])
    os.close(descriptor)
    now = 0.0
    try:
        while now < LIMIT and not (sender.call.ended and receiver.call.ended):
            now = round(now + TICK, 3)
            for side, pipe in ((sender, back), (receiver, there)):
                pipe.move(now)
                side.step(now)
            if sender.call.ended and receiver.end is None:
                receiver.call.receive(Hangup(receiver.call.number), now)  # the sender's BYE
        retries = sender.call.statistics().ecm_retries if sender.end is None else sender.end.statistics.ecm_retries
        received = [page for octets in receiver.pages for page in pixels(octets)][: sender.confirmed]
    finally:
        sender.call.close()
        receiver.call.close()
    whole = sum(mine == theirs for mine, theirs in zip(pixels(sent), received, strict=False))
    return Result(
        seed,
        pages,
        whole,
        sender.confirmed,
        retries,
        there.impairment.seen + back.impairment.seen,
        there.impairment.lost + back.impairment.lost,
        now,
        _words(sender.end) + " | " + _words(receiver.end),
        sender.ladder,
    )


def _words(end: PhaseE | None) -> str:
    return "did not end" if end is None else f"{end.code} {end.text} {end.reason}".strip()


def report(options: argparse.Namespace, results: Sequence[Result], cpu: float) -> dict[str, Any]:
    """The figures of all calls."""
    return {
        "loss": options.loss,
        "redundancy": options.redundancy,
        "ecm": options.ecm,
        "pages": sum(result.pages for result in results),
        "identical": sum(result.identical for result in results),
        "confirmed": sum(result.confirmed for result in results),
        "calls": len(results),
        "calls_complete": sum(result.identical == result.pages for result in results),
        "ecm_retries": sum(result.retries for result in results),
        "datagrams": sum(result.datagrams for result in results),
        "datagrams_lost": sum(result.lost for result in results),
        "simulated_seconds": round(sum(result.seconds for result in results), 1),
        "cpu_seconds": round(cpu, 1),
        "failures": dict(Counter(result.text for result in results if result.identical < result.pages)),
    }


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="bench.loss", description=__doc__.partition("\n")[0])
    made.add_argument("--pages", type=int, default=200, help="pages in all")
    made.add_argument("--pages-per-call", type=int, default=5)
    made.add_argument("--loss", type=float, default=0.05, help="share of the datagrams lost, each way")
    made.add_argument("--burst", type=float, default=1.0, help="mean length of a loss, datagrams")
    made.add_argument("--redundancy", type=int, default=3, choices=(3, 0, -1), help="3; 0: none; -1: parity")
    made.add_argument("--max-datagram", type=int, default=400, help="T38FaxMaxDatagram of both, octets")
    made.add_argument("--delay", type=float, default=0.03, help="seconds each way")
    made.add_argument("--jitter", type=float, default=0.0, help="seconds at most")
    made.add_argument("--reordered", type=float, default=0.0, help="share of the datagrams")
    made.add_argument("--duplicated", type=float, default=0.0, help="share of the datagrams")
    made.add_argument("--rows", type=int, default=ROWS, help="rows of a page")
    made.add_argument("--no-ecm", dest="ecm", action="store_false")
    made.add_argument("--first-seed", type=int, default=1)
    made.add_argument("--quick", action="store_true", help="20 pages")
    made.add_argument("--ladders", action="store_true", help="print the T.30 frames of calls that fail")
    return made


def measure(options: argparse.Namespace) -> list[Result]:
    """All calls, one after the other."""
    pages = 20 if options.quick else options.pages
    results: list[Result] = []
    while (left := pages - sum(result.pages for result in results)) > 0:
        seed = options.first_seed + len(results)
        result = run_call(options, seed, min(left, options.pages_per_call))
        results.append(result)
        if result.identical < result.pages:
            say(f"seed {seed}: {result.identical} of {result.pages}, {result.seconds:.0f} s, {result.text}")
            if options.ladders:
                say(" ".join(result.ladder))
    return results


def main() -> None:
    """Measure and print."""
    options = parser().parse_args()
    began = time.process_time()
    results = measure(options)
    finish("loss", report(options, results, time.process_time() - began))


if __name__ == "__main__":
    main()
