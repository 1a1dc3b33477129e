"""`python -m bench.broadcast`: one job with 5,000 recipients, each with a cover of his own, to its last fax.

It comes four times: by REST, by SOAP, as a job file over SFTP, and by mail with a distribution list. The gateway runs
in one process: interfaces, funnel, store, renderer, dispatcher, reports. Page processes and line are scripted (a cover
or a document is one page at once, a call lasts a while on one of a few channels), so that what is measured is the
daemon. When some of its calls are done, three single faxes come: a normal one of another customer, a normal one and an
express one of the same customer. Counted is how many calls began between the moment a single fax was ready and its own
call; at the end, in what the faxes of the job ended and how many reports went out for it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from aiohttp import ClientSession, ClientTimeout
from argon2 import PasswordHasher
from sqlalchemy import func, select

from bench.broadcast_ways import LIMIT, PASSWORD, by_mail, by_rest, by_sftp, by_soap, login, rest_job, sftp_server
from bench.look import database
from bench.measure import finish, percentile, pss_of, say, workplace
from faxgw import garbage
from faxgw.api.access import Access
from faxgw.api.http import Ground
from faxgw.api.retarus import RetarusApi
from faxgw.api.settings import ApiSettings
from faxgw.api.soap import SoapApi
from faxgw.api.vendor_jobs import VendorJobs
from faxgw.dispatch.dispatcher import Dispatcher
from faxgw.dispatch.jobs import JobGate
from faxgw.dispatch.outbound import Outbound
from faxgw.dispatch.outbox import OutboxWorker
from faxgw.dispatch.seat import Seat
from faxgw.dispatch.station import Station
from faxgw.dispatch.worker import PageWorker
from faxgw.document import types as pages
from faxgw.document.client import PageClient
from faxgw.egress import Egress
from faxgw.fax.job import FaxState
from faxgw.fax.outcome import Cause, Outcome
from faxgw.fax.ports import CallIdentity, CallMarks, CallPlan, DeliveryResult, Parcel
from faxgw.formats.report_payload import report_from_payload
from faxgw.metrics import Metrics
from faxgw.settings import Listener
from faxgw.store import directory, migrate, node
from faxgw.store import schema as t
from faxgw.store.directory import CustomerSeed, UserSeed
from faxgw.store.engine import Store, open_store
from faxgw.store.files import Files
from faxgw.store.passwords import Passwords
from faxgw.store.space import Watermark
from faxgw.webserver import Health, WebServer, WebSettings

RECIPIENTS = 5_000
WAYS = ("rest", "soap", "sftp", "mail")
CHANNELS = 4
CALL_S = 0.02
"""Seconds of a scripted call."""
BEFORE_SINGLES = 40
"""Calls of the broadcast after which the single faxes come."""
TICK = 0.01
"""Seconds between two looks at how late the loop is."""


class Pages:
    """A page client: whatever comes is one page at once."""

    def __init__(self, recipients: int) -> None:
        self.documents = 0
        """Documents that were no covers."""
        self.covers = 0
        self._list = "\n".join(number_of(place) for place in range(recipients))

    async def walk(self, mail_fd: int, options: pages.WalkOptions | None = None) -> pages.Walked:
        document = pages.Document(_memory(b"%PDF-1.4"), "page.pdf", size=8)
        return pages.Walked(() if options and options.lists_only else (document,), lists=(self._list,))

    async def render(
        self, documents: Sequence[pages.Document], options: pages.RenderOptions | None = None
    ) -> pages.Rendered:
        for document in documents:
            self.covers += document.origin is pages.Origin.BODY
            self.documents += document.origin is not pages.Origin.BODY
        facts = tuple(pages.PageFacts(1728, 2292, 100, 0.1, index, 1) for index in range(len(documents)))
        return pages.Rendered(_memory(b"II*\0body"), facts, pages.Resolution.FINE, _memory(b"\x89PNG"))

    async def compose(self, body_fd: int, options: pages.ComposeOptions) -> pages.Composed:
        return pages.Composed(_memory(b"II*\0composed"), (), pages.Resolution.FINE)


def number_of(place: int) -> str:
    return f"+33199{place:06}"


def _memory(content: bytes) -> int:
    fd = os.memfd_create("pages")
    os.pwrite(fd, content, 0)
    return fd


class Line:
    """A line whose calls last a while and confirm every page."""

    def __init__(self) -> None:
        self.numbers: list[str] = []
        """Of the calls, as they began."""

    def new_identity(self, trunk: str) -> CallIdentity:
        number = len(self.numbers) + 1
        return CallIdentity(f"call-{number}", f"tag-{number}", f"z9hG4bK{number}", number)

    def trunks(self) -> Mapping[str, int]:
        return {"t1": CHANNELS}

    async def call(self, plan: CallPlan, marks: CallMarks) -> Outcome:
        self.numbers.append(plan.number)
        await asyncio.sleep(CALL_S)
        (document,) = plan.documents
        good = await marks.answered({"to_tag": "x"}) and await marks.exposed(document.fax, document.first)
        for page in range(document.first, document.last + 1):
            good = good and await marks.confirmed(document.fax, page)
        return Outcome(Cause.OK, connected=True, exposed=True) if good else Outcome(Cause.LINE_FAULT, connected=True)

    async def hangup(self, attempt: str) -> None:
        """Nothing to hang up."""

    async def end_stranger(self, trunk: str, identity: CallIdentity, number: str, dialog: Mapping[str, object]) -> None:
        """There are none."""


class Sink:
    """A way out that takes everything."""

    def __init__(self) -> None:
        self.mails: list[int] = []
        """Faxes that each status mail tells of."""

    async def deliver(self, parcel: Parcel) -> DeliveryResult:
        if parcel.kind == "status_mail":
            self.mails.append(len((await asyncio.to_thread(report_from_payload, parcel.payload)).faxes))
        return DeliveryResult(True)


class Watch:
    """How late the loop is, and how much memory the process takes, by the part that runs."""

    def __init__(self) -> None:
        self.part = "start"
        self.late: dict[str, list[float]] = {}
        self.top: dict[str, float] = {}

    async def run(self) -> None:
        looked = 0.0
        while True:
            begun = time.perf_counter()
            await asyncio.sleep(TICK)
            self.late.setdefault(self.part, []).append(time.perf_counter() - begun - TICK)
            if begun > looked + 0.5:
                looked = begun
                self.top[self.part] = max(self.top.get(self.part, 0.0), await asyncio.to_thread(pss_of, os.getpid()))

    def found(self, part: str) -> dict[str, float]:
        late = self.late.get(part, [])
        return {
            "loop_lag_p99_ms": round(percentile(late, 0.99) * 1000, 1),
            "loop_lag_max_ms": round(max(late, default=0.0) * 1000, 1),
            "pss_mb": round(self.top.get(part, 0.0), 1),
        }


class Units:
    """The longest unit of work of a part, and how many lasted longer than they may."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.longest: dict[str, float] = {}
        run = store.run

        async def timed(unit: Callable[[Any], Any]) -> Any:
            def measured(conn: Any) -> Any:
                begun = time.perf_counter()
                try:
                    return unit(conn)
                finally:
                    self.longest[watch.part] = max(self.longest.get(watch.part, 0.0), time.perf_counter() - begun)

            return await run(measured)

        store.run = timed  # type: ignore[method-assign]


