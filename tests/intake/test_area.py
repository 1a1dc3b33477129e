"""An account's folders: what is complete, who writes, what crashes leave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from faxgw.intake import area as module
from faxgw.intake.area import Area, Areas, Inbox, owner_folder
from faxgw.intake.threads import Threads
from faxgw.intake.tree import Fault, Opening, TreeError

NEW = Opening(write=True, create=True, truncate=True)


class World:
    def __init__(self, areas: Areas, area: Area) -> None:
        self.areas = areas
        self.area = area
        self.arrived = 0
        self.asked = 0
        self.inbox = Inbox("in", areas, area, self._arrive, self._take)

    def _arrive(self) -> None:
        self.arrived += 1

    async def _take(self) -> None:
        assert self.area.lock.locked()
        self.asked += 1

    def names(self, folder: str) -> list[str]:
        return [entry.name for entry in self.area.shelf(folder).entries()]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async def room() -> None:
        pass

    threads = Threads()
    areas = Areas(tmp_path / "files", room, threads)
    yield World(areas, await areas.area("acme", "erp"))
    await areas.close()
    await threads.close()


async def test_a_file_is_complete_when_it_is_closed_and_not_before(world: World) -> None:
    file = await world.inbox.open("a", NEW)
    await file.write(0, b"123")
    assert (world.names("in"), world.names("in.partial"), world.arrived) == ([], ["a"], 0)
    await file.close(complete=True)
    assert (world.names("in"), world.names("in.partial"), world.arrived) == (["a"], [], 1)
    assert [entry.name for entry in await world.inbox.entries()] == ["a"]


async def test_a_file_that_is_left_is_half_in_the_next_life_too(world: World, tmp_path: Path) -> None:
    file = await world.inbox.open("a", NEW)
    await file.write(0, b"123")
    await file.close(complete=False)
    (again,) = await world.areas.all()
    assert again is world.area
    assert (world.names("in"), world.names("in.partial"), world.arrived) == ([], ["a"], 0)
    more = await world.inbox.open("a", Opening(write=True))
    await more.write(3, b"4")
    await more.close(complete=True)
    assert world.area.shelf("in").read("a", 10) == b"1234"


async def test_who_opens_a_whole_file_makes_it_half(world: World) -> None:
    world.area.shelf("in").put("a", b"whole")
    file = await world.inbox.open("a", Opening(write=True))
    assert (world.names("in"), world.names("in.partial")) == ([], ["a"])
    await file.close(complete=True)
    assert world.area.shelf("in").read("a", 10) == b"whole"


async def test_the_last_who_opens_it_has_it(world: World) -> None:
    first = await world.inbox.open("a", NEW)
    second = await world.inbox.open("a", NEW)
    for attempt in (first.write(0, b"1"), first.close(complete=True), first.sync(), first.entry()):
        with pytest.raises(TreeError) as caught:
            await attempt
        assert caught.value.fault is Fault.IN_USE
    await first.close(complete=False)
    await second.write(0, b"2")
    await second.close(complete=True)
    assert world.area.shelf("in").read("a", 10) == b"2"


async def test_a_file_that_is_removed_while_it_is_written_does_not_come_back(world: World) -> None:
    file = await world.inbox.open("a", NEW)
    await world.inbox.remove("a")
    with pytest.raises(TreeError):
        await file.close(complete=True)
    assert (world.names("in"), world.names("in.partial"), world.arrived) == ([], [], 0)


async def test_half_files_stay_half_under_a_new_name_and_open_ones_keep_theirs(world: World) -> None:
    world.area.shelf("in.partial").put("half", b"1")
    await world.inbox.rename("half", "job1.xml", replace=False)
    assert (world.names("in"), world.names("in.partial")) == ([], ["job1.xml"])
    file = await world.inbox.open("open", NEW)
    with pytest.raises(TreeError) as caught:
        await world.inbox.rename("open", "other", replace=True)
    assert caught.value.fault is Fault.IN_USE
    await file.close(complete=False)


async def test_a_rename_over_another_leaves_one_file(world: World) -> None:
    world.area.shelf("in").put("new", b"new")
    world.area.shelf("in.partial").put("old", b"old")
    with pytest.raises(TreeError):
        await world.inbox.rename("new", "old", replace=False)
    await world.inbox.rename("new", "old", replace=True)
    assert (world.names("in"), world.names("in.partial")) == (["old"], [])
    assert world.area.shelf("in").read("old", 10) == b"new"


async def test_many_writers_of_one_name_end_with_the_whole_file_of_one(world: World) -> None:
    """Reliability X-03: races."""

    async def write(number: int) -> bool:
        try:
            file = await world.inbox.open("a", NEW)
            for offset in range(0, 1000, 100):
                await file.write(offset, bytes([number]) * 100)
            await file.close(complete=True)
        except TreeError:
            return False
        return True

    done = await asyncio.gather(*(write(number) for number in range(1, 30)))
    content = world.area.shelf("in").read("a", 10_000)
    assert sum(done) >= 1 and len(set(content)) == 1 and len(content) == 1000


async def test_bounds(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FILE", 10)
    monkeypatch.setattr(module, "MAX_ENTRIES", 2)
    file = await world.inbox.open("a", NEW)
    for attempt in (file.write(5, b"123456"), file.resize(11)):
        with pytest.raises(TreeError) as caught:
            await attempt
        assert caught.value.fault is Fault.TOO_LARGE
    await (await world.inbox.open("b", NEW)).close(complete=True)
    with pytest.raises(TreeError) as caught:
        await world.inbox.open("c", NEW)
    assert caught.value.fault is Fault.FULL
    await file.close(complete=False)


async def test_folders_of_others_and_strange_ones_are_not_taken_for_accounts(world: World) -> None:
    base = world.areas.base
    (base / "strange").mkdir()
    other = owner_folder(base, "beta", "sap")
    other.mkdir()
    (other / "owner").write_text(json.dumps({"customer": "acme", "login": "sap"}))
    (base / "link").symlink_to(base / world.area.folder.name)
    assert [(each.customer, each.login) for each in await world.areas.all()] == [("acme", "erp")]


async def test_who_is_refused_takes_a_file_from_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second session that may not open it leaves the first one's upload alone."""
    file = await world.inbox.open("a", NEW)
    await file.write(0, b"12")
    with pytest.raises(TreeError) as refused:
        await world.inbox.open("a", Opening(write=True, create=True, exclusive=True))
    assert refused.value.fault is Fault.EXISTS
    monkeypatch.setattr(module, "MAX_ACCOUNT", 1)
    monkeypatch.setattr(module, "COUNTED_S", -1.0)
    with pytest.raises(TreeError) as refused:
        await world.inbox.open("a", NEW)
    assert refused.value.fault is Fault.FULL
    monkeypatch.setattr(module, "MAX_ACCOUNT", 1000)
    await file.write(2, b"3")
    await file.close(complete=True)
    assert world.area.shelf("in").read("a", 10) == b"123"


