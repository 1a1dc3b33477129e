"""The names a cover page may use, and what they stand for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from faxgw.formats.cover_values import LABELS, MAX_COMMENT, MAX_PROPERTIES, MAX_VALUE, date, known, sample, values

FACTS = replace(sample(), properties={})


def test_every_name_that_is_known_has_a_value() -> None:
    properties = {"Case": "4711"}
    assert set(values(replace(FACTS, properties=properties))) == known(properties)


def test_the_recipient_is_a_name_a_company_or_at_least_a_number() -> None:
    assert values(FACTS)["recipient"] == FACTS.number
    assert values(FACTS)["ToName"] == ""
    assert values(replace(FACTS, properties={"ToCompanyName": "Nordwind"}))["recipient"] == "Nordwind"
    assert values(replace(FACTS, properties={"ToCompanyName": "N", "ToName": "Ann"}))["recipient"] == "Ann"


def test_the_name_of_a_distribution_list_stands_on_the_cover_page() -> None:
    made = values(replace(FACTS, properties={"personal": "Frau Müller"}))
    assert (made["recipient"], made["ToName"], made["recipient_number"]) == ("Frau Müller", "Frau Müller", FACTS.number)
    named = values(replace(FACTS, properties={"personal": "att. sales", "ToName": "Ann"}))
    assert named["recipient"] == "Ann" and named["personal"] == "att. sales"


def test_the_vendors_names_are_the_same_facts_and_properties_win() -> None:
    made = values(FACTS)
    assert (made["ToFaxNum"], made["FromName"], made["SubjectText"]) == (FACTS.number, FACTS.sender, FACTS.subject)
    own = values(replace(FACTS, properties={"FromName": "Zoë", "Case": "4711"}))
    assert (own["FromName"], own["sender_name"], own["Case"]) == ("Zoë", "Zoë", "4711")
    assert own["properties"] == ({"key": "FromName", "value": "Zoë"}, {"key": "Case", "value": "4711"})


def test_the_vendors_telephone_is_a_telephone_and_not_the_fax_number() -> None:
    own = values(replace(FACTS, properties={"FromTelNum": "+33 1 99 00 00 77"}))
    assert (own["sender_phone"], own["sender_number"]) == ("+33 1 99 00 00 77", FACTS.csid)


def test_a_login_is_no_mail_address() -> None:
    assert values(FACTS)["sender_mail"] == FACTS.sender
    assert values(replace(FACTS, sender="erp"))["sender_mail"] == ""


def test_pages_count_the_cover_page() -> None:
    made = values(replace(FACTS, pages=4))
    assert (made["pages"], made["body_pages"]) == ("4", "3")


@pytest.mark.parametrize(
    "language, said",
    [
        ("en", "18 November 2026, 12:06"),
        ("fr", "18 novembre 2026 à 12 h 06"),
        ("de", "18. November 2026, 12:06 Uhr"),
    ],
)
def test_the_date_is_in_the_language_and_zone_of_the_account(language: str, said: str) -> None:
    assert date(FACTS.when, "Europe/Paris", language) == said


def test_a_first_of_the_month_has_no_leading_zero() -> None:
    first = FACTS.when.replace(day=1)
    assert date(first, "UTC", "en") == "1 November 2026, 11:06"
    assert date(first, "UTC", "fr") == "1er novembre 2026 à 11 h 06"
    assert date(FACTS.when.replace(day=21), "UTC", "fr").startswith("21 novembre")


def test_every_language_has_every_label() -> None:
    assert {frozenset(words) for words in LABELS.values()} == {frozenset(LABELS["en"])}
    assert values(replace(FACTS, language="xx"))["label.to"] == "To"


def test_what_a_stranger_gives_is_bounded() -> None:
    many = {f"k{n}": "v" * 10_000 for n in range(500)}
    made = values(replace(FACTS, subject="s" * 10_000, comment="c" * 100_000, properties=many))
    assert len(str(made["subject"])) == MAX_VALUE == len(str(made["k0"]))
    assert len(str(made["comment"])) == MAX_COMMENT
    assert len(made["properties"]) == MAX_PROPERTIES
