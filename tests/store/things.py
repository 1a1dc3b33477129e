"""Small units of work on tables of the tests' own."""

import asyncio
import threading
from collections.abc import Callable
from functools import partial

from sqlalchemy import Column, Connection, ForeignKey, Integer, LargeBinary, MetaData, Table, insert, select

from faxgw.store.engine import Store
from tests.patience import PATIENCE_S

metadata = MetaData()
things = Table("things", metadata, Column("id", Integer, primary_key=True), Column("data", LargeBinary))
parts = Table(
    "parts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("thing", ForeignKey("things.id", deferrable=True, initially="DEFERRED")),
)


def add(conn: Connection, number: int, octets: int = 0) -> int:
    conn.execute(insert(things).values(id=number, data=bytes(octets)))
    return number


def adding(number: int, octets: int = 0) -> Callable[[Connection], int]:
    return partial(add, number=number, octets=octets)


def ids(conn: Connection) -> list[int]:
    return list(conn.scalars(select(things.c.id).order_by(things.c.id)))


class Gate:
    """A unit that holds the writer's thread until opened, so that others gather behind it."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()

    def __call__(self, conn: Connection) -> None:
        self.entered.set()
        assert self.opened.wait(PATIENCE_S)


async def gathered(store: Store, *units: Callable[[Connection], object]) -> list[object]:
    """Run units that all wait behind a closed gate, hence in one batch; return results and exceptions."""
    gate = Gate()
    first = asyncio.ensure_future(store.run(gate))
    await asyncio.to_thread(gate.entered.wait, 10)
    rest = [asyncio.ensure_future(store.run(unit)) for unit in units]
    await asyncio.sleep(0)
    gate.opened.set()
    await first
    return await asyncio.gather(*rest, return_exceptions=True)
