"""docs/spine.md sections 5 (250) and 7: a spool object is durable or it is not there."""

import asyncio
import errno
import hashlib
import os
import stat
import threading
from collections.abc import AsyncIterator, Collection, Sequence
from pathlib import Path

import pytest

from faxgw.fax.ports import StoredFile
from faxgw.store import files as files_module
from faxgw.store import rounds
from faxgw.store.errors import FileFailed, ObjectDamaged, ObjectMissing, ObjectTooLarge, OutOfSpace, StoreError
from faxgw.store.files import BUFFER_BYTES, GATHERED_FILES, Files, Kind, Swept
from faxgw.store.space import FreeSpace, Watermark
from tests.patience import PATIENCE_S


@pytest.fixture
async def files(tmp_path: Path) -> AsyncIterator[Files]:
    opened = Files(tmp_path, "n1", 3)
    await opened.start()
    yield opened
    await opened.close()


def objects(root: Path) -> list[str]:
    """All files below the data folder, by relative path."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def written(files: Files, data: bytes, kind: Kind = Kind.MAIL) -> StoredFile:
    async with await files.open_temp(kind) as file:
        await file.write(data)
        return await file.commit()


async def content(files: Files, stored: StoredFile) -> bytes:
    fd = await files.open_read(stored)
    with os.fdopen(fd, "rb") as file:
        return file.read()


async def test_what_was_written_is_read_back(files: Files, tmp_path: Path) -> None:
    data = os.urandom(3 * BUFFER_BYTES + 17)
    async with await files.open_temp(Kind.MAIL) as file:
        for start in range(0, len(data), 50_000):
            await file.write(data[start : start + 50_000])
        stored = await file.commit()
    assert stored.size == len(data) and stored.sha256 == hashlib.sha256(data).hexdigest()
    assert await content(files, stored) == data
    assert objects(tmp_path) == [stored.key]
    assert stored.key.startswith("spool/") and stored.key.endswith(".n1.3")


async def test_an_empty_object_is_an_object(files: Files) -> None:
    assert await content(files, await written(files, b"")) == b""


async def test_folders_and_objects_are_private(files: Files, tmp_path: Path) -> None:
    stored = await written(files, b"x", Kind.OBJECT)
    assert mode(tmp_path / stored.key) == 0o600
    assert {mode(tmp_path / folder) for folder in ("tmp", "spool", "objects", "spool/00", "objects/ff")} == {0o700}


async def test_memory_is_bounded_while_a_file_is_written(files: Files, tmp_path: Path) -> None:
    async with await files.open_temp(Kind.MAIL) as file:
        for _ in range(40):
            await file.write(bytes(BUFFER_BYTES // 4))
            assert len(file._buffer) < BUFFER_BYTES
        (name,) = objects(tmp_path)
        assert name.startswith("tmp/") and (tmp_path / name).stat().st_size == file.size == 10 * BUFFER_BYTES


async def test_an_object_is_synced_then_renamed_then_its_folder_is_synced(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reliability finding 3: renamed without a sync of the folder, it comes back under its temporary name. Only what is
    larger than the buffer is renamed: it lies half written for as long as its sender takes."""
    steps: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def record_fsync(fd: int) -> None:
        steps.append("sync folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "sync file")
        fsync(fd)

    def record_rename(path: Path, target: Path) -> Path:
        steps.append("rename")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(Path, "rename", record_rename)
    await written(files, bytes(BUFFER_BYTES + 1))
    assert steps == ["sync file", "rename", "sync folder"]


def in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds whose system calls a test can take hold of; `test_rounds` compares them with those in C."""
    monkeypatch.setattr(rounds, "library", lambda: None)


def fail_the(monkeypatch: pytest.MonkeyPatch, nth: int, *, folder: bool) -> list[str]:
    """Record the steps of what is made durable; the nth sync (from 1; 0: none) of a file or folder fails."""
    in_python(monkeypatch)
    steps: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def sync(fd: int) -> None:
        steps.append("sync folder" if (of_folder := stat.S_ISDIR(os.fstat(fd).st_mode)) else "sync file")
        if of_folder == folder and steps.count(steps[-1]) == nth:
            raise OSError(errno.EIO, "Input/output error")
        fsync(fd)

    def name(path: Path, target: Path) -> Path:
        steps.append("rename")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "rename", name)
    return steps


async def test_small_files_of_one_moment_are_made_durable_together_each_by_the_same_steps(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = fail_the(monkeypatch, 0, folder=False)
    stored = await asyncio.gather(*(written(files, b"mail %d" % n) for n in range(3)))
    assert steps == ["sync file"] * 3 + ["sync folder"]
    assert [await content(files, file) for file in stored] == [b"mail 0", b"mail 1", b"mail 2"]
    steps.clear()
    await asyncio.gather(*(written(files, b"mail") for _ in range(GATHERED_FILES + 1)))
    assert steps.count("sync folder") == 2


async def test_what_is_large_holds_up_no_round(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = fail_the(monkeypatch, 0, folder=False)
    large = bytes(BUFFER_BYTES + 1)
    kept = await asyncio.gather(files.keep(b"a"), files.keep(large), files.keep(b"b"), written(files, large))
    assert [await content(files, one) for one in kept] == [b"a", large, b"b", large]
    assert steps.count("sync folder") == 3


async def test_of_files_made_durable_together_one_that_fails_is_dropped_alone(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_the(monkeypatch, 2, folder=False)
    found = await asyncio.gather(*(written(files, b"mail %d" % n) for n in range(3)), return_exceptions=True)
    first, lost, last = found
    assert isinstance(lost, FileFailed)
    assert isinstance(first, StoredFile) and isinstance(last, StoredFile)
    assert objects(tmp_path) == sorted([first.key, last.key])


async def test_of_files_made_durable_together_none_is_when_their_folder_is_not(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_the(monkeypatch, 1, folder=True)
    found = await asyncio.gather(*(written(files, b"mail") for _ in range(3)), return_exceptions=True)
    assert [type(error) for error in found] == [FileFailed] * 3
    assert len(set(map(id, found))) == 3
    assert objects(tmp_path) == []


async def test_a_caller_who_goes_takes_his_file_with_him_and_no_other(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, go = threading.Event(), threading.Event()
    fsync = os.fsync

    def slow(fd: int) -> None:
        entered.set()
        assert go.wait(PATIENCE_S)
        fsync(fd)

    in_python(monkeypatch)
    monkeypatch.setattr(os, "fsync", slow)
    running = [asyncio.ensure_future(written(files, b"mail")) for _ in range(3)]
    assert await asyncio.to_thread(entered.wait, 10)
    waiting = [asyncio.ensure_future(written(files, b"mail")) for _ in range(2 * GATHERED_FILES)]
    for _ in range(10):
        await asyncio.sleep(0)
    gone = [running[1], waiting[0], waiting[-1]]
    for task in gone:
        task.cancel()
    await asyncio.sleep(0)
    go.set()
    found = await asyncio.gather(*running, *waiting, return_exceptions=True)
    assert [type(one) for one in found].count(asyncio.CancelledError) == 3
    assert objects(tmp_path) == sorted(one.key for one in found if isinstance(one, StoredFile))
    assert len(objects(tmp_path)) == 2 * GATHERED_FILES


async def test_a_file_that_is_not_committed_is_removed(files: Files, tmp_path: Path) -> None:
    async with await files.open_temp(Kind.MAIL) as file:
        await file.write(bytes(BUFFER_BYTES))
    with pytest.raises(ValueError, match="client gone"):
        async with await files.open_temp(Kind.MAIL) as file:
            await file.write(b"half a mail")
            raise ValueError("client gone")
    assert objects(tmp_path) == []
    with pytest.raises(FileFailed):
        await file.commit()


async def test_a_committed_file_is_not_discarded(files: Files, tmp_path: Path) -> None:
    file = await files.open_temp(Kind.MAIL)
    await file.write(b"mail")
    stored = await file.commit()
    await file.discard()
    assert objects(tmp_path) == [stored.key]
    with pytest.raises(FileFailed):
        await file.write(b"more")


@pytest.mark.parametrize("folder", [False, True], ids=["of the file", "of the folder"])
async def test_a_failed_sync_is_final(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: bool
) -> None:
    """Reliability rule 2: after a failed fsync the kernel forgets the pages, a second one would lie."""
    fsync = os.fsync
    failed: list[int] = []

    def fail(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode) != folder:
            return fsync(fd)
        failed.append(fd)
        raise OSError(errno.EIO, "Input/output error")

    in_python(monkeypatch)
    monkeypatch.setattr(os, "fsync", fail)
    async with await files.open_temp(Kind.MAIL) as file:
        await file.write(b"mail")
        with pytest.raises(FileFailed) as caught:
            await file.commit()
        assert caught.value.temporary and str(tmp_path) not in caught.value.public
        with pytest.raises(FileFailed):
            await file.commit()
    assert len(failed) == 1
    assert objects(tmp_path) == []


@pytest.mark.parametrize(
    ("code", "kind"), [(errno.ENOSPC, OutOfSpace), (errno.EDQUOT, OutOfSpace), (errno.EIO, FileFailed)]
)
async def test_a_failed_write_drops_the_file(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[StoreError]
) -> None:
    def fail(fd: int, data: object) -> int:
        raise OSError(code, os.strerror(code))

    async with await files.open_temp(Kind.MAIL) as file:
        monkeypatch.setattr(os, "write", fail)
        with pytest.raises(kind):
            await file.write(bytes(BUFFER_BYTES))
        assert objects(tmp_path) == []
        with pytest.raises(FileFailed):
            await file.commit()


async def test_a_short_write_is_continued(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:1000]))
    data = os.urandom(10_500)
    stored = await written(files, data)
    assert await content(files, stored) == data


async def test_more_than_the_limit_is_refused(files: Files, tmp_path: Path) -> None:
    async with await files.open_temp(Kind.MAIL, limit=10) as file:
        await file.write(b"0123456789")
        with pytest.raises(ObjectTooLarge) as caught:
            await file.write(b"x")
        assert not caught.value.temporary
    assert objects(tmp_path) == []


async def test_cancelled_in_its_commit_a_file_is_removed(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller never learned the key, so no row can name the object."""
    entered, opened = threading.Event(), threading.Event()
    fsync = os.fsync

    def slow(fd: int) -> None:
        entered.set()
        assert opened.wait(PATIENCE_S)
        fsync(fd)

    in_python(monkeypatch)
    monkeypatch.setattr(os, "fsync", slow)
    task = asyncio.ensure_future(written(files, b"mail"))
    await asyncio.to_thread(entered.wait, 10)
    task.cancel()
    await asyncio.sleep(0)
    opened.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert objects(tmp_path) == []


async def test_a_descriptor_is_copied_from_its_beginning(files: Files) -> None:
    data = os.urandom(2_500_000)
    with os.fdopen(os.memfd_create("result"), "r+b", buffering=0) as result:
        result.write(data)
        stored = await files.adopt_fd(result.fileno())
        assert result.tell() == len(data)
    assert stored.key.startswith("objects/") and await content(files, stored) == data


async def test_only_regular_files_are_copied_and_no_more_than_allowed(files: Files, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    with pytest.raises(FileFailed):
        await files.adopt_fd(reader)
    os.close(reader)
    os.close(writer)
    with os.fdopen(os.memfd_create("result"), "r+b", buffering=0) as result:
        result.truncate(1_000_000)
        with pytest.raises(ObjectTooLarge):
            await files.adopt_fd(result.fileno(), limit=999_999)
    assert objects(tmp_path) == []


@pytest.mark.parametrize("damage", ["flip", "cut", "grow", "link", "fifo"])
async def test_a_damaged_object_is_never_handed_out(files: Files, tmp_path: Path, damage: str) -> None:
    """Reliability section 2.3: a mismatch is an alarm and never a call."""
    stored = await written(files, b"a page of a fax")
    path = tmp_path / stored.key
    if damage == "flip":
        path.write_bytes(b"a page of a fux")
    elif damage == "cut":
        path.write_bytes(b"a page of")
    elif damage == "grow":
        path.write_bytes(b"a page of a fax.")
    else:
        path.unlink()
        if damage == "fifo":
            os.mkfifo(path)
        else:
            (tmp_path / "elsewhere").write_bytes(b"a page of a fax")
            path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ObjectDamaged) as caught:
        await files.open_read(stored)
    assert not caught.value.temporary


async def test_a_missing_object_is_damaged(files: Files) -> None:
    stored = await written(files, b"mail")
    await files.remove(stored.key)
    with pytest.raises(ObjectMissing):
        await files.open_read(stored)
    await files.remove(stored.key)


@pytest.mark.parametrize("key", ["", "../faxgw.db", "spool/../../etc/passwd", "tmp/x", "/etc/passwd", "spool/ab/x\n"])
async def test_a_key_of_another_making_is_refused(files: Files, tmp_path: Path, key: str) -> None:
    with pytest.raises(ObjectMissing):
        await files.remove(key)
    with pytest.raises(ObjectMissing):
        await files.open_read(StoredFile(key, "", 0))


@pytest.mark.parametrize(("node", "incarnation"), [("n/1", 1), ("", 1), ("N1", 1), ("n1", 0), ("a.b", 1)])
def test_a_node_name_that_cannot_stand_in_a_file_name_is_refused(tmp_path: Path, node: str, incarnation: int) -> None:
    with pytest.raises(ValueError, match="node"):
        Files(tmp_path, node, incarnation)


async def test_the_sweep_removes_only_what_earlier_lives_of_this_node_left_without_a_row(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files_module, "SWEEP_KEYS", 2)
    earlier, other = Files(tmp_path, "n1", 2), Files(tmp_path, "n2", 1)
    rows = {(await written(earlier, b"row", kind)).key for kind in Kind for _ in range(3)}
    orphans = {(await written(earlier, b"no row", kind)).key for kind in Kind for _ in range(3)}
    stay = {(await written(where, b"live")).key for where in (files, other)}
    unfinished = await earlier.open_temp(Kind.MAIL)
    live = await files.open_temp(Kind.MAIL)
    for begun in (unfinished, live):
        await begun.write(bytes(BUFFER_BYTES))
    foreign = tmp_path / "spool" / "00" / "notes.txt"
    foreign.write_text("not ours")
    asked: list[int] = []

    async def known(keys: Sequence[str]) -> Collection[str]:
        asked.append(len(keys))
        return rows.intersection(keys)

    assert await files.sweep(known) == Swept(temporary=1, orphans=len(orphans))
    assert max(asked) <= 2 and sum(asked) == 12
    left = set(objects(tmp_path))
    assert rows | stay | {"spool/00/notes.txt"} < left and not left & orphans
    assert len([name for name in left if name.startswith("tmp/")]) == 1
    assert await files.sweep(known) == Swept(0, 0)
    await live.discard()
    await unfinished.discard()
    await earlier.close()
    await other.close()


async def test_what_one_process_made_is_swept_alone(tmp_path: Path) -> None:
    """A process that was killed: its unfinished files and those without a row go, nothing else does."""
    mark = "0123456789ab"
    files, lives = Files(tmp_path, "n1", 7), ((7, mark), (7, "ba9876543210"), (7, ""), (6, mark), (8, mark))
    await files.start()
    small, large = b"mail", b"m" * (2 * BUFFER_BYTES)
    made: dict[tuple[int, str], list[StoredFile]] = {}
    for life in lives:
        theirs = Files(tmp_path, "n1", *life)
        made[life] = [await theirs.keep(small, Kind.MAIL), await theirs.keep(large, Kind.MAIL)]
        unfinished = await theirs.open_temp(Kind.MAIL)
        await unfinished.write(large)
        await theirs.close()
    named, orphan = made[7, mark]
    late = Files(tmp_path, "n1", 7, mark)
    spared = await late.keep(small, Kind.MAIL)
    await late.close()

    async def known(keys: Sequence[str]) -> set[str]:
        return {named.key}.intersection(keys)

    def all_files() -> set[str]:
        return {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}

    before = all_files()
    assert await files.sweep_marked(mark, known, {spared.key}) == Swept(temporary=1, orphans=1)
    gone = before - all_files()
    assert orphan.key in gone and len(gone) == 2
    assert all(f"{mark}.n1.7" in name for name in gone)
    await files.close()


@pytest.mark.parametrize("mark", ["", "0123", "g" * 12, "0" * 13])
async def test_a_mark_is_one(tmp_path: Path, mark: str) -> None:
    files = Files(tmp_path, "n1", 1)

    async def known(keys: Sequence[str]) -> set[str]:
        return set()

    with pytest.raises(ValueError, match="a mark has 12"):
        await files.sweep_marked(mark, known)
    if mark:
        with pytest.raises(ValueError, match="a mark has 12"):
            Files(tmp_path, "n1", 1, mark)
    await files.close()


async def test_below_the_watermark_nothing_new_is_accepted(files: Files) -> None:
    space = await files.free_space()
    assert 0 < space.free <= space.total
    await files.require_room(Watermark(message_limit=0, render_budget=0, percent=0))
    with pytest.raises(OutOfSpace) as caught:
        await files.require_room(Watermark(message_limit=space.total))
    assert caught.value.temporary


async def test_a_read_only_moment_is_temporary(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """Descriptors used up: nothing is wrong with the object."""
    stored = await written(files, b"mail")

    def fail(*_: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    in_python(monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", fail)
        with pytest.raises(FileFailed) as caught:
            await files.open_read(stored)
        for size in (1, BUFFER_BYTES):
            with pytest.raises(FileFailed):
                async with await files.open_temp(Kind.MAIL) as file:
                    await file.write(bytes(size))
                    await file.commit()
    assert caught.value.temporary
    assert await content(files, stored) == b"mail"


def test_free_space_is_asked_of_the_file_system(tmp_path: Path) -> None:
    answer = os.statvfs(tmp_path)
    assert FreeSpace.of(tmp_path).total == answer.f_blocks * answer.f_frsize


async def test_octets_in_memory_are_kept_in_one_step(files: Files, tmp_path: Path) -> None:
    stored = await files.keep(b"a page")
    assert stored.key.startswith("objects/")
    assert (tmp_path / stored.key).read_bytes() == b"a page"
    assert stored.sha256 == hashlib.sha256(b"a page").hexdigest()
    os.close(await files.open_read(stored))
    assert list((tmp_path / "tmp").iterdir()) == []
