"""How long what is kept of a fax: three times that follow from its account's settings (features H1).

When a fax is over, its documents and pages stay for `keep_days`; what `archive_days` names (the fax as sent, or as
received) stays for those; who sent what to whom, and how it went, for `metadata_days`, and never shorter than a
document of it. Each ends with a day: purged is at the first midnight, in the account's time zone, after the days.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any  # settings
from zoneinfo import ZoneInfo


class Purged(enum.IntEnum):
    """How far the purge of a fax has come; the next step takes its row away."""

    NOTHING = 0
    WORKING = 1
    """Only what is archived is left, and the metadata."""
    DOCUMENTS = 2
    """Only the metadata are left."""


@dataclass(frozen=True, slots=True)
class Retention:
    """When what is purged, Unix seconds."""

    working: float
    """Documents and pages that are not archived."""
    archive: float
    """The archived ones; the same as `working` without an archive."""
    metadata: float

    def next(self, purged: Purged) -> tuple[Purged | None, float]:
        """The step after one that is done, and when it falls due. None: the rows go."""
        match purged:
            case Purged.NOTHING if self.archive > self.working:
                return Purged.WORKING, self.working
            case Purged.NOTHING | Purged.WORKING:
                return Purged.DOCUMENTS, self.archive
            case _:
                return None, self.metadata


def retention(settings: Mapping[str, Any], finished_at: float) -> Retention:
    """The times of a fax that was over at some time.

    Args:
        settings: Keys of `account.SETTINGS`, as they were when the fax was accepted.
        finished_at: Unix seconds.
    """
    zone = ZoneInfo(settings["time_zone"])
    working = settings["keep_days"]
    archive = max(working, settings["archive_days"])
    metadata = max(archive, settings["metadata_days"])
    return Retention(*(_after(finished_at, days, zone) for days in (working, archive, metadata)))


def _after(start: float, days: int, zone: ZoneInfo) -> float:
    """The first midnight after so many days."""
    last = datetime.fromtimestamp(start, zone).date() + timedelta(days=days)
    return datetime.combine(last + timedelta(days=1), time(), zone).timestamp()
