"""The junk score: each signal with its points, never beyond its bounds (features G8)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from faxgw.fax import junk
from faxgw.fax.junk import Facts, Signal, judge

PLAIN = Facts(caller="+4989555123", ident="+49 89 555123", complete=True, hour=11, inks=(0.05,), good_before=1)


def signals(facts: Facts) -> set[Signal]:
    return {why.signal for why in judge(facts).reasons}


def test_an_ordinary_fax_has_no_points() -> None:
    assert judge(PLAIN) == junk.Judgement(0)


@pytest.mark.parametrize(
    "change, signal",
    [
        ({"caller": "", "ident": "+49895"}, Signal.WITHHELD),
        ({"good_before": 0}, Signal.STRANGER),
        ({"sent_to": 1}, Signal.CORRESPONDENT),
        ({"good_before": 2}, Signal.CORRESPONDENT),
        ({"other_numbers": 2}, Signal.FLOOD),
        ({"text": "Nur solange der Vorrat reicht"}, Signal.ADVERT),
        ({"inks": (0.0, 0.0001)}, Signal.BLANK),
        ({"inks": (0.6,)}, Signal.BLACK),
        ({"hour": 3}, Signal.NIGHT),
        ({"ident": ""}, Signal.IDENT),
        ({"ident": "+49 30 999999"}, Signal.IDENT),
        ({"complete": False}, Signal.PARTIAL),
        ({"verdict": "junk"}, Signal.DENIED),
        ({"verdict": "good"}, Signal.ALLOWED),
        ({"like_junk": "rcv_1"}, Signal.KNOWN_JUNK),
    ],
)
def test_each_signal_is_named(change: dict[str, object], signal: Signal) -> None:
    facts = replace(PLAIN, **change)  # type: ignore[arg-type]  # the fields' own values
    assert signals(facts) == {signal}


def test_one_page_with_ink_among_blank_ones_is_no_blank_fax() -> None:
    assert signals(replace(PLAIN, inks=(0.0, 0.03))) == set()


def test_a_machine_named_with_other_separators_is_the_same_number() -> None:
    assert signals(replace(PLAIN, ident="089-555 123")) == set()


@pytest.mark.parametrize(
    "text, words",
    [
        ("CALL NOW for a FREE\n  QUOTE", ["call now", "free quote"]),
        ("Offre spéciale : Désabonnez-vous, devis gratuit", ["offre speciale", "devis gratuit"]),
        ("Geld zurück! Kostenlos.", ["geld zuruck", "kostenlos"]),
        ("promotional discounts prized", []),
        ("gratis gratis gratis", ["gratis"]),
    ],
)
def test_words_of_adverts_are_whole_words_in_three_languages(text: str, words: list[str]) -> None:
    assert junk.advert_words(text) == words


def test_signals_that_count_several_times_have_a_ceiling_and_the_score_its_bounds() -> None:
    many = replace(
        PLAIN,
        other_numbers=1000,
        text=" ".join(word for word in ("rabatt", "gratis", "toner", "promo", "prize", "winner", "discount")),
    )
    points = {why.signal: why.points for why in judge(many).reasons}
    assert points == {Signal.FLOOD: 45, Signal.ADVERT: 40}
    assert judge(replace(many, verdict="junk", like_junk="rcv_1")).score == 100
    assert judge(replace(many, verdict="good")).score == 0


def test_a_judgement_comes_back_from_its_columns() -> None:
    found = judge(replace(PLAIN, hour=2, caller="", text="toner"))
    assert junk.from_json(found.score, found.to_json()) == found
    assert [abs(why.points) for why in found.reasons] == sorted((abs(w.points) for w in found.reasons), reverse=True)


def test_a_text_without_end_is_looked_at_as_far_as_its_limit() -> None:
    assert junk.advert_words("x " * junk.MAX_TEXT + "gratis") == []
