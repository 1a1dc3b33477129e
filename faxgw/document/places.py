"""Places at the page processes, shared fairly: who waits for one, and whose turn it is.

A place that comes free goes to the customer with the fewest requests in work, among equals to the one that has waited
longest for its turn; within a customer the first comes first. So a thousand documents of one customer hold up another's
letter by the documents in work, not by the thousand. What may wait is bounded, in all and for each customer.

Whose a request is stands in the task's context (`charged_to`), for between the step that knows it and the request lie
pieces that need not know it. What belongs to nobody shares the place of a customer without a name.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar

from faxgw.document.faults import PagesUnavailable

MAX_WAITING = 1_000
"""Requests that may wait for a place of one kind; beyond it they are told to come again."""
MAX_WAITING_OF_ONE = 500
"""Of these, at most so many of one customer."""

_CUSTOMER: ContextVar[str] = ContextVar("page_request_of", default="")


@contextlib.contextmanager
def charged_to(customer: str) -> Iterator[None]:
    """Requests made herein are this customer's."""
    before = _CUSTOMER.set(customer)
    try:
        yield
    finally:
        _CUSTOMER.reset(before)


class Places:
    """Places of one kind. Use it on one event loop.

    Args:
        count: Requests in work at the same time.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._at_work: dict[str, int] = {}
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        """By customer, who has waited longest for a turn first; nobody stands in it without a request."""

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        return sum(map(len, self._waiting.values()))

    @contextlib.asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """A place, waited for.

        Raises:
            PagesUnavailable: If too many wait already.
        """
        customer = _CUSTOMER.get()
        await self._take(customer)
        try:
            yield
        finally:
            self._give_back(customer)

    async def _take(self, customer: str) -> None:
        if self._free:  # then nobody waits: a place that comes free is handed on at once
            self._begin(customer)
            return
        line = self._waiting.get(customer, ())
        if len(line) >= MAX_WAITING_OF_ONE or self.waiting >= MAX_WAITING:
            raise PagesUnavailable("too many requests are waiting")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(customer, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give_back(customer)  # the place came in the moment of the cancellation
            else:
                self._leave(customer, turn)
            raise

    def _begin(self, customer: str) -> None:
        self._free -= 1
        self._at_work[customer] = self._at_work.get(customer, 0) + 1

    def _give_back(self, customer: str) -> None:
        self._free += 1
        self._at_work[customer] -= 1
        if not self._at_work[customer]:
            del self._at_work[customer]
        self._hand_on()

    def _hand_on(self) -> None:
        while self._free and self._waiting:
            customer = min(self._waiting, key=lambda each: self._at_work.get(each, 0))
            line = self._waiting.pop(customer)
            turn = line.popleft()
            if line:
                self._waiting[customer] = line  # at the end: the others' turn comes first
            if not turn.cancelled():
                self._begin(customer)
                turn.set_result(None)

    def _leave(self, customer: str, turn: asyncio.Future[None]) -> None:
        line = self._waiting.get(customer)
        if line is not None and turn in line:
            line.remove(turn)
            if not line:
                del self._waiting[customer]
