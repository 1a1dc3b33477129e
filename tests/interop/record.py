"""Make the recordings that are replayed: `python -m tests.interop.record [FOLDER]`.

One call each way between the real line with its call workers and the simulator, on loopback and in real time (half a
minute); the page is `page.tif`, the numbers are of a range that no subscriber has.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import zlib
from pathlib import Path

from faxgw.fax.outcome import Outcome
from faxgw.fax.ports import Admission, CallDocument, CallProgress, Ringing
from faxgw.fax.reception import ReceivedPage
from faxgw.line.ports import PortRange
from faxgw.line.sip import SipLine
from faxgw.line.trunk import SipSettings, TrunkSettings
from faxgw.settings import Listener
from tests.interop.capture import FOLDER, PAGE
from tests.line.far_end import Marks, plan

NUMBER, CALLER = "+33199000000", "+33199000077"
RECEIVED = "+33199000099"


class Keeper:
    """Keeps recordings in a folder, under the names of their calls."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kept: list[Path] = []

    def asked(self, *numbers: str) -> bool:
        return True

    async def keep(self, call: str, octets: bytes) -> None:
        path = self.folder / f"{call}.faxrec"
        path.write_bytes(zlib.compress(octets, 9))
        self.kept.append(path)


class Takes:
    """Takes every call to us and keeps nothing."""

    def __init__(self) -> None:
        self.outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    async def admit(self, ringing: Ringing) -> Admission | int:
        return Admission("recorded-receiving", "+33 1 99 00 00 99", True, 14400)

    async def answered(self, reception: str) -> bool:
        return True

    async def page(self, reception: str, page: ReceivedPage, descriptor: int) -> bool:
        return True

    def progress(self, reception: str, what: CallProgress) -> None:
        pass

    async def ended(self, reception: str, outcome: Outcome, *, acknowledged: int, farewell: bool) -> None:
        self.outcome.set_result(outcome)


async def record(folder: Path, received: Path) -> list[Path]:
    """Record one call each way; returns the files."""
    command = [sys.executable, "-m", "faxgw.simulator"]
    park = await asyncio.create_subprocess_exec(
        *command, "--bind", "127.0.0.1:0", "--received", str(received), stdout=asyncio.subprocess.PIPE
    )
    assert park.stdout is not None
    port = int(json.loads(await park.stdout.readline())["sip"].rpartition(":")[2])
    trunk = TrunkSettings(name="t", host="127.0.0.1", port=port, channels=4)
    line = SipLine(SipSettings(listen=Listener("127.0.0.1", 0), media_ports=PortRange(24000, 24199)), [trunk])
    keeper, takes = Keeper(folder), Takes()
    descriptor = os.open(PAGE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        await line.start()
        line.record_to(keeper)
        line.take_calls(takes)
        sent = plan(
            line.new_identity("t"),
            number=NUMBER,
            documents=(CallDocument("FN1", descriptor, 1, 1, 1),),
            attempt="recorded-sending",
            caller=CALLER,
            station_id="+33 1 99 00 00 77",
        )
        caller = await asyncio.create_subprocess_exec(
            *command, "--call", f"sip:{RECEIVED}@127.0.0.1:{line.port}", "--file", str(PAGE), "--from", CALLER,
            "--received", str(received), "--bind", "127.0.0.1:0", stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        await asyncio.gather(line.call(sent, Marks()), takes.outcome, caller.wait())
    finally:
        os.close(descriptor)
        await line.stop()
        park.terminate()
        await park.wait()
    return keeper.kept


if __name__ == "__main__":
    import tempfile

    target = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    with tempfile.TemporaryDirectory() as scratch:
        for made in asyncio.run(record(target, Path(scratch))):
            sys.stdout.write(f"{made} {made.stat().st_size}\n")
