"""Who may call now (docs/spine.md section 6): the one active set, filled by index, emptied fairly.

Express before normal; round-robin over customers, then over their jobs; one call per number; channels per trunk;
call set-ups per second. The set is a cache: the planning transaction decides, and a dead dispatcher loses nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from faxgw.dispatch.outbound import Outbound
from faxgw.dispatch.seat import Seat
from faxgw.dispatch.station import Station
from faxgw.fax.ports import Line
from faxgw.store import ledger, queue

log = logging.getLogger(__name__)

ACTIVE_SET = 500
"""Faxes looked at in one filling; Postfix keeps 20,000 in memory, we need only what can be dialled soon."""
PER_CUSTOMER = 50
"""Of these, at most so many of one customer, so that a broadcast cannot hide the others."""
SETUPS_PER_SECOND = 5.0
"""Call set-ups per second of this node (a carrier's clause allows 10; a worker wants a few)."""


def fair(waiting: Sequence[ledger.Candidate], taken: Iterable[str] = ()) -> list[ledger.Candidate]:
    """The order in which faxes may call: express first; then one of each customer in turn, and of its jobs in turn.

    Args:
        waiting: Candidates, oldest first within a customer.
        taken: Numbers that have a call already; each number comes up once at most.
    """
    order: list[ledger.Candidate] = []
    numbers = set(taken)
    for priority in sorted({c.priority for c in waiting}, reverse=True):
        customers: dict[str, dict[str, list[ledger.Candidate]]] = defaultdict(lambda: defaultdict(list))
        for candidate in waiting:
            if candidate.priority == priority:
                customers[candidate.customer][candidate.job].append(candidate)
        lanes = {customer: _in_turn(list(jobs.values())) for customer, jobs in customers.items()}
        for candidate in _in_turn(list(lanes.values())):
            if candidate.e164 not in numbers:
                numbers.add(candidate.e164)
                order.append(candidate)
    return order


def _in_turn(lanes: list[list[ledger.Candidate]]) -> list[ledger.Candidate]:
    """The first of each lane, then the second of each, …."""
    longest = max(map(len, lanes), default=0)
    return [lane[i] for i in range(longest) for lane in lanes if i < len(lane)]


class Dispatcher:
    """Assigns waiting faxes to free channels.

    Args:
        seat: The node.
        outbound: Carries out one call.
        line: For its trunks and their channels.
        setups_per_second: Pace of new calls.
    """

    def __init__(
        self, seat: Seat, outbound: Outbound, line: Line, setups_per_second: float = SETUPS_PER_SECOND
    ) -> None:
        self._seat = seat
        self._outbound = outbound
        self._line = line
        self._interval = 1.0 / setups_per_second
        self._next_setup = 0.0
        self._in_hand: dict[str, str] = {}
        self._rest_until: dict[str, float] = {}
        self.calling: Station[ledger.Candidate] = Station(
            "call",
            places=max(1, sum(line.trunks().values())),
            wake=seat.store.listen(queue.CALL_TOPIC),
            take=self._take,
            work=self._call,
            next_due=self._next_due,
            clock=seat.clock,
        )

    async def _take(self, limit: int) -> Sequence[ledger.Candidate]:
        now = self._seat.clock()
        self._rest_until = {fax: until for fax, until in self._rest_until.items() if until > now}
        waiting = await self._seat.store.read(
            lambda conn: ledger.candidates(conn, now=now, limit=ACTIVE_SET, per_customer=PER_CUSTOMER)
        )
        free = [c for c in waiting if c.fax not in self._in_hand and c.fax not in self._rest_until]
        chosen = fair(free, self._in_hand.values())[:limit]
        for candidate in chosen:
            self._in_hand[candidate.fax] = candidate.e164
        return chosen

    async def _next_due(self) -> float | None:
        due = await self._seat.store.read(ledger.next_candidate)
        rests = list(self._rest_until.values())
        now = self._seat.clock()
        soon = [t for t in ([] if due is None else [due]) if t > now] + rests
        return min(soon, default=None)

    async def _call(self, candidate: ledger.Candidate) -> None:
        try:
            await self._pace()
            rest = await self._outbound.call(candidate.fax)
            if rest > 0:
                self._rest_until[candidate.fax] = self._seat.clock() + rest
        finally:
            self._in_hand.pop(candidate.fax, None)

    async def _pace(self) -> None:
        """Wait for this call's place in the pace of set-ups."""
        loop = asyncio.get_running_loop()
        at = max(loop.time(), self._next_setup)
        self._next_setup = at + self._interval
        await asyncio.sleep(max(0.0, at - loop.time()))

    def channels(self) -> Mapping[str, int]:
        """Trunks and their channel limits."""
        return self._line.trunks()
