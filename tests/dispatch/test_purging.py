"""The purger: rests while the clock is in doubt, and leaves nothing in any file of the data folder (features H1)."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from sqlalchemy import insert, select, update

from faxgw.dispatch.purging import ClockInDoubt, Purger
from faxgw.fax.outcome import Cause
from faxgw.store import audit, journal, queue
from faxgw.store import schema as t
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

DAY = 86_400.0
MARK = "Zanzibar-Quagga-4711"


async def sent(house: House, mark: str = MARK) -> str:
    """A fax that was sent, with a mark in all that is known of it; its files too."""
    job, (fax,) = await house.job("+33199000001", pages=1, keep_days=1, metadata_days=2)
    file = await house.keep(b"%PDF " + mark.encode())
    where = t.job_documents.c.job == job
    values = {"key": file.key, "sha256": file.sha256, "size": file.size, "name": mark}
    await house.change(update(t.job_documents).where(where).values(**values))
    await house.call(fax, Cause.OK, confirmed=1)
    await house.change(update(t.jobs).values(subject=mark, cover_text=mark * 3000))
    await house.change(update(t.outbox).values(state="done", payload={"subject": mark}))
    return job


def files_with(folder: Path, mark: str) -> list[str]:
    """Files of a folder that hold a mark anywhere."""
    paths = [Path(top) / name for top, _folders, names in os.walk(folder) for name in names]
    return sorted(path.name for path in paths if path.is_file() and mark.encode() in path.read_bytes())


async def test_after_the_purge_no_file_of_the_data_folder_holds_a_word_of_the_fax(
    house: House, house_engine: str
) -> None:
    """Database, free pages, write-ahead log, spool. PostgreSQL's own files are not ours (docs/archive.md)."""
    await sent(house)
    assert files_with(house.folder, MARK)
    house.clock.now += 5 * DAY
    sqlite = house_engine == "sqlite"
    purger = Purger(house.seat(), lambda: True, house.folder / "faxgw.db" if sqlite else None)
    await purger.run(pause=0.0)
    await purger.run(pause=0.0)
    assert files_with(house.folder, MARK) == []
    assert (purger.counts.documents, purger.counts.faxes) == (1, 1) and purger.counts.files >= 2


async def test_nothing_is_purged_while_the_clock_is_in_doubt(house: House) -> None:
    await sent(house)
    house.clock.now += 5 * DAY
    with pytest.raises(ClockInDoubt, match="jumped"):
        await Purger(house.seat(), lambda: False).run(pause=0.0)
    await house.do(journal.note, "x", "y", now=house.now + 301)
    with pytest.raises(ClockInDoubt, match="after now"):
        await Purger(house.seat(), lambda: True).run(pause=0.0)
    assert files_with(house.folder, MARK)


async def test_a_clock_that_jumps_between_two_steps_stops_the_purge_there(house: House) -> None:
    for _ in range(3):
        await sent(house)
    house.clock.now += 5 * DAY
    looks = iter([True, True, False])
    purger = Purger(house.seat(), lambda: next(looks))
    with pytest.raises(ClockInDoubt):
        await purger.run(pause=0.0)
    assert purger.counts.documents == 1


async def test_a_restored_backup_is_not_purged_before_its_release(house: House) -> None:
    await sent(house)
    house.clock.now += 5 * DAY
    await house.do(journal.note, queue.RESTORE, queue.RESTORE_BEGUN, now=house.now)
    with pytest.raises(ClockInDoubt, match="restored"):
        await Purger(house.seat(), lambda: True).run(pause=0.0)


async def test_anchors_are_appended_and_hold(house: House, tmp_path: Path) -> None:
    purger = Purger(house.seat(), lambda: True, anchors=tmp_path / "anchors")
    await purger.anchor()
    assert not (tmp_path / "anchors").exists()  # nothing to anchor yet
    for number in range(3):
        await house.do(audit.write, "x", f"e{number}", who="w", way="api", now=house.now)
        await purger.anchor()
    lines = (tmp_path / "anchors").read_text().splitlines()
    assert [line.split()[1].split(":")[0] for line in lines] == ["1", "2", "3"]


async def test_records_of_the_audit_go_after_their_years(house: House) -> None:
    await house.do(audit.write, "x", "old", who="w", way="api", now=house.now)
    house.clock.now += 31 * DAY
    await Purger(house.seat(), lambda: True, audit_days=30).run(pause=0.0)
    (record,) = await house.ask(audit.listed)
    assert record.what == audit.SHORTENED and json.loads(record.data)["last"] == 1


async def test_what_was_said_of_a_sender_of_junk_goes_after_its_days(house: House) -> None:
    what = {"kind": "caller", "value": "+4989555", "verdict": "junk", "at": house.now, "by": "alice"}
    numbers = [f"+3319900{number:04}" for number in range(45)]  # more than one unit takes
    for number in numbers:
        await house.change(insert(t.junk_verdicts).values(number=number, **what))
    purger = Purger(house.seat(), lambda: True)
    house.clock.now += 179 * DAY
    await purger.run(pause=0.0)
    assert len(await house.rows(select(t.junk_verdicts))) == len(numbers)
    house.clock.now += 2 * DAY
    await purger.run(pause=0.0)
    assert await house.rows(select(t.junk_verdicts)) == []
