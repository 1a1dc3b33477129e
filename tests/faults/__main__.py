"""The long form of the harness: `python -m tests.faults --kills 200 --seed 1`; the last line is one JSON object.

See README.md for what each part shows. Status 0: no violation, and every broken variant was caught.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from faxgw.store.migrate import upgrade
from tests.faults import inbound_real, machine_world
from tests.faults.checker import Violation
from tests.faults.daemon_under_test import STRIKES
from tests.faults.ledger import Load, draw_loads
from tests.faults.real_world import SUFFIXES as REAL_SUFFIXES
from tests.faults.real_world import real_world
from tests.faults.scripted import SUFFIXES
from tests.faults.scripted_world import LOADS_PER_LIFE, Bench
from tests.faults.variants import CALLERS, LOADS, VARIANTS
from tests.postgres import Server
from tests.postgres import server as postgres_server

KILLS_PER_WORLD = 10
"""Kills before a world is drained and checked."""
BROADCAST = 300
"""Recipients of the broadcast in each world of machines."""
CALLERS_PER_LIFE = 3
"""Calls to us in each life with the scripted line."""
REAL_LOADS_PER_WORLD = 12
REAL_CALLERS_PER_WORLD = 8
FIRST_CALLER = 100_001
"""Watermark of the first fax that is sent to us; above those of all loads."""
REAL_LONGEST = 25.0
"""Seconds after its start in which a real gateway is killed: a call takes 20 to 40."""
SWEPT = (
    Load(1, "remaining", 2, ("+33199000000", "+33199000151")),
    Load(2, "report", 1, ("+33199000260",)),
    Load(3, "marked", 2, ("+33199000332",)),
)
"""The small load of the sweep over all counted steps."""
RECOVERY_STEPS = 60
"""Steps of a life in which a second kill falls into its recovery."""
SHOWN = 20
"""Violations shown at most."""


@dataclass(slots=True)
class Tally:
    """What was run and found."""

    runs: int = 0
    """Worlds drained and checked."""
    kills: int = 0
    points: Counter[str] = field(default_factory=Counter)
    """Names of the steps that lives died at."""
    swept: int = 0
    """Counted steps died at one after the other, until a life saw everything through."""
    violations: list[str] = field(default_factory=list)
    variants: dict[str, str] = field(default_factory=dict)
    """Variant → what caught it."""
    missed: list[str] = field(default_factory=list)
    """Variants that nothing caught."""
    received: Counter[str] = field(default_factory=Counter)
    """Of received faxes over the real line: calls, pages, mails."""

    def add(self, where: str, violations: list[Violation]) -> None:
        """Note one checked world."""
        self.runs += 1
        for violation in violations:
            self.violations.append(f"{where}: {violation}")
            sys.stdout.write(f"VIOLATION {where}: {violation}\n")
        sys.stdout.write(f"{where}: {len(violations)} violations\n")
        sys.stdout.flush()


class LongForm:
    """One run of the long form.

    Args:
        random_: Of all choices.
        root: Where worlds live.
        direction: `out`, `in` or `both`.
    """

    def __init__(self, random_: random.Random, root: Path, direction: str) -> None:
        self._loads = 0 if direction == "in" else LOADS_PER_LIFE
        self._swept = () if direction == "in" else SWEPT
        self._callers = 0 if direction == "out" else CALLERS_PER_LIFE
        self.tally = Tally()
        self._random = random_
        self.root = root

    async def scripted_kills(self, bench: Bench, kills: int) -> None:
        """Kills at random times under load."""
        while self.tally.points["random"] < kills:
            count = min(KILLS_PER_WORLD, kills - self.tally.points["random"])
            ends, violations = await bench.run_random(
                SUFFIXES, count, self._random, loads=self._loads, callers=self._callers
            )
            killed = sum(end.killed for end in ends)
            self.tally.kills += killed
            self.tally.points["random"] += killed
            self.tally.add(f"world of {killed} random kills", violations)

    async def sweep(self, bench: Bench, stride: int, first: int = 1) -> None:
        """Death at every counted step (or every so many-th) from `first` on, until a life sees everything through."""
        step, through = first, False
        while not through:
            ends, violations = await bench.run(self._swept, (step,), callers=self._callers)
            through = not ends[0].killed
            self.tally.kills += sum(end.killed for end in ends)
            self.tally.points.update(end.fatal for end in ends if end.killed)
            self.tally.swept += not through
            self.tally.add(f"step {step} ({ends[0].fatal or 'through'})", violations)
            step += stride

    async def second_kills(self, bench: Bench, count: int) -> None:
        """A second and a third death while recovery is at work."""
        for number in range(count):
            steps = (self._random.randint(60, 400), *(self._random.randint(1, RECOVERY_STEPS) for _ in range(2)))
            ends, violations = await bench.run(self._swept, steps, callers=self._callers)
            self.tally.kills += sum(end.killed for end in ends)
            self.tally.points.update(f"{end.fatal} in recovery" for end in ends[1:] if end.killed)
            self.tally.add(f"recovery {number + 1}, steps {steps}", violations)

    async def variants(self, bench: Bench) -> None:
        """Every broken variant has to be caught."""
        for name, variant in VARIANTS.items():
            ends, violations = await bench.run(LOADS, (variant.fatal,) if variant.fatal else (), name, CALLERS)
            caught = [violation for violation in violations if violation.rule in variant.rules]
            if caught and (ends[0].killed or not variant.fatal):
                self.tally.variants[name] = str(caught[0])
                sys.stdout.write(f"variant {name} was caught: {caught[0]}\n")
            else:
                self.tally.missed.append(name)

    async def real_kills(self, kills: int, server: Server | None) -> None:
        """SIGKILL for the whole real gateway at random times under load."""
        template = server.create() if server is not None else ""
        if server is not None:
            await asyncio.to_thread(upgrade, server.url(template))
        for number in range(-(-kills // KILLS_PER_WORLD)):
            count = min(KILLS_PER_WORLD, kills - number * KILLS_PER_WORLD)
            url = server.url(server.create(template)) if server is not None else ""
            async with real_world(self.root / f"real-{number}", url=url) as world:
                outgoing = REAL_LOADS_PER_WORLD if self._loads else 0
                handed_in = world.hand_in(draw_loads(self._random, outgoing, REAL_SUFFIXES))
                if self._callers:
                    calls = draw_loads(self._random, REAL_CALLERS_PER_WORLD, REAL_SUFFIXES, FIRST_CALLER)
                    world.call_us(calls, count * REAL_LONGEST / 2)
                for _ in range(count):
                    after = self._random.uniform(0.2, REAL_LONGEST)
                    starting = asyncio.create_task(world.start())
                    await asyncio.sleep(after)
                    await world.kill(children=self._random.random() < 0.7)
                    await asyncio.gather(starting, return_exceptions=True)
                    self.tally.kills += 1
                    self.tally.points["random, real line"] += 1
                await world.start()
                await world.drain(handed_in)
                await world.stop()
                self.tally.add(f"real world {number + 1}", world.check())

    async def received_kills(self, kills: int, server: Server | None) -> None:
        """SIGKILL for the whole real gateway while ten machines send to it."""
        template = server.create() if server is not None else ""
        if server is not None:
            await asyncio.to_thread(upgrade, server.url(template))
        for number in range(-(-kills // inbound_real.LIVES)):
            count = min(inbound_real.LIVES, kills - number * inbound_real.LIVES)
            url = server.url(server.create(template)) if server is not None else ""
            async with real_world(self.root / f"received-{number}", url=url, channels=2 * inbound_real.CALLS) as world:
                found = await inbound_real.kills(world, count, self._random)
            self.tally.kills += found.kills
            self.tally.points["random, while receiving"] += found.kills
            self.tally.received.update(found.counts())
            self.tally.add(f"world {number + 1} of received faxes, {found.counts()}", found.violations)

    async def machine_kills(self, bench: Bench, kills: int) -> None:
        """Kills while every interface for machines is used."""
        while self.tally.points["machines"] < kills:
            count, world = min(KILLS_PER_WORLD, kills - self.tally.points["machines"]), self.tally.runs + 1
            run = await machine_world.run_random(
                bench, count, self._random, broadcast=BROADCAST, processes=world % 2
            )  # every other world has its mail taken by processes of their own
            self.tally.kills += sum(end.killed for end in run.ends) + run.facts["mail_processes_killed"]
            self.tally.points["machines"] += count
            self.tally.add(f"world {world} of machines, {run.facts}", list(run.violations))

    async def strikes(self) -> None:
        """Call workers killed, and stopped, at every mark of their calls."""
        strikes: dict[str, tuple[str, int]] = {}
        loads: list[Load] = []
        for place, mark in enumerate(STRIKES):
            for column, kind in enumerate((signal.SIGKILL, signal.SIGSTOP)):
                number = f"+3319900{place}{column}00"
                strikes[number] = (mark, int(kind))
                loads.append(Load(len(loads) + 1, self._random.choice(("report", "remaining")), 2, (number,)))
        async with real_world(self.root / "strikes", calls_per_worker=1) as world:
            await world.start(strikes=strikes)
            await world.drain(world.hand_in(loads))
            struck = world.ask("SELECT count(*) FROM events WHERE what = 'number.killed_worker'")
            await world.stop()
            self.tally.points.update(f"worker {mark} {signal.Signals(kind).name}" for mark, kind in strikes.values())
            self.tally.kills += len(strikes)
            self.tally.add(f"strikes at workers, {struck[0][0] if struck else 0} noted", world.check())


def main() -> int:
    options = _parser().parse_args()
    started = time.monotonic()
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as root:
        form = LongForm(random.Random(options.seed), Path(root), options.direction)
        asyncio.run(_run(form, options))
    tally = form.tally
    result: Mapping[str, object] = {
        "bench": "faults",
        "line": "real" if options.inbound_real else options.line,
        "database": options.database,
        "direction": options.direction,
        "seed": options.seed,
        "runs": tally.runs,
        "kills": tally.kills,
        "violations": len(tally.violations),
        "shown": tally.violations[:SHOWN],
        "points": dict(tally.points.most_common()),
        "steps_swept": tally.swept,
        "received": dict(tally.received),
        "variants_caught": len(tally.variants),
        "variants_missed": tally.missed,
        "seconds": round(time.monotonic() - started),
    }
    sys.stdout.write(json.dumps(result) + "\n")
    return 1 if tally.violations or tally.missed else 0


async def _run(form: LongForm, options: argparse.Namespace) -> None:
    parts: list[tuple[bool, Callable[[Bench], Awaitable[None]]]] = [
        (options.kills > 0, lambda bench: form.scripted_kills(bench, options.kills)),
        (options.sweep > 0, lambda bench: form.sweep(bench, options.sweep, options.first)),
        (options.recoveries > 0, lambda bench: form.second_kills(bench, options.recoveries)),
        (options.variants, form.variants),
    ]
    async with contextlib.AsyncExitStack() as stack:
        server = stack.enter_context(postgres_server()) if options.database == "postgresql" else None
        if options.inbound_real:
            await form.received_kills(options.kills, server)
            return
        if options.line == "real":
            if options.kills:
                await form.real_kills(options.kills, server)
            if options.strikes:
                await form.strikes()
            return
        bench = await stack.enter_async_context(Bench(form.root, server))
        if options.machines:
            await form.machine_kills(bench, options.kills)
            return
        for wanted, part in parts:
            if wanted:
                await part(bench)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Kills the gateway, and checks it.")
    parser.add_argument("--line", choices=["scripted", "real"], default="scripted",
                        help="scripted: fast, no SIP and no T.38; real: real time, against the simulator")  # fmt: skip
    parser.add_argument("--kills", type=int, default=200, help="kills at random times under load (default 200)")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="default: drawn, and printed")
    parser.add_argument(
        "--database",
        choices=["sqlite", "postgresql"],
        default="sqlite",
        help="postgresql: a server of Debian's packages is started",
    )
    parser.add_argument(
        "--direction",
        choices=["out", "in", "both"],
        default="both",
        help="which way faxes go in random kills and in the sweep",
    )
    parser.add_argument("--sweep", type=int, default=0, metavar="STRIDE",
                        help="scripted: die at every counted step (1), or every so many-th")  # fmt: skip
    parser.add_argument("--first", type=int, default=1, metavar="STEP",
                        help="the sweep begins here: several runs share the steps")  # fmt: skip
    parser.add_argument("--recoveries", type=int, default=0, help="scripted: so many double kills during recovery")
    parser.add_argument("--variants", action="store_true", help="scripted: every broken variant has to be caught")
    parser.add_argument("--inbound-real", action="store_true",
                        help="real time: kills while ten machines send to us over SIP, T.38 and G.711")  # fmt: skip
    parser.add_argument("--machines", action="store_true",
                        help="scripted: kills while every interface for machines is used")  # fmt: skip
    parser.add_argument("--strikes", action="store_true", help="real: kill and stop call workers at every mark")
    return parser


if __name__ == "__main__":
    sys.exit(main())
