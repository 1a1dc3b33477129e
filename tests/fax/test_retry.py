"""The retry law (spine section 2) as a table and as 10,000 simulated jobs (reliability R-19)."""

import random
from datetime import UTC, datetime

import pytest

from faxgw.fax.outcome import Cause, Outcome, Retry
from faxgw.fax.retry import (
    FAILOVER_PAUSE,
    MAX_DIALS,
    MAX_RETRY_AFTER,
    MAX_TRIES,
    NOFAX_DIALS,
    NOFAX_PAUSE,
    RESUME_PAUSE,
    Again,
    Decision,
    RetryPolicy,
    Stop,
    Tally,
    decide,
)

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC).timestamp()


def law(
    cause: Cause,
    tally: Tally,
    *,
    numbers: int = 1,
    number: int = 0,
    zone: str = "UTC",
    now: float = NOON,
    resume: bool = False,
    retry_after: float | None = None,
) -> Decision:
    outcome = Outcome(cause, resume=resume, retry_after=retry_after)
    return decide(outcome, tally, policy=RetryPolicy(), numbers=numbers, number=number, zone=zone, now=now)


@pytest.mark.parametrize(
    ("asked", "wait"),
    [(None, 30), (0.0, 30), (10.0, 30), (90.0, 90), (86_400.0, MAX_RETRY_AFTER)],
)
def test_no_dial_comes_before_the_retry_after_of_the_far_side(asked: float | None, wait: float) -> None:
    """RFC 3261 section 20.33, bounded: a carrier that names a day does not stop a fax for one."""
    tally = Tally(1, 0, (Cause.CARRIER_FAULT,))
    assert law(Cause.CARRIER_FAULT, tally, retry_after=asked) == Again(NOON + wait, 0, Cause.CARRIER_FAULT)


def test_an_alternative_number_does_not_wait_for_the_first_ones_retry_after() -> None:
    tally = Tally(1, 0, (Cause.WRONG_NUMBER,))
    assert law(Cause.WRONG_NUMBER, tally, numbers=2, retry_after=600.0) == Again(NOON + 1.0, 1, Cause.WRONG_NUMBER)


def test_busy_has_growing_pauses_of_its_own() -> None:
    waits = []
    for dials in range(1, 6):
        decision = law(Cause.BUSY, Tally(dials, 0, (Cause.BUSY,) * dials))
        assert isinstance(decision, Again)
        waits.append(decision.at - NOON)
    assert waits == [60, 120, 180, 300, 300]


def test_pauses_count_only_their_own_class() -> None:
    decision = law(Cause.BUSY, Tally(4, 1, (Cause.NO_ANSWER, Cause.NO_ANSWER, Cause.REMOTE_HUNG_UP, Cause.BUSY)))
    assert decision == Again(NOON + 60, 0, Cause.BUSY)


def test_a_wrong_number_is_never_dialled_again() -> None:
    assert law(Cause.WRONG_NUMBER, Tally(1, 0, (Cause.WRONG_NUMBER,))) == Stop(Cause.WRONG_NUMBER)


def test_an_alternative_number_follows_a_wrong_one() -> None:
    assert law(Cause.WRONG_NUMBER, Tally(1, 0, (Cause.WRONG_NUMBER,)), numbers=2) == Again(
        NOON + 1, 1, Cause.WRONG_NUMBER
    )


@pytest.mark.parametrize("dials, tries", [(MAX_DIALS, 0), (1, MAX_TRIES)])
def test_the_ceilings_hold(dials: int, tries: int) -> None:
    assert law(Cause.REMOTE_HUNG_UP, Tally(dials, tries, (Cause.REMOTE_HUNG_UP,))) == Stop(Cause.REMOTE_HUNG_UP)


