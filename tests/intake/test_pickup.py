"""Pick-up areas as a visitor of the file servers sees them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from faxgw.fax.access import Caller, Denial, Interface, Scope
from faxgw.fax.errors import FaxError
from faxgw.intake.area import Areas
from faxgw.intake.pickup import DAY_S, KEEP_DAYS, Pickup
from faxgw.intake.threads import Threads
from faxgw.intake.tree import Fault, Opening, Tree, TreeError, read_path

NOW = 1_795_000_000.0


def caller(login: str, *scopes: Scope) -> Caller:
    return Caller("acme", "", login, "", frozenset(scopes or {Scope.INBOX_READ}), "", frozenset())


@dataclass
class World:
    pickup: Pickup
    removed: list[tuple[str, str, str]] = field(default_factory=list)
    read: list[tuple[str, str, str]] = field(default_factory=list)
    fault: FaxError | None = None

    async def again(self, name: str, customer: str, interface: Interface) -> Caller | Denial:
        return caller(name) if (name, customer) in (("erp", "acme"), ("crm", "acme")) else Denial.UNKNOWN

    async def holds(self, callers: Sequence[Caller], interface: Interface) -> Sequence[bool]:
        return [True for _caller in callers]

    async def note(self, customer: str, login: str, name: str) -> None:
        self.removed.append((customer, login, name))

    async def record(self, customer: str, login: str, name: str) -> None:
        if self.fault is not None:
            raise self.fault
        self.read.append((customer, login, name))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    threads = Threads()

    async def room() -> None:
        pass

    areas = Areas(tmp_path / "pickup", room, threads)
    made = World.__new__(World)
    made.removed, made.read, made.fault = [], [], None
    made.pickup = Pickup(tmp_path / "pickup", areas, made, made.note, made.record)  # type: ignore[arg-type]  # what is asked of it
    yield made
    made.pickup.close()
    await threads.close()


async def test_a_login_sees_reads_and_removes_its_faxes_and_nobody_elses(world: World) -> None:
    path = await world.pickup.folder("acme", "erp", "")
    assert path is not None
    (path / "fax.pdf").write_bytes(b"%PDF")
    (path / ".fax2.pdf.part").write_bytes(b"half")
    tree = Tree(await world.pickup.places(caller("erp")))
    assert list(tree.places) == ["faxes"]
    assert [entry.name for entry in await tree.places["faxes"].entries()] == ["fax.pdf"]
    opened = await tree.open(read_path("/faxes/fax.pdf"), Opening())
    assert world.read == [("acme", "erp", "fax.pdf")]
    assert await opened.read(0, 100) == b"%PDF"
    await opened.close(complete=True)
    with pytest.raises(TreeError):
        await tree.open(read_path("/faxes/new.pdf"), Opening(write=True, create=True))
    assert await world.pickup.places(caller("crm")) == []
    await tree.remove(read_path("/faxes/fax.pdf"))
    assert world.removed == [("acme", "erp", "fax.pdf")]
    assert os.listdir(path) == [".fax2.pdf.part"]


async def test_what_cannot_be_recorded_is_not_read(world: World) -> None:
    """docs/audit.md: the record is there before the first octet leaves."""
    path = await world.pickup.folder("acme", "erp", "")
    assert path is not None
    (path / "fax.pdf").write_bytes(b"%PDF")
    tree = Tree(await world.pickup.places(caller("erp")))
    world.fault = FaxError("database or disk is full")
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(TreeError) as failed:
        await tree.open(read_path("/faxes/fax.pdf"), Opening())
    assert failed.value.fault is Fault.FAILED
    assert len(os.listdir("/proc/self/fd")) == before, "the file was closed"
    with pytest.raises(TreeError) as missing:
        await tree.open(read_path("/faxes/none.pdf"), Opening())
    assert missing.value.fault is Fault.MISSING and world.read == []


async def test_who_may_not_read_the_inbox_sees_none(world: World) -> None:
    assert await world.pickup.folder("acme", "erp", "") is not None
    assert await world.pickup.places(caller("erp", Scope.FAXES_WRITE)) == []


@pytest.mark.parametrize(("login", "name"), [("none", ""), ("erp", "in"), ("erp", "a/b"), ("erp", ".."), ("erp", ".x")])
async def test_there_is_no_area_of_strangers_and_none_over_other_folders(world: World, login: str, name: str) -> None:
    assert await world.pickup.folder("acme", login, name) is None
    assert await world.pickup.places(caller("erp")) == []


async def test_what_nobody_fetched_goes_after_fourteen_days(world: World) -> None:
    path = await world.pickup.folder("acme", "erp", "invoices")
    assert path is not None
    for name, age in (("old.pdf", KEEP_DAYS * DAY_S + 60), ("new.pdf", KEEP_DAYS * DAY_S - 60)):
        (path / name).write_bytes(b"%PDF")
        os.utime(path / name, (NOW - age, NOW - age))
    assert await world.pickup.prune(NOW) == 1
    assert os.listdir(path) == ["new.pdf"]
