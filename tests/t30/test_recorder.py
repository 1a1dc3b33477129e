"""Sockets that remember: everything is written down, nothing of it disturbs the call."""

from __future__ import annotations

import os

import pytest

from faxgw.foip.recording import Entry, Medium, decode_entries
from faxgw.t30.recorder import Recorder, RecordingSocket
from tests.t30.conftest import Network, memory_file, read_all

FAR = ("192.0.2.1", 3)


@pytest.fixture
def file() -> int:
    return memory_file(b"")


def recorded(descriptor: int) -> list[Entry]:
    return decode_entries(read_all(descriptor))


def test_both_directions_are_written_with_their_times(file: int) -> None:
    network, now = Network(), [100.0]
    far = network.socket(3)
    recorder = Recorder(os.dup(file), lambda: now[0])
    sock = RecordingSocket(network.socket(1), recorder, Medium.UDPTL)
    far.sendto(b"from afar", ("192.0.2.1", 1))
    now[0] = 100.5
    assert sock.recvfrom(2048) == (b"from afar", FAR)
    now[0] = 101.0
    assert sock.sendto(b"ours", FAR) == 4
    assert far.queue.popleft() == (b"ours", ("192.0.2.1", 1))
    assert recorded(file) == [
        Entry(100.5, Medium.UDPTL, False, b"from afar"),
        Entry(101.0, Medium.UDPTL, True, b"ours"),
    ]


def test_nothing_is_written_where_nothing_came(file: int) -> None:
    sock = RecordingSocket(Network().socket(1), Recorder(os.dup(file), lambda: 1.0), Medium.RTP)
    with pytest.raises(BlockingIOError):
        sock.recvfrom(2048)
    assert recorded(file) == []


def test_a_full_recording_ends_and_the_call_goes_on(file: int) -> None:
    network = Network()
    recorder = Recorder(os.dup(file), lambda: 1.0, limit=60)
    sock = RecordingSocket(network.socket(1), recorder, Medium.RTP)
    for _ in range(5):
        assert sock.sendto(b"x" * 20, FAR) == 20
    assert len(network.sent[("192.0.2.1", 1)]) == 5
    assert len(recorded(file)) == 1


def test_a_file_that_cannot_be_written_is_left_alone() -> None:
    sock = RecordingSocket(Network().socket(1), Recorder(os.open("/dev/full", os.O_WRONLY), lambda: 1.0), Medium.RTP)
    assert sock.sendto(b"x", FAR) == 1
    assert sock.sendto(b"x", FAR) == 1


def test_closing_a_socket_closes_both_and_may_be_repeated(file: int) -> None:
    descriptor = os.dup(file)
    inner = Network().socket(1)
    sock = RecordingSocket(inner, Recorder(descriptor, lambda: 1.0), Medium.RTP)
    sock.close()
    sock.close()
    assert inner.closed
    with pytest.raises(OSError):
        os.fstat(descriptor)
    os.close(file)
