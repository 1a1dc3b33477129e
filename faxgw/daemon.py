"""The composition root: builds every part, starts inside-out, stops outside-in (docs/architecture.md).

Holds the table of adapters. Nothing else knows more than its own layer and the ports it was handed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any  # Any: the status as JSON

from sqlalchemy import Connection

from faxgw import __version__, metrics
from faxgw.api.access import Access
from faxgw.api.control import ControlServer, Operations
from faxgw.api.http import Ground, Maintenance
from faxgw.delivery.dkim import DkimSettings, Signer
from faxgw.delivery.mail import MailDelivery, RelaySettings
from faxgw.delivery.mail_documents import MailDocuments
from faxgw.delivery.mail_route import MailRoutes, MailRouteSettings
from faxgw.delivery.mail_ways import MailWays
from faxgw.dispatch import inbound, upkeep
from faxgw.dispatch.clock import ClockWatch
from faxgw.dispatch.dispatcher import Dispatcher
from faxgw.dispatch.documents import Documents
from faxgw.dispatch.explain import Explainer
from faxgw.dispatch.gate import Gate
from faxgw.dispatch.inbound import Arriving, Inbound
from faxgw.dispatch.jobs import JobGate
from faxgw.dispatch.live import calls_in_progress
from faxgw.dispatch.mail_styles import MailStyles
from faxgw.dispatch.outbound import Live, Outbound
from faxgw.dispatch.outbox import OutboxWorker
from faxgw.dispatch.recordings import RecordingKeeper
from faxgw.dispatch.report_pages import ReportPages
from faxgw.dispatch.routes import Routes, RouteSettings
from faxgw.dispatch.seat import Seat
from faxgw.dispatch.station import POLL, Station
from faxgw.dispatch.worker import PageWorker
from faxgw.document.client import PageClient
from faxgw.fax.errors import FaxError
from faxgw.fax.job import FaxState
from faxgw.fax.ports import Delivery
from faxgw.fax.route import Route
from faxgw.fax.target import Target
from faxgw.formats.received_payload import ReceivedFacts
from faxgw.intake.smtp import SmtpServer
from faxgw.intake.smtp_door import Bound
from faxgw.intake.smtp_mail import Counters
from faxgw.intake.smtp_settings import SmtpSettings
from faxgw.line.ladder import describe_frame
from faxgw.line.recordings import as_pcap
from faxgw.line.sip import SipLine
from faxgw.line.trunk import SipSettings, TrunkSettings
from faxgw.observing import Counting, calls_of_the_status
from faxgw.parts import PARTS
from faxgw.parts.house import House
from faxgw.reload import Current
from faxgw.settings import Listener, Settings
from faxgw.store import migrate, node, queue, seed, targets
from faxgw.store.directory import passwords
from faxgw.store.engine import Leadership, Store, open_store
from faxgw.store.errors import StoreError
from faxgw.store.files import Files
from faxgw.store.location import DatabaseSection
from faxgw.store.passwords import Passwords
from faxgw.store.received_facts import facts_of
from faxgw.store.recordings import RecordingFolder
from faxgw.store.seed import AccountSection, CustomerSection
from faxgw.store.space import Ballast, Watermark
from faxgw.tables import NodeSettings, PagesSection
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


class Daemon:
    """One running gateway.

    Args:
        settings: Checked settings.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._node = settings.one("node", NodeSettings)
        self._database = settings.one("database", DatabaseSection)
        self._lead: Leadership | None = None
        self._customers = settings.many("customer", CustomerSection)
        self._account = settings.one("settings", AccountSection)
        self._smtp_settings = settings.one("smtp", SmtpSettings)
        self._pages_settings = settings.one("pages", PagesSection)
        self._sip = settings.one("sip", SipSettings)
        self._trunks = settings.many("trunk", TrunkSettings)
        self._route_settings = settings.many("route", RouteSettings)
        self._system = Current(self._account.values)
        self._ways: dict[str, Delivery] = {}
        self._mail_ways = MailWays(time.time)
        self._house: House | None = None
        self._seat: Seat | None = None
        self._dispatcher: Dispatcher | None = None
        self.metrics = metrics.Metrics()
        self._counting = Counting(self.metrics)
        self.health = Health()
        self._web_settings = settings.one("http", WebSettings)
        self.web = WebServer(self._web_settings, self.metrics, self.health)
        self._maintenance = Maintenance()
        self._passwords = Passwords(time.monotonic)
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
        pages = PageClient(self._pages_settings.client_settings(), self._counting.conversion)
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
        gate = Gate(seat, watermark, self._passwords, pages)
        house = await self._start_parts(seat, gate, pages, line, watermark)
        await self._open_doors(house, gate, data, clock)
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
        await self._lay_seed(store, self._customers, self._system)
        self.health.add("store", lambda: PartState(not self.failed.is_set()))
        self.metrics.before_scrape(lambda: self._counting.refresh(store, self._line, *self._live(), now=time.time()))
        self._seat = Seat(store, files, name, lease.fence, time.time, self._system)
        return self._seat, lease

    async def _lay_seed(self, store: Store, customers: Sequence[CustomerSection], system: Mapping[str, Any]) -> None:
        seeds, clear = seed.to_seed(customers)
        known = await store.read(passwords)
        hashed = await asyncio.to_thread(seed.hash_passwords, known, clear)
        await store.run(lambda conn: seed.lay(conn, seeds, hashed, system))

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
        return calls_in_progress(*self._live())

    def _build_dispatch(self, seat: Seat, pages: PageClient, line: SipLine, watermark: Watermark) -> None:
        counting = self._counting
        worker = PageWorker(seat, pages, self._counting.rendering)
        routes = self._routes = Routes(
            line,
            _routes(self._route_settings),
            [trunk.name for trunk in self._trunks if trunk.sandbox],
            {trunk.name: trunk.customer for trunk in self._trunks if trunk.customer},
        )
        self._outbound = Outbound(seat, pages, line, self._counting.call, describe_frame, self._counting.page, routes)
        self._stack.push_async_callback(self._outbound.close)
        lead = self._lead
        dispatcher = self._dispatcher = Dispatcher(
            seat, self._outbound, line, self._node.setups_per_second, lambda: lead is not None and lead.held, routes
        )
        dispatcher.calling.places = max(1, sum(line.channels.values()))
        self._tasks.append(asyncio.create_task(self._follow_lead(dispatcher), name="leadership"))
        self._ways = self._ways_out(self._settings)
        deliveries = OutboxWorker(
            seat,
            self._ways,
            lambda parcel: self._counting.dead(),
            self._counting.delivery,
            MailStyles(seat, self._counting.style_fault),
            ReportPages(seat, pages),
            Documents(seat, pages),
        )
        self._inbound = Inbound(seat, pages, watermark, self._counting.reception, describe_frame)
        self._stations = [
            dispatcher.calling, worker.renderer.rendering, worker.renderer.slicing, worker.walking,
            self._inbound.routing, deliveries.delivering,
        ]  # fmt: skip
        self._tasks.append(asyncio.create_task(self._outbound.watch_wishes(), name="wishes"))
        line.tell_changes(dispatcher.calling.wake)
        self.health.add("line", partial(_line_state, line))
        ways = self._mail_ways
        self.health.add("delivery", lambda: PartState(not (said := counting.untold(ways.fault)), said, True))

    def _explainer(self, seat: Seat) -> Callable[[str, str, str], Awaitable[Mapping[str, Any]]] | None:
        """Answers what the next call to a number will do; None without a line."""
        if self._routes is None or self._line is None:
            return None
        return Explainer(seat, self._routes, self._line).explain

    def _hostname(self) -> str:
        return self._smtp_settings.hostname or socket.gethostname()

    def _ways_out(self, settings: Settings) -> dict[str, Delivery]:
        relay = settings.one("relay", RelaySettings)
        routes = MailRoutes(relay, settings.many("mail_route", MailRouteSettings))
        signer = Signer(settings.many("dkim", DkimSettings))
        documents = MailDocuments(self._facts, self._target_in_use)
        self._mail_ways.keep(routes.ways)
        fault = self._counting.style_fault
        mail = MailDelivery(relay, self._hostname(), routes, signer, fault, documents, self._mail_ways)
        return dict.fromkeys(mail.kinds, mail)

    async def _facts(self, reception: str) -> ReceivedFacts:
        assert self._seat is not None  # nothing is delivered without a store
        return await self._seat.store.read(lambda conn: facts_of(conn, reception))

    async def _target_in_use(self, told: Target) -> tuple[Target, Mapping[str, str]]:
        assert self._seat is not None
        return await self._seat.store.read(lambda conn: targets.in_use(conn, told))

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
            public_url=web.public_url,
        )

    async def _start_parts(
        self, seat: Seat, gate: Gate, pages: PageClient, line: SipLine, watermark: Watermark
    ) -> House:
        """Start what stands beside the core."""
        house = self._house = House(
            self._settings,
            seat,
            gate,
            JobGate(seat),
            pages,
            line,
            watermark,
            self._passwords,
            self._build_ground(seat, watermark),
            self.metrics,
            self.health,
            self._system,
            self.web.mount,
            self._ways,
            self._hostname(),
            self._stack,
            self._tasks,
            self._stations,
            data=self._node.data,
        )
        core = tuple(self._stations)
        for part in PARTS:
            await part.start(house)
        for station in core:  # only now: a delivery that a part knows how to make would find no way out before
            house.task(station.run(), f"station {station.name}")
        return house

    async def _open_doors(self, house: House, gate: Gate, data: Path, clock: ClockWatch) -> None:
        seat = house.seat
        counters = Counters(self._counting.session, self._counting.mail, self._counting.promise)
        known = partial(upkeep.named_keys, seat)
        self._smtp = SmtpServer(self._smtp_settings, gate, seat.files, counters, dsn=True, known=known)
        self._stack.push_async_callback(self._smtp.stop, 0.0)
        await self._smtp.prepare()
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
            accounts=house.control,
        )
        control = ControlServer(data, operations)
        await control.start()
        self._stack.push_async_callback(control.stop)
        self.web_address = await self.web.start()
        self._stack.push_async_callback(self.web.stop)
        self.smtp_addresses = await self._smtp.start()
        self.health.add("mail", partial(_mail_state, self._smtp))
        self.metrics.smtp_connections.set_function(partial(_connections, self._smtp))
        for door in house.doors:
            await door.open()
            self._stack.push_async_callback(door.close)
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
        ways = self._ways_out(settings)
        web_tls, smtp_tls = settings.one("http", WebSettings).tls, settings.one("smtp", SmtpSettings).tls
        smtp.reload_tls(smtp_tls)
        if web_tls is not None:
            self.web.reload_tls(web_tls)
        self._line.reload_tls(settings.one("sip", SipSettings).tls)
        values = settings.one("settings", AccountSection).values
        new = {key: value for key, value in values.items() if self._system.get(key) != value}
        await self._lay_seed(seat.store, settings.many("customer", CustomerSection), new)
        self._ways.update(ways)
        self._system.replace(values)
        grace = settings.one("node", NodeSettings).grace
        self._node = self._node.model_copy(update={"grace": grace})
        trunks = settings.many("trunk", TrunkSettings)
        self._line.adjust(trunks)
        if self._routes is not None:
            self._routes.adjust(_routes(settings.many("route", RouteSettings)))
        self._dispatcher.calling.places = max(1, sum(trunk.channels for trunk in trunks))
        self._dispatcher.calling.wake()
        for take_on in self._house.reloads if self._house is not None else ():
            await take_on(settings)

    # ------------------------------------------------------------------------------------------------------ stop

    @property
    def grace(self) -> float:
        """Seconds that `stop` takes at most."""
        return SMTP_GRACE + float(self._node.grace) + STATION_GRACE + CLOSING

    async def stop(self) -> None:
        """Stop outside-in: no new mail, no new call, calls finish within the grace, then everything closes."""
        log.info("gateway stops", extra={"event": "gateway.stopping"})
        await self._close_doors()
        grace = float(self._node.grace)
        calling = [station.stop(grace) for station in self._stations if station.name == "call"]
        await asyncio.gather(*calling, *([] if self._line is None else [self._line.drain(grace)]))
        await asyncio.gather(*(station.stop(STATION_GRACE) for station in self._stations))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stack.aclose()
        log.info("gateway stopped", extra={"event": "gateway.stopped"})

    async def _close_doors(self) -> None:
        """Nothing new comes in from here on; what was begun may end."""
        closing = [door.close() for door in self._house.doors] if self._house is not None else []
        if self._smtp is not None:
            closing.append(self._smtp.stop(SMTP_GRACE))
        for fault in await asyncio.gather(*closing, return_exceptions=True):
            if isinstance(fault, Exception):
                log.error("a door did not close", extra={"event": "gateway.door", "why": str(fault)})

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

    def _live(self) -> tuple[Collection[Live], Collection[Arriving]]:
        """The calls in progress: ours, and those to us."""
        leaving = self._outbound.live.values() if self._outbound else ()
        return leaving, self._inbound.live.values() if self._inbound else ()

    def status(self) -> Mapping[str, Any]:
        """What the operator sees first."""
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
            **calls_of_the_status(*self._live()),
        }


def _routes(entries: Sequence[RouteSettings]) -> list[Route]:
    return [route for entry in entries for route in entry.routes()]


def _connections(smtp: SmtpServer) -> float:
    return smtp.connections


def _mail_state(smtp: SmtpServer) -> PartState:
    return PartState(smtp.ready, "" if smtp.ready else "no mail is taken: its process is being started, or all stops")


def _line_state(line: SipLine) -> PartState:
    """At fault when no trunk takes calls; which ones do not, and why, in any case."""
    faults, channels = line.faults, line.channels
    detail = "; ".join(f"{name}: {fault}" for name, fault in faults.items())
    return PartState(len(faults) < len(channels), detail or ("" if channels else "no trunk"))


def _nothing(conn: Connection) -> None:
    """A unit that only passes through the store."""
