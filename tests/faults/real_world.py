"""A world around the real gateway: its own processes, SIP and T.38 to the simulator in a process, SMTP both ways."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any  # records and status are JSON

import psutil
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from faxgw.client import Control
from faxgw.demo import MailboxSink
from faxgw.fax.errors import FaxError
from faxgw.rig import Simulator
from tests.faults import watermark
from tests.faults.checker import Evidence, FarCall, Sighting, SinkMail, Violation, check, reader
from tests.faults.ledger import SENDERS, Client, Ledger, Load, Log, fax_domain, load_of, mail_of
from tests.faults.scripted_callers import OUR_NUMBER, OWNER, confirmed_pages
from tests.faults.scripted_world import CUSTOMER, NUMBER

READY = 240.0
"""Seconds until a gateway answers, on a machine that has much else to do."""
DRAIN = 600.0
"""Seconds within which everything is over: a dropped call, a redial after a crash, and all pauses."""
FAR_END_WITHIN = 60.0
"""Seconds in which the far end's last calls end by themselves."""
SUFFIXES = ("00", "00", "01", "10", "41", "43", "50", "51")
"""Machines of the load, as `faxgw simulator --list` shows them; those that take minutes are left out."""
CALLER_GIVES_UP = 150.0
"""Seconds after which a caller is taken away that neither got through nor was refused."""
CHANNELS = 6
"""Calls at the same time; two cores carry them in real time."""

SETTINGS = """
[node]
data = "{data}"
ballast = "1MiB"
grace = "20s"

[log]
level = "INFO"
format = "json"

[[smtp.listeners]]
listen = "127.0.0.1:{smtp}"

[http]
listen = "127.0.0.1:0"

[relay]
host = "127.0.0.1"
port = {relay}
tls = "none"
sender = "fax@example.org"

[sip]
listen = "127.0.0.1:{own_sip}"
media_ports = "{media}"
calls_per_worker = {calls_per_worker}

[[trunk]]
name = "far-end"
host = "127.0.0.1"
port = {far_sip}
channels = {channels}

[settings.values]
csid = "+33 1 99 00 00 99"
busy_pauses = [1]
no_answer_pauses = [1]
no_carrier_pauses = [1]
protocol_pauses = [1]
max_dials = 4
max_tries = 3
"""


