"""A recorded call as octets: SIP messages and media datagrams of both directions with their times.

The file is `MAGIC`, one header record, then entries: SIP messages first, media as the call worker wrote them. All
numbers are big-endian:

    header   uint32 length, msgpack map (see `Header`)
    entry    float64 time, uint8 what, uint16 length, octets

Times are seconds on the steady clock that `Header.began` is a moment of. The low bit of `what` says that we sent it,
the others which medium. An entry that is cut off ends the file: a call worker may die in the middle of one.
"""

from __future__ import annotations

import enum
import ipaddress
import math
import struct
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Final

import msgpack

from faxgw.foip.errors import LocalProtocolError

MAGIC: Final = b"FAXREC1\n"
MAX_RECORDING: Final = 16 * 1024 * 1024
"""Octets of one call's recording at most: some 40 minutes of T.38 with redundancy, 8 minutes of G.711."""
MAX_DATAGRAM: Final = 65_535
"""Octets of one entry."""
MAX_HEADER: Final = 64 * 1024
"""Octets of the header."""
_LATEST: Final = float(2**32)
"""Unix seconds that a capture file can hold."""
_ENTRY: Final = struct.Struct(">dBH")

Address = tuple[str, int]


class Medium(enum.IntEnum):
    """What an entry is."""

    SIP = 0
    RTP = 1
    UDPTL = 2


@dataclass(frozen=True, slots=True)
class Entry:
    """One datagram."""

    at: float
    """Seconds on the recording's clock."""
    medium: Medium
    ours: bool
    """We sent it."""
    octets: bytes


@dataclass(frozen=True, slots=True)
class Header:
    """What is known of the call."""

    call: str
    """Attempt or received fax."""
    began: float
    """When the INVITE left or came, on the recording's clock."""
    wall: float
    """The same moment in Unix seconds."""
    media_began: float
    """When the call worker began, on the recording's clock."""
    sending: bool
    """We sent the pages."""
    number: str
    """Number dialled."""
    caller: str
    trunk: str
    station_id: str
    payload_type: int
    """Of the audio that we began with."""
    sip: tuple[Address, Address]
    """Our address for SIP, and theirs."""
    rtp: tuple[Address, Address]
    """Our address for audio, and theirs, as far as it is known; port 9 stands for an unknown one."""
    udptl: tuple[Address, Address]
    """The same for T.38."""
    pages: int = 0
    """Pages that were to be sent."""
    ecm: bool = True
    modems: int = 7
    complete: bool = True
    """False when MAX_RECORDING cut it off."""


@dataclass(frozen=True, slots=True)
class Recording:
    """One call."""

    header: Header
    entries: tuple[Entry, ...]
    """In the order of time."""


def encode_entry(at: float, medium: Medium, *, ours: bool, octets: bytes) -> bytes:
    """One entry's octets.

    Raises:
        LocalProtocolError: If there are more than MAX_DATAGRAM octets.
    """
    if len(octets) > MAX_DATAGRAM:
        raise LocalProtocolError(f"{len(octets)} octets in one entry")
    return _ENTRY.pack(at, medium << 1 | ours, len(octets)) + octets


def decode_entries(octets: bytes) -> list[Entry]:
    """The entries, as far as they are whole and known."""
    found, place = [], 0
    while place + _ENTRY.size <= len(octets):
        at, what, size = _ENTRY.unpack_from(octets, place)
        place += _ENTRY.size
        if place + size > len(octets) or what >> 1 > max(Medium) or not math.isfinite(at):
            break
        found.append(Entry(at, Medium(what >> 1), bool(what & 1), octets[place : place + size]))
        place += size
    return found


def encode(header: Header, entries: Iterable[Entry]) -> bytes:
    """The file of a recording; entries are put in the order of time."""
    described = msgpack.packb(asdict(header), use_bin_type=True)
    ordered = sorted(entries, key=lambda entry: entry.at)
    body = (encode_entry(e.at, e.medium, ours=e.ours, octets=e.octets) for e in ordered)
    return b"".join([MAGIC, len(described).to_bytes(4, "big"), described, *body])


def decode(octets: bytes) -> Recording:
    """Read a file.

    Raises:
        LocalProtocolError: If it is no recording.
    """
    start = len(MAGIC) + 4
    size = int.from_bytes(octets[len(MAGIC) : start], "big")
    if not octets.startswith(MAGIC) or size > MAX_HEADER:
        raise LocalProtocolError("no recording of a call")
    try:
        values = dict(msgpack.unpackb(octets[start : start + size], raw=False, use_list=False))
        for name in ("sip", "rtp", "udptl"):
            ours, theirs = values[name]
            values[name] = (_address(*ours), _address(*theirs))
        for name in ("began", "wall", "media_began"):
            values[name] = float(values[name])
        header = Header(**values)
    except (ValueError, TypeError, KeyError) as exc:
        raise LocalProtocolError(f"no recording of a call: {exc}") from exc
    if not 0 <= header.wall < _LATEST or not math.isfinite(header.began):
        raise LocalProtocolError("no recording of a call: its time")
    entries = sorted(decode_entries(octets[start + size :]), key=lambda entry: entry.at)
    return Recording(header, tuple(entries))


def _address(host: str, port: int) -> Address:
    """An address as it must be.

    Raises:
        ValueError: If it is none.
    """
    if not 0 <= port <= 65_535:
        raise ValueError(f"port {port}")
    return str(ipaddress.ip_address(host)), port