async def test_jobs_are_taken_before_a_complete_file_is_changed_and_only_then(world: World) -> None:
    for name in "ab":
        file = await world.inbox.open(name, NEW)
        await file.close(complete=True)
    half = await world.inbox.open("half", NEW)
    await half.close(complete=False)
    await world.inbox.open("half", NEW)
    await world.inbox.remove("half")
    assert world.asked == 0
    await world.inbox.rename("a", "c", replace=False)
    await world.inbox.rename("c", "b", replace=True)
    file = await world.inbox.open("b", NEW)
    assert world.asked == 3
    await file.close(complete=True)
    await world.inbox.remove("b")
    assert world.asked == 4


async def test_what_is_taken_already_can_be_asked_about_for_a_while(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paramiko's `put` asks for the size, WinSCP sets the times: gone at once, both would take it for lost."""
    monkeypatch.setattr(module, "RECENT_S", 600.0)
    file = await world.inbox.open("a.part", NEW)
    await file.write(0, b"123")
    await file.close(complete=True)
    await world.inbox.rename("a.part", "a", replace=False)
    assert world.area.shelf("in").remove("a"), "taken"
    entry = await world.inbox.entry("a")
    assert entry is not None and entry.size == 3 and await world.inbox.entries() == []
    assert await world.inbox.entry("a.part") is None
    with pytest.raises(TreeError) as caught:
        await world.inbox.open("a", Opening())
    assert caught.value.fault is Fault.MISSING
    with pytest.raises(TreeError) as caught:
        await world.inbox.open("a", Opening(write=True, create=True))
    assert caught.value.fault is Fault.MISSING, "resumed, it would be its own end alone"
    await (await world.inbox.open("a", NEW)).close(complete=False)
    await world.inbox.remove("a")
    assert await world.inbox.entry("a") is None
    monkeypatch.setattr(module, "RECENT_S", -1.0)
    await (await world.inbox.open("b", NEW)).close(complete=True)
    assert world.area.shelf("in").remove("b")
    assert await world.inbox.entry("b") is None


async def test_what_is_remembered_of_an_inbox_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_RECENT", 2)
    monkeypatch.setattr(module, "RECENT_S", 600.0)
    for name in "abc":
        await (await world.inbox.open(name, NEW)).close(complete=True)
        assert world.area.shelf("in").remove(name)
    assert [await world.inbox.entry(name) is not None for name in "abc"] == [False, True, True]
