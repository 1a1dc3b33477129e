"""Who is recorded once, and what becomes of a recording."""

from __future__ import annotations

import pytest

from faxgw.dispatch import recordings
from faxgw.dispatch.recordings import RecordingKeeper
from faxgw.fax.errors import Refused
from faxgw.store.errors import ObjectMissing
from faxgw.store.recordings import RecordingFolder
from faxgw.store.space import Watermark
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")


def keeper(house: House, floor: int = 0, keep_for: float = 3600.0) -> RecordingKeeper:
    watermark = Watermark(floor, render_budget=0, percent=0)
    forms = {"recording": bytes, "backwards": lambda octets: octets[::-1]}
    return RecordingKeeper(house.seat(), RecordingFolder(house.folder), watermark, keep_for, forms)


@pytest.mark.parametrize("spelling", ["+33 1 99 00 00 01", "0033199000001", "0199000001", "33199000001"])
async def test_the_next_call_of_a_number_is_recorded_once_however_it_is_spelt(house: House, spelling: str) -> None:
    kept = keeper(house)
    kept.ask(spelling, "root")
    assert not kept.asked("+33199000002", "")
    assert kept.asked("+33155500000", "+33199000001")
    assert not kept.asked("+33199000001")


@pytest.mark.parametrize("nonsense", ["", "123", "hello", "+"])
async def test_what_is_no_number_is_refused(house: House, nonsense: str) -> None:
    with pytest.raises(Refused):
        keeper(house).ask(nonsense, "root")


async def test_a_caller_without_a_number_is_nobody_that_was_asked_for(house: House) -> None:
    kept = keeper(house)
    kept.ask("+33199000001", "root")
    assert not kept.asked("", "anonymous")


async def test_wishes_are_bounded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recordings, "MAX_ASKED", 2)
    kept = keeper(house)
    for number in ("+33199000001", "+33199000002", "+33199000003"):
        kept.ask(number, "root")
    assert [kept.asked(f"+3319900000{n}") for n in (1, 2, 3)] == [False, True, True]


async def test_a_recording_is_read_in_the_form_that_is_asked_for(house: House) -> None:
    kept = keeper(house, keep_for=1e12)
    await kept.keep("att_1", b"octets")
    assert await kept.read("att_1", "recording") == b"octets"
    assert await kept.read("att_1", "backwards") == b"stetco"
    with pytest.raises(Refused):
        await kept.read("att_1", "mp3")
    with pytest.raises(ObjectMissing):
        await kept.read("att_2", "recording")


async def test_nothing_is_kept_on_a_full_disk_and_nobody_hears_of_it(house: House) -> None:
    kept = keeper(house, floor=2**62)
    await kept.keep("att_9", b"octets")
    with pytest.raises(ObjectMissing):
        await kept.read("att_9", "recording")


async def test_a_recording_is_forgotten_in_time(house: House) -> None:
    kept = keeper(house, keep_for=1e12)
    await kept.keep("att_1", b"octets")
    aged = keeper(house, keep_for=-1e12)
    await aged.prune()
    with pytest.raises(ObjectMissing):
        await kept.read("att_1", "recording")
