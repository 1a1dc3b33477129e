"""UDPTL: round trips, loss, order, wrap, the peer's limit, and garbage."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faxgw.foip.errors import LocalProtocolError, RemoteProtocolError
from faxgw.foip.udptl import MAX_IFP, RESYNC_AFTER, Datagram, Parity, Receiver, Sender, decode, encode

IFPS = [bytes((n,)) * (1 + n % 7) for n in range(1, 60)]


def numbers(receiver: Receiver, datagrams: list[bytes]) -> list[int]:
    return [number for datagram in datagrams for number, _packet in receiver.receive(datagram)]


@pytest.mark.parametrize(
    ("datagram", "octets"),
    [
        (Datagram(1, b"\x06"), "0001 01 06 00 00"),
        (Datagram(258, b"\x02", (b"\x06", b"")), "0102 01 02 00 02 01 06 00"),
        (Datagram(0, b"x" * 200), "0000 80c8" + "78" * 200 + "00 00"),
        (Datagram(7, b"\x06", (), Parity(3, (b"\x01", b"\x02\x03"))), "0007 01 06 80 01 03 02 01 01 02 02 03"),
    ],
)
def test_datagrams_stand_as_in_the_asn1(datagram: Datagram, octets: str) -> None:
    assert encode(datagram) == bytes.fromhex(octets)
    assert decode(bytes.fromhex(octets)) == datagram


@given(
    st.builds(
        Datagram,
        st.integers(0, 65535),
        st.binary(max_size=300),
        st.lists(st.binary(max_size=300), max_size=32).map(tuple),
    )
)
def test_every_datagram_survives_the_round_trip(datagram: Datagram) -> None:
    assert decode(encode(datagram)) == datagram


@given(st.binary(max_size=200))
def test_garbage_is_read_or_refused(octets: bytes) -> None:
    receiver = Receiver()
    try:
        decode(octets)
        receiver.receive(octets)
    except RemoteProtocolError:
        assert receiver.receive(encode(Datagram(5, b"\x06")))


@pytest.mark.parametrize(
    "octets",
    [
        "",
        "00",
        "0001",
        "000102",
        "00010106",
        "000101060001",
        "0001c1",
        "0001bfff",
        "00010106 00 7f",
        "0001010680 02 0001",
    ],
)
def test_cut_off_or_fragmented_is_refused(octets: str) -> None:
    with pytest.raises(RemoteProtocolError):
        decode(bytes.fromhex(octets))


def test_an_ifp_packet_beyond_the_limit_is_refused_both_ways() -> None:
    with pytest.raises(LocalProtocolError):
        encode(Datagram(0, bytes(MAX_IFP + 1)))
    with pytest.raises(RemoteProtocolError):
        decode(b"\0\0" + (0x8000 | MAX_IFP + 1).to_bytes(2, "big") + bytes(MAX_IFP + 1) + b"\0\0")
    with pytest.raises(LocalProtocolError):
        encode(Datagram(0, b"", (b"",) * 33))


IMAGE = [bytes((0xC0, number)) + bytes(57) for number in range(10)]
"""Packets as long as those of image data at 14,400 bit/s."""


def test_redundancy_repeats_three_packets_newest_first() -> None:
    sender = Sender(400)
    datagrams = [decode(sender.send(packet)) for packet in IMAGE[:6]]
    assert datagrams[5] == Datagram(5, IMAGE[5], (IMAGE[4], IMAGE[3], IMAGE[2]))


def test_small_packets_are_repeated_oftener() -> None:
    """Those of T.30's frames: without one of them the call waits for seconds, or fails."""
    sender = Sender(400)
    small = [bytes((0xC0, number, 0x80, 0, 0, 0xFF)) for number in range(9)]
    datagrams = [decode(sender.send(packet)) for packet in (*small, *IMAGE[:2])]
    assert datagrams[8].secondary == tuple(reversed(small[3:8]))
    assert datagrams[9].secondary == tuple(reversed(small[4:9]))
    assert datagrams[10].secondary == (IMAGE[0], small[8], small[7])


