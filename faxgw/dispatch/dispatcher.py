"""Who may call now (docs/spine.md section 6): the one active set, filled by index, emptied fairly.

Express before normal; round-robin over customers, then over their jobs; one call per number; channels per trunk;
call set-ups per second. The set is a cache: the planning transaction decides, and a dead dispatcher loses nothing.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

from faxgw.dispatch.outbound import Outbound
from faxgw.dispatch.routes import Routes
from faxgw.dispatch.seat import Seat
from faxgw.dispatch.station import Station
from faxgw.fax.ports import Line
from faxgw.store import candidates, queue
from faxgw.store.candidates import Candidate

log = logging.getLogger(__name__)

ACTIVE_SET = 500
"""Faxes looked at in one filling; Postfix keeps 20,000 in memory, we need only what can be dialled soon."""
PER_CUSTOMER = 50
"""Of these, at most so many of one customer, so that a broadcast cannot hide the others."""
SETUPS_PER_SECOND = 5.0
"""Call set-ups per second of this node (a carrier's clause allows 10; a worker wants a few)."""
AFTER_FAULT = 30.0
"""Seconds before a fax is looked at again whose call could not be seen through for a fault of ours."""
MAX_TURNS = 10_000
"""Customers and jobs of which the last turn is remembered."""
NOBODY: Mapping[tuple[str, str], int] = MappingProxyType({})
"""Nobody had a turn yet."""


Turn = tuple[str, str]
"""A customer, or a job of a customer: (customer, job), (customer, "")."""


def fair(
    waiting: Sequence[Candidate], taken: Iterable[str] = (), served: Mapping[Turn, int] = NOBODY
) -> list[Candidate]:
    """The order in which faxes may call: express first; then one of each customer in turn, and of its jobs in turn.

    Args:
        waiting: Candidates, oldest first within a job.
        taken: Numbers that have a call already; each number comes up once at most.
        served: When customers and jobs had their last turn, as a serial; who never had one comes first.
    """
    order: list[Candidate] = []
    numbers = set(taken)
    for priority in sorted({c.priority for c in waiting}, reverse=True):
        customers: dict[str, dict[str, list[Candidate]]] = defaultdict(lambda: defaultdict(list))
        for candidate in waiting:
            if candidate.priority == priority:
                customers[candidate.customer][candidate.job].append(candidate)
        lanes = []
        for customer in sorted(customers, key=lambda name: served.get((name, ""), 0)):
            turns = sorted((served.get((customer, job), 0), place) for place, job in enumerate(customers[customer]))
            jobs = list(customers[customer].values())
            lanes.append(_in_turn([jobs[place] for _turn, place in turns]))
        for candidate in _in_turn(lanes):
            if candidate.e164 not in numbers:
                numbers.add(candidate.e164)
                order.append(candidate)
    return order


def _in_turn(lanes: list[list[Candidate]]) -> list[Candidate]:
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
        leads: Whether this node is the dispatcher of all nodes now; it calls only while it is.
        routes: Which trunk carries which fax; none: the trunks in their order.
    """

    def __init__(
        self,
        seat: Seat,
        outbound: Outbound,
        line: Line,
        setups_per_second: float = SETUPS_PER_SECOND,
        leads: Callable[[], bool] = lambda: True,
        routes: Routes | None = None,
    ) -> None:
        self._leads = leads
        self._routes = routes or Routes(line)
        self._seat = seat
        self._outbound = outbound
        self._line = line
        self._interval = 1.0 / setups_per_second
        self._next_setup = 0.0
        self._in_hand: dict[str, Candidate] = {}
        self._trunk_of: dict[str, str] = {}
        """The trunk that a fax in hand will probably take."""
        self._rest_until: dict[str, float] = {}
        self._served: dict[Turn, int] = {}
        self._turns = itertools.count(1)
        self.calling: Station[Candidate] = Station(
            "call",
            places=max(1, sum(line.trunks().values())),
            wake=seat.store.listen(queue.CALL_TOPIC),
            take=self._take,
            work=self._call,
            next_due=self._next_due,
            clock=seat.clock,
        )

    async def _take(self, limit: int) -> Sequence[Candidate]:
        if not self._leads():
            return ()
        now = self._seat.clock()
        self._rest_until = {fax: until for fax, until in self._rest_until.items() if until > now}
        waiting = await self._seat.store.read(
            lambda conn: candidates.candidates(conn, now=now, limit=ACTIVE_SET, per_customer=PER_CUSTOMER)
        )
        free = [c for c in waiting if c.fax not in self._in_hand and c.fax not in self._rest_until]
        chosen = self._with_channel(fair(free, [c.e164 for c in self._in_hand.values()], self._served))[:limit]
        for candidate in chosen:
            self._in_hand[candidate.fax] = candidate
            self._remember(candidate)
        return chosen

    def _with_channel(self, order: Sequence[Candidate]) -> list[Candidate]:
        """Those for which a channel is free; a fax that no trunk carries passes, and is told so."""
        free, now = dict(self._line.trunks()), self._seat.clock()
        self._trunk_of = {fax: trunk for fax, trunk in self._trunk_of.items() if fax in self._in_hand}
        for trunk in self._trunk_of.values():
            free[trunk] = free.get(trunk, 1) - 1
        chosen = []
        for candidate in order:
            found = self._routes.in_turn(
                self._routes.of(candidate.e164, candidate.trunk, candidate.customer), free, now=now
            )
            if found and found[0].full:
                continue
            if found:
                free[found[0].trunk] -= 1
                self._trunk_of[candidate.fax] = found[0].trunk
            chosen.append(candidate)
        return chosen

    def _remember(self, candidate: Candidate) -> None:
        """This customer and this job had their turn; who had theirs longest ago is forgotten first."""
        for turn in ((candidate.customer, ""), (candidate.customer, candidate.job)):
            self._served.pop(turn, None)
            self._served[turn] = next(self._turns)
        while len(self._served) > MAX_TURNS:
            del self._served[next(iter(self._served))]

    async def _next_due(self) -> float | None:
        now = self._seat.clock()
        due = await self._seat.store.read(lambda conn: candidates.next_candidate(conn, now=now))
        return min([*([] if due is None else [due]), *self._rest_until.values()], default=None)

    async def _call(self, candidate: Candidate) -> None:
        rest = AFTER_FAULT
        try:
            await self._pace()
            rest = await self._outbound.call(candidate.fax)
        finally:
            if rest > 0:
                self._rest_until[candidate.fax] = self._seat.clock() + rest
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