class RealWorld:
    """One world; its gateways share a folder, a far end, a mailbox and the ledger.

    Args:
        folder: An empty folder.
        url: A migrated database; empty: SQLite in the data folder.
        media: Media ports of the gateway.
        calls_per_worker: 1 gives each call a worker of its own.
        channels: Calls of the trunk at the same time.
    """

    def __init__(
        self,
        folder: Path,
        url: str = "",
        media: str = "33000-34999",
        calls_per_worker: int = 32,
        channels: int = CHANNELS,
    ) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.received = folder / "received"
        self.received.mkdir(parents=True)
        self._url = url
        self._database = reader(url or f"sqlite:///{self.data / 'faxgw.db'}")
        self.own_sip = _free_port(socket.SOCK_DGRAM)
        self._callers: list[asyncio.Task[None]] = []
        self.mailbox = MailboxSink(folder / "mail")
        self.simulator = Simulator(self.received, ["--pace", "0.5"])
        self.control = Control(self.data)
        self.process: asyncio.subprocess.Process | None = None
        self.up = False
        self._log = Log(folder / "ledger")
        self._callers_log = Log(folder / "caller-log")
        self._smtp = _free_port(socket.SOCK_STREAM)
        self._media = media
        self._calls_per_worker = calls_per_worker
        self._channels = channels
        self.client = Client(self._log, lambda: self._smtp if self.up else 0, _mail)

    async def begin(self) -> None:
        """Start what surrounds the gateway."""
        await self.mailbox.start()
        await self.simulator.start()
        settings = SETTINGS.format(
            data=self.data,
            smtp=self._smtp,
            relay=self.mailbox.port,
            own_sip=self.own_sip,
            far_sip=self.simulator.port,
            media=self._media,
            channels=self._channels,
            calls_per_worker=self._calls_per_worker,
        )
        for policy, sender in SENDERS.items():
            settings += CUSTOMER.format(policy=policy, sender=sender, domain=fax_domain(policy))
        settings += f'[database]\nurl = "{self._url}"\n' if self._url else ""
        settings += NUMBER.format(number=OUR_NUMBER, owner=OWNER)
        (self.folder / "faxgw.toml").write_text(settings)

    async def start(self, **hooks: object) -> None:
        """Start a gateway, with hooks for daemon_under_test, and wait until it answers."""
        plan = json.dumps({"config": str(self.folder / "faxgw.toml"), "steps": str(self.folder / "steps"), **hooks})
        with (self.folder / "log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.faults.daemon_under_test", plan, stderr=log, stdout=log
            )
        self.up = True
        async with asyncio.timeout(READY):
            while self.process.returncode is None:
                with contextlib.suppress(FaxError):
                    await self.control.status()
                    return
                await asyncio.sleep(0.1)

    def children(self) -> list[psutil.Process]:
        """Every process below the gateway's."""
        assert self.process is not None
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self.process.pid).children(recursive=True)
        return []

    def workers(self) -> list[psutil.Process]:
        """The call workers."""
        return [child for child in self.children() if "faxgw.t30.worker" in _command(child)]

    async def kill(self, *, children: bool = True) -> None:
        """SIGKILL for the gateway, and for all its children or not; returns when what was killed is gone."""
        assert self.process is not None
        below = self.children() if children else []
        self.up = False
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        for child in below:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        await self.process.wait()
        await asyncio.to_thread(psutil.wait_procs, below, 10)

    async def stop(self) -> int:
        """An orderly stop; returns the exit status."""
        assert self.process is not None
        self.up = False
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        return await self.process.wait()

    async def end(self) -> None:
        """Stop everything and remove the folder."""
        if self.process is not None and self.process.returncode is None:
            await self.kill()
        for caller in self._callers:
            caller.cancel()
        await asyncio.gather(*self._callers, return_exceptions=True)
        await self.simulator.stop()
        await self.mailbox.stop()
        self._database.dispose()
        self._log.close()
        self._callers_log.close()
        shutil.rmtree(self.folder)

    # ------------------------------------------------------------------------------------------------ looking

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of the gateway's database; none before it has tables."""
        if not self._url and not (self.data / "faxgw.db").exists():
            return []
        try:
            with self._database.connect() as conn:
                return [tuple(row) for row in conn.execute(text(query))]
        except DBAPIError:
            return []

    async def until(self, query: str, within: float = 60.0) -> None:
        """Wait until a query finds something."""
        async with asyncio.timeout(within):
            while not self.ask(query):
                assert self.process is not None
                assert self.process.returncode is None, self.log_tail()
                await asyncio.sleep(0.05)

    def rest(self) -> dict[str, int]:
        """What is not over yet."""
        queries = {
            "messages": "SELECT count(*) FROM messages WHERE state = 'received'",
            "jobs": "SELECT count(*) FROM jobs WHERE finished_at IS NULL",
            "attempts": "SELECT count(*) FROM attempts WHERE done_at IS NULL",
            "outbox": "SELECT count(*) FROM outbox WHERE state IN ('due', 'leased')",
            "receptions": "SELECT count(*) FROM receptions WHERE finished_at IS NULL",
        }
        return {name: found[0][0] if (found := self.ask(query)) else -1 for name, query in queries.items()}

    async def drain(self, handed_in: asyncio.Task[None]) -> None:
        """Wait until everything accepted is final and told, and the far end's calls are over."""
        async with asyncio.timeout(DRAIN):
            await asyncio.gather(handed_in, *self._callers)
            while any(rest := self.rest().values()):
                assert self.process is not None
                assert self.process.returncode is None, f"{rest} {self.log_tail()}"
                await asyncio.sleep(0.25)
        answered = self.ask("SELECT count(*) FROM attempts WHERE answered_at IS NOT NULL")[0][0]
        until = time.monotonic() + FAR_END_WITHIN
        while sum(1 for record in self.records() if record["answered"]) < answered:
            await asyncio.sleep(0.25)
            if time.monotonic() > until:
                break  # a call that it was told to forget before it began

    # ---------------------------------------------------------------------------------------------- calls to us

    def call_us(self, loads: Sequence[Load], within: float) -> None:
        """Let machines of the simulator call our number, spread over so many seconds; each calls once."""
        for place, load in enumerate(loads):
            self._callers.append(asyncio.create_task(self._call_us(load, within * place / len(loads))))

    async def _call_us(self, load: Load, wait: float) -> None:
        await asyncio.sleep(wait)
        document = watermark.document(load.number, load.pages)
        folder = self.folder / "callers" / str(load.number)
        await asyncio.to_thread(_keep, folder / "fax.tif", document)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "faxgw.simulator",
            "--received", str(folder),
            "--call", f"sip:{OUR_NUMBER}@127.0.0.1:{self.own_sip}",
            "--file", str(folder / "fax.tif"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            async with asyncio.timeout(CALLER_GIVES_UP):
                out, _none = await process.communicate()
        except TimeoutError:
            return  # we died between its 180 Ringing and our 200 OK: a caller ends that by itself (RFC 3261 timer C)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        hashes = watermark.pixel_hashes(document)
        for page in range(1, json.loads(out)["pages_confirmed"] + 1):
            self.note_confirmed(str(load.number), page, hashes[page - 1])

    def note_confirmed(self, caller: str, page: int, sha256: str) -> None:
        """Write down what a caller's own record says to be confirmed."""
        self._callers_log.write(what="mcf", caller=caller, page=page, sha256=sha256)

    def delivered_faxes(self) -> list[list[str]]:
        """The pages of each fax that our mailbox was given; a fax delivered twice under one Message-ID is one."""
        found = {}
        for stored in self.mailbox.mails():
            mail = stored.message
            if str(mail["Delivered-To"]) == OWNER:
                (part,) = [part for part in mail.iter_attachments() if part.get_content_type() == "application/pdf"]
                content = part.get_content()
                assert isinstance(content, bytes)
                found[str(mail["Message-ID"])] = watermark.pixel_hashes(content)
        return list(found.values())

    # --------------------------------------------------------------------------------------------------- evidence

    def records(self) -> list[dict[str, Any]]:
        """The simulator's records of ended calls."""
        return [json.loads(path.read_text()) for path in self.received.glob("*.json")]

    def far_calls(self) -> list[FarCall]:
        return [self._far_call(record) for record in self.records()]

    def _far_call(self, record: Mapping[str, Any]) -> FarCall:
        seen = []
        for page in record["pages"]:
            for mark in watermark.read((self.received / page["tiff"]).read_bytes()):
                assert mark is not None, f"page without watermark in {record['id']}"
                seen.append(Sighting(mark.load, mark.page, mark.marked, True, page["confirmed"]))
        number = "+" + record["number"].lstrip("+0")
        at = datetime.fromisoformat(record["started"]).timestamp()
        return FarCall(record["id"], number, at, tuple(seen), ended=bool(record["ended"]))

    def sink_mails(self) -> list[SinkMail]:
        found = []
        for stored in self.mailbox.mails():
            mail = stored.message
            if str(mail["Delivered-To"]) == OWNER:
                continue
            found.append(
                SinkMail(
                    str(mail["Message-ID"]),
                    str(mail["Delivered-To"]),
                    load_of(str(mail["In-Reply-To"] or "")),
                    str(mail["X-Fax-Job"] or ""),
                    str(mail["X-Fax-Result"]),
                )
            )
        return found

    def check(self) -> list[Violation]:
        """Measure the world against the invariants; it has to be over, and its gateway stopped."""
        return check(
            Evidence(
                ledger=Ledger.read(self.folder / "ledger"),
                calls=self.far_calls(),
                mails=self.sink_mails(),
                url=self._url or f"sqlite:///{self.data / 'faxgw.db'}",
                data=self.data,
                confirmed_to_callers=confirmed_pages(self.folder / "caller-log"),
                delivered_faxes=self.delivered_faxes(),
                matched_by_time=True,
            )
        )

    def hand_in(self, loads: Sequence[Load], at_once: int = 4) -> asyncio.Task[None]:
        """Begin to hand loads in."""
        return asyncio.create_task(self.client.hand_in_all(loads, at_once))

    def log_tail(self) -> str:
        return (self.folder / "log").read_text()[-4000:]


def _keep(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(content)


def _mail(load: Load) -> bytes:
    return mail_of(load, watermark.document(load.number, load.pages), "tiff", "fax.tif")


def _command(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


@contextlib.asynccontextmanager
async def real_world(folder: Path, **more: Any) -> AsyncIterator[RealWorld]:
    world = RealWorld(folder, **more)
    try:
        await world.begin()
        yield world
    finally:
        await world.end()


def _free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
