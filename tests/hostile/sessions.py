"""Attacks of `attacks` against real engines behind `MediaCall`, in memory and in virtual time.

`python -m tests.hostile.sessions --first N --count M` plays M seeds and prints a line of JSON for each, so that
whoever runs it as a child knows by which seed it died. A fault is said in words; an empty one is none.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import sys
import time
from dataclasses import asdict, dataclass, replace
from typing import Final

from faxgw.foip.control import Document, Hangup, Limits, Message, PageReceived, PhaseE, Start, T38Media, Trace
from faxgw.line.workers import SILENT_AFTER
from faxgw.simulator.machine import Machine
from faxgw.simulator.receiving import ReceivingMachine
from faxgw.simulator.sending import SendingMachine
from faxgw.t30.bounds import MAX_PAGE_ROWS
from faxgw.t30.call import MediaCall
from tests.hostile.attacks import Saboteur, Stuffed, a_script, stuffing
from tests.simulator.stage import GATEWAY, MACHINE, PAGES, document, rows
from tests.t30.conftest import TICK, Network, answer, memory_file, read_all, receive_start, send_start

LIMITS: Final = Limits(page=120.0, call=300.0)
"""Shorter than a real call's, so that an attack which lasts for ever ends within a second of CPU."""
LIMIT: Final = LIMITS.call + 5.0
"""Seconds of virtual time after which a call hangs."""
WORST_TICK: Final = SILENT_AFTER
"""Seconds of CPU of one tick at which a worker is killed, with all its calls; how long ticks take is only printed."""
MAX_MESSAGES: Final = 3000
"""Messages to the daemon of one call."""
MAX_PAGE_OCTETS: Final = 4 << 20
"""Octets of one page handed over."""
MAX_MEMORY: Final = 256 << 20
"""Octets one call may add to the process at its peak."""
ADDRESS_SPACE: Final = 4 << 30
"""As a call worker bounds itself."""


@dataclass
class Played:
    """What came of one attack."""

    seed: int
    role: str
    reason: str = ""
    code: int | None = None
    seconds: float = 0.0
    """Virtual."""
    worst_tick: float = 0.0
    """Seconds of CPU of the worst 20 ms."""
    messages: int = 0
    page_octets: int = 0
    page_rows: int = 0
    pages: int = 0
    fault: str = ""


def play(seed: int) -> Played:
    """Play one attack to its end."""
    draw = random.Random(seed)
    script = a_script(draw)
    error_correction = draw.choice(("redundancy",) * 6 + ("none", "fec"))
    media = T38Media(MACHINE, error_correction=error_correction)
    machine: Machine
    if script.sends:
        start = replace(receive_start(), t38=media, takes_sub_address=True, limits=LIMITS)
        pages = [rows(number, script.width, 60) for number in (1, 2)]
        machine = Stuffed(script, pages, stuffing(draw)) if draw.random() < 0.25 else SendingMachine(script, pages)
        return _play(seed, start, [], machine, Saboteur(draw))
    machine = ReceivingMachine(script)
    documents = (Document("F", PAGES, 1, PAGES),)
    start = replace(send_start(), t38=media, documents=documents, sub_address="4711", limits=LIMITS)
    file = memory_file(document())
    try:
        return _play(seed, start, [file], machine, Saboteur(draw))
    finally:
        os.close(file)


def _play(seed: int, start: Start, files: list[int], machine: Machine, saboteur: Saboteur) -> Played:
    played = Played(seed, start.role.name)
    network = Network()
    rtp, udptl, far = network.socket(1), network.socket(GATEWAY[1]), network.socket(MACHINE[1])
    now = 0.0
    call = MediaCall(start, rtp, udptl, files, now)
    try:
        while now < LIMIT and not call.ended:
            now = round(now + TICK, 3)
            began = time.process_time()
            call.tick(now)
            played.worst_tick = max(played.worst_tick, time.process_time() - began)
            _learn(call, played, now)
            while far.queue:
                machine.receive(far.queue.popleft()[0], now)
            for octets in saboteur.spoil(machine.tick(now), now):
                far.sendto(octets, GATEWAY)
            network.sent.clear()
            if machine.hung_up and played.code is None:
                call.receive(Hangup(start.call), now)
                _learn(call, played, now)
    finally:
        call.close()
    played.seconds = now
    played.fault = played.fault or _fault(played)
    return played


def _learn(call: MediaCall, played: Played, now: float) -> None:
    for outgoing in call.take():
        played.messages += 1
        _note(outgoing.message, played)
        if outgoing.descriptor is not None:
            octets = read_all(outgoing.descriptor)
            played.pages += 1
            played.page_octets = max(played.page_octets, len(octets))
        ack = answer(outgoing.message)
        if ack is not None:
            call.receive(ack, now)


def _note(message: Message, played: Played) -> None:
    match message:
        case PageReceived():
            played.page_rows = max(played.page_rows, message.rows)
        case Trace(frames=said) if any(len(frame) > 2048 for _at, _direction, frame in said):
            played.fault = "a frame in the trace is endless"
        case PhaseE() if played.code is not None:
            played.fault = "phase E twice"
        case PhaseE():
            played.code, played.reason = message.code, message.reason
        case _:
            pass


def _fault(played: Played) -> str:
    """What must not be."""
    if played.code is None:
        return "the call hangs"
    if played.worst_tick > WORST_TICK:
        return f"a tick of {played.worst_tick:.2f} s"
    if played.messages > MAX_MESSAGES:
        return f"{played.messages} messages to the daemon"
    if played.page_octets > MAX_PAGE_OCTETS or played.page_rows > MAX_PAGE_ROWS:
        return f"a page of {played.page_octets} octets and {played.page_rows} rows"
    return ""


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Play the seeds of the arguments."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.sessions", description=__doc__)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=100)
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for seed in range(options.first, options.first + options.count):
        before = _peak()
        try:
            played = play(seed)
        except Exception as exc:  # noqa: BLE001 - whatever comes out of a call is a finding
            played = Played(seed, "", fault=f"{type(exc).__name__}: {exc}")
        grown = _peak() - before
        if grown > MAX_MEMORY and not played.fault:
            played.fault = f"memory grew by {grown >> 20} MiB"
        sys.stdout.write(json.dumps(asdict(played)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
