"""The journal (docs/spine.md section 1)."""

from __future__ import annotations

import pytest

from faxgw.store import journal
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_entries_of_an_entity_and_of_its_job_come_in_order(house: House) -> None:
    await house.do(journal.note, "F1", "job.accepted", now=1.0, who="alice", job="F1", data={"faxes": 2})
    await house.do(journal.note_all, ["FN1", "FN2"], "fax.accepted", now=2.0, job="F1")
    await house.do(journal.note, "FN1", "fax.ready", now=3.0, job="F1")
    await house.do(journal.note, "F2", "job.accepted", now=4.0)
    of_job = await house.ask(journal.of_entity, "F1")
    assert [(e.entity, e.what) for e in of_job] == [
        ("F1", "job.accepted"),
        ("FN1", "fax.accepted"),
        ("FN2", "fax.accepted"),
        ("FN1", "fax.ready"),
    ]
    assert (of_job[0].who, of_job[0].data, of_job[1].who) == ("alice", {"faxes": 2}, "gateway")
    assert [e.what for e in await house.ask(journal.of_entity, "FN1")] == ["fax.accepted", "fax.ready"]


async def test_a_long_history_shows_its_newest_part(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "MAX_EVENTS_SHOWN", 3)
    for number in range(5):
        await house.do(journal.note, "F1", f"event.{number}", now=float(number))
    assert [e.what for e in await house.ask(journal.of_entity, "F1")] == ["event.2", "event.3", "event.4"]


async def test_nothing_noted_is_no_statement(house: House) -> None:
    await house.do(journal.note_all, [], "fax.accepted", now=0.0, job="F1")
    assert await house.ask(journal.of_entity, "F1") == []
