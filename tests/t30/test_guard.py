"""The frames that kill libspandsp 0.0.6 do not reach it, and no good frame is hurt."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faxgw.foip.ifp import Data, DataType, Field, FieldType, Indicator, Packet, decode, encode
from faxgw.t30 import native
from faxgw.t30.binding import ffi
from faxgw.t30.guard import HEAD, Guard, is_deadly


class NativeGuard:
    """The same filter in C."""

    def __init__(self) -> None:
        self._native: Any = native.library()
        self._media: Any = self._native.media_new(ffi.NULL, native.callbacks())

    def filter(self, packet: bytes, now: float) -> bytes:
        octets = bytearray(packet)
        held: Any = ffi.from_buffer("uint8_t[]", octets)
        self._native.media_guard(self._media, held, len(packet), now)
        return bytes(octets)

    @property
    def changed(self) -> int:
        return int(self._media.changed)

    def __del__(self) -> None:
        self._native.media_free(self._media)


Filter = Guard | NativeGuard
MADE: list[Callable[[], Filter]] = [Guard]


def new_guard() -> Filter:
    return MADE[0]()


@pytest.fixture(params=["C", "Python"], autouse=True, scope="module")
def engine(request: pytest.FixtureRequest) -> str:
    """Every test runs over both."""
    assert request.param != "C" or native.library() is not None, "the media loop in C is not built"
    MADE[0] = NativeGuard if request.param == "C" else Guard
    return str(request.param)


PROGRAM = Path(__file__).with_name("hostile_peer.py")
OK_ENDS = (FieldType.HDLC_FCS_OK, FieldType.HDLC_FCS_OK_SIG_END)
BAD = {
    FieldType.HDLC_FCS_OK: FieldType.HDLC_FCS_BAD,
    FieldType.HDLC_FCS_OK_SIG_END: FieldType.HDLC_FCS_BAD_SIG_END,
}


def data(octets: str) -> Field:
    return Field(FieldType.HDLC_DATA, bytes.fromhex(octets))


def through(guard: Filter, packet: Packet, now: float = 0.0) -> Packet:
    return decode(guard.filter(encode(packet), now))


def judged(frame: str, kind: DataType = DataType.V17_14400, end: FieldType = FieldType.HDLC_FCS_OK) -> bool:
    """True when the frame stays good."""
    packet = through(new_guard(), Data(kind, (data(frame), Field(end))))
    assert isinstance(packet, Data)
    assert packet.fields[1].type in (end, BAD[end])
    return packet.fields[1].type is end


@pytest.mark.parametrize("end", OK_ENDS)
@pytest.mark.parametrize(
    ("frame", "good"),
    [
        ("ffc060", False),
        ("ffc0e0", False),
        ("ff", False),
        ("ffc8", False),
        ("ffc06000", True),
        ("ffc8c10046df2240", False),
        ("ffc8410046df22", False),
        ("ffc8c100461f2240", True),
        ("ffc884", True),
        ("ff" * 101, False),
        ("ff" * 100, True),
    ],
)
def test_deadly_frames_get_a_bad_fcs_and_others_stay(frame: str, good: bool, end: FieldType) -> None:
    assert judged(frame, DataType.V21, end) is good


def test_image_frames_may_be_long() -> None:
    assert judged("ffc060" + "00" * 257)


def test_a_frame_in_pieces_is_judged_as_a_whole() -> None:
    guard = new_guard()
    through(guard, Data(DataType.V17_14400, (data("ff"),)))
    through(guard, Data(DataType.V17_14400, (data("c060"),)))
    last = through(guard, Data(DataType.V17_14400, (Field(FieldType.HDLC_FCS_OK),)))
    assert last == Data(DataType.V17_14400, (Field(FieldType.HDLC_FCS_BAD),))


def test_octets_in_the_fcs_field_count_and_do_not_count() -> None:
    """Some peers put the frame's last octets there; the library may take or leave them."""
    for fields in (
        (data("ffc060"), Field(FieldType.HDLC_FCS_OK, b"\0\0\0")),
        (data("ffc8c1"), Field(FieldType.HDLC_FCS_OK, bytes.fromhex("0046df2240"))),
    ):
        packet = through(new_guard(), Data(DataType.V17_14400, fields))
        assert isinstance(packet, Data)
        assert packet.fields[1].type is FieldType.HDLC_FCS_BAD


