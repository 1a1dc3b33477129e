"""Datagrams made well and badly, and what an honest receiver makes of them (ITU-T T.38 section 9.1)."""

from __future__ import annotations

import pytest

from faxgw.foip import udptl
from faxgw.simulator.script import Wire
from faxgw.simulator.wire import JUMP, LATE_START, WireSender

PACKETS = [bytes((number, 1, 2)) for number in range(9)]


def sent(wire: Wire) -> list[bytes]:
    sender = WireSender(wire, 400)
    out = [datagram for packet in PACKETS for datagram in sender.send(packet)]
    return out + sender.flush()


@pytest.mark.parametrize("wire", [Wire.REDUNDANCY, Wire.FEC, Wire.BARE, Wire.LATE_NUMBERS, Wire.JUMPING, Wire.TWICE])
def test_a_receiver_gets_each_packet_once(wire: Wire) -> None:
    receiver = udptl.Receiver()
    got = [packet for datagram in sent(wire) for _number, packet in receiver.receive(datagram)]
    assert got == PACKETS


def test_pairs_come_the_wrong_way_round_and_lose_nothing() -> None:
    numbers = [udptl.decode(datagram).sequence for datagram in sent(Wire.BACKWARDS)]
    assert numbers == [1, 0, 3, 2, 5, 4, 7, 6, 8]
    receiver = udptl.Receiver()
    got = [packet for datagram in sent(Wire.BACKWARDS) for _number, packet in receiver.receive(datagram)]
    assert got == PACKETS


def test_the_numbers_are_as_announced() -> None:
    late = [udptl.decode(datagram).sequence for datagram in sent(Wire.LATE_NUMBERS)]
    assert late == [LATE_START + number for number in range(9)]
    jumping = [udptl.decode(datagram).sequence for datagram in sent(Wire.JUMPING)]
    assert jumping == [JUMP * number for number in range(9)]
    assert len(sent(Wire.TWICE)) == 2 * len(PACKETS)


def test_late_numbers_wrap() -> None:
    sender = WireSender(Wire.LATE_NUMBERS, 400)
    numbers = [udptl.decode(sender.send(b"\0")[0]).sequence for _ in range(600)]
    assert numbers[-1] == (LATE_START + 599) % 65_536


def test_noise_stands_where_earlier_packets_should() -> None:
    assert all(udptl.decode(datagram).secondary[1] == b"\xff" * 7 for datagram in sent(Wire.GARBAGE))
