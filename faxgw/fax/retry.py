"""The retry law (docs/spine.md section 2): when a fax is dialled again, and when not.

A pure function of what happened. Ceilings: dials ≤ 12, tries after connect ≤ 3 by default; busy, no answer, no
carrier and protocol error have pauses of their own; a wrong number is never dialled again; a number that a person
answered gets at most one more dial, not within 30 minutes and only between 8 and 20 o'clock there. No pause is shorter
than the far side's Retry-After.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, Self  # Any: a setting's value, checked by its row in fax.account
from zoneinfo import ZoneInfo

from faxgw.fax.outcome import Cause, Outcome, Retry

MAX_DIALS = 12
"""Dials per fax; HylaFAX's MaxDials, and the spine's hard ceiling."""
MAX_TRIES = 3
"""Tries after connect per fax; HylaFAX's MaxTries."""
REDIAL_AFTER_CRASH = 40.0
"""Seconds before a number is dialled again after an attempt of unknown end: 64·T1 = 32 s and a margin (spine 5)."""
NOFAX_PAUSE = 1800.0
"""Seconds before a number that a person answered is dialled again."""
NOFAX_DIALS = 2
"""Dials altogether to a number that a person answered."""
NOFAX_HOURS = (8, 20)
"""Hours of the recipient's day in which such a number may be dialled."""
BUSY_PAUSES = (60, 120, 180, 300, 300, 600, 600, 900, 900, 1800, 1800)
NO_ANSWER_PAUSES = (300, 600, 900, 1800, 1800, 3600)
NO_CARRIER_PAUSES = (30, 60, 120, 300, 600, 900, 1800)
PROTOCOL_PAUSES = (60, 180, 300)
MAX_RETRY_AFTER = 3600.0
"""Seconds for which the far side's Retry-After is respected at most; some name days."""
FAILOVER_PAUSE = 1.0
"""Seconds before a fax goes on over another trunk."""
RESUME_PAUSE = 5.0
"""Seconds before a call goes on that we ended ourselves to keep confirmations apart."""


class SettingsView(Protocol):
    """Settings by key (`fax.account.Effective`)."""

    def __getitem__(self, key: str) -> Any:
        """The value in force."""
        ...


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Ceilings and pauses of one fax, from its settings."""

    max_dials: int = MAX_DIALS
    max_tries: int = MAX_TRIES
    busy: tuple[float, ...] = BUSY_PAUSES
    """Seconds to wait after the first, second, … busy; the last repeats."""
    no_answer: tuple[float, ...] = NO_ANSWER_PAUSES
    no_carrier: tuple[float, ...] = NO_CARRIER_PAUSES
    protocol: tuple[float, ...] = PROTOCOL_PAUSES

    @classmethod
    def of(cls, settings: SettingsView) -> Self:
        """The policy that an account's settings describe."""
        return cls(
            settings["max_dials"],
            settings["max_tries"],
            settings["busy_pauses"],
            settings["no_answer_pauses"],
            settings["no_carrier_pauses"],
            settings["protocol_pauses"],
        )

    def pauses(self, kind: Retry) -> tuple[float, ...]:
        """The pause table of a retry class."""
        return {
            Retry.BUSY: self.busy,
            Retry.NO_ANSWER: self.no_answer,
            Retry.NO_CARRIER: self.no_carrier,
            Retry.PROTOCOL: self.protocol,
            Retry.NOFAX: (NOFAX_PAUSE,),
            Retry.NEVER: (),
        }[kind]


@dataclass(frozen=True, slots=True)
class Tally:
    """What was tried so far for one fax, the attempt just closed included."""

    dials: int = 0
    """INVITEs of all numbers (an attempt that never left counts too)."""
    tries: int = 0
    """Attempts that connected, without those we ended only to resume."""
    causes: tuple[Cause, ...] = ()
    """Causes at the present number, oldest first."""


@dataclass(frozen=True, slots=True)
class Again:
    """Dial again."""

    at: float
    """Not before, Unix seconds."""
    number: int
    """Index of the number to dial."""
    cause: Cause


@dataclass(frozen=True, slots=True)
class Stop:
    """No further dial."""

    cause: Cause
    """What the fax fails with."""


Decision = Again | Stop


def decide(
    outcome: Outcome,
    tally: Tally,
    *,
    policy: RetryPolicy,
    numbers: int,
    number: int,
    zone: str = "UTC",
    elsewhere: bool = False,
    now: float,
) -> Decision:
    """What follows an attempt that did not confirm every page and left no doubt.

    Args:
        outcome: The attempt's result.
        tally: Counts with this attempt in them.
        policy: Ceilings and pauses.
        numbers: How many numbers the fax has (alternatives included).
        number: Index of the number just dialled.
        zone: IANA zone of the recipient.
        elsewhere: The trunk was at fault, and another one carries the number too: no pause.
        now: Unix seconds.
    """
    if outcome.resume and tally.dials < policy.max_dials:
        return Again(now + RESUME_PAUSE, number, outcome.cause)
    kind = outcome.cause.facts.retry
    if tally.dials >= policy.max_dials or tally.tries >= policy.max_tries:
        return Stop(outcome.cause)
    if kind is Retry.NEVER or (kind is Retry.NOFAX and _nofax(tally.causes) >= NOFAX_DIALS):
        return Again(now + 1.0, number + 1, outcome.cause) if number + 1 < numbers else Stop(outcome.cause)
    if elsewhere:
        return Again(now + FAILOVER_PAUSE, number, outcome.cause)
    pauses = policy.pauses(kind)
    seen = sum(1 for cause in tally.causes if cause.facts.retry is kind)
    asked = min(outcome.retry_after or 0.0, MAX_RETRY_AFTER)
    at = now + max(pauses[min(max(seen, 1), len(pauses)) - 1], asked)
    return Again(_daytime(at, zone) if kind is Retry.NOFAX else at, number, outcome.cause)


def _nofax(causes: Sequence[Cause]) -> int:
    return sum(1 for cause in causes if cause.facts.retry is Retry.NOFAX)


def _daytime(at: float, zone: str) -> float:
    """The first moment from `at` on that lies within NOFAX_HOURS in `zone`."""
    local = datetime.fromtimestamp(at, UTC).astimezone(ZoneInfo(zone))
    opens, closes = NOFAX_HOURS
    if opens <= local.hour < closes:
        return at
    day = local if local.hour < opens else local + timedelta(days=1)
    return day.replace(hour=opens, minute=0, second=0, microsecond=0).timestamp()
