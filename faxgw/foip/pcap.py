"""A recording as a capture file for Wireshark: classic pcap with raw IP packets that carry UDP.

The format is that of draft-ietf-opsawg-pcap (magic 0xa1b2c3d4, microseconds), link type RAW (101): each packet begins
with its IPv4 or IPv6 header (RFC 791, RFC 8200). Addresses are those of the session descriptions; nothing below UDP
was ever seen here, so identification, hop limit and the like are made up.
"""

from __future__ import annotations

import ipaddress
import struct
from typing import Final

from faxgw.foip.recording import Address, Entry, Medium, Recording

LINK_TYPE: Final = 101
"""LINKTYPE_RAW."""
_MAGIC: Final = 0xA1B2C3D4
_HOPS: Final = 64
_UDP: Final = 17
"""Protocol number (RFC 768)."""
_LATEST: Final = 2.0**32 - 1
"""Unix seconds at most."""
_MAX_PAYLOAD: Final = 65_000
"""Octets that fit an IPv4 packet with room for its headers."""


def to_pcap(recording: Recording) -> bytes:
    """The capture file."""
    head = recording.header
    addresses = {Medium.SIP: head.sip, Medium.RTP: head.rtp, Medium.UDPTL: head.udptl}
    parts = [struct.pack(">IHHiIII", _MAGIC, 2, 4, 0, 0, 65_535, LINK_TYPE)]
    for number, entry in enumerate(recording.entries):
        ours, theirs = addresses[entry.medium]
        packet = _packet(entry, *((ours, theirs) if entry.ours else (theirs, ours)), number)
        at = min(max(0.0, head.wall + entry.at - head.began), _LATEST)
        seconds, rest = divmod(round(at * 1_000_000), 1_000_000)
        parts += [struct.pack(">IIII", seconds, rest, len(packet), len(packet)), packet]
    return b"".join(parts)


def _packet(entry: Entry, source: Address, destination: Address, number: int) -> bytes:
    payload = entry.octets[:_MAX_PAYLOAD]
    sender, receiver = ipaddress.ip_address(source[0]), ipaddress.ip_address(destination[0])
    if sender.version != receiver.version:
        sender, receiver = _in_six(sender), _in_six(receiver)
    size = 8 + len(payload)
    pseudo = sender.packed + receiver.packed + struct.pack(">HH", _UDP, size)
    bare = struct.pack(">HHHH", source[1], destination[1], size, 0)
    checked = struct.pack(">HHHH", source[1], destination[1], size, _sum(pseudo + bare + payload) or 0xFFFF)
    if sender.version == 6:
        return struct.pack(">IHBB", 6 << 28, size, _UDP, _HOPS) + sender.packed + receiver.packed + checked + payload
    fields = (0x45, 0, 20 + size, number & 0xFFFF, 0, _HOPS, _UDP)
    unchecked = struct.pack(">BBHHHBBH", *fields, 0) + sender.packed + receiver.packed
    header = struct.pack(">BBHHHBBH", *fields, _sum(unchecked)) + sender.packed + receiver.packed
    return header + checked + payload


def _in_six(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv6Address:
    """An IPv4 address as IPv6 has it (RFC 4291 section 2.5.5.2)."""
    return address if address.version == 6 else ipaddress.IPv6Address(f"::ffff:{address}")


def _sum(octets: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    padded = octets + b"\0" * (len(octets) & 1)
    total: int = sum(struct.unpack(f">{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
