"""Whether somebody speaks on a line where no fax machine is heard: a person, an announcement, an answering machine.

Speech changes in level and in pitch all the time; the tones of telephone and fax do neither. So, over the loud 20 ms
frames of a call, the spread of the level and the spread of the zero crossings are measured: speech has much of both,
a call progress tone (one or two frequencies, on and off) little of the one, fax signals and noise little of the other.
Music may pass for speech; nobody's fax machine plays any.
"""

from __future__ import annotations

from math import log10, sqrt
from typing import Final

import numpy as np

from faxgw.t30.binding import Samples

LOUD: Final = 150.0
"""Effective value above which a frame counts, of 32,768: some 26 dB below ordinary speech."""
FRAMES: Final = 75
"""Loud frames before there is an opinion: 1.5 s."""
LEVEL_SPREAD: Final = 3.0
"""Decibels of standard deviation. Measured: speech 4 to 8, tones and modem signals below 1, their cadence below 2.5."""
CROSSING_SPREAD: Final = 3.0
"""Zero crossings in 20 ms, standard deviation. Measured: speech 4 to 28, tones below 1, V.21 data 2."""


class Speech:
    """Listens to one call."""

    def __init__(self) -> None:
        self._frames = 0
        self._levels = _Spread()
        self._crossings = _Spread()

    def hear(self, samples: Samples) -> bool:
        """Take 20 ms; True once what has been heard so far is speech."""
        level = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
        if level < LOUD:
            return False
        self._frames += 1
        self._levels.add(20 * log10(level))
        self._crossings.add(float(np.count_nonzero(np.diff(np.signbit(samples)))))
        if self._frames < FRAMES:
            return False
        return self._levels.deviation(self._frames) > LEVEL_SPREAD and (
            self._crossings.deviation(self._frames) > CROSSING_SPREAD
        )


class _Spread:
    """Sums for a standard deviation."""

    def __init__(self) -> None:
        self._sum = 0.0
        self._squares = 0.0

    def add(self, value: float) -> None:
        self._sum += value
        self._squares += value * value

    def deviation(self, count: int) -> float:
        return sqrt(max(0.0, self._squares / count - (self._sum / count) ** 2))
