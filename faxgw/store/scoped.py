"""The store as one customer sees it: every unit of work is given the customer first (docs/spine.md section 1).

Whoever serves customers holds a `Scoped`, not a `Store`: a query that forgets whom it is for cannot be written. A unit
for it is a function of connection, customer and whatever else it wants, and has the customer in each of its WHEREs; a
row of another customer is a row that does not exist.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

from faxgw.store.engine import Store

P = ParamSpec("P")
T = TypeVar("T")


class Scoped:
    """One customer's view.

    Args:
        store: The store.
        customer: Customer id, from the credentials, never from the request.

    Raises:
        ValueError: If there is no customer: an operator has no view of faxes.
    """

    def __init__(self, store: Store, customer: str) -> None:
        if not customer:
            raise ValueError("a view needs a customer")
        self._store = store
        self.customer = customer
        """Whose view it is."""

    async def run(self, unit: Callable[Concatenate[Connection, str, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a unit that writes; its rows are durable when this returns. Raises as `Store.run`."""
        return await self._store.run(lambda conn: unit(conn, self.customer, *args, **kwargs))

    async def read(self, unit: Callable[Concatenate[Connection, str, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a unit that only reads. Raises as `Store.read`."""
        return await self._store.read(lambda conn: unit(conn, self.customer, *args, **kwargs))
