"""The media loop in C does what the one in Python does: same datagrams, same counts; real sockets, strangers."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faxgw.foip import rtp, udptl
from faxgw.foip.control import Document, Limits, PhaseE, Start, T38Media
from faxgw.t30 import native
from faxgw.t30.audio import AudioTerminal
from faxgw.t30.call import MediaCall
from faxgw.t30.native import NativeAudioTerminal, NativeT38Terminal
from faxgw.t30.t38 import T38Terminal
from faxgw.t30.terminal import Profile, Terminal
from tests.t30.conftest import Daemon, memory_file, page_image, pixels, receive_start, send_start, tiff

ONE = tiff([page_image(1)])
IFPS = [b"\x00", b"\x06", b"\x02", bytes.fromhex("c001000000"), b"\x00" * 200]


@pytest.fixture(scope="module")
def profile() -> Iterator[Profile]:
    file = os.memfd_create("received")
    yield Profile(calling_party=False, station_id="1", receive_path=f"/proc/self/fd/{file}")
    os.close(file)


def both_fed(terminals: tuple[Any, Any], datagrams: list[tuple[bytes, float]]) -> None:
    """The same datagrams and pauses to both; they count alike all the way."""
    now = 0.0
    try:
        for octets, pause in datagrams:
            now += pause
            sent = []
            for terminal in terminals:
                terminal.receive(octets, now)
                sent.append([datagram for datagram, _count in terminal.tick(now)])
            assert terminals[0].losses == terminals[1].losses
            assert terminals[0].garbage == terminals[1].garbage
            assert [len(datagram) for datagram in sent[0]] == [len(datagram) for datagram in sent[1]]
    finally:
        for terminal in terminals:
            terminal.close()


UDPTL = st.builds(
    udptl.Datagram,
    st.one_of(st.integers(0, 40), st.integers(65520, 65535), st.integers(0, 65535)),
    st.sampled_from(IFPS),
    st.lists(st.sampled_from([b"", *IFPS]), max_size=5).map(tuple),
).map(udptl.encode)


@settings(max_examples=200)
@given(st.lists(st.tuples(st.one_of(UDPTL, UDPTL, UDPTL, st.binary(max_size=40)), st.sampled_from([0.0, 0.02, 0.07]))))
def test_udptl_is_received_alike(profile: Profile, datagrams: list[tuple[bytes, float]]) -> None:
    both_fed(
        (T38Terminal(profile, 400, "redundancy", 14400), NativeT38Terminal(profile, 400, "redundancy", 14400)),
        datagrams,
    )


RTP = st.builds(
    rtp.Packet,
    st.sampled_from([0, 8, 8, 8, 13, 101]),
    st.one_of(st.integers(0, 40), st.integers(0, 65535)),
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 1, 1, 2, 3]),
    st.sampled_from([80, 160, 160, 240, 1600, 0]).map(lambda size: b"\xd5" * size),
).map(rtp.encode)


@settings(max_examples=200)
@given(st.lists(st.tuples(st.one_of(RTP, RTP, RTP, st.binary(max_size=40)), st.sampled_from([0.0, 0.02]))))
def test_rtp_is_received_alike(profile: Profile, datagrams: list[tuple[bytes, float]]) -> None:
    both_fed((AudioTerminal(profile, 8), NativeAudioTerminal(profile, 8)), datagrams)


@pytest.mark.parametrize("make", [AudioTerminal, NativeAudioTerminal])
def test_a_pause_of_t30_is_kept_and_a_long_one_is_shortened(make: Any, profile: Profile) -> None:
    """30 packets come at once: the pause of 80 ms between two signals is heard, one of 600 ms catches up."""
    terminal = make(profile, 8)
    loud, quiet = b"\x2a\xaa" * 80, b"\xd5" * 160
    for number, payload in enumerate([loud] * 10 + [quiet] * 4 + [loud] * 16):
        terminal.receive(rtp.encode(rtp.Packet(8, number, 0, 1, payload)), 0.0)
    for tick in range(26):
        terminal.tick(0.02 * tick)
    assert terminal.skipped == 0
    for number in range(30, 60):
        terminal.receive(rtp.encode(rtp.Packet(8, number, 0, 1, quiet)), 1.0)
    for tick in range(30):
        terminal.tick(1.0 + 0.02 * tick)
    assert 10 < terminal.skipped <= 20
    assert terminal.losses == (0, 0)
    terminal.close()


@pytest.mark.parametrize("error_correction", ["redundancy", "none"])
def test_both_send_the_same_datagrams(error_correction: str, profile: Profile) -> None:
    """A receiving terminal says the same whoever drives it: CED, CSI and DIS, octet by octet."""
    said = []
    for make in (T38Terminal, NativeT38Terminal):
        terminal: Terminal = make(profile, 90, error_correction, 14400)
        said.append([datagram for tick in range(400) for datagram in terminal.tick(0.02 * tick)])
        terminal.close()
    assert said[0] == said[1]
    assert len(said[0]) > 20


# Real sockets


class Pair:
    """A sender and a receiver over real sockets, in virtual time; `hidden` keeps the sender's address from its peer."""

    def __init__(self, *, t38: bool, hidden: bool = False, host: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.sockets = [socket.socket(family, socket.SOCK_DGRAM) for _ in range(4)]
        for sock in self.sockets:
            sock.bind((host, 0))
            sock.setblocking(False)
        addresses = [sock.getsockname()[:2] for sock in self.sockets]
        stated = [("10.255.255.1", 9)] * 2 if hidden else addresses[:2]
        file = memory_file(ONE)
        send = self.start(send_start(), addresses[2:], t38)
        receive = replace(self.start(receive_start(), stated, t38), nat=hidden)
        self.sender = Daemon(
            MediaCall(
                replace(send, documents=(Document("FN0", 1, 1, 1),)), self.sockets[0], self.sockets[1], [file], 0.0
            )
        )
        os.close(file)
        self.receiver = Daemon(MediaCall(receive, self.sockets[2], self.sockets[3], (), 0.0))
        self.now = 0.0

    @staticmethod
    def start(start: Start, remote: list[Any], t38: bool) -> Start:
        media = T38Media(remote[1]) if t38 else None
        return replace(start, rtp_remote=remote[0], t38=media, limits=Limits(answer_to_phase_b=20.0))

    def run(self, seconds: float = 120.0) -> Pair:
        end = self.now + seconds
        while self.now < end and not (self.sender.call.ended and self.receiver.call.ended):
            self.now = round(self.now + 0.02, 3)
            for daemon in (self.sender, self.receiver):
                daemon.call.tick(self.now)
                daemon.step(self.now)
        return self

    def close(self) -> None:
        self.sender.call.close()
        self.receiver.call.close()


@pytest.fixture
def pairs() -> Iterator[Any]:
    made: list[Pair] = []

    def make(**kwargs: Any) -> Pair:
        made.append(Pair(**kwargs))
        return made[-1]

    yield make
    for pair in made:
        pair.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("t38", [True, False])
def test_a_fax_over_real_sockets(pairs: Any, t38: bool, host: str) -> None:
    pair = pairs(t38=t38, host=host)
    assert pair.sender.call.pumped is not None
    pair.run()
    assert (pair.sender.result.code, pair.receiver.result.code) == (0, 0)
    assert [page for octets in pair.receiver.pages for page in pixels(octets)] == pixels(ONE)


@pytest.mark.parametrize("t38", [True, False])
def test_a_peer_behind_a_nat_is_answered_where_it_is(pairs: Any, t38: bool) -> None:
    pair = pairs(t38=t38, hidden=True).run()
    assert [page for octets in pair.receiver.pages for page in pixels(octets)] == pixels(ONE)
    assert pair.receiver.call.foreign == 2


@pytest.mark.parametrize("t38", [True, False])
def test_a_stranger_at_the_socket_is_counted_and_not_heard(pairs: Any, t38: bool) -> None:
    pair = pairs(t38=t38, host="127.0.0.1").run(seconds=2.0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.2", 0))
        target = pair.sockets[3 if t38 else 2].getsockname()
        for _ in range(10):
            stranger.sendto(udptl.encode(udptl.Datagram(9, b"\x06")) if t38 else RTP_PACKET, target)
    pair.run()
    assert pair.receiver.call.foreign == 10
    assert [page for octets in pair.receiver.pages for page in pixels(octets)] == pixels(ONE)


RTP_PACKET = rtp.encode(rtp.Packet(8, 7, 7, 7, bytes(160)))


@pytest.mark.parametrize("t38", [True, False])
def test_a_flood_of_datagrams_does_not_hold_up_the_tick(pairs: Any, t38: bool) -> None:
    """No more than MAX_DATAGRAMS are read per tick; the rest waits in the kernel."""
    pair = pairs(t38=t38)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.2", 0))
        for _ in range(100):
            stranger.sendto(b"flood", pair.sockets[3 if t38 else 2].getsockname())
    pair.receiver.call.tick(0.02)
    assert pair.receiver.call.foreign == 64
    pair.receiver.call.tick(0.04)
    assert pair.receiver.call.foreign == 100


def test_a_call_that_ends_in_a_look_is_not_ticked_on(pairs: Any) -> None:
    pair = pairs(t38=True)
    pair.sender.refuse = lambda message: True
    pair.run()
    assert pair.sender.result.reason == "gate"
    assert isinstance(pair.sender.of(PhaseE)[0], PhaseE)


# The library itself


def test_a_library_of_another_source_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = tmp_path / "_media.c"
    other.write_bytes(native.SOURCE.read_bytes() + b"\n")
    monkeypatch.setattr(native, "SOURCE", other)
    assert native.library.__wrapped__() is None
    monkeypatch.setattr(native, "LIBRARY", tmp_path / "none.so")
    assert native.library.__wrapped__() is None
