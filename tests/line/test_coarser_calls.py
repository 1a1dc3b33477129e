"""The resolution of the pages against what the far end takes, with real call workers and the simulator's machines.

All calls run at once, so the file takes as long as its longest call.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from faxgw.fax.outcome import Cause, Outcome
from faxgw.fax.ports import CallDocument
from faxgw.line.ports import PortRange
from faxgw.line.sip import SipLine
from faxgw.line.trunk import SipSettings, TrunkSettings
from faxgw.rig import Simulator
from faxgw.settings import Listener
from tests.line.far_end import Marks, plan
from tests.t30.conftest import memory_file, page_image, pixels, tiff

pytestmark = pytest.mark.realtime

SUPERFINE = tiff([page_image(1, rows=400), page_image(2, rows=400)], (204.0, 391.0))
FINE = tiff([page_image(1, rows=200), page_image(2, rows=200)], (204.0, 196.0))
STANDARD = tiff([page_image(1, rows=100), page_image(2, rows=100)], (204.0, 98.0))


@dataclass(frozen=True)
class Case:
    """One call."""

    suffix: str
    document: bytes
    renewed: bytes
    """What is given when it is asked for; empty: nothing is."""
    taken: str
    """Resolutions that the far end said to take when asked; empty: never asked."""
    arrives: bytes
    """Empty: nothing does."""
    transport: str = "t38"


CASES = {
    "superfine is taken": Case("00", SUPERFINE, FINE, "", SUPERFINE),
    "superfine goes down to fine": Case("4302", SUPERFINE, FINE, "204x98/204x196", FINE),
    "fine goes down to standard": Case("43", FINE, STANDARD, "204x98", STANDARD),
    "the same over G.711": Case("4301", FINE, STANDARD, "204x98", STANDARD, "g711"),
    "superfine goes down to standard": Case("143", SUPERFINE, STANDARD, "204x98", STANDARD),
    "there are no others": Case("243", FINE, b"", "204x98", b""),
}


class Renewing(Marks):
    """Gives other pages when asked."""

    def __init__(self, fax: str, renewed: bytes) -> None:
        super().__init__()
        self._fax = fax
        self._octets = renewed

    async def coarser(self, taken: tuple[str, ...]) -> tuple[CallDocument, ...]:
        await super().coarser(taken)
        await asyncio.sleep(0)
        return (CallDocument(self._fax, memory_file(self._octets), 2, 1, 2),) if self._octets else ()


async def place(line: SipLine, case: Case) -> tuple[Outcome, Marks]:
    fax = f"FN{case.suffix}"
    marks = Renewing(fax, case.renewed)
    descriptor = memory_file(case.document)
    made = plan(
        line.new_identity("t"),
        number=f"+33199999{case.suffix}",
        attempt=f"att_{case.suffix}",
        documents=(CallDocument(fax, descriptor, 2, 1, 2),),
        coarser_within=8.0,
    )
    try:
        return await line.call(made, marks), marks
    finally:
        os.close(descriptor)


def open_files() -> list[str]:
    """Files in memory that this process holds."""
    links = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            links.append(os.readlink(f"/proc/self/fd/{name}"))
    return sorted(link for link in links if "memfd" in link)


def received(folder: Path) -> list[tuple[tuple[int, int], bytes]]:
    return [page for path in folder.glob("*.tif*") for page in pixels(path.read_bytes())]


async def test_pages_arrive_in_the_finest_resolution_that_the_far_end_takes(tmp_path: Path) -> None:
    simulator = Simulator(tmp_path)
    await simulator.start()
    trunk = TrunkSettings(name="t", host="127.0.0.1", port=simulator.port, channels=30)
    line = SipLine(SipSettings(listen=Listener("127.0.0.1", 0), media_ports=PortRange(25000, 25999)), [trunk])
    before = open_files()
    try:
        await line.start()
        found = await asyncio.gather(*(place(line, case) for case in CASES.values()))
    finally:
        await line.stop()
        await simulator.stop()
    assert open_files() == before, "every descriptor was closed"
    for (name, case), (outcome, marks) in zip(CASES.items(), found, strict=True):
        told = f"{name}: {outcome.cause} {outcome.detail}"
        asked = [f"coarser {case.taken}"] if case.taken else []
        sent = [f"exposed FN{case.suffix} 1", f"confirmed FN{case.suffix} 1", f"confirmed FN{case.suffix} 2"]
        assert marks.log == ["answered", *asked, *(sent if case.arrives else [])], told
        assert outcome.cause is (Cause.OK if case.arrives else Cause.NO_COMMON_MODE), told
        assert outcome.resume == (not case.arrives), told
        assert outcome.transport == case.transport, told
    arrived = received(tmp_path)
    wanted = [page for case in CASES.values() if case.arrives for page in pixels(case.arrives)]
    assert sorted(arrived) == sorted(wanted)
