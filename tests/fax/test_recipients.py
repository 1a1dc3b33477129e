"""How many recipients a fax may have: what the sender is told, in his language."""

from __future__ import annotations

import pytest

from faxgw.fax.account import MAX_RECIPIENTS, Level, Origin, check_settings, resolve
from faxgw.fax.recipients import TOO_MANY, refusal, too_many


@pytest.mark.parametrize("count, limit, is_refused", [(1, 1, False), (2, 1, True), (1000, 1000, False), (0, 1, False)])
def test_the_limit_itself_may_be_reached(count: int, limit: int, is_refused: bool) -> None:
    assert (too_many(count, limit) is not None) == is_refused


@pytest.mark.parametrize("language", ["en", "fr", "de"])
def test_a_sender_reads_both_numbers(language: str) -> None:
    said = too_many(12, 10)
    assert said is not None
    told = said.told(language)
    assert "12" in told and "10" in told
    assert (told == TOO_MANY.format(count=12, limit=10)) == (language == "en")


def test_what_the_operator_gave_is_only_narrowed() -> None:
    levels = [
        (Origin(Level.CUSTOMER, "acme"), {"max_recipients": 10}),
        (Origin(Level.USER, "anna"), {"max_recipients": 20}),
    ]
    settings = resolve(levels)
    assert (settings["max_recipients"], str(settings.origins["max_recipients"])) == (10, "customer acme")
    assert refusal(settings, 10) is None and refusal(settings, 11) is not None


def test_no_account_may_have_more_than_a_unit_of_work_bears() -> None:
    assert not check_settings({"max_recipients": MAX_RECIPIENTS})[1]
    assert check_settings({"max_recipients": MAX_RECIPIENTS + 1})[1]