@pytest.mark.parametrize(
    "between", [Indicator.V21_PREAMBLE, Indicator.NO_SIGNAL, Data(DataType.V21, (Field(FieldType.HDLC_SIG_END),))]
)
def test_a_frame_cannot_be_hidden_behind_an_interruption(between: Packet) -> None:
    """The library keeps a frame over a repeated indicator and drops it over another; both must be safe."""
    guard = new_guard()
    through(guard, Data(DataType.V21, (data("ffc8c10046"),)))
    through(guard, between)
    end = through(guard, Data(DataType.V21, (data("df22"), Field(FieldType.HDLC_FCS_OK))))
    assert isinstance(end, Data)
    assert end.fields[1].type is FieldType.HDLC_FCS_BAD
    assert judged("ffc884")


def test_a_field_that_is_cut_off_does_not_hurt_the_next_frame() -> None:
    """The library drops it whole, so it is no part of any frame (seen: every CFR after such a packet was lost)."""
    guard = new_guard()
    cut = encode(Data(DataType.V21, (data("ffc8c10046df2240"),)))[:-1]
    assert guard.filter(cut, 0.0) == cut
    through(guard, Indicator.V21_PREAMBLE)
    answer = Data(DataType.V21, (data("ffc884"), Field(FieldType.HDLC_FCS_OK_SIG_END)))
    assert through(guard, answer) == answer
    assert not guard.changed


def test_a_frame_cannot_be_hidden_behind_a_pause() -> None:
    guard = new_guard()
    through(guard, Data(DataType.V21, (data("ffc8aa0000"),)), now=0.0)
    end = through(guard, Data(DataType.V21, (data("ffc060"), Field(FieldType.HDLC_FCS_OK))), now=20.0)
    assert isinstance(end, Data)
    assert end.fields[1].type is FieldType.HDLC_FCS_BAD


FIELDS = st.lists(st.builds(Field, st.sampled_from(FieldType), st.binary(max_size=9)), max_size=6).map(tuple)


@given(st.lists(st.builds(Data, st.sampled_from([DataType.V21, DataType.V17_14400]), FIELDS), max_size=6))
def test_only_fcs_bits_change(packets: list[Data]) -> None:
    guard = new_guard()
    for packet in packets:
        after = through(guard, packet)
        assert isinstance(after, Data)
        assert [f.data for f in after.fields] == [f.data for f in packet.fields]
        for old, new in zip(packet.fields, after.fields, strict=True):
            assert new.type in (old.type, BAD.get(old.type))


@given(st.binary(max_size=40))
def test_garbage_passes_without_harm(octets: bytes) -> None:
    guard = new_guard()
    assert len(guard.filter(octets, 0.0)) == len(octets)


@given(st.binary(min_size=3, max_size=8))
def test_the_library_s_own_order_is_judged_as_that_of_the_line(line: bytes) -> None:
    own = bytes(int(f"{octet:08b}"[::-1], 2) for octet in line)
    assert is_deadly(own[:HEAD], len(own)) is not judged(line.hex())


def test_a_frame_without_a_code_is_left_to_the_library() -> None:
    assert not is_deadly(b"\xff\x03", 2)


def run(kind: str, guarded: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(PROGRAM), kind, guarded], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("kind", ["fcd", "width"])
def test_the_library_lives_behind_the_guard_and_dies_without(kind: str) -> None:
    """transport.md G, triggers a and b, against the real library."""
    guarded = run(kind, "guarded")
    assert guarded.returncode == 0, guarded.stderr
    assert int(guarded.stdout.split()[0]) > 0
    assert run(kind, "outer").stdout == guarded.stdout
    assert run(kind, "bare").returncode == -signal.SIGSEGV


@pytest.mark.parametrize("kind", ["fcd", "width"])
def test_the_library_lives_without_the_filter_as_over_g711(kind: str) -> None:
    """There the frames come out of the library's own modem: the guard inside it makes them bad."""
    inner = run(kind, "inner")
    assert inner.returncode == 0, inner.stderr
    assert inner.stdout.split()[0] == "0"  # the filter of packets changed nothing


def test_the_same_session_with_good_frames_goes_on() -> None:
    result = run("good", "guarded")
    changed, _heard, confirmed = result.stdout.split()
    assert (changed, confirmed) == ("0", "True")


IFP = st.builds(Data, st.sampled_from([DataType.V21, DataType.V17_14400]), FIELDS).map(encode)


@given(st.lists(st.tuples(st.one_of(st.binary(max_size=30), IFP), st.floats(0, 8))))
def test_both_filters_judge_alike(stream: list[tuple[bytes, float]]) -> None:
    first, second, now = Guard(), NativeGuard(), 0.0
    for packet, pause in stream:
        now += pause
        assert first.filter(packet, now) == second.filter(packet, now)
    assert first.changed == second.changed
