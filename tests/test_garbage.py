"""What is there at the end of a start is left alone by the collector of cycles."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from faxgw.garbage import set_aside


class Knot:
    """An object that refers to itself."""

    def __init__(self) -> None:
        self.self = self


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """The test process goes on as it was."""
    yield
    gc.unfreeze()


def _looked_through(wanted: Knot) -> bool:
    return any(one is wanted for one in gc.get_objects())


def test_garbage_of_the_start_is_collected_before() -> None:
    gone = weakref.ref(Knot())
    set_aside()
    assert gone() is None


def test_what_is_there_is_not_looked_through_again() -> None:
    there = Knot()
    assert _looked_through(there)
    set_aside()
    later = Knot()
    assert not _looked_through(there)
    assert _looked_through(later)


def test_cycles_made_later_are_collected_as_ever() -> None:
    set_aside()
    gone = weakref.ref(Knot())
    gc.collect()
    assert gone() is None


def test_what_was_set_aside_goes_with_its_last_reference() -> None:
    there = [1]
    holder = Holder(there)
    set_aside()
    gone = weakref.ref(holder)
    del holder
    assert gone() is None


class Holder:
    """An object without a cycle."""

    def __init__(self, kept: list[int]) -> None:
        self.kept = kept
