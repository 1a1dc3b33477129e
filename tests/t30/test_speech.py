"""What is speech and what is not, after the way through G.711."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from faxgw.simulator.voice import silence, speech
from faxgw.t30.binding import Samples, g711_decode, g711_encode
from faxgw.t30.speech import Speech

RATE = 8000
TIME = np.arange(8 * RATE) / RATE
Wave = npt.NDArray[np.float64]


def tone(*hertz: float, on: float = 8.0, off: float = 0.0, level: float = 3000.0) -> Wave:
    """Sines together, in a cadence."""
    wave: Wave = level * np.sum([np.sin(2 * np.pi * f * TIME) for f in hertz], axis=0)
    return np.where(TIME % (on + off) < on, wave, 0.0)


def information_tones() -> Wave:
    """The three rising tones before an announcement (ITU-T E.180), over and over."""
    step = (TIME * 3.03).astype(int)
    wave: Wave = 4000 * np.sin(2 * np.pi * np.choose(step % 4, [950.0, 1400.0, 1800.0, 0.0]) * TIME)
    return wave


def v21() -> Wave:
    """Random bits at 300 bit/s (ITU-T V.21, channel 2)."""
    bits = np.random.default_rng(3).integers(0, 2, 8 * 300)
    frequency = np.where(bits[(TIME * 300).astype(int)], 1650.0, 1850.0)
    wave: Wave = 5000 * np.sin(2 * np.pi * np.cumsum(frequency) / RATE)
    return wave


def noise(level: float) -> Wave:
    return np.random.default_rng(4).standard_normal(len(TIME)) * level


def heard(wave: npt.ArrayLike, payload_type: int = 8) -> float | None:
    """Seconds until it is taken for speech; None if it is not."""
    samples: Samples = np.asarray(wave).clip(-32000, 32000).astype(np.int16)
    samples = g711_decode(g711_encode(samples, payload_type), payload_type)
    ear = Speech()
    for start in range(0, len(samples) - 159, 160):
        if ear.hear(samples[start : start + 160]):
            return start / RATE
    return None


@pytest.mark.parametrize("payload_type", [0, 8])
@pytest.mark.parametrize("share", [1.0, 0.5])
def test_speech_is_noticed_within_some_seconds(payload_type: int, share: float) -> None:
    wave = np.tile(speech(), 2) * share
    at = heard(wave, payload_type)
    assert at is not None and 1.5 <= at < 6.0


@pytest.mark.parametrize(
    "wave",
    [
        tone(425, on=0.48, off=0.47),
        tone(480, 620, on=0.5, off=0.5),
        tone(440, 480, on=2, off=4),
        tone(400, on=0.2, off=0.2),
        information_tones(),
        tone(2100, level=5000),
        tone(1100, on=0.5, off=3),
        tone(1000, on=0.5, off=0.5, level=8000),
        v21(),
        np.concatenate((tone(2100, level=5000)[: 3 * RATE], v21())),
        noise(40),
        noise(2000),
        silence(),
    ],
    ids=["busy", "busy, two", "ringing", "congestion", "information", "CED", "CNG", "beep", "V.21", "CED and V.21",
         "faint noise", "loud noise", "silence"],
)  # fmt: skip
def test_no_tone_and_no_noise_is_taken_for_speech(wave: Wave) -> None:
    assert heard(wave) is None


def test_a_word_is_not_enough() -> None:
    assert heard(speech()[:RATE]) is None
