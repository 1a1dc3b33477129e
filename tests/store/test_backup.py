"""Backups of a running gateway, and their restore into a new folder."""

from __future__ import annotations

import asyncio
import io
import json
import sqlite3
import tarfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from faxgw.fax.outcome import Cause, Outcome
from faxgw.store import backup, directory, node
from faxgw.store import schema as t
from faxgw.store.archive import DATABASE, MANIFEST, SUMS, BackupFailed
from faxgw.store.engine import open_store
from faxgw.store.files import Files
from faxgw.store.migrate import upgrade
from tests.house import NODE, NOON, SEED, House

LATER = NOON + 3600


async def house_at(folder: Path) -> House:
    """A gateway's store and files on SQLite, at its next life."""
    await asyncio.to_thread(upgrade, f"sqlite:///{folder / DATABASE}")
    store = open_store(f"sqlite:///{folder / DATABASE}", lambda error: pytest.fail(str(error)))
    await store.start()
    lease = await store.run(lambda conn: node.register(conn, NODE, NOON))
    files = Files(folder, NODE, lease.incarnation)
    await files.start()
    return House(folder, store, files, lease.fence)


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[House]:
    folder = tmp_path / "data"
    folder.mkdir()
    house = await house_at(folder)
    await house.do(directory.seed, SEED)
    yield house
    await house.files.close()
    await house.store.close()


