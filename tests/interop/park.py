"""The park of fax machines as a process, faxes from it and to it, and the line's inside that keeps what comes."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any  # JSON

from faxgw.fax.outcome import Outcome
from faxgw.fax.ports import Admission, CallDocument, CallProgress, Ringing
from faxgw.fax.reception import ReceivedPage
from faxgw.line.sip import SipLine
from tests.interop.peers import Listens, Peer
from tests.line.far_end import Marks, plan
from tests.ports import free_ports
from tests.t30.conftest import page_image, pixels, tiff

CALLER = "+33199000077"
Page = tuple[tuple[int, int], bytes]
ROWS = 150
"""A short page: calls in real time take as long as it takes."""


class Park(Peer):
    """`python -m faxgw.simulator`.

    Args:
        folder: Its own; received pages lie in `received`.
    """

    def __init__(self, folder: Path) -> None:
        (self.port,) = free_ports(1)
        self.received = folder / "received"
        words = ["-m", "faxgw.simulator", "--bind", f"127.0.0.1:{self.port}", "--received", str(self.received)]
        super().__init__(folder, [sys.executable, *words], [Listens(self.port)])

    def pages(self) -> list[Page]:
        """All pages received, as pixels."""
        return [page for path in sorted(self.received.glob("*.tif*")) for page in pixels(path.read_bytes())]

    def transport(self) -> str:
        """`t38` or `g711`: what the machine that was called last has spoken."""
        path = max(self.received.glob("*.json"))
        return str(json.loads(path.read_text())["transport"])


class Inside:
    """Takes calls to the line and keeps their pages."""

    def __init__(self) -> None:
        self.numbers: list[str] = []
        self.pages: list[Page] = []
        self.outcomes: asyncio.Queue[Outcome] = asyncio.Queue()

    async def admit(self, ringing: Ringing) -> Admission | int:
        self.numbers.append(ringing.dialled)
        return Admission(f"rcv_{len(self.numbers)}", "+33 1 99 00 00 99", True, 14400)

    async def answered(self, reception: str) -> bool:
        return True

    async def page(self, reception: str, page: ReceivedPage, descriptor: int) -> bool:
        self.pages += pixels(os.pread(descriptor, os.fstat(descriptor).st_size, 0))
        return True

    def progress(self, reception: str, what: CallProgress) -> None:
        pass

    async def ended(self, reception: str, outcome: Outcome, *, acknowledged: int, farewell: bool) -> None:
        self.outcomes.put_nowait(outcome)


def document(folder: Path, number: int) -> Path:
    """A TIFF of one page that no other number has."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"fax-{number}.tif"
    path.write_bytes(tiff([page_image(number, ROWS)]))
    return path


async def send(line: SipLine, number: str, file: Path, *, trunk: str = "t", within: float = 90.0) -> Outcome:
    """A fax of ours; afterwards its page is confirmed or the outcome says why not."""
    marks = Marks()
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        identity = line.new_identity(trunk)
        fax = (CallDocument("FN", descriptor, 1, 1, 1),)
        made = plan(
            identity,
            number,
            trunk=trunk,
            documents=fax,
            attempt="sending",
            caller=CALLER,
            station_id="+33 1 99 00 00 77",
        )
        async with asyncio.timeout(within):
            outcome = await line.call(made, marks)
    finally:
        os.close(descriptor)
    assert (outcome.cause.value == "ok") == ("confirmed FN 1" in marks.log), outcome
    return outcome


async def call_us(uri: str, file: Path, folder: Path, options: Sequence[str] = ()) -> dict[str, Any]:
    """A fax of the park's to an address; the record of the call."""
    words = ["-m", "faxgw.simulator", "--bind", "127.0.0.1:0", "--received", str(folder), "--call", uri]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *words, "--file", str(file), *options,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    async with asyncio.timeout(90):
        said, _ = await process.communicate()
    record: dict[str, Any] = json.loads(said)
    return record