def test_a_signal_that_is_over_is_repeated_no_oftener_than_image_data() -> None:
    """A confirmation that was lost must not come back with the answer to another question."""
    no_signal, preamble = b"\x00", b"\x06"
    first = [bytes((0xC0, number, 0x80, 0, 0, 0xFF)) for number in range(5)]
    sender = Sender(400)
    datagrams = [decode(sender.send(packet)) for packet in (*first, no_signal, preamble, *first)]
    assert datagrams[5].secondary == tuple(reversed(first))
    assert datagrams[6].secondary == (no_signal, first[4], first[3])
    assert datagrams[8].secondary == (first[0], preamble, no_signal)
    assert datagrams[10].secondary == (first[2], first[1], first[0], preamble, no_signal)


def test_a_small_limit_of_the_peer_counts_first() -> None:
    small = [bytes((0xC0, number, 0x80, 0, 0, 0xFF)) for number in range(6)]
    sender = Sender(28)
    assert [len(decode(sender.send(packet)).secondary) for packet in small] == [0, 1, 2, 2, 2, 2]


def test_three_lost_in_a_row_come_back_in_order() -> None:
    sender, receiver = Sender(400), Receiver()
    datagrams = [sender.send(packet) for packet in IMAGE[:8]]
    arrived = [p for d in [datagrams[0], *datagrams[4:]] for p in receiver.receive(d)]
    assert arrived == list(enumerate(IMAGE[:8]))
    assert (receiver.lost, receiver.recovered) == (0, 3)


def test_a_gap_beyond_the_depth_is_counted_as_lost() -> None:
    sender, receiver = Sender(400), Receiver()
    datagrams = [sender.send(packet) for packet in IMAGE[:8]]
    assert numbers(receiver, [datagrams[0], datagrams[6]]) == [0, 3, 4, 5, 6]
    assert (receiver.lost, receiver.recovered) == (2, 3)


def test_duplicates_and_late_packets_are_dropped() -> None:
    sender, receiver = Sender(400), Receiver()
    a, b, c = (sender.send(packet) for packet in IFPS[:3])
    assert numbers(receiver, [a, a, a, c, b, c]) == [0, 1, 2]
    assert receiver.old == 4


def test_a_sender_goes_on_from_anothers_number() -> None:
    sender = Sender(400)
    sender.sequence = 65_536 + 7
    assert decode(sender.send(b"\x00")).sequence == 7 and sender.sequence == 8


def test_sequence_numbers_wrap() -> None:
    receiver = Receiver()
    datagrams = [encode(Datagram(n % 65536, b"\x06", (b"\x05", b"\x04"))) for n in (65534, 65535, 65538)]
    assert numbers(receiver, datagrams) == [65532, 65533, 65534, 65535, 0, 1, 2]
    assert receiver.lost == 0


def test_a_stream_that_starts_anew_is_followed_after_a_while() -> None:
    """A peer whose T.38 stream is replaced counts from 0 again."""
    receiver = Receiver()
    receiver.receive(encode(Datagram(5000, b"\x06")))
    arrived = [receiver.receive(encode(Datagram(n, b"\x06"))) for n in range(RESYNC_AFTER + 2)]
    assert arrived[: RESYNC_AFTER - 1] == [[]] * (RESYNC_AFTER - 1)
    assert all(arrived[RESYNC_AFTER - 1 :])


@pytest.mark.parametrize("mode", ["redundancy", "fec"])
@pytest.mark.parametrize("limit", [60, 90, 120, 250])
def test_the_peers_limit_is_kept(mode: str, limit: int) -> None:
    sender = Sender(limit, mode)
    assert all(len(sender.send(b"p" * 40)) <= limit for _ in range(20))


def test_without_error_correction_nothing_is_repeated() -> None:
    sender = Sender(400, "none")
    sender.send(b"a")
    assert decode(sender.send(b"b")) == Datagram(1, b"b")


def test_an_unknown_error_correction_is_our_mistake() -> None:
    with pytest.raises(LocalProtocolError):
        Sender(400, "hope")


@pytest.mark.parametrize("burst", [1, 2, 3])
def test_parity_rebuilds_bursts(burst: int) -> None:
    sender, receiver = Sender(400, "fec"), Receiver()
    datagrams = [sender.send(packet) for packet in IFPS[:30]]
    got = {n: p for d in datagrams[:12] + datagrams[12 + burst :] for n, p in receiver.receive(d)}
    assert [got[n].rstrip(b"\0") for n in range(30)] == IFPS[:30]
    assert (receiver.lost, receiver.recovered) == (0, burst)


