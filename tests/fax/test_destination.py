"""What a destination's calls teach, and that they never keep a fax from being called (features D5)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faxgw.fax import destination as module
from faxgw.fax.destination import (
    DAY,
    CallRecord,
    Kind,
    Manner,
    Measure,
    T38Use,
    kept,
    manner,
    measures,
    phase_of,
    record_of,
    rests_until,
)
from faxgw.fax.outcome import Cause, FarEnd, Outcome
from faxgw.fax.resolution import Resolution

NOW = 1_800_000_000.0
GOOD = CallRecord(0.0, "t1", "ok", "done", transport="t38", t38="theirs", ecm=True, bit_rate=14400)
REFUSED = replace(GOOD, transport="g711", t38="refused")
BROKEN = replace(GOOD, cause="remote_hung_up", phase="page")
DEAF = replace(GOOD, cause="no_fax_tone", phase="answer", transport="", ecm=False)
UNTRAINED = replace(GOOD, cause="training_failed", phase="negotiation")
BUSY = CallRecord(0.0, "t1", "busy", "dial")


def history(*calls: CallRecord, step: float = 3600.0, until: float = NOW) -> list[CallRecord]:
    """Calls one hour apart, the last one an hour ago."""
    return [replace(call, at=until - step * (len(calls) - i)) for i, call in enumerate(calls)]


def kinds(calls: list[CallRecord], trunk: str = "t1", now: float = NOW, kills: int = 0) -> set[Kind]:
    return {measure.kind for measure in measures(calls, trunk=trunk, now=now, kills=kills)}


def with_(call: CallRecord, *heeded: Kind) -> CallRecord:
    return replace(call, measures=tuple(kind.value for kind in heeded))


@pytest.mark.parametrize(
    "calls, expected",
    [
        ([], set()),
        ([GOOD], set()),
        ([REFUSED], set()),
        ([REFUSED, REFUSED], {Kind.NO_PROPOSAL}),
        ([REFUSED, replace(REFUSED, trunk="t2")], set()),
        ([REFUSED, GOOD, REFUSED], set()),
        ([REFUSED, BUSY, REFUSED], {Kind.NO_PROPOSAL}),
        ([DEAF, DEAF], {Kind.AUDIO_ONLY}),
        ([replace(DEAF, t38=""), replace(DEAF, t38="")], set()),
        ([BROKEN, BROKEN], {Kind.AUDIO_ONLY, Kind.NO_ECM}),
        ([replace(BROKEN, ecm=False)] * 2, {Kind.AUDIO_ONLY}),
        ([replace(BROKEN, transport="g711", t38="refused")] * 2, {Kind.NO_PROPOSAL, Kind.NO_ECM}),
        ([UNTRAINED, UNTRAINED], {Kind.AUDIO_ONLY, Kind.SLOW}),
        ([replace(GOOD, ecm_retries=9)] * 2, {Kind.SLOW}),
        ([replace(GOOD, ecm_retries=9, max_bit_rate=9600)] * 2, set()),
        ([replace(GOOD, t38="ours")] * 2, {Kind.EARLY_T38}),
        ([replace(GOOD, t38="ours"), GOOD, replace(GOOD, t38="ours")], set()),
        ([replace(BUSY, gap=20.0)] * 2, {Kind.REST}),
        ([replace(BUSY, gap=900.0)] * 2, set()),
        ([replace(GOOD, resolutions=("204x98",))], {Kind.COARSE}),
        ([replace(GOOD, resolutions=("204x98",)), replace(GOOD, resolutions=("204x98", "204x196"))], set()),
        ([replace(GOOD, dis_after=45.0)], {Kind.PATIENT}),
        ([replace(GOOD, dis_after=5.0)], set()),
        ([replace(BROKEN, cause="line_fault")] * 3, set()),
        ([replace(BROKEN, resumed=True)] * 3, set()),
        ([replace(BROKEN, cause="person")] * 3, set()),
    ],
)  # fmt: skip
def test_what_a_destination_is_known_for(calls: list[CallRecord], expected: set[Kind]) -> None:
    assert kinds(history(*calls)) == expected


def test_two_calls_a_quarter_apart_prove_nothing() -> None:
    """Each call counts for half after HALF_LIFE."""
    assert kinds(history(REFUSED, REFUSED, step=90 * DAY)) == set()
    assert kinds(history(REFUSED, REFUSED, step=1 * DAY)) == {Kind.NO_PROPOSAL}


def test_better_is_tried_again_after_a_week() -> None:
    calls = history(REFUSED, REFUSED)
    (measure,) = measures(calls, trunk="t1", now=NOW)
    assert (measure.kind, measure.calls, measure.last_at) == (Kind.NO_PROPOSAL, 2, calls[-1].at)
    assert measure.until == calls[-1].at + module.HOLD
    assert kinds(calls, now=measure.until - 1) == {Kind.NO_PROPOSAL}
    assert kinds(calls, now=measure.until) == set()


def test_better_is_tried_again_after_two_good_calls() -> None:
    careful = with_(replace(REFUSED, t38=""), Kind.NO_PROPOSAL)
    assert kinds(history(REFUSED, REFUSED, careful)) == {Kind.NO_PROPOSAL}
    assert measures(history(REFUSED, REFUSED, careful), trunk="t1", now=NOW)[0].good_calls == 1
    assert kinds(history(REFUSED, REFUSED, careful, careful)) == set()


def test_a_failed_trial_makes_the_measure_last_twice_as_long() -> None:
    careful = with_(replace(REFUSED, t38=""), Kind.NO_PROPOSAL)
    (measure,) = measures(history(REFUSED, REFUSED, careful, careful, REFUSED), trunk="t1", now=NOW)
    assert (measure.good_calls, measure.until - measure.last_at) == (4, 2 * module.HOLD)


def test_a_good_trial_ends_the_measure_for_good() -> None:
    careful = with_(replace(REFUSED, t38=""), Kind.NO_PROPOSAL)
    assert kinds(history(REFUSED, REFUSED, careful, careful, GOOD, REFUSED)) == set()


@pytest.mark.parametrize(
    "bad, kind",
    [(REFUSED, Kind.NO_PROPOSAL), (DEAF, Kind.AUDIO_ONLY), (BROKEN, Kind.NO_ECM), (UNTRAINED, Kind.SLOW)],
)
def test_a_careful_call_that_fails_too_goes_back_to_the_usual(bad: CallRecord, kind: Kind) -> None:
    assert kind in kinds(history(bad, bad))
    failed = with_(BROKEN, *kinds(history(bad, bad)))
    assert kind not in kinds(history(bad, bad, failed))


def test_what_goes_well_early_stays_early() -> None:
    ours = replace(GOOD, t38="ours")
    early = with_(ours, Kind.EARLY_T38)
    assert kinds(history(ours, ours, *[early] * 9)) == {Kind.EARLY_T38}
    assert kinds(history(ours, ours, early, with_(replace(GOOD, t38="refused"), Kind.EARLY_T38))) == set()


def test_a_number_that_kills_workers_gets_one_of_its_own() -> None:
    assert kinds([], kills=1) == set()
    assert kinds([], kills=2) == {Kind.ISOLATED}


def test_a_manner_takes_away_and_never_adds() -> None:
    taken = [Measure(kind, 2, NOW, NOW + 1, value=80.0) for kind in Kind]
    made = manner(Manner(), taken)
    assert made == Manner(
        T38Use.AUDIO, False, 9600, Resolution.STANDARD, 80.0, True, tuple(kind.value for kind in Kind)
    )
    assert manner(Manner(ecm=False, max_bit_rate=4800, resolution=Resolution.STANDARD), []) == Manner(
        ecm=False, max_bit_rate=4800, resolution=Resolution.STANDARD
    )
    assert manner(Manner(max_bit_rate=4800), taken).max_bit_rate == 4800


def test_a_number_rests_after_its_last_answered_call_only() -> None:
    calls = history(replace(BUSY, gap=20.0), GOOD, replace(BUSY, gap=20.0), replace(BUSY, gap=20.0))
    taken = measures(calls, trunk="t1", now=NOW)
    assert rests_until(calls, taken) == calls[1].at + module.REST_AFTER_CALL
    assert rests_until(calls, []) == 0.0


def test_busy_signals_do_not_push_out_what_was_learned_in_calls() -> None:
    calls = history(REFUSED, REFUSED, *[BUSY] * 100)
    left = kept(calls)
    assert len(left) == 2 + module.MAX_UNCONNECTED
    assert kinds(list(left)) == {Kind.NO_PROPOSAL}
    assert len(kept(history(*[GOOD] * 100))) == module.MAX_CONNECTED


@pytest.mark.parametrize(
    "outcome, phase",
    [
        (Outcome(Cause.OK, connected=True, exposed=True), "done"),
        (Outcome(Cause.BUSY), "dial"),
        (Outcome(Cause.NO_FAX_TONE, connected=True), "answer"),
        (Outcome(Cause.TRAINING_FAILED, connected=True, far=FarEnd(dis_after=3.0)), "negotiation"),
        (Outcome(Cause.REMOTE_HUNG_UP, connected=True, exposed=True), "page"),
    ],
)
def test_how_far_a_call_came(outcome: Outcome, phase: str) -> None:
    assert phase_of(outcome) == phase


@pytest.mark.parametrize("cause", [Cause.LINE_FAULT, Cause.CANCELLED, Cause.CARRIER_FAULT, Cause.NO_ROUTE])
def test_what_is_not_the_destinations_doing_is_not_recorded(cause: Cause) -> None:
    assert record_of(Outcome(cause), trunk="t1", measures=(), max_bit_rate=14400, last=None, now=NOW) is None


def test_a_record_keeps_what_the_call_showed_and_survives_the_store() -> None:
    outcome = Outcome(
        Cause.OK, connected=True, exposed=True, started_at=NOW - 60, remote_ident="x" * 40, transport="t38", ecm=True,
        bit_rate=14400, far=FarEnd("ours", 2.5, 4.0, ("204x98",), ("MH", "MMR")),
    )  # fmt: skip
    record = record_of(outcome, trunk="t1", measures=["slow"], max_bit_rate=9600, last=NOW - 100, now=NOW)
    assert record is not None
    assert (record.ident, record.gap, record.t38, record.dis_after) == ("x" * 20, 40.0, "ours", 4.0)
    assert CallRecord.from_json(record.to_json()) == record
    assert CallRecord.from_json({**record.to_json(), "of_a_later_release": 1}) == record


def anything() -> st.SearchStrategy[CallRecord]:
    seconds = st.none() | st.floats(0, 200)
    return st.builds(
        CallRecord,
        at=st.floats(NOW - 100 * DAY, NOW),
        trunk=st.sampled_from(["t1", "t2"]),
        cause=st.sampled_from([cause.value for cause in Cause]),
        phase=st.sampled_from(list(module.Phase)),
        measures=st.lists(st.sampled_from([kind.value for kind in Kind]), max_size=4).map(tuple),
        t38=st.sampled_from(["", "ours", "theirs", "refused", "useless"]),
        transport=st.sampled_from(["", "t38", "g711"]),
        max_bit_rate=st.sampled_from([4800, 9600, 14400]),
        ecm=st.booleans(),
        ecm_retries=st.integers(0, 20),
        resolutions=st.sampled_from([(), ("204x98",), ("204x98", "204x196")]),
        dis_after=seconds,
        gap=seconds,
        resumed=st.booleans(),
    )


@given(st.lists(anything(), max_size=20), st.sampled_from(["t1", "t2"]))
def test_whatever_happened_the_fax_is_called_and_better_is_tried_in_bounded_time(
    calls: list[CallRecord], trunk: str
) -> None:
    """A profile never makes a fax unsendable: it gives way in time, and every manner is one that a call can have."""
    calls = list(kept(calls))
    taken = measures(calls, trunk=trunk, now=NOW)
    made = manner(Manner(), taken)
    assert made.max_bit_rate in (9600, 14400) and 60 <= made.patience <= module.MAX_PATIENCE
    assert all(NOW < measure.until <= NOW + 4 * module.FACT_HOLD for measure in taken)
    assert rests_until(calls, taken) <= NOW + module.REST_AFTER_CALL
    assert manner(Manner(), measures(calls, trunk=trunk, now=NOW + 4 * module.FACT_HOLD)) == Manner()


Machine = dict[Kind, bool]


@given(
    st.lists(st.sampled_from(["usual", "careful", "nothing"]), min_size=1, max_size=40),
    st.floats(600, 5 * DAY),
)
def test_a_machine_that_one_manner_suits_is_reached_again_and_again(moods: list[str], step: float) -> None:
    """Model: a machine that changes which manner it bears; two failures in a row at most while it bears one."""
    calls: list[CallRecord] = []
    now, failures, bears = NOW, 0, ""
    for mood in moods:
        if mood != bears:
            failures, bears = 0, mood
        for _ in range(4):
            now += step
            made = manner(Manner(), measures(calls, trunk="t1", now=now))
            careful = made.t38 is T38Use.AUDIO
            works = mood == ("careful" if careful else "usual")
            values: dict[str, Any] = {"cause": "ok", "phase": "done"} if works else {}
            media: dict[str, Any] = {"transport": "g711", "t38": ""} if careful else {"transport": "t38"}
            calls = list(kept([*calls, replace(BROKEN, at=now, measures=made.measures, **media, **values)]))
            failures = 0 if works else failures + 1
            assert failures <= 3 or mood == "nothing"
