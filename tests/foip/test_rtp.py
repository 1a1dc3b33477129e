"""RTP packets and the jitter buffer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faxgw.foip.errors import RemoteProtocolError
from faxgw.foip.rtp import PCMA, JitterBuffer, Packet, Sender, decode, encode


def audio(number: int, ssrc: int = 7) -> Packet:
    return Packet(PCMA, number % 65536, 160 * number % 2**32, ssrc, bytes((number % 256,)) * 160)


def drain(buffer: JitterBuffer, times: int) -> list[int | None]:
    got = [buffer.get() for _ in range(times)]
    return [None if packet is None else packet.sequence for packet in got]


@given(
    st.builds(
        Packet,
        st.integers(0, 127),
        st.integers(0, 65535),
        st.integers(0, 2**32 - 1),
        st.integers(0, 2**32 - 1),
        st.binary(max_size=400),
        st.booleans(),
    )
)
def test_every_packet_survives_the_round_trip(packet: Packet) -> None:
    assert decode(encode(packet)) == packet


@given(st.binary(max_size=60))
def test_garbage_is_read_or_refused(octets: bytes) -> None:
    try:
        decode(octets)
    except RemoteProtocolError:
        return


def test_padding_extension_and_sources_are_skipped() -> None:
    """RFC 3550 section 5.1."""
    head = bytes.fromhex("b1 08 0001 00000002 00000003".replace(" ", ""))
    octets = head + bytes(4) + bytes.fromhex("beef0001") + bytes(4) + b"abc" + b"\0\0\3"
    assert decode(octets).payload == b"abc"


@pytest.mark.parametrize(
    "octets",
    ["", "80080001", "40080001 00000002 00000003", "90080001 00000002 00000003", "a0080001 00000002 00000003 00"],
)
def test_broken_packets_are_refused(octets: str) -> None:
    with pytest.raises(RemoteProtocolError):
        decode(bytes.fromhex(octets))


def test_the_sender_counts_and_stamps() -> None:
    sender = Sender(PCMA, 9, 65535, 2**32 - 160)
    first, second = decode(sender.send(bytes(160))), decode(sender.send(bytes(160)))
    assert (first.sequence, first.timestamp, first.marker) == (65535, 2**32 - 160, True)
    assert (second.sequence, second.timestamp, second.marker) == (0, 0, False)


def test_audio_comes_out_in_order_across_the_wrap() -> None:
    buffer = JitterBuffer()
    for number in (65534, 65536, 65535, 65537):
        buffer.put(audio(number))
    assert drain(buffer, 5) == [65534, 65535, 0, 1, None]


def test_the_first_look_waits_for_two_packets() -> None:
    buffer = JitterBuffer()
    assert drain(buffer, 1) == [None]
    buffer.put(audio(5))
    assert drain(buffer, 1) == [None]
    buffer.put(audio(4))
    assert drain(buffer, 2) == [4, 5]
    assert buffer.lost == 0


def test_a_hole_is_a_loss_and_a_dry_buffer_is_not() -> None:
    buffer = JitterBuffer()
    for number in (1, 2, 4):
        buffer.put(audio(number))
    assert drain(buffer, 4) == [1, 2, None, 4]
    assert buffer.lost == 1
    assert drain(buffer, 3) == [None] * 3
    assert buffer.lost == 1
    buffer.put(audio(5))
    buffer.put(audio(6))
    assert drain(buffer, 2) == [5, 6]


def test_a_late_packet_and_a_duplicate_are_dropped() -> None:
    buffer = JitterBuffer()
    for number in (1, 2, 3):
        buffer.put(audio(number))
    assert drain(buffer, 2) == [1, 2]
    buffer.put(audio(1))
    buffer.put(audio(3))
    assert drain(buffer, 2) == [3, None]


def test_a_fast_sender_does_not_grow_the_delay() -> None:
    buffer = JitterBuffer()
    for number in range(90):
        buffer.put(audio(number))
    assert drain(buffer, 1)[0] == 90 - JitterBuffer.MAX_DEPTH


def test_what_comes_at_once_after_a_stall_of_a_second_is_kept() -> None:
    buffer = JitterBuffer()
    for number in range(JitterBuffer.MAX_DEPTH):
        buffer.put(audio(number))
    assert drain(buffer, JitterBuffer.MAX_DEPTH) == list(range(JitterBuffer.MAX_DEPTH))
    assert buffer.lost == 0


def test_a_new_source_starts_anew() -> None:
    buffer = JitterBuffer()
    for number in (1, 2):
        buffer.put(audio(number))
    for number in (40000, 40001):
        buffer.put(audio(number, ssrc=8))
    assert drain(buffer, 2) == [40000, 40001]


def test_a_jump_of_the_sequence_is_followed_after_a_while() -> None:
    buffer = JitterBuffer()
    for number in (1, 2):
        buffer.put(audio(number))
    for number in range(9000, 9000 + JitterBuffer.RESET_AFTER + 1):
        buffer.put(audio(number))
    assert drain(buffer, 1) == [9000 + JitterBuffer.RESET_AFTER - 1]


def test_a_single_stray_of_another_source_changes_nothing() -> None:
    buffer = JitterBuffer()
    for number in range(1, 5):
        buffer.put(audio(number))
        buffer.put(audio(40000 + number, ssrc=number + 100))
    assert drain(buffer, 4) == [1, 2, 3, 4]


def test_what_is_no_audio_takes_its_turn_and_is_no_loss() -> None:
    """Comfort noise and telephone events count in the same sequence (RFC 3389, RFC 4733)."""
    buffer = JitterBuffer()
    buffer.skip(audio(0))
    for number in (1, 2, 4):
        buffer.put(audio(number))
    buffer.skip(Packet(13, 3, 480, 7, b"x"))
    buffer.skip(Packet(13, 5, 800, 99, b"x"))
    assert drain(buffer, 5) == [1, 2, None, 4, None]
    assert buffer.lost == 0


@pytest.mark.parametrize("parts_per_million", [-200, 200])
def test_a_clock_that_differs_for_two_hours_never_grows_the_delay(parts_per_million: int) -> None:
    """Nothing is lost but what the clocks differ by, 1.44 s; the delay stays within the buffer."""
    buffer, sent, played, worst = JitterBuffer(), 0, 0, 0
    for tick in range(2 * 3600 * 50):
        while sent <= tick * (1 + parts_per_million / 1e6):
            buffer.put(audio(sent))
            sent += 1
        played += buffer.get() is not None
        worst = max(worst, buffer.waiting)
    assert worst <= JitterBuffer.MAX_DEPTH + 1
    assert sent - played <= 72 + JitterBuffer.MAX_DEPTH
    assert buffer.lost == 0
