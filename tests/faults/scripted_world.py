"""A world around the scripted line: the ledger's clients outside, one life of the gateway after the other inside."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar  # Any: JSON

from sqlalchemy import text

from faxgw.store.migrate import upgrade
from tests.faults.checker import Evidence, Violation, check, reader
from tests.faults.ledger import SENDERS, Client, Ledger, Load, Log, draw_loads, fax_domain
from tests.faults.scripted import CHANNELS, SPEED, build_mail, far_calls, sink_mails
from tests.faults.scripted_callers import OUR_NUMBER, OWNER, confirmed_pages, delivered_faxes
from tests.postgres import Server

DRAIN = 180.0
"""Real seconds within which everything is over, without a kill: 2,400 fast ones."""
LOOK = 0.02
"""Real seconds between looks whether all is over."""
LOOKS = 5
"""Looks in a row that find it so: a variant may have something up its sleeve."""
LOADS_PER_LIFE = 4
"""Mails that are handed in anew in each life that is killed at a random time."""
KILLED_AFTER = (0.05, 1.5)
"""Real seconds after its fork within which such a life is killed: it is up after some 0.2."""
AT_ONCE = 4
"""Mails handed in at the same time."""

SETTINGS = """
[node]
data = "{data}"
ballast = "64KiB"
grace = "20s"
setups_per_second = 100

[log]
level = "INFO"
format = "json"

[smtp]
processes = 0

[[smtp.listeners]]
listen = "127.0.0.1:{port}"

[http]
listen = "127.0.0.1:0"

[relay]
host = "127.0.0.1"
port = 25
tls = "none"
sender = "fax@example.org"

[sip]
listen = "127.0.0.1:0"

[[trunk]]
name = "far-end"
host = "127.0.0.1"
channels = {channels}

[settings.values]
csid = "+33 1 99 00 00 99"
busy_pauses = [1]
no_answer_pauses = [1]
no_carrier_pauses = [1]
protocol_pauses = [1]
max_dials = 5
max_tries = 4
"""
CUSTOMER = """
[[customer]]
id = "{policy}"
name = "{policy}"
domains = ["{domain}"]
addresses = ["{sender}"]
settings = {{ in_doubt = "{policy}" }}
"""
NUMBER = """
[[customer.number]]
e164 = "{number}"
deliver_to = ["{owner}"]
"""

W = TypeVar("W", bound="ScriptedWorld")


class Zygote:
    """The process that forks lives."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Zygote:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.faults.life", stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()

    async def fork(self, plan: dict[str, object]) -> int:
        """Begin a life; returns its process id."""
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write((json.dumps(plan) + "\n").encode())
        return int((await self._answer())["pid"])

    async def ended(self) -> int:
        """Wait for the end of the life; returns its wait status."""
        return int((await self._answer())["status"])

    async def _answer(self) -> dict[str, int]:
        assert self._process is not None and self._process.stdout is not None
        line = await self._process.stdout.readline()
        assert line, "the process that forks lives has died"
        answer: dict[str, int] = json.loads(line)
        return answer


@dataclass(frozen=True, slots=True)
class End:
    """How a life ended."""

    killed: bool
    fatal: str
    """Name of the step it died at; `random` where it was killed from outside; empty: an orderly stop."""
    steps: int
    """Steps it has had, where it could say so."""