@pytest.fixture(params=["backup", "backup.tar"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / str(request.param)


async def make(house: House, target: Path) -> backup.Manifest:
    return await asyncio.to_thread(backup.make, house.folder, target, NOON)


async def unpack(target: Path, data: Path) -> backup.Restored:
    return await asyncio.to_thread(backup.unpack, target, data, LATER)


def all_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def left_over(folder: Path) -> list[str]:
    return [name for name in all_in(folder) if name.startswith(".")]


async def test_a_backup_under_load_is_whole_and_its_restore_holds_everything(
    live: House, target: Path, tmp_path: Path
) -> None:
    """Every object that a row of the copy names is in it, whatever is written meanwhile."""
    accepted: list[str] = []
    running = asyncio.Event()

    async def load(lane: int) -> None:
        while not running.is_set():
            _job, faxes = await live.job(f"+3319900{lane}{len(accepted):04}", ready=False)
            accepted.extend(faxes)

    await live.ready_fax("+33199009999")
    writers = [asyncio.create_task(load(lane)) for lane in range(4)]
    before = len(accepted)
    manifest = await make(live, target)
    running.set()
    await asyncio.gather(*writers)
    assert len(accepted) > before, "nothing was written meanwhile"
    assert not manifest.damaged
    done = await unpack(target, tmp_path / "new")
    restored = await house_at(tmp_path / "new")
    faxes = await restored.rows(select(t.faxes))
    assert 0 < done.held == len(faxes) <= len(accepted) + 1
    assert {fax.state for fax in faxes} == {"held"}
    documents = await restored.rows(select(t.job_documents.c.key))
    assert len(documents) == len(faxes)
    assert {(tmp_path / "new" / row.key).read_bytes() for row in documents} == {b"%PDF document"}
    assert restored.fence > done.epoch
    assert left_over(tmp_path) == []
    await restored.files.close()
    await restored.store.close()


async def test_a_restored_gateway_keeps_what_was_sent_and_doubts_what_was_being_sent(
    live: House, target: Path, tmp_path: Path
) -> None:
    sent, doubt = await live.ready_fax("+33199000001"), await live.ready_fax("+33199000002")
    await live.call(sent, Outcome(Cause.OK), confirmed=2)
    attempt = await live.plan(doubt)
    assert await live.answer(attempt) and await live.expose(attempt, doubt)
    await make(live, target)
    done = await unpack(target, tmp_path / "new")
    assert (done.held, done.unknown, done.asleep) == (0, 1, 2)
    restored = await house_at(tmp_path / "new")
    assert (await restored.state(sent), await restored.state(doubt)) == ("sent", "unknown")
    await restored.files.close()
    await restored.store.close()


async def test_a_damaged_object_is_named_and_everything_else_is_kept(live: House, target: Path, tmp_path: Path) -> None:
    await live.ready_fax()
    stored = (await live.rows(select(t.jobs)))[0].body_key
    (live.folder / stored).write_bytes(b"II*\0 bodY")
    gone = (await live.rows(select(t.job_documents)))[0].key
    (live.folder / gone).unlink()
    manifest = await make(live, target)
    assert set(manifest.damaged) == {stored, gone}
    assert (await unpack(target, tmp_path / "new")).held == 1
    assert not (tmp_path / "new" / stored).exists()


def flip(path: Path) -> None:
    octets = bytearray(path.read_bytes())
    octets[len(octets) // 2] ^= 1
    path.write_bytes(octets)


def an_object(folder: Path) -> Path:
    return next(path for path in (folder / "objects").rglob("*") if path.is_file())


def outside(folder: Path) -> None:
    """A name that leads out of the folder, with hashes that are right."""
    sums = (folder / SUMS).read_text() + "0" * 64 + "  objects/00/../../../evil\n"
    resum(folder, sums)


def forgotten(folder: Path) -> None:
    """A list without an object that a row names."""
    lines = (folder / SUMS).read_text().splitlines(keepends=True)
    resum(folder, "".join(lines[:-1]))


def resum(folder: Path, sums: str) -> None:
    import hashlib

    (folder / SUMS).write_text(sums)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest |= {"sums": hashlib.sha256(sums.encode()).hexdigest(), "objects": sums.count("\n") - 1}
    (folder / MANIFEST).write_text(json.dumps(manifest))


def later(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**manifest, "revision": "9999"}))


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: flip(an_object(folder)),
        lambda folder: an_object(folder).unlink(),
        lambda folder: flip(folder / DATABASE),
        lambda folder: flip(folder / SUMS),
        lambda folder: (folder / MANIFEST).write_text("{}"),
        lambda folder: (folder / MANIFEST).unlink(),
        outside,
        forgotten,
        later,
    ],
    ids=["object", "object gone", "database", "sums", "manifest", "no manifest", "outside", "forgotten", "later"],
)
async def test_a_damaged_backup_is_refused_and_leaves_nothing(
    live: House, tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    await live.ready_fax()
    target = tmp_path / "backup"
    await make(live, target)
    await asyncio.to_thread(damage, target)
    with pytest.raises(BackupFailed):
        await unpack(target, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert left_over(tmp_path) == []


async def test_a_cut_tar_file_is_refused(live: House, tmp_path: Path) -> None:
    await live.ready_fax()
    target = tmp_path / "backup.tar"
    await make(live, target)
    target.write_bytes(target.read_bytes()[: target.stat().st_size // 2])
    with pytest.raises(BackupFailed):
        await unpack(target, tmp_path / "new")


async def test_nothing_is_overwritten(live: House, target: Path, tmp_path: Path) -> None:
    await make(live, target)
    with pytest.raises(BackupFailed, match="exists"):
        await make(live, target)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "file").touch()
    with pytest.raises(BackupFailed, match="in use"):
        await unpack(target, tmp_path / "new")
    with pytest.raises(BackupFailed, match="in use"):
        await unpack(target, live.folder)
    (tmp_path / "new" / "file").unlink()
    await unpack(target, tmp_path / "new")
    assert (tmp_path / "new" / DATABASE).exists()


async def test_a_backup_that_fails_leaves_nothing(
    live: House, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await live.ready_fax()

    def full(*_: object) -> bool:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backup, "_add", full)
    with pytest.raises(BackupFailed):
        await make(live, target)
    assert left_over(tmp_path) == []
    assert all_in(tmp_path) == ["data"]


async def test_the_list_is_what_sha256sum_reads_and_the_copy_needs_no_log(live: House, tmp_path: Path) -> None:
    await live.ready_fax()
    await make(live, tmp_path / "backup")
    check = await asyncio.create_subprocess_exec(
        "sha256sum", "--check", "--quiet", SUMS, cwd=tmp_path / "backup", stdout=asyncio.subprocess.PIPE
    )
    out, _err = await check.communicate()
    assert (check.returncode, out) == (0, b"")
    copy = sqlite3.connect(tmp_path / "backup" / DATABASE)
    assert copy.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    copy.close()


async def test_a_tar_is_one_that_tar_reads(live: House, tmp_path: Path) -> None:
    await live.ready_fax()
    await make(live, tmp_path / "backup.tar")
    with tarfile.open(fileobj=io.BytesIO((tmp_path / "backup.tar").read_bytes())) as file:
        names = file.getnames()
    assert names[0] == DATABASE
    assert names[-1] == MANIFEST


def test_every_object_that_a_table_names_is_found_by_its_columns() -> None:
    tables = {table for table, *_columns in backup.columns()}
    assert {"messages", "jobs", "job_documents", "attempt_faxes"} <= tables
    assert "dedupe" not in tables