def test_a_person_is_disturbed_at_most_twice_and_not_within_half_an_hour() -> None:
    decision = law(Cause.PERSON, Tally(1, 1, (Cause.PERSON,)))
    assert isinstance(decision, Again) and decision.at - NOON == NOFAX_PAUSE
    assert law(Cause.NO_FAX_TONE, Tally(2, 2, (Cause.PERSON, Cause.NO_FAX_TONE))) == Stop(Cause.NO_FAX_TONE)
    assert NOFAX_DIALS == 2


@pytest.mark.parametrize(
    "now, zone, opens",
    [
        ("2026-11-20T23:10:00+00:00", "UTC", "2026-11-21T08:00:00+00:00"),
        ("2026-11-20T05:00:00+00:00", "UTC", "2026-11-20T08:00:00+00:00"),
        ("2026-11-20T18:45:00+00:00", "Europe/Paris", "2026-11-21T08:00:00+01:00"),
        ("2026-11-20T12:00:00+00:00", "UTC", "2026-11-20T12:30:00+00:00"),
    ],
)
def test_a_person_is_called_between_8_and_20_there(now: str, zone: str, opens: str) -> None:
    at = datetime.fromisoformat(now).timestamp()
    decision = law(Cause.PERSON, Tally(1, 1, (Cause.PERSON,)), zone=zone, now=at)
    assert isinstance(decision, Again)
    assert decision.at == datetime.fromisoformat(opens).timestamp()


def test_a_call_we_ended_to_keep_confirmations_apart_goes_on_at_once() -> None:
    tally = Tally(3, MAX_TRIES, (Cause.REMOTE_HUNG_UP,))
    assert law(Cause.REMOTE_HUNG_UP, tally, resume=True) == Again(NOON + RESUME_PAUSE, 0, Cause.REMOTE_HUNG_UP)
    assert isinstance(law(Cause.REMOTE_HUNG_UP, Tally(MAX_DIALS, 1), resume=True), Stop)


def test_ten_thousand_jobs_never_pass_a_ceiling_nor_dial_a_wrong_number_twice() -> None:
    """Reliability R-19."""
    chance = random.Random(19)
    causes = [c for c in Cause if c not in (Cause.OK, Cause.IN_DOUBT)]
    for _ in range(10_000):
        dials = tries = number = 0
        now, seen = NOON, []
        numbers = chance.randint(1, 3)
        while True:
            cause = chance.choice(causes)
            dials += 1
            tries += chance.random() < 0.5
            seen.append((number, cause))
            here = tuple(c for n, c in seen if n == number)
            decision = law(cause, Tally(dials, tries, here), numbers=numbers, number=number, now=now)
            if isinstance(decision, Stop):
                break
            assert decision.at > now
            assert number <= decision.number < numbers
            if cause.facts.retry is Retry.NEVER:
                assert decision.number > number
            now, number = decision.at, decision.number
        assert dials <= MAX_DIALS
        assert tries <= MAX_TRIES
        assert all(
            sum(1 for n, c in seen if n == i and c.facts.retry is Retry.NOFAX) <= NOFAX_DIALS for i in range(numbers)
        )


def test_a_fault_of_one_trunk_is_no_pause_where_another_carries_the_number() -> None:
    """Spine section 2: failover; the ceilings hold, and a number that is never to be dialled again is not."""
    fault = Outcome(Cause.CARRIER_FAULT, retry_after=600.0)

    def over(outcome: Outcome, tally: Tally) -> Decision:
        return decide(outcome, tally, policy=RetryPolicy(), numbers=1, number=0, elsewhere=True, now=NOON)

    assert over(fault, Tally(1, 0, (Cause.CARRIER_FAULT,))) == Again(NOON + FAILOVER_PAUSE, 0, Cause.CARRIER_FAULT)
    assert over(fault, Tally(MAX_DIALS, 0, (Cause.CARRIER_FAULT,))) == Stop(Cause.CARRIER_FAULT)
    assert over(Outcome(Cause.WRONG_NUMBER), Tally(1, 0, (Cause.WRONG_NUMBER,))) == Stop(Cause.WRONG_NUMBER)
