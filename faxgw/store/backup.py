"""Backups of a gateway that runs, and their restore into a new folder (docs/backup.md).

The database is copied from one snapshot by SQLite's own backup; then every spool object that a row of the copy names is
copied and checked against the SHA-256 in its row. Objects are durable before a row names them, so none can be missing
but by damage; damage is told, listed in the manifest, and does not stop the backup of everything else.

A restore checks everything first, never overwrites, and leaves a gateway in which nothing happens by itself
(`store.restore`, docs/spine.md section 9).
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from faxgw import __version__
from faxgw.fax.ports import StoredFile
from faxgw.store import archive, migrate, restore
from faxgw.store.archive import DATABASE, MANIFEST, SUMS, BackupFailed, Reader, Writer
from faxgw.store.durable import sync_folder
from faxgw.store.engine import Store, open_store
from faxgw.store.errors import StoreError
from faxgw.store.schema import metadata

FORMAT = 1
"""Version of the manifest."""
PAGES_AT_ONCE = 1_000
"""Database pages copied between two looks at the progress: 4 MB."""
OBJECTS_DAMAGED_SHOWN = 10
"""Damaged objects named in a message."""

Progress = Callable[[str, int, int], None]
"""What is being done, octets done, octets in all."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself."""

    format: int
    made_at: float
    """Unix seconds of the snapshot."""
    release: str
    """Version of faxgw that made it."""
    revision: str
    """Revision of its database."""
    sums: str
    """SHA-256 of SHA256SUMS."""
    objects: int
    """Spool objects in it."""
    octets: int
    """Octets of database and objects."""
    damaged: tuple[str, ...]
    """Objects that were damaged or missing when it was made, and are not in it."""

    @classmethod
    def read(cls, text: bytes) -> Manifest:
        """The manifest of a file.

        Raises:
            BackupFailed: If it is none of this release or an earlier one.
        """
        try:
            values = json.loads(text)
            found = cls(**{**values, "damaged": tuple(values["damaged"])})
        except (ValueError, TypeError, KeyError) as exc:
            raise BackupFailed(f"{MANIFEST}: {exc}", public=f"{MANIFEST} of the backup is damaged.") from exc
        if found.format != FORMAT:
            raise BackupFailed(f"format {found.format}", public="The backup was made by a later release.")
        return found


# ---------------------------------------------------------------------------------------------------------- backup


def make(data: Path, target: Path, now: float, progress: Progress = lambda what, done, total: None) -> Manifest:
    """Back a data folder up while its gateway runs, or not; blocking.

    Args:
        data: The data folder.
        target: The backup, which does not exist: `NAME.tar`, or a folder.
        now: Unix seconds.
        progress: Told what is going on.

    Raises:
        BackupFailed: If it cannot be made; nothing is left.
    """
    if not (data / DATABASE).exists():
        raise BackupFailed(f"no {data / DATABASE}", public=f"There is no database in {data}.")
    out = archive.writer(target)
    try:
        with tempfile.TemporaryDirectory(prefix=".faxgw-backup-", dir=target.parent) as folder:
            manifest = _write(data, out, Path(folder) / DATABASE, now, progress)
        out.commit()
    except (OSError, sqlite3.Error) as exc:
        out.discard()
        raise BackupFailed(f"{target}: {exc}", public=f"The backup was not made: {exc}") from exc
    except BaseException:
        out.discard()
        raise
    return manifest


def _write(data: Path, out: Writer, snapshot: Path, now: float, progress: Progress) -> Manifest:
    revision = _copy_database(data / DATABASE, snapshot, progress)
    named = list(_named(snapshot))
    size = snapshot.stat().st_size
    total, done = size + sum(file.size for file in named), size
    _require_room(snapshot.parent, total - size)
    with snapshot.open("rb") as file:
        sums = [f"{out.add(DATABASE, file, size)}  {DATABASE}"]
    damaged = []
    for file_ in named:
        if _add(data, out, file_):
            sums.append(f"{file_.sha256}  {file_.key}")
        else:
            damaged.append(file_.key)
        done += file_.size
        progress("objects", done, total)
    lines = ("\n".join(sums) + "\n").encode()
    digest = out.add(SUMS, io.BytesIO(lines), len(lines))
    manifest = Manifest(
        FORMAT, now, __version__, revision, digest, len(named) - len(damaged), total, tuple(damaged)
    )  # fmt: skip
    text = json.dumps(asdict(manifest), indent=2).encode() + b"\n"
    out.add(MANIFEST, io.BytesIO(text), len(text))
    return manifest


