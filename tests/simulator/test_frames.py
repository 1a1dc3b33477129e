"""Frames built for the zoo say what their names promise to our own reader (ITU-T T.30 Table 2)."""

from __future__ import annotations

from faxgw.foip import t30_frames as t30
from faxgw.simulator import frames
from faxgw.simulator.script import EVERYTHING


def test_a_dis_offers_what_its_bits_say() -> None:
    meaning = t30.capabilities(frames.dis(*EVERYTHING))
    assert meaning is not None
    assert (meaning.receives, meaning.modems, meaning.ecm, meaning.width) == (
        True,
        "V.27ter, V.29, V.17",
        True,
        "A4 wide",
    )
    assert meaning.codings == ("MH", "MR", "MMR")
    assert meaning.resolutions == ("204x98", "204x196", "204x391")


def test_a_dcs_says_its_rate() -> None:
    for rate in frames.DCS_RATES:
        meaning = t30.capabilities(frames.dcs(rate, frames.FINE))
        assert meaning is not None
        assert f"{meaning.modems} {meaning.bit_rate}" == rate


def test_bits_that_promise_another_octet_are_set_as_far_as_they_are_true() -> None:
    short = frames.dis(frames.RECEIVES, 11)
    assert len(short) == 6 and not frames.bit(short, 24)
    longer = frames.dis(frames.RECEIVES, frames.SUB_ADDRESS)
    assert len(longer) == 10
    assert [frames.bit(longer, number) for number in frames.EXTEND] == [True, True, True, True, False, False]
    assert len(frames.bits(t30.DIS, (10,), octets=40)) == 43


def test_idents_are_twenty_characters_last_one_first() -> None:
    made = frames.ident(t30.CSI, "+49 30")
    assert (len(made), t30.ident(made)) == (23, "+49 30")
    assert frames.ident(t30.CSI, b"\0\1") == bytes((0xFF, 0x03, t30.CSI, 0, 1))


def test_post_page_commands_and_requests() -> None:
    assert t30.name(frames.post_page(t30.EOP)) == "EOP"
    assert t30.name(frames.pps(t30.MPS, 1, 2, 256)) == "PPS-MPS"
    assert frames.pps(t30.MPS, 1, 2, 256)[4:] == bytes((1, 2, 255))
    assert t30.name(frames.pps(0, 0, 0, 1)) == "PPS-NULL"
    assert frames.ppr((0, 9))[3:] == bytes((1, 2)) + bytes(30)
    assert t30.fcf(frames.fcd(7, b"\1\2")) == t30.FCD
    assert t30.name(frames.rcp()) == "RCP"