def test_parity_of_a_peer_with_another_span_is_understood() -> None:
    """Span 4, one entry: the exclusive or of the last four packets."""
    receiver = Receiver()
    for n, packet in enumerate([b"ab", b"cde", b"f"]):
        receiver.receive(encode(Datagram(n, packet)))
    lost = b"wxyz"
    parity = bytearray(4)
    for packet in (b"ab", b"cde", b"f", lost):
        for at, octet in enumerate(packet):
            parity[at] ^= octet
    datagram = encode(Datagram(4, b"new", (), Parity(4, (bytes(parity),))))
    assert receiver.receive(datagram) == [(3, lost), (4, b"new")]


@given(st.lists(st.booleans(), min_size=40, max_size=40), st.sampled_from(["redundancy", "fec", "none"]))
def test_what_arrives_is_in_order_once_and_unaltered(kept: list[bool], mode: str) -> None:
    sender, receiver = Sender(400, mode), Receiver()
    packets = [bytes((n + 1,)) * 3 for n in range(40)]
    datagrams = list(itertools.compress([sender.send(packet) for packet in packets], kept))
    arrived = [item for datagram in datagrams for item in receiver.receive(datagram)]
    assert [n for n, _ in arrived] == sorted({n for n, _ in arrived})
    assert all(packets[n] == packet for n, packet in arrived)
    if arrived:
        assert len(arrived) + receiver.lost == arrived[-1][0] - arrived[0][0] + 1


# Reordering


def plain(*numbers_sent: int) -> list[bytes]:
    return [encode(Datagram(number % 65536, bytes((6, number % 256)))) for number in numbers_sent]


def test_without_redundancy_a_swapped_datagram_is_waited_for() -> None:
    receiver = Receiver(hold=0.06)
    assert numbers(receiver, plain(65534, 0, 65535, 1)) == [65534, 65535, 0, 1]
    assert (receiver.lost, receiver.old) == (0, 0)


def test_a_loss_is_waited_for_no_longer_than_it_says() -> None:
    receiver = Receiver(hold=0.06)
    receiver.receive(plain(1)[0], 10.0)
    assert receiver.receive(plain(3)[0], 10.02) == []
    assert receiver.receive(plain(4)[0], 10.05) == []
    assert receiver.release(10.07) == []
    assert [number for number, _ in receiver.release(10.08)] == [3, 4]
    assert receiver.lost == 1
    assert receiver.receive(plain(2)[0], 10.09) == []
    assert receiver.old == 1


def test_no_more_than_a_few_are_held_back() -> None:
    receiver = Receiver(hold=9.0)
    assert numbers(receiver, plain(1, *range(3, 3 + Receiver.HELD))) == [1]
    assert numbers(receiver, plain(3 + Receiver.HELD)) == list(range(3, 4 + Receiver.HELD))
    assert receiver.lost == 1


def test_what_redundancy_brings_is_not_waited_for() -> None:
    receiver = Receiver(hold=9.0)
    sender = Sender(400)
    sent = [sender.send(ifp) for ifp in IFPS[:6]]
    assert numbers(receiver, [sent[0], sent[3], sent[4], sent[5]]) == [0, 1, 2, 3, 4, 5]


def test_the_same_datagram_held_back_twice_counts_once() -> None:
    receiver = Receiver(hold=9.0)
    assert numbers(receiver, plain(1, 3, 3, 3, 2, 2)) == [1, 2, 3]


def test_two_gaps_are_filled_one_after_the_other() -> None:
    receiver = Receiver(hold=9.0)
    assert numbers(receiver, plain(1, 3, 5)) == [1]
    assert numbers(receiver, plain(2)) == [2, 3]
    assert numbers(receiver, plain(4)) == [4, 5]
    assert receiver.lost == 0


@given(st.permutations(range(1, 5)), st.permutations(range(5, 9)))
def test_any_order_within_the_window_comes_out_in_order(first: list[int], second: list[int]) -> None:
    receiver = Receiver(hold=9.0)
    assert numbers(receiver, plain(0, *first, *second)) == list(range(9))
