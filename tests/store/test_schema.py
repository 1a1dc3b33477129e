"""The tables by concern: every module's tables are known by the package, and to the one MetaData."""

from __future__ import annotations

import importlib
import pkgutil

from sqlalchemy import Table

from faxgw.store import schema


def tables() -> dict[str, Table]:
    """What the package's modules define, by the name under which they define it."""
    found: dict[str, Table] = {}
    for module in pkgutil.iter_modules(schema.__path__, schema.__name__ + "."):
        held = vars(importlib.import_module(module.name))
        found |= {name: value for name, value in held.items() if isinstance(value, Table)}
    return found


def test_every_table_of_a_module_is_had_from_the_package() -> None:
    """`from faxgw.store import schema as t`, `t.faxes`: the one way in which the store names its tables."""
    for name, table in tables().items():
        assert getattr(schema, name) is table
        assert name in schema.__all__


def test_a_table_is_called_as_its_variable_and_no_module_hides_one() -> None:
    """A module of a table's name would take its place as an attribute of the package."""
    assert {name: table.name for name, table in tables().items()} == {name: name for name in tables()}
    assert set(tables()) == set(schema.metadata.tables)
    assert not set(schema.metadata.tables) & {module.name for module in pkgutil.iter_modules(schema.__path__)}


def test_what_a_job_or_a_reception_is_purged_by_is_indexed() -> None:
    """Section 9 of docs/spine.md: purging asks for what is due and for what nobody has reckoned yet."""
    for table in (schema.jobs, schema.receptions):
        names = {str(index.name) for index in table.indexes}
        assert {f"ix_{table.name}_unreckoned", f"ix_{table.name}_purge_at"} <= names


def test_promises_of_one_call_are_unique_indexes() -> None:
    """docs/spine.md section 5: one open attempt per fax, and per number."""
    unique = {str(index.name): index for table in schema.metadata.tables.values() for index in table.indexes}
    for name, column in (("uq_attempts_open_number", "number"), ("uq_attempt_faxes_open_fax", "fax")):
        assert unique[name].unique
        assert [one.name for one in unique[name].columns] == [column]
        for engine in ("sqlite", "postgresql"):
            assert unique[name].dialect_options[engine]["where"] is not None
