"""Names of cover pages, and what a sender is told."""

from __future__ import annotations

import pytest

from faxgw.fax import cover


@pytest.mark.parametrize(
    ("setting", "name"), [("", ""), ("none", ""), ("None ", ""), ("letter", "letter"), (" a b ", "a b")]
)
def test_none_is_no_cover(setting: str, name: str) -> None:
    assert cover.cover_name(setting) == name


def test_values_of_an_account_are_read_by_name() -> None:
    assert cover.given(["FromName=Ann", "Formula=a=b", "Empty="]) == {"FromName": "Ann", "Formula": "a=b", "Empty": ""}


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "There is no cover page “x”."),
        ("fr", "Il n’y a pas de page de garde « x »."),
        ("de", "Es gibt kein Deckblatt „x“."),
        ("xx", "There is no cover page “x”."),
    ],
)
def test_an_unknown_cover_is_said_in_the_senders_language(language: str, said: str) -> None:
    assert cover.unknown("x", language) == said


def test_missing_values_are_named_and_whose_they_are() -> None:
    assert cover.missing("x", {"b", "a"}, "en", "+331") == (
        "The cover page “x” needs a value for a, b, which was not given for +331."
    )
    assert cover.missing("x", "edcba", "de").startswith("Das Deckblatt „x“ braucht einen Wert für a, b, c, …, der")
    assert "pour +331" in cover.missing("x", {"a"}, "fr", "+331")
