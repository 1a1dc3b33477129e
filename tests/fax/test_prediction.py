"""Pages, octets, seconds and units of a fax before it is sent."""

from __future__ import annotations

import pytest

from faxgw.fax import prediction as module
from faxgw.fax.prediction import Tariff, predict


def test_a_page_takes_its_bits_at_the_rate_and_the_call_its_signals() -> None:
    found = predict([18_000, 9_000], 14_400, ecm=False)
    assert (found.pages, found.octets, found.rate, found.page_seconds) == (2, 27_000, 14_400, (10.0, 5.0))
    assert found.seconds == module.SETUP_SECONDS + 15.0 + module.PAGE_SECONDS + module.END_SECONDS
    assert (found.billed_pages, found.billed_units) == (2, 1)


def test_error_correction_costs_its_frames() -> None:
    plain, corrected = predict([18_000], ecm=False), predict([18_000])
    assert corrected.page_seconds[0] == pytest.approx(plain.page_seconds[0] * (1 + module.ECM_SHARE))


@pytest.mark.parametrize("asked, taken", [(33_600, 14_400), (14_399, 12_000), (9_600, 9_600), (100, 2_400)])
def test_the_rate_is_one_that_modems_have(asked: int, taken: int) -> None:
    assert predict([1_000], asked).rate == taken


def test_a_begun_unit_counts() -> None:
    second = predict([0], ecm=False).seconds
    assert predict([0], tariff=Tariff(unit_seconds=second)).billed_units == 1
    assert predict([0], tariff=Tariff(unit_seconds=second - 0.001)).billed_units == 2


def test_a_long_page_counts_as_several_where_the_tariff_says_so() -> None:
    found = predict([18_000, 0, 180_000], ecm=False, tariff=Tariff(page_seconds=60.0))
    assert found.billed_pages == 1 + 1 + 2


@pytest.mark.parametrize("octets", [[], [-1]])
def test_nothing_is_predicted_of_nothing(octets: list[int]) -> None:
    with pytest.raises(ValueError, match="at least one page"):
        predict(octets)
