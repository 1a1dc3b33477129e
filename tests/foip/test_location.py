"""The order of targets: RFC 2782's draw, RFC 3263's services, hold-down with growth."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from faxgw.foip.location import (
    HOLD_FIRST,
    HOLD_LONGEST,
    MAX_RECORDS,
    MAX_TARGETS,
    HoldDown,
    Naptr,
    Server,
    Srv,
    Target,
    default_port,
    order_naptr,
    order_srv,
    targets_of,
)
from faxgw.foip.stack import Transport

ONE, TWO, THREE = (Target(f"192.0.2.{number}", 5060) for number in (1, 2, 3))


def test_lower_priorities_come_first_whatever_their_weight() -> None:
    """RFC 2782."""
    records = [Srv(20, 100, "c", 5060), Srv(10, 0, "a", 5060), Srv(15, 1, "b", 5060)]
    assert [record.host for record in order_srv(records, Random(1).random)] == ["a", "b", "c"]


def test_equal_priorities_are_drawn_by_weight() -> None:
    """RFC 2782: 60, 20 and 20 of a hundred; the numbers are those of 5,000 draws with a fixed seed."""
    draw = Random(7).random
    records = [Srv(1, 60, "a", 1), Srv(1, 20, "b", 1), Srv(1, 20, "c", 1)]
    first = Counter(order_srv(records, draw)[0].host for _ in range(5000))
    assert 0.55 < first["a"] / 5000 < 0.65
    assert 0.15 < first["b"] / 5000 < 0.25


def test_a_weight_of_nothing_is_drawn_rarely_but_can_be() -> None:
    """RFC 2782: weight 0 should have a very small chance."""
    draw = Random(7).random
    first = Counter(order_srv([Srv(1, 0, "a", 1), Srv(1, 99, "b", 1)], draw)[0].host for _ in range(5000))
    assert 0 < first["a"] < 150


@pytest.mark.parametrize("number", [0.0, 0.999999])
def test_every_record_comes_once(number: float) -> None:
    records = [Srv(1, weight, f"h{weight}", 1) for weight in (0, 5, 65535)]
    assert sorted(record.host for record in order_srv(records, lambda: number)) == ["h0", "h5", "h65535"]


def test_the_root_as_target_means_that_there_is_no_service() -> None:
    """RFC 2782."""
    assert order_srv([Srv(0, 0, "", 5060)], lambda: 0.0) == []


def test_records_without_end_are_cut() -> None:
    assert len(order_srv([Srv(1, 1, f"h{number}", 1) for number in range(1000)], lambda: 0.5)) == MAX_RECORDS


def test_services_are_taken_in_their_order_and_only_those_that_we_speak() -> None:
    """RFC 3263 section 4.1, with its own example."""
    records = [
        Naptr(100, 50, "s", "SIP+D2U", "_sip._udp.example.com"),
        Naptr(50, 50, "S", "sips+d2t", "_sips._tcp.example.com"),
        Naptr(90, 60, "s", "SIP+D2T", "_sip._tcp.example.com"),
        Naptr(90, 50, "u", "E2U+sip", ""),
        Naptr(10, 10, "a", "SIP+D2U", "host.example.com"),
        Naptr(10, 10, "s", "SIP+D2S", "_sip._sctp.example.com"),
    ]
    assert order_naptr(records, tuple(Transport)) == [
        (Transport.TLS, "_sips._tcp.example.com"),
        (Transport.TCP, "_sip._tcp.example.com"),
        (Transport.UDP, "_sip._udp.example.com"),
    ]
    assert order_naptr(records, [Transport.UDP]) == [(Transport.UDP, "_sip._udp.example.com")]


def test_each_transport_has_its_port() -> None:
    assert [default_port(transport) for transport in Transport] == [5060, 5060, 5061]


def test_a_failed_target_is_tried_last_until_its_time_is_over() -> None:
    hold = HoldDown()
    assert hold.failed(ONE, 100.0) == HOLD_FIRST
    assert hold.sort([ONE, TWO], 100.0) == [TWO, ONE]
    assert hold.is_held(ONE, 100.0 + HOLD_FIRST - 1)
    assert hold.sort([ONE, TWO], 100.0 + HOLD_FIRST) == [ONE, TWO]


def test_hold_down_grows_with_each_failure_and_ends_with_an_answer() -> None:
    hold = HoldDown()
    assert [hold.failed(ONE, float(at)) for at in range(8)] == [30, 60, 120, 240, 480, 600, 600, 600]
    assert HOLD_LONGEST == 600
    hold.served(ONE)
    assert not hold.is_held(ONE, 8.0)
    assert hold.failed(ONE, 9.0) == HOLD_FIRST


@pytest.mark.parametrize(("asked", "held"), [(120.0, 120.0), (0.0, 1.0), (1e9, HOLD_LONGEST)])
def test_a_target_may_name_its_own_pause(asked: float, held: float) -> None:
    """RFC 3261 section 21.5.4, within bounds: nobody can send us away for ever."""
    assert HoldDown().failed(ONE, 0.0, asked) == held


def test_when_all_are_held_the_one_free_soonest_is_first() -> None:
    hold = HoldDown()
    hold.failed(ONE, 10.0)
    hold.failed(TWO, 5.0)
    hold.failed(THREE, 7.0)
    assert hold.sort([ONE, TWO, THREE], 11.0) == [TWO, THREE, ONE]


def test_failed_targets_without_end_are_forgotten() -> None:
    hold = HoldDown()
    targets = [Target("192.0.2.9", port) for port in range(1, 100)]
    for at, target in enumerate(targets):
        hold.failed(target, float(at))
    assert sum(hold.is_held(target, 98.5) for target in targets) <= 4 * MAX_TARGETS
    assert hold.is_held(targets[-1], 98.5)


def test_a_target_tells_itself() -> None:
    assert str(Target("2001:db8::1", 5061, Transport.TLS)) == "tls:[2001:db8::1]:5061"
    assert ONE.address == ("192.0.2.1", 5060)


def test_targets_are_servers_in_order_with_the_addresses_our_socket_reaches() -> None:
    servers = [
        Server(Srv(20, 0, "b", 5070), ("192.0.2.9",)),
        Server(Srv(10, 0, "a", 5060), ("2001:db8::1", "192.0.2.1", "192.0.2.2")),
        Server(Srv(30, 0, "c", 5070), ("192.0.2.9",)),
    ]
    found = targets_of(servers, Transport.TCP, lambda: 0.0, ipv6=False)
    assert [str(target) for target in found] == ["tcp:192.0.2.1:5060", "tcp:192.0.2.2:5060", "tcp:192.0.2.9:5070"]
    assert [target.host for target in targets_of(servers, Transport.UDP, lambda: 0.0, ipv6=True)] == ["2001:db8::1"]
    many = [Server(Srv(1, 1, "m", 5060), tuple(f"192.0.2.{number}" for number in range(100)))]
    assert len(targets_of(many, Transport.UDP, lambda: 0.0, ipv6=False)) == MAX_TARGETS
