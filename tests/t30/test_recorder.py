"""Sockets that remember: everything is written down, nothing of it disturbs the call."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace

import pytest

from faxgw.foip import control
from faxgw.foip.recording import Entry, Medium, decode_entries
from faxgw.t30.recorder import Recorder, RecordingSocket
from tests.t30.conftest import Network, memory_file, read_all, receive_start
from tests.t30.test_worker import Harness, sockets, worker

__all__ = ["worker"]

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


@pytest.mark.realtime
async def test_a_worker_writes_a_call_down_to_the_descriptor_it_was_given(worker: Harness, file: int) -> None:
    """`Start.record`: the file is the last descriptor; what the far end heard stands in it."""
    rtp, udptl, far, _unused = made = sockets()
    far.settimeout(30)
    start = replace(receive_start(), rtp_remote=far.getsockname(), record=True)
    worker.send(start, [rtp.fileno(), udptl.fileno(), file])
    heard = [(await asyncio.get_running_loop().run_in_executor(None, far.recv, 2048)) for _ in range(3)]
    worker.send(control.Hangup(start.call))
    await worker.wait_for(control.PhaseE)
    for sock in made:
        sock.close()
    entries = recorded(file)
    assert [entry.octets for entry in entries[:3]] == heard
    assert {(entry.medium, entry.ours) for entry in entries} == {(Medium.RTP, True)}
    assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)
    assert 0 <= asyncio.get_running_loop().time() - entries[0].at < 60, "the clock of all our processes"


@pytest.mark.realtime
async def test_a_worker_goes_on_after_a_start_whose_file_is_missing(worker: Harness) -> None:
    made = sockets()
    worker.send(replace(receive_start(), record=True), [made[0].fileno(), made[1].fileno()])
    worker.send(control.Ping(77))
    await worker.wait_for(control.Pong)
    worker.send(receive_start(), [made[0].fileno(), made[1].fileno()])
    worker.send(control.Hangup(receive_start().call))
    await worker.wait_for(control.PhaseE)
    for sock in made:
        sock.close()


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
