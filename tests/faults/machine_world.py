"""A world around the scripted line with every interface for machines: programs, a listener, and folders that outlive
each life of the gateway."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any  # lines of the ledger

import aiohttp
import psutil
from sqlalchemy import text

from tests.api.desk import basic
from tests.faults import machine_checker
from tests.faults.checker import Violation
from tests.faults.ledger import SENDERS, Load, Log, draw_loads, fax_domain, read_log
from tests.faults.machine_checker import WANTED
from tests.faults.machine_clients import PASSWORD, PROGRAMS, Doors, Program, Rest
from tests.faults.machine_listener import Heard, Listener
from tests.faults.scripted import CHANNELS
from tests.faults.scripted_callers import OUR_NUMBER, OWNER
from tests.faults.scripted_world import (
    CUSTOMER,
    NUMBER,
    SETTINGS,
    Bench,
    End,
    ScriptedWorld,
    Zygote,
    all_of,
    free_port,
)  # fmt: skip

SPEED = 8.0
"""How much faster time runs here: programs and the libraries between them are real, and no faster than usual."""
KILLED_AFTER = (0.1, 3.0)
"""Real seconds after its doors are open within which a life is killed."""
FATAL = (60, 1_500)
"""Counted steps of a life within which every other one is killed: a start takes some 40, a load of each interface
some 1,500."""
STRUCK_AFTER = (0.2, 4.0)
"""Real seconds between two kills of a mail process."""
MAILS = 2
"""Mails that are handed in beside them in each life."""
SUFFIXES = ("00", "00", "00", "10", "31", "32", "50", "51")
DRAIN = 900.0
"""Real seconds within which everything is over, without a kill, on a machine that has much else to do."""
HOOK = "/hook/"
PUSH = "/push/"
MACHINES = """
[smtp]
processes = {processes}

[api]
retarus = true
soap = true
native = true
duplicate_window = "24h"
push_networks = ["127.0.0.1/32"]

[sftp]
listen = ["127.0.0.1:{sftp}"]

[ftp]
allow_plain = true
passive_ports = "0-0"

