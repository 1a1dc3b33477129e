"""The SFTP part of `bench.intake`: job files with a one-page PDF each over SFTP, until their jobs are committed.

Fifty clients (asyncssh, in processes of their own) log in with a key, then each puts a PDF and a job file that names
it, again and again. A job counts when its row is committed: the clock stops with the last one, not with the last
upload. There is no reference: a file server that takes files without syncing them promises something else.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

from bench.measure import cpu_of, descendants, end, pss_of, say, workplace

CONNECTIONS = 50
PROCESSES = 2
PDF_OCTETS = 20_000
LOGIN = "erp"
LIMIT = 600.0
"""Seconds one burst may last."""
LOOK_EVERY = 0.05
"""Seconds between two looks at how many jobs are committed."""


async def serve(folder: Path) -> None:
    """The SFTP server with its collector and funnel, as the daemon puts them together; run as a child process."""
    import asyncssh
    from argon2 import PasswordHasher
    from sqlalchemy import insert

    from faxgw.api.access import Access
    from faxgw.dispatch.jobs import JobGate
    from faxgw.dispatch.seat import Seat
    from faxgw.fax.access import USER_SCOPES
    from faxgw.intake.area import Areas
    from faxgw.intake.collector import Collector
    from faxgw.intake.file_accounts import FileAccounts
    from faxgw.intake.job_files import JobFiles
    from faxgw.intake.sftp import SftpServer
    from faxgw.intake.sftp_settings import SftpSettings
    from faxgw.intake.taking import Take
    from faxgw.intake.threads import Threads
    from faxgw.settings import Listener
    from faxgw.store import directory, login_keys, migrate, node
    from faxgw.store import schema as t
    from faxgw.store.accounts import Author
    from faxgw.store.directory import CustomerSeed
    from faxgw.store.engine import open_store
    from faxgw.store.files import Files
    from faxgw.store.passwords import Passwords

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    url = f"sqlite:///{folder}/faxgw.db"
    migrate.upgrade(url)
    store = open_store(url, lambda error: os._exit(1))
    await store.start()
    lease = await store.run(lambda conn: node.register(conn, "bench", time.time()))
    await store.run(lambda conn: directory.seed(conn, [CustomerSeed("acme", "Acme")]))
    row = {
        "name": LOGIN, "password": PasswordHasher().hash("unused"), "customer": "acme", "user": None,
        "scopes": list(USER_SCOPES), "allow": [], "state": "active",
    }  # fmt: skip
    await store.run(lambda conn: conn.execute(insert(t.logins).values(**row)) and None)
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(folder / "client_key")
    public = login_keys.read_key(key.export_public_key().decode())
    await store.run(lambda conn: login_keys.add(conn, "acme", LOGIN, public, by=Author("bench", time.time())))
    files = Files(folder, "bench", lease.incarnation)
    await files.start()
    gate = JobGate(Seat(store, files, "bench", lease.fence, time.time, {}))
    access, threads = Access(store, Passwords(time.monotonic), time.time, time.monotonic, {}), Threads()

    async def room() -> None:
        """There is room."""

    areas = Areas(folder / "files", room, threads)
    jobs = JobFiles(store, files, gate, time.time, threads, 400)
    collector = Collector({Take.JOB: jobs}, time.monotonic, threads)
    accounts = FileAccounts(areas, access, collector, 14)
    settings = SftpSettings(listen=(Listener("127.0.0.1", 0),), connection_limit=200, client_connection_limit=200)
    server = SftpServer(settings, access, accounts.places, folder / "keys")
    ((_host, port), *_others) = await server.start()
    collecting = asyncio.create_task(collector.run())
    print(json.dumps({"port": port}), flush=True)
    await stop.wait()
    await server.stop(1.0)
    collecting.cancel()
    await asyncio.gather(collecting, return_exceptions=True)
    await areas.close()
    await threads.close()
    await files.close()
    await store.close()


async def load(folder: Path, port: int, first: int, jobs: int, connections: int) -> None:
    """Log in, say so, wait for a line, then put the files; run as a child process."""
    import asyncssh

    numbers = iter(range(first, first + jobs))
    pdf = b"%PDF-1.4\n" + os.urandom(PDF_OCTETS - 9)

    async def client(sftp: asyncssh.SFTPClient) -> None:
        for number in numbers:
            xml = (
                '<?xml version="1.0" encoding="UTF-8"?>\n<fax-jobs><reference>bench</reference><fax>'
                f"<job-reference>{number}</job-reference><distribution-list><fax-address>"
                f"<fax-number>+33199{number % 10**6:06}</fax-number></fax-address></distribution-list><fax-file-list>"
                f"<fax-file><file-name>page{number}.pdf</file-name></fax-file></fax-file-list></fax></fax-jobs>\n"
            ).encode()
            for name, octets in ((f"page{number}.pdf", pdf), (f"job{number}.xml", xml)):
                async with sftp.open(f"in/{name}", "wb") as file:
                    await file.write(octets)

    made = [
        await asyncssh.connect(
            "127.0.0.1", port, username=LOGIN, client_keys=[str(folder / "client_key")], known_hosts=None, config=None
        )
        for _ in range(connections)
    ]
    clients = [await each.start_sftp_client() for each in made]
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await asyncio.gather(*map(client, clients))
    print("done", flush=True)
    for each in made:
        each.close()


def committed(database: Path) -> int:
    """How many jobs are committed."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as conn:
        return int(conn.execute("SELECT count(*) FROM jobs").fetchone()[0])