class ScriptedWorld:
    """One world; its lives share a folder, a far end, a mailbox and the ledger.

    Args:
        folder: An empty folder, best in memory.
        zygote: Forks the lives.
        url: A database of its own at the newest revision.
        variant: A broken variant, or empty.
    """

    def __init__(self, folder: Path, zygote: Zygote, url: str, variant: str = "") -> None:
        self.folder = folder
        self.data = folder / "data"
        self.url = url
        self._database = reader(url)
        self._zygote = zygote
        self._variant = variant
        self._epoch = time.time()
        self._port = free_port()
        self._up = False
        self.pid = 0
        """Process of the life, or of the last one."""
        self._lives = 0
        self._log = Log(folder / "ledger")
        self.client = Client(self._log, lambda: self._port if self._up else 0, build_mail)
        self.speed, self.drain = SPEED, DRAIN
        self.config = folder / "faxgw.toml"
        self.config.write_text(self._settings())
        self.config.chmod(0o600)

    def _settings(self) -> str:
        settings = SETTINGS.format(data=self.data, port=self._port, channels=CHANNELS)
        for policy, sender in SENDERS.items():
            settings += CUSTOMER.format(policy=policy, sender=sender, domain=fax_domain(policy))
        settings += "" if self.url.startswith("sqlite") else f'[database]\nurl = "{self.url}"\n'
        return settings + NUMBER.format(number=OUR_NUMBER, owner=OWNER)

    async def live(
        self,
        *,
        fatal: int | str = 0,
        kill_after: float = 0.0,
        of_open: bool = False,
        handed_in: asyncio.Task[None] | None = None,
        callers: int = 0,
    ) -> End:
        """One life: until its fatal step, until it is killed from outside, or until everything is over.

        Args:
            fatal: The step to die at, see Steps; 0: none.
            kill_after: Real seconds after which it is killed; 0: never.
            of_open: These seconds begin when its doors are open.
            handed_in: The clients; nothing is over before they are done.
            callers: Calls to us in this life.
        """
        for name in ("up", "called", "steps"):
            (self.folder / name).unlink(missing_ok=True)
        places = {"config": str(self.config), "folder": str(self.folder)}
        told = {"variant": self._variant, "epoch": self._epoch, "fatal": fatal, "speed": self.speed}
        self._lives += 1
        pid = self.pid = await self._zygote.fork({**places, **told, "callers": callers, "seed": self._lives})
        ended = asyncio.create_task(self._zygote.ended())
        self._up = True
        killed_by_us = False
        quiet = 0
        try:
            while of_open and not ended.done() and not (self.folder / "up").exists():
                await asyncio.wait({ended}, timeout=LOOK)
            async with asyncio.timeout(kill_after or self.drain):
                while not ended.done() and quiet < LOOKS:
                    await asyncio.wait({ended}, timeout=LOOK)
                    up = (self.folder / "called").exists() and (handed_in is None or _is_done(handed_in))
                    quiet = quiet + 1 if up and self.is_over() else 0
                if quiet == LOOKS:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGTERM)
                await asyncio.shield(ended)
        except TimeoutError:
            killed_by_us = True
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            assert kill_after, f"not over within {self.drain} s: {self.rest()} {self.log_tail()}"
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            raise
        finally:
            self._up = False
            status = await ended
        said: dict[str, Any] = json.loads(self._said() or '{"steps": 0, "fatal": ""}')
        killed = os.WIFSIGNALED(status)
        assert killed or status == 0, self.log_tail()
        return End(killed, "random" if killed_by_us and not said["fatal"] else said["fatal"], said["steps"])

    def _said(self) -> str:
        path = self.folder / "steps"
        return path.read_text() if path.exists() else ""

    def hand_in(self, loads: Sequence[Load]) -> asyncio.Task[None]:
        """Begin to hand loads in."""
        return asyncio.create_task(self.client.hand_in_all(loads, AT_ONCE))

    def rest(self) -> dict[str, int]:
        """What is not over yet."""
        queries = {
            "messages": "SELECT count(*) FROM messages WHERE state = 'received'",
            "jobs": "SELECT count(*) FROM jobs WHERE finished_at IS NULL",
            "attempts": "SELECT count(*) FROM attempts WHERE done_at IS NULL",
            "outbox": "SELECT count(*) FROM outbox WHERE state IN ('due', 'leased')",
            "receptions": "SELECT count(*) FROM receptions WHERE finished_at IS NULL",
        }
        with self._database.connect() as conn:
            return {name: conn.execute(text(query)).scalar_one() for name, query in queries.items()}

    def is_over(self) -> bool:
        """Everything accepted is final, told, and no call is open."""
        return not any(self.rest().values())

    def check(self) -> list[Violation]:
        """Measure the world against the invariants; it has to be over."""
        return check(self.evidence())

    def evidence(self) -> Evidence:
        """What there is to look at."""
        return Evidence(
            ledger=Ledger.read(self.folder / "ledger"),
            calls=far_calls(self.folder / "far-end"),
            mails=sink_mails(self.folder / "mailbox"),
            url=self.url,
            data=self.data,
            confirmed_to_callers=confirmed_pages(self.folder / "callers"),
            delivered_faxes=[
                [hashlib.sha256(page).hexdigest() for page in fax] for fax in delivered_faxes(self.folder / "received")
            ],
        )

    def log_tail(self) -> str:
        path = self.folder / "log"
        return path.read_text()[-4000:] if path.exists() else ""

    def close(self) -> None:
        self._log.close()
        self._database.dispose()
        shutil.rmtree(self.folder)


