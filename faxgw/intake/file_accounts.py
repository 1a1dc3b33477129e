"""Accounts with folders: what each login sees, and what becomes of what it lays there.

The folders belong to a login, so that one login never sees another's jobs. `in` is there for those who may send;
`out` holds results; `directory` takes the directories of customers who have one, from logins that administrate.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial

from faxgw.fax.access import Caller, Denial, Interface, Logins, Scope, why_not
from faxgw.intake.area import Area, Areas, Inbox, ShelfPlace
from faxgw.intake.collector import Collector, Drop, Sender, Turned
from faxgw.intake.taking import Take
from faxgw.intake.tree import Place, PlaceMaker

LOGIN = "login:"
"""How the names of drops of logins begin."""
DAY_S = 86_400.0
_DENIALS = {
    Denial.SUSPENDED: ("account_suspended", "This account is suspended."),
    Denial.CLOSED: ("interface_not_booked", "This account does not have this interface."),
}

log = logging.getLogger(__name__)


class FileAccounts:
    """Makes what visitors see, and has it looked at.

    Args:
        areas: The folders on the disk.
        logins: Who somebody is, asked again when what was left is dealt with.
        collector: Takes what was laid down.
        keep_days: Days for which results and unused files are kept.
        directories: Names of a customer's directories.
    """

    def __init__(
        self,
        areas: Areas,
        logins: Logins,
        collector: Collector,
        keep_days: int,
        directories: Callable[[str], Sequence[str]] = lambda customer: (),
    ) -> None:
        self._areas = areas
        self._logins = logins
        self._collector = collector
        self._keep_s = keep_days * DAY_S
        self._directories = directories
        self._drops: dict[tuple[str, str], tuple[Drop, Inbox]] = {}
        self._directory_drops: dict[tuple[str, str], tuple[Drop, Inbox]] = {}
        self.more: list[PlaceMaker] = []
        """Makers of further places, by other parts."""

    async def places(self, caller: Caller) -> Sequence[Place]:
        """What a visitor sees; a PlaceMaker."""
        area = await self._areas.area(caller.customer, caller.login)
        found: list[Place] = []
        if caller.may(Scope.FAXES_WRITE):
            found.append(await self._ready(*self._jobs(area)))
        keeps = caller.may(Scope.ADMIN) and bool(self._directories(caller.customer))
        if keeps or caller.may(Scope.FAXES_READ) or caller.may(Scope.FAXES_WRITE):
            found.append(ShelfPlace("out", self._areas, partial(area.shelf, "out")))
        if keeps:
            found.append(await self._ready(*self._directory(area)))
        for make in self.more:
            found += await make(caller)
        return found

    async def _ready(self, drop: Drop, inbox: Inbox) -> Inbox:
        """An inbox, once nothing that an earlier life left can get mixed with what its visitors lay down."""
        await self._collector.put_back(drop)
        return inbox

    async def find(self, name: str, customer: str) -> Drop | None:
        """The drop of a login, by its name."""
        if not name.startswith(LOGIN):
            return None
        return self._jobs(await self._areas.area(customer, name.removeprefix(LOGIN)))[0]

    async def look_everywhere(self) -> None:
        """Look into all folders that there are: what an earlier life left is dealt with."""
        for area in await self._areas.all():
            self._collector.look(self._jobs(area)[0])
            if self._directories(area.customer):
                self._collector.look(self._directory(area)[0])

    async def prune(self, now: float) -> int:
        """Remove what is too old, from every account's folders; how many files."""
        removed, before = 0, now - self._keep_s
        for area in await self._areas.all():
            drop, inbox = self._jobs(area)
            async with drop.lock:
                removed += await self._areas.run(partial(_prune, area, inbox, before))
        return removed

    def _jobs(self, area: Area) -> tuple[Drop, Inbox]:
        return self._made(self._drops, area, "in", LOGIN + area.login, (Take.JOB,), "work")

    def _directory(self, area: Area) -> tuple[Drop, Inbox]:
        name = f"directory of {area.login}"
        return self._made(self._directory_drops, area, "directory", name, (Take.DIRECTORY,), "directory.work")

    def _made(
        self,
        known: dict[tuple[str, str], tuple[Drop, Inbox]],
        area: Area,
        folder: str,
        name: str,
        kinds: tuple[Take, ...],
        work: str,
    ) -> tuple[Drop, Inbox]:
        key = (area.customer, area.login)
        if key not in known:
            inbox = Inbox(
                folder,
                self._areas,
                area,
                lambda: self._collector.look(known[key][0]),
                lambda: self._collector.take_now(known[key][0]),
            )
            drop = Drop(
                name=name,
                inbox=lambda: inbox.whole,
                out=partial(area.shelf, "out"),
                work=area.folder / work,
                kinds=kinds,
                sender=partial(self._sender, area, Scope.ADMIN if Take.DIRECTORY in kinds else Scope.FAXES_WRITE),
                customer=area.customer,
                arriving=inbox.is_open,
                lock=area.lock,
            )
            known[key] = (drop, inbox)
        return known[key]

    async def _sender(self, area: Area, scope: Scope) -> Sender:
        """Who sends what lies there, as the login stands now. Raises Turned."""
        interface = Interface.SFTP
        found = await self._logins.again(area.login, area.customer, interface)
        if found is Denial.CLOSED:
            interface = Interface.FTP
            found = await self._logins.again(area.login, area.customer, interface)
        if isinstance(found, Denial):
            raise Turned(*_DENIALS.get(found, ("account_inactive", "This login may not send faxes at present.")))
        if not found.may(scope):
            raise Turned(*why_not(found, scope))
        return Sender(found.principal(), found.name, interface)


def _prune(area: Area, inbox: Inbox, before: float) -> int:
    shelves = [area.shelf("out"), inbox.whole]
    removed = sum(shelf.prune(before) for shelf in shelves)
    half = [entry.name for entry in inbox.partial.entries() if entry.modified < before]
    return removed + sum(inbox.partial.remove(name) for name in half if not inbox.is_open(name))
