"""Page data made to harm do not harm, over every medium and in every coding; the bare library dies of them."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from faxgw.fax.outcome import Cause
from faxgw.foip.control import Document, T38Media
from faxgw.foip.t30_frames import from_line, to_line
from faxgw.line.arrival import Arrival
from faxgw.simulator import coding
from faxgw.simulator.script import Act, Expected, Rule, Script
from faxgw.simulator.sending import SendingMachine
from faxgw.t30 import binding, decoder, native
from faxgw.t30.binding import LibraryFault, ffi
from faxgw.t30.call import MediaCall
from faxgw.t30.decoder import Harm
from tests.hostile.attacks import Stuffed
from tests.simulator import stage
from tests.t30 import decoder_fuzz
from tests.t30.conftest import Network, memory_file, page_image, receive_start, send_start, tiff
from tests.t30.crafted import (
    BLACK_0,
    HORIZONTAL,
    MH,
    MMR,
    MR,
    PAGES,
    PASS,
    WHITE_0,
    Decoder,
    octets_of,
)

GUARDS = ("C", "Python")
FATAL = [name for name in PAGES if name != "rows"]


@pytest.fixture(params=GUARDS)
def guard(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Both, each also in the place of the library's own functions."""
    if request.param == "Python":
        monkeypatch.setattr(native, "decoder_functions", decoder._in_python)
    native.protect()
    assert decoder._installed == native.decoder_functions()
    yield str(request.param)
    monkeypatch.undo()
    native.protect()


def program(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True, timeout=300, check=False)


# What the library does, and what it does no more.


@pytest.mark.parametrize("page", FATAL)
def test_the_bare_library_dies_of_the_page(page: str) -> None:
    """A heap overflow that the C library notices, or one into nowhere; that is why there is a guard."""
    assert program("tests.t30.crafted", "bare", page).returncode in (-signal.SIGABRT, -signal.SIGSEGV)


@pytest.mark.parametrize("page", FATAL)
def test_the_page_is_refused_where_it_begins_to_harm(guard: str, page: str) -> None:
    kind, octets = PAGES[page]
    engine = Decoder(guard, kind)
    ended = engine.put(octets[: 1 << 16])
    assert ended
    assert engine.harm is Harm.RUNS
    assert engine.rows == (0, 0)
    assert engine.state.line_image_size < 8 * 40_000
    engine.close()


@pytest.mark.parametrize("page", FATAL)
def test_marked_decoders_take_nothing_more(guard: str, page: str) -> None:
    kind, octets = PAGES[page]
    engine = Decoder(guard, kind)
    engine.put(octets[: 1 << 16])
    before = engine.state.line_image_size
    assert engine.put(octets[:100])
    assert engine.put_bits(b"\xff")
    assert engine.put_octets(b"\xff")
    assert engine.state.line_image_size == before
    engine.close()


@pytest.mark.parametrize("way", ["put", "put_bits", "put_octets"])
def test_every_way_in_is_guarded(guard: str, way: str) -> None:
    for name in ("runs in MH", "horizontal in MMR", "passes in MR"):
        kind, octets = PAGES[name]
        engine = Decoder(guard, kind)
        assert getattr(engine, way)(octets[:8000])
        assert engine.harm is Harm.RUNS
        engine.close()


def test_rows_are_counted_to_the_piece(guard: str) -> None:
    """A row of MMR may be one bit: 32 octets are 256 rows."""
    engine = Decoder(guard, MMR)
    assert not engine.put(b"\xff" * 8192)
    assert engine.put(b"\xff" * 64)
    assert engine.harm is Harm.ROWS
    assert decoder.MAX_ROWS < engine.rows[0] <= decoder.MAX_ROWS + 8 * decoder.PIECE
    assert str(decoder.MAX_ROWS) in engine.harm.text
    engine.close()


# What is no harm.


@pytest.mark.parametrize("width", [1728, 2432, 4864])
@pytest.mark.parametrize("first", [0, 1])
def test_the_finest_rows_there_are_stay(guard: str, width: int, first: int) -> None:
    """As many changes as there are pixels; with `first` 0 also the run of no pixels at the beginning."""
    rows = [tuple(range(first, width)), tuple(range(1 - first, width)), ()] * 2
    for kind, encode in ((MH, coding.mh), (MR, coding.mr), (MMR, coding.mmr)):
        engine = Decoder(guard, kind, width)
        octets = from_line(encode(rows, width))
        engine.put(octets)
        assert engine.harm is Harm.NONE
        assert engine.rows == (len(rows), 0)
        engine.close()


