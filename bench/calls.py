"""`python -m bench.calls`: many real calls at once between the gateway's line and the simulator, over loopback.

The gateway's half is what the daemon runs: SIP agent, call state, marks (answered at once, not written) and call
workers; the far half is the simulator in a process of its own. Every call carries three fine pages in V.17 with ECM
in real time. CPU is read from /proc per process, before the first call and after the last; per call it is divided by
the call's duration from answer to end. There is no reference in the same run: Debian 12 has no Asterisk.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import json
import logging
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from bench.measure import cpu_of, end, finish, percentile, rss_of, say, workplace
from faxgw.fax.outcome import Cause, Outcome
from faxgw.fax.ports import Admission, CallDocument, CallPlan, CallProgress, Ringing
from faxgw.foip import control
from faxgw.foip.agent import UserAgent
from faxgw.line.ports import PortRange
from faxgw.line.sip import SipLine
from faxgw.line.trunk import SipSettings, TrunkSettings
from faxgw.settings import Duration, Listener

CALLS = 50
PAGES = 3
SETUPS_PER_SECOND = 10.0
"""Call set-ups per second, as carriers allow them."""
START_WITHIN = 50.0
"""Seconds in which all calls have begun, however many: beyond 500 calls that takes more set-ups per second."""
CALL_LIMIT = 300.0
"""Seconds one call may last."""
CALLS_PER_FAR_END = 125
"""Calls that one far process bears: it has no workers, and one that stalls would fail ours."""
LAG_EVERY = 0.1
"""Seconds between two looks at how late our event loop is."""
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

    async def coarser(self, taken: tuple[str, ...]) -> Sequence[CallDocument]:
        return ()

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

        control.decode = listen  # the one place that hears them


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


async def start_far(direction: str, received: Path) -> asyncio.subprocess.Process:
    """The far end as a process; `direction` is ours."""
    if direction == "out":
        arguments = ["faxgw.simulator", "--bind", "127.0.0.1:0", "--received", str(received), "--pace", "0.5"]
    else:
        arguments = ["bench.far"]
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", *arguments,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        limit=1 << 20,
    )  # fmt: skip


async def say_to(process: asyncio.subprocess.Process, what: dict[str, Any]) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(what).encode() + b"\n")
    await process.stdin.drain()


async def hear_from(process: asyncio.subprocess.Process, within: float) -> dict[str, Any]:
    assert process.stdout is not None
    heard: dict[str, Any] = json.loads(await asyncio.wait_for(process.stdout.readline(), within))
    return heard


class Usage:
    """CPU and memory of our side while calls run, and how late its loop was."""

    def __init__(self, line: SipLine) -> None:
        self._line = line
        self._seen: dict[int, float] = {}
        self._lags: list[float] = []
        self.top_rss = 0.0
        self._look()
        self._warm = sum(self._seen.values())
        self._daemon = time.process_time()
        self._task = asyncio.create_task(self._watch())

    def _look(self) -> None:
        pids = self._line.worker_pids
        for pid in pids:
            self._seen[pid] = max(self._seen.get(pid, 0.0), cpu_of(pid))
        self.top_rss = max(self.top_rss, sum(map(rss_of, pids)))

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        for turn in count():
            due = loop.time() + LAG_EVERY
            await asyncio.sleep(LAG_EVERY)
            self._lags.append(loop.time() - due)
            if turn % 10 == 0:
                self._look()

    def stop(self) -> tuple[float, float]:
        """CPU seconds of daemon and workers."""
        self._task.cancel()
        self._look()
        return time.process_time() - self._daemon, sum(self._seen.values()) - self._warm

    @property
    def workers(self) -> int:
        return len(self._seen)

    @property
    def lag_p99(self) -> float:
        """Seconds."""
        return percentile(self._lags, 0.99)


async def measure(mode: str, direction: str, number: int, pages: int, per_worker: int | None) -> dict[str, Any]:
    """`number` calls at once; what they cost and came to."""
    lateness = Lateness()
    with tempfile.TemporaryDirectory(dir=workplace()) as name:
        folder = Path(name)
        (folder / "fax.tif").write_bytes(document(pages))
        rate = max(SETUPS_PER_SECOND, number / START_WITHIN)
        ends = [await start_far(direction, folder) for _ in range(-(-number // CALLS_PER_FAR_END))]
        ports = []
        for index, far in enumerate(ends):
            order = {
                "received": str(folder), "document": str(folder / "fax.tif"), "mode": mode, "pages": pages,
                "calls": len(range(index, number, len(ends))), "rate": rate / len(ends),
            }  # fmt: skip
            if direction == "in":
                await say_to(far, order)
            ready = await hear_from(far, 60)
            ports.append(int(ready["port"]) if direction == "in" else int(ready["sip"].rpartition(":")[2]))
        trunks = [
            TrunkSettings(name=f"t{index}", host="127.0.0.1", port=port, channels=number, ring_time=Duration(60))
            for index, port in enumerate(ports)
        ]
        more: dict[str, Any] = {} if per_worker is None else {"calls_per_worker": per_worker}
        settings = SipSettings(listen=Listener("127.0.0.1", 0), media_ports=PortRange(40_000, 59_999), **more)
        line = SipLine(settings, trunks)
        try:
            await line.start()
            await asyncio.sleep(2.0)  # the first worker has loaded its library
            usage, begun = Usage(line), time.perf_counter()
            far_before = sum(cpu_of(far.pid) for far in ends)
            if direction == "out":
                found = await placed(line, len(ends), folder / "fax.tif", mode, number, pages, rate)
            else:
                found = await taken(line, ends, number, pages)
            daemon, worker = usage.stop()
            far_used, wall = sum(cpu_of(far.pid) for far in ends) - far_before, time.perf_counter() - begun
        finally:
            await line.stop()
            await asyncio.gather(*map(end, ends))
    connected = max(1.0, found.pop("connected_s"))
    used = parts(daemon, worker, far_used)
    share = {name: round(100 * seconds / number / connected, 4) for name, seconds in used.items()}
    return {
        "mode": mode, "direction": direction, "calls": number, "failed": number - found["ok"], "pages": pages,
        "cpu_percent_per_call": share["gateway"], "core_percent_per_call": share,
        "cpu_ms_per_call": {name: round(1000 * seconds / number, 1) for name, seconds in used.items()},
        "loop_lag_p99_ms": round(1000 * usage.lag_p99, 1), "seconds": round(wall, 1),
        "connected_s": round(connected, 1), "workers": usage.workers, "worker_rss_mb": round(usage.top_rss),
        "worst_lateness_ms": round(lateness.worst, 1), **found,
    }  # fmt: skip


def summary(outcomes: Sequence[object], delays: Sequence[float]) -> dict[str, Any]:
    """What the calls came to on our side; `delays` in seconds."""
    good = [o for o in outcomes if isinstance(o, Outcome) and o.cause is Cause.OK]
    durations = [o.duration for o in good]
    return {
        "ok": len(good), "invite_p99_ms": round(1000 * percentile(delays, 0.99), 1),
        "causes": dict(Counter(o.cause.value if isinstance(o, Outcome) else repr(o)[:100] for o in outcomes)),
        "details": dict(Counter(o.detail[:80] for o in outcomes if isinstance(o, Outcome) and o not in good)),
        "transports": dict(Counter(o.transport for o in good)),
        "connected_s": sum(durations) / len(durations) if durations else 0.0,
    }  # fmt: skip


async def placed(
    line: SipLine, trunks: int, file: Path, mode: str, number: int, pages: int, rate: float
) -> dict[str, Any]:
    """Calls from us; the delay is that from the order to our INVITE."""
    delays: list[float] = []
    invite = UserAgent.invite

    def stamped(agent: UserAgent, identity: Any, *args: Any, **kwargs: Any) -> Any:
        if (at := ordered.pop(identity.call_id, None)) is not None:
            delays.append(time.perf_counter() - at)
        return invite(agent, identity, *args, **kwargs)

    ordered: dict[str, float] = {}
    fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)

    async def one(index: int) -> Outcome:
        await asyncio.sleep(index / rate)
        trunk = f"t{index % trunks}"
        plan = CallPlan(
            attempt=f"att_{index}", identity=line.new_identity(trunk), trunk=trunk, number=NUMBERS[mode],
            sub_address="", caller="", station_id="+33 1 99 00 00 99", ecm=True, max_bit_rate=14_400,
            documents=(CallDocument(f"FN{index}", fd, pages, 1, pages),),
        )  # fmt: skip
        ordered[plan.identity.call_id] = time.perf_counter()
        return await asyncio.wait_for(line.call(plan, Marks()), CALL_LIMIT)

    UserAgent.invite = stamped  # type: ignore[method-assign, assignment]  # the one place that sees it leave
    try:
        outcomes = await asyncio.gather(*(one(index) for index in range(number)), return_exceptions=True)
    finally:
        UserAgent.invite = invite  # type: ignore[method-assign]
        os.close(fd)
    return summary(outcomes, delays)


class Inbound:
    """A house that takes every call; its store is a bench of its own."""

    def __init__(self, calls: int, pages: int) -> None:
        self.outcomes: list[Outcome] = []
        self.done = asyncio.Event()
        self._calls = calls
        self._pages = pages
        self._numbers = count()
        self._kept: Counter[str] = Counter()

    async def admit(self, ringing: Ringing) -> Admission:
        return Admission(f"rcv_{next(self._numbers)}", "+33 1 99 00 00 99", True, 14_400)

    async def answered(self, reception: str) -> bool:
        return True

    async def page(self, reception: str, page: object, descriptor: int) -> bool:
        self._kept[reception] += os.fstat(descriptor).st_size > 1000
        return True

    def progress(self, reception: str, what: CallProgress) -> None:
        pass

    async def ended(self, reception: str, outcome: Outcome, *, acknowledged: int, farewell: bool) -> None:
        if outcome.cause is Cause.OK and self._kept[reception] != self._pages:
            outcome = replace(outcome, cause=Cause.PROTOCOL_ERROR, detail=f"{self._kept[reception]} pages")
        self.outcomes.append(outcome)
        if len(self.outcomes) >= self._calls:
            self.done.set()


async def taken(line: SipLine, ends: Sequence[asyncio.subprocess.Process], number: int, pages: int) -> dict[str, Any]:
    """Calls to us; the delay is that from the caller's INVITE to our 100 Trying, as the caller sees it."""
    inbound = Inbound(number, pages)
    line.take_calls(inbound)
    for far in ends:
        await say_to(far, {"port": line.port})
    heard = await asyncio.gather(*(hear_from(far, CALL_LIMIT + START_WITHIN) for far in ends))
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(inbound.done.wait(), 10)
    found = summary(inbound.outcomes, [delay for one in heard for delay in one["trying_s"]])
    good, faults = sum(one["ok"] for one in heard), [fault for one in heard for fault in one["faults"]]
    return {**found, "ok": min(found["ok"], good), "far_faults": faults}


def parts(daemon: float, worker: float, far: float) -> dict[str, float]:
    return {"daemon": daemon, "workers": worker, "gateway": daemon + worker, "far_end": far}


async def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.calls", description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=CALLS, help=f"calls at once (default {CALLS}), at most 500")
    parser.add_argument("--mode", choices=sorted(NUMBERS), default="t38", help="the medium (default t38)")
    parser.add_argument("--direction", choices=("out", "in"), default="out", help="who sends: we (out) or they (in)")
    parser.add_argument("--pages", type=int, default=PAGES, help=f"fine pages of each call (default {PAGES})")
    parser.add_argument("--per-worker", type=int, help="calls per worker (default: as the gateway's settings)")
    parser.add_argument("--quick", action="store_true", help="four calls of one page")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    number, pages = (4, 1) if options.quick else (max(1, min(options.calls, 500)), max(1, options.pages))
    result = await measure(options.mode, options.direction, number, pages, options.per_worker)
    say(f"{result}")
    finish("calls", result)


if __name__ == "__main__":
    asyncio.run(main())
