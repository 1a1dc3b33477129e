"""What a machine says arrives as it was said, however it is put into packets; times are those of modems."""

from __future__ import annotations

import pytest

from faxgw.foip.ifp import Data, DataType, Field, FieldType, Indicator
from faxgw.simulator import carrier, frames
from faxgw.simulator.carrier import RATES, Ear, Signal, Transmission
from faxgw.simulator.script import CSI, EVERYTHING, Style

SAID = (CSI, frames.dis(*EVERYTHING))


def heard(what: Transmission) -> list[Signal]:
    ear = Ear()
    return [signal for _at, packet in what.packets if (signal := ear.receive(packet)) is not None]


@pytest.mark.parametrize("style", [Style.NORMAL, Style.BARE, Style.OCTETS, Style.ONE_PACKET])
def test_frames_arrive_whole(style: Style) -> None:
    (signal,) = heard(carrier.v21(SAID, style=style))
    assert not signal.image
    assert signal.frames == [(frame, True) for frame in SAID]


def test_frames_without_an_end_never_arrive() -> None:
    assert heard(carrier.v21(SAID, style=Style.ENDLESS)) == []
    (signal,) = heard(carrier.v21(SAID, style=Style.WRONG_FIELDS))
    assert signal.frames == [] and signal.data


def test_a_hurt_frame_is_known_to_be_hurt() -> None:
    (signal,) = heard(carrier.v21(SAID, fcs_ok=False))
    assert [good for _frame, good in signal.frames] == [True, False]


def test_v21_takes_its_time() -> None:
    """T.30 section 5.3.1: a second of preamble, then 300 bit/s."""
    what = carrier.v21(SAID)
    assert what.packets[0] == (0.0, Indicator.V21_PREAMBLE)
    octets = sum(len(frame) + 3 for frame in SAID)
    assert what.seconds == pytest.approx(1.0 + 8 * octets / 300 + carrier.CHUNK)
    assert [at for at, _packet in what.packets] == sorted(at for at, _packet in what.packets)


@pytest.mark.parametrize("name", RATES)
def test_the_training_check_is_zeros_for_a_second_and_a_half(name: str) -> None:
    rate = RATES[name]
    what = carrier.tcf(rate)
    (signal,) = heard(what)
    assert (signal.image, signal.training) == (True, rate.long)
    assert bytes(signal.data) == bytes(int(rate.bits * 1.5 / 8))
    assert what.seconds == pytest.approx(rate.long_training + 1.5, abs=0.15)


def test_image_frames_and_those_that_are_hurt() -> None:
    said = [frames.fcd(number, bytes((number,)) * 256) for number in range(4)]
    (signal,) = heard(carrier.block(RATES["V.17 14400"], said, short=True, hurt={2}))
    assert signal.training is Indicator.V17_14400_SHORT_TRAINING
    assert signal.frames == [(frame, at != 2) for at, frame in enumerate(said)]


def test_another_indicator_ends_a_signal_too() -> None:
    ear = Ear()
    ear.receive(Indicator.V17_14400_LONG_TRAINING)
    ear.receive(Data(DataType.V17_14400, (Field(FieldType.T4_NON_ECM_DATA, b"\0\0"),)))
    signal = ear.receive(Indicator.V21_PREAMBLE)
    assert signal is not None and bytes(signal.data) == b"\0\0"
    assert ear.receive(Indicator.NO_SIGNAL) is None


def test_tones_are_no_signal() -> None:
    assert heard(carrier.tone(Indicator.CED, 2.6)) == []
