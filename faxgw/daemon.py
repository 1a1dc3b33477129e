"""The composition root: builds every part, starts inside-out, stops outside-in (docs/architecture.md).

Holds the table of adapters. Nothing else knows more than its own layer and the ports it was handed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any  # Any: the status as JSON

from aiohttp.web import AbstractRouteDef
from pydantic import Field
from sqlalchemy import Connection

from faxgw import __version__, metrics
from faxgw.api.access import Access
from faxgw.api.admin import AdminRoutes
from faxgw.api.control import ControlServer, Operations
from faxgw.api.http import Ground, Maintenance
from faxgw.api.retarus import RetarusApi
from faxgw.api.settings import ApiSettings
from faxgw.delivery.mail import MailDelivery, RelaySettings
from faxgw.dispatch import inbound, upkeep
from faxgw.dispatch.clock import ClockWatch
from faxgw.dispatch.dispatcher import Dispatcher
from faxgw.dispatch.explain import Explainer
from faxgw.dispatch.fetching import Fetcher
from faxgw.dispatch.gate import Gate
from faxgw.dispatch.inbound import Inbound
from faxgw.dispatch.jobs import JobGate
from faxgw.dispatch.live import calls_in_progress
from faxgw.dispatch.outbound import Outbound
from faxgw.dispatch.outbox import OutboxWorker
from faxgw.dispatch.recordings import RecordingKeeper
from faxgw.dispatch.routes import Routes, RouteSettings
from faxgw.dispatch.routes import named as named_trunks
from faxgw.dispatch.seat import Seat
from faxgw.dispatch.station import POLL, Station
from faxgw.dispatch.worker import PageWorker
from faxgw.document.client import PageClient
from faxgw.document.types import PageSettings, Sandbox, Use
from faxgw.egress import Egress
from faxgw.fax.access import OPERATOR
from faxgw.fax.errors import FaxError
from faxgw.fax.job import FINAL, FaxState
from faxgw.fax.outcome import Outcome
from faxgw.fax.ports import Parcel
from faxgw.fax.route import Route
from faxgw.intake import directory_settings
from faxgw.intake.directory_import import DirectoryImports
from faxgw.intake.directory_settings import DirectorySettings
from faxgw.intake.smtp import Bound, SmtpServer
from faxgw.intake.smtp_mail import Counters
from faxgw.intake.smtp_settings import SmtpSettings
from faxgw.line.ladder import describe_frame
from faxgw.line.recordings import as_pcap
from faxgw.line.sip import SipLine
from faxgw.line.trunk import SipSettings, TrunkSettings
from faxgw.settings import ByteSize, Duration, Listener, LogSettings, Many, Section, Settings
from faxgw.store import ledger, migrate, node, outbox, queue, routing, seed
from faxgw.store.directory import passwords
from faxgw.store.engine import Leadership, Store, open_store
from faxgw.store.errors import StoreError
from faxgw.store.files import Files
from faxgw.store.location import DatabaseSection
from faxgw.store.passwords import Passwords
from faxgw.store.recordings import RecordingFolder
from faxgw.store.seed import AccountSection, CustomerSection
from faxgw.store.space import Ballast, Watermark
from faxgw.webserver import Health, PartState, WebServer, WebSettings

log = logging.getLogger(__name__)

SUMMARY_WITHIN = 2.0
"""Seconds that counting for the status line may take."""
CLOSING = 30.0
"""Seconds that closing everything may take after the graces: BYEs, workers, the database."""
SMTP_GRACE = 10.0
"""Seconds that mails already begun may take at an orderly stop."""
STATION_GRACE = 30.0
"""Seconds that conversions and deliveries may take at an orderly stop."""
BALLAST = "ballast"
"""Name of the ballast file in the data folder."""


ALONE = (
    "The database is in use by another gateway ({}). Several gateways need a store of documents that they share, "
    "which this release does not have."
)
"""Why a second node does not start: it would not find the first one's documents."""


class StartFailed(FaxError):
    """The gateway could not start; the text names the reason."""

    default_temporary = False


