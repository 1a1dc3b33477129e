"""`python -m bench.intake`: mails per second into our SMTP intake beside Debian's Postfix, on the same disk.

`smtp-source` (Debian package postfix) sends 5,000 mails of 20 kB over 50 connections, first to our intake, then to a
private Postfix, in turn. A mail counts when its 250 came: both have synced it by then. Ours is the gateway's intake
in a process of its own (SMTP server, gate, store with its tables and keys, spool, log), without the page steps that
follow. Neither looks into a mail before its 250, so lines of text stand for a one-page PDF: `smtp-source` sends a file
as the same mail each time, which the gateway would link to the first instead of keeping it. Postfix puts every mail on
hold (`smtpd_client_restrictions = static:HOLD`), so nothing is delivered and nothing leaves loopback; its
`in_flow_delay` is 0, as nothing takes mails off the queue. Beside the burst a client of ours sends a mail every 50 ms
and measures the time from the final dot to the reply. Then as many jobs with a one-page PDF by REST (`bench.rest`), and
a fifth as many by SFTP (`bench.sftp`).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path

from bench import rest, sftp
from bench.measure import command_of, cpu_of, descendants, end, finish, median, percentile, pss_of, say, workplace

MAILS = 5_000
CONNECTIONS = 50
OCTETS = 20_000
PROBE_EVERY = 0.05
"""Seconds between mails of the client that measures the final dot."""
SENDER = "alice@example.org"
RECIPIENT = "+33199000000@fax.example.org"
LIMIT = 600.0
"""Seconds one burst may last."""

MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = sink.localhost
mydestination = fax.example.org
local_recipient_maps =
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_client_restrictions = check_client_access static:HOLD
default_transport = discard:nothing leaves
local_transport = discard:nothing leaves
relay_transport = discard:nothing leaves
smtpd_client_connection_count_limit = 0
in_flow_delay = 0
maillog_file = /dev/stdout
maillog_file_prefixes = /dev
alias_maps =
"""
MASTER_CF = """\
127.0.0.1:{port} inet n - n - 100 smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
error unix - - n - - error
discard unix - - n - - discard
retry unix - - n - - error
showq unix n - n - - showq
postlog unix-dgram n - n - 1 postlogd
"""


# ------------------------------------------------------------------------------------------------------ our intake


async def serve(folder: Path) -> None:
    """Our intake, until SIGTERM; run as a child process."""
    from faxgw.dispatch.gate import Gate
    from faxgw.dispatch.seat import Seat
    from faxgw.intake.smtp import SmtpServer
    from faxgw.intake.smtp_settings import SmtpListener, SmtpSettings
    from faxgw.logs import configure
    from faxgw.settings import Listener
    from faxgw.store import directory, migrate, node
    from faxgw.store.directory import CustomerSeed
    from faxgw.store.engine import open_store
    from faxgw.store.files import Files
    from faxgw.store.passwords import Passwords
    from faxgw.store.space import Watermark

    configure(form="json")  # as the gateway logs: two lines a mail
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    url = f"sqlite:///{folder}/faxgw.db"
    migrate.upgrade(url)
    store = open_store(url, lambda error: os._exit(1))
    await store.start()
    lease = await store.run(lambda conn: node.register(conn, "bench", time.time()))
    seed = CustomerSeed("acme", "Acme", domains=("fax.example.org",), addresses=("@example.org",))
    await store.run(lambda conn: directory.seed(conn, [seed]))
    files = Files(folder, "bench", lease.incarnation)
    await files.start()
    seat = Seat(store, files, "bench", lease.fence, time.time, {})
    settings = SmtpSettings(listeners=(SmtpListener(listen=Listener("127.0.0.1", 0)),), client_connection_limit=500)
    server = SmtpServer(settings, Gate(seat, Watermark(int(settings.message_limit)), Passwords(time.monotonic)), files)
    (bound,) = await server.start()
    print(json.dumps({"port": bound.port}), flush=True)
    await stop.wait()
    await server.stop(5.0)
    await files.close()
    counters = store.counters
    print(json.dumps({"units": counters.units, "commits": counters.commits}), flush=True)
    await store.close()


async def our_intake(folder: Path) -> tuple[asyncio.subprocess.Process, int]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.intake", "--serve", str(folder), stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    return process, int(json.loads(await asyncio.wait_for(process.stdout.readline(), 30))["port"])


# --------------------------------------------------------------------------------------------------------- Postfix


