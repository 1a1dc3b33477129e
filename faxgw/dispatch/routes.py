"""The trunks as this node sees them now: routes of the settings, faults of late, free channels (features D9).

The choice itself is `fax.route`'s. What is held here is lost at a restart, and that is right: it is only an opinion
on who works today.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated

from pydantic import Field

from faxgw.fax.outcome import Cause, Outcome
from faxgw.fax.ports import Line
from faxgw.fax.route import Hold, Route, Way, hold, in_turn, just_failed, ways
from faxgw.settings import Section

log = logging.getLogger(__name__)


class RouteSettings(Section):
    """`[[route]]`: what a trunk does with the numbers that begin with a prefix, and at what cost."""

    trunk: str = Field(min_length=1, max_length=64, examples=["carrier"])
    """Name of the trunk."""
    prefixes: tuple[Annotated[str, Field(pattern=r"^\+[0-9]{0,15}$")], ...] = Field(
        default=("+",), min_length=1, max_length=1000, examples=[["+33", "+352"]]
    )
    """Beginnings of numbers in international form; `+` is every number. A trunk's longest one that fits counts."""
    cost: Annotated[float, Field(ge=0)] = 0.0
    """Price per minute; the cheapest trunk is tried first."""
    order: Annotated[int, Field(ge=0, le=1000)] = 100
    """Lower is tried first, whatever it costs."""
    carry: bool = True
    """False: the trunk does not carry these numbers."""

    def routes(self) -> list[Route]:
        """One route a prefix."""
        return [Route(self.trunk, prefix, self.cost, self.order, self.carry) for prefix in self.prefixes]


def named(setting: str) -> tuple[str, ...]:
    """The trunks that the account setting `trunk` names, in its order; none when it is empty."""
    return tuple(name for part in setting.split(",") if (name := part.strip()))


class Routes:
    """Which trunk carries which fax now.

    Args:
        line: For its trunks and their channels.
        routes: Of the settings.
        sandboxes: Trunks to simulators: they carry what names them and nothing else.
        owners: Trunks that belong to one customer, and to whom (features E6).
    """

    def __init__(
        self,
        line: Line,
        routes: Sequence[Route] = (),
        sandboxes: Collection[str] = (),
        owners: Mapping[str, str] | None = None,
    ) -> None:
        self._owners = dict(owners or {})
        self._line = line
        self._sandboxes = frozenset(sandboxes)
        self._routes = tuple(routes)
        self._holds: dict[str, Hold] = {}

    def adjust(self, routes: Sequence[Route]) -> None:
        """Take on other routes."""
        self._routes = tuple(routes)

    def of(self, number: str, setting: str, customer: str) -> tuple[Way, ...]:
        """The existing trunks that may carry a number, in the order of preference.

        Args:
            number: E.164.
            setting: The account's setting `trunk`.
            customer: Whose fax it is.
        """
        asked = named(setting)
        trunks = [
            trunk
            for trunk in self._line.trunks()
            if (trunk not in self._sandboxes or trunk in asked) and self._owners.get(trunk, customer) == customer
        ]
        return tuple(way for way in ways(number, trunks, self._routes, asked) if way.trunk in trunks)

    def in_turn(
        self,
        found: Sequence[Way],
        free: Mapping[str, int],
        *,
        tried: Sequence[tuple[str, Cause]] = (),
        now: float,
    ) -> tuple[Way, ...]:
        """The ways in the order in which they are tried now.

        Args:
            found: From `of`.
            free: Free channels by trunk.
            tried: Trunk and cause of the fax's calls to the number, oldest first.
            now: Unix seconds.
        """
        failed = just_failed(tried, [way.trunk for way in found])
        held = {trunk: entry.until for trunk, entry in self._holds.items()}
        return in_turn(found, failed=failed, held=held, free=free, now=now)

    def held(self, trunk: str, now: float) -> Hold | None:
        """Why a trunk is held now, if it is."""
        entry = self._holds.get(trunk)
        return entry if entry is not None and entry.until > now else None

    def ended(self, trunk: str, outcome: Outcome, now: float) -> None:
        """A call on a trunk is over: it may be held for a while, or good again."""
        before = self._holds.pop(trunk, None)
        after = hold(before, outcome, now=now)
        if after is None:
            if before is not None:
                log.info("trunk works again", extra={"event": "trunk.good", "trunk": trunk})
            return
        self._holds[trunk] = after
        if after != before:
            extra = {"event": "trunk.held", "trunk": trunk, "faults": after.faults, "why": after.why}
            log.warning("trunk held", extra=extra)
