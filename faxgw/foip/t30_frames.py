"""T.30 frames by name and in words, for traces and for the gates (ITU-T T.30 section 5.3, Table 2).

A frame is `address (0xFF) | control | facsimile control field | information`, without FCS. Octets stand as an HDLC
receiver stores them: the first bit on the line is the least significant. T.38 carries the same octets with the bits
reversed; `from_line` and `to_line` convert. In T.30's tables bit 1 of the information field is the least
significant bit of the first octet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ADDRESS: Final = 0xFF
"""First octet of every frame (T.30 section 5.3.4)."""
DIS: Final = 0x80
CSI: Final = 0x40
NSF: Final = 0x20
DTC: Final = 0x81
DCS: Final = 0x82
TSI: Final = 0x42
CFR: Final = 0x84
FTT: Final = 0x44
EOM: Final = 0x8E
MPS: Final = 0x4E
EOP: Final = 0x2E
PPS: Final = 0xBE
EOR: Final = 0xCE
RR: Final = 0x6E
MCF: Final = 0x8C
RTP: Final = 0xCC
RTN: Final = 0x4C
PIP: Final = 0xAC
PIN: Final = 0x2C
PPR: Final = 0xBC
RNR: Final = 0xEC
DCN: Final = 0xFA
CRP: Final = 0x1A
FCD: Final = 0x06
RCP: Final = 0x86

POST_PAGE_COMMANDS: Final = frozenset({EOM, MPS, EOP, PPS})
"""Commands that end a page or a partial page, low bit cleared."""
CONFIRMATIONS: Final = frozenset({MCF, RTP, PIP})
"""Answers that confirm it (T.30 section 5.3.6.1.7), low bit cleared."""

_INITIAL: Final = {
    DIS: "DIS", CSI: "CSI", NSF: "NSF", DTC: "DTC", 0x41: "CIG", 0x21: "NSC", 0xC1: "PWD", 0xA1: "SEP", 0x61: "PSA",
    0xE1: "CIA", 0x11: "ISP", 0x24: "CSA",
}  # fmt: skip
"""Frames whose low bit is part of the name."""
_NAMES: Final = {
    DCS: "DCS", TSI: "TSI", 0x22: "NSS", 0xC2: "SUB", 0xA2: "SID", 0x12: "CTC", 0x62: "TSA", 0xE2: "IRA",
    CFR: "CFR", FTT: "FTT", 0xC4: "CTR",
    EOM: "EOM", MPS: "MPS", EOP: "EOP", 0x9E: "PRI-EOM", 0x5E: "PRI-MPS", 0x3E: "PRI-EOP", 0x1E: "EOS", PPS: "PPS",
    EOR: "EOR", RR: "RR",
    MCF: "MCF", RTP: "RTP", RTN: "RTN", PIP: "PIP", PIN: "PIN", PPR: "PPR", RNR: "RNR", 0x1C: "ERR", 0xFC: "FDM",
    DCN: "DCN", CRP: "CRP", 0xCA: "FNV", 0xEA: "TNR", 0x6A: "TR", 0x6C: "PID",
    FCD: "FCD", RCP: "RCP",
}  # fmt: skip
"""Frames whose low bit says who received a valid DIS (T.30 section 5.3.6.1); it is cleared for the look-up."""
_REVERSED: Final = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))
_IDENTS: Final = frozenset({CSI, TSI, 0x41, 0x61, 0xA1, 0xC1, 0xC2, 0xA2})


def from_line(octets: bytes) -> bytes:
    """A frame's octets from T.38's bit order."""
    return octets.translate(_REVERSED)


def to_line(frame: bytes) -> bytes:
    """A frame's octets in T.38's bit order."""
    return frame.translate(_REVERSED)


def fcf(frame: bytes) -> int:
    """The facsimile control field with its low bit cleared where that bit is no part of the name; 0 if absent."""
    if len(frame) < 3:
        return 0
    octet = frame[2]
    return octet if octet in _INITIAL else octet & 0xFE


def name(frame: bytes) -> str:
    """The frame's name: `DIS`, `MCF`, `PPS-EOP`, or the octet in hexadecimal."""
    if len(frame) < 3:
        return "short frame"
    code = fcf(frame)
    text = _INITIAL.get(code) or _NAMES.get(code) or f"0x{frame[2]:02x}"
    if code in (PPS, EOR) and len(frame) > 3:
        second = frame[3]
        text += "-NULL" if second == 0 else "-" + _NAMES.get(second & 0xFE, f"0x{second:02x}")
    return text


