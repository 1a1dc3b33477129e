"""Which trunk a fax goes out on (features D9): by prefix, order and cost, around what fails or is full.

Each `Route` says what one trunk does with numbers that begin so. Of a trunk's routes the one with the longest prefix
counts; a trunk that no route names carries everything, after those that are named. What an account names is tried in
its order, whatever the routes say. A trunk that is held or has just failed this fax comes last, and so does one that is
full where a route or the account names others; but it comes: no choice here keeps a fax from being called.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from faxgw.fax.outcome import Cause, Outcome

HOLD = 30.0
"""Seconds for which a trunk is held after its first fault."""
MAX_HOLD = 900.0
"""The most that further faults in a row double it to; a Retry-After is respected up to this as well."""
TRUNK_FAULTS = frozenset({Cause.CARRIER_FAULT, Cause.NO_ROUTE})
"""Causes after which a fax goes on at once over another trunk."""
_CONGESTION = frozenset({34, 38, 41, 42, 44, 47})
"""Q.850 causes that speak of the network and not of the number dialled (ITU-T Q.850 section 2.2.7.1.2)."""
_NUMBER = frozenset({2, 3, 27, 28})
"""Q.850 causes that speak of the number dialled, whatever the SIP status."""


@dataclass(frozen=True, slots=True)
class Route:
    """What a trunk does with the numbers that begin with a prefix."""

    trunk: str
    prefix: str
    """E.164, `+` for every number."""
    cost: float = 0.0
    """Per minute, in whatever currency all routes have in common."""
    order: int = 100
    """Lower comes first, whatever it costs."""
    carry: bool = True
    """False: this trunk does not carry these numbers."""


class Why(enum.StrEnum):
    """Why a trunk stands where it stands."""

    ACCOUNT = "account"
    ROUTE = "route"
    UNROUTED = "unrouted"
    """No route names the trunk: it steps in for one that fails, not for one that is full."""


@dataclass(frozen=True, slots=True)
class Way:
    """One trunk that a fax could take."""

    trunk: str
    why: Why
    route: Route | None = None
    """Its route, where one counted."""
    failed: bool = False
    """The last calls of this fax failed on it."""
    held_until: float = 0.0
    """It is held because of faults until then, Unix seconds; 0.0: it is not."""
    full: bool = False
    """It has no free channel."""

    @property
    def ready(self) -> bool:
        """Nothing speaks against it now."""
        return not (self.failed or self.held_until or self.full)


def ways(number: str, trunks: Sequence[str], routes: Sequence[Route], named: Sequence[str] = ()) -> tuple[Way, ...]:
    """The trunks that may carry a number, in the order of preference.

    Args:
        number: E.164.
        trunks: All trunks, in the order of the settings.
        routes: All routes.
        named: Trunks that the account names, in its order; empty: it leaves the choice to the routes.
    """
    if named:
        return tuple(Way(trunk, Why.ACCOUNT, _route_of(trunk, number, routes)) for trunk in dict.fromkeys(named))
    found: list[tuple[tuple[bool, int, float, int], Way]] = []
    routed = {route.trunk for route in routes}
    for place, trunk in enumerate(trunks):
        if trunk not in routed:
            found.append(((True, 0, 0.0, place), Way(trunk, Why.UNROUTED)))
            continue
        route = _route_of(trunk, number, routes)
        if route is not None and route.carry:
            found.append(((False, route.order, route.cost, place), Way(trunk, Why.ROUTE, route)))
    return tuple(way for _key, way in sorted(found, key=lambda item: item[0]))


def _route_of(trunk: str, number: str, routes: Sequence[Route]) -> Route | None:
    """The trunk's route with the longest prefix of the number; of equal ones the first."""
    fitting = [route for route in routes if route.trunk == trunk and number.startswith(route.prefix)]
    return max(fitting, key=lambda route: len(route.prefix), default=None)


def in_turn(
    found: Sequence[Way],
    *,
    failed: Collection[str] = (),
    held: Mapping[str, float] | None = None,
    free: Mapping[str, int] | None = None,
    now: float = 0.0,
) -> tuple[Way, ...]:
    """The ways in the order in which they are tried now.

    Args:
        found: From `ways`.
        failed: Trunks on which this fax has just failed by a fault of the trunk.
        held: Trunks that are held, and until when.
        free: Free channels by trunk; a trunk that is not in it does not exist (any more). None: all have some.
        now: Unix seconds.
    """
    marked = []
    for way in found:
        until = (held or {}).get(way.trunk, 0.0)
        marked.append(
            replace(
                way,
                failed=way.trunk in failed,
                held_until=until if until > now else 0.0,
                full=free is not None and free.get(way.trunk, 0) <= 0,
            )
        )
    return tuple(sorted(marked, key=_rank))


def _rank(way: Way) -> tuple[bool, bool, bool, float]:
    """Ways without a route wait for a channel of the one before them: nobody said that its calls may cost more."""
    full = way.full and way.why is not Why.UNROUTED
    return full, way.failed, bool(way.held_until), way.held_until


def just_failed(tried: Sequence[tuple[str, Cause]], offered: Sequence[str]) -> frozenset[str]:
    """The trunks that a fax need not try at once again.

    Args:
        tried: Trunk and cause of its calls to the present number, oldest first.
        offered: Trunks that may carry it.

    Returns:
        Those on which it has failed since a call came through, or since all of them had failed: then it goes round
        them again.
    """
    failed: set[str] = set()
    for trunk, cause in tried:
        failed = failed | {trunk} if cause in TRUNK_FAULTS else set()
        if failed >= set(offered):
            failed = set()
    return frozenset(failed)


def blames_trunk(outcome: Outcome) -> bool:
    """Whether a call's end says that the trunk is at fault, and not this one number."""
    if outcome.cause is Cause.NO_ROUTE:
        return True
    if outcome.cause is not Cause.CARRIER_FAULT or outcome.connected or outcome.q850 in _NUMBER:
        return False
    if outcome.q850 is not None:
        return outcome.q850 in _CONGESTION
    return outcome.sip_status is None or outcome.sip_status in (401, 407, 408) or 500 <= outcome.sip_status < 600


@dataclass(frozen=True, slots=True)
class Hold:
    """A trunk that is held."""

    faults: int
    """In a row."""
    until: float
    """Unix seconds."""
    why: str


def hold(before: Hold | None, outcome: Outcome, *, now: float) -> Hold | None:
    """What a call's end means for its trunk: held, longer held, or good again.

    Args:
        before: How it stood.
        outcome: What a call on it came to.
        now: Unix seconds.
    """
    if outcome.cause in (Cause.LINE_FAULT, Cause.CANCELLED) and not outcome.connected:
        return before  # it says nothing of the trunk
    if not blames_trunk(outcome):
        return None
    faults = (before.faults if before is not None else 0) + 1
    seconds = max(HOLD * 2 ** min(faults - 1, 10), outcome.retry_after or 0.0)
    return Hold(faults, now + min(seconds, MAX_HOLD), outcome.detail[:200] or outcome.cause.facts.text)
