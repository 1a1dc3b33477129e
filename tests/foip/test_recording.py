"""The recording format: what is written comes back, cut off or damaged files end where they must."""

from __future__ import annotations

import random

import pytest

from faxgw.foip import recording
from faxgw.foip.errors import LocalProtocolError
from faxgw.foip.pcap import to_pcap
from faxgw.foip.recording import Entry, Header, Medium

HEADER = Header(
    "att_1", 100.0, 1_795_000_000.0, 101.5, True, "+33199000001", "+33199000002", "t", "+33 1", 8,
    (("192.0.2.1", 5060), ("192.0.2.2", 5060)), (("192.0.2.1", 20000), ("192.0.2.2", 4000)),
    (("192.0.2.1", 20002), ("192.0.2.2", 4002)), 3,
)  # fmt: skip
ENTRIES = [
    Entry(100.0, Medium.SIP, True, b"INVITE"),
    Entry(101.5, Medium.RTP, False, b"\x80" * 172),
    Entry(103.0, Medium.UDPTL, True, b""),
    Entry(103.0, Medium.UDPTL, False, bytes(range(256))),
]


def test_a_recording_comes_back_as_it_was_written() -> None:
    read = recording.decode(recording.encode(HEADER, ENTRIES))
    assert read.header == HEADER
    assert list(read.entries) == ENTRIES


def test_media_written_behind_the_signalling_come_back_in_the_order_of_time() -> None:
    """The daemon writes SIP, the worker's octets follow as they are."""
    media = b"".join(recording.encode_entry(e.at, e.medium, ours=e.ours, octets=e.octets) for e in ENTRIES[1:3])
    said = [ENTRIES[0], Entry(102.0, Medium.SIP, False, b"SIP/2.0 200 OK")]
    read = recording.decode(recording.encode(HEADER, said) + media)
    assert [entry.at for entry in read.entries] == [100.0, 101.5, 102.0, 103.0]


@pytest.mark.parametrize("cut", range(1, 40))
def test_an_entry_that_is_cut_off_ends_the_recording(cut: int) -> None:
    """A worker may be killed in the middle of a write."""
    whole = recording.encode(HEADER, ENTRIES)
    assert list(recording.decode(whole[:-cut]).entries) == ENTRIES[:-1]


def test_an_unknown_medium_ends_the_recording() -> None:
    octets = recording.encode(HEADER, ENTRIES[:1]) + b"\0" * 8 + b"\x0e\0\0" + b"\0" * 30
    assert list(recording.decode(octets).entries) == ENTRIES[:1]


@pytest.mark.parametrize(
    "octets",
    [b"", b"FAXREC", b"nothing of the kind", recording.MAGIC, recording.MAGIC + b"\xff" * 8,
     recording.MAGIC + b"\0\0\0\x01\x80", recording.MAGIC + b"\0\0\0\x01\xc1", recording.MAGIC + b"\0\0\0\x01\x07"],
)  # fmt: skip
def test_what_is_no_recording_is_refused(octets: bytes) -> None:
    with pytest.raises(LocalProtocolError):
        recording.decode(octets)


def test_a_damaged_recording_is_read_or_refused() -> None:
    chance = random.Random(4)
    whole = recording.encode(HEADER, ENTRIES)
    for _ in range(2000):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            to_pcap(recording.decode(bytes(damaged)))
        except LocalProtocolError:
            continue


def test_no_entry_is_longer_than_its_length_field_can_say() -> None:
    with pytest.raises(LocalProtocolError):
        recording.encode_entry(1.0, Medium.RTP, ours=True, octets=bytes(recording.MAX_DATAGRAM + 1))
