"""Statements are counted while they are to be, of every engine, one for many rows."""

from __future__ import annotations

from sqlalchemy import create_engine, text

from tests.statements import counted


def test_what_is_sent_while_the_block_runs_is_counted() -> None:
    engine = create_engine("sqlite://")
    with engine.connect() as conn:
        conn.execute(text("CREATE TABLE things (number INTEGER)"))
        with counted() as every, counted("INSERT") as inserts:
            conn.execute(text("INSERT INTO things VALUES (:n)"), [{"n": 1}, {"n": 2}])
            assert conn.execute(text("SELECT count(*) FROM things")).scalar() == 2
        conn.execute(text("DELETE FROM things"))
    engine.dispose()
    assert [statement.split()[0] for statement in every] == ["INSERT", "SELECT"]
    assert len(inserts) == 1
