"""Brings a database's tables to this release: all revisions in one transaction, after a backup copy.

The revisions (`migrations/versions/`) are explicit operations that run on every engine; `schema` is what they
must add up to, which a test compares. There is no way down: the backup is the way back. SQLite's copy is made here;
PostgreSQL's is the operator's (docs/postgresql.md), and its nodes migrate one at a time, with no unit in between.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, event, exc, inspect, make_url

from faxgw.store.durable import sync_folder
from faxgw.store.errors import SchemaMismatch, StoreDown
from faxgw.store.locks import LOCKS, MIGRATE_LOCK, WRITE_LOCK
from faxgw.store.sqlite import open_database

log = logging.getLogger(__name__)

MIGRATIONS = Path(__file__).parent / "migrations"
"""Folder of the revisions."""
MIGRATE_WAIT_MS = 60_000
"""PostgreSQL: how long a node waits for another one's migration."""


@dataclass(frozen=True, slots=True)
class Migrated:
    """What an upgrade did."""

    before: str | None
    """Revision found; None if the database was empty."""
    after: str
    """Revision now."""
    backup: Path | None
    """The copy made before; None if there was nothing to lose or nothing to do, and on PostgreSQL."""


def head() -> str:
    """Return the revision this release needs."""
    revision = _scripts().get_current_head()
    assert revision is not None
    return revision


def known() -> frozenset[str]:
    """Return every revision that this release can bring to its own."""
    return frozenset(script.revision for script in _scripts().walk_revisions())


def current(url: str) -> str | None:
    """Return a database's revision, None if it has no tables; a SQLite file is made if there is none.

    Raises:
        SchemaMismatch: If the database is not one of faxgw, or of a later release.
        StoreDown: If it cannot be opened.
    """
    with _connect(url) as conn:
        return _revision(conn)


def upgrade(url: str) -> Migrated:
    """Bring a database to this release; blocking.

    On SQLite nobody else may use it meanwhile (`node.FolderLock`); on PostgreSQL locks see to that. On failure it is
    as it was.

    Raises:
        SchemaMismatch: If it is not a database of faxgw, or of a later release, or its rows break a reference.
        StoreDown: If it cannot be opened or copied.
    """
    with _connect(url) as conn:
        before = _revision(conn)
        if before == head():
            return Migrated(before, before, None)
        if conn.dialect.name == "sqlite":
            backup = _back_up(conn, before) if before is not None else None
            with _references_unchecked(conn), conn.begin():
                _run_revisions(conn)
                _check_references(conn)
        else:
            backup = None
            _run_revisions_alone(conn)
    log.info(
        "database migrated", extra={"event": "store.migrated", "before": before, "after": head(), "backup": backup}
    )
    return Migrated(before, head(), backup)


def _run_revisions(conn: Connection) -> None:
    config = _config()
    config.attributes["connection"] = conn
    command.upgrade(config, "head")


def _run_revisions_alone(conn: Connection) -> None:
    """PostgreSQL: run the revisions between the units of all nodes; another node may have been first.

    Raises:
        SchemaMismatch: If a row breaks a reference.
    """
    try:
        with conn.begin():
            conn.exec_driver_sql(f"SET LOCAL lock_timeout = {MIGRATE_WAIT_MS}")
            conn.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCKS}, {MIGRATE_LOCK})")
            conn.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCKS}, {WRITE_LOCK})")
            _run_revisions(conn)
    except exc.IntegrityError as error:
        raise SchemaMismatch(f"the migrated rows break a rule: {error.orig}") from error


def draft(message: str) -> Path:
    """Write the revision that leads from the last one to `schema`, for a developer to read and finish."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/draft.db"
        if _scripts().get_current_head() is not None:
            upgrade(url)
        with _connect(url) as conn:
            config = _config()
            config.attributes["connection"] = conn
            number = len(list(_scripts().walk_revisions())) + 1
            script = command.revision(config, message, autogenerate=True, rev_id=f"{number:04}")
    assert script is not None and not isinstance(script, list)
    return Path(script.path)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("file_template", "r%%(rev)s_%%(slug)s")
    config.set_main_option("path_separator", "os")
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


@contextlib.contextmanager
def _connect(url: str) -> Iterator[Connection]:
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        from faxgw.store import session  # its driver is loaded only where it is used

        database = session.open_database(parsed, isolation="READ COMMITTED")
    elif parsed.get_backend_name() == "sqlite" and parsed.database not in (None, "", ":memory:"):
        database = open_database(Path(str(parsed.database)), size=1)
        event.listen(database, "begin", _begin)
    else:
        raise SchemaMismatch(f"no migrations for {parsed.render_as_string(hide_password=True)}")
    try:
        with database.connect() as conn:
            yield conn
    except (exc.DBAPIError, sqlite3.Error, OSError) as error:
        raise StoreDown(f"{parsed.database}: {error}") from error
    finally:
        database.dispose()


def _begin(conn: Connection) -> None:
    conn.exec_driver_sql("BEGIN IMMEDIATE")


def _revision(conn: Connection) -> str | None:
    with conn.begin():
        revision = MigrationContext.configure(conn).get_current_revision()
        foreign = revision is None and bool(inspect(conn).get_table_names())
    if foreign:
        raise SchemaMismatch("the database holds tables that are not of faxgw")
    if revision is not None and revision not in known():
        raise SchemaMismatch(f"the database has revision {revision}, of a later release; this one needs {head()}")
    return revision


@contextlib.contextmanager
def _references_unchecked(conn: Connection) -> Iterator[None]:
    """Let SQLite rebuild tables that others refer to: https://www.sqlite.org/lang_altertable.html section 7."""
    driver = conn.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    driver.execute("PRAGMA foreign_keys=OFF")
    try:
        yield
    finally:
        driver.execute("PRAGMA foreign_keys=ON")


def _check_references(conn: Connection) -> None:
    broken = conn.exec_driver_sql("PRAGMA foreign_key_check").first()
    if broken is not None:
        raise SchemaMismatch(f"the migrated table {broken[0]} refers to a missing row of {broken[2]}")


def _back_up(conn: Connection, revision: str) -> Path:
    """Copy the database beside itself, durably; one copy per revision, the last one stays."""
    source = conn.connection.driver_connection
    assert isinstance(source, sqlite3.Connection)
    path = Path(str(conn.engine.url.database))
    target = path.with_name(f"{path.name}.revision-{revision}")
    temporary = target.with_name(target.name + ".part")
    temporary.unlink(missing_ok=True)
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
    with contextlib.closing(sqlite3.connect(temporary)) as copy:
        source.backup(copy)
    fd = os.open(temporary, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    temporary.rename(target)
    sync_folder(target.parent)
    return target
