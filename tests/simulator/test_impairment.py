"""The bad network in memory: shares, order, reproducibility, and what it may not do."""

from __future__ import annotations

from collections import deque
from itertools import pairwise

import pytest

from faxgw.foip.control import Address
from faxgw.simulator.impairment import MAX_WAITING, REORDER_BY, Conditions, ImpairedSocket, Impairment

HERE: Address = ("192.0.2.1", 4)
EVERY = 0.03
"""Seconds between two datagrams."""


def play(conditions: Conditions, count: int = 2000, seed: int = 1) -> list[tuple[float, int]]:
    """When each datagram arrives; they are numbered and leave every 30 ms."""
    network, arrived, now = Impairment(conditions, seed), [], 0.0
    for number in range(count + 100):
        now = round(number * EVERY, 3)
        if number < count:
            network.put(number.to_bytes(4, "big"), HERE, now)
        arrived += [(now, int.from_bytes(octets, "big")) for octets, _address in network.take(now)]
    return arrived


def numbers(arrived: list[tuple[float, int]]) -> list[int]:
    return [number for _at, number in arrived]


def test_a_good_network_delivers_all_at_once_and_in_order() -> None:
    assert play(Conditions(), 100) == [(round(number * EVERY, 3), number) for number in range(100)]


@pytest.mark.parametrize("loss", [0.02, 0.2, 0.6])
@pytest.mark.parametrize("burst", [1.0, 4.0])
def test_as_many_are_lost_as_was_said(loss: float, burst: float) -> None:
    arrived = numbers(play(Conditions(loss=loss, burst=burst), 20_000))
    assert arrived == sorted(set(arrived))
    assert 1 - len(arrived) / 20_000 == pytest.approx(loss, abs=0.02)


def test_losses_in_bursts_are_as_long_as_was_said() -> None:
    arrived = numbers(play(Conditions(loss=0.1, burst=5.0), 20_000))
    gaps = [later - earlier - 1 for earlier, later in pairwise(arrived) if later > earlier + 1]
    assert sum(gaps) / len(gaps) == pytest.approx(5.0, abs=0.5)


def test_a_seed_repeats_itself_and_another_does_not() -> None:
    conditions = Conditions(loss=0.2, jitter=0.1, reordered=0.1, duplicated=0.1)
    assert play(conditions, seed=7) == play(conditions, seed=7) != play(conditions, seed=8)


def test_jitter_delays_and_keeps_the_order() -> None:
    arrived = play(Conditions(delay=0.1, jitter=0.2))
    assert numbers(arrived) == list(range(2000))
    late = [at - number * EVERY for at, number in arrived]
    assert min(late) >= 0.1 - 1e-6
    assert max(late) > 0.25


def test_some_are_overtaken() -> None:
    arrived = play(Conditions(reordered=0.05))
    assert sorted(numbers(arrived)) == list(range(2000))
    overtaken = [at - number * EVERY for at, number in arrived if at > number * EVERY + 1e-6]
    assert len(overtaken) / 2000 == pytest.approx(0.05, abs=0.015)
    assert max(overtaken) <= REORDER_BY + EVERY
    assert numbers(arrived) != list(range(2000))


def test_some_come_twice() -> None:
    arrived = numbers(play(Conditions(duplicated=0.1)))
    assert set(arrived) == set(range(2000))
    assert len(arrived) / 2000 == pytest.approx(1.1, abs=0.02)


def test_some_arrive_with_another_octet() -> None:
    network = Impairment(Conditions(corrupted=0.1), 1)
    for _ in range(1000):
        network.put(b"12345678", HERE, 0.0)
    network.put(b"", HERE, 0.0)
    octets = [octets for octets, _address in network.take(0.0)]
    hurt = [one for one in octets if one != b"12345678" and one]
    assert 70 < len(hurt) < 130
    assert all(sum(a != b for a, b in zip(one, b"12345678", strict=True)) == 1 for one in hurt)


def test_outages_and_silence_count_from_the_first_datagram() -> None:
    network = Impairment(Conditions(outages=((1.0, 2.0),), silent_from=3.0), 1)
    for tenth in range(50):
        network.put(bytes((tenth,)), HERE, 100.0 + tenth / 10)
    kept = [octets[0] for octets, _address in network.take(1000.0)]
    assert kept == [*range(10), *range(20, 30)]
    assert (network.seen, network.lost) == (50, 30)


def test_it_can_be_silenced() -> None:
    network = Impairment(Conditions(), 1)
    network.put(b"a", HERE, 0.0)
    network.silenced = True
    network.put(b"b", HERE, 0.1)
    assert network.take(1.0) == [(b"a", HERE)]


def test_what_waits_is_bounded() -> None:
    network = Impairment(Conditions(delay=10.0), 1)
    for _ in range(MAX_WAITING + 10):
        network.put(b"x", HERE, 0.0)
    assert (len(network.take(11.0)), network.lost) == (MAX_WAITING, 10)


class Socket:
    """A socket in memory."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, Address]] = []
        self.queue: deque[tuple[bytes, Address]] = deque()
        self.closed = False

    def recvfrom(self, _size: int, /) -> tuple[bytes, Address]:
        if not self.queue:
            raise BlockingIOError
        return self.queue.popleft()

    def sendto(self, octets: bytes, address: Address, /) -> int:
        self.sent.append((octets, address))
        return len(octets)

    def getsockname(self) -> Address:
        return HERE

    def close(self) -> None:
        self.closed = True


def test_a_socket_behind_it_sends_and_receives_late() -> None:
    now, inner = [0.0], Socket()
    there, here = Impairment(Conditions(delay=0.1), 1), Impairment(Conditions(delay=0.2), 2)
    outer = ImpairedSocket(inner, there, here, lambda: now[0])
    assert outer.sendto(b"out", HERE) == 3
    inner.queue.append((b"in", HERE))
    with pytest.raises(BlockingIOError):
        outer.recvfrom(2048)
    assert inner.sent == []
    now[0] = 0.1
    outer.flush()
    assert inner.sent == [(b"out", HERE)]
    now[0] = 0.2
    assert outer.recvfrom(2048) == (b"in", HERE)
    assert outer.getsockname() == HERE
    outer.close()
    assert inner.closed
