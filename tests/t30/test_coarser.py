"""Pages that are too fine for the far end are replaced in the call, before anything is exposed, by coarser ones.

The far end repeats its DIS every 3 s until T1 (35 s) ends (ITU-T T.30 sections 5.4.3.1 and 5.4.3.2).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from faxgw.foip.control import (
    Confirmed,
    Document,
    Documents,
    Hangup,
    Limits,
    PageReceived,
    PhaseB,
    TooFine,
    Trace,
)
from faxgw.t30 import native, terminal
from tests.t30.conftest import FINE, STANDARD, Line, memory_file, page_image, pixels, send_start, tiff

SUPERFINE = (204.0, 391.0)
FINE_PAGES = tiff([page_image(1, rows=600), page_image(2, rows=600)], FINE)
STANDARD_PAGES = tiff([page_image(1), page_image(2)], STANDARD)
PATIENT = replace(send_start(), limits=Limits(coarser=8.0))
STANDARD_ONLY = {"receiver_resolutions": terminal.RESOLUTIONS_STANDARD_ONLY}


@pytest.fixture(params=["C", "Python"], autouse=True)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every test runs over the media loop in C and over the one in Python."""
    if request.param == "Python":
        monkeypatch.setattr(native, "library", lambda: None)
    else:
        assert native.library() is not None, "the media loop in C is not built"
    return str(request.param)


@pytest.fixture
def lines() -> Iterator[Any]:  # a callable with Line's arguments
    """Makes lines and closes them."""
    made: list[Line] = []

    def make(*args: Any, **kwargs: Any) -> Line:  # passed through to Line
        made.append(Line(*args, **kwargs))
        return made[-1]

    yield make
    for line in made:
        line.close()


def give(line: Line, documents: Sequence[bytes], pages: int = 2, first: int = 1, fax: str = "FN0") -> None:
    """What a daemon answers."""
    files = [memory_file(document) for document in documents]
    described = tuple(Document(fax, pages, first, pages) for _ in documents)
    line.sender.call.begin_again(Documents(1, described), files, line.now)
    for file in files:
        os.close(file)  # the call has its own copies


def asked(line: Line) -> Line:
    """Run until the worker asks for coarser pages."""
    return line.run(until=lambda: bool(line.sender.of(TooFine)))


def wait(line: Line, seconds: float) -> None:
    end = line.now + seconds
    line.run(until=lambda: line.now >= end)


def received(line: Line) -> list[tuple[tuple[int, int], bytes]]:
    return [page for octets in line.receiver.pages for page in pixels(octets)]


@pytest.mark.parametrize("t38", [True, False], ids=["t38", "g711"])
@pytest.mark.parametrize("seconds", [0.2, 5.0])
def test_the_fax_goes_on_in_the_same_call_with_pages_that_are_taken(lines: Any, t38: bool, seconds: float) -> None:
    line = asked(lines([FINE_PAGES], sender=PATIENT, t38=t38, **STANDARD_ONLY))
    assert line.sender.of(TooFine) == [TooFine(1, ("204x98",))]
    assert [asked.fax for asked in line.sender.of(PhaseB)] == [""]
    wait(line, seconds)
    give(line, [STANDARD_PAGES])
    line.run()
    assert (line.sender.result.code, line.receiver.result.code) == (0, 0)
    assert received(line) == pixels(STANDARD_PAGES)
    assert [(page.x_resolution, page.y_resolution) for page in line.receiver.of(PageReceived)] == [(8031, 3850)] * 2
    assert [(asked.fax, asked.page) for asked in line.sender.of(PhaseB)] == [("", 0), ("FN0", 1)]
    assert [(page.fax, page.page) for page in line.sender.of(Confirmed)] == [("FN0", 1), ("FN0", 2)]
    assert line.sender.frames.count(">DCN") == 1 and line.sender.frames[-1] == ">DCN"
    assert line.sender.result.statistics.transport == ("t38" if t38 else "g711")


def test_datagrams_are_numbered_on(lines: Any) -> None:
    """ITU-T T.38 section 9.1: a receiver drops what has an older number."""
    line = asked(lines([FINE_PAGES], sender=PATIENT, **STANDARD_ONLY))
    wait(line, 1.0)
    give(line, [STANDARD_PAGES])
    line.run()
    numbers = [int.from_bytes(octets[:2], "big") for octets in line.network.sent[("192.0.2.1", 2)]]
    assert numbers == sorted(numbers) and numbers[0] == 0


