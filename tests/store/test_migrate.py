"""The revisions add up to the schema, run in one transaction, and leave a copy behind."""

import re
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, NullPool, create_engine, make_url

from faxgw.store import migrate
from faxgw.store.errors import SchemaMismatch, StoreDown
from faxgw.store.locks import LOCKS, WRITE_LOCK
from faxgw.store.schema import metadata
from tests.postgres import Server

REVISION = '''
"""For a test."""

from alembic import op

revision = "{revision}"
down_revision = "{down}"


def upgrade() -> None:
    {body}
'''

AddRevision = Callable[[str], str]


SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
POSTGRESQL = pytest.mark.parametrize("database", ["postgresql"], indirect=True)


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    parsed = make_url(url)
    driver = "postgresql+psycopg" if parsed.get_backend_name() == "postgresql" else "sqlite"
    engine = create_engine(parsed.set(drivername=driver), poolclass=NullPool)
    with engine.begin() as conn:
        yield conn


def rows(url: str, statement: str) -> list[tuple[object, ...]]:
    with connected(url) as conn:
        return [tuple(row) for row in conn.exec_driver_sql(statement)]


def write(url: str, statement: str) -> None:
    with connected(url) as conn:
        conn.exec_driver_sql(statement)


def file_of(url: str) -> Path:
    return Path(str(make_url(url).database))


@pytest.fixture
def empty(database: str, postgres: Server, tmp_path: Path) -> str:
    """URL of a database without tables, on the engine of `database`."""
    if database.startswith("sqlite"):
        return f"sqlite:///{tmp_path / 'new.db'}"
    return postgres.url(postgres.create())


NODE = "INSERT INTO nodes VALUES ('n1', 1, 1, 0, 0)"


@pytest.fixture
def add_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AddRevision:
    """Adds a revision to a copy of the migrations that stands in for a later release."""
    folder = tmp_path / "migrations"
    shutil.copytree(migrate.MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))

    def add(body: str) -> str:
        monkeypatch.setattr(migrate, "MIGRATIONS", folder)
        revision = f"{int(migrate.head()) + 1:04}"
        text = REVISION.format(revision=revision, down=migrate.head(), body=body)
        (folder / "versions" / f"r{revision}_test.py").write_text(text)
        return revision

    return add


def test_the_revisions_add_up_to_the_schema(database: str) -> None:
    with connected(database) as conn:
        options = {"compare_type": True, "compare_server_default": True}
        assert compare_metadata(MigrationContext.configure(conn, opts=options), metadata) == []


def test_the_migrated_tables_are_those_the_schema_would_create(database: str, empty: str) -> None:
    """Alembic's comparison does not see checks, keys and partial indexes; the stored definitions do."""
    with connected(empty) as conn:
        metadata.create_all(conn)
    assert definitions(database) == definitions(empty)


def definitions(url: str) -> dict[object, list[str]]:
    """The stored definitions by name, their parts in one order: SQLite appends a column that is added later."""
    if url.startswith("sqlite"):
        found = rows(url, "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE '%alembic%'")
    else:
        found = rows(
            url,
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' "
            "UNION ALL SELECT conrelid::regclass || '.' || conname, pg_get_constraintdef(oid) FROM pg_constraint "
            "WHERE connamespace = 'public'::regnamespace "
            "UNION ALL SELECT table_name || '.' || column_name, concat_ws(' ', udt_name, character_maximum_length, "
            "is_nullable, column_default) FROM information_schema.columns WHERE table_schema = 'public'",
        )
        found = [row for row in found if "alembic" not in str(row[0])]
    assert len(found) > 30
    return {name: sorted(clauses(str(definition))) for name, definition in found}


def clauses(definition: str) -> list[str]:
    """A definition's parts: split at its commas outside parentheses, without needless parentheses and blanks."""
    tidy = re.sub(r"DEFAULT \((.*?)\)", r"DEFAULT \1", " ".join(definition.split()))
    tidy = re.sub(r'^CREATE TABLE "(\w+)"', r"CREATE TABLE \1", tidy)  # so SQLite names a table that was rebuilt
    head, _, body = tidy.removesuffix(")").partition("(")
    return [head.strip(), *(part.strip() for part in re.split(r",(?![^(]*\))", body))]


def test_an_empty_database_gets_all_and_no_copy(empty: str) -> None:
    assert migrate.current(empty) is None
    assert migrate.upgrade(empty) == migrate.Migrated(None, migrate.head(), None)
    assert migrate.current(empty) == migrate.head()
    assert migrate.upgrade(empty) == migrate.Migrated(migrate.head(), migrate.head(), None)


@SQLITE
def test_a_new_file_is_private_and_alone(empty: str) -> None:
    migrate.upgrade(empty)
    assert file_of(empty).stat().st_mode & 0o777 == 0o600
    assert not list(file_of(empty).parent.glob("*revision*"))


