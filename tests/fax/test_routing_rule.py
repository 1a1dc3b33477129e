"""Rules of received faxes: which fits, in which order, what they wait for, and what they do together."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from faxgw.fax.account import Level
from faxgw.fax.pattern import MAX_TEXT
from faxgw.fax.reading import Symbology
from faxgw.fax.routing_rule import (
    MAX_MATCHES,
    Actions,
    Conditions,
    Decision,
    Extraction,
    Facts,
    Rule,
    Source,
    Verdict,
    decide,
    extract,
    window,
)

FACTS = Facts(
    number="+33199000099",
    caller=("+498955500", "+33498955500"),
    csid="+49 89 55500",
    sub_address="4711",
    at=datetime(2026, 11, 20, 9, 30),  # a Friday
    pages=3,
    texts=("Invoice\nOrder 12", "Order 13 of 14"),
    barcodes=((Symbology.CODE128, "INV-2026-7"), (Symbology.QR, "https://example.org/7")),
)


def rule(name: str, when: Conditions = Conditions(), *deliver: str, **more: Any) -> Rule:  # noqa: B008
    return replace(Rule(name, name, "acme", conditions=when, actions=Actions(deliver=deliver)), **more)


def verdict(when: Conditions, facts: Facts = FACTS, *, patient: bool = True) -> tuple[Verdict, str]:
    step = decide([rule("r", when, "t")], facts, patient=patient).steps[0]
    return step.verdict, step.why


@pytest.mark.parametrize(
    ("when", "fits"),
    [
        (Conditions(), True),
        (Conditions(number=("+33199000099",)), True),
        (Conditions(number=("+33199000098", "+3319900*")), True),
        (Conditions(number=("+33199000000-+33199000099",)), True),
        (Conditions(number=("+33199000000-+33199000098",)), False),
        (Conditions(number=("+3319900000-+3319900009",)), False),  # shorter numbers are no range around longer ones
        (Conditions(caller=("+498955500",)), True),
        (Conditions(caller=("+33498955500",)), True),
        (Conditions(caller=("+4930*",)), False),
        (Conditions(caller=("anonymous",)), False),
        (Conditions(csid=("+49 89*",)), True),
        (Conditions(csid=("/^[+]49/",)), True),
        (Conditions(csid=("acme*",)), False),
        (Conditions(sub_address=("47??",)), True),
        (Conditions(sub_address=("48*",)), False),
        (Conditions(barcode=("INV-*",)), True),
        (Conditions(barcode=("INV-*",), barcode_kind=(Symbology.QR,)), False),
        (Conditions(barcode_kind=(Symbology.QR,)), True),
        (Conditions(barcode_kind=(Symbology.AZTEC,)), False),
        (Conditions(text=("order 13",)), True),
        (Conditions(text=("invoice order",)), True),
        (Conditions(text=("order 12 order 13",)), False),  # they stand on two pages
        (Conditions(text=("/total: \\d+/",)), False),
        (Conditions(times=("mon-fri 08:00-18:00",)), True),
        (Conditions(times=("sat,sun", "fri 09:30-10:00")), True),
        (Conditions(times=("fri 09:31-10:00",)), False),
        (Conditions(pages_min=3, pages_max=3), True),
        (Conditions(pages_min=4), False),
        (Conditions(pages_max=2), False),
        (Conditions(junk_min=1), False),
        (Conditions(result="complete"), True),
        (Conditions(result="partial"), False),
        (Conditions(number=("+33199000099",), csid=("nobody",)), False),  # all conditions, not any
    ],
)
def test_a_rule_fits_when_all_its_conditions_do(when: Conditions, fits: bool) -> None:
    assert (verdict(when)[0] is Verdict.FITS) is fits


def test_a_withheld_number_is_anonymous_and_no_other() -> None:
    withheld = replace(FACTS, caller=())
    assert verdict(Conditions(caller=("anonymous",)), withheld)[0] is Verdict.FITS
    assert verdict(Conditions(caller=("+49*",)), withheld) == (Verdict.NOT, "caller")


def test_a_junk_score_and_a_broken_call_can_be_asked_for() -> None:
    assert verdict(Conditions(junk_min=50), replace(FACTS, junk=50))[0] is Verdict.FITS
    assert verdict(Conditions(result="partial"), replace(FACTS, complete=False))[0] is Verdict.FITS


def names(decision: Decision) -> list[str]:
    return [one.name for one in decision.rules]


def test_rules_are_asked_from_the_number_up_and_the_first_that_fits_decides() -> None:
    rules = [
        rule("system", Conditions(), "a", customer="", level=Level.SYSTEM, position=1),
        rule("customer", Conditions(), "b", level=Level.CUSTOMER, position=1),
        rule("profile", Conditions(), "c", level=Level.PROFILE, scope="sales", position=1),
        rule("later", Conditions(), "d", level=Level.NUMBER, scope="+33199000099", position=20),
        rule("first", Conditions(), "e", level=Level.NUMBER, scope="+33199000099", position=10),
        rule("off", Conditions(), "f", level=Level.NUMBER, scope="+33199000099", position=1, active=False),
    ]
    decision = decide(rules, FACTS, patient=True)
    assert names(decision) == ["first"]
    assert decision.deliver == ("e",)


def test_rules_that_do_not_stop_act_together_each_target_once() -> None:
    rules = [
        replace(rule("a", Conditions(), "crm", "owner"), stop=False, position=1),
        replace(rule("b", Conditions(csid=("nobody",)), "never"), stop=False, position=2),
        replace(rule("c", Conditions(), "archive", "crm"), position=3),
        replace(rule("d", Conditions(), "too-late"), position=4),
    ]
    decision = decide(rules, FACTS, patient=True)
    assert names(decision) == ["a", "c"]
    assert decision.deliver == ("crm", "owner", "archive")
    assert [(step.rule.name, step.verdict) for step in decision.steps] == [
        ("a", Verdict.FITS),
        ("b", Verdict.NOT),
        ("c", Verdict.FITS),
    ]


def test_of_language_and_reply_the_first_rule_that_names_one_counts() -> None:
    rules = [
        replace(rule("a"), actions=Actions(tags=("x",)), stop=False, position=1),
        replace(rule("b"), actions=Actions(language="de", tags=("y", "x")), stop=False, position=2),
        replace(rule("c"), actions=Actions(language="fr", reply="thanks"), position=3),
    ]
    decision = decide(rules, FACTS, patient=True)
    assert (decision.language, decision.reply, decision.tags) == ("de", "thanks", ("x", "y"))


def test_rules_that_fit_nothing_leave_the_simple_way() -> None:
    decision = decide([rule("r", Conditions(csid=("nobody",)), "t")], FACTS, patient=True)
    assert (decision.deliver, decision.rules, decision.waits) == ((), (), False)
    assert decide([], FACTS, patient=True) == Decision(())


UNREAD = replace(FACTS, texts=(), barcodes=(), waiting=True, missing=True)


def test_a_rule_that_needs_reading_is_waited_for_only_when_no_rule_before_it_decided() -> None:
    reads = rule("reads", Conditions(text=("invoice",)), "t", position=20)
    before = rule("before", Conditions(), "now", position=10)
    assert decide([reads, before], UNREAD, patient=True).deliver == ("now",)
    waiting = decide([reads, replace(before, position=30)], UNREAD, patient=True)
    assert (waiting.waits, waiting.deliver) == (True, ())
    assert waiting.steps[-1].verdict is Verdict.WAITS


def test_a_rule_that_would_not_fit_anyway_is_not_waited_for() -> None:
    assert verdict(Conditions(text=("invoice",), csid=("nobody",)), UNREAD) == (Verdict.NOT, "csid")


def test_what_was_found_on_page_1_decides_before_page_2_is_read() -> None:
    facts = replace(UNREAD, texts=("Invoice",))
    assert verdict(Conditions(text=("invoice",)), facts)[0] is Verdict.FITS
    assert verdict(Conditions(text=("order",)), facts)[0] is Verdict.WAITS


def test_when_patience_ends_it_is_decided_without_and_said() -> None:
    rules = [rule("reads", Conditions(barcode=("INV*",)), "t", position=1), rule("rest", Conditions(), "u", position=2)]
    decision = decide(rules, UNREAD, patient=False)
    assert (decision.deliver, decision.unread, decision.waits) == (("u",), ("reads",), False)
    assert decision.steps[0].verdict is Verdict.UNREAD


def test_pages_that_nobody_was_to_read_are_not_waited_for() -> None:
    nothing = replace(FACTS, texts=(), barcodes=())
    assert verdict(Conditions(text=("invoice",)), nothing) == (Verdict.NOT, "text")


def test_a_page_that_could_not_be_read_is_said_where_it_might_have_decided() -> None:
    assert verdict(Conditions(text=("total",)), replace(FACTS, missing=True)) == (Verdict.UNREAD, "text")
    assert verdict(Conditions(text=("order",)), replace(FACTS, missing=True))[0] is Verdict.FITS


ORDER = Extraction("order", r"/Order (?P<no>\d+)( of (?P<of>\d+))?/")


def test_values_are_taken_out_by_the_names_of_their_groups() -> None:
    assert extract(ORDER, FACTS) == {"no": "12"}
    assert extract(replace(ORDER, every=True), FACTS) == [{"no": "12"}, {"no": "13", "of": "14"}]
    code = Extraction("invoice", r"/^INV-(?P<year>\d+)-(?P<serial>\d+)$/", Source.BARCODE)
    assert extract(code, FACTS) == {"year": "2026", "serial": "7"}
    assert extract(replace(ORDER, pattern="/(?P<x>nothing)/"), FACTS) == {}


def test_extractions_of_a_fax_full_of_matches_are_bounded() -> None:
    facts = replace(FACTS, texts=("Order 1 " * 20_000, "Order 2"))
    assert len(extract(replace(ORDER, every=True), facts)) == MAX_MATCHES
    beyond = replace(FACTS, texts=("x" * MAX_TEXT, "Order 2"))
    assert extract(ORDER, beyond) == {}


def test_extractions_wait_for_all_pages_and_stand_in_the_decision() -> None:
    taking = replace(rule("take"), actions=Actions(extract=(ORDER,)))
    assert decide([taking], UNREAD, patient=True).waits
    assert decide([taking], FACTS, patient=True).extracted == {"order": {"no": "12"}}
    assert decide([taking], UNREAD, patient=False).extracted == {}


@pytest.mark.parametrize(
    ("text", "at", "holds"),
    [
        ("mon-fri 08:00-18:00", "2026-11-20T18:00", False),
        ("mon-fri 08:00-18:00", "2026-11-20T08:00", True),
        ("mon-fri 08:00-18:00", "2026-11-21T12:00", False),
        ("22:00-06:00", "2026-11-20T23:00", True),
        ("22:00-06:00", "2026-11-20T05:59", True),
        ("22:00-06:00", "2026-11-20T06:00", False),
        ("fri 22:00-06:00", "2026-11-21T02:00", True),  # the night that began on Friday
        ("fri 22:00-06:00", "2026-11-20T02:00", False),
        ("sat-mon", "2026-11-22T23:59", True),
        ("sat-mon", "2026-11-24T00:00", False),
        ("SAT,sun 10:00-24:00", "2026-11-21T23:59", True),
    ],
)
def test_windows_of_the_week(text: str, at: str, holds: bool) -> None:
    assert window(text).holds(datetime.fromisoformat(at)) is holds


@pytest.mark.parametrize("text", ["", "monday", "mon-", "25:00-26:00", "8:00-9:00", "mon 08:00", "08:00-18:00 mon"])
def test_windows_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="days and hours"):
        window(text)