[[ftp.listeners]]
listen = "127.0.0.1:{ftp}"
"""
FOLDER = """
[[folder]]
name = "{policy}"
path = "{path}"
customer = "{policy}"
layout = "jobs"
settle = "500ms"
"""
USER = """
[[customer.user]]
name = "erp"
login = "erp-{policy}"
password = "{password}"
"""


class MachineWorld(ScriptedWorld):
    """One world with all doors.

    Args:
        folder: An empty folder, best in memory.
        zygote: Forks the lives.
        url: A database of its own at the newest revision.
        random_: Of the listener's moods, and of when mail processes are killed.
        processes: Mail processes; 0: mail is taken by the gateway's own.
    """

    def __init__(self, folder: Path, zygote: Zygote, url: str, random_: random.Random, processes: int) -> None:
        self.listener = Listener(random_)
        self._random = random_
        self.processes = processes
        self.struck = 0
        """Mail processes killed."""
        self._places = {name: free_port() for name in ("http", "sftp", "ftp")}
        super().__init__(folder, zygote, url)
        self.speed, self.drain = SPEED, DRAIN
        self._machine_log = Log(self.folder / "machines")

    @property
    def doors(self) -> Doors:
        """Where the gateway is."""
        places = self._places
        url = self.listener.url + PUSH.rstrip("/")
        return Doors(places["http"], places["sftp"], places["ftp"], self.folder / "folders", url)

    def _settings(self) -> str:
        head = SETTINGS.format(data=self.data, port=self._port, channels=CHANNELS)
        head = head.replace("[smtp]\nprocesses = 0\n", MACHINES.format(processes=self.processes, **self._places))
        head = head.replace('[http]\nlisten = "127.0.0.1:0"', f'[http]\nlisten = "127.0.0.1:{self._places["http"]}"')
        for policy in SENDERS:
            path = self.folder / "folders" / policy
            path.mkdir(parents=True, exist_ok=True)
            head += FOLDER.format(policy=policy, path=path)
        head += "" if self.url.startswith("sqlite") else f'[database]\nurl = "{self.url}"\n'
        for policy, sender in SENDERS.items():
            head += CUSTOMER.format(policy=policy, sender=sender, domain=fax_domain(policy))
            head += USER.format(policy=policy, password=PASSWORD)
        return head + NUMBER.format(number=OUR_NUMBER, owner=OWNER)

    async def subscribe(self) -> None:
        """Make a webhook for each customer, in a life of its own."""
        task = asyncio.create_task(self._subscribe())
        await self.live(handed_in=task)
        await task

    async def _subscribe(self) -> None:
        for policy in SENDERS:
            path = f"{HOOK}{policy}"
            body = {"url": self.listener.url + path, "events": list(WANTED)}
            fields = basic(f"erp-{policy}", PASSWORD)
            while path not in self.listener.secrets:
                with contextlib.suppress(OSError, aiohttp.ClientError):
                    async with (
                        aiohttp.ClientSession(headers=fields) as session,
                        session.post(f"{self.doors.base}/api/v1/webhooks", json=body) as answer,
                    ):
                        assert answer.status == 201, await answer.text()
                        self.listener.secrets[path] = (await answer.json())["secret"]
                await asyncio.sleep(0.1)

    def run(self, programs: Sequence[tuple[Program, Load]]) -> asyncio.Task[None]:
        """Let programs hand their loads in, all at once, and follow them."""
        return asyncio.create_task(all_of([asyncio.create_task(one.run(load)) for one, load in programs]))

    def draw(self, random_: random.Random, first: int, broadcast: int = 0) -> list[tuple[Program, Load]]:
        """A load for each interface, and a broadcast of so many recipients by one of them."""
        programs: list[Program] = [make(self.doors, self._machine_log) for make in PROGRAMS]
        loads = draw_loads(random_, len(programs), SUFFIXES, first)
        found = list(zip(programs, loads, strict=True))
        if broadcast:
            to = tuple(f"+33199{1_000 + index}00" for index in range(broadcast))
            load = Load(first + len(programs), random_.choice(list(SENDERS)), 1, to)
            found.append((Rest(self.doors, self._machine_log), load))
        return found

    def rest(self) -> dict[str, int]:
        """See the base; and what webhooks were not told."""
        behind = """
            SELECT count(*) FROM events WHERE serial > (SELECT serial FROM feeds WHERE name = 'webhooks')
            AND EXISTS (SELECT 1 FROM webhooks)"""
        with self._database.connect() as conn:
            return {**super().rest(), "webhooks": conn.execute(text(behind)).scalar_one()}

    def check(self) -> list[Violation]:
        """See the base; and what machines were told."""
        return [*super().check(), *self.check_machines(self.listener.heard, self.results())]

    def check_machines(
        self, heard: Sequence[Heard], results: Mapping[str, bytes], lines: Sequence[Mapping[str, Any]] = ()
    ) -> list[Violation]:
        """Measure the rules M1 to M5.

        Args:
            heard: What came to the listener.
            results: Octets of every result file, by its path.
            lines: Of the programs' ledger, besides those that are there.
        """
        return machine_checker.check(self.url, [*read_log(self.folder / "machines"), *lines], heard, results)

    async def strike(self) -> None:
        """Kill one mail process after the other, for ever."""
        while True:
            await asyncio.sleep(self._random.uniform(*STRUCK_AFTER))
            if not (self.folder / "up").exists():
                continue  # a gateway whose first mail process dies while it starts does not start, and says so
            for process in await asyncio.to_thread(mail_processes, self.pid):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
                    self.struck += 1
                break

    def facts(self) -> dict[str, int]:
        """What was seen: how much of it, and how long a program was not told after its fax was taken."""
        lines = read_log(self.folder / "machines")
        at = {line["load"]: line["at"] for line in lines if line["what"] == "accepted"}
        waited = [line["at"] - at[line["load"]] for line in lines if line["what"] == "told"]
        return {
            "loads": len(waited),
            "mail_processes_killed": self.struck,
            "unanswered": sum(line["what"] == "no answer" for line in lines),
            "heard": len(self.listener.heard),
            "told_after_s": round(max(waited, default=0.0) * self.speed),
        }

    def results(self) -> dict[str, bytes]:
        """Every result file that lies about, by its path."""
        paths = [*self.data.glob("files/**/out/*"), *(self.folder / "folders").glob("*/out/*")]
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in paths if path.is_file()}

    def close(self) -> None:
        self._machine_log.close()
        super().close()


def mail_processes(pid: int) -> list[psutil.Process]:
    """Those of a life."""
    found = []
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if "faxgw.intake.smtp_process" in child.cmdline():
                    found.append(child)
    return found


@dataclass(frozen=True, slots=True)
class Run:
    """What became of one world."""

    ends: Sequence[End]
    violations: Sequence[Violation]
    facts: dict[str, int]


@contextlib.asynccontextmanager
async def machine_world(bench: Bench, random_: random.Random, processes: int = 0) -> AsyncIterator[MachineWorld]:
    """A fresh world, its listener and its webhooks there."""
    made = bench.make(lambda folder, zygote, url: MachineWorld(folder, zygote, url, random_, processes))
    await made.listener.start()
    try:
        await made.subscribe()
        yield made
    finally:
        await made.listener.stop()
        made.close()


async def run_random(
    bench: Bench, kills: int, random_: random.Random, *, broadcast: int = 0, processes: int = 0
) -> Run:
    """So many lives killed at random times while every interface is used, then one that sees everything through.

    Args:
        bench: Makes the world.
        kills: Lives killed; where there are mail processes, these are killed in between, too.
        random_: Of all choices.
        broadcast: Recipients of a broadcast in the first life.
        processes: Mail processes.
    """
    async with machine_world(bench, random_, processes) as world:
        ends = await live_through(world, kills, random_, broadcast)
        return Run(ends, world.check(), world.facts())


async def live_through(world: MachineWorld, kills: int, random_: random.Random, broadcast: int) -> list[End]:
    """The same in a world that is there; it is over then."""
    striking = [asyncio.create_task(world.strike())] if world.processes else []
    ends: list[End] = []
    tasks: list[asyncio.Task[None]] = []
    number = 1
    try:
        world.listener.well = False
        for life in range(kills):
            drawn = world.draw(random_, number, broadcast if life == 0 else 0)
            number += len(drawn)
            tasks += [world.run(drawn), world.hand_in(draw_loads(random_, MAILS, SUFFIXES, number))]
            number += MAILS
            handed_in = asyncio.create_task(all_of(tasks))
            if life % 2:
                ends.append(await world.live(fatal=random_.randint(*FATAL), handed_in=handed_in))
            else:
                after = random_.uniform(*KILLED_AFTER)
                ends.append(await world.live(kill_after=after, of_open=True, handed_in=handed_in))
        world.listener.well = True
        ends.append(await world.live(handed_in=asyncio.create_task(all_of(tasks))))
    finally:
        for task in (*tasks, *striking):
            task.cancel()
        await asyncio.gather(*tasks, *striking, return_exceptions=True)
    return ends
