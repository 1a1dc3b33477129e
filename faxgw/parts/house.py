"""What a part is given to stand on, and what it may hang up: routes, stations, tasks, doors, ways out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any  # stations of any work, results of tasks that nobody reads

from aiohttp.web import AbstractRouteDef

from faxgw.api.administration import Office
from faxgw.api.http import Ground
from faxgw.dispatch.gate import Gate
from faxgw.dispatch.jobs import JobGate
from faxgw.dispatch.seat import Seat
from faxgw.dispatch.station import Station
from faxgw.document.client import PageClient
from faxgw.fax.access import OPERATOR
from faxgw.fax.ports import Delivery
from faxgw.fax.received_document import ReceivedDocuments
from faxgw.intake.directory_import import DirectoryImports
from faxgw.intake.file_accounts import FileAccounts
from faxgw.line.sip import SipLine
from faxgw.metrics import Metrics
from faxgw.settings import Many, Maybe, Section, Settings
from faxgw.store.passwords import Passwords
from faxgw.store.space import Watermark
from faxgw.webserver import Health, PartState

log = logging.getLogger(__name__)

Closing = Callable[[], Awaitable[None]]
"""Closes what was opened; awaited once, within its grace."""


@dataclass(frozen=True, slots=True)
class Door:
    """A way in: opened when everything behind it stands, closed before anything behind it stops."""

    name: str
    open: Callable[[], Awaitable[None]]
    """Raises FaxError or OSError when it cannot be opened; the gateway does not start then."""
    close: Closing
    """Takes nothing new and ends what was begun, within SMTP_GRACE."""


@dataclass(slots=True)
class House:
    """The gateway as its parts see it. Clocks are the ground's: nothing here asks the operating system for the time."""

    settings: Settings
    """As checked at the start; `on_reload` tells of later ones."""
    seat: Seat
    gate: Gate
    jobs: JobGate
    pages: PageClient
    line: SipLine
    watermark: Watermark
    passwords: Passwords
    ground: Ground
    """What interfaces with logins stand on."""
    metrics: Metrics
    health: Health
    system: Mapping[str, Any]
    """Account settings of the level `system`, kept up to date."""
    mount: Callable[[Iterable[AbstractRouteDef]], None]
    """Adds routes to the web server."""
    ways: dict[str, Delivery]
    """Adapters of the outbox by the kind of what they deliver."""
    hostname: str
    """Name of this machine in greetings, Message-IDs and reports."""
    closing: contextlib.AsyncExitStack
    """Closed last, in the reverse order."""
    tasks: list[asyncio.Task[Any]] = field(default_factory=list)
    """Cancelled at the stop, after the stations."""
    stations: list[Station[Any]] = field(default_factory=list)
    doors: list[Door] = field(default_factory=list)
    reloads: list[Callable[[Settings], Awaitable[None]]] = field(default_factory=list)
    control: list[AbstractRouteDef] = field(default_factory=list)
    """Routes of the control socket, where the operator needs no token."""
    offices: list[Office] = field(default_factory=list)
    """Interfaces of the administration; `administer` adds one."""
    data: Path = Path()
    """The data folder, for what a part keeps beside the database: in a folder of its own."""
    imports: DirectoryImports | None = None
    """Takes directories of users and numbers, once that part has started."""
    documents: ReceivedDocuments | None = None
    """Makes documents of received faxes, once the part `reading` has started."""
    files: FileAccounts | None = None
    """The accounts' folders; `files.more` takes makers of further places. None without SFTP and FTP."""

    def administer(self, office: Office) -> None:
        """Serve an interface of the administration: to those with credentials, and on the operator's socket."""
        self.offices.append(office)
        self.control.extend(office.control_routes(OPERATOR))
        self.mount(office.routes())

    def task(self, work: Coroutine[Any, Any, Any], name: str) -> None:
        """Run something as long as the gateway runs; that it died is an alarm."""
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._ended)
        self.tasks.append(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        if task.cancelled() or (error := task.exception()) is None:
            return
        name = task.get_name()
        log.critical("a task died", exc_info=error, extra={"event": "task.died", "task": name})
        self.health.add(f"task {name}", lambda: PartState(False, "died; restart the gateway", True))

    def station(self, station: Station[Any]) -> None:
        """Run a station; it is stopped within its grace."""
        self.stations.append(station)
        self.task(station.run(), f"station {station.name}")

    def door(self, name: str, opening: Callable[[], Awaitable[None]], close: Closing) -> None:
        """Hang up a door."""
        self.doors.append(Door(name, opening, close))

    def on_reload(self, take_on: Callable[[Settings], Awaitable[None]]) -> None:
        """Be told of settings that were read again; name the keys in `reload.TAKEN_ON`."""
        self.reloads.append(take_on)


@dataclass(frozen=True, slots=True)
class Part:
    """A part: what it reads and how it is started."""

    name: str
    start: Callable[[House], Awaitable[None]]
    """Builds the part. Called once, after recovery and before any door is open; raises FaxError."""
    sections: Mapping[str, type[Section] | Many | Maybe] = field(default_factory=dict)
    """Tables of the settings that are its own."""
    faults: Callable[[Settings], list[str]] = lambda settings: []
    """What is wrong between its tables and others, for `faxgw check` and the start."""
