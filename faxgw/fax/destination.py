"""What is known of a destination, and what its next call shall therefore do (features D5).

The evidence is a bounded list of calls to one number; everything else follows from it, from the trunk and from the
time. A `Measure` is a departure from how calls are usually made. It rests on at least two calls that speak for it
(a DIS and a dead call worker speak for themselves), fades with HALF_LIFE, and is dropped for one call, which tries
better again, when its time has passed or enough calls with it went well. If that call fails too, it comes back for
twice as long. A call that fails in spite of a measure ends the measure. No measure keeps a fax from being called.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self  # Any: JSON of the store

from faxgw.fax.outcome import Cause, Outcome, Retry
from faxgw.fax.resolution import Resolution

DAY = 86_400.0
"""Seconds."""
HALF_LIFE = 14 * DAY
"""Seconds after which a call counts for half."""
NEEDED = 1.5
"""Calls, each halved by its age, that make a measure: two within a fortnight."""
HOLD = 7 * DAY
"""Seconds after the last call that spoke for a measure until better is tried again."""
GOOD_CALLS = 2
"""Successful calls with a measure after which better is tried again."""
MAX_LEVEL = 2
"""How often a failed trial doubles HOLD and GOOD_CALLS."""
FACT_HOLD = 28 * DAY
"""Seconds for which the last DIS, and what has gone well, is believed."""
MAX_CONNECTED = 16
"""Calls kept of those that were answered."""
MAX_UNCONNECTED = 8
"""Calls kept of the others."""
REST_AFTER_CALL = 60.0
"""Seconds that a number rests after a call when it was found busy just after one."""
BUSY_AFTER_CALL = 120.0
"""Seconds after a call within which a busy number is taken to be still occupied with it."""
PATIENCE = 60.0
"""Seconds from the answer within which a fax machine must be heard, usually."""
MAX_PATIENCE = 100.0
"""The most that it is raised to."""
SLOW_RATE = 9600
"""Bit/s of a cautious call: V.29, without V.17's long training."""
MANY_RETRIES = 6
"""Repeated ECM blocks of a call from which on the line is too poor for its rate."""
ISOLATED_AFTER = 2
"""Call workers that a number has ended before it gets one of its own (spine section 5)."""


class T38Use(enum.StrEnum):
    """What a call does about T.38 on a trunk that has it."""

    LATE = "late"
    """We propose it when the far end has not, a little after its answer tone."""
    EARLY = "early"
    """We propose it as soon as the answer tone is heard."""
    NEVER = "never"
    """We do not propose it, and take the far end's proposal."""
    AUDIO = "audio"
    """Neither: the fax stays in the audio."""


class Kind(enum.StrEnum):
    """Departures from how calls are usually made."""

    NO_PROPOSAL = "no_t38_proposal"
    AUDIO_ONLY = "audio_only"
    EARLY_T38 = "early_t38"
    NO_ECM = "no_ecm"
    SLOW = "slow"
    COARSE = "standard_resolution"
    PATIENT = "patient"
    REST = "rest"
    ISOLATED = "isolated"


