"""Each machine of the zoo against our real engine, in virtual time: outcome, ladder, pages."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageSequence

from faxgw.fax.outcome import Cause
from faxgw.simulator import frames
from faxgw.simulator.callers import CALLING
from faxgw.simulator.coding import Row
from faxgw.simulator.machines import ANSWERING
from faxgw.simulator.script import EVERYTHING, Act, Expected, Rule, Script, Wire
from tests.simulator.stage import Played, be_called_by, call_machine, document, rows

PLAIN = frames.dis(*(number for number in EVERYTHING if number not in (frames.ECM, frames.MMR)))


def occurs(wanted: Iterable[str], ladder: Sequence[str]) -> bool:
    """Whether the frames come in this order, others between them."""
    rest = iter(ladder)
    return all(frame in rest for frame in wanted)


def rows_of(tiff: bytes) -> Iterator[list[Row]]:
    """Each page of a TIFF as changes of colour."""
    with Image.open(io.BytesIO(tiff)) as image:
        for page in ImageSequence.Iterator(image):
            black = ~np.asarray(page.convert("1"))
            edges = np.diff(np.pad(black.astype(np.int8), ((0, 0), (1, 0))), axis=1)
            yield [tuple(int(at) for at in np.flatnonzero(row)) for row in edges]


def check(played: Played, expected: Expected) -> None:
    """Cause, pages and ladder."""
    assert played.ended, f"hung: {played.ladder[-20:]}"
    assert played.outcome.cause is expected.cause, (played.outcome, played.ladder)
    assert played.confirmed == expected.confirmed, played.ladder
    assert occurs(expected.ladder, played.ladder), played.ladder
    assert not set(expected.never) & set(played.ladder), played.ladder
    assert (played.outcome.cause is Cause.OK) == (expected.cause is Cause.OK)


@pytest.mark.parametrize("script", ANSWERING, ids=lambda script: f"{script.suffix} {script.name}")
def test_a_machine_that_answers(script: Script) -> None:
    """What is confirmed to us the machine has, pixel by pixel."""
    played = call_machine(script)
    check(played, script.expected)
    pages = played.machine.pages
    assert len(pages) == script.expected.pages_kept
    assert script.expected.confirmed <= len(pages)
    for sent, page in zip(rows_of(document()), pages[: script.expected.confirmed], strict=False):
        assert list(page.rows) == sent
        assert page.bad_rows == 0


@pytest.mark.parametrize("script", CALLING, ids=lambda script: f"{script.suffix} {script.name}")
def test_a_machine_that_calls(script: Script) -> None:
    """What the machine believes to be confirmed we have handed over and promised."""
    played = be_called_by(script)
    check(played, script.expected)
    assert played.machine.confirmed <= played.confirmed
    assert len(played.pages) == script.expected.pages_kept
    if script.expected.intact:
        received = [page for tiff in played.pages for page in rows_of(tiff)]
        assert received == [rows(number, script.width) for number in (1, 2)][: len(received)]


@pytest.mark.parametrize("command", [b"", PLAIN], ids=["ECM", "no ECM"])
@pytest.mark.parametrize("time", [1, 2])
def test_no_lateness_of_a_confirmation_confirms_what_the_machine_has_not(command: bytes, time: int) -> None:
    """docs/transport.md J.5: an answer later than T4 must never be taken for that of another page."""
    for tenths in range(28, 62, 2):
        rule = Rule("MCF", Act(delay=tenths / 10), time, time)
        script = Script("x", "late", "", Expected(Cause.OK, 2, ()), (rule,), command=command)
        played = call_machine(script)
        assert played.ended
        assert played.confirmed <= len(played.machine.pages), tenths
        assert (played.outcome.cause is Cause.OK) == (played.confirmed == 2)


@pytest.mark.parametrize("wire", Wire)
def test_the_same_pages_however_the_datagrams_are_made(wire: Wire) -> None:
    """Whatever is confirmed is whole, for each way of making datagrams and in both directions."""
    expected = Expected(Cause.OK, 2, ())
    sent = call_machine(Script("x", "x", "", expected, wire=wire))
    assert sent.confirmed == len(sent.machine.pages)
    received = be_called_by(Script("S", "x", "", expected, wire=wire))
    assert received.machine.confirmed == len(received.pages) == received.confirmed


def test_identifications_come_without_the_blanks_that_fill_them_up() -> None:
    """T.30 section 5.3.6.2.4: 20 characters always; many machines send the blanks."""
    called = call_machine(next(script for script in ANSWERING if script.name == "no CED"))
    assert called.outcome.remote_ident == "+49 30 55500"
    caller = be_called_by(next(script for script in CALLING if script.name == "SUB"))
    assert (caller.outcome.remote_ident, caller.sub_address) == ("+49 30 55500", "4711")


def test_numbers_and_names_are_unique() -> None:
    machines = (*ANSWERING, *CALLING)
    assert len({script.suffix for script in machines}) == len(machines)
    assert len({script.name for script in machines}) == len(machines)
    assert all(script.sends for script in CALLING)
    assert not any(script.sends for script in ANSWERING)


def test_the_behaviours_are_distinct() -> None:
    """As many as promised; no two scripts are the same but for their names."""
    assert len(ANSWERING) >= 45
    assert len(CALLING) >= 12
    same = {"suffix": "", "name": "", "text": "", "expected": Expected(Cause.OK, 0, ())}
    essence = {(script.sends, repr(replace(script, **same))) for script in (*ANSWERING, *CALLING)}  # type: ignore[arg-type]
    assert len(essence) == len(ANSWERING) + len(CALLING)
