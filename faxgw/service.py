"""The gateway as a system service: signals, readiness, the watchdog, settings read again (systemd/faxgw.service).

SIGTERM and SIGINT stop it in order, SIGHUP reads the settings again. The service manager is told what goes on; its
watchdog is fed only while the event loop turns, the store writes and reads, and the dispatcher looks for work.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from pathlib import Path

from faxgw import garbage, logs, reload
from faxgw.daemon import Daemon
from faxgw.fax.errors import FaxError
from faxgw.sdnotify import Notifier
from faxgw.settings import LogSettings, Settings, load
from faxgw.tables import SECTIONS, cross_check

START_WITHIN = 300.0
"""Seconds that migration and recovery may take before the service manager gives the start up."""
STATUS_EVERY = 15.0
"""Seconds between status texts when no watchdog asks for more."""
NOT_TAKEN_ON = "settings not taken on, the earlier ones hold"
BEATS = 3
"""Times the watchdog is fed within its span."""

log = logging.getLogger(__name__)


async def serve(path: Path, settings: Settings, notifier: Notifier | None = None) -> int:
    """Run a gateway until it is told to stop.

    Args:
        path: The settings file, for reading it again.
        settings: What stands in it, without faults.
        notifier: The service manager; the one of the environment when None.

    Returns:
        Exit status: 0 after an orderly stop, 1 when it ended at once to recover at its next start.

    Raises:
        FaxError: If it cannot start.
    """
    _configure_logs(settings)
    return await _Service(path, settings, notifier or Notifier()).run()


class _Service:
    def __init__(self, path: Path, settings: Settings, notifier: Notifier) -> None:
        self._path = path
        self._started = self._current = settings
        self._notifier = notifier
        self._daemon = Daemon(settings)
        self._stop = asyncio.Event()
        self._hangup = asyncio.Event()
        self._note = ""
        """What the operator must still see: settings that were refused, or wait for a restart."""

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._hangup.set)
        daemon = self._daemon
        self._notifier.starting(START_WITHIN, "starting")
        await daemon.start()
        garbage.set_aside()
        self._notifier.ready(await daemon.summary())
        owned = [
            asyncio.create_task(self._stop.wait(), name="stop"),
            asyncio.create_task(daemon.failed.wait(), name="failed"),
            asyncio.create_task(self._beat_for_ever(), name="heartbeat"),
            asyncio.create_task(self._reload_for_ever(), name="reload"),
        ]
        done, _pending = await asyncio.wait(owned, return_when=asyncio.FIRST_COMPLETED)
        for task in owned:
            task.cancel()
        await asyncio.gather(*owned, return_exceptions=True)
        if daemon.failed.is_set():
            self._notifier.status("the database failed; a new start recovers")
            return 1
        self._notifier.stopping(daemon.grace, f"stopping: {await daemon.summary()}")
        await daemon.stop()
        for task in done:
            task.result()  # raises what ended us without being asked
        return 0

    async def _beat_for_ever(self) -> None:
        span = self._notifier.watchdog
        every = span / BEATS if span else STATUS_EVERY
        while True:
            if fault := await self._daemon.pulse(every):
                log.critical("gateway does not move", extra={"event": "pulse.missing", "why": fault})
                self._notifier.status(f"does not move: {fault}")
            elif span:
                self._notifier.alive(await self._status())
            else:
                self._notifier.status(await self._status())
            await asyncio.sleep(every)

    async def _reload_for_ever(self) -> None:
        while True:
            await self._hangup.wait()
            self._hangup.clear()
            self._notifier.reloading("reading the settings again")
            try:
                self._note = await self._reload()
            except Exception:  # owner of the reload: whatever is wrong with it, the gateway goes on
                log.exception("settings not taken on", extra={"event": "settings.failed"})
                self._note = NOT_TAKEN_ON
            self._notifier.ready(await self._status())

    async def _status(self) -> str:
        summary = await self._daemon.summary()
        return f"{summary}; {self._note}" if self._note else summary

    async def _reload(self) -> str:
        """Read the settings and take them on; what the operator must know of it, in a few words."""
        new = await asyncio.to_thread(load, self._path if self._path.exists() else None, SECTIONS)
        faults = [str(fault) for fault in new.faults] or cross_check(new)
        for fault in faults:
            log.error("settings refused", extra={"event": "settings.refused", "fault": fault})
        if faults:
            return f"settings refused for {len(faults)} faults, the earlier ones hold"
        changes = reload.compare(self._started, self._current, new)
        try:
            await self._daemon.reload(new)
        except (FaxError, OSError) as exc:
            log.error("settings not taken on", extra={"event": "settings.failed", "why": str(exc)})
            return NOT_TAKEN_ON
        _configure_logs(new)
        self._current = new
        log.info("settings taken on", extra={"event": "settings.reloaded", "keys": list(changes.taken_on)})
        for key in changes.waiting:
            log.warning("setting needs a restart", extra={"event": "settings.waiting", "key": key})
        return f"{len(changes.waiting)} settings need a restart" if changes.waiting else ""


def _configure_logs(settings: Settings) -> None:
    section = settings.one("log", LogSettings)
    logs.configure(level=section.level, form=section.format, show_numbers=section.show_numbers)
