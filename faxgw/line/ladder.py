"""T.30 frames in words, for the traces that operators read (ITU-T T.30 sections 5.3.6 and Annex A.4)."""

from __future__ import annotations

from typing import Final

from faxgw.foip import t30_frames
from faxgw.foip.t30_frames import Capabilities

_MEANINGS: Final = {
    "NSF": "manufacturer's own features",
    "DTC": "asks for a document",
    "CFR": "ready for the page",
    "FTT": "training failed, try again",
    "CTC": "go on at another speed",
    "CTR": "will do",
    "MPS": "end of the page, another follows",
    "EOM": "end of the page and of the document, another document follows",
    "EOP": "end of the last page",
    "MCF": "confirmed",
    "RTP": "confirmed, but train again",
    "RTN": "refused, train again",
    "PIP": "confirmed, somebody wants to speak",
    "PIN": "refused, somebody wants to speak",
    "RNR": "not ready yet, wait",
    "RR": "ready now?",
    "ERR": "gives up the rest of the block too",
    "CRP": "say that again",
    "DCN": "goodbye",
    "FDM": "file diagnostics",
}
"""What a frame without contents means."""
_ENDS: Final = {
    "NULL": "end of a block, the page goes on",
    "MPS": "end of the page, another follows",
    "EOM": "end of the page and of the document",
    "EOP": "end of the last page",
}
"""What the second field of PPS and EOR means."""
_RESOLUTIONS: Final = {
    "204x98": "standard",
    "204x196": "fine",
    "204x391": "superfine",
    "300x300": "300 dpi",
    "408x391": "408x391",
    "600x600": "600 dpi",
}
_FASTEST: Final = (("V.17", 14400), ("V.33", 14400), ("V.29", 9600), ("V.27ter", 4800))
"""What a modulation can do at most, bit/s."""


def describe_frame(frame: bytes) -> str:
    """A frame's name and what it says, in words; the name is the first of them."""
    name, code = t30_frames.name(frame), t30_frames.fcf(frame)
    meaning = t30_frames.capabilities(frame)
    if meaning is not None:
        return f"{name} {_decides(meaning) if code == t30_frames.DCS else _offers(meaning, code)}"
    first, _, second = name.partition("-")
    if first in ("PPS", "EOR") and second:
        return f"{name} {_ENDS.get(second, second)}{_block(frame)}"
    if code == t30_frames.PPR:
        return f"PPR asks for {_missing(frame)} frames again"
    if name in _MEANINGS:
        return f"{name} {_MEANINGS[name]}"
    return t30_frames.describe(frame)


def _offers(meaning: Capabilities, code: int) -> str:
    """DIS and DTC: what the machine can do (T.30 Table 2)."""
    if code == t30_frames.DIS and not meaning.receives:
        return "cannot receive"
    fastest = next((rate for modem, rate in _FASTEST if modem in meaning.modems), 2400)
    parts = [
        f"takes up to {fastest} bit/s ({meaning.modems})",
        "/".join(_RESOLUTIONS.get(name, name) for name in meaning.resolutions),
        "/".join(meaning.codings),
        "error correction" if meaning.ecm else "no error correction",
        f"{meaning.width}, {meaning.length}",
        *(["sub-addresses"] if meaning.sub_address else []),
        *(["a document to be fetched"] if meaning.can_poll else []),
    ]
    return ", ".join(parts)


def _decides(meaning: Capabilities) -> str:
    """DCS: how the pages come (T.30 Table 2)."""
    resolution = meaning.resolutions[0]
    rate = f" at {meaning.bit_rate} bit/s" if meaning.bit_rate else ""
    parts = [
        f"pages come by {meaning.modems}{rate}",
        f"{_RESOLUTIONS.get(resolution, resolution)} ({resolution})",
        meaning.codings[0],
        "error correction" if meaning.ecm else "no error correction",
    ]
    return ", ".join(parts)


def _block(frame: bytes) -> str:
    """Page and block counters and the number of frames (T.30 Annex A.4.3): counted from 0, shown from 1."""
    if len(frame) < 7:
        return ""
    page, block, frames = frame[4] + 1, frame[5] + 1, frame[6] + 1
    return f"; page {page}, block {block}: {frames} frames"


def _missing(frame: bytes) -> int:
    """Frames that a PPR asks for: the bits set in its map of 256 (T.30 Annex A.4.4)."""
    return sum(octet.bit_count() for octet in frame[3:35])