def ident(frame: bytes) -> str:
    """The identification in CSI, TSI and their like (T.30 section 5.3.6.2.4): sent last character first."""
    return "".join(c for c in frame[3:23][::-1].decode("latin-1") if c.isprintable()).strip()


_DIS_RATES: Final = {
    0b0000: "V.27ter 2400",
    0b0010: "V.27ter",
    0b0001: "V.29",
    0b0011: "V.27ter, V.29",
    0b0111: "V.27ter, V.29, V.33",
    0b1011: "V.27ter, V.29, V.17",
}
"""Bits 11 to 14 as bits 0 to 3 of the key."""
_DCS_RATES: Final = {
    0b0000: ("V.27ter", 2400),
    0b0010: ("V.27ter", 4800),
    0b0001: ("V.29", 9600),
    0b0011: ("V.29", 7200),
    0b1000: ("V.17", 14400),
    0b1010: ("V.17", 12000),
    0b1001: ("V.17", 9600),
    0b1011: ("V.17", 7200),
    0b0100: ("V.33", 14400),
    0b0110: ("V.33", 12000),
}
_WIDTHS: Final = {0: "A4 wide", 1: "B4 wide", 2: "A3 wide"}
_LENGTHS: Final = {0: "A4 long", 1: "B4 long", 2: "any length"}


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a DIS or DTC offers, or a DCS decides (T.30 Table 2)."""

    receives: bool
    """Bit 10: can receive a fax (DIS), will receive (DCS)."""
    can_poll: bool
    """Bit 9 of a DIS: holds a document to be polled."""
    modems: str
    """Modulations offered, or the one chosen."""
    bit_rate: int
    """The rate a DCS chose; 0 for a DIS."""
    resolutions: tuple[str, ...]
    codings: tuple[str, ...]
    ecm: bool
    width: str
    length: str
    t38: bool
    """Bit 123: internet-aware."""
    sub_address: bool = False
    """Bit 49: takes a SUB (DIS), one has been sent (DCS)."""


def capabilities(frame: bytes) -> Capabilities | None:
    """The meaning of a DIS, DTC or DCS; None for other frames and for one without bits 1 to 24."""
    code = fcf(frame)
    if code not in (DIS, DTC, DCS) or len(frame) < 6:
        return None
    rate = frame[4] >> 2 & 0x0F
    modulation, bit_rate = _DCS_RATES.get(rate, ("unknown", 0))
    return Capabilities(
        receives=_bit(frame, 10),
        can_poll=code != DCS and _bit(frame, 9),
        modems=modulation if code == DCS else _DIS_RATES.get(rate, "unknown"),
        bit_rate=bit_rate if code == DCS else 0,
        resolutions=_resolutions(frame, code == DCS),
        codings=_codings(frame, code == DCS),
        ecm=_bit(frame, 27),
        width=_WIDTHS.get(frame[5] & 3, "invalid width"),
        length=_LENGTHS.get(frame[5] >> 2 & 3, "invalid length"),
        t38=_bit(frame, 123),
        sub_address=_bit(frame, 49),
    )


def _bit(frame: bytes, number: int) -> bool:
    at = 3 + (number - 1) // 8
    return at < len(frame) and bool(frame[at] >> (number - 1) % 8 & 1)


def _resolutions(frame: bytes, chosen: bool) -> tuple[str, ...]:
    found = [
        text
        for number, text in ((15, "204x196"), (41, "204x391"), (42, "300x300"), (43, "408x391"), (105, "600x600"))
        if _bit(frame, number)
    ]
    if chosen:
        return tuple(found[-1:]) or ("204x98",)
    return ("204x98", *found)


def _codings(frame: bytes, chosen: bool) -> tuple[str, ...]:
    found = [text for number, text in ((16, "MR"), (31, "MMR"), (78, "JBIG")) if _bit(frame, number)]
    if chosen:
        return tuple(found[-1:]) or ("MH",)
    return ("MH", *found)


def describe(frame: bytes) -> str:
    """The frame in one line: its name, and in words what it carries."""
    text = name(frame)
    if fcf(frame) in _IDENTS:
        return f'{text} "{ident(frame)}"'
    meaning = capabilities(frame)
    if meaning is None:
        return text
    parts = [meaning.modems]
    if meaning.bit_rate:
        parts.append(f"{meaning.bit_rate} bit/s")
    parts += ["/".join(meaning.resolutions), "/".join(meaning.codings), "ECM" if meaning.ecm else "no ECM"]
    parts += [meaning.width, meaning.length]
    if fcf(frame) == DIS and not meaning.receives:
        parts.append("cannot receive")
    return f"{text} {', '.join(parts)}"
