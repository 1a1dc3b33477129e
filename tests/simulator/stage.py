"""A machine of the zoo against our own engine, in memory and in virtual time: a call takes some hundredths of a second.

What the line would make of the call (`Tally`, `Arrival`) is made here of the same messages by the same classes.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cache

from faxgw.fax.outcome import Outcome
from faxgw.foip import t30_frames
from faxgw.foip.control import (
    Confirmed,
    Document,
    Hangup,
    PageReceived,
    PhaseB,
    PhaseE,
    Start,
    T38Media,
    Trace,
)
from faxgw.line.arrival import Arrival
from faxgw.line.facts import Facts
from faxgw.line.tally import Tally
from faxgw.simulator.coding import Row
from faxgw.simulator.machine import Machine
from faxgw.simulator.receiving import ReceivingMachine
from faxgw.simulator.script import Script
from faxgw.simulator.sending import SendingMachine
from faxgw.t30.call import MediaCall
from tests.t30.conftest import (
    TICK,
    Network,
    answer,
    memory_file,
    page_image,
    read_all,
    receive_start,
    send_start,
    tiff,
)

GATEWAY = ("192.0.2.1", 2)
MACHINE = ("192.0.2.1", 4)
BYE_DELAY = 0.2
"""Seconds from phase E to our BYE, as line.outgoing has it."""
LIMIT = 900.0
"""Seconds of virtual time after which a call hangs."""
PAGES = 2


@dataclass
class Played:
    """What came of a call."""

    outcome: Outcome
    confirmed: int
    """Sending: pages confirmed to us. Receiving: pages we have confirmed."""
    ladder: list[str]
    """`>DCS`, as our engine saw it."""
    machine: Machine
    pages: list[bytes]
    """Receiving: the pages our engine has handed over, as TIFFs."""
    sub_address: str
    """Receiving: the one our engine has heard."""
    seconds: float
    ended: bool
    """False: it hung until LIMIT."""


@cache
def document() -> bytes:
    return tiff([page_image(number) for number in (1, 2)])


def rows(number: int, width: int = 1728, count: int = 300) -> list[Row]:
    """A page for machines that send: bars that move."""
    right = width - 200
    return [
        tuple(sorted({(37 * number + row * 3) % 800, 900 + row * 7 % 500 + number, right + row % 9}))
        if row % (number + 3)
        else ()
        for row in range(count)
    ]


def call_machine(script: Script) -> Played:
    """Our gateway sends two pages to the machine."""
    media = T38Media(MACHINE, error_correction="fec" if script.announces_fec else "redundancy")
    start = replace(send_start(), t38=media, documents=(Document("F", PAGES, 1, PAGES),), sub_address="4711")
    file = memory_file(document())
    try:
        return _play(start, [file], ReceivingMachine(script), Tally(0.0, pages=PAGES))
    finally:
        os.close(file)


def be_called_by(script: Script) -> Played:
    """The machine calls our gateway and sends two pages."""
    start = replace(receive_start(), t38=T38Media(MACHINE), takes_sub_address=True)
    machine = SendingMachine(script, [rows(number, script.width) for number in (1, 2)])
    return _play(start, [], machine, Arrival(0.0))


def _play(start: Start, files: list[int], machine: Machine, facts: Tally | Arrival) -> Played:
    network = Network()
    rtp, udptl, far = network.socket(1), network.socket(GATEWAY[1]), network.socket(MACHINE[1])
    facts.answered_at = 0.0
    now = 0.0
    call = MediaCall(start, rtp, udptl, files, now)
    played = Played(facts.outcome(now), 0, [], machine, [], "", 0.0, ended=False)
    bye = LIMIT
    try:
        while now < bye:
            now = round(now + TICK, 3)
            call.tick(now)
            _learn(call, facts, played, now)
            if facts.phase_e is not None:
                bye = min(bye, now + BYE_DELAY)
            while far.queue:
                machine.receive(far.queue.popleft()[0], now)
            for octets in machine.tick(now):
                far.sendto(octets, GATEWAY)
            if machine.hung_up and facts.phase_e is None:
                facts.remote_ended = True
                call.receive(Hangup(start.call), now)
                _learn(call, facts, played, now)
                bye = now
    finally:
        call.close()
    played.outcome, played.seconds, played.ended = facts.outcome(now), now, facts.phase_e is not None
    played.confirmed = len(facts.confirmed) if isinstance(facts, Tally) else facts.acknowledged
    return played


def _learn(call: MediaCall, facts: Tally | Arrival, played: Played, now: float) -> None:
    """What the line's call objects do with the messages of the worker; every promise is kept at once."""
    for outgoing in call.take():
        _note(outgoing.message, facts, played.ladder)
        if isinstance(outgoing.message, PhaseB):
            played.sub_address = outgoing.message.sub_address
        if outgoing.descriptor is not None:
            played.pages.append(read_all(outgoing.descriptor))
        ack = answer(outgoing.message)
        if ack is not None:
            call.receive(ack, now)


def _note(message: object, facts: Facts, ladder: list[str]) -> None:
    match message:
        case PhaseB():
            facts.phase_b = True
            facts.remote_ident = message.remote_ident
        case Trace():
            facts.add_frames(message.frames)
            ladder += [direction + t30_frames.name(frame) for _at, direction, frame in message.frames]
        case Confirmed() if isinstance(facts, Tally):
            facts.confirmed.add((message.fax, message.page))
        case PageReceived() if isinstance(facts, Arrival):
            facts.announced = facts.released = message.page
            facts.whole = message.last
        case PhaseE():
            facts.phase_e = message
        case _:
            pass
