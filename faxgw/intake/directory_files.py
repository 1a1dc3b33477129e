"""Directories of users and numbers that a customer drops as CSV: `<name of the directory>.csv`, imported at once.

What came of it is mailed as for every import, and told in `out` as `directory-<name>.result.json`. Done again after a
crash, an import changes nothing more.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Protocol  # results of imports, as their dataclass has them

from faxgw.formats.directory_csv import MAX_OCTETS
from faxgw.formats.drop_name import RESULT
from faxgw.intake.collector import Choice, Drop, Turned
from faxgw.intake.shelf import Entry, Shelf
from faxgw.intake.taking import Taken
from faxgw.intake.threads import Threads

CSV = ".csv"

log = logging.getLogger(__name__)


class Imports(Protocol):
    """Imports of directories (`directory_import.DirectoryImports`)."""

    def owned(self, customer: str) -> Sequence[str]:
        """Names of a customer's directories."""
        ...

    async def take(self, name: str, octets: bytes, who: str, *, dry_run: bool = False) -> Any:
        """Import a CSV file."""
        ...


class DirectoryFiles:
    """Handles directories.

    Args:
        imports: Imports them.
        threads: For what blocks.
    """

    def __init__(self, imports: Imports, threads: Threads) -> None:
        self._imports = imports
        self._threads = threads

    def choose(self, drop: Drop, inbox: Shelf, entries: Sequence[Entry], now: float) -> tuple[list[Choice], bool]:
        """The oldest CSV file: one after the other, for the last one counts."""
        return [Choice(entry.name) for entry in entries if entry.name.lower().endswith(CSV)][:1], False

    async def ask(self, drop: Drop, now: float) -> bool:
        """See `collector.Handler`: nothing waits here."""
        return False

    async def finish(self, drop: Drop, taken: Taken) -> None:
        """Import it, and tell."""
        name = taken.cause[: -len(CSV)]
        try:
            customer = (await drop.sender()).principal.customer
            owned = self._imports.owned(customer)
            name = name if name in owned or len(owned) != 1 else owned[0]
            if name not in owned:
                told: dict[str, object] = {
                    "refused": f"There is no directory of this name; there are {', '.join(owned)}."
                }
            else:
                octets = await self._threads.run(lambda: taken.read_cause(MAX_OCTETS + 1))
                told = asdict(await self._imports.take(name, octets, drop.name))
        except Turned as exc:
            told = {"refused": exc.public}
        octets = (json.dumps(told, indent=2, ensure_ascii=False, default=str) + "\n").encode()
        await self._threads.run(lambda: drop.out().put(f"directory-{name}{RESULT}", octets))
        log.info("directory dropped", extra={"event": "files.directory", "drop": drop.name, "directory": name})
        await self._threads.run(taken.forget)
