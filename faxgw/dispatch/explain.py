"""What the next call to a number will do, and why, without dialling it (`faxgw explain`).

Everything is asked of the same functions that decide when a fax is called. The answer is plain JSON; `fax.explain`
puts it into sentences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol  # Any: JSON

from sqlalchemy import Connection

from faxgw.dispatch.gate import read_number
from faxgw.dispatch.outbound import wanted
from faxgw.dispatch.routes import Routes
from faxgw.dispatch.seat import Seat
from faxgw.fax.account import AccountState, Effective
from faxgw.fax.destination import CallRecord, Measure, manner, measures, resolutions_taken, rests_until
from faxgw.fax.errors import Refused
from faxgw.fax.number import FaxNumber, recipient_zone
from faxgw.fax.route import Way
from faxgw.store import destinations, directory, planning


class TrunkView(Protocol):
    """What a line tells of its trunks (`line.sip`)."""

    @property
    def channels(self) -> Mapping[str, int]:
        """Names of the trunks and all their channels."""
        ...

    def trunks(self) -> Mapping[str, int]:
        """Names of the trunks, and the channels that are left for our calls."""
        ...

    @property
    def faults(self) -> Mapping[str, str]:
        """The trunks that take no calls now, and why."""
        ...

    def presentation(self, trunk: str, number: str, caller: str, name: str, *, withheld: bool) -> Mapping[str, Any]:
        """How a call on a trunk would look: `request_uri`, `to`, `from`, `headers`, `t38`, `t38_offer`, `t38_wait`."""
        ...


@dataclass(frozen=True, slots=True)
class _Facts:
    """What the store says."""

    calls: tuple[CallRecord, ...]
    kills: int
    trusted: bool
    busy: Mapping[str, int]
    waiting: destinations.Waiting


class Explainer:
    """Answers `faxgw explain`.

    Args:
        seat: The node.
        routes: Which trunk carries which fax.
        line: Its trunks.
    """

    def __init__(self, seat: Seat, routes: Routes, line: TrunkView) -> None:
        self._seat = seat
        self._routes = routes
        self._line = line

    async def explain(self, typed: str, customer: str = "", sender: str = "") -> Mapping[str, Any]:
        """What the next call to a number will do.

        Args:
            typed: The number as somebody would type it.
            customer: Who sends; empty: the first customer, or the sender's.
            sender: A user of that customer, or a sender's mail address; empty: nobody in particular.

        Raises:
            Refused: If there is no such customer or sender.
        """
        customer, user = await self._seat.store.read(lambda conn: _account(conn, customer, sender))
        settings = await self._seat.store.read(
            lambda conn: directory.effective(conn, self._seat.system, customer, user)
        )
        states = await self._seat.store.read(lambda conn: directory.account_states(conn, customer, user))
        now = self._seat.clock()
        account = {"customer": customer, "user": user, "active": all(s is AccountState.ACTIVE for s in states)}
        answer: dict[str, Any] = {"now": now, "typed": typed, "account": account}
        try:
            number = read_number(typed, settings)
        except Refused as exc:
            return answer | {"number": None, "refused": exc.public}
        facts = await self._seat.store.read(lambda conn: _facts(conn, number.e164))
        return answer | {"number": _number(number), "refused": ""} | self._call(number, customer, settings, facts, now)

    def _call(self, number: FaxNumber, customer: str, settings: Effective, facts: _Facts, now: float) -> dict[str, Any]:
        left = self._line.trunks()
        free = {trunk: channels - facts.busy.get(trunk, 0) for trunk, channels in left.items()}
        turn = self._routes.in_turn(self._routes.of(number.e164, settings["trunk"], customer), free, now=now)
        trunk = turn[0].trunk if turn else ""
        taken = measures(facts.calls, trunk=trunk, now=now, kills=facts.kills)
        possible = wanted(settings, resolutions_taken(facts.calls, now))
        return {
            "trunks": [self._way(way, facts, now) for way in turn],
            "named": settings["trunk"],
            "wire": self._wire(trunk, number, settings) if trunk else None,
            "calls": [call.to_json() for call in facts.calls],
            "measures": [_measure(measure) for measure in taken],
            "wanted": wanted(settings).to_json(),
            "manner": manner(possible, taken).to_json(),
            "obstacles": self._obstacles(turn, facts, rests_until(facts.calls, taken), now),
        }

    def _wire(self, trunk: str, number: FaxNumber, settings: Effective) -> Mapping[str, Any]:
        name, withheld = settings["caller_name"], settings["withhold_number"]
        return self._line.presentation(trunk, number.e164, settings["clip"], name, withheld=withheld)

    def _way(self, way: Way, facts: _Facts, now: float) -> dict[str, Any]:
        held = self._routes.held(way.trunk, now)
        return {
            "trunk": way.trunk,
            "why": way.why.value,
            "prefix": way.route.prefix if way.route is not None else "",
            "cost": way.route.cost if way.route is not None else None,
            "order": way.route.order if way.route is not None else None,
            "held_until": held.until if held is not None else 0.0,
            "held_why": held.why if held is not None else "",
            "fault": self._line.faults.get(way.trunk, ""),
            "channels": self._line.channels.get(way.trunk, 0),
            "calls": facts.busy.get(way.trunk, 0),
            "full": way.full,
        }

    def _obstacles(self, turn: Sequence[Way], facts: _Facts, rest: float, now: float) -> list[dict[str, Any]]:
        """What stands in the way now: what, and until when where that is known."""
        found: list[dict[str, Any]] = []
        if not turn:
            found.append({"what": "no trunk carries this number"})
        elif turn[0].full:
            fault = self._line.faults.get(turn[0].trunk, "")
            found.append({"what": f"trunk {turn[0].trunk}: {fault or 'every channel is in use'}"})
        if facts.waiting.calling:
            found.append({"what": "the number has a call of ours at this moment"})
        if rest > now:
            found.append({"what": "the number rests after its last call", "until": rest})
        if facts.kills >= planning.HELD_AFTER and not facts.trusted:
            found.append({"what": "faxes to this number are held: it has ended call workers three times"})
        if facts.waiting.open:
            what = f"{facts.waiting.open} faxes to this number are in the queue before it"
            found.append({"what": what, "until": facts.waiting.next_at if facts.waiting.next_at > now else None})
        return found


def _account(conn: Connection, customer: str, sender: str) -> tuple[str, str]:
    """Customer and user id.

    Raises:
        Refused: If there is no such account.
    """
    if "@" in sender:
        found = directory.sender(conn, sender, "")
        if found is None or (customer and found[0].customer != customer):
            raise Refused(f"no sender {sender}", public=f"{sender} may not send here.")
        return found[0].customer, found[0].user
    known = directory.customers(conn)
    customer = customer or (known[0] if known else "")
    if not directory.exists(conn, customer, sender):
        who = f"{customer}/{sender}" if sender else customer
        raise Refused(f"no account {who}", public=f"There is no account {who}.")
    return customer, f"{customer}/{sender}" if sender else ""


def _facts(conn: Connection, e164: str) -> _Facts:
    kills, trusted = planning.kills_of(conn, e164)
    waiting = destinations.waiting(conn, e164)
    return _Facts(destinations.calls_to(conn, e164), kills, trusted, planning.busy_trunks(conn), waiting)


def _number(number: FaxNumber) -> dict[str, Any]:
    return {
        "e164": number.e164,
        "country": number.country,
        "kind": number.kind.value,
        "sub_address": number.sub_address,
        "zone": recipient_zone(number),
    }


def _measure(measure: Measure) -> dict[str, Any]:
    values = asdict(measure)
    return values | {"until": None if measure.until == float("inf") else measure.until}
