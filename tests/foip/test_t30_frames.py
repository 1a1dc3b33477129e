"""T.30 frames by name and in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faxgw.foip import t30_frames
from faxgw.foip.t30_frames import Capabilities, capabilities, describe, fcf, from_line, ident, name, to_line

DIS = bytes.fromhex("ff138004eef8c48091808080 18".replace(" ", ""))
DCS = bytes.fromhex("ff13830062f844")


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        ("ff1380", "DIS"),
        ("ff1381", "DTC"),
        ("ff1382", "DCS"),
        ("ff1383", "DCS"),
        ("ff1384", "CFR"),
        ("ff138c", "MCF"),
        ("ff138d", "MCF"),
        ("ff13bf2f", "PPS-EOP"),
        ("ff13be00", "PPS-NULL"),
        ("ff13ce4e", "EOR-MPS"),
        ("ff13fb", "DCN"),
        ("ff0306", "FCD"),
        ("ff1355", "0x55"),
        ("ff13", "short frame"),
    ],
)
def test_frames_have_their_names(frame: str, text: str) -> None:
    assert name(bytes.fromhex(frame)) == text


def test_t38_carries_the_bits_reversed() -> None:
    """The DCS of transport.md F.1, as on the T.38 wire."""
    frame = from_line(bytes.fromhex("ffc8c100461f2240"))
    assert name(frame) == "DCS"
    assert to_line(frame) == bytes.fromhex("ffc8c100461f2240")


def test_the_station_identification_is_sent_backwards() -> None:
    frame = b"\xff\x03\x40" + b"1 03 94+".ljust(20)
    assert ident(frame) == "+49 30 1"
    assert describe(frame) == 'CSI "+49 30 1"'


def test_a_dis_in_words() -> None:
    assert capabilities(DIS) == Capabilities(
        receives=True,
        can_poll=False,
        modems="V.27ter, V.29, V.17",
        bit_rate=0,
        resolutions=("204x98", "204x196", "204x391"),
        codings=("MH", "MR", "MMR"),
        ecm=True,
        width="A4 wide",
        length="any length",
        t38=False,
        sub_address=False,
    )
    assert describe(DIS) == ("DIS V.27ter, V.29, V.17, 204x98/204x196/204x391, MH/MR/MMR, ECM, A4 wide, any length")


def test_a_dis_says_whether_a_sub_address_is_taken() -> None:
    """T.30 Table 2, bit 49."""
    takes = capabilities(DIS[:9] + bytes((DIS[9] | 1,)) + DIS[10:])
    assert takes is not None and takes.sub_address


def test_a_dcs_says_what_was_chosen() -> None:
    assert describe(DCS) == "DCS V.17, 14400 bit/s, 204x196, MMR, ECM, A4 wide, any length"


def test_other_frames_have_no_capabilities() -> None:
    assert capabilities(bytes.fromhex("ff1384")) is None
    assert capabilities(bytes.fromhex("ff138000")) is None
    assert describe(bytes.fromhex("ff138c")) == "MCF"
    assert fcf(b"") == 0


@given(st.binary(max_size=40))
def test_any_octets_have_a_description(frame: bytes) -> None:
    assert describe(frame)
    assert from_line(to_line(frame)) == frame


def test_confirmations_and_commands_are_the_ones_of_phase_d() -> None:
    assert {name(bytes((255, 19, c))) for c in t30_frames.CONFIRMATIONS} == {"MCF", "RTP", "PIP"}
    assert {name(bytes((255, 19, c))) for c in t30_frames.POST_PAGE_COMMANDS} == {"EOM", "MPS", "EOP", "PPS"}
