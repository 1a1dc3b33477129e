"""The three times of a fax, and their steps (features H1)."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from faxgw.fax.retention import Purged, retention

PARIS = ZoneInfo("Europe/Paris")


def at(*when: int) -> float:
    return datetime(*when, tzinfo=PARIS).timestamp()  # type: ignore[misc,arg-type]  # year, month, day, …


def times(finished: float, keep: int, archive: int, metadata: int) -> tuple[float, float, float]:
    settings = {"time_zone": "Europe/Paris", "keep_days": keep, "archive_days": archive, "metadata_days": metadata}
    found = retention(settings, finished)
    return found.working, found.archive, found.metadata


@pytest.mark.parametrize("hour", [0, 12, 23])
def test_the_days_end_at_the_first_midnight_after_them(hour: int) -> None:
    """A fax of the 1st kept for 10 days is there on the 11th and goes in the night to the 12th."""
    assert times(at(2026, 11, 1, hour), 10, 0, 10) == (at(2026, 11, 12),) * 3


def test_a_change_of_the_clocks_is_no_change_of_the_day() -> None:
    assert times(at(2026, 10, 24, 12), 1, 0, 2)[:1] == (at(2026, 10, 26),)


def test_metadata_outlive_documents_and_the_archive_the_working_days() -> None:
    assert times(at(2026, 1, 1, 9), 30, 10, 1) == (at(2026, 2, 1),) * 3
    working, archive, metadata = times(at(2026, 1, 1, 9), 30, 365, 180)
    assert working < archive == metadata


def test_steps_without_and_with_an_archive() -> None:
    settings = {"time_zone": "UTC", "keep_days": 1, "archive_days": 0, "metadata_days": 5}
    plain = retention(settings, 0.0)
    assert plain.next(Purged.NOTHING) == (Purged.DOCUMENTS, plain.working)
    assert plain.next(Purged.DOCUMENTS) == (None, plain.metadata)
    kept = retention({**settings, "archive_days": 3}, 0.0)
    assert kept.next(Purged.NOTHING) == (Purged.WORKING, kept.working)
    assert kept.next(Purged.WORKING) == (Purged.DOCUMENTS, kept.archive)