class Bench:
    """Makes worlds, one after the other, from one zygote.

    Args:
        root: Where worlds live.
        server: A PostgreSQL server; None: SQLite.
    """

    def __init__(self, root: Path, server: Server | None = None) -> None:
        self._root = root
        self._server = server
        self._zygote = Zygote()
        self._template = ""
        self._serial = 0

    async def __aenter__(self) -> Bench:
        if self._server is None:
            self._template = str(self._root / "template.db")
            await asyncio.to_thread(upgrade, f"sqlite:///{self._template}")
        else:
            self._template = self._server.create()
            await asyncio.to_thread(upgrade, self._server.url(self._template))
        await self._zygote.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._zygote.__aexit__(*_)

    @contextlib.asynccontextmanager
    async def world(self, variant: str = "") -> AsyncIterator[ScriptedWorld]:
        """A fresh world; its folder is gone afterwards."""
        world = self.make(lambda folder, zygote, url: ScriptedWorld(folder, zygote, url, variant))
        try:
            yield world
        finally:
            world.close()

    def make(self, kind: Callable[[Path, Zygote, str], W]) -> W:
        """A world of some kind in a folder and on a database of its own; the caller closes it."""
        self._serial += 1
        folder = self._root / f"world-{self._serial}"
        (folder / "data").mkdir(mode=0o700, parents=True)
        return kind(folder, self._zygote, self._database_in(folder / "data"))

    def _database_in(self, data: Path) -> str:
        if self._server is not None:
            return self._server.url(self._server.create(self._template))
        shutil.copy(self._template, data / "faxgw.db")
        return f"sqlite:///{data / 'faxgw.db'}"

    async def run(
        self, loads: Sequence[Load], fatal: Sequence[int | str], variant: str = "", callers: int = 0
    ) -> tuple[list[End], list[Violation]]:
        """Lives that die at the steps named, one after the other, then one that sees everything through.

        Args:
            loads: What is handed in.
            fatal: Where lives die.
            variant: A broken variant, or empty.
            callers: Calls to us in the first life.
        """
        async with self.world(variant) as world:
            handed_in = world.hand_in(loads)
            ends: list[End] = []
            try:
                for step in (*fatal, 0):
                    now = 0 if ends else callers
                    ends.append(await world.live(fatal=step, handed_in=handed_in, callers=now))
                    if not ends[-1].killed and handed_in.done():
                        break
            finally:
                handed_in.cancel()
                await asyncio.gather(handed_in, return_exceptions=True)
            return ends, world.check()

    async def run_random(
        self,
        suffixes: Sequence[str],
        kills: int,
        random_: random.Random,
        variant: str = "",
        *,
        loads: int = LOADS_PER_LIFE,
        callers: int = 0,
    ) -> tuple[list[End], list[Violation]]:
        """So many lives killed at random times, fresh loads in each, then one that sees everything through."""
        async with self.world(variant) as world:
            ends: list[End] = []
            clients: list[asyncio.Task[None]] = []
            number = 1
            try:
                for _ in range(kills):
                    clients.append(world.hand_in(draw_loads(random_, loads, suffixes, number)))
                    number += loads
                    after = random_.uniform(*KILLED_AFTER)
                    ends.append(await world.live(kill_after=after, handed_in=clients[-1], callers=callers))
                ends.append(await world.live(handed_in=asyncio.create_task(all_of(clients))))
            finally:
                for client in clients:
                    client.cancel()
                await asyncio.gather(*clients, return_exceptions=True)
            return ends, world.check()


async def all_of(tasks: Sequence[asyncio.Task[None]]) -> None:
    await asyncio.gather(*tasks)


def _is_done(task: asyncio.Task[None]) -> bool:
    """Whether it has ended well; raises what it failed with."""
    if task.done():
        task.result()
    return task.done()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
