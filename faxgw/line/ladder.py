"""T.30 frames in words, for the traces that operators read."""

from __future__ import annotations

from faxgw.foip import t30_frames


def describe_frame(frame: bytes) -> str:
    """A frame's name and what it says, in words (ITU-T T.30 section 5.3)."""
    return t30_frames.describe(frame)
