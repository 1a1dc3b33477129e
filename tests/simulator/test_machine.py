"""A machine that sends and a machine that receives, without any engine of others between them."""

from __future__ import annotations

import pytest

from faxgw.fax.outcome import Cause
from faxgw.foip import t30_frames as t30
from faxgw.simulator import frames
from faxgw.simulator.machine import Machine
from faxgw.simulator.receiving import ReceivingMachine
from faxgw.simulator.script import Act, After, Expected, Rule, Script
from faxgw.simulator.sending import SendingMachine
from tests.simulator.stage import rows

NOTHING = Expected(Cause.OK, 0, ())
TICK = 0.02


def script(suffix: str, *rules: Rule, **values: object) -> Script:
    return Script(suffix, "machine", "", NOTHING, rules, **values)  # type: ignore[arg-type]


def talk(caller: Script, answerer: Script, seconds: float = 200.0) -> tuple[SendingMachine, ReceivingMachine]:
    """Let them speak until both have hung up."""
    sender = SendingMachine(caller, [rows(number, caller.width, 60) for number in (1, 2)])
    receiver = ReceivingMachine(answerer)
    now = 0.0
    while now < seconds and not (sender.hung_up and receiver.hung_up):
        now = round(now + TICK, 3)
        for octets in sender.tick(now):
            receiver.receive(octets, now)
        for octets in receiver.tick(now):
            sender.receive(octets, now)
    return sender, receiver


def names(machine: Machine) -> list[str]:
    return [direction + t30.name(frame) for _at, direction, frame in machine.ladder]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"frame_octets": 64},
        {"coding": "MR"},
        {"coding": "MH", "ecm": False},
        {"coding": "MR", "ecm": False, "rate": "V.29 9600"},
        {"rate": "V.27ter 2400"},
        {"width": 2048},
        {"width": 2432},
    ],
)
def test_pages_arrive_as_they_were_sent(values: dict[str, object]) -> None:
    sender, receiver = talk(script("S", **values), script("x"))
    width = int(str(values.get("width", 1728)))
    assert [list(page.rows) for page in receiver.pages] == [rows(number, width, 60) for number in (1, 2)]
    assert (sender.confirmed, sender.complete, receiver.complete) == (2, True, True)
    assert {page.coding for page in receiver.pages} == {values.get("coding", "MMR")}
    assert receiver.mode == sender.mode
    assert (sender.remote_ident, receiver.remote_ident) == ("+49 30 55500", "+49 30 55500")


def test_the_ladder_has_times_and_all_frames() -> None:
    sender, receiver = talk(script("S"), script("x"))
    assert names(receiver) == [
        ">CSI", ">DIS", "<TSI", "<DCS", ">CFR", "<PPS-MPS", ">MCF", "<PPS-EOP", ">MCF", "<DCN",
    ]  # fmt: skip
    assert names(sender) == [name.translate(str.maketrans("<>", "><")) for name in names(receiver)]
    times = [at for at, _direction, _frame in receiver.ladder]
    assert times == sorted(times) and times[0] < 5 < times[-1]


@pytest.mark.parametrize(
    ("caller", "answerer", "confirmed", "kept"),
    [
        ((), (Rule("MCF", Act(frames=(frames.ppr((0,)),)), last=1),), 2, 2),
        ((Rule("page", Act(lost=(0,)), last=1),), (), 2, 2),
        ((), (Rule("MCF", Act(frames=(frames.frame(t30.RNR),)), last=1),), 2, 2),
        ((), (Rule("MCF", Act(fcs_ok=False), last=1),), 2, 2),
        ((), (Rule("CFR", Act(frames=(frames.frame(t30.FTT),)), last=1),), 2, 2),
        ((Rule("heard", Act(skip=True), 3, 3),), (), 2, 2),
        ((), (Rule("MCF", Act(frames=(frames.frame(t30.DCN),)), 2),), 1, 1),
        ((), (Rule("MCF", Act(frames=()), 2),), 1, 1),
        ((Rule("post-page", Act(frames=(), after=After.HANG_UP), 2),), (), 1, 1),
    ],
)
def test_machines_cope_with_each_other(
    caller: tuple[Rule, ...], answerer: tuple[Rule, ...], confirmed: int, kept: int
) -> None:
    sender, receiver = talk(script("S", *caller), script("x", *answerer))
    assert (sender.confirmed, len(receiver.pages)) == (confirmed, kept)


def test_nobody_answers_and_the_machine_gives_up() -> None:
    """T1, T.30 section 5.4.3.1."""
    alone = ReceivingMachine(script("x"))
    now = 0.0
    while not alone.hung_up and now < 100:
        now = round(now + TICK, 3)
        alone.tick(now)
    assert 37 < now < 45
    assert names(alone).count(">DIS") == 7


def test_what_cannot_be_read_is_counted() -> None:
    machine = ReceivingMachine(script("x"))
    machine.receive(b"\0", 0.0)
    machine.receive(b"\0\0\1\x3f\0\0", 0.0)
    assert machine.garbage == 2
