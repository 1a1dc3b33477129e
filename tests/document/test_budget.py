"""CPU for a piece of work."""

from __future__ import annotations

import resource
import signal

import pytest

from faxgw.document import budget


def test_work_that_takes_too_long_is_given_up() -> None:
    before = resource.getrlimit(resource.RLIMIT_CPU), signal.getsignal(signal.SIGXCPU)
    with pytest.raises(budget.Overrun), budget.cpu_seconds(1):
        while True:
            pass
    assert (resource.getrlimit(resource.RLIMIT_CPU), signal.getsignal(signal.SIGXCPU)) == before


def test_work_that_ends_leaves_no_limit() -> None:
    before = resource.getrlimit(resource.RLIMIT_CPU)
    with budget.cpu_seconds(1):
        pass
    assert resource.getrlimit(resource.RLIMIT_CPU) == before