watch = Watch()


async def gateway(folder: Path, url: str) -> tuple[Store, Seat, WebServer, int]:
    """Store, files and the interfaces over HTTP."""
    migrate.upgrade(url)
    store = open_store(url, lambda error: os._exit(1))
    await store.start()
    lease = await store.run(lambda conn: node.register(conn, "bench", time.time()))
    digest = PasswordHasher().hash(PASSWORD)
    seeds = [
        CustomerSeed(
            name,
            name,
            settings={"max_list": RECIPIENTS, "max_recipients": RECIPIENTS},
            users=(UserSeed("erp", login=f"{name}-erp", password_hash=digest),),
        )
        for name in ("acme", "beta")
    ]
    await store.run(lambda conn: directory.seed(conn, seeds))
    files = Files(folder, "bench", lease.incarnation)
    await files.start()
    seat = Seat(store, files, "bench", lease.fence, time.time, {})
    access = Access(store, Passwords(time.monotonic), time.time, time.monotonic, {})
    ground = Ground(store, files, access, Watermark(0), time.time, time.monotonic)
    server = WebServer(WebSettings(listen=Listener("127.0.0.1", 0)), Metrics(), Health())
    settings = ApiSettings(retarus=True, soap=True, max_recipients=5_000)
    jobs = VendorJobs(ground, JobGate(seat), settings, Egress())
    server.mount([*RetarusApi(ground, jobs, settings).routes(), *SoapApi(ground, jobs, settings).routes()])
    listening = await server.start()
    garbage.set_aside()  # as at the end of the gateway's start
    return store, seat, server, listening.port