@SQLITE
def test_an_older_database_is_copied_first(database: str, add_revision: AddRevision) -> None:
    write(database, NODE)
    before = migrate.head()
    after = add_revision('op.execute("DELETE FROM nodes")')
    result = migrate.upgrade(database)
    assert result.backup is not None and result == migrate.Migrated(before, after, result.backup)
    copy = f"sqlite:///{result.backup}"
    assert rows(database, "SELECT name FROM nodes") == []
    assert rows(copy, "SELECT name FROM nodes") == [("n1",)]
    assert result.backup.stat().st_mode & 0o777 == 0o600
    assert migrate.current(copy) == before
    assert not list(result.backup.parent.glob("*.part*"))


@POSTGRESQL
def test_an_older_database_is_the_operators_to_copy(database: str, add_revision: AddRevision) -> None:
    before = migrate.head()
    after = add_revision('op.execute("DELETE FROM nodes")')
    assert migrate.upgrade(database) == migrate.Migrated(before, after, None)


@POSTGRESQL
def test_nodes_that_migrate_at_once_migrate_once(empty: str) -> None:
    results: list[migrate.Migrated] = []
    threads = [threading.Thread(target=lambda: results.append(migrate.upgrade(empty))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [result.after for result in results] == [migrate.head()] * 4


@POSTGRESQL
def test_a_migration_waits_for_the_unit_that_runs(database: str, add_revision: AddRevision) -> None:
    add_revision('op.execute("DELETE FROM nodes")')
    with connected(database) as unit:
        unit.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCKS}, {WRITE_LOCK})")
        migration = threading.Thread(target=migrate.upgrade, args=(database,))
        migration.start()
        migration.join(0.5)
        assert migration.is_alive()
        unit.exec_driver_sql(NODE)
    migration.join(60)
    assert rows(database, "SELECT name FROM nodes") == []


def test_a_failing_revision_changes_nothing(database: str, add_revision: AddRevision) -> None:
    before = migrate.head()
    add_revision('op.execute("DROP TABLE nodes")')
    add_revision('op.execute("SELECT nonsense")')
    with pytest.raises(StoreDown):
        migrate.upgrade(database)
    assert migrate.current(database) == before
    assert rows(database, "SELECT count(*) FROM nodes") == [(0,)]


CUSTOMER = "INSERT INTO customers (id, name, state, settings) VALUES ('c1', 'C', 'active', '{}')"
ITS_DOMAIN = "INSERT INTO domains (name, customer, settings) VALUES ('d.example', 'c1', '{}')"


def test_a_table_others_refer_to_can_be_rebuilt(database: str, add_revision: AddRevision) -> None:
    """SQLite alters by copy; the references to the table stay and are checked afterwards."""
    write(database, CUSTOMER)
    write(database, ITS_DOMAIN)
    add_revision("with op.batch_alter_table('customers') as batch: batch.alter_column('state', nullable=True)")
    migrate.upgrade(database)
    assert rows(database, "SELECT customer FROM domains") == [("c1",)]


def test_a_revision_that_breaks_a_reference_is_undone(database: str, add_revision: AddRevision) -> None:
    write(database, CUSTOMER)
    write(database, ITS_DOMAIN)
    add_revision('op.execute("DELETE FROM customers")')
    words = r"domains refers to a missing row of customers|fk_domains_customer"
    with pytest.raises(SchemaMismatch, match=words):
        migrate.upgrade(database)
    assert rows(database, "SELECT id FROM customers") == [("c1",)]


def test_a_database_of_a_later_release_is_refused(database: str) -> None:
    write(database, "UPDATE alembic_version SET version_num = '9999'")
    for action in (migrate.upgrade, migrate.current):
        with pytest.raises(SchemaMismatch, match="9999, of a later release") as caught:
            action(database)
        assert not caught.value.temporary


def test_a_database_of_somebody_else_is_refused(empty: str) -> None:
    write(empty, "CREATE TABLE songs (title TEXT)")
    with pytest.raises(SchemaMismatch, match="not of faxgw"):
        migrate.upgrade(empty)
    assert rows(empty, "SELECT count(*) FROM songs") == [(0,)]


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.db").write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreDown):
        migrate.upgrade(f"sqlite:///{tmp_path}/other.db")


def test_a_server_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreDown) as caught:
        migrate.upgrade(f"postgresql://faxgw@/x?host={tmp_path}")
    assert caught.value.temporary


@pytest.mark.parametrize("url", ["sqlite://", "mysql://localhost/fax"])
def test_a_database_without_an_engine_is_refused(url: str) -> None:
    with pytest.raises(SchemaMismatch):
        migrate.upgrade(url)


@SQLITE
def test_a_draft_holds_what_the_schema_has_and_the_revisions_lack(database: str, add_revision: AddRevision) -> None:
    added = add_revision("op.drop_column('nodes', 'started_at')")
    text = migrate.draft("Put it back").read_text()
    assert "add_column(" in text and "started_at" in text
    assert int(migrate.head()) == int(added) + 1
