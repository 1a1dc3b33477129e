"""Machines of the zoo over real SIP and UDPTL against the gateway's line, in real time and all at once.

What a machine comes to in virtual time (test_zoo.py) it must come to here: same cause, same pages, same ladder.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from faxgw.fax.outcome import Outcome
from faxgw.fax.ports import Admission, CallDocument, CallProgress, Ringing
from faxgw.fax.reception import ReceivedPage
from faxgw.foip import t30_frames
from faxgw.line.ports import PortRange
from faxgw.line.sip import SipLine
from faxgw.line.trunk import SipSettings, TrunkSettings
from faxgw.settings import Duration, Listener
from faxgw.simulator.album import CallRecord
from faxgw.simulator.behaviour import BEHAVIOURS
from faxgw.simulator.park import Park, ParkConfig
from faxgw.simulator.script import Expected
from tests.line.far_end import Marks, plan, until
from tests.simulator.test_zoo import occurs
from tests.t30.conftest import page_image, pixels, tiff

pytestmark = pytest.mark.realtime
DOCUMENT = tiff([page_image(1, 100), page_image(2, 100)])
ANSWERING = ["25", "28", "29", "38", "47", "53", "58", "80", "90", "94", "99", "0908", "0910", "0922", "0927", "0931"]
ODD = ["05", "06", "08", "15", "17", "62", "64", "65", "67", "71", "75", "0301", "0307", "0314", "0602", "0605"]
"""Odd signalling, odd negotiation, bad networks."""
CALLING = ["S01", "S04", "S08", "S16", "S19", "S22", "S24", "S28", "S32", "S43", "S47"]


@dataclass
class Inside:
    """Admits every call and keeps its pages, by the caller's number."""

    callers: list[str] = field(default_factory=list)
    pages: dict[str, list[bytes]] = field(default_factory=dict)
    ends: dict[str, tuple[Outcome, int]] = field(default_factory=dict)

    async def admit(self, ringing: Ringing) -> Admission | int:
        self.callers.append(ringing.caller)
        return Admission(ringing.caller, "+49 40 2", True, 14400)

    async def answered(self, reception: str) -> bool:
        return bool(reception)

    async def page(self, reception: str, page: ReceivedPage, descriptor: int) -> bool:
        octets = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
        self.pages.setdefault(reception, []).append(octets)
        return page.page == len(self.pages[reception])

    def progress(self, reception: str, what: CallProgress) -> None:
        """Nobody looks."""

    async def ended(self, reception: str, outcome: Outcome, *, acknowledged: int, farewell: bool) -> None:
        self.ends[reception] = (outcome, acknowledged)


def ladder(outcome: Outcome) -> list[str]:
    return [direction + t30_frames.name(frame) for _at, direction, frame in outcome.frames]


def agree(suffix: str, outcome: Outcome, confirmed: int) -> str:
    """What is not as it should be, in words; empty: nothing."""
    expected = wanted(suffix)
    said = ladder(outcome)
    good = (
        outcome.cause is expected.cause
        and confirmed == expected.confirmed
        and occurs(expected.ladder, said)
        and not set(expected.never) & set(said)
    )
    return "" if good else f"{suffix}: {outcome.cause}, {confirmed} pages, {outcome.detail}, {' '.join(said)}"


def wanted(suffix: str) -> Expected:
    manner, script = BEHAVIOURS[suffix].manner, BEHAVIOURS[suffix].script
    if manner is not None:
        return manner.expected
    assert script is not None
    return script.expected


async def call(line: SipLine, suffix: str, document: int) -> tuple[str, Outcome, int]:
    """Our gateway calls the machine."""
    marks = Marks()
    number = f"+33199000{int(suffix):04}" if len(suffix) == 4 else f"+3319900000{suffix}"
    made = plan(
        line.new_identity("t"),
        number=number,
        attempt=f"att_{suffix}",
        documents=(CallDocument(f"FN{suffix}", document, 2, 1, 2),),
    )
    outcome = await line.call(made, marks)
    return suffix, outcome, sum(entry.startswith("confirmed") for entry in marks.log)


async def be_called(caller: Park, port: int, suffix: str) -> tuple[str, CallRecord]:
    """The machine calls our gateway."""
    placing: Awaitable[CallRecord] = caller.place(
        f"sip:0199@127.0.0.1:{port}",
        ("127.0.0.1", port),
        DOCUMENT,
        caller=f"+49{suffix[1:]}",
        behaviour=BEHAVIOURS[suffix],
    )
    return suffix, await placing


async def test_the_zoo_over_real_sip_comes_to_what_it_comes_to_in_virtual_time(tmp_path: Path) -> None:
    park = Park(ParkConfig(tmp_path / "in", pace=0.1))
    caller = Park(ParkConfig(tmp_path / "out"))
    _host, port = await park.start()
    await caller.start()
    sip = SipSettings(listen=Listener("127.0.0.1", 0), media_ports=PortRange(24200, 24999))
    values = {"name": "t", "host": "127.0.0.1", "port": port, "channels": 60, "keepalive": Duration(0)}
    line = SipLine(sip, [TrunkSettings(**values)])  # type: ignore[arg-type]
    inside = Inside()
    file = tmp_path / "fax.tif"
    file.write_bytes(DOCUMENT)
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        await line.start()
        line.take_calls(inside)
        async with asyncio.timeout(120):
            placed, received = await asyncio.gather(
                asyncio.gather(*(call(line, suffix, descriptor) for suffix in (*ANSWERING, *ODD))),
                asyncio.gather(*(be_called(caller, line.port, suffix) for suffix in CALLING)),
            )
            await until(lambda: len(inside.ends) == len(CALLING))
    finally:
        os.close(descriptor)
        await line.stop()
        await park.stop()
        await caller.stop()
    wrong = [agree(suffix, outcome, confirmed) for suffix, outcome, confirmed in placed]
    for suffix, record in received:
        outcome, acknowledged = inside.ends[f"+49{suffix[1:]}"]
        wrong.append(agree(suffix, outcome, acknowledged))
        assert record.pages_confirmed <= acknowledged, suffix
    assert not [text for text in wrong if text], "\n".join(filter(None, wrong))
    sent = pixels(DOCUMENT)
    whole = {suffix for suffix in CALLING if wanted(suffix).confirmed == 2}
    for suffix in whole:
        kept = [page for octets in inside.pages[f"+49{suffix[1:]}"] for page in pixels(octets)]
        assert len(kept) == len(sent)
        damaged = 0 if wanted(suffix).intact else 1  # page 1 is what the machine spoils
        assert kept[damaged:] == sent[damaged:]
    for record in park.records:
        stored = [page for entry in record.pages for page in pixels((tmp_path / "in" / entry.tiff).read_bytes())]
        assert stored == sent[: len(stored)], record.behaviour
    assert sum(len(record.pages) for record in park.records) >= sum(
        wanted(suffix).confirmed for suffix in (*ANSWERING, *ODD)
    )
    assert {record.behaviour for record in park.records} == {BEHAVIOURS[suffix].name for suffix in (*ANSWERING, *ODD)}
