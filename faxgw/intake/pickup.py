"""Pick-up areas: received faxes that a login's programs fetch over our own SFTP and FTP (docs/deliveries.md).

Each area is a place of the login's tree, besides its jobs: files are read and removed there, never written by clients.
Who removes a file says that it has it; what nobody removes goes after KEEP_DAYS.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

from faxgw.fax.access import Caller, Denial, Interface, Logins, Scope
from faxgw.fax.errors import FaxError
from faxgw.intake.area import Areas, ReadFile, ShelfPlace, owner_folder
from faxgw.intake.shelf import Shelf, is_name
from faxgw.intake.tree import Fault, Opening, Place, TreeError

KEEP_DAYS = 14
"""Days for which a fax waits (the vendor's rule)."""
DEFAULT = "faxes"
"""Name of the area of targets that name none."""
TAKEN = frozenset({"in", "in.partial", "out", "directory", "directory.partial", "work"})
"""Names of the login's other folders."""
MAX_AREAS = 20
"""Areas of one login."""
DAY_S = 86_400.0

Told = Callable[[str, str, str], Awaitable[None]]
"""Told of customer, login and file."""

log = logging.getLogger(__name__)


class Pickup:
    """The areas of all logins.

    Args:
        base: Their parent.
        areas: Does what blocks.
        logins: Whether there is such a login.
        removed: Told of customer, login and file when a client removes one.
        opened: Told of the same before a client reads one; raises FaxError, and then nothing is read.
    """

    def __init__(self, base: Path, areas: Areas, logins: Logins, removed: Told, opened: Told) -> None:
        self._base = base
        self._areas = areas
        self._logins = logins
        self._removed = removed
        self._told_opened = opened
        self._shelves: dict[Path, Shelf] = {}

    async def folder(self, customer: str, login: str, name: str) -> Path | None:
        """The folder of an area, made where it does not exist; None: there is no such login, or name. Raises OSError.

        A login that may not log in at present has its area all the same: what comes waits for it.
        """
        found = await self._logins.again(login, customer, Interface.SFTP)
        if found is Denial.UNKNOWN or not is_name(name or DEFAULT, 64) or name in TAKEN or name.startswith("."):
            return None
        path = owner_folder(self._base, customer, login) / (name or DEFAULT)
        made = await self._areas.run(lambda: self._shelf(path))
        return None if made is None else path

    async def places(self, caller: Caller) -> Sequence[Place]:
        """What a visitor sees: its areas; a PlaceMaker."""
        if not caller.may(Scope.INBOX_READ) or not caller.login:
            return []
        owner = owner_folder(self._base, caller.customer, caller.login)
        names = await self._areas.run(lambda: _folders(owner))
        told = self._removed, self._told_opened
        return [_Area(name, self._areas, partial(self._opened, owner / name), *told, caller) for name in names]

    async def prune(self, now: float) -> int:
        """Remove what is too old; how many files."""
        return await self._areas.run(lambda: self._prune(now - KEEP_DAYS * DAY_S))

    def close(self) -> None:
        """Close the folders, after the last session."""
        for shelf in self._shelves.values():
            shelf.close()
        self._shelves.clear()

    def _shelf(self, path: Path) -> Shelf | None:
        if path not in self._shelves:
            for parent in (self._base, path.parent):
                Shelf(parent).close()
            if not path.is_dir() and len(_folders(path.parent)) >= MAX_AREAS:
                return None
            self._shelves[path] = Shelf(path)
        return self._shelves[path]

    def _opened(self, path: Path) -> Shelf:
        if path not in self._shelves:
            self._shelves[path] = Shelf(path)
        return self._shelves[path]

    def _prune(self, before: float) -> int:
        removed = 0
        for owner in _folders(self._base):
            for name in _folders(self._base / owner):
                removed += self._opened(self._base / owner / name).prune(before)
        return removed


class _Area(ShelfPlace):
    """One area."""

    def __init__(
        self,
        name: str,
        areas: Areas,
        shelf: Callable[[], Shelf],
        removed: Told,
        opened: Told,
        caller: Caller,
    ) -> None:
        super().__init__(name, areas, shelf)
        self._told = removed
        self._told_opened = opened
        self._caller = caller

    async def open(self, name: str, how: Opening) -> ReadFile:
        """See the base: who reads is written down before the first octet leaves."""
        file = await super().open(name, how)
        try:
            await self._told_opened(self._caller.customer, self._caller.login, name)
        except FaxError as exc:
            await file.close(complete=False)
            raise TreeError(Fault.FAILED, str(exc)) from exc
        return file

    async def remove(self, name: str) -> None:
        """See the base: the client has it."""
        await super().remove(name)
        log.info("fax picked up", extra={"event": "pickup.removed", "login": self._caller.login, "file": name})
        await self._told(self._caller.customer, self._caller.login, name)


def _folders(path: Path) -> list[str]:
    if not path.is_dir():
        return []
    return sorted(each.name for each in path.iterdir() if each.is_dir() and not each.is_symlink())
