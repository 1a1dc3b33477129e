"""What owns descriptors closes them, all of them and nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol

import pytest

from faxgw.document.types import Document, Merged, Sliced, Walked
from faxgw.document.types.descriptors import close_all


class Owner(Protocol):
    def close(self) -> None: ...


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    "make",
    [
        lambda one, two: Walked((Document(one, "a"), Document(two, "b"))),
        lambda one, two: Sliced((Document(one, "a"), Document(two, "b"))),
    ],
    ids=["Walked", "Sliced"],
)
def test_results_close_every_document(make: Callable[[int, int], Owner]) -> None:
    one, two, other = (os.memfd_create("document") for _ in range(3))
    make(one, two).close()
    assert (is_open(one), is_open(two), is_open(other)) == (False, False, True)
    os.close(other)


def test_a_merged_document_closes_its_file() -> None:
    fd = os.memfd_create("merged")
    Merged(fd, ()).close()
    assert not is_open(fd)


def test_one_that_is_closed_keeps_no_other_open() -> None:
    gone, there = os.memfd_create("gone"), os.memfd_create("there")
    os.close(gone)
    close_all(gone, None, there)
    assert not is_open(there)