def _copy_database(database: Path, copy: Path, progress: Progress) -> str:
    """Copy one snapshot of a database that others write to; returns its revision."""
    with (
        contextlib.closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as source,
        contextlib.closing(sqlite3.connect(copy)) as target,
    ):
        source.isolation_level = None
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_master").fetchone()  # the snapshot is taken here and kept
        source.backup(
            target,
            pages=PAGES_AT_ONCE,
            sleep=0.0,
            progress=lambda _status, left, pages: progress("database", pages - left, pages),
        )
        target.execute("PRAGMA journal_mode=DELETE")
        _check_database(target)
        (revision,) = target.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(revision)


def _check_database(database: sqlite3.Connection) -> None:
    (answer,) = database.execute("PRAGMA integrity_check(1)").fetchone()
    if answer != "ok" or database.execute("PRAGMA foreign_key_check").fetchone() is not None:
        raise BackupFailed(f"the database is damaged: {answer}", public="The database in it is damaged.")


def columns() -> Sequence[tuple[str, str, str, str]]:
    """Where rows name objects: table, and columns of key, SHA-256 and size, found by their names."""
    found = []
    for table in metadata.sorted_tables:
        for column in table.columns:
            stem = column.name.removesuffix("key")
            names = (f"{stem}key", f"{stem}sha256", f"{stem}size")
            if column.name.endswith("key") and set(names) <= set(table.columns.keys()):
                found.append((table.name, *names))
    return found


