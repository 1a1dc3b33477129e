"""Jobs that come as files: SFTP and FTP servers over the accounts' folders, and folders of this machine."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from prometheus_client import Gauge

from faxgw.fax.errors import FaxError
from faxgw.intake import folder_settings
from faxgw.intake.area import Areas
from faxgw.intake.collector import Collector, Drop, Handler
from faxgw.intake.directory_files import DirectoryFiles
from faxgw.intake.file_accounts import FileAccounts
from faxgw.intake.folder import Folder, Folders
from faxgw.intake.folder_settings import FolderSettings
from faxgw.intake.ftp import FtpServer
from faxgw.intake.ftp_data import PassivePorts
from faxgw.intake.ftp_settings import FtpSettings
from faxgw.intake.job_files import JobFiles
from faxgw.intake.plain_files import PlainFiles
from faxgw.intake.result_files import ResultFiles
from faxgw.intake.sftp import SftpServer
from faxgw.intake.sftp_settings import SftpSettings
from faxgw.intake.taking import Take
from faxgw.intake.threads import Threads
from faxgw.parts.house import House, Part
from faxgw.settings import Many, Maybe, Settings
from faxgw.webserver import PartState

FOLDERS = "files"
"""Folder of all accounts' folders, in the data folder."""
HOST_KEYS = "sftp"
"""Folder of the host keys, in the data folder."""
GRACE_S = 10.0
"""Seconds for sessions to end at a stop."""
PRUNE_S = 3_600.0
"""Seconds between two looks for files that are too old."""

log = logging.getLogger(__name__)


async def _start(house: House) -> None:
    sftp, ftp = house.settings.maybe("sftp", SftpSettings), house.settings.maybe("ftp", FtpSettings)
    watched = house.settings.many("folder", FolderSettings)
    if sftp is None and ftp is None and not watched:
        return
    threads = Threads()
    house.closing.push_async_callback(threads.close)
    keep = sftp or SftpSettings()
    folders = _watch(house, watched, threads)
    accounts = _accounts(house, keep, threads) if sftp or ftp else None

    async def find(name: str, customer: str) -> Drop | None:
        found = folders.find(name)
        return found if found is not None or accounts is None else await accounts.find(name, customer)

    results = ResultFiles(house.ground.store, find, threads)
    house.ways.update(dict.fromkeys(results.kinds, results))
    if accounts is None:
        return
    house.files = accounts
    if sftp is not None:
        secure = SftpServer(sftp, house.ground.access, accounts.places, house.data / HOST_KEYS)
        house.door("sftp", partial(_open, "sftp", secure.start), partial(secure.stop, GRACE_S))
    if ftp is not None:
        plain = FtpServer(ftp, house.ground.access, accounts.places, house.ground.ticks)
        _watch_ports(house, plain.ports)

        async def take_on(settings: Settings) -> None:
            new = settings.maybe("ftp", FtpSettings)
            plain.reload_tls(None if new is None else new.tls)

        house.on_reload(take_on)
        house.door("ftp", partial(_open, "ftp", plain.start), partial(plain.stop, GRACE_S))
    house.task(_keep_order(accounts, house.ground.clock), "old files")


def _handlers(house: House, threads: Threads, names_days: int) -> dict[Take, Handler]:
    ground = house.ground
    jobs = JobFiles(ground.store, ground.files, house.jobs, ground.clock, threads, names_days)
    plain = PlainFiles(ground.store, ground.files, house.jobs, ground.clock, threads, names_days)
    found: dict[Take, Handler] = {Take.JOB: jobs, Take.PLAIN: plain}
    if house.imports is not None:
        found[Take.DIRECTORY] = DirectoryFiles(house.imports, threads)
    return found


def _accounts(house: House, settings: SftpSettings, threads: Threads) -> FileAccounts:
    ground = house.ground
    areas = Areas(house.data / FOLDERS, lambda: ground.files.require_room(house.watermark), threads)
    house.closing.push_async_callback(areas.close)
    collector = Collector(_handlers(house, threads, settings.names_days), ground.ticks, threads)
    house.task(collector.run(), "files of accounts")
    directories = house.imports.owned if house.imports is not None else lambda customer: ()
    return FileAccounts(areas, ground.access, collector, settings.keep_days, directories)


def _watch(house: House, settings: tuple[FolderSettings, ...], threads: Threads) -> Folders:
    ground = house.ground
    folders = [Folder(each, ground.store, house.system, ground.ticks) for each in settings]
    collectors: Mapping[str, Collector] = {
        each.name: Collector(_handlers(house, threads, each.names_days), ground.ticks, threads) for each in settings
    }
    for name, collector in collectors.items():
        house.task(collector.run(), f"folder {name}")
    found = Folders(folders, collectors)
    if folders:
        house.closing.callback(found.close)
        house.task(found.watch(), "folders")
    return found


def _watch_ports(house: House, ports: PassivePorts) -> None:
    """Say it where an operator looks, when no data connection can be made: uploads and lists fail, logins do not."""
    registry = house.metrics.registry
    held = Gauge("faxgw_ftp_ports_held", "Passive ports that wait for their client", registry=registry)
    held.set_function(lambda: ports.held)
    refused = Gauge("faxgw_ftp_ports_refused", "No passive port was free, since the start", registry=registry)
    refused.set_function(lambda: ports.refused)
    house.health.add("ftp", lambda: PartState(not ports.fault, ports.fault, True))


async def _open(name: str, start: Callable[[], Awaitable[list[tuple[str, int]]]]) -> None:
    for host, port in await start():
        log.info("listening", extra={"event": f"{name}.listening", "address": f"{host}:{port}"})


async def _keep_order(accounts: FileAccounts, clock: Callable[[], float]) -> None:
    """Deal with what an earlier life left, then remove what is too old, for ever."""
    looked = False
    while True:
        try:
            if not looked:
                await accounts.look_everywhere()
                looked = True
            if removed := await accounts.prune(clock()):
                log.info("old files removed", extra={"event": "files.old", "files": removed})
        except (FaxError, OSError) as exc:
            log.error("files not kept in order", extra={"event": "files.order_failed", "why": str(exc)})
        await asyncio.sleep(PRUNE_S)


def _faults(settings: Settings) -> list[str]:
    return folder_settings.faults(settings.many("folder", FolderSettings))


PART = Part(
    "files",
    _start,
    {"sftp": Maybe(SftpSettings), "ftp": Maybe(FtpSettings), "folder": Many(FolderSettings)},
    _faults,
)
