"""T.30 frames built for machines that say what they like (ITU-T T.30 sections 5.3.6 and 5.3.6.2, Table 2).

Frames are in the order of `foip.t30_frames`: address, control, facsimile control field, information; no FCS, which
T.38 carries as a field type. Nothing is checked: reserved values and bad lengths are what these machines are for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from faxgw.foip import t30_frames as t30

FINAL: Final = 0x13
"""Control octet of the last frame of a burst; others have 0x03 (T.30 section 5.3.5)."""
MORE: Final = 0x03
RECEIVED_DIS: Final = 0x01
"""Low bit of the facsimile control field in what the side says that has received a valid DIS (section 5.3.6.1)."""

POLLING: Final = 9
"""Bit 9: holds a document to be polled."""
RECEIVES: Final = 10
"""Bit 10: can receive."""
FINE: Final = 15
"""Bit 15: 204 × 196."""
MR: Final = 16
B4: Final = 17
A3: Final = 18
"""Bits 17 and 18 together are reserved."""
ANY_LENGTH: Final = 20
EXTEND: Final = (24, 32, 40, 48, 56, 64)
"""Bits that say that another octet follows."""
ECM: Final = 27
OCTETS_64: Final = 28
"""Bit 28 of a DCS: ECM frames of 64 octets."""
MMR: Final = 31
SUPERFINE: Final = 41
INCH_300: Final = 42
SELECTIVE_POLLING: Final = 47
SUB_ADDRESS: Final = 49
PASSWORD: Final = 50
"""Bit 50: takes PWD (DIS: SID, section 5.3.6.2)."""
V27TER: Final = (12,)
V29: Final = (11,)
V29_V27TER: Final = (11, 12)
V17: Final = (11, 12, 14)
"""Bits 11 to 14 of a DIS."""
V33: Final = (11, 12, 13)
DCS_RATES: Final = {
    "V.27ter 2400": (),
    "V.27ter 4800": (12,),
    "V.29 9600": (11,),
    "V.29 7200": (11, 12),
    "V.17 14400": (14,),
    "V.17 12000": (12, 14),
    "V.17 9600": (11, 14),
    "V.17 7200": (11, 12, 14),
}
"""Bits 11 to 14 of a DCS."""

CTC: Final = 0x12
CTR: Final = 0xC4
ERR: Final = 0x1C
PRI_MPS: Final = 0x5E
PRI_EOP: Final = 0x3E
SUB: Final = 0xC2
SID: Final = 0xA2
PWD: Final = 0xC1
SEP: Final = 0xA1
CIG: Final = 0x41


def frame(code: int, information: bytes = b"", *, final: bool = True) -> bytes:
    """Any frame."""
    return bytes((t30.ADDRESS, FINAL if final else MORE, code)) + information


def bits(code: int, numbers: Iterable[int], octets: int = 3, *, final: bool = True) -> bytes:
    """A DIS, DTC or DCS with these bits set (numbered as in Table 2, from 1), as long as they need.

    Args:
        code: Facsimile control field.
        numbers: The bits; those that say that another octet follows are added.
        octets: Octets of information at least.
        final: Whether it ends the burst.
    """
    wanted = set(numbers)
    size = max([octets, *((number + 7) // 8 for number in wanted)])
    wanted |= {8 * octet for octet in range(3, size)}
    information = bytearray(size)
    for number in wanted:
        information[(number - 1) // 8] |= 1 << (number - 1) % 8
    return frame(code, bytes(information), final=final)


def dis(*numbers: int) -> bytes:
    """A DIS with these bits."""
    return bits(t30.DIS, numbers)


def dcs(rate: str, *numbers: int) -> bytes:
    """A DCS for this rate (a key of DCS_RATES) with these further bits."""
    return bits(t30.DCS | RECEIVED_DIS, (RECEIVES, *DCS_RATES[rate], *numbers))


def ident(code: int, text: str | bytes) -> bytes:
    """CSI, TSI and their like: 20 characters, last one first (section 5.3.6.2.4); octets are sent as they are."""
    if isinstance(text, bytes):
        return frame(code, text, final=False)
    return frame(code, text.encode("latin-1").ljust(20)[::-1], final=False)


def post_page(code: int) -> bytes:
    """MPS, EOM, EOP and their like, from the side that has received a DIS."""
    return frame(code | RECEIVED_DIS)


def pps(second: int, page: int, block: int, frames: int) -> bytes:
    """Partial page signal (ITU-T T.30 Annex A.4.3): `second` is 0 for PPS-NULL; `frames` 1 to 256 in the block."""
    return frame(
        t30.PPS | RECEIVED_DIS,
        bytes((second | RECEIVED_DIS if second else 0, page & 0xFF, block & 0xFF, (frames - 1) & 0xFF)),
    )


def ppr(missing: Iterable[int]) -> bytes:
    """Partial page request: a bit per frame, set for those to be sent again (Annex A.4.4)."""
    bitmap = bytearray(32)
    for number in missing:
        bitmap[number // 8] |= 1 << number % 8
    return frame(t30.PPR, bytes(bitmap))


def fcd(number: int, data: bytes) -> bytes:
    """Facsimile coded data (Annex A.3.2); `data` has its first bit on the line as the least significant."""
    return bytes((t30.ADDRESS, MORE, t30.FCD, number & 0xFF)) + data


def rcp() -> bytes:
    """Return to control for a partial page; sent three times."""
    return bytes((t30.ADDRESS, MORE, t30.RCP))


def bit(octets: bytes, number: int) -> bool:
    """Bit `number` of a DIS, DTC or DCS."""
    at = 3 + (number - 1) // 8
    return at < len(octets) and bool(octets[at] >> (number - 1) % 8 & 1)