def _named(database: Path) -> Iterator[StoredFile]:
    """Every object that a row names, each once."""
    seen: set[str] = set()
    with contextlib.closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as conn:
        tables = {row[0] for row in conn.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        for table, key, sha256, size in columns():
            if table not in tables:
                continue  # of a later revision
            for row in conn.execute(f'SELECT "{key}", "{sha256}", "{size}" FROM "{table}" WHERE "{key}" <> \'\''):
                if row[0] not in seen:
                    seen.add(row[0])
                    yield StoredFile(*row)


def _add(data: Path, out: Writer, file: StoredFile) -> bool:
    """Add an object; False if it is missing or damaged."""
    try:
        fd = os.open(data / file.key, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    with os.fdopen(fd, "rb") as source:
        if archive.copy(source, None) != (file.sha256, file.size):
            return False
        source.seek(0)
        if out.add(file.key, source, file.size) != file.sha256:
            raise BackupFailed(f"{file.key} changed while it was read")
    return True


def _require_room(folder: Path, octets: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < octets:
        raise BackupFailed(
            f"{free} octets free, {octets} needed", public=f"{octets // 2**20} MiB are needed in {folder.parent}."
        )


# --------------------------------------------------------------------------------------------------------- restore


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore came to."""

    manifest: Manifest
    epoch: int
    held: int
    """Faxes that wait for their release."""
    unknown: int
    """Faxes whose call was going on, now in doubt."""
    asleep: int
    """Reports and deliveries that wait."""


def verify(source: Path, progress: Progress = lambda what, done, total: None) -> Manifest:
    """Check every octet of a backup; blocking.

    Raises:
        BackupFailed: If anything is missing or differs, or it is of a later release.
    """
    with archive.reader(source) as files:
        manifest, sums = _contents(files)
        done = 0
        for name, expected in sums.items():
            with files.open(name) as file:
                digest, size = archive.copy(file, None)
            if digest != expected:
                raise BackupFailed(f"{name}: SHA-256 differs", public=f"{name} in the backup is damaged.")
            done += size
            progress("verify", done, manifest.octets)
    if manifest.revision not in migrate.known():
        raise BackupFailed(f"revision {manifest.revision}", public="The backup was made by a later release.")
    return manifest


def unpack(source: Path, data: Path, now: float, progress: Progress = lambda what, done, total: None) -> Restored:
    """Restore a backup into a new data folder, held (docs/spine.md section 9); blocking.

    Args:
        source: The backup.
        data: The folder; it does not exist, or is empty.
        now: Unix seconds.
        progress: Told what is going on.

    Raises:
        BackupFailed: If the backup is damaged or the folder is in use; nothing is left.
        StoreError: If the database cannot be brought to this release.
    """
    if data.is_symlink() or (data.exists() and (not data.is_dir() or any(data.iterdir()))):
        raise BackupFailed(f"{data} is in use", public=f"{data} is not empty; a restore never overwrites anything.")
    if not data.parent.is_dir():
        raise BackupFailed(f"no folder {data.parent}", public=f"There is no folder {data.parent}.")
    manifest = verify(source, progress)
    part = archive.part_of(data)
    part.mkdir(mode=0o700)
    try:
        _unpack_files(source, part, manifest, progress)
        restored = asyncio.run(_hold(part, manifest, now))
        archive.sync_tree(part)
        part.rename(data)  # over the empty folder, if there is one
        sync_folder(data.parent)
    except (OSError, sqlite3.Error) as exc:
        shutil.rmtree(part, ignore_errors=True)
        raise BackupFailed(f"{data}: {exc}", public=f"The backup was not restored: {exc}") from exc
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return restored


def _contents(files: Reader) -> tuple[Manifest, Mapping[str, str]]:
    with files.open(MANIFEST) as file:
        manifest = Manifest.read(file.read(archive.MAX_MANIFEST))
    with files.open(SUMS) as file:
        text = io.BytesIO()
        digest, _size = archive.copy(file, text)
    if digest != manifest.sums:
        raise BackupFailed(f"{SUMS}: SHA-256 differs", public=f"{SUMS} of the backup is damaged.")
    sums = archive.read_sums(text.getvalue().decode("ascii", "replace"))
    if DATABASE not in sums or len(sums) != manifest.objects + 1:
        raise BackupFailed("files are missing", public=f"{SUMS} of the backup is incomplete.")
    return manifest, sums


def _unpack_files(source: Path, part: Path, manifest: Manifest, progress: Progress) -> None:
    with archive.reader(source) as files:
        manifest_, sums = _contents(files)
        if manifest_ != manifest:
            raise BackupFailed("the backup changed while it was read")
        done = 0
        for name, expected in sums.items():
            path = part / name
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with files.open(name) as file, archive.create(path) as out:
                digest, size = archive.copy(file, out)
                out.flush()
                os.fsync(out.fileno())
            if digest != expected:
                raise BackupFailed(f"{name} changed while it was read")
            done += size
            progress("restore", done, manifest.octets)
    with contextlib.closing(sqlite3.connect(part / DATABASE)) as database:
        _check_database(database)
    missing = {file.key for file in _named(part / DATABASE)} - sums.keys() - set(manifest.damaged)
    if missing:
        shown = ", ".join(sorted(missing)[:OBJECTS_DAMAGED_SHOWN])
        raise BackupFailed(f"missing {shown}", public=f"{len(missing)} objects are missing in the backup: {shown}")


async def _hold(part: Path, manifest: Manifest, now: float) -> Restored:
    """Apply the law of restored backups to the unpacked database."""
    url = f"sqlite:///{part / DATABASE}"
    await asyncio.to_thread(migrate.upgrade, url)
    failures: list[StoreError] = []
    store = open_store(url, failures.append)
    await store.start()
    try:
        return await _apply(store, manifest, now)
    finally:
        await store.close()


async def _apply(store: Store, manifest: Manifest, now: float) -> Restored:
    facts = {"made_at": manifest.made_at, "release": manifest.release, "octets": manifest.octets}
    epoch = await store.run(lambda conn: restore.begin(conn, now=now, backup=facts))
    unknown = await store.read(restore.unknown_faxes)
    while await store.run(lambda conn: restore.close_call(conn, now=now)):
        pass
    while await store.run(lambda conn: restore.hold_next(conn, now=now)):
        pass
    await store.run(lambda conn: restore.settle(conn, now=now))
    pending = await store.read(restore.pending)
    unknown = await store.read(restore.unknown_faxes) - unknown
    assert pending is not None  # begun above
    return Restored(manifest, epoch, pending.held, unknown, pending.asleep)
