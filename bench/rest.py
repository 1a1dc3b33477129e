"""The REST part of `bench.intake`: jobs with a one-page PDF by the vendor's REST interface, accepted durably.

The client is written for speed, so that it does not share the result: prepared octets over plain sockets, one job after
the other on each connection. A job counts when its 200 came: its document is synced and its rows are committed by then.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from bench.measure import cpu_of, descendants, end, median, percentile, pss_of, say, workplace

CONNECTIONS = 50
PDF_OCTETS = 20_000
LOGIN = ("bench", "a password that nobody guesses")
LIMIT = 600.0
"""Seconds one burst may last."""


async def serve(folder: Path) -> None:
    """The REST interface as the daemon mounts it, until SIGTERM; run as a child process."""
    from argon2 import PasswordHasher

    from faxgw.api.access import Access
    from faxgw.api.http import Ground
    from faxgw.api.retarus import RetarusApi
    from faxgw.api.settings import ApiSettings
    from faxgw.api.vendor_jobs import VendorJobs
    from faxgw.dispatch.jobs import JobGate
    from faxgw.dispatch.seat import Seat
    from faxgw.egress import Egress
    from faxgw.metrics import Metrics
    from faxgw.settings import Listener
    from faxgw.store import directory, migrate, node
    from faxgw.store.directory import CustomerSeed, UserSeed
    from faxgw.store.engine import open_store
    from faxgw.store.files import Files
    from faxgw.store.passwords import Passwords
    from faxgw.store.space import Watermark
    from faxgw.webserver import Health, WebServer, WebSettings

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    url = f"sqlite:///{folder}/faxgw.db"
    migrate.upgrade(url)
    store = open_store(url, lambda error: os._exit(1))
    await store.start()
    lease = await store.run(lambda conn: node.register(conn, "bench", time.time()))
    user = UserSeed("bench", login=LOGIN[0], password_hash=PasswordHasher().hash(LOGIN[1]))
    await store.run(lambda conn: directory.seed(conn, [CustomerSeed("acme", "Acme", users=(user,))]))
    files = Files(folder, "bench", lease.incarnation)
    await files.start()
    seat = Seat(store, files, "bench", lease.fence, time.time, {})
    access = Access(store, Passwords(time.monotonic), time.time, time.monotonic, {})
    ground = Ground(store, files, access, Watermark(0), time.time, time.monotonic)
    server = WebServer(WebSettings(listen=Listener("127.0.0.1", 0)), Metrics(), Health())
    settings = ApiSettings(retarus=True)
    server.mount(RetarusApi(ground, VendorJobs(ground, JobGate(seat), settings, Egress()), settings).routes())
    address = await server.start()
    print(json.dumps({"port": address.port}), flush=True)
    await stop.wait()
    await server.stop(5.0)
    counters = store.counters
    print(json.dumps({"units": counters.units, "commits": counters.commits}), flush=True)
    await files.close()
    await store.close()


async def load(port: int, jobs: int) -> None:
    """Send the jobs and print what was seen; run as a child process, so that its work is not the gateway's."""
    auth = base64.b64encode(":".join(LOGIN).encode()).decode()
    data = base64.b64encode(b"%PDF-1.4\n" + os.urandom(PDF_OCTETS - 9)).decode()
    numbers = iter(range(jobs))
    took: list[float] = []
    answers: dict[str, int] = {}

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in numbers:
            text = (
                f'{{"reference":{{"customerDefinedId":"{number}"}},'
                f'"recipients":[{{"number":"+33199{number % 10**6:06}"}}],'
                f'"documents":[{{"name":"page.pdf","data":"{data}"}}]}}'
            )
            head = (
                f"POST /rest/v1/acme/fax HTTP/1.1\r\nHost: gateway\r\nAuthorization: Basic {auth}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
            )
            begun = time.perf_counter()
            writer.write((head + text).encode())
            status = (await reader.readline()).split()[1].decode()
            length = 0
            while (line := await reader.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            await reader.readexactly(length)
            took.append(time.perf_counter() - begun)
            answers[status] = answers.get(status, 0) + 1
        writer.close()

    begun = time.perf_counter()
    await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))
    wall = time.perf_counter() - begun
    seen = {"wall": wall, "p50": median(took), "p99": percentile(took, 0.99), "answers": answers}
    print(json.dumps(seen), flush=True)


async def one(jobs: int) -> dict[str, float]:
    """A fresh gateway on a fresh folder, and one burst."""
    with tempfile.TemporaryDirectory(dir=workplace()) as name:
        folder = Path(name)
        process = await _child("--serve", str(folder))
        assert process.stdout is not None
        try:
            port = json.loads(await asyncio.wait_for(process.stdout.readline(), 30))["port"]
            before = sum(map(cpu_of, descendants(process.pid)))
            client = await _child("--load", str(port), "--jobs", str(jobs))
            out, _err = await asyncio.wait_for(client.communicate(), LIMIT)
            used = sum(map(cpu_of, descendants(process.pid))) - before
            top = sum(map(pss_of, descendants(process.pid)))
            seen = json.loads(out.splitlines()[-1])
            kept = await asyncio.to_thread(_count, folder / "objects")
        finally:
            await end(process)
    if seen["answers"] != {"200": jobs} or kept != jobs:
        raise SystemExit(f"rest: answers {seen['answers']}, {kept} documents on the disk")
    found = {
        "jobs_per_second": jobs / seen["wall"], "cpu_ms_per_job": used / jobs * 1000, "pss_mb": top,
        "p50_ms": seen["p50"] * 1000, "p99_ms": seen["p99"] * 1000,
    }  # fmt: skip
    say("rest: " + ", ".join(f"{key} {value:.1f}" for key, value in found.items()))
    return found


def _count(folder: Path) -> int:
    return sum(len(files) for _path, _folders, files in os.walk(folder))


async def _child(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.rest", *arguments, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip


async def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.rest", description=__doc__.splitlines()[0])
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--load", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--jobs", type=int, default=5_000, help="jobs of the burst")
    options = parser.parse_args()
    if options.serve is not None:
        await serve(options.serve)
    elif options.load is not None:
        await load(options.load, options.jobs)
    else:
        print(json.dumps(await one(options.jobs)))


if __name__ == "__main__":
    asyncio.run(main())
