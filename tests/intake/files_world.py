"""Accounts with folders on a house: logins, an SFTP server over loopback, and the clients that people have."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any  # columns

from argon2 import PasswordHasher
from sqlalchemy import insert, select

from faxgw.api.access import Access
from faxgw.dispatch.jobs import JobGate
from faxgw.fax.access import USER_SCOPES, Caller
from faxgw.fax.submission import JobSubmissions
from faxgw.intake.area import Areas
from faxgw.intake.collector import Collector
from faxgw.intake.file_accounts import FileAccounts
from faxgw.intake.job_files import JobFiles
from faxgw.intake.result_files import ResultFiles
from faxgw.intake.sftp import SftpServer
from faxgw.intake.sftp_settings import SftpSettings
from faxgw.intake.taking import Take
from faxgw.intake.threads import Threads
from faxgw.settings import Listener
from faxgw.store import login_keys
from faxgw.store import schema as t
from faxgw.store.accounts import Author
from faxgw.store.passwords import Passwords
from tests.house import House
from tests.patience import PATIENCE_S

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
PDF = b"%PDF-1.4 not looked at here\n"
JOB = """<?xml version="1.0" encoding="UTF-8"?>
<jobs><reference>R1</reference><fax><job-reference>order 5</job-reference>
<distribution-list><fax-address><fax-number>{number}</fax-number></fax-address></distribution-list>
<fax-file-list><fax-file><file-name>{file}</file-name></fax-file></fax-file-list></fax></jobs>
"""


def job_xml(file: str = "letter.pdf", number: str = "+33123456789") -> bytes:
    """A job file of one fax."""
    return JOB.format(file=file, number=number).encode()


@dataclass
class Ticks:
    """Monotonic seconds, moved by the test."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class FilesWorld:
    """Everything that stands behind the file servers."""

    house: House
    folder: Path
    areas: Areas
    access: Access
    files: JobFiles
    collector: Collector
    accounts: FileAccounts
    results: ResultFiles
    threads: Threads
    ticks: Ticks
    port: int = 0
    extra: dict[str, Any] = field(default_factory=dict)

    async def login(self, name: str, password: str = "secret", **values: Any) -> None:
        """A login of acme as a whole, unless the columns say otherwise."""
        given = {"customer": "acme", "user": None, "scopes": list(USER_SCOPES), "allow": [], "state": "active"} | values
        await self.house.change(insert(t.logins).values(name=name, password=CHEAP.hash(password), **given))

    async def caller(self, name: str) -> Caller:
        """What the login may do."""
        from faxgw.fax.access import Interface

        found = await self.access.again(name, "acme", Interface.SFTP)
        assert isinstance(found, Caller)
        return found

    async def key(self, name: str) -> Path:
        """Give a login a fresh key; the private one is in the file."""
        private = self.folder / f"key-{name}"
        await run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(private))
        public = login_keys.read_key((self.folder / f"key-{name}.pub").read_text())
        await self.house.do(login_keys.add, "acme", name, public, by=Author("test", self.house.now))
        return private

    async def settle(self, name: str = "erp", customer: str = "acme") -> bool:
        """Deal with what lies in a login's folder, as the collector would."""
        drop = await self.accounts.find(f"login:{name}", customer)
        assert drop is not None
        return await self.collector.work(drop)

    async def lay(self, name: str, octets: bytes, login: str = "erp") -> None:
        """A complete file in a login's folder, as if uploaded."""
        drop = await self.accounts.find(f"login:{login}", "acme")
        assert drop is not None
        await self.threads.run(lambda: drop.inbox().put(name, octets))

    async def out(self, login: str = "erp") -> dict[str, bytes]:
        """The results that lie there."""
        drop = await self.accounts.find(f"login:{login}", "acme")
        assert drop is not None
        shelf = drop.out()
        return {entry.name: shelf.read(entry.name, 10**7) for entry in shelf.entries()}

    async def jobs(self) -> Sequence[Any]:
        """All jobs, oldest first."""
        return await self.house.rows(select(t.jobs).order_by(t.jobs.c.accepted_at, t.jobs.c.id))

    async def sftp(self, commands: str, *, login: str = "erp", options: Sequence[str] = ()) -> tuple[int, str]:
        """What OpenSSH's client does with a batch of commands: (status, output)."""
        options = (*options, *self.ssh_options(login))
        return await run("sftp", "-b", "-", *options, f"{login}@127.0.0.1", stdin=commands)

    def ssh_options(self, login: str) -> Sequence[str]:
        """Options of OpenSSH's clients: this port, this key, this host key."""
        known = self.folder / "known_hosts"
        public = (self.folder / "keys" / "ssh_host_ed25519_key.pub").read_text().strip()
        known.write_text(f"[127.0.0.1]:{self.port} {public}\n")
        key = self.folder / f"key-{login}"
        return (
            "-P", str(self.port), "-i", str(key), "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o",
            f"UserKnownHostsFile={known}", "-o", "GlobalKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=yes",
            "-o", "BatchMode=yes", "-F", "/dev/null",
        )  # fmt: skip


async def run(*command: str, stdin: str = "", env: dict[str, str] | None = None) -> tuple[int, str]:
    """Run a client: (status, what it printed)."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={"PATH": os.environ["PATH"], "HOME": tempfile.gettempdir(), "LC_ALL": "C.UTF-8", **(env or {})},
    )
    async with asyncio.timeout(PATIENCE_S):
        printed, _ = await process.communicate(stdin.encode())
    assert process.returncode is not None
    return process.returncode, printed.decode(errors="replace")


@asynccontextmanager
async def files_world(
    house: House, folder: Path, submissions: JobSubmissions | None = None, *, serve: bool = False, **settings: Any
) -> AsyncIterator[FilesWorld]:
    """Folders of accounts; with `serve` behind an SFTP server."""
    ticks, threads = Ticks(), Threads()
    checker = Passwords(ticks, CHEAP)
    access = Access(house.store, checker, house.clock, ticks, {})

    async def room() -> None:
        pass

    areas = Areas(folder / "files", room, threads)
    files = JobFiles(house.store, house.files, submissions or JobGate(house.seat()), house.clock, threads, 400)
    collector = Collector({Take.JOB: files}, ticks, threads)
    accounts = FileAccounts(areas, access, collector, 14)
    results = ResultFiles(house.store, accounts.find, threads)
    world = FilesWorld(house, folder, areas, access, files, collector, accounts, results, threads, ticks)
    given = SftpSettings(listen=(Listener("127.0.0.1", 0),), **settings)
    server = SftpServer(given, access, accounts.places, folder / "keys")
    world.extra["server"] = server
    task = None
    try:
        if serve:
            if not (folder / "keys").exists() and HOST_KEYS.exists():
                shutil.copytree(HOST_KEYS, folder / "keys")
            world.port = (await server.start())[0][1]
            if not HOST_KEYS.exists():
                shutil.copytree(folder / "keys", HOST_KEYS)
            task = world.extra["task"] = asyncio.create_task(collector.run())
        yield world
    finally:
        if serve:
            await server.stop(0.5)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await areas.close()
        await threads.close()
        checker.close()


HOST_KEYS = Path(os.environ.get("PYTEST_DEBUG_TEMPROOT", "/tmp")) / f"faxgw-test-host-keys-{os.getpid()}"
"""Making an RSA key takes a second: made once for all tests of a process."""
