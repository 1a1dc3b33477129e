"""Clients that fail or ask too often, by a hand-driven clock."""

from __future__ import annotations

import pytest

from faxgw.fax import limits
from faxgw.fax.limits import Buckets, Failures, client_of


@pytest.mark.parametrize(
    "address, client",
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("unix:", ""),
    ],
)
def test_what_counts_as_one_client(address: str, client: str) -> None:
    assert client_of(address) == client


def test_a_key_is_barred_until_the_window_ends() -> None:
    failures = Failures(2, 60)
    failures.note(("a",), 0)
    assert not failures.barred(("a",), 1)
    failures.note(("a",), 10)
    assert failures.barred(("a",), 59) and failures.left(("a",), 50) == 10
    assert not failures.barred(("b",), 59)
    assert not failures.barred(("a",), 60)
    failures.note(("a",), 61)
    assert not failures.barred(("a",), 62), "a window of its own"


def test_a_bucket_lets_a_burst_through_and_then_its_rate() -> None:
    buckets = Buckets(rate=2, burst=3)
    assert [buckets.take("a", 0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    assert buckets.take("b", 0) == 0.0
    assert buckets.take("a", 0.5) == 0.0
    assert buckets.take("a", 0.5) == 0.5
    assert [buckets.take("a", 1000) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5], "never fuller than the burst"


def test_a_clock_that_stands_still_or_goes_back_fills_nothing() -> None:
    buckets = Buckets(rate=1, burst=1)
    assert buckets.take("a", 10) == 0.0
    assert buckets.take("a", 9) == 1.0


def test_the_tables_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_TRACKED", 10)
    buckets, failures = Buckets(1, 1), Failures(1, 60)
    for number in range(20):
        buckets.take(str(number), 0)
        failures.note((str(number),), 0)
    assert len(buckets._seen) == len(failures._seen) == 10
    assert buckets.take("19", 0) > 0 and failures.barred(("19",), 0)
    assert not failures.barred(("0",), 0)


def test_a_bucket_tells_what_is_left() -> None:
    buckets = Buckets(rate=2, burst=3)
    assert buckets.left("a", 0) == (3, 0.0)
    buckets.take("a", 0)
    assert buckets.left("a", 0) == (2, 0.5)
    assert buckets.left("a", 0.25) == (2.5, 0.25)
    assert buckets.left("a", 9) == (3, 0.0)
