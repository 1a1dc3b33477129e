"""`python -m bench.calls`: many real calls at once, from the gateway's line to the simulator, over loopback.

The gateway's half is what the daemon runs: SIP agent, call state, marks (answered at once, not written) and call
workers; the far half is the simulator in a process of its own. Every call sends three fine pages in V.17 with ECM in
real time. CPU is read from /proc per process, before the first call and after the last. There is no reference in the
same run: Debian 12 has no Asterisk.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import logging
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from bench.measure import cpu_of, end, finish, percentile, rss_of, say, workplace
from faxgw.fax.outcome import Cause, Outcome
from faxgw.fax.ports import CallDocument, CallPlan, CallProgress
from faxgw.foip import control
from faxgw.line import workers
from faxgw.line.ports import PortRange
from faxgw.line.sip import SipLine
from faxgw.line.trunk import SipSettings, TrunkSettings
from faxgw.settings import Duration, Listener

CALLS = 50
PAGES = 3
SETUPS_PER_SECOND = 10.0
"""Call set-ups per second, as carriers allow them."""
CALL_LIMIT = 240.0
"""Seconds one call may last."""
NUMBERS = {"t38": "+33199000000", "g711": "+33199000002"}
"""The simulator's machine that takes T.38, and the one that refuses it."""


class Marks:
    """Marks that are durable at once: the store has a bench of its own."""

    async def answered(self, dialog: Mapping[str, object]) -> bool:
        return True

    async def exposed(self, fax: str, page: int) -> bool:
        return True

    async def confirmed(self, fax: str, page: int) -> bool:
        return True

    def progress(self, what: CallProgress) -> None:
        pass


class Lateness:
    """The worst tick that the call workers tell of in their answers to pings, milliseconds."""

    def __init__(self) -> None:
        self.worst = 0.0
        decode = control.decode

        def listen(payload: bytes) -> control.Message:
            message = decode(payload)
            if isinstance(message, control.Pong):
                self.worst = max(self.worst, message.lateness_ms)
            return message

        workers.control.decode = listen  # the one place that hears them


def document(pages: int) -> bytes:
    """Pages of text, some 30 kB of MMR each."""
    source, images = random.Random(1), []
    for page in range(pages):
        image = Image.new("1", (1728, 2200), 1)
        draw = ImageDraw.Draw(image)
        for row in range(18):
            words = " ".join(f"{source.randrange(10**6):06}" for _ in range(11))
            draw.text((80, 60 + 115 * row), f"{page + 1}/{row:02} {words}", fill=0, font_size=30)
        images.append(image)
    out = io.BytesIO()
    images[0].save(
        out, "TIFF", compression="group4", dpi=(204, 196), save_all=True, append_images=images[1:], strip_size=10**7
    )
    return out.getvalue()


async def simulator(received: Path) -> tuple[asyncio.subprocess.Process, int]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "faxgw.simulator", "--bind", "127.0.0.1:0", "--received", str(received), "--pace", "0.5",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    ready = json.loads(await asyncio.wait_for(process.stdout.readline(), 30))
    return process, int(ready["sip"].rpartition(":")[2])


async def calls(how: str, number: int, pages: int) -> dict[str, Any]:
    """`number` calls at once; what they cost and came to."""
    lateness = Lateness()
    with tempfile.TemporaryDirectory(dir=workplace()) as name:
        far, port = await simulator(Path(name))
        trunk = TrunkSettings(name="t", host="127.0.0.1", port=port, channels=number, ring_time=Duration(60))
        settings = SipSettings(listen=Listener("127.0.0.1", 0), media_ports=PortRange(40_000, 59_999))
        line = SipLine(settings, [trunk])
        try:
            await line.start()
            return await placed(line, far.pid, how, number, pages, lateness)
        finally:
            await line.stop()
            await end(far)


async def placed(line: SipLine, far: int, how: str, number: int, pages: int, lateness: Lateness) -> dict[str, Any]:
    fd = os.memfd_create("document")
    os.write(fd, document(pages))
    await asyncio.sleep(2.0)  # the first worker has loaded its library
    warm = sum(map(cpu_of, line.worker_pids))
    daemon, far_before, begun = time.process_time(), cpu_of(far), time.perf_counter()
    seen: dict[int, float] = {}
    top_rss = 0.0

    async def watch() -> None:
        nonlocal top_rss
        while True:
            for pid in line.worker_pids:
                seen[pid] = max(seen.get(pid, 0.0), cpu_of(pid))
            top_rss = max(top_rss, sum(map(rss_of, line.worker_pids)))
            await asyncio.sleep(0.5)

    async def one(index: int) -> Outcome:
        await asyncio.sleep(index / SETUPS_PER_SECOND)
        plan = CallPlan(
            attempt=f"att_{index}", identity=line.new_identity("t"), trunk="t", number=NUMBERS[how], sub_address="",
            caller="", station_id="+33 1 99 00 00 99", ecm=True, max_bit_rate=14_400, fine=True,
            documents=(CallDocument(f"FN{index}", fd, pages, 1, pages),),
        )  # fmt: skip
        return await asyncio.wait_for(line.call(plan, Marks()), CALL_LIMIT)

    watcher = asyncio.create_task(watch())
    outcomes = await asyncio.gather(*(one(index) for index in range(number)), return_exceptions=True)
    for pid in line.worker_pids:
        seen[pid] = max(seen.get(pid, 0.0), cpu_of(pid))
    watcher.cancel()
    os.close(fd)
    wall = time.perf_counter() - begun
    daemon, far_used, worker = time.process_time() - daemon, cpu_of(far) - far_before, sum(seen.values()) - warm
    good = [o for o in outcomes if isinstance(o, Outcome) and o.cause is Cause.OK]
    durations = [o.duration for o in good]
    connected = sum(durations) / len(durations) if durations else 0.0
    causes = Counter(o.cause.value if isinstance(o, Outcome) else type(o).__name__ for o in outcomes)
    transports = Counter(o.transport for o in good)
    per_call = {name: round(1000 * used / number, 1) for name, used in parts(daemon, worker, far_used)}
    share = {
        name: round(100 * used / number / max(1.0, connected), 3) for name, used in parts(daemon, worker, far_used)
    }
    return {
        "calls": number, "ok": len(good), "causes": dict(causes), "transports": dict(transports), "pages": pages,
        "seconds": round(wall, 1), "connected_s": round(connected, 1),
        "connected_p99_s": round(percentile(durations, 0.99), 1),
        "cpu_ms_per_call": per_call, "core_percent_per_call": share,
        "workers": len(seen), "worker_rss_mb": round(top_rss), "worst_lateness_ms": round(lateness.worst, 1),
    }  # fmt: skip


def parts(daemon: float, worker: float, far: float) -> list[tuple[str, float]]:
    return [("daemon", daemon), ("workers", worker), ("gateway", daemon + worker), ("simulator", far)]


async def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.calls", description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=CALLS, help=f"calls at once (default {CALLS}), at most 500")
    parser.add_argument("--quick", action="store_true", help="four calls of one page")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    number, pages = (4, 1) if options.quick else (max(1, min(options.calls, 500)), PAGES)
    found = {}
    for how in NUMBERS:
        # A call in audio is a modem in software: ten of them cost what a hundred in T.38 do.
        some = number if how == "t38" else max(1, number // 5)
        found[how] = await calls(how, some, pages)
        say(f"{how}: {found[how]}")
    finish("calls", found)


if __name__ == "__main__":
    asyncio.run(main())
