"""The loss proof in short: pages arrive whole over a network that loses datagrams."""

from __future__ import annotations

import pytest

from bench.loss import measure, parser, report


@pytest.mark.parametrize(
    ("arguments", "pages", "least"),
    [
        (["--loss", "0.05"], 20, 20),
        (["--loss", "0.05", "--redundancy", "-1"], 10, 10),
        (["--loss", "0.2", "--first-seed", "100"], 20, 19),
    ],
    ids=["5 %", "5 %, parity", "20 %"],
)
def test_pages_arrive_whole(arguments: list[str], pages: int, least: int) -> None:
    """And as many datagrams were lost as was said: else nothing is proved."""
    options = parser().parse_args([*arguments, "--pages", str(pages), "--rows", "500"])
    results = measure(options)
    told = report(options, results, 0.0)
    assert told["pages"] == pages
    assert told["identical"] >= least, told
    assert told["identical"] == told["confirmed"]
    assert told["datagrams_lost"] / told["datagrams"] == pytest.approx(options.loss, rel=0.25)


def test_without_redundancy_five_per_cent_are_too_much() -> None:
    """What is confirmed is whole all the same."""
    options = parser().parse_args(["--loss", "0.05", "--redundancy", "0", "--pages", "5", "--rows", "500"])
    (result,) = measure(options)
    assert result.confirmed < 5
    assert result.identical == result.confirmed
