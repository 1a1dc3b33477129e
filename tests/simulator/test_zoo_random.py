"""Machines with rules drawn at random, in virtual time: the call ends, and no page is confirmed in vain.

The draws are seeded; a failure names its seed. Machines do not lie about what they have (a machine that confirms what
it was not asked for cannot be told from one that has it), but for that anything goes.
"""

from __future__ import annotations

import random
from typing import Final

import pytest

from faxgw.fax.outcome import Cause
from faxgw.foip import t30_frames as t30
from faxgw.simulator import frames
from faxgw.simulator.script import EVERYTHING, Act, After, Expected, Rule, Script, Wire
from tests.simulator.stage import Played, be_called_by, call_machine

ANSWERS: Final = (
    t30.MCF, t30.RTP, t30.RTN, t30.PIP, t30.PIN, t30.PPR, t30.RNR, t30.CFR, t30.FTT, t30.DCN, t30.CRP, frames.ERR,
    frames.CTR, 0x74, t30.DIS, t30.DCS, t30.MPS | 1, t30.EOP | 1, t30.EOM | 1,
)  # fmt: skip
REFUSALS: Final = (t30.RTN, t30.PIN, t30.RNR, t30.FTT, t30.DCN, t30.CRP, frames.ERR, 0x74)
PLAIN: Final = frames.dis(*(number for number in EVERYTHING if number not in (frames.ECM, frames.MMR)))
RECEIVING: Final = ("DIS", "CFR", "page", "MCF", "MCF", "MCF", "PPR", "RR", "heard")
SENDING: Final = ("DCS", "TCF", "page", "post-page", "RR", "CTC", "EOR", "DCN", "heard")
GROUPS: Final = 8
DRAWS: Final = 30
"""Machines of one group."""


def a_frame(draw: random.Random, codes: tuple[int, ...]) -> bytes:
    code = draw.choice(codes)
    if code == t30.PPR:
        return frames.ppr(draw.randrange(30) for _ in range(draw.randrange(5)))
    if code == t30.DIS:
        return frames.dis(*EVERYTHING)
    if code == t30.DCS:
        return frames.dcs("V.29 9600", frames.FINE, frames.ECM, frames.MMR)
    return frames.frame(code)


def an_act(draw: random.Random, moment: str) -> Act:
    match draw.randrange(8):
        case 0 | 1:
            return Act(delay=draw.uniform(0.0, 6.0))
        case 2:
            return Act(fcs_ok=False)
        case 3:
            return Act(frames=())
        case 4:
            return Act(frames=(), after=draw.choice((After.SILENT, After.HANG_UP)))
        case 5 if moment in SENDING:
            return Act(skip=True)
        case 6 if moment in SENDING:
            return Act(lost=tuple(draw.randrange(20) for _ in range(3)))
        case _ if moment in ("MCF", "DIS", "CFR", "RR", "PPR"):
            said = tuple(a_frame(draw, ANSWERS) for _ in range(draw.choice((1, 1, 1, 2, 3))))
            return Act(frames=said, delay=draw.choice((0.0, 0.0, 0.0, 2.0, 3.5, 4.2)))
        case _:
            return Act(frames=(a_frame(draw, REFUSALS),))


def a_machine(seed: int) -> Script:
    draw = random.Random(seed)
    sends, plain = draw.random() < 0.4, draw.random() < 0.5
    rules = []
    for _ in range(draw.randint(1, 3)):
        moment, first = draw.choice(SENDING if sends else RECEIVING), draw.choice((1, 1, 2, 3))
        act = Act(skip=True) if moment == "heard" else an_act(draw, moment)
        rules.append(Rule(moment, act, first, first + draw.choice((0, 0, 1, 100))))
    return Script(
        "S" if sends else "x",
        f"seed {seed}",
        "",
        Expected(Cause.OK, 0, ()),
        tuple(rules),
        command=PLAIN if plain and not sends else b"",
        ecm=not plain,
        coding=draw.choice(("MH", "MR")) if plain else "MMR",
        wire=draw.choice((*(Wire.REDUNDANCY,) * 5, Wire.TWICE, Wire.BACKWARDS, Wire.BARE)),
    )


def fault(script: Script, played: Played) -> str:
    """What must not be, in words; empty: nothing."""
    if not played.ended:
        return "the call hangs"
    if script.sends and played.machine.confirmed > played.confirmed:
        return f"the machine counts {played.machine.confirmed} pages, we have kept {played.confirmed}"
    if not script.sends and played.confirmed > len(played.machine.pages):
        return f"we count {played.confirmed} pages, the machine has {len(played.machine.pages)}"
    if played.outcome.cause is Cause.LINE_FAULT:
        return f"we blame ourselves: {played.outcome.detail}"
    return ""


@pytest.mark.parametrize("group", range(GROUPS))
def test_no_machine_makes_us_hang_or_count_a_page_that_is_not_there(group: int) -> None:
    faults = {}
    for seed in range(group * DRAWS, (group + 1) * DRAWS):
        script = a_machine(seed)
        played = be_called_by(script) if script.sends else call_machine(script)
        what = fault(script, played)
        if what:
            faults[seed] = (what, script.rules, played.ladder[-12:])
    assert not faults
