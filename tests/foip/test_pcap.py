"""Captures for Wireshark, read by a reader of the test's own (RFC 768, RFC 791, RFC 8200, RFC 1071)."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from faxgw.foip.pcap import to_pcap
from faxgw.foip.recording import Entry, Medium, Recording
from tests.foip.test_recording import ENTRIES, HEADER


@dataclass(frozen=True)
class Packet:
    at: float
    source: tuple[str, int]
    destination: tuple[str, int]
    payload: bytes


def ones(octets: bytes) -> int:
    """The one's complement sum; 0xffff where a checksum is right."""
    octets += b"\0" * (len(octets) % 2)
    total = sum(int.from_bytes(octets[i : i + 2], "big") for i in range(0, len(octets), 2))
    while total > 0xFFFF:
        total = total % 0x10000 + total // 0x10000
    return total


def packets(capture: bytes) -> Iterator[Packet]:
    magic, major, minor, _zone, _digits, snap, link = struct.unpack_from(">IHHiIII", capture)
    assert (magic, major, minor, snap, link) == (0xA1B2C3D4, 2, 4, 65535, 101)
    place = 24
    while place < len(capture):
        seconds, micros, kept, size = struct.unpack_from(">IIII", capture, place)
        assert kept == size and micros < 1_000_000
        raw = capture[place + 16 : place + 16 + size]
        place += 16 + size
        yield read(seconds + micros / 1e6, raw)
    assert place == len(capture)


def read(at: float, raw: bytes) -> Packet:
    if raw[0] >> 4 == 4:
        assert ones(raw[:20]) == 0xFFFF and struct.unpack_from(">H", raw, 2)[0] == len(raw) and raw[9] == 17
        ends, udp = raw[12:20], raw[20:]
    else:
        assert raw[0] >> 4 == 6 and struct.unpack_from(">H", raw, 4)[0] == len(raw) - 40 and raw[6] == 17
        ends, udp = raw[8:40], raw[40:]
    half = len(ends) // 2
    assert ones(ends + struct.pack(">HH", 17, len(udp)) + udp) == 0xFFFF
    source, destination, size = struct.unpack_from(">HHH", udp)
    assert size == len(udp)
    hosts = [str(ipaddress.ip_address(part)) for part in (ends[:half], ends[half:])]
    return Packet(at, (hosts[0], source), (hosts[1], destination), udp[8:])


def test_every_datagram_is_a_packet_with_its_time_and_its_ends() -> None:
    found = list(packets(to_pcap(Recording(HEADER, tuple(ENTRIES)))))
    assert [packet.payload for packet in found] == [entry.octets for entry in ENTRIES]
    assert [round(packet.at - HEADER.wall, 6) for packet in found] == [0.0, 1.5, 3.0, 3.0]
    assert [(packet.source, packet.destination) for packet in found] == [
        HEADER.sip, HEADER.rtp[::-1], HEADER.udptl, HEADER.udptl[::-1],
    ]  # fmt: skip


@pytest.mark.parametrize("theirs", ["2001:db8::2", "192.0.2.2"])
def test_ipv6_and_a_mixture_make_ipv6_packets(theirs: str) -> None:
    head = replace(HEADER, udptl=(("2001:db8::1", 20002), (theirs, 4002)))
    (packet,) = packets(to_pcap(Recording(head, (ENTRIES[3],))))
    assert packet.destination == ("2001:db8::1", 20002)
    assert packet.source[0] in (theirs, "::ffff:c000:202")


def test_a_datagram_that_no_packet_holds_is_cut() -> None:
    huge = Entry(100.0, Medium.SIP, True, b"x" * 65_535)
    (packet,) = packets(to_pcap(Recording(HEADER, (huge,))))
    assert len(packet.payload) == 65_000


def test_a_checksum_that_comes_out_as_zero_is_sent_as_ones() -> None:
    """RFC 768: zero would say that there is none."""
    sums = set()
    for filler in range(0x10000):
        capture = to_pcap(Recording(HEADER, (Entry(100.0, Medium.RTP, True, filler.to_bytes(2, "big")),)))
        sums.add(capture[24 + 16 + 20 + 6 : 24 + 16 + 20 + 8])
    assert b"\0\0" not in sums and b"\xff\xff" in sums
