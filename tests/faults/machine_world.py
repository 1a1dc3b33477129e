"""A world around the scripted line with every interface for machines: programs, a listener, and folders that outlive
each life of the gateway."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from sqlalchemy import text

from tests.faults import machine_checker
from tests.faults.checker import Violation
from tests.faults.ledger import SENDERS, Load, Log, draw_loads, fax_domain
from tests.faults.machine_clients import PASSWORD, PROGRAMS, Doors, Program, Rest
from tests.faults.machine_listener import Listener
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
KILLED_AFTER = (0.3, 4.0)
"""Real seconds after its fork within which a life is killed."""
SUFFIXES = ("00", "00", "00", "10", "31", "32", "50", "51")
HOOK = "/hook/"
PUSH = "/push/"
MACHINES = """
[smtp]
processes = 0

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
        random_: Of the listener's moods.
    """

    def __init__(self, folder: Path, zygote: Zygote, url: str, random_: random.Random) -> None:
        self.listener = Listener(random_)
        self._places = {name: free_port() for name in ("http", "sftp", "ftp")}
        super().__init__(folder, zygote, url)
        self.speed = SPEED
        self._machine_log = Log(self.folder / "machines")

    @property
    def doors(self) -> Doors:
        """Where the gateway is."""
        places = self._places
        url = self.listener.url + PUSH.rstrip("/")
        return Doors(places["http"], places["sftp"], places["ftp"], self.folder / "folders", url)

    def _settings(self) -> str:
        head = SETTINGS.format(data=self.data, port=self._port, channels=CHANNELS)
        head = head.replace("[smtp]\nprocesses = 0\n", MACHINES.format(**self._places))
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
            body = {"url": self.listener.url + path, "events": ["*"]}
            auth = aiohttp.BasicAuth(f"erp-{policy}", PASSWORD)
            while path not in self.listener.secrets:
                with contextlib.suppress(OSError, aiohttp.ClientError):
                    async with (
                        aiohttp.ClientSession(auth=auth) as session,
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
            to = tuple(f"+33199{100_000 + index}00" for index in range(broadcast))
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
        evidence = self.evidence()
        return [
            *super().check(),
            *machine_checker.check(evidence.url, self.folder / "machines", self.listener, self._results()),
        ]

    def _results(self) -> dict[str, bytes]:
        """Every result file that lies about, by its path."""
        paths = [*self.data.glob("files/**/out/*"), *(self.folder / "folders").glob("*/out/*")]
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in paths if path.is_file()}

    def close(self) -> None:
        self._machine_log.close()
        super().close()


@dataclass(frozen=True, slots=True)
class Run:
    """What became of one world."""

    ends: Sequence[End]
    violations: Sequence[Violation]
    facts: dict[str, int]


@contextlib.asynccontextmanager
async def machine_world(bench: Bench, random_: random.Random) -> AsyncIterator[MachineWorld]:
    """A fresh world, its listener and its webhooks there."""
    made = bench.make(lambda folder, zygote, url: MachineWorld(folder, zygote, url, random_))
    await made.listener.start()
    try:
        await made.subscribe()
        yield made
    finally:
        await made.listener.stop()
        made.close()


async def run_random(bench: Bench, kills: int, random_: random.Random, *, broadcast: int = 0) -> Run:
    """So many lives killed at random times while every interface is used, then one that sees everything through."""
    async with machine_world(bench, random_) as world:
        ends: list[End] = []
        tasks: list[asyncio.Task[None]] = []
        number = 1
        try:
            world.listener.well = False
            for life in range(kills):
                drawn = world.draw(random_, number, broadcast if life == 0 else 0)
                number += len(drawn)
                tasks.append(world.run(drawn))
                after = random_.uniform(*KILLED_AFTER)
                ends.append(await world.live(kill_after=after, handed_in=asyncio.create_task(all_of(tasks))))
            world.listener.well = True
            ends.append(await world.live(handed_in=asyncio.create_task(all_of(tasks))))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return Run(ends, world.check(), {"loads": number - 1, "heard": len(world.listener.heard)})
