"""Callers whose worker died are kept apart for a while, a bounded number of them."""

from __future__ import annotations

from faxgw.line.suspects import MAX_SUSPECTS, SUSPECTED_FOR, Suspects


def test_a_caller_is_suspected_for_a_while_and_again_each_time() -> None:
    suspects = Suspects()
    assert not suspects.has("+498955500", 0.0)
    suspects.suspect("+498955500", 100.0)
    assert suspects.has("+498955500", 100.0 + SUSPECTED_FOR - 1)
    assert not suspects.has("+498955501", 101.0)
    assert not suspects.has("+498955500", 100.0 + SUSPECTED_FOR)
    suspects.suspect("+498955500", 200.0)
    assert suspects.has("+498955500", 200.0 + SUSPECTED_FOR - 1)


def test_callers_without_a_number_are_one() -> None:
    suspects = Suspects()
    suspects.suspect("", 0.0)
    assert suspects.has("", 1.0)


def test_the_longest_known_go_first() -> None:
    suspects = Suspects()
    for number in range(MAX_SUSPECTS):
        suspects.suspect(str(number), 0.0)
    suspects.suspect("0", 1.0)
    suspects.suspect("one more", 1.0)
    assert suspects.has("0", 2.0)
    assert suspects.has("one more", 2.0)
    assert not suspects.has("1", 2.0)