def _all_committed(database: Path, jobs: int) -> int:
    """Wait until as many jobs are committed; how many there are."""
    until = time.monotonic() + LIMIT
    while (done := committed(database)) < jobs:
        if time.monotonic() > until:
            raise SystemExit(f"sftp: {done} of {jobs} jobs were accepted")
        time.sleep(LOOK_EVERY)
    return done


async def one(jobs: int) -> dict[str, float]:
    """A fresh gateway on a fresh folder, and one burst."""
    with tempfile.TemporaryDirectory(dir=workplace()) as name:
        folder = Path(name)
        process = await _child("--serve", str(folder))
        clients: list[asyncio.subprocess.Process] = []
        try:
            assert process.stdout is not None
            port = json.loads(await asyncio.wait_for(process.stdout.readline(), 60))["port"]
            share = jobs // PROCESSES
            for place in range(PROCESSES):
                which = ("--first", str(place * share), "--jobs", str(share))
                how_many = ("--connections", str(CONNECTIONS // PROCESSES))
                clients.append(await _child("--load", str(folder), "--port", str(port), *which, *how_many))
            for client in clients:
                assert client.stdout is not None
                if (await asyncio.wait_for(client.stdout.readline(), 120)).strip() != b"ready":
                    raise SystemExit("sftp: a client could not log in")
            before, begun = sum(map(cpu_of, descendants(process.pid))), time.perf_counter()
            for client in clients:
                assert client.stdin is not None
                client.stdin.write(b"\n")
            done = await asyncio.to_thread(_all_committed, folder / "faxgw.db", share * PROCESSES)
            wall = time.perf_counter() - begun
            used = sum(map(cpu_of, descendants(process.pid))) - before
            top = sum(map(pss_of, descendants(process.pid)))
        finally:
            for child in (*clients, process):
                await end(child)
    found = {"jobs_per_second": done / wall, "cpu_ms_per_job": used / done * 1000, "pss_mb": top}
    say("sftp: " + ", ".join(f"{key} {value:.1f}" for key, value in found.items()))
    return found


async def _child(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.sftp", *arguments, stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip


async def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.sftp", description=__doc__.splitlines()[0])
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--load", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--connections", type=int, default=CONNECTIONS, help=argparse.SUPPRESS)
    parser.add_argument("--jobs", type=int, default=1_000, help="jobs of the burst")
    options = parser.parse_args()
    if options.serve is not None:
        await serve(options.serve)
    elif options.load is not None:
        await load(options.load, options.port, options.first, options.jobs, options.connections)
    else:
        print(json.dumps(await one(options.jobs)))


if __name__ == "__main__":
    asyncio.run(main())