class NodeSettings(Section):
    """`[node]`: this machine."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,32}$")] = "main"
    """Name of the node: lower-case letters, digits, hyphens."""
    data: Path = Path("/var/lib/faxgw")
    """Folder of the database and the documents."""
    grace: Duration = Duration(900)
    """How long an orderly stop waits for calls to finish."""
    ballast: ByteSize = ByteSize(67_108_864)
    """Size of the file that is given up when the disk is full, so that states can still be written."""
    setups_per_second: Annotated[float, Field(gt=0, le=100)] = 5.0
    """Pace of new calls."""


class PagesSection(Section):
    """`[pages]`: the page processes."""

    sandbox: Sandbox = Sandbox.AUTO
    """`auto`, `bubblewrap`, `unshare`; `none` only where nothing else works."""
    children: Annotated[int, Field(ge=1, le=64)] = 2
    """Documents converted at the same time."""
    office: Use = Use.AUTO
    """`auto`: LibreOffice converts Office documents where it is installed; `on`: it must be; `off`: it does not."""
    offices: Annotated[int, Field(ge=1, le=16)] = 1
    """LibreOffices at the same time, each for one document and with up to 1.5 GB of memory."""
    socket: Path | None = Field(default=None, examples=["/run/faxgw/pages.sock"])
    """Socket of a page service (`faxgw pages`) that is confined by itself; none: the gateway starts its own."""

    def client_settings(self) -> PageSettings:
        """What the client of the page processes wants to know."""
        return PageSettings(self.sandbox, self.children, office=self.office, offices=self.offices, socket=self.socket)


SECTIONS: Mapping[str, type[Section] | Many] = {
    "node": NodeSettings,
    "database": DatabaseSection,
    "log": LogSettings,
    "smtp": SmtpSettings,
    "http": WebSettings,
    "api": ApiSettings,
    "relay": RelaySettings,
    "pages": PagesSection,
    "sip": SipSettings,
    "trunk": Many(TrunkSettings),
    "route": Many(RouteSettings),
    "settings": AccountSection,
    "customer": Many(CustomerSection),
    "directory": Many(DirectorySettings),
}
"""Every table of the settings file."""


class Daemon:
    """One running gateway.

    Args:
        settings: Checked settings.
    """

    def __init__(self, settings: Settings) -> None:
        self._node = settings.one("node", NodeSettings)
        self._database = settings.one("database", DatabaseSection)
        self._lead: Leadership | None = None
        self._customers = settings.many("customer", CustomerSection)
        self._directories = settings.many("directory", DirectorySettings)
        self._account = settings.one("settings", AccountSection)
        self._smtp_settings = settings.one("smtp", SmtpSettings)
        self._pages_settings = settings.one("pages", PagesSection)
        self._sip = settings.one("sip", SipSettings)
        self._trunks = settings.many("trunk", TrunkSettings)
        self._route_settings = settings.many("route", RouteSettings)
        self._relay = settings.one("relay", RelaySettings)
        self._api = settings.one("api", ApiSettings)
        self._system = dict(self._account.values)
        self._ways: dict[str, MailDelivery] = {}
        self._seat: Seat | None = None
        self._dispatcher: Dispatcher | None = None
        self.metrics = metrics.Metrics()
        self.health = Health()
        self._web_settings = settings.one("http", WebSettings)
        self.web = WebServer(self._web_settings, self.metrics, self.health)
        self._maintenance = Maintenance()
        self._passwords = Passwords(time.monotonic)
        self._control_routes: Sequence[AbstractRouteDef] = ()
        self.failed = asyncio.Event()
        """Set when the gateway must end at once and recover at its next start."""
        self.web_address: Listener | None = None
        self.smtp_addresses: list[Bound] = []
        self._started_at = 0.0
        self._stack = contextlib.AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._stations: list[Station[Any]] = []
        self._outbound: Outbound | None = None
        self._inbound: Inbound | None = None
        self._line: SipLine | None = None
        self._routes: Routes | None = None
        self._recordings: RecordingKeeper | None = None
        self._dead_letters = 0
        self._smtp: SmtpServer | None = None

    @property
    def smtp_port(self) -> int:
        """Port of the first SMTP listener, once it listens."""
        return self.smtp_addresses[0].port

    # ----------------------------------------------------------------------------------------------------- start

    async def start(self) -> None:
        """Start everything, inside-out. On failure what was started is stopped again.

        Raises:
            FaxError: With a public text that says what is missing.
        """
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise

    async def _start(self) -> None:
        self._started_at = time.time()
        data = self._node.data
        lock = await asyncio.to_thread(node.FolderLock, data)
        self._stack.callback(lock.release)
        seat, lease = await self._open_store(data)
        pages = PageClient(self._pages_settings.client_settings())
        self._stack.push_async_callback(pages.close)
        await pages.start()
        line = SipLine(self._sip, self._trunks)
        await line.start()
        self._stack.push_async_callback(line.stop)
        self._line = line
        clock = ClockWatch(seat)
        await clock.look_at_journal()
        self.health.add("clock", lambda: PartState(clock.trusted, "" if clock.trusted else "the clock has jumped"))
        await upkeep.recover(seat, line)
        await inbound.recover(seat, line)
        await upkeep.sweep_files(seat)
        watermark = Watermark(int(self._smtp_settings.message_limit))
        self._build_dispatch(seat, pages, line, watermark)
        self._recordings = keeper = self._build_recordings(seat, line, watermark)
        self._stack.callback(self._passwords.close)
        gate = Gate(seat, watermark, self._passwords)
        self._mount(self._build_ground(seat, watermark))
        await self._open_doors(seat, gate, data, clock)
        self._tasks.append(asyncio.create_task(keeper.prune_for_ever(), name="recordings"))
        self._tasks.append(asyncio.create_task(clock.watch(), name="clock"))
        self._tasks.append(asyncio.create_task(upkeep.keep_lease(seat, lease, self.failed.set), name="lease"))
        self._tasks.append(asyncio.create_task(upkeep.keep_order(seat, lambda: clock.trusted), name="upkeep"))
        lag = metrics.sample_event_loop_lag(self.metrics)
        self._tasks.append(asyncio.create_task(lag, name="loop lag"))
        log.info("gateway runs", extra={"event": "gateway.started", "version": __version__, "node": seat.node})

    async def _open_store(self, data: Path) -> tuple[Seat, node.Lease]:
        url = self._database.location(data)
        migrated = await asyncio.to_thread(migrate.upgrade, url)
        log.info("database ready", extra={"event": "store.migrated", "what": str(migrated)})
        ballast = Ballast(data / BALLAST, int(self._node.ballast))
        store = open_store(url, self._store_failed, ballast.release)
        await store.start()
        self._stack.push_async_callback(store.close)
        await asyncio.to_thread(ballast.restore, int(self._smtp_settings.message_limit))
        name = self._node.name
        if others := await store.run(lambda conn: node.living(conn, name)):
            raise StartFailed(f"nodes {', '.join(others)} are alive", public=ALONE.format(", ".join(others)))
        lease = await store.run(lambda conn: node.register(conn, name, time.time()))
        self._lead = await self._stack.enter_async_context(store.lead("dispatcher"))
        files = Files(data, name, lease.incarnation)
        await files.start()
        self._stack.push_async_callback(files.close)
        await self._lay_seed(store, self._customers)
        self.health.add("store", lambda: PartState(not self.failed.is_set()))
        self.metrics.before_scrape(lambda: self._refresh(store))
        self._seat = Seat(store, files, name, lease.fence, time.time, self._system)
        return self._seat, lease

    async def _lay_seed(self, store: Store, customers: Sequence[CustomerSection]) -> None:
        seeds, clear = seed.to_seed(customers)
        known = await store.read(passwords)
        hashed = await asyncio.to_thread(seed.hash_passwords, known, clear)
        await store.run(lambda conn: seed.lay(conn, seeds, hashed))

    def _store_failed(self, error: StoreError) -> None:
        log.critical("database failed", extra={"event": "store.fatal", "why": str(error)})
        self.failed.set()

    def _build_recordings(self, seat: Seat, line: SipLine, watermark: Watermark) -> RecordingKeeper:
        folder = RecordingFolder(self._node.data)
        forms: Mapping[str, Callable[[bytes], bytes]] = {"pcap": as_pcap, "recording": bytes}
        keeper = RecordingKeeper(seat, folder, watermark, float(self._sip.record_keep), forms)
        line.record_to(keeper)
        return keeper

    def _calls(self) -> list[Mapping[str, Any]]:
        leaving = self._outbound.live.values() if self._outbound else ()
        return calls_in_progress(leaving, self._inbound.live.values() if self._inbound else ())

    def _build_dispatch(self, seat: Seat, pages: PageClient, line: SipLine, watermark: Watermark) -> None:
        worker = PageWorker(seat, pages, self._count_rendering)
        routes = self._routes = Routes(line, _routes(self._route_settings))
        self._outbound = Outbound(seat, pages, line, self._count_call, describe_frame, self._count_page, routes)
        lead = self._lead
        dispatcher = self._dispatcher = Dispatcher(
            seat, self._outbound, line, self._node.setups_per_second, lambda: lead is not None and lead.held, routes
        )
        dispatcher.calling.places = max(1, sum(line.channels.values()))
        self._tasks.append(asyncio.create_task(self._follow_lead(dispatcher), name="leadership"))
        self._ways = self._ways_out(self._relay)
        deliveries = OutboxWorker(seat, self._ways, lambda parcel: self._count_dead(), self._count_delivery)
        self._inbound = Inbound(seat, pages, watermark, self._count_reception, describe_frame)
        self._stations = [
            dispatcher.calling, worker.rendering, worker.walking, self._inbound.routing, deliveries.delivering
        ]  # fmt: skip
        for station in self._stations:
            self._tasks.append(asyncio.create_task(station.run(), name=f"station {station.name}"))
        self._tasks.append(asyncio.create_task(self._outbound.watch_wishes(), name="wishes"))
        line.tell_changes(dispatcher.calling.wake)
        self.health.add("line", partial(_line_state, line))
        self.health.add(
            "delivery", lambda: PartState(self._dead_letters == 0, "reports were given up" * (self._dead_letters > 0))
        )

    def _explainer(self, seat: Seat) -> Callable[[str, str, str], Awaitable[Mapping[str, Any]]] | None:
        """Answers what the next call to a number will do; None without a line."""
        if self._routes is None or self._line is None:
            return None
        return Explainer(seat, self._routes, self._line).explain

    def _ways_out(self, relay: RelaySettings) -> dict[str, MailDelivery]:
        mail = MailDelivery(relay, self._smtp_settings.hostname or socket.gethostname())
        return dict.fromkeys(mail.kinds, mail)

    def _build_ground(self, seat: Seat, watermark: Watermark) -> Ground:
        """What the HTTP interfaces stand on."""
        access = Access(seat.store, self._passwords, time.time, time.monotonic, seat.system)
        web = self._web_settings
        return Ground(
            seat.store,
            seat.files,
            access,
            watermark,
            time.time,
            time.monotonic,
            proxies=web.proxies,
            plain_logins=web.plain_logins,
            maintenance=self._maintenance,
        )

    def _mount(self, ground: Ground) -> None:
        """Mount the route tables of the HTTP interfaces."""
        imports = DirectoryImports(ground.store, self._directories, time.time, self._system)
        self._tasks.append(asyncio.create_task(imports.run(), name="directories"))
        admin = AdminRoutes(ground, self._passwords, self._system, imports)
        self._control_routes = admin.control_routes(OPERATOR)
        self.web.mount(admin.routes())
        if self._api.retarus and self._seat is not None:
            egress = Egress(self._api.fetch_networks)
            fetching = Fetcher(self._seat, egress, int(self._api.fetch_limit)).fetching
            self._stations.append(fetching)
            self._tasks.append(asyncio.create_task(fetching.run(), name=f"station {fetching.name}"))
            retarus = RetarusApi(ground, JobGate(self._seat), self._api, egress)
            self.web.mount(retarus.routes())
            self._tasks.append(asyncio.create_task(retarus.forget_for_ever(), name="reports"))

    async def _open_doors(self, seat: Seat, gate: Gate, data: Path, clock: ClockWatch) -> None:
        operations = Operations(
            seat.store,
            seat.files,
            gate,
            seat,
            time.time,
            self.status,
            seat.system,
            confirm_clock=clock.confirm,
            explain=self._explainer(seat),
            calls=self._calls,
            recordings=self._recordings,
            accounts=self._control_routes,
        )
        control = ControlServer(data, operations)
        await control.start()
        self._stack.push_async_callback(control.stop)
        self.web_address = await self.web.start()
        self._stack.push_async_callback(self.web.stop)
        counters = Counters(session=self._count_session)
        self._smtp = SmtpServer(self._smtp_settings, gate, seat.files, counters, dsn=True)
        self.smtp_addresses = await self._smtp.start()
        if self._line is not None and self._inbound is not None:
            self._line.take_calls(self._inbound)

    async def _follow_lead(self, dispatcher: Dispatcher) -> None:
        """Look at the waiting faxes at once whenever this node becomes the dispatcher of all nodes."""
        lead = self._lead
        while lead is not None:
            await lead.gained()
            dispatcher.calling.wake()
            await lead.lost()

    # ---------------------------------------------------------------------------------------------------- reload

    async def reload(self, settings: Settings) -> None:
        """Take on what `reload.TAKEN_ON` names; calls and connections go on.

        When it fails, certificates may be the new ones; all else is as it was.

        Args:
            settings: Checked settings.

        Raises:
            FaxError: If the customers cannot be written down.
            OSError: If a certificate cannot be used.
        """
        seat, smtp = self._seat, self._smtp
        if seat is None or smtp is None or self._line is None or self._dispatcher is None:
            raise StartFailed("not started")
        ways = self._ways_out(settings.one("relay", RelaySettings))
        web_tls, smtp_tls = settings.one("http", WebSettings).tls, settings.one("smtp", SmtpSettings).tls
        smtp.reload_tls(smtp_tls)
        if web_tls is not None:
            self.web.reload_tls(web_tls)
        self._line.reload_tls(settings.one("sip", SipSettings).tls)
        await self._lay_seed(seat.store, settings.many("customer", CustomerSection))
        self._ways.update(ways)
        self._system.clear()
        self._system.update(settings.one("settings", AccountSection).values)
        grace = settings.one("node", NodeSettings).grace
        self._node = self._node.model_copy(update={"grace": grace})
        trunks = settings.many("trunk", TrunkSettings)
        self._line.adjust(trunks)
        if self._routes is not None:
            self._routes.adjust(_routes(settings.many("route", RouteSettings)))
        self._dispatcher.calling.places = max(1, sum(trunk.channels for trunk in trunks))
        self._dispatcher.calling.wake()

    # ------------------------------------------------------------------------------------------------------ stop

    @property
    def grace(self) -> float:
        """Seconds that `stop` takes at most."""
        return SMTP_GRACE + float(self._node.grace) + STATION_GRACE + CLOSING

    async def stop(self) -> None:
        """Stop outside-in: no new mail, no new call, calls finish within the grace, then everything closes."""
        log.info("gateway stops", extra={"event": "gateway.stopping"})
        if self._smtp is not None:
            await self._smtp.stop(SMTP_GRACE)
        grace = float(self._node.grace)
        calling = [station.stop(grace) for station in self._stations if station.name == "call"]
        await asyncio.gather(*calling, *([] if self._line is None else [self._line.drain(grace)]))
        await asyncio.gather(*(station.stop(STATION_GRACE) for station in self._stations))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stack.aclose()
        log.info("gateway stopped", extra={"event": "gateway.stopped"})

    # ------------------------------------------------------------------------------------------------- observing

    async def pulse(self, within: float) -> str:
        """What gives no sign of life within so many seconds; empty when all is well.

        Asks the store to write and to read, and looks whether every station still looks for work. An error is a
        sign of life: a database that is away is no reason to kill a gateway that waits for it.
        """
        if self._seat is None:
            return "not started"
        for way in (self._seat.store.run, self._seat.store.read):
            try:
                async with asyncio.timeout(within):
                    await way(_nothing)
            except TimeoutError:
                return "the store does not answer"
            except StoreError as exc:
                log.warning("no pulse of the store", extra={"event": "pulse.store", "why": str(exc)})
        now = time.monotonic()
        slow = [station.name for station in self._stations if now - station.looked_at > POLL + within]
        return f"{', '.join(slow)}: no look at what waits" if slow else ""

    async def summary(self) -> str:
        """One line for the service manager."""
        live = len(self._outbound.live) if self._outbound else 0
        if self._seat is None:
            return ""
        try:
            async with asyncio.timeout(SUMMARY_WITHIN):
                counts = await self._seat.store.read(queue.count_by_state)
        except (StoreError, TimeoutError):
            return f"{live} calls in progress, database away"
        waiting = sum(number for state, number in counts.items() if state != FaxState.CALLING.value)
        return f"{live} calls in progress, {waiting} faxes waiting"

    def _count_call(self, trunk: str, outcome: Outcome) -> None:
        transport = outcome.transport or "none"
        self.metrics.calls.labels(trunk, "out", transport, outcome.cause.value).inc()
        if outcome.answered_at is not None:
            self.metrics.call_duration.labels("out").observe(outcome.duration)
            self.metrics.answer_duration.labels(trunk).observe(max(0.0, outcome.answered_at - outcome.started_at))
        if outcome.bit_rate:
            self.metrics.negotiated_rate.labels("out").observe(outcome.bit_rate)
        self.metrics.ecm_retries.labels("out").inc(outcome.ecm_retries)

    def _count_page(self, ecm: bool, seconds: float) -> None:
        self.metrics.pages.labels("out", "ecm" if ecm else "no_ecm").inc()
        self.metrics.page_duration.labels("out").observe(seconds)

    def _count_rendering(self, kind: str, seconds: float) -> None:
        self.metrics.render_duration.labels(kind).observe(seconds)

    def _count_delivery(self, parcel: Parcel, seconds: float) -> None:
        self.metrics.delivery_latency.labels(parcel.kind).observe(seconds)

    def _count_reception(self, trunk: str, outcome: Outcome, pages: int) -> None:
        transport = outcome.transport or "none"
        self.metrics.calls.labels(trunk, "in", transport, outcome.cause.value).inc()
        if outcome.answered_at is not None:
            self.metrics.call_duration.labels("in").observe(outcome.duration)
        if outcome.bit_rate:
            self.metrics.negotiated_rate.labels("in").observe(outcome.bit_rate)
        self.metrics.ecm_retries.labels("in").inc(outcome.ecm_retries)
        if pages:
            self.metrics.pages.labels("in", "ecm" if outcome.ecm else "no_ecm").inc(pages)

    def _count_session(self, result: str) -> None:
        self.metrics.smtp_sessions.labels(result).inc()

    def _count_dead(self) -> None:
        self._dead_letters += 1

    async def _refresh(self, store: Store) -> None:
        now = time.time()
        counts = await store.read(queue.count_by_state)
        self.metrics.jobs.clear()
        for open_state in set(FaxState) - FINAL:
            self.metrics.jobs.labels("out", open_state.value).set(counts.get(open_state.value, 0))
        for state, number in (await store.read(routing.count_by_state)).items():
            self.metrics.jobs.labels("in", state).set(number)
        for priority, at in (await store.read(lambda conn: ledger.oldest_callable(conn, now=now))).items():
            self.metrics.queue_oldest.labels(priority).set(now - at if at else 0.0)
        oldest = await store.read(outbox.oldest_open)
        self.metrics.delivery_oldest.set(now - oldest if oldest else 0.0)
        if self._line is not None and self._outbound is not None:
            arriving = self._inbound.live.values() if self._inbound is not None else ()
            for trunk, limit in self._line.channels.items():
                used = sum(1 for call in (*self._outbound.live.values(), *arriving) if call.trunk == trunk)
                self.metrics.trunk_limit.labels(trunk).set(limit)
                self.metrics.trunk_channels.labels(trunk).set(used)

    def status(self) -> Mapping[str, Any]:
        """What the operator sees first."""
        live = self._outbound.live.values() if self._outbound else ()
        arriving = self._inbound.live.values() if self._inbound else ()
        return {
            "version": __version__,
            "node": self._node.name,
            "started_at": self._started_at,
            "data": str(self._node.data),
            "smtp": [f"{place.host}:{place.port}" for place in self.smtp_addresses],
            "http": str(self.web_address),
            "trunks": dict(self._line.channels) if self._line else {},
            "trunk_faults": dict(self._line.faults) if self._line else {},
            "sip_port": self._line.port if self._line else 0,
            "health": {name: {"ok": s.ok, "detail": s.detail} for name, s in self.health.check().items()},
            "calls": [
                {
                    "attempt": call.attempt,
                    "fax": call.fax,
                    "number": call.number,
                    "trunk": call.trunk,
                    "started_at": call.started_at,
                    "pages": call.pages,
                    "phase": call.progress.phase,
                    "page": call.progress.page,
                    "remote_ident": call.progress.remote_ident,
                }
                for call in live
            ],
            "receptions": [
                {
                    "reception": call.reception,
                    "number": call.number,
                    "caller": call.caller,
                    "trunk": call.trunk,
                    "started_at": call.started_at,
                    "pages": call.pages,
                    "phase": call.progress.phase,
                    "page": call.progress.page,
                    "remote_ident": call.progress.remote_ident,
                }
                for call in arriving
            ],
        }


def _routes(entries: Sequence[RouteSettings]) -> list[Route]:
    return [route for entry in entries for route in entry.routes()]


def _line_state(line: SipLine) -> PartState:
    """At fault when no trunk takes calls; which ones do not, and why, in any case."""
    faults, channels = line.faults, line.channels
    detail = "; ".join(f"{name}: {fault}" for name, fault in faults.items())
    return PartState(len(faults) < len(channels), detail or ("" if channels else "no trunk"))


def _nothing(conn: Connection) -> None:
    """A unit that only passes through the store."""


def cross_check(settings: Settings) -> list[str]:
    """Faults between the tables, which no table can see alone."""
    found = seed.faults(settings.many("customer", CustomerSection))
    found += directory_settings.faults(settings.many("directory", DirectorySettings))
    trunks = [trunk.name for trunk in settings.many("trunk", TrunkSettings)]
    found += [f"trunk {name} stands twice" for name in {n for n in trunks if trunks.count(n) > 1}]
    named = {
        value
        for c in settings.many("customer", CustomerSection)
        for table in (c.settings, *c.profile.values(), *(u.settings for u in c.user), *(n.settings for n in c.number))
        for value in named_trunks(str(table.get("trunk", "")))
    }
    named |= set(named_trunks(str(settings.one("settings", AccountSection).values.get("trunk", ""))))
    found += [f"there is no trunk {name}, which an account names" for name in sorted(named - set(trunks))]
    routed = {route.trunk for route in settings.many("route", RouteSettings)}
    found += [f"there is no trunk {name}, which a route names" for name in sorted(routed - set(trunks))]
    found += _unowned(settings)
    if not trunks:
        found.append("there is no [[trunk]]: nothing can be sent")
    if not settings.many("customer", CustomerSection):
        found.append("there is no [[customer]]: nobody may send")
    return found


def _unowned(settings: Settings) -> list[str]:
    """Numbers whose faxes nobody would get: calls to them would be refused."""
    values = settings.one("settings", AccountSection).values
    found = []
    for customer in settings.many("customer", CustomerSection):
        for number in customer.number:
            profile = customer.profile.get(number.profile or "", {})
            levels = (values, customer.settings, profile, number.own_settings)
            if not any(level.get(key) for level in levels for key in ("deliver_to", "fallback_mailbox")):
                found.append(
                    f"number {number.e164} has neither deliver_to nor a fallback_mailbox: nobody gets its faxes"
                )
    return found
