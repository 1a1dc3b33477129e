"""Paths of the file servers: one level, nothing above, nothing strange."""

from __future__ import annotations

import pytest

from faxgw.intake.tree import Fault, Place, Spot, Tree, TreeError, read_path

IN = Spot("in")


@pytest.mark.parametrize(
    "path, folder, spot",
    [
        ("", Spot(), Spot()), ("/", IN, Spot()), (".", IN, IN), ("..", IN, Spot()), ("a.pdf", IN, Spot("in", "a.pdf")),
        ("/in/a.pdf", Spot(), Spot("in", "a.pdf")), ("//in///a.pdf", Spot(), Spot("in", "a.pdf")),
        ("../../../out", IN, Spot("out")), ("/in/../out/b", Spot(), Spot("out", "b")), ("/in/", Spot(), IN),
        (b"in/\xc3\xa9", Spot(), Spot("in", "é")),
    ],
)  # fmt: skip
def test_a_path_names_the_root_a_place_or_a_file(path: bytes | str, folder: Spot, spot: Spot) -> None:
    assert read_path(path, folder) == spot


@pytest.mark.parametrize(
    "path, fault",
    [
        ("/a/b/c", Fault.MISSING), ("in/a\0b", Fault.NAME), ("in/a\nb", Fault.NAME), (b"in/\xff", Fault.NAME),
        ("in/" + "a" * 201, Fault.NAME), ("./" * 40, Fault.NAME), ("a" * 2000, Fault.NAME), ("in/\u202e", Fault.NAME),
        ("in/\ud800", Fault.NAME),
    ],
)  # fmt: skip
def test_what_is_no_path_is_refused(path: bytes | str, fault: Fault) -> None:
    with pytest.raises(TreeError) as caught:
        read_path(path)
    assert caught.value.fault is fault


async def test_a_place_refuses_what_it_does_not_have() -> None:
    tree = Tree([Place("in")])
    for attempt in (tree.remove(Spot("in", "a")), tree.rename(Spot("in", "a"), Spot("in", "b"), replace=True)):
        with pytest.raises(TreeError) as caught:
            await attempt
        assert caught.value.fault is Fault.DENIED
    with pytest.raises(TreeError) as caught:
        await tree.entry(Spot("in", "a"))
    assert caught.value.fault is Fault.MISSING and await tree.entry(Spot()) is None
