"""The line with real call workers against the simulator's machines: real SIP, real T.38, real G.711, real time.

All calls run at once, so the whole file takes as long as its longest call.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from faxgw.fax.outcome import Cause, Outcome
from faxgw.fax.ports import CallDocument
from faxgw.line.ports import PortRange
from faxgw.line.sip import SipLine
from faxgw.line.trunk import SipSettings, TrunkSettings
from faxgw.settings import Duration, Listener
from tests.line.far_end import Marks, plan
from tests.t30.conftest import page_image, pixels, tiff

pytestmark = pytest.mark.realtime

PAGES = [page_image(1), page_image(2)]
SHORT = Duration(4.0)

# Number's suffix → cause, confirmed pages, transport (None: any).
EXPECTED: dict[str, tuple[Cause, int, str | None]] = {
    "00": (Cause.OK, 2, "t38"),
    "01": (Cause.OK, 2, "t38"),
    "02": (Cause.OK, 2, "g711"),
    "10": (Cause.BUSY, 0, None),
    "11": (Cause.NO_ANSWER, 0, None),
    "13": (Cause.WRONG_NUMBER, 0, None),
    "20": (Cause.PERSON, 0, None),
    "30": (Cause.REMOTE_HUNG_UP, 1, "t38"),
    "41": (Cause.OK, 2, "t38"),
    "43": (Cause.NO_COMMON_MODE, 0, "t38"),
    "44": (Cause.OK, 2, "t38"),
}
SUB_ADDRESS = {"00": "4711#1"}


async def place(line: SipLine, suffix: str, document: int) -> tuple[str, Outcome, Marks]:
    marks = Marks()
    made = plan(
        line.new_identity("t"),
        number=f"+331990000{suffix}",
        attempt=f"att_{suffix}",
        documents=(CallDocument(f"FN{suffix}", document, 2, 1, 2),),
        sub_address=SUB_ADDRESS.get(suffix, ""),
    )
    return suffix, await line.call(made, marks), marks


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("document") / "fax.tif"
    path.write_bytes(tiff(PAGES))
    return path


async def test_the_machines_of_the_park_get_what_they_deserve(document: Path, tmp_path: Path) -> None:
    simulator = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "faxgw.simulator", "--bind", "127.0.0.1:0", "--received", str(tmp_path),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert simulator.stdout is not None
    port = int(json.loads(await simulator.stdout.readline())["sip"].rpartition(":")[2])
    trunk = TrunkSettings(name="t", host="127.0.0.1", port=port, channels=30, ring_time=SHORT)
    line = SipLine(SipSettings(listen=Listener("127.0.0.1", 0), media_ports=PortRange(23000, 23999)), [trunk])
    descriptor = os.open(document, os.O_RDONLY | os.O_CLOEXEC)
    try:
        await line.start()
        results = await asyncio.gather(*(place(line, suffix, descriptor) for suffix in EXPECTED))
    finally:
        os.close(descriptor)
        await line.stop()
        simulator.terminate()
        await simulator.wait()
        simulator._transport.close()  # type: ignore[attr-defined]  # else its pipe lives until the loop is gone
    seen = {
        suffix: (outcome.cause, sum(1 for entry in marks.log if entry.startswith("confirmed")), outcome.transport)
        for suffix, outcome, marks in results
    }
    wanted = {
        suffix: (cause, pages, seen[suffix][2] if transport is None else transport)
        for suffix, (cause, pages, transport) in EXPECTED.items()
    }
    assert seen == wanted, [(suffix, outcome.detail) for suffix, outcome, _marks in results]
    for suffix, outcome, marks in results:
        assert outcome.exposed == any(entry.startswith("exposed") for entry in marks.log), suffix
        assert outcome.resume == (suffix == "43"), suffix  # it takes standard resolution: once more, at once
    assert sub_addresses(tmp_path) == ['SUB "4711#1"']
    assert identical_pages(tmp_path, document) >= 10


def identical_pages(received: Path, document: Path) -> int:
    """How many received pages are a page of the document, pixel by pixel."""
    sent = pixels(document.read_bytes())
    files = [pixels(path.read_bytes()) for path in received.glob("*.tif*")]
    return sum(page in sent for file in files for page in file)


def sub_addresses(received: Path) -> list[str]:
    """The SUB frames that the machines got."""
    records = [json.loads(path.read_text()) for path in received.glob("*.json")]
    return [frame for record in records for _at, way, frame in record["trace"] if way == "<" and "SUB" in frame]