async def postfix(folder: Path) -> tuple[asyncio.subprocess.Process, int]:
    """A master of our own with a configuration and queue of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    conf = folder / "conf"
    for name in ("conf", "queue", "data"):
        (folder / name).mkdir()
    for path in (folder, *folder.parents[:2]):
        path.chmod(path.stat().st_mode | 0o055)  # the postfix user must get there
    shutil.chown(folder / "data", "postfix")
    (conf / "main.cf").write_text(MAIN_CF.format(folder=folder))
    (conf / "master.cf").write_text(MASTER_CF.format(port=port))
    process = await asyncio.create_subprocess_exec(
        "postfix", "-c", str(conf), "start-fg",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(OSError):
                _reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return process, port
            if process.returncode is not None:
                raise SystemExit(f"postfix ended with {process.returncode}")
            await asyncio.sleep(0.1)


# ----------------------------------------------------------------------------------------------------------- burst


async def burst(pid: int, port: int, mails: int) -> dict[str, float]:
    """Send the mails; what they cost the process tree of `pid`."""
    top, stop = 0.0, asyncio.Event()

    async def watch() -> None:
        nonlocal top
        while not stop.is_set():
            top = max(top, sum(map(pss_of, descendants(pid))))
            await asyncio.sleep(0.5)

    dots: list[float] = []
    tasks = [asyncio.create_task(watch()), asyncio.create_task(probe(port, dots, stop))]
    before, begun = sum(map(cpu_of, descendants(pid))), time.perf_counter()
    source = await asyncio.create_subprocess_exec(
        "smtp-source", "-s", str(CONNECTIONS), "-m", str(mails), "-l", str(OCTETS), "-f", SENDER, "-t", RECIPIENT,
        "-M", "client.localhost", f"127.0.0.1:{port}", stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _out, err = await asyncio.wait_for(source.communicate(), LIMIT)
    wall = time.perf_counter() - begun
    used = sum(map(cpu_of, descendants(pid))) - before
    stop.set()
    await asyncio.gather(*tasks)
    if source.returncode:
        raise SystemExit(f"smtp-source: {err.decode()[:300]}")
    count = mails + len(dots)
    return {
        "mails_per_second": count / wall, "cpu_ms_per_mail": used / count * 1000, "pss_mb": top,
        "dot_p50_ms": median(dots) * 1000, "dot_p99_ms": percentile(dots, 0.99) * 1000, "probes": len(dots),
    }  # fmt: skip


async def probe(port: int, dots: list[float], stop: asyncio.Event) -> None:
    """Send a mail every PROBE_EVERY on one connection; note the seconds from each final dot to its 250."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def reply() -> int:
        while True:
            line = await reader.readline()
            if line[3:4] != b"-":
                return int(line[:3] or 0)

    async def say_(text: str) -> None:
        writer.write(text.encode() + b"\r\n")
        if await reply() >= 400:
            raise SystemExit(f"refused: {text[:60]}")

    await reply()
    await say_("EHLO probe.localhost")
    body = ("X" * 78 + "\r\n") * (OCTETS // 80)
    for serial in itertools.count():
        if stop.is_set():
            break
        await say_(f"MAIL FROM:<{SENDER}>")
        await say_(f"RCPT TO:<{RECIPIENT}>")
        await say_("DATA")
        head = f"From: <{SENDER}>\r\nMessage-ID: <{serial}.{time.time_ns()}@probe.localhost>\r\n\r\n"
        writer.write(head.encode() + body.encode())
        await writer.drain()
        begun = time.perf_counter()
        await say_(".")
        dots.append(time.perf_counter() - begun)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), PROBE_EVERY)
    await say_("QUIT")
    writer.close()


async def one(way: str, mails: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(dir=workplace()) as name:
        folder = Path(name)
        process, port = await (our_intake(folder) if way == "faxgw" else postfix(folder))
        try:
            found = await burst(process.pid, port, mails)
            kept = await asyncio.to_thread(count_files, folder / ("spool" if way == "faxgw" else "queue/hold"))
        finally:
            for pid in descendants(process.pid):  # `postfix start-fg` would leave its master behind
                if "sbin/master" in command_of(pid):
                    os.kill(pid, signal.SIGTERM)
                    await asyncio.wait_for(process.wait(), 30)
            await end(process)
    if kept < mails:
        raise SystemExit(f"{way}: {kept} of {mails} mails are on the disk")
    say(f"{way}: " + ", ".join(f"{key} {value:.1f}" for key, value in found.items()))
    return found


def count_files(folder: Path) -> int:
    return sum(len(files) for _path, _folders, files in os.walk(folder))


async def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.intake", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="500 mails and jobs, one round")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        await serve(options.serve)
        return
    if shutil.which("smtp-source") is None or os.geteuid() != 0:
        raise SystemExit("needs root and Debian's postfix: apt install postfix")
    mails, rounds = (500, 1) if options.quick else (MAILS, 3)
    runs: dict[str, list[dict[str, float]]] = {"faxgw": [], "postfix": []}
    for _ in range(rounds):
        for way, several in runs.items():
            several.append(await one(way, mails))
    shown = {
        way: {key: round(median([run[key] for run in several]), 2) for key in several[0]}
        for way, several in runs.items()
    }
    ratio = shown["faxgw"]["mails_per_second"] / shown["postfix"]["mails_per_second"]
    jobs = [await rest.one(mails) for _ in range(rounds)]
    shown["rest"] = {key: round(median([run[key] for run in jobs]), 2) for key in jobs[0]}
    files = [await sftp.one(mails // 5) for _ in range(rounds)]
    shown["sftp"] = {key: round(median([run[key] for run in files]), 2) for key in files[0]}
    rates = {
        "smtp_per_s": shown["faxgw"]["mails_per_second"],
        "postfix_per_s": shown["postfix"]["mails_per_second"],
        "smtp_vs_postfix": round(ratio, 2),
        "rest_per_s": shown["rest"]["jobs_per_second"],
        "sftp_per_s": shown["sftp"]["jobs_per_second"],
        "final_dot_p99_ms": shown["faxgw"]["dot_p99_ms"],
    }
    facts = {"mails": mails, "octets": OCTETS, "connections": CONNECTIONS, "rounds": rounds}
    finish("intake", {**facts, **shown, **rates})


if __name__ == "__main__":
    asyncio.run(main())