def test_superfine_goes_down_to_what_the_far_end_takes(lines: Any) -> None:
    superfine = tiff([page_image(1, rows=1200)], SUPERFINE)
    fine = tiff([page_image(1, rows=600)], FINE)
    line = asked(lines([superfine], sender=PATIENT, receiver_resolutions=terminal.RESOLUTIONS_NO_SUPERFINE))
    assert line.sender.of(TooFine) == [TooFine(1, ("204x98", "204x196"))]
    give(line, [fine], pages=1)
    assert received(line.run()) == pixels(fine)


def test_superfine_arrives_where_it_is_taken(lines: Any) -> None:
    superfine = tiff([page_image(1, rows=1200)], SUPERFINE)
    line = lines([superfine], sender=PATIENT).run()
    assert line.sender.of(TooFine) == [] and received(line) == pixels(superfine)
    (page,) = line.receiver.of(PageReceived)
    assert (page.x_resolution, page.y_resolution) == (8031, 15400)


@pytest.mark.parametrize("t38", [True, False], ids=["t38", "g711"])
def test_nothing_is_said_while_the_call_waits(lines: Any, t38: bool) -> None:
    line = asked(lines([FINE_PAGES], sender=PATIENT, t38=t38, **STANDARD_ONLY))
    wait(line, 0.2)
    heard = len(line.receiver.frames)
    wait(line, 5.0)
    assert not any(frame.startswith("<") for frame in line.receiver.frames[heard:])
    assert line.sender.of(Trace) == [] and ">DCN" not in line.sender.frames


@pytest.mark.parametrize(
    "answer",
    [
        lambda line: give(line, []),
        lambda line: give(line, [b"no TIFF"]),
        lambda line: give(line, [tiff([page_image(1)], STANDARD)], pages=1),
        lambda line: give(line, [STANDARD_PAGES], first=2),
        lambda line: give(line, [STANDARD_PAGES], fax="FN1"),
        lambda line: give(line, [STANDARD_PAGES], pages=3),
        lambda line: give(line, [FINE_PAGES]),
        lambda line: wait(line, 8.1),
    ],
    ids=["none", "no TIFF", "too few", "another range", "another fax", "wrong count", "as fine", "too late"],
)
@pytest.mark.parametrize("t38", [True, False], ids=["t38", "g711"])
def test_without_the_same_pages_coarser_the_call_ends_with_a_goodbye(lines: Any, answer: Any, t38: bool) -> None:
    """As if the worker had never waited: code 11, nothing exposed, DCN; the next call knows the far end."""
    line = asked(lines([FINE_PAGES], sender=PATIENT, t38=t38, **STANDARD_ONLY))
    answer(line)
    line.run()
    assert (line.sender.result.code, line.sender.result.reason) == (11, "resolution")
    assert line.sender.frames[-1] == ">DCN" and "<DCN" in line.receiver.frames
    assert line.sender.of(Confirmed) == [] and line.receiver.pages == []
    assert all(asked.fax == "" for asked in line.sender.of(PhaseB))


def test_pages_still_too_fine_end_the_call(lines: Any) -> None:
    """It asks once."""
    superfine = tiff([page_image(1, rows=1200), page_image(2, rows=1200)], SUPERFINE)
    line = asked(lines([superfine], sender=PATIENT, **STANDARD_ONLY))
    give(line, [FINE_PAGES])
    line.run()
    assert (line.sender.result.code, line.sender.result.reason) == (11, "resolution")
    assert len(line.sender.of(TooFine)) == 1 and line.receiver.pages == []


def test_a_hang_up_ends_a_call_that_waits(lines: Any) -> None:
    line = asked(lines([FINE_PAGES], sender=PATIENT, **STANDARD_ONLY))
    line.sender.call.receive(Hangup(1), line.now)
    wait(line, 0.1)
    assert line.sender.result.reason == "hangup" and line.sender.call.ended
    give(line, [STANDARD_PAGES])
    assert line.sender.call.ended


def test_pages_that_nobody_asked_for_are_left_alone(lines: Any) -> None:
    line = lines([FINE_PAGES], sender=PATIENT)
    line.run(until=lambda: bool(line.sender.of(PhaseB)))
    give(line, [STANDARD_PAGES])
    assert received(line.run()) == pixels(FINE_PAGES)
