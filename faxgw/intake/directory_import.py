"""Imports of directories: what was fetched, dropped or posted becomes users or numbers, and somebody is told.

One function for every way in (`DirectoryImports.take`); nothing of an import is done before all of it was checked.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from sqlalchemy import Connection

from faxgw.fax import directory as meaning
from faxgw.fax import ids
from faxgw.fax.errors import FaxError, Refused
from faxgw.formats.directory_csv import Direction, Entry, read_directory
from faxgw.intake import directory_source as source
from faxgw.intake.directory_settings import DirectorySettings
from faxgw.intake.directory_source import Seen, Unreachable
from faxgw.store import directory, outbox, synchronise
from faxgw.store.accounts import ENTITY, NUMBER, USER, Author, Kind, NotFound
from faxgw.store.engine import Store
from faxgw.store.errors import StoreError
from faxgw.store.journal import note
from faxgw.store.synchronise import Plan

LOOK_S = 10.0
"""Seconds between two looks into the watched folders."""
MAX_WHY = 500
"""Characters of a reason in the log."""
MAIL = "directory_mail"
"""Kind of the result's outbox items."""
_NOWHERE = "This directory is not fetched from anywhere: its files are dropped or imported."

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of an import."""

    name: str
    created: int = 0
    changed: int = 0
    ended: int = 0
    unchanged: int = 0
    unused: Mapping[str, int] = field(default_factory=dict)
    """Columns without an effect here → entries that fill them."""
    refused: str = ""
    """Why nothing was changed; empty: it was taken."""
    dry_run: bool = False


class DirectoryImports:
    """All directories of the settings.

    Args:
        store: Where the accounts are.
        directories: The settings.
        clock: Unix seconds.
        system: Settings of the system level.
    """

    def __init__(
        self,
        store: Store,
        directories: Sequence[DirectorySettings],
        clock: Callable[[], float],
        system: Mapping[str, object],
    ) -> None:
        self._store = store
        self._all = {settings.name: settings for settings in directories}
        self._clock = clock
        self._system = system
        self._locks = {name: asyncio.Lock() for name in self._all}
        self._seen = {name: Seen() for name in self._all}
        self._due = dict.fromkeys(self._all, 0.0)
        self._left: dict[str, Mapping[Path, int]] = {}
        self._told: dict[str, Result] = {}

    def owned(self, customer: str) -> Sequence[str]:
        """Names of a customer's directories; without one, all."""
        return [name for name, settings in self._all.items() if customer in ("", settings.customer)]

    def customer_of(self, name: str) -> str:
        """Whose directory it is; empty when there is none of this name."""
        return self._all[name].customer if name in self._all else ""

    async def take(self, name: str, octets: bytes, who: str, *, dry_run: bool = False) -> Result:
        """Import a CSV file; its result is mailed, unless it was a dry run.

        Raises:
            StoreError: If the store is away; some of the import may have been done, and doing it again is right.
        """
        settings = self._all[name]
        return await self._take(settings, lambda: _read(octets, settings.direction), who, dry_run)

    async def pull(self, name: str, who: str, *, dry_run: bool = False) -> Result | None:
        """Fetch the directory and import it; None when it has not changed since it was last taken.

        Raises:
            StoreError: As `take`.
        """
        settings = self._all[name]
        try:
            if settings.ldap is not None:
                entries = await source.search(settings, settings.ldap)
                return await self._take(settings, lambda: _known(entries), who, dry_run)
            if settings.url is None:
                return Result(name, refused=_NOWHERE, dry_run=dry_run)
            seen = Seen() if dry_run else replace(self._seen[name])
            octets = await source.fetch(settings, seen)
        except StoreError:
            raise
        except FaxError as exc:
            return await self._refuse(settings, exc, who, dry_run)
        if octets is None:
            return None
        result = await self.take(name, octets, who, dry_run=dry_run)
        if not result.refused and not dry_run:  # what was refused, or broke off, is fetched again
            self._seen[name] = seen
        return result

    async def run(self) -> None:
        """Look into the folders and fetch what is due, for ever."""
        while True:
            for name in self._all:
                try:
                    await self._look(self._all[name])
                except StoreError as exc:
                    log.warning("import put off", extra={"event": "directory.away", "directory": name, "why": str(exc)})
                except Exception:  # owner of the task: one directory must not end the others
                    log.exception("import failed", extra={"event": "directory.failed", "directory": name})
            await asyncio.sleep(LOOK_S)

    async def _look(self, settings: DirectorySettings) -> None:
        now = self._clock()
        if settings.folder is not None:
            await self._look_into(settings, settings.folder, now)
        elif (settings.url is not None or settings.ldap is not None) and now >= self._due[settings.name]:
            self._due[settings.name] = now + float(settings.every)
            await self.pull(settings.name, "pull")

    async def _look_into(self, settings: DirectorySettings, folder: Path, now: float) -> None:
        """Import what lies there. A file that cannot be moved away is imported, and told of, once."""
        try:
            found = await asyncio.to_thread(source.take_files, folder, now)
        except Unreachable as exc:
            await self._refuse(settings, exc, "pull", False)
            return
        before, left = self._left.get(settings.name, {}), {}
        for dropped in found:
            mark = hash(dropped.octets)
            if before.get(dropped.path) == mark:
                left[dropped.path] = mark
                continue
            result = await self.take(settings.name, dropped.octets, "folder")
            try:
                place = "refused" if result.refused else "done"
                await asyncio.to_thread(source.put_away, dropped.path, place, now)
            except OSError as exc:
                left[dropped.path] = mark
                facts = {"event": "directory.stuck", "directory": settings.name, "why": exc.strerror}
                log.error("a file that was imported cannot be moved away", extra=facts)
        self._left[settings.name] = left

    async def _take(
        self, settings: DirectorySettings, read: Callable[[], Sequence[Entry]], who: str, dry_run: bool
    ) -> Result:
        async with self._locks[settings.name]:
            try:
                made, unused = await self._plan(settings, read)
            except StoreError:
                raise
            except FaxError as exc:
                return await self._refuse(settings, exc, who, dry_run)
            counts = (len(made.create), len(made.change), len(made.end), made.unchanged)
            result = Result(settings.name, *counts, unused, dry_run=dry_run)
            if not dry_run:
                await self._apply(settings, made, Author(f"directory {settings.name}, {who}", self._clock()))
                await self._tell(settings, result, who)
            return result

    async def _plan(
        self, settings: DirectorySettings, read: Callable[[], Sequence[Entry]]
    ) -> tuple[Plan, Mapping[str, int]]:
        """Everything that can refuse an import. Raises Refused."""
        entries = await asyncio.to_thread(read)
        lines = [(entry.line, entry.values) for entry in entries]
        understand = meaning.senders if settings.direction is Direction.OUTBOUND else meaning.numbers
        found = await asyncio.to_thread(understand, lines)
        if found.faults:
            raise Refused(public=synchronise.told(found.faults))
        kind, begin = _kind(settings), settings.numbers
        unit = partial(synchronise.plan, customer=settings.customer, kind=kind, wanted=found.wanted, beginnings=begin)
        try:
            made = await self._store.read(unit)
        except NotFound as exc:
            raise Refused(public=f"There is no customer {settings.customer}.") from exc
        if made.deletion_rate > settings.max_deletion:
            many = f"{len(made.end)} of {made.existing} entries"
            text = f"It would end {many}, {made.deletion_rate:.1f} %; at most {settings.max_deletion:g} % may end."
            raise Refused(public=text)
        return made, found.unused

    async def _apply(self, settings: DirectorySettings, made: Plan, by: Author) -> None:
        for create, change, end in synchronise.slices(made):
            unit = partial(
                synchronise.apply,
                customer=settings.customer,
                kind=_kind(settings),
                create=create,
                change=change,
                end=end,
                by=by,
            )
            await self._store.run(unit)

    async def _refuse(self, settings: DirectorySettings, why: FaxError, who: str, dry_run: bool) -> Result:
        result = Result(settings.name, refused=why.public, dry_run=dry_run)
        if who != "pull" or self._told.get(settings.name) != result:
            facts = {"event": "directory.refused", "directory": settings.name, "why": str(why)[:MAX_WHY]}
            log.warning("import refused", extra=facts)
        if not dry_run:
            await self._tell(settings, result, who)
        return result

    async def _tell(self, settings: DirectorySettings, result: Result, who: str) -> None:
        """Journal and mails, in one transaction. A pull that comes to the same again, or to nothing, is not told."""
        now = self._clock()
        nothing = not (result.created or result.changed or result.ended or result.refused)
        quiet = who == "pull" and (nothing or self._told.get(settings.name) == result)
        self._told[settings.name] = result
        if quiet:
            return
        items = [ids.prefixed("out", now, secrets.token_bytes(ids.RANDOM_OCTETS)) for _ in settings.notify]
        await self._store.run(lambda conn: self._write(conn, settings, result, who, items, now))

    def _write(
        self,
        conn: Connection,
        settings: DirectorySettings,
        result: Result,
        who: str,
        items: Sequence[str],
        now: float,
    ) -> None:
        customer = settings.customer
        payload: dict[str, object] = {
            "name": result.name,
            "created": result.created,
            "changed": result.changed,
            "ended": result.ended,
            "unchanged": result.unchanged,
            "unused": dict(result.unused),
            "refused": result.refused,
        }
        what = "account.directory.refused" if result.refused else "account.directory.imported"
        data = {"customer": customer, "key": settings.name, **payload}
        note(conn, customer[:ENTITY], what, now=now, who=f"directory {settings.name}, {who}", data=data)
        language = directory.effective(conn, self._system, customer, "")["language"]
        for item, address in zip(items, settings.notify, strict=True):
            outbox.put(conn, item, MAIL, address, customer=customer, payload={**payload, "language": language}, now=now)


def _read(octets: bytes, direction: Direction) -> Sequence[Entry]:
    return read_directory(octets, direction)


def _known(entries: Sequence[Entry]) -> Sequence[Entry]:
    return entries


def _kind(settings: DirectorySettings) -> Kind:
    return USER if settings.direction is Direction.OUTBOUND else NUMBER
