"""What a fax modem would say, as timed IFP packets, and IFP packets gathered into what the other modem said.

A transmission keeps the times of the modem it stands for: a second of V.21 preamble, the training of V.17, V.29 or
V.27ter, and the data at its rate (ITU-T T.30 section 5.3.1, ITU-T T.38 section 7). A signal ends with the field that
says so, or with another indicator, whichever comes; peers differ.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from faxgw.foip.ifp import Data, DataType, Field, FieldType, Indicator, Packet
from faxgw.foip.t30_frames import from_line, to_line
from faxgw.simulator.script import Style

PREAMBLE: Final = 1.0
"""Seconds of flags before V.21 frames (T.30 section 5.3.1)."""
V21_RATE: Final = 300.0
CHUNK: Final = 0.04
"""Seconds of image data in one packet."""
TCF_SECONDS: Final = 1.5
"""Zeros of the training check (T.30 section 5.3.6.1.3)."""
MAX_FRAME: Final = 512
"""Octets of one HDLC frame that are kept."""
MAX_DATA: Final = 8 * 1024 * 1024
"""Octets of one signal that are kept."""
MAX_FRAMES: Final = 1024
"""Frames of one signal that are kept; an ECM block has 256 and three RCP."""


@dataclass(frozen=True, slots=True)
class Rate:
    """One modulation at one rate."""

    type: DataType
    bits: int
    """bit/s"""
    long: Indicator
    long_training: float
    """Seconds."""
    short: Indicator
    short_training: float
    """Seconds; V.29 and V.27ter have one training only."""


RATES: Final = {
    "V.27ter 2400": Rate(
        DataType.V27TER_2400, 2400, Indicator.V27TER_2400_TRAINING, 0.943, Indicator.V27TER_2400_TRAINING, 0.943
    ),
    "V.27ter 4800": Rate(
        DataType.V27TER_4800, 4800, Indicator.V27TER_4800_TRAINING, 0.708, Indicator.V27TER_4800_TRAINING, 0.708
    ),
    "V.29 7200": Rate(DataType.V29_7200, 7200, Indicator.V29_7200_TRAINING, 0.253, Indicator.V29_7200_TRAINING, 0.253),
    "V.29 9600": Rate(DataType.V29_9600, 9600, Indicator.V29_9600_TRAINING, 0.253, Indicator.V29_9600_TRAINING, 0.253),
    "V.17 7200": Rate(
        DataType.V17_7200, 7200, Indicator.V17_7200_LONG_TRAINING, 1.393, Indicator.V17_7200_SHORT_TRAINING, 0.142
    ),
    "V.17 9600": Rate(
        DataType.V17_9600, 9600, Indicator.V17_9600_LONG_TRAINING, 1.393, Indicator.V17_9600_SHORT_TRAINING, 0.142
    ),
    "V.17 12000": Rate(
        DataType.V17_12000, 12000, Indicator.V17_12000_LONG_TRAINING, 1.393, Indicator.V17_12000_SHORT_TRAINING, 0.142
    ),
    "V.17 14400": Rate(
        DataType.V17_14400, 14400, Indicator.V17_14400_LONG_TRAINING, 1.393, Indicator.V17_14400_SHORT_TRAINING, 0.142
    ),
}
"""By the names of `frames.DCS_RATES`; training times of T.38 Table 5."""


@dataclass(frozen=True, slots=True)
class Transmission:
    """Packets with their seconds from the beginning."""

    packets: tuple[tuple[float, Packet], ...]
    seconds: float
    """When it is over."""


def tone(indicator: Indicator, seconds: float) -> Transmission:
    """CED or CNG, or silence."""
    return Transmission(((0.0, indicator), (seconds, Indicator.NO_SIGNAL)), seconds)


def v21(frames: Sequence[bytes], *, fcs_ok: bool = True, style: Style = Style.NORMAL) -> Transmission:
    """T.30 frames in one V.21 signal; with `fcs_ok` False the last one is hurt."""
    at = PREAMBLE
    groups: list[tuple[float, tuple[Field, ...]]] = []
    for number, frame in enumerate(frames, start=1):
        end = FieldType.HDLC_FCS_OK
        if number == len(frames):
            end = FieldType.HDLC_FCS_OK_SIG_END if fcs_ok else FieldType.HDLC_FCS_BAD_SIG_END
        groups += _spelled(at, to_line(frame), end, style)
        at += 8 * (len(frame) + 3) / V21_RATE
    if style is Style.ONE_PACKET:
        groups = [(at, tuple(part for _at, group in groups for part in group))]
    packets: list[tuple[float, Packet]] = [(begin, Data(DataType.V21, group)) for begin, group in groups]
    at += CHUNK
    if style is Style.BARE:
        return Transmission(tuple(packets), at)
    return Transmission(((0.0, Indicator.V21_PREAMBLE), *packets, (at, Indicator.NO_SIGNAL)), at)


def _spelled(at: float, octets: bytes, end: FieldType, style: Style) -> list[tuple[float, tuple[Field, ...]]]:
    """One frame as groups of fields, each a packet, with their times; it begins at `at`."""
    over = at + 8 * (len(octets) + 3) / V21_RATE
    data = Field(FieldType.HDLC_DATA, octets)
    match style:
        case Style.ENDLESS:
            return [(over, (data,))]
        case Style.WRONG_FIELDS:
            return [(over, (Field(FieldType.T4_NON_ECM_DATA, octets),))]
        case Style.OCTETS:
            each = [
                (at + 8 * n / V21_RATE, (Field(FieldType.HDLC_DATA, octets[n - 1 : n]),))
                for n in range(1, len(octets) + 1)
            ]
            if end is FieldType.HDLC_FCS_OK:
                return [*each, (over, (Field(end),))]
            fcs = FieldType.HDLC_FCS_OK if end is FieldType.HDLC_FCS_OK_SIG_END else FieldType.HDLC_FCS_BAD
            return [*each, (over, (Field(fcs),)), (over, (Field(FieldType.HDLC_SIG_END),))]
        case _:
            return [(over, (data, Field(end)))]


def stream(rate: Rate, octets: bytes, *, short: bool, chunk: float = CHUNK) -> Transmission:
    """Octets without error correction: TCF, or a page in MH or MR."""
    step = max(1, int(rate.bits * chunk / 8))
    pieces = [octets[at : at + step] for at in range(0, len(octets), step)]
    fields = [(Field(FieldType.T4_NON_ECM_DATA, piece),) for piece in pieces]
    return _image(rate, [*fields, (Field(FieldType.T4_NON_ECM_SIG_END),)], short, chunk)


def tcf(rate: Rate) -> Transmission:
    """The training check."""
    return stream(rate, bytes(int(rate.bits * TCF_SECONDS / 8)), short=False)


def block(rate: Rate, frames: Sequence[bytes], *, short: bool, hurt: Container[int] = ()) -> Transmission:
    """HDLC frames (FCD and RCP) in one image signal, each in a packet of its own; those at `hurt` with a bad FCS."""
    fields = []
    for at, frame in enumerate(frames):
        kind = FieldType.HDLC_FCS_BAD if at in hurt else FieldType.HDLC_FCS_OK
        if at == len(frames) - 1:
            kind = FieldType.HDLC_FCS_OK_SIG_END
        fields.append((Field(FieldType.HDLC_DATA, to_line(frame)), Field(kind)))
    longest = max(len(frame) for frame in frames)
    return _image(rate, fields, short, 8 * (longest + 3) / rate.bits)


def _image(rate: Rate, fields: Iterable[tuple[Field, ...]], short: bool, step: float) -> Transmission:
    indicator, at = (rate.short, rate.short_training) if short else (rate.long, rate.long_training)
    packets: list[tuple[float, Packet]] = [(0.0, indicator)]
    for group in fields:
        at += step
        packets.append((at, Data(rate.type, group)))
    at += CHUNK
    return Transmission((*packets, (at, Indicator.NO_SIGNAL)), at)


@dataclass(slots=True)
class Signal:
    """One signal of the other side, from its beginning to its end."""

    image: bool = False
    """High-speed data; else V.21."""
    training: Indicator | None = None
    frames: list[tuple[bytes, bool]] = field(default_factory=list)
    """HDLC frames and whether their FCS was good."""
    data: bytearray = field(default_factory=bytearray)
    """What came without HDLC."""


class Ear:
    """Gathers packets into signals."""

    def __init__(self) -> None:
        self.signal: Signal | None = None
        """The signal that is coming in."""
        self._frame = bytearray()

    def receive(self, packet: Packet) -> Signal | None:
        """Take a packet; returns the signal it has ended, if it holds anything."""
        if isinstance(packet, Indicator):
            ended = self._end()
            if packet is not Indicator.NO_SIGNAL and packet not in (Indicator.CED, Indicator.CNG):
                self.signal = Signal(packet is not Indicator.V21_PREAMBLE, packet)
            return ended
        if self.signal is None:
            self.signal = Signal()
        self.signal.image = packet.type is not DataType.V21
        over = False
        for part in packet.fields:
            over |= self._take(self.signal, part)
        return self._end() if over else None

    def _take(self, signal: Signal, part: Field) -> bool:
        """One field; True when it ends the signal."""
        match part.type:
            case FieldType.HDLC_DATA:
                self._frame += part.data[: MAX_FRAME - len(self._frame)]
            case FieldType.T4_NON_ECM_DATA | FieldType.T4_NON_ECM_SIG_END:
                signal.data += part.data[: MAX_DATA - len(signal.data)]
            case FieldType.HDLC_SIG_END:
                self._frame.clear()
            case _:
                good = part.type in (FieldType.HDLC_FCS_OK, FieldType.HDLC_FCS_OK_SIG_END)
                if self._frame and len(signal.frames) < MAX_FRAMES:
                    signal.frames.append((from_line(bytes(self._frame)), good))
                self._frame.clear()
        return part.type in (
            FieldType.HDLC_SIG_END,
            FieldType.HDLC_FCS_OK_SIG_END,
            FieldType.HDLC_FCS_BAD_SIG_END,
            FieldType.T4_NON_ECM_SIG_END,
        )

    def _end(self) -> Signal | None:
        signal, self.signal = self.signal, None
        self._frame.clear()
        return signal if signal is not None and (signal.frames or signal.data) else None