class Phase(enum.StrEnum):
    """How far a call came."""

    DIAL = "dial"
    ANSWER = "answer"
    """Answered, but no DIS."""
    NEGOTIATION = "negotiation"
    """DIS came, no page data left."""
    PAGE = "page"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class CallRecord:
    """What one call tells of its destination."""

    at: float
    """When it ended, Unix seconds."""
    trunk: str
    cause: str
    phase: str
    measures: tuple[str, ...] = ()
    """Kinds that its plan heeded."""
    t38: str = ""
    """What became of T.38 (`Outcome.far.t38`)."""
    transport: str = ""
    bit_rate: int = 0
    max_bit_rate: int = 14400
    """The rate it was allowed."""
    ecm: bool = False
    ecm_retries: int = 0
    encoding: str = ""
    ident: str = ""
    resolutions: tuple[str, ...] = ()
    """Of the DIS; empty when none came."""
    codings: tuple[str, ...] = ()
    heard_after: float | None = None
    """Seconds from the answer to the first tone of a fax machine."""
    dis_after: float | None = None
    """Seconds from the answer to its DIS."""
    gap: float | None = None
    """Seconds from the end of the answered call before it to this one."""
    resumed: bool = False
    """We ended it ourselves to go on in another call: it proves nothing but its DIS."""

    @property
    def connected(self) -> bool:
        """Whether it was answered."""
        return self.phase != Phase.DIAL

    @property
    def sent(self) -> bool:
        """Whether every page was confirmed."""
        return self.cause == Cause.OK.value

    @property
    def broke(self) -> bool:
        """Whether it failed in a way that the manner of the call may have caused."""
        if not self.connected or self.sent or self.resumed or self.cause == Cause.LINE_FAULT.value:
            return False
        silent = self.cause in (Cause.NO_FAX_TONE.value, Cause.HUNG_UP_BEFORE_FAX.value)
        return silent or Cause(self.cause).facts.retry is Retry.PROTOCOL

    def to_json(self) -> dict[str, Any]:
        """For the store: what differs from the default."""
        plain = {field.name: field.default for field in fields(self)}
        return {key: value for key, value in asdict(self).items() if value != plain[key]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse; what a later release wrote beside it is left out."""
        names = {field.name for field in fields(cls)}
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items() if k in names}
        return cls(**values)


def record_of(
    outcome: Outcome, *, trunk: str, measures: Iterable[str], max_bit_rate: int, last: float | None, now: float
) -> CallRecord | None:
    """What a call that is over tells; None where it tells nothing: our own fault, a cancel, a fault of the trunk.

    Args:
        outcome: What it came to.
        trunk: Its trunk.
        measures: Kinds that its plan heeded.
        max_bit_rate: The rate that its plan allowed.
        last: When the answered call before it ended, Unix seconds.
        now: Unix seconds.
    """
    silent = (Cause.LINE_FAULT, Cause.CANCELLED, Cause.CARRIER_FAULT, Cause.NO_ROUTE, Cause.DOCUMENT_DAMAGED)
    if outcome.cause in silent:
        return None
    far = outcome.far
    begun = outcome.started_at or now
    return CallRecord(
        at=now,
        trunk=trunk,
        cause=outcome.cause.value,
        phase=phase_of(outcome).value,
        measures=tuple(measures),
        t38=far.t38,
        transport=outcome.transport,
        bit_rate=outcome.bit_rate,
        max_bit_rate=max_bit_rate,
        ecm=outcome.ecm,
        ecm_retries=outcome.ecm_retries,
        encoding=outcome.encoding,
        ident=outcome.remote_ident[:20],
        resolutions=far.resolutions,
        codings=far.codings,
        heard_after=far.heard_after,
        dis_after=far.dis_after,
        gap=None if last is None else round(max(0.0, begun - last), 1),
        resumed=outcome.resume,
    )


def phase_of(outcome: Outcome) -> Phase:
    """How far a call came."""
    if outcome.cause is Cause.OK:
        return Phase.DONE
    if not outcome.connected:
        return Phase.DIAL
    if outcome.exposed:
        return Phase.PAGE
    return Phase.NEGOTIATION if outcome.far.dis_after is not None or outcome.transport else Phase.ANSWER


def kept(calls: Sequence[CallRecord]) -> tuple[CallRecord, ...]:
    """The calls that are kept, oldest first: busy signals do not push out what was learned in calls."""
    newest = sorted(calls, key=lambda call: call.at, reverse=True)
    connected = [call for call in newest if call.connected][:MAX_CONNECTED]
    others = [call for call in newest if not call.connected][:MAX_UNCONNECTED]
    return tuple(sorted([*connected, *others], key=lambda call: call.at))


@dataclass(frozen=True, slots=True)
class Measure:
    """A departure from how calls are usually made, and why."""

    kind: Kind
    calls: int
    """How many calls speak for it."""
    last_at: float
    """When the last of them ended, Unix seconds."""
    until: float
    """When better is tried again, Unix seconds; `inf`: when an operator says so."""
    good_calls: int = 0
    """Successful calls with it after which better is tried earlier; 0: they make no difference."""
    value: float = 0.0
    """PATIENT: seconds; REST: seconds."""


@dataclass(frozen=True, slots=True)
class _Rule:
    """When a measure is taken."""

    kind: Kind
    against: Callable[[CallRecord], bool]
    """A call without it speaks for it."""
    refutes: Callable[[CallRecord], bool]
    """A call without it shows that it is not needed."""
    per_trunk: bool = False
    """Only calls on the same trunk count."""
    lasts: bool = False
    """Success with it confirms it, instead of calling for a trial without it."""
    hold: float = HOLD


def _agreed(call: CallRecord) -> bool:
    return call.transport == "t38" or call.t38 in ("ours", "theirs", "useless")


def _poor(call: CallRecord) -> bool:
    """The line, or the far end, does not bear the rate."""
    if call.max_bit_rate <= SLOW_RATE:
        return False
    retries = call.ecm_retries >= MANY_RETRIES and (call.sent or call.broke)
    return retries or call.cause in (Cause.TRAINING_FAILED.value, Cause.BAD_LINES.value)


def _busy_after_call(call: CallRecord) -> bool:
    return call.cause == Cause.BUSY.value and call.gap is not None and call.gap <= BUSY_AFTER_CALL


_RULES = (
    _Rule(
        Kind.NO_PROPOSAL,
        against=lambda call: call.t38 == "refused",
        refutes=lambda call: call.t38 in ("ours", "theirs"),
        per_trunk=True,
    ),
    _Rule(
        Kind.AUDIO_ONLY,
        against=lambda call: _agreed(call) and (call.broke or call.t38 == "useless"),
        refutes=lambda call: call.transport == "t38" and call.sent,
        per_trunk=True,
    ),
    _Rule(
        Kind.EARLY_T38,
        against=lambda call: call.t38 == "ours" and call.sent,
        refutes=lambda call: call.t38 in ("theirs", "refused", "useless"),
        per_trunk=True,
        lasts=True,
        hold=FACT_HOLD,
    ),
    _Rule(
        Kind.NO_ECM,
        against=lambda call: call.ecm and call.broke and call.phase == Phase.PAGE,
        refutes=lambda call: call.ecm and call.sent,
    ),
    _Rule(
        Kind.SLOW,
        against=_poor,
        refutes=lambda call: call.sent and call.max_bit_rate > SLOW_RATE,
    ),
    _Rule(
        Kind.REST,
        against=_busy_after_call,
        refutes=lambda call: call.connected and call.gap is not None and call.gap <= BUSY_AFTER_CALL,
    ),
)


def measures(calls: Sequence[CallRecord], *, trunk: str, now: float, kills: int = 0) -> tuple[Measure, ...]:
    """What the next call departs in from the usual, by the evidence.

    Args:
        calls: The calls kept, oldest first.
        trunk: The trunk of the next call.
        now: Unix seconds.
        kills: Call workers that the number has ended.
    """
    found = [_weigh(rule, calls, trunk, now) for rule in _RULES]
    found += [_coarse(calls, now), _patient(calls, now)]
    if kills >= ISOLATED_AFTER:
        found.append(Measure(Kind.ISOLATED, kills, 0.0, float("inf")))
    taken = [measure for measure in found if measure is not None]
    audio = {Kind.NO_PROPOSAL, Kind.AUDIO_ONLY}
    if any(measure.kind in audio for measure in taken):
        taken = [measure for measure in taken if measure.kind is not Kind.EARLY_T38]
    return tuple(taken)


def _weigh(rule: _Rule, calls: Sequence[CallRecord], trunk: str, now: float) -> Measure | None:
    """Go through the calls in their order; the last state of the rule counts."""
    weight, count, level, good, last_at = 0.0, 0, 0, 0, 0.0
    for call in calls:
        if (rule.per_trunk and call.trunk != trunk) or call.resumed:
            continue
        if rule.kind in call.measures:
            if call.broke or (rule.lasts and rule.refutes(call)):
                weight, count, level, good = 0.0, 0, 0, 0
            elif call.sent:
                good += 1
                last_at = call.at if rule.lasts else last_at
        elif rule.against(call):
            tried = weight >= NEEDED
            weight = weight * 0.5 ** (max(0.0, call.at - last_at) / HALF_LIFE) + 1.0
            level = min(level + 1, MAX_LEVEL) if tried and weight >= NEEDED else level
            count, good, last_at = count + 1, 0, call.at
        elif rule.refutes(call):
            weight, count, level, good = 0.0, 0, 0, 0
    enough = 0 if rule.lasts else GOOD_CALLS << level
    until = last_at + rule.hold * (1 << level)
    if weight < NEEDED or now >= until or (enough and good >= enough):
        return None
    value = REST_AFTER_CALL if rule.kind is Kind.REST else 0.0
    return Measure(rule.kind, count, last_at, until, enough - good if enough else 0, value)


def resolutions_taken(calls: Sequence[CallRecord], now: float) -> tuple[str, ...]:
    """What the last DIS offers, as it names it; empty when none is known, or it is too old to be believed."""
    last = _last_dis(calls, now)
    return () if last is None else last.resolutions


def _last_dis(calls: Sequence[CallRecord], now: float) -> CallRecord | None:
    last = next((call for call in reversed(calls) if call.resolutions), None)
    return None if last is None or now >= last.at + FACT_HOLD else last


def _coarse(calls: Sequence[CallRecord], now: float) -> Measure | None:
    """The last DIS says standard resolution only."""
    last = _last_dis(calls, now)
    if last is None or any(text != Resolution.STANDARD.dots for text in last.resolutions):
        return None
    return Measure(Kind.COARSE, 1, last.at, last.at + FACT_HOLD)


def _patient(calls: Sequence[CallRecord], now: float) -> Measure | None:
    """Its DIS has come late, within the usual patience or thanks to more of it."""
    late = [call for call in calls if call.dis_after is not None and now < call.at + FACT_HOLD]
    slowest = max((call.dis_after or 0.0 for call in late), default=0.0)
    wanted = min(slowest * 1.5 + 10.0, MAX_PATIENCE)
    if wanted <= PATIENCE:
        return None
    last = max(call.at for call in late if call.dis_after == slowest)
    count = sum(1 for call in late if (call.dis_after or 0.0) * 1.5 + 10.0 > PATIENCE)
    return Measure(Kind.PATIENT, count, last, last + FACT_HOLD, value=round(wanted, 1))


@dataclass(frozen=True, slots=True)
class Manner:
    """How a call shall be made: what the account wants, as far as the destination bears it."""

    t38: T38Use = T38Use.LATE
    ecm: bool = True
    max_bit_rate: int = 14400
    resolution: Resolution = Resolution.FINE
    """Of the pages."""
    patience: float = PATIENCE
    """Seconds from the answer within which a fax machine must be heard."""
    isolated: bool = False
    """In a call worker of its own."""
    measures: tuple[str, ...] = ()
    """Kinds that were heeded."""

    def to_json(self) -> dict[str, Any]:
        """Kept with the attempt."""
        return asdict(self)


def manner(wanted: Manner, taken: Sequence[Measure]) -> Manner:
    """Apply measures to what is wanted. Nothing is ever switched on that was not wanted.

    Args:
        wanted: What account and fax ask for; `t38` is LATE.
        taken: From `measures`.
    """
    kinds = {measure.kind for measure in taken}
    values = {measure.kind: measure.value for measure in taken}
    t38 = wanted.t38
    for kind, use in (
        (Kind.EARLY_T38, T38Use.EARLY),
        (Kind.NO_PROPOSAL, T38Use.NEVER),
        (Kind.AUDIO_ONLY, T38Use.AUDIO),
    ):
        t38 = use if kind in kinds else t38
    return replace(
        wanted,
        t38=t38,
        ecm=wanted.ecm and Kind.NO_ECM not in kinds,
        max_bit_rate=min(wanted.max_bit_rate, SLOW_RATE) if Kind.SLOW in kinds else wanted.max_bit_rate,
        resolution=Resolution.STANDARD if Kind.COARSE in kinds else wanted.resolution,
        patience=max(wanted.patience, values.get(Kind.PATIENT, 0.0)),
        isolated=wanted.isolated or Kind.ISOLATED in kinds,
        measures=tuple(measure.kind.value for measure in taken),
    )


def rests_until(calls: Sequence[CallRecord], taken: Sequence[Measure]) -> float:
    """Unix seconds until which the number rests after its last call; 0.0: it does not."""
    rest = next((measure.value for measure in taken if measure.kind is Kind.REST), 0.0)
    last = max((call.at for call in calls if call.connected), default=0.0)
    return last + rest if rest and last else 0.0
