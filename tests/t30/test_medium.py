"""The medium: which socket is read, whose packets reach the engine, and what a switch or another engine keeps."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from faxgw.foip.control import Address, Media, T38Media
from faxgw.t30 import native, pages, terminal
from faxgw.t30.medium import MAX_DATAGRAMS, Medium
from tests.t30.conftest import MemorySocket, Network, receive_start

FAR = ("192.0.2.9", 4000)
T38 = T38Media(("192.0.2.9", 5000))
IFP = b"\x00\x00\x01\x00\x00\x00"
"""One UDPTL datagram: a no-signal indicator."""


@pytest.fixture(autouse=True)
def python_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine that is fed by the medium; the one in C reads its socket itself (test_native)."""
    monkeypatch.setattr(native, "library", lambda: None)


class Wires:
    """A medium and its two sockets."""

    def __init__(self) -> None:
        network = Network()
        self.rtp, self.udptl = MemorySocket(network, ("192.0.2.1", 1)), MemorySocket(network, ("192.0.2.1", 2))
        start = replace(receive_start(), rtp_remote=FAR)
        self.files: list[int] = []
        self.profile = pages.profile(start, (), pages.receiving(self.files), terminal.RESOLUTIONS_ALL)
        self.medium = Medium(start, self.rtp, self.udptl)


@pytest.fixture
def wires() -> Iterator[Wires]:
    made = Wires()
    yield made
    made.medium.close()


def engine_of(medium: Medium) -> terminal.Terminal:
    assert medium.engine is not None
    return medium.engine


def test_only_the_socket_in_use_is_read(wires: Wires) -> None:
    wires.medium.begin(wires.profile, T38)
    wires.rtp.queue.append((b"audio", T38.remote))
    wires.udptl.queue.append((IFP, T38.remote))
    assert list(wires.medium.arrived()) == [IFP]
    assert len(wires.rtp.queue) == 1


def test_a_flood_waits_in_the_socket(wires: Wires) -> None:
    wires.medium.begin(wires.profile, T38)
    wires.udptl.queue.extend([(IFP, T38.remote)] * (MAX_DATAGRAMS + 5))
    assert len(list(wires.medium.arrived())) == MAX_DATAGRAMS
    assert len(wires.udptl.queue) == 5
    wires.medium.drop_arrived()
    assert not wires.udptl.queue


def test_an_error_of_an_earlier_packet_hides_no_later_one(wires: Wires, monkeypatch: pytest.MonkeyPatch) -> None:
    """ICMP port unreachable is told at the next read (Linux udp(7))."""
    wires.medium.begin(wires.profile, T38)
    wires.udptl.queue.append((IFP, T38.remote))
    told = iter([ConnectionRefusedError(errno.ECONNREFUSED, "refused")])
    plain = wires.udptl.recvfrom

    def recvfrom(size: int, /) -> tuple[bytes, Address]:
        for fault in told:
            raise fault
        return plain(size)

    monkeypatch.setattr(wires.udptl, "recvfrom", recvfrom)
    assert list(wires.medium.arrived()) == [IFP]


def test_strangers_of_both_media_are_counted_and_dropped(wires: Wires) -> None:
    stranger = ("203.0.113.5", 9)
    wires.medium.begin(wires.profile, None)
    wires.rtp.queue.append((b"?", stranger))
    assert list(wires.medium.arrived()) == []
    wires.medium.switch(wires.profile, T38)
    wires.udptl.queue.extend([(IFP, stranger)] * 2)
    assert list(wires.medium.arrived()) == []
    assert wires.medium.foreign == 3


def test_t38_takes_the_place_of_audio_before_phase_b_only(wires: Wires) -> None:
    wires.medium.begin(wires.profile, None)
    assert wires.medium.may_switch
    engine_of(wires.medium).phase_b = True
    assert not wires.medium.may_switch
    engine_of(wires.medium).phase_b = False
    wires.medium.switch(wires.profile, T38)
    assert not wires.medium.may_switch
    assert (wires.medium.t38, wires.medium.address) == (T38, T38.remote)


def test_a_repeated_offer_moves_the_address_and_keeps_the_engine(wires: Wires) -> None:
    wires.medium.begin(wires.profile, T38)
    engine = wires.medium.engine
    wires.udptl.queue.append((IFP, T38.remote))
    list(wires.medium.arrived())
    assert wires.medium.settled
    wires.medium.move_t38(replace(T38, remote=("192.0.2.10", 7)))
    assert (wires.medium.address, wires.medium.settled) == (("192.0.2.10", 7), False)
    assert wires.medium.engine is engine


def test_audio_that_moves_during_t38_leaves_t38_where_it_is(wires: Wires) -> None:
    wires.medium.begin(wires.profile, T38)
    wires.medium.move_audio(Media(2, ("192.0.2.77", 1), 8))
    assert wires.medium.address == T38.remote


def test_another_engine_numbers_its_datagrams_on(wires: Wires) -> None:
    """ITU-T T.38 section 9.1: a receiver drops what has an older number."""
    wires.medium.begin(wires.profile, T38)
    engine_of(wires.medium).sequence = 41
    before = wires.medium.engine
    wires.medium.renew(wires.profile)
    assert wires.medium.engine is not before
    assert engine_of(wires.medium).sequence == 41


@pytest.mark.parametrize(
    ("fault", "latches"),
    [(errno.EHOSTUNREACH, True), (errno.ENETUNREACH, True), (errno.ENOBUFS, False), (errno.EPERM, False)],
)
def test_only_an_address_without_a_way_may_be_replaced_by_any(
    wires: Wires, monkeypatch: pytest.MonkeyPatch, fault: int, latches: bool
) -> None:
    def sendto(_octets: bytes, _address: Address, /) -> int:
        raise OSError(fault, "not sent")

    monkeypatch.setattr(wires.rtp, "sendto", sendto)
    wires.medium.begin(wires.profile, None)
    wires.medium.speak(1.0)
    packet: Any = bytes([0x80, 8, 0, 1]) + bytes(8) + b"\xd5" * 160
    wires.rtp.queue.extend([(packet, ("203.0.113.5", 9))] * 3)
    list(wires.medium.arrived())
    assert (wires.medium.address == ("203.0.113.5", 9)) is latches


def test_what_cannot_be_sent_is_lost_like_any_datagram(wires: Wires, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[bytes] = []

    def sendto(octets: bytes, _address: Address, /) -> int:
        sent.append(octets)
        raise OSError(errno.ENOBUFS, "no room")

    monkeypatch.setattr(wires.rtp, "sendto", sendto)
    wires.medium.begin(wires.profile, None)
    for tick in range(3):
        wires.medium.speak(0.02 * tick)
    assert len(sent) == 3


def test_closing_closes_both_sockets_and_the_engine(wires: Wires) -> None:
    wires.medium.begin(wires.profile, T38)
    wires.medium.close()
    assert wires.rtp.closed and wires.udptl.closed
    assert wires.medium.engine is None and not wires.medium.may_switch