@pytest.mark.parametrize("pairs", range(decoder.RUNS_SLACK // 2 + 1))
def test_some_runs_without_pixels_are_no_harm(guard: str, pairs: int) -> None:
    """Encoders that split long runs make some; the row is as good as ever."""
    engine = Decoder(guard, MMR)
    row = (HORIZONTAL + WHITE_0 + BLACK_0) * (1728 // 2 + pairs) + "1" + "1" * 40
    engine.put(octets_of(row))
    assert engine.harm is Harm.NONE
    assert engine.rows[0] > 10
    engine.close()


def test_some_passes_beyond_the_reference_row_are_no_harm(guard: str) -> None:
    engine = Decoder(guard, MMR)
    engine.put(octets_of(PASS * 30 + "1" * 40))
    assert engine.harm is Harm.NONE
    assert engine.rows[0] > 10
    engine.close()


def test_another_width_has_room_as_well(guard: str) -> None:
    engine = Decoder(guard, MMR, 864)
    start = decoder.start if guard == "Python" else native.library().decoder_start
    usable = decoder._memory().malloc_usable_size
    for width in (4864, 864, 1728):
        engine.state.image_width = width
        assert start(engine.state) == 0
        for runs in (engine.state.cur_runs, engine.state.ref_runs):
            assert usable(runs) >= 4 * (width + decoder.ROOM)
        assert engine.state.ref_runs[0] == width
        assert not any(engine.state.cur_runs[0 : width + decoder.ROOM])
        assert not any(engine.state.ref_runs[1 : width + decoder.ROOM])
    engine.close()


@pytest.mark.parametrize("width", [-1, 0, decoder.MAX_WIDTH + 1, 1 << 30])
def test_a_width_that_is_none_is_refused(guard: str, width: int) -> None:
    """The reserved one of DCS is -1 in the library, and its death."""
    engine = Decoder(guard, MMR, width)
    assert engine.harm is Harm.WIDTH
    assert engine.state.image_width == decoder.SAFE_WIDTH
    assert engine.put(b"\xff")
    engine.close()


def test_a_page_that_cannot_be_begun_gets_no_data(guard: str) -> None:
    engine = Decoder(guard, MMR)
    start = decoder.start if guard == "Python" else native.library().decoder_start
    before = bytes(ffi.buffer(engine.state))
    ffi.memmove(ffi.cast("char *", engine.state) + 0xC0, bytes(8), 8)  # its file: as if it had been closed
    assert start(engine.state) == -1
    assert engine.harm is Harm.MEMORY
    assert engine.put(b"\xff")
    assert len(before) == ffi.sizeof("decoder_t")
    # the file is not given back: the library does not know of it any more


@pytest.mark.parametrize("what", ["calloc", "malloc_usable_size"])
def test_a_page_without_room_gets_no_data(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """No memory, or a fault of ours half-way, which the library would not hear of."""

    class Poor:
        def __getattr__(self, name: str) -> Any:
            if name == what == "malloc_usable_size":
                raise MemoryError
            return (lambda _count, _size: ffi.NULL) if name == what else getattr(memory, name)

    memory = decoder._memory()
    engine = Decoder("bare", MMR)  # with the library's own buffers
    monkeypatch.setattr(decoder, "_memory", Poor)
    with contextlib.suppress(MemoryError):
        assert decoder.start(engine.state) == 0
    assert engine.harm is Harm.MEMORY
    assert decoder.put_bit(engine.state, 1) == 1
    engine.close()


# Whole calls.


def called(script: Script, octets: bytes) -> stage.Played:
    line = to_line(octets)
    start = replace(receive_start(), t38=T38Media(stage.MACHINE))
    if script.ecm:
        padded = octets.ljust(-(-len(octets) // 256) * 256, b"\0")
        block = [padded[at : at + 256] for at in range(0, len(padded), 256)]
        return stage._play(start, [], Stuffed(script, [stage.rows(1)], [block]), Arrival(0.0))
    script = replace(script, rules=(Rule("page", Act(image=line)),))
    return stage._play(start, [], SendingMachine(script, [stage.rows(1)]), Arrival(0.0))


@pytest.mark.parametrize(
    ("page", "coding_name", "ecm"),
    [
        ("runs in MH", "MH", False),
        ("runs in MH", "MH", True),
        ("runs in MR", "MR", False),
        ("horizontal in MR", "MR", False),
        ("horizontal in MR", "MR", True),
        ("passes in MR", "MR", False),
        ("horizontal in MMR", "MMR", True),
        ("passes in MMR", "MMR", True),
    ],
)
def test_a_call_with_the_page_ends_told_and_unconfirmed(guard: str, page: str, coding_name: str, ecm: bool) -> None:
    script = Script("S1", "crafted", "", Expected(Cause.OK, 0, ()), tone=0.5, coding=coding_name, ecm=ecm)
    played = called(script, PAGES[page][1][:20_000])
    assert played.ended
    assert Harm.RUNS.text in played.outcome.detail
    assert played.pages == []
    assert played.confirmed == 0
    assert not {">MCF", ">RTP", ">RTN", ">PPR"} & set(played.ladder)


def test_a_call_with_a_page_of_too_many_rows_ends_told_and_unconfirmed(guard: str) -> None:
    """Nothing but the guard counts them while they come in: 16 KB of one-bit rows, two blocks with error correction."""
    script = Script("S1", "crafted", "", Expected(Cause.OK, 0, ()), tone=0.5, coding="MMR", ecm=True)
    played = called(script, PAGES["rows"][1][:16_384])
    assert played.ended
    assert Harm.ROWS.text in played.outcome.detail
    assert (played.pages, played.confirmed) == ([], 0)
    assert not {">MCF", ">RTP", ">RTN", ">PPR"} & set(played.ladder)


@pytest.mark.parametrize(("page", "coding_name", "ecm"), [("runs in MH", "MH", False), ("passes in MMR", "MMR", True)])
def test_a_call_of_the_media_loop_in_python_ends_as_well(
    monkeypatch: pytest.MonkeyPatch, page: str, coding_name: str, ecm: bool
) -> None:
    monkeypatch.setattr(native, "library", lambda: None)
    test_a_call_with_the_page_ends_told_and_unconfirmed("Python", page, coding_name, ecm)


@pytest.mark.parametrize("ecm", [True, False])
def test_pages_before_it_are_kept(ecm: bool) -> None:
    """The first page is right and confirmed; the second is made to harm."""
    script = Script("S1", "crafted", "", Expected(Cause.OK, 0, ()), tone=0.5, coding="MR", ecm=ecm)
    octets = PAGES["runs in MR"][1]
    machine: Any
    if ecm:
        machine = Second(script, [stage.rows(1), stage.rows(2)], octets)
    else:
        script = replace(script, rules=(Rule("page", Act(image=to_line(octets)), first=2),))
        machine = SendingMachine(script, [stage.rows(1), stage.rows(2)])
    played = stage._play(replace(receive_start(), t38=T38Media(stage.MACHINE)), [], machine, Arrival(0.0))
    assert played.confirmed == 1
    assert len(played.pages) == 1
    assert Harm.RUNS.text in played.outcome.detail


class Second(Stuffed):
    """Its second page is not what it should be."""

    def __init__(self, script: Script, pages: Sequence[Sequence[coding.Row]], octets: bytes) -> None:
        padded = octets.ljust(-(-len(octets) // 256) * 256, b"\0")
        super().__init__(script, pages, [[padded[at : at + 256] for at in range(0, len(padded), 256)]])

    def _send_page(self, now: float) -> None:
        if self._page:
            self._stuff(now)
        else:
            SendingMachine._send_page(self, now)


@pytest.mark.parametrize("medium", ["t38", "g711"])
@pytest.mark.parametrize("ecm", ["ecm", "plain"])
@pytest.mark.parametrize("guarded", GUARDS)
def test_two_engines_over_either_medium(medium: str, ecm: str, guarded: str) -> None:
    """Our own engine sends the page: over G.711 it comes out of the library's modem."""
    result = program("tests.t30.hostile_sender", guarded, medium, ecm)
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"limit|{Harm.RUNS.text}|0\n"


@pytest.mark.parametrize("medium", ["t38", "g711"])
def test_two_engines_without_a_guard(medium: str) -> None:
    assert program("tests.t30.hostile_sender", "bare", medium, "ecm").returncode in (-signal.SIGABRT, -signal.SIGSEGV)


@pytest.mark.parametrize("guarded", GUARDS)
@pytest.mark.parametrize("frame", ["fcd", "width"])
def test_frames_that_kill_are_stopped_over_g711(frame: str, guarded: str) -> None:
    """They come out of the library's own modem, with a good FCS."""
    result = program("tests.t30.hostile_sender", guarded, "g711", frame)
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith("|0\n")


@pytest.mark.parametrize("frame", ["fcd", "width"])
def test_frames_kill_the_bare_library_over_g711(frame: str) -> None:
    assert program("tests.t30.hostile_sender", "bare", "g711", frame).returncode == -signal.SIGSEGV


# The library that is not the one we know.


def test_a_decoder_that_is_laid_out_otherwise_receives_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder, "_STEPS", (*decoder._STEPS[:-1], (0, 1, 0, 1728, 0, 0, 3, 0)))
    with pytest.raises(LibraryFault, match="nothing is received"):
        decoder.verify.__wrapped__()


def test_a_decoder_that_begins_otherwise_receives_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder, "_BEGUN", (1, 3, 432, 1728, 0, 0))
    with pytest.raises(LibraryFault, match="not the one we know"):
        decoder.verify.__wrapped__()


def test_a_decoder_that_cannot_be_tried_receives_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Nothing:
        @staticmethod
        def t4_rx_init(_state: Any, _file: bytes, _coding: int) -> Any:
            return ffi.NULL

    monkeypatch.setattr(binding, "library", Nothing)
    with pytest.raises(LibraryFault, match="tried out"):
        decoder.verify.__wrapped__()


@pytest.mark.parametrize("medium", ["t38", "g711"])
def test_without_a_guard_calls_are_sent_and_none_is_received(monkeypatch: pytest.MonkeyPatch, medium: str) -> None:
    def strange(_functions: Any = None) -> None:
        raise LibraryFault("not the one we know")

    monkeypatch.setattr(decoder, "protect", strange)
    t38 = T38Media(stage.MACHINE) if medium == "t38" else None
    sockets = Network()
    with pytest.raises(LibraryFault, match="not the one we know"):
        MediaCall(replace(receive_start(), t38=t38), sockets.socket(1), sockets.socket(2), (), 0.0)
    file = memory_file(tiff([page_image(1)]))
    start = replace(send_start(), t38=t38, documents=(Document("F", 1, 1, 1),))
    call = MediaCall(start, sockets.socket(3), sockets.socket(4), (file,), 0.0)
    call.tick(0.02)
    call.close()
    os.close(file)


def test_functions_that_cannot_be_replaced_are_a_fault() -> None:
    with pytest.raises(LibraryFault, match="cannot be set"):
        decoder.install({"t4_rx_no_such_thing": 1})
    assert decoder._installed == native.decoder_functions()


def test_c_and_python_have_the_same_limits() -> None:
    source = native.SOURCE.read_text()
    for name in ("PIECE", "ROOM", "RUNS_SLACK", "REFERENCE_SLACK", "MAX_WIDTH", "SAFE_WIDTH", "MAX_ROWS"):
        assert f"{name} = {getattr(decoder, name)}" in source
    assert "MAX_RUN = 1 << 26" in source
    assert decoder.MAX_RUN == 1 << 26
    for harm in list(Harm)[1:]:
        assert f"HARM_{harm.name} = {harm.value}" in source
        assert harm.text


def test_pages_drawn_by_seed() -> None:
    """A minute of them by hand: `python -m tests.t30.decoder_fuzz`."""
    seen = decoder_fuzz.run(2026, 1500)
    assert sum(seen.values()) == 1500
    assert seen["codes RUNS"] > 20
    assert seen["real NONE"] > 100
    assert seen["hurt NONE"] > 200


def test_pages_drawn_by_seed_in_c(tmp_path: Path) -> None:
    """The C guard alone; a million by hand, and some thousand under valgrind (docs/transport.md, "Guard")."""
    source, made = Path(__file__).with_name("decoder_fuzz.c"), tmp_path / "fuzz"
    compiler = shutil.which("cc")
    assert compiler is not None
    subprocess.run([compiler, "-O2", "-w", "-o", made, source, f"-l:{binding.SONAME}", "-lm"], check=True)
    result = subprocess.run([made, "2026", "20000"], capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stdout
    assert result.stdout.startswith("20000 pages")


def test_memory_is_given_back() -> None:
    """Pages of changing width: the buffers that the guard made are freed by the library."""
    engine = Decoder("C", MMR)
    for number in range(200):
        engine.state.image_width = (864, 1728, 2432)[number % 3]
        native.library().decoder_start(engine.state)
        engine.put(os.urandom(100))
        engine.end()
    engine.close()
