"""Machines with odd signalling, negotiation or networks against the gateway's line, over real SIP in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from faxgw.fax.outcome import Outcome
from faxgw.foip import t30_frames
from faxgw.simulator.album import CallRecord
from faxgw.simulator.behaviour import BEHAVIOURS
from faxgw.simulator.manners import ODD, Odd
from faxgw.simulator.park import Park, ParkConfig
from tests.line.far_end import Marks
from tests.line.virtual import Gateway, run
from tests.simulator.test_zoo import occurs
from tests.t30.conftest import page_image, pixels, tiff

DOCUMENT = tiff([page_image(1), page_image(2)])


@dataclass
class Played:
    """What came of a call."""

    outcome: Outcome
    confirmed: int
    record: CallRecord
    """The machine's, of the last call that a fax came of."""
    folder: Path

    @property
    def ladder(self) -> list[str]:
        return [direction + t30_frames.name(frame) for _at, direction, frame in self.outcome.frames]

    @property
    def steps(self) -> list[str]:
        return [f"{way} {words}" for _at, way, words in self.outcome.steps]

    @property
    def kept(self) -> list[tuple[tuple[int, int], bytes]]:
        return [page for stored in self.record.pages for page in pixels((self.folder / stored.tiff).read_bytes())]


async def play(number: str, folder: Path) -> Played:
    """The gateway sends two pages to a machine."""
    park = Park(ParkConfig(folder))
    _host, port = await park.start()
    async with Gateway(port) as gateway:
        marks = Marks()
        outcome = await gateway.fax(DOCUMENT, marks, number=number)
        async with asyncio.timeout(600):
            while not (park.is_idle and park.records):  # noqa: ASYNC110 - the park has no event for it
                await asyncio.sleep(0.1)
    await park.stop()
    record = max(park.records, key=lambda record: (len(record.pages), record.id))
    return Played(outcome, sum(entry.startswith("confirmed") for entry in marks.log), record, folder)


def begin_in_order(wanted: Iterable[str], steps: Sequence[str]) -> bool:
    """Whether messages occur that begin like these, in this order, others between them."""
    rest = iter(steps)
    return all(any(step.startswith(start) for step in rest) for start in wanted)


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: f"{odd.suffix} {odd.name}")
def test_it_comes_to_what_it_should(odd: Odd, tmp_path: Path) -> None:
    """Cause, pages, T.30 ladder and SIP messages; what was confirmed the machine has, pixel by pixel."""
    expected = odd.manner.expected
    played = run(play(f"+33199000{odd.suffix:0>4}", tmp_path))
    assert played.outcome.cause is expected.cause, (played.outcome.detail, played.steps, played.ladder)
    assert played.confirmed == expected.confirmed, (played.outcome, played.ladder)
    assert occurs(expected.ladder, played.ladder), played.ladder
    assert not set(expected.never) & set(played.ladder), played.ladder
    assert begin_in_order(odd.manner.steps, played.steps), played.steps
    assert len(played.kept) == expected.pages_kept
    assert played.kept[: played.confirmed] == pixels(DOCUMENT)[: played.confirmed]


def test_no_two_are_the_same() -> None:
    """But for their names and what they come to."""
    manners = [replace(odd.manner, expected=ODD[0].manner.expected, steps=()) for odd in ODD]
    essence = {
        repr((replace(odd, suffix="", name="", text=""), manner)).replace(repr(odd.manner), "")
        for odd, manner in zip(ODD, manners, strict=True)
    }
    assert len(essence) == len(ODD) >= 80
    assert {behaviour.suffix for behaviour in BEHAVIOURS.values() if behaviour.manner} == {odd.suffix for odd in ODD}


def test_a_network_loses_the_same_datagrams_again(tmp_path: Path) -> None:
    """The first call to a number after the start: the same ladder to the hundredth of a second."""
    first, second = (run(play("+331990000072", tmp_path / name)) for name in "ab")
    assert first.outcome.frames == second.outcome.frames
