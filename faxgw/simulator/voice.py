"""What is heard when no fax machine answers: something like speech, or silence. Never a fax tone."""

from __future__ import annotations

from typing import Final

import numpy as np

from faxgw.t30.binding import Samples

RATE: Final = 8000
"""Samples per second."""
_LOOP: Final = 4
"""Seconds before it repeats."""


def speech() -> Samples:
    """Some seconds of syllables: band-limited noise over a gliding pitch, with pauses. Always the same."""
    random = np.random.default_rng(30)
    time = np.arange(_LOOP * RATE) / RATE
    pitch = 120 + 25 * np.sin(2 * np.pi * 0.4 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    voiced = sum(np.sin(phase * k) / k for k in range(1, 12))
    breath = np.convolve(random.standard_normal(len(time)), np.ones(4) / 4, "same")
    syllables = np.clip(np.sin(2 * np.pi * 2.3 * time) + 0.4 * np.sin(2 * np.pi * 0.7 * time), 0, 1)
    return (3000 * syllables * (0.6 * voiced + 0.5 * breath)).clip(-30000, 30000).astype(np.int16)


def silence() -> Samples:
    """One second of nothing."""
    return np.zeros(RATE, np.int16)
