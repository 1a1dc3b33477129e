"""Jobs that come as files: the SFTP server, its accounts' folders, and what becomes of what is laid there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from faxgw.intake.area import Areas
from faxgw.intake.collector import Collector
from faxgw.intake.file_accounts import FileAccounts
from faxgw.intake.job_files import JobFiles
from faxgw.intake.result_files import ResultFiles
from faxgw.intake.sftp import SftpServer
from faxgw.intake.sftp_settings import SftpSettings
from faxgw.intake.taking import Take
from faxgw.intake.threads import Threads
from faxgw.parts.house import House, Part
from faxgw.settings import Maybe

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
    settings = house.settings.maybe("sftp", SftpSettings)
    if settings is None:
        return
    ground, threads = house.ground, Threads()
    house.closing.push_async_callback(threads.close)
    data = house.data
    areas = Areas(data / FOLDERS, lambda: ground.files.require_room(house.watermark), threads)
    house.closing.push_async_callback(areas.close)
    jobs = JobFiles(ground.store, ground.files, house.jobs, ground.clock, threads, settings.names_days)
    collector = Collector({Take.JOB: jobs}, ground.ticks, threads)
    accounts = FileAccounts(areas, ground.access, collector, settings.keep_days)
    results = ResultFiles(ground.store, accounts.find, threads)
    house.ways.update(dict.fromkeys(results.kinds, results))
    server = SftpServer(settings, ground.access, accounts.places, data / HOST_KEYS)
    house.door("sftp", partial(_open, server), partial(server.stop, GRACE_S))
    house.task(collector.run(), "files")
    house.task(_keep_order(accounts, ground.clock), "old files")


async def _open(server: SftpServer) -> None:
    for host, port in await server.start():
        log.info("listening", extra={"event": "sftp.listening", "address": f"{host}:{port}"})


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
        except OSError as exc:
            log.error("old files not removed", extra={"event": "files.prune_failed", "why": str(exc)})
        await asyncio.sleep(PRUNE_S)


PART = Part("files", _start, {"sftp": Maybe(SftpSettings)})
