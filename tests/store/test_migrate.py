"""The revisions add up to the schema, run in one transaction, and leave a copy behind."""

import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from faxgw.store import migrate
from faxgw.store.errors import SchemaMismatch, StoreDown
from faxgw.store.schema import metadata
from faxgw.store.sqlite import open_database

REVISION = '''
"""For a test."""

from alembic import op

revision = "{revision}"
down_revision = "{down}"


def upgrade() -> None:
    {body}
'''

AddRevision = Callable[[str], str]


def url(path: Path) -> str:
    return f"sqlite:///{path}"


def rows(path: Path, statement: str) -> list[tuple[object, ...]]:
    conn = sqlite3.connect(path)
    try:
        return conn.execute(statement).fetchall()
    finally:
        conn.close()


def write(path: Path, statement: str) -> None:
    conn = sqlite3.connect(path)
    with conn:
        conn.execute(statement)
    conn.close()


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


def test_the_revisions_add_up_to_the_schema(tmp_path: Path) -> None:
    migrate.upgrade(url(tmp_path / "new.db"))
    database = open_database(tmp_path / "new.db", size=1)
    with database.connect() as conn:
        options = {"compare_type": True, "compare_server_default": True}
        assert compare_metadata(MigrationContext.configure(conn, opts=options), metadata) == []
    database.dispose()


def test_the_migrated_tables_are_those_the_schema_would_create(tmp_path: Path) -> None:
    """Alembic's comparison does not see checks, keys and partial indexes; the stored definitions do."""
    migrate.upgrade(url(tmp_path / "migrated.db"))
    database = open_database(tmp_path / "created.db", size=1)
    metadata.create_all(database)
    database.dispose()
    assert definitions(tmp_path / "migrated.db") == definitions(tmp_path / "created.db")


def definitions(path: Path) -> dict[object, list[str]]:
    """The stored definitions by name, their lines in one order, defaults without needless parentheses.

    SQLite appends an added column to the last line.
    """
    found = rows(path, "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE '%alembic%'")
    tidy = {name: re.sub(r"DEFAULT \((.*?)\)", r"DEFAULT \1", str(sql)) for name, sql in found}
    lines = {name: re.split(r"\n|, (?=\w+ [A-Z]+)", sql) for name, sql in tidy.items()}
    return {name: sorted(line.strip(", \t") for line in split) for name, split in lines.items()}


def test_an_empty_database_gets_all_and_no_copy(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    assert migrate.current(url(path)) is None
    assert migrate.upgrade(url(path)) == migrate.Migrated(None, migrate.head(), None)
    assert migrate.current(url(path)) == migrate.head()
    assert migrate.upgrade(url(path)) == migrate.Migrated(migrate.head(), migrate.head(), None)
    assert path.stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.glob("*revision*"))


def test_an_older_database_is_copied_first(database_path: Path, add_revision: AddRevision) -> None:
    write(database_path, NODE)
    before = migrate.head()
    after = add_revision('op.execute("DELETE FROM nodes")')
    result = migrate.upgrade(url(database_path))
    assert result.backup is not None and result == migrate.Migrated(before, after, result.backup)
    assert rows(database_path, "SELECT name FROM nodes") == []
    assert rows(result.backup, "SELECT name FROM nodes") == [("n1",)]
    assert result.backup.stat().st_mode & 0o777 == 0o600
    assert migrate.current(url(result.backup)) == before
    assert not list(database_path.parent.glob("*.part*"))


def test_a_failing_revision_changes_nothing(database_path: Path, add_revision: AddRevision) -> None:
    before = migrate.head()
    add_revision('op.execute("DROP TABLE nodes")')
    add_revision('op.execute("SELECT nonsense")')
    with pytest.raises(StoreDown):
        migrate.upgrade(url(database_path))
    assert migrate.current(url(database_path)) == before
    assert rows(database_path, "SELECT count(*) FROM nodes") == [(0,)]


def test_a_table_others_refer_to_can_be_rebuilt(database_path: Path, add_revision: AddRevision) -> None:
    """SQLite alters by copy; the references to the table stay and are checked afterwards."""
    write(database_path, "INSERT INTO customers (id, name, state, settings) VALUES ('c1', 'C', 'active', '{}')")
    write(database_path, "INSERT INTO domains (name, customer, settings) VALUES ('d.example', 'c1', '{}')")
    add_revision("with op.batch_alter_table('customers') as batch: batch.alter_column('state', nullable=True)")
    migrate.upgrade(url(database_path))
    assert rows(database_path, "SELECT customer FROM domains") == [("c1",)]


def test_a_revision_that_breaks_a_reference_is_undone(database_path: Path, add_revision: AddRevision) -> None:
    write(database_path, "INSERT INTO customers (id, name, state, settings) VALUES ('c1', 'C', 'active', '{}')")
    write(database_path, "INSERT INTO domains (name, customer, settings) VALUES ('d.example', 'c1', '{}')")
    add_revision('op.execute("DELETE FROM customers")')
    with pytest.raises(SchemaMismatch, match="domains refers to a missing row of customers"):
        migrate.upgrade(url(database_path))
    assert rows(database_path, "SELECT id FROM customers") == [("c1",)]


def test_a_database_of_a_later_release_is_refused(database_path: Path) -> None:
    write(database_path, "UPDATE alembic_version SET version_num = '9999'")
    for action in (migrate.upgrade, migrate.current):
        with pytest.raises(SchemaMismatch, match="9999, of a later release") as caught:
            action(url(database_path))
        assert not caught.value.temporary


def test_a_database_of_somebody_else_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "other.db", "CREATE TABLE songs (title TEXT)")
    with pytest.raises(SchemaMismatch, match="not of faxgw"):
        migrate.upgrade(url(tmp_path / "other.db"))
    assert rows(tmp_path / "other.db", "SELECT name FROM sqlite_master") == [("songs",)]


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.db").write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreDown):
        migrate.upgrade(url(tmp_path / "other.db"))


def test_a_database_without_an_engine_is_refused() -> None:
    with pytest.raises(SchemaMismatch):
        migrate.upgrade("sqlite://")


def test_a_draft_holds_what_the_schema_has_and_the_revisions_lack(
    database_path: Path, add_revision: AddRevision
) -> None:
    added = add_revision("op.drop_column('nodes', 'started_at')")
    text = migrate.draft("Put it back").read_text()
    assert "add_column(" in text and "started_at" in text
    assert int(migrate.head()) == int(added) + 1
