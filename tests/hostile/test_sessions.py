"""Structure-aware T.30 attacks, the short form: no crash, no hang, nothing without bounds."""

from __future__ import annotations

from tests.hostile import batches, sessions

SEEDS = 120


def test_no_attack_kills_the_library_or_goes_on_for_ever() -> None:
    found = batches.run(0, SEEDS)
    assert (found.crashes, found.faults) == ({}, {})
    assert found.played == SEEDS
    assert found.longest < sessions.LIMIT
    assert len(found.reasons) > 5, "the attacks all end alike: they no longer reach the engine"


def test_an_attack_is_the_same_each_time_it_is_drawn() -> None:
    """A crash is worth nothing without its seed."""
    first, second = sessions.play(7), sessions.play(7)
    assert (first.code, first.reason, first.seconds, first.messages) == (
        second.code, second.reason, second.seconds, second.messages,
    )  # fmt: skip
