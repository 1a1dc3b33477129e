"""IFP packets of T.38 version 0: indicators and data (ITU-T T.38 sections 7.2 to 7.4, ASN.1 of Annex A).

Version 0 is the ASN.1 of 1998, the only one we negotiate: its field type has three bits and no extension, so two
fields without data share an octet.
Indicators and data types of later versions are read, for the trace. Octets of HDLC data stand as on the line,
first bit first (most significant); `t30_frames.from_line` turns them into frames.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from faxgw.foip.errors import LocalProtocolError, RemoteProtocolError


class Indicator(enum.IntEnum):
    """T30-indicator (T.38 section 7.3.1). Values from 16 are extensions of version 3."""

    NO_SIGNAL = 0
    CNG = 1
    CED = 2
    V21_PREAMBLE = 3
    V27TER_2400_TRAINING = 4
    V27TER_4800_TRAINING = 5
    V29_7200_TRAINING = 6
    V29_9600_TRAINING = 7
    V17_7200_SHORT_TRAINING = 8
    V17_7200_LONG_TRAINING = 9
    V17_9600_SHORT_TRAINING = 10
    V17_9600_LONG_TRAINING = 11
    V17_12000_SHORT_TRAINING = 12
    V17_12000_LONG_TRAINING = 13
    V17_14400_SHORT_TRAINING = 14
    V17_14400_LONG_TRAINING = 15
    V8_ANSAM = 16
    V8_SIGNAL = 17
    V34_CONTROL_CHANNEL_1200 = 18
    V34_PRIMARY_CHANNEL = 19
    V34_CONTROL_CHANNEL_RETRAIN = 20
    V33_12000_TRAINING = 21
    V33_14400_TRAINING = 22


class DataType(enum.IntEnum):
    """T30-data: the modem that carries the fields (T.38 section 7.3.2). Values from 9 are extensions."""

    V21 = 0
    V27TER_2400 = 1
    V27TER_4800 = 2
    V29_7200 = 3
    V29_9600 = 4
    V17_7200 = 5
    V17_9600 = 6
    V17_12000 = 7
    V17_14400 = 8
    V8 = 9
    V34_PRIMARY_RATE = 10
    V34_CONTROL_1200 = 11
    V34_PRIMARY_CHANNEL = 12
    V33_12000 = 13
    V33_14400 = 14


class FieldType(enum.IntEnum):
    """What a data field is (T.38 section 7.4)."""

    HDLC_DATA = 0
    HDLC_SIG_END = 1
    HDLC_FCS_OK = 2
    HDLC_FCS_BAD = 3
    HDLC_FCS_OK_SIG_END = 4
    HDLC_FCS_BAD_SIG_END = 5
    T4_NON_ECM_DATA = 6
    T4_NON_ECM_SIG_END = 7


FRAME_ENDS: Final = frozenset(
    {
        FieldType.HDLC_FCS_OK,
        FieldType.HDLC_FCS_BAD,
        FieldType.HDLC_FCS_OK_SIG_END,
        FieldType.HDLC_FCS_BAD_SIG_END,
    }
)
"""Field types that end an HDLC frame."""
_FIRST_EXTENSION_INDICATOR: Final = 16
_FIRST_EXTENSION_DATA: Final = 9


@dataclass(frozen=True, slots=True)
class Field:
    """One data field."""

    type: FieldType
    data: bytes = b""
    """Up to 65,536 octets; empty for a field without data."""


@dataclass(frozen=True, slots=True)
class Data:
    """A t30-data packet."""

    type: DataType
    fields: tuple[Field, ...] = ()


Packet = Indicator | Data
"""What an IFP packet says."""


def encode(packet: Packet) -> bytes:
    """The octets of a packet (aligned PER).

    Raises:
        LocalProtocolError: If a field is too long or there are too many.
    """
    if isinstance(packet, Indicator):
        return _choice(0x00, packet, _FIRST_EXTENSION_INDICATOR)
    if not packet.fields:
        return _choice(0x40, packet.type, _FIRST_EXTENSION_DATA)
    if len(packet.fields) > 0x7F:
        raise LocalProtocolError(f"{len(packet.fields)} fields in an IFP packet")
    octets = bytearray(_choice(0xC0, packet.type, _FIRST_EXTENSION_DATA))
    octets.append(len(packet.fields))
    half = False  # True while the last octet's low half is free
    for field in packet.fields:
        nibble = (8 if field.data else 0) | field.type
        if half:
            octets[-1] |= nibble
        else:
            octets.append(nibble << 4)
        half = not half and not field.data
        if field.data:
            if len(field.data) > 0x10000:
                raise LocalProtocolError(f"IFP field of {len(field.data)} octets")
            octets += (len(field.data) - 1).to_bytes(2, "big") + field.data
    return bytes(octets)


def _choice(base: int, value: int, first_extension: int) -> bytes:
    if value < first_extension:
        return bytes((base | value << 1,))
    extension = value - first_extension
    return bytes((base | 0x20 | extension >> 2, (extension & 3) << 6))


def decode(octets: bytes) -> Packet:
    """Read one packet; octets after its end are ignored (parity FEC pads with zeros).

    Raises:
        RemoteProtocolError: If it is cut off or uses an unknown value.
    """
    return decode_prefix(octets)[0]


def decode_prefix(octets: bytes) -> tuple[Packet, int]:
    """As `decode`, with the number of octets the packet takes."""
    try:
        return _decode(octets)
    except IndexError:
        raise RemoteProtocolError("IFP packet is cut off") from None
    except ValueError as exc:
        raise RemoteProtocolError(f"IFP packet with an unknown value: {exc}") from None


def _decode(octets: bytes) -> tuple[Packet, int]:
    first = octets[0]
    has_data, is_data, extended = first & 0x80, first & 0x40, first & 0x20
    if extended:
        value = (first & 0x0F) << 2 | octets[1] >> 6
        value += _FIRST_EXTENSION_DATA if is_data else _FIRST_EXTENSION_INDICATOR
        at = 2
    else:
        value = first >> 1 & 0x0F
        at = 1
    if not is_data:
        return Indicator(value), at
    if not has_data:
        return Data(DataType(value)), at
    fields, at = _decode_fields(octets, at)
    return Data(DataType(value), fields), at


def _decode_fields(octets: bytes, at: int) -> tuple[tuple[Field, ...], int]:
    count = octets[at]
    at += 1
    if count > 0x7F:
        raise RemoteProtocolError("IFP packet with too many fields")
    fields = []
    half = False  # True while the low half of octets[at] holds the next field's head
    for _ in range(count):
        nibble = octets[at] & 0x0F if half else octets[at] >> 4
        kind = FieldType(nibble & 7)
        if not nibble & 8:
            at += half
            half = not half
            fields.append(Field(kind))
            continue
        half = False
        size = (octets[at + 1] << 8 | octets[at + 2]) + 1
        at += 3
        if at + size > len(octets):
            raise RemoteProtocolError("IFP field is cut off")
        fields.append(Field(kind, octets[at : at + size]))
        at += size
    return tuple(fields), at + half


def describe(packet: Packet) -> str:
    """One line for a trace, such as `V21 HDLC_DATA(3) HDLC_FCS_OK`."""
    if isinstance(packet, Indicator):
        return f"indicator {packet.name}"
    parts = [f"{field.type.name}({len(field.data)})" if field.data else field.type.name for field in packet.fields]
    return " ".join([packet.type.name, *parts])