async def ask(port: int, job: str) -> tuple[float, int, list[str]]:
    """The report of a job: (seconds until it was there, recipients, their states)."""
    async with ClientSession(headers=login("acme"), timeout=ClientTimeout(LIMIT)) as client:
        begun = time.perf_counter()
        async with client.get(f"http://127.0.0.1:{port}/rest/v1/acme/fax/reports/{job}") as answer:
            text = await answer.read()
        took, found = time.perf_counter() - begun, json.loads(text)["recipientStatus"]
    return took, len(found), sorted({one["status"] for one in found})


async def _outside(*arguments: str) -> Any:
    """What a client in a process of its own says: its work is not the gateway's."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.broadcast", *arguments, stdout=asyncio.subprocess.PIPE
    )
    out, _err = await asyncio.wait_for(child.communicate(), LIMIT)
    return json.loads(out)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(LIMIT):
        while not await condition():  # noqa: ASYNC110 - rows are looked at
            await asyncio.sleep(0.05)


async def count(store: Store, job: str, *states: FaxState) -> int:
    chosen = t.faxes.c.state.in_([state.value for state in states])
    query = select(func.count()).where(t.faxes.c.job == job, chosen)
    return int(await store.read(lambda conn: conn.execute(query).scalar_one()))


async def measure(
    recipients: int, folder: Path, *, way: str = "rest", to_the_end: bool = False, url: str = ""
) -> dict[str, Any]:
    """The whole story of one job; on SQLite where no database is named."""
    store, seat, server, port = await gateway(folder, url or f"sqlite:///{folder}/faxgw.db")
    units, client, line = Units(store), Pages(recipients), Line()
    page_client = cast(PageClient, client)
    worker = PageWorker(seat, page_client)
    dispatcher = Dispatcher(seat, Outbound(seat, page_client, line), line, setups_per_second=1_000)
    watching = asyncio.create_task(watch.run())
    sink = Sink()
    outbox = OutboxWorker(seat, {"status_mail": sink, "result_file": sink})
    stations: tuple[Station[Any], ...] = (
        worker.walking,
        worker.renderer.rendering,
        worker.renderer.slicing,
        dispatcher.calling,
    )
    found: dict[str, Any] = {}

    def note(part: str, **facts: Any) -> None:
        longest = round(units.longest.get(part, 0.0) * 1000, 1)
        found[part] = {**facts, "unit_max_ms": longest, **watch.found(part)}
        say(f"{way}, {part}: {found[part]}")

    watch.late.clear()
    watch.part, tasks = "accept", [asyncio.create_task(worker.walking.run())]
    took = await _handed_in(way, port, folder, seat, page_client, recipients)
    await until(lambda: _is_there(store, recipients))
    job = await store.read(lambda conn: str(conn.execute(select(t.jobs.c.id)).scalar_one()))
    note("accept", seconds=round(took, 3))
    if way == "rest":
        watch.part = "report"
        took, shown, waiting = await _outside("--ask", str(port), "--job", job)
        note("report", seconds=round(took, 3), recipients=shown, status=waiting)
    tasks += [asyncio.create_task(station.run()) for station in stations[1:3]]
    watch.part, begun = "render", time.perf_counter()
    await until(lambda: _all_ready(store, job, recipients))
    note("render", seconds=round(time.perf_counter() - begun, 2), documents=client.documents, covers=client.covers)
    watch.part, begun = "dispatch", time.perf_counter()
    tasks.append(asyncio.create_task(stations[3].run()))
    await until(lambda: _reached(line, min(BEFORE_SINGLES, recipients // 4)))
    singles = await _singles(store, port, line)
    if to_the_end:
        await until(lambda: _is_over(store, job))
    calls = len(line.numbers)
    note("dispatch", calls=calls, calls_per_second=round(calls / (time.perf_counter() - begun), 1), singles=singles)
    if to_the_end:
        watch.part = "end"
        stations = (*stations, outbox.delivering)
        tasks.append(asyncio.create_task(outbox.delivering.run()))
        await until(lambda: _is_told(sink, recipients))
        note("end", **await _outcome(store, job, line))
    for station in stations:
        await station.stop(5.0)
    await asyncio.gather(*tasks)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await server.stop(1.0)
    await seat.files.close()
    await store.close()
    return found


async def _handed_in(way: str, port: int, folder: Path, seat: Seat, client: PageClient, recipients: int) -> float:
    """Hand the job in; seconds until its sender had the promise."""
    size = ("--recipients", str(recipients))
    if way == "mail":
        return await by_mail(seat, client)
    if way == "sftp":
        watch.part = "start"  # a server is started before its clients come
        async with sftp_server(folder, seat, JobGate(seat)) as sftp_port:
            watch.part = "accept"
            return float(await _outside("--send", str(sftp_port), "--way", way, *size))
    return float(await _outside("--send", str(port), "--way", way, *size))


async def _is_there(store: Store, recipients: int) -> bool:
    query = select(func.count()).select_from(t.faxes)
    return int(await store.read(lambda conn: conn.execute(query).scalar_one())) == recipients


async def _is_over(store: Store, job: str) -> bool:
    query = select(t.jobs.c.open).where(t.jobs.c.id == job)
    return int(await store.read(lambda conn: conn.execute(query).scalar_one())) == 0


async def _is_told(sink: Sink, recipients: int) -> bool:
    return recipients in sink.mails


async def _outcome(store: Store, job: str, line: Line) -> dict[str, Any]:
    """In what the faxes of the job ended, what goes out about it, and how often each number was called."""
    states = select(t.faxes.c.state, func.count()).where(t.faxes.c.job == job).group_by(t.faxes.c.state)
    items = select(t.outbox.c.kind, func.count()).where(t.outbox.c.job == job).group_by(t.outbox.c.kind)
    rows = await store.read(lambda conn: [tuple(row) for row in conn.execute(states)])
    told = await store.read(lambda conn: [tuple(row) for row in conn.execute(items)])
    twice = len(line.numbers) - len(set(line.numbers))
    return {"faxes": dict(rows), "reports": dict(told), "numbers_called_twice": twice}


async def _all_ready(store: Store, job: str, recipients: int) -> bool:
    return await count(store, job, FaxState.READY) == recipients


async def _reached(line: Line, calls: int) -> bool:
    return len(line.numbers) >= calls


async def _singles(store: Store, port: int, line: Line) -> dict[str, dict[str, float]]:
    """How long single faxes wait while the broadcast runs: seconds, and calls that began before theirs."""
    asked = {
        "other customer": ("beta", "+33188000001", False),
        "same customer": ("acme", "+33188000002", False),
        "same customer, express": ("acme", "+33188000003", True),
    }
    found = {}
    for name, (customer, number, express) in asked.items():
        job, _took = await by_rest(port, customer, rest_job([number], express=express))
        await until(lambda job=job: _is_ready(store, job))  # type: ignore[misc]
        before, begun = len(line.numbers), time.perf_counter()
        while number not in line.numbers:  # noqa: ASYNC110 - the line is looked at
            await asyncio.sleep(0.002)
        place = line.numbers.index(number)
        found[name] = {"calls_before": max(0, place - before), "seconds": round(time.perf_counter() - begun, 3)}
    return found


async def _is_ready(store: Store, job: str) -> bool:
    return await count(store, job, FaxState.ACCEPTED, FaxState.RENDERING) == 0


async def _hand_in(way: str, port: int, recipients: int) -> float:
    """What the client in a process of its own does."""
    numbers = [number_of(place) for place in range(recipients)]
    if way == "soap":
        return await by_soap(port, numbers)
    if way == "sftp":
        return await by_sftp(port, numbers)
    _job, took = await by_rest(port, "acme", rest_job(numbers, cover=True, mail=True))
    return took


async def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.broadcast", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="1,000 recipients")
    parser.add_argument("--all", action="store_true", help="until the last recipient has his fax, by every way")
    parser.add_argument("--recipients", type=int, default=0, help="instead of 5,000")
    parser.add_argument("--way", choices=WAYS, help="by this way only")
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), default="sqlite", help="of the store")
    parser.add_argument("--send", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--ask", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--job", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ask:
        print(json.dumps(await ask(options.ask, options.job)))
        return
    recipients = options.recipients or (1_000 if options.quick else RECIPIENTS)
    if options.send:
        print(json.dumps(await _hand_in(options.way, options.send, recipients)))
        return
    found: dict[str, Any] = {}
    for way in [options.way] if options.way else WAYS:
        with tempfile.TemporaryDirectory(prefix="faxgw-bench-", dir=workplace()) as name:
            to_the_end = options.all or way == "rest"
            with database(options.engine, Path(name), "faxgw") as url:
                found[way] = await measure(recipients, Path(name), way=way, to_the_end=to_the_end, url=url)
    facts = {"recipients": recipients, "engine": options.engine, "channels": CHANNELS, "call_s": CALL_S}
    finish("broadcast", {**facts, **found})


if __name__ == "__main__":
    asyncio.run(main())
