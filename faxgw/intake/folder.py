"""Watched folders of this machine: the same jobs as over SFTP, and plain documents (docs/folders.md).

Whoever writes here is no client of ours, so nobody says when a file is complete. It is taken when its size and time
have not changed for a while and no process has it open to write: the kernel grants a read lease (fcntl(2) F_SETLEASE)
only then. Where the kernel does not know (a network file system, another's file), the while is longer.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import logging
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from faxgw.fax.access import Interface
from faxgw.fax.ports import Principal
from faxgw.formats import drop_name
from faxgw.intake.collector import Collector, Drop, Sender, Turned
from faxgw.intake.folder_settings import FolderSettings, Layout
from faxgw.intake.shelf import MAX_ENTRIES, Entry, Shelf
from faxgw.intake.taking import Take
from faxgw.store import directory
from faxgw.store.engine import Store

LOOK_S = 2.0
"""Seconds between two looks."""
UNSURE_S = 30.0
"""Seconds without a change where the kernel does not say whether somebody writes."""
WORK = ".faxgw"
"""Folder for what was taken, within the watched one: renaming needs the same file system."""
FOLDER = "folder:"
"""How the names of drops of folders begin."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Look:
    """How a file looked, and since when."""

    size: int
    modified: float
    since: float


class Folder:
    """One watched folder.

    Args:
        settings: `[[folder]]`.
        store: Where the account is.
        system: Settings of the system level.
        ticks: Monotonic seconds.
    """

    def __init__(
        self, settings: FolderSettings, store: Store, system: Mapping[str, object], ticks: Callable[[], float]
    ) -> None:
        self.settings = settings
        self._store = store
        self._system = system
        self._ticks = ticks
        self._shelves: dict[str, Shelf] = {}
        self._looks: dict[str, _Look] = {}
        jobs = settings.layout is Layout.JOBS
        self.drop = Drop(
            name=FOLDER + settings.name,
            inbox=lambda: self._shelf("in" if jobs else ""),
            out=lambda: self._shelf("out" if jobs else ""),
            work=settings.path / WORK / "work",
            kinds=(Take.JOB,) if jobs else (Take.PLAIN,),
            sender=self._sender,
            customer=settings.customer,
            settled=self._settled,
            ignored=(lambda name: False) if jobs else drop_name.is_ignored,
        )

    def close(self) -> None:
        """Close what is open."""
        for shelf in self._shelves.values():
            shelf.close()
        self._shelves.clear()

    def _shelf(self, name: str) -> Shelf:
        if name not in self._shelves:
            with Shelf(self.settings.path / WORK) as own:
                if os.fstat(own.fd).st_uid != os.geteuid():
                    raise PermissionError(errno.EACCES, f"{own.folder} is somebody else's")
            self._shelves[name] = Shelf(self.settings.path / name if name else self.settings.path)
        return self._shelves[name]

    def _settled(self, entry: Entry) -> bool:
        now = self._ticks()
        look = self._looks.get(entry.name)
        if look is None or (look.size, look.modified) != (entry.size, entry.modified):
            if len(self._looks) > MAX_ENTRIES * 2:
                self._looks.clear()  # what is still there is seen again
            self._looks[entry.name] = _Look(entry.size, entry.modified, now)
            return False
        still = now - look.since
        if still < float(self.settings.settle):
            return False
        is_open = self._is_written(entry.name)
        return still >= UNSURE_S if is_open is None else not is_open

    def _is_written(self, name: str) -> bool | None:
        """Whether somebody has a file open to write; None: the kernel does not say."""
        try:
            fd = self.drop.inbox().open_read(name)
        except OSError:
            return True
        try:
            fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)  # ignored; SIGIO, of a lease that is broken, would end us
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except OSError as exc:
            return True if exc.errno == errno.EAGAIN else None
        finally:
            os.close(fd)
        return False

    async def _sender(self) -> Sender:
        customer, user = self.settings.customer, self.settings.user
        ident = f"{customer}/{user}" if user else ""
        system = self._system
        settings = await self._store.read(lambda conn: directory.effective(conn, system, customer, ident))
        if Interface.FOLDER not in settings["interfaces"]:
            raise Turned("interface_not_booked", "This account does not have this interface.")
        owner = self.drop.name
        return Sender(Principal(customer, ident, owner, "", "folder"), owner, Interface.FOLDER)


class Folders:
    """All watched folders.

    Args:
        folders: The folders.
        collectors: Which collector each one has, by its name.
    """

    def __init__(self, folders: Sequence[Folder], collectors: Mapping[str, Collector]) -> None:
        self._folders = folders
        self._collectors = collectors

    def find(self, name: str) -> Drop | None:
        """The drop of a folder, by its name."""
        return next((folder.drop for folder in self._folders if folder.drop.name == name), None)

    async def watch(self) -> None:
        """Look into the folders, for ever."""
        while True:
            for folder in self._folders:
                self._collectors[folder.settings.name].look(folder.drop)
            await asyncio.sleep(LOOK_S)

    def close(self) -> None:
        """Close what is open."""
        for folder in self._folders:
            folder.close()
