"""The servers of a trunk: kept while DNS is silent, ordered, held down, dead and alive again; the clock is ours."""

from __future__ import annotations

import asyncio
import socket

import pytest

from faxgw.foip.location import HOLD_FIRST, Server, Srv, Target
from faxgw.foip.stack import Transport
from faxgw.line import targets as module
from faxgw.line.dns import Found, Resolver
from faxgw.line.targets import ASK_AGAIN, Targets

ONE, TWO = Target("192.0.2.1", 5060), Target("192.0.2.2", 5060)


class Names(Resolver):
    """Answers look-ups with `found`, or an error when there is none; waits for `may_answer`."""

    def __init__(self, *hosts: str) -> None:
        super().__init__()
        self.hosts = hosts
        self.certain = True
        self.asked = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def locate(self, host: str, port: int | None, transport: Transport) -> Found:
        self.asked += 1
        await self.may_answer.wait()
        if not self.hosts:
            raise OSError("nobody answers")
        servers = [Server(Srv(place, 0, name, port or 5060), (name,)) for place, name in enumerate(self.hosts)]
        return Found(tuple(servers), 300.0, self.certain)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def targets(names: Resolver, clock: Clock | None = None) -> Targets:
    return Targets("sip.example.net", None, Transport.UDP, names, lambda: 0.0, clock or Clock())


async def test_an_address_of_the_listeners_family_is_taken() -> None:
    """A name with both kinds of address often has the longer one first; our socket reaches one kind only."""
    made = targets(Names("2001:db8::1", "192.0.2.1"))
    assert await made.find(socket.AF_INET) == [ONE]
    assert [target.host for target in await made.find(socket.AF_INET6)] == ["2001:db8::1"]
    assert {"192.0.2.1", "2001:db8::1"} <= made.hosts
    with pytest.raises(OSError, match="AF_INET6"):
        await targets(Names("192.0.2.1")).find(socket.AF_INET6)


async def test_an_answer_is_kept_for_its_time() -> None:
    clock, names = Clock(), Names("192.0.2.1")
    made = targets(names, clock)
    for at, asked in ((1000.0, 1), (1299.0, 1), (1300.0, 2)):
        clock.now = at
        assert await made.find(socket.AF_INET) == [ONE]
        assert names.asked == asked


async def test_the_last_address_serves_while_the_name_cannot_be_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 8767: an outage of the name servers is none of the trunk."""
    monkeypatch.setattr(module, "RESOLVE_WITHIN", 0.05)
    clock, names = Clock(), Names("192.0.2.1")
    made = targets(names, clock)
    await made.find(socket.AF_INET)
    names.hosts, clock.now = (), 2000.0
    assert await made.find(socket.AF_INET) == [ONE]
    assert await made.find(socket.AF_INET) == [ONE]
    assert names.asked == 2, "not asked again for a while"
    clock.now += ASK_AGAIN
    names.may_answer.clear()
    assert await made.find(socket.AF_INET) == [ONE]
    assert names.asked == 3
    names.may_answer.set()


async def test_a_silent_name_server_holds_a_call_up_for_a_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """And one question, not one per call."""
    monkeypatch.setattr(module, "RESOLVE_WITHIN", 0.05)
    names = Names("192.0.2.1")
    names.may_answer.clear()
    made = targets(names)
    for _ in range(3):
        with pytest.raises(OSError):
            await made.find(socket.AF_INET)
    assert names.asked == 1
    names.may_answer.set()
    assert await made.find(socket.AF_INET) == [ONE]


async def test_what_is_uncertain_does_not_replace_what_was_known() -> None:
    """Silence about SRV leaves the host's own address, which may be the carrier's web server."""
    clock, names = Clock(), Names("192.0.2.1", "192.0.2.2")
    made = targets(names, clock)
    await made.find(socket.AF_INET)
    clock.now, names.hosts, names.certain = 2000.0, ("192.0.2.99",), False
    assert await made.find(socket.AF_INET) == [ONE, TWO]
    names.certain, clock.now = True, clock.now + ASK_AGAIN
    assert [target.host for target in await made.find(socket.AF_INET)] == ["192.0.2.99"]


async def test_a_failed_server_is_passed_over_until_its_time_is_over() -> None:
    clock = Clock()
    made = targets(Names("192.0.2.1", "192.0.2.2"), clock)
    assert await made.find(socket.AF_INET) == [ONE, TWO]
    assert made.failed(ONE, unreachable=False) == HOLD_FIRST
    assert made.suspicious.is_set()
    assert await made.find(socket.AF_INET) == [TWO, ONE]
    clock.now += HOLD_FIRST
    assert await made.find(socket.AF_INET) == [ONE, TWO]
    assert made.overloaded(ONE, 120.0) == 120.0
    clock.now += 119
    assert await made.find(socket.AF_INET) == [TWO, ONE]
    made.served(ONE)
    assert await made.find(socket.AF_INET) == [ONE, TWO]


async def test_a_server_that_never_answered_a_probe_is_not_dead_for_that() -> None:
    """There are carriers that drop OPTIONS."""
    made = targets(Names("192.0.2.1"))
    await made.find(socket.AF_INET)
    made.probe_failed(ONE, unreachable=False)
    assert not made.is_down
    made.failed(ONE, unreachable=False)
    made.probe_failed(ONE, unreachable=False)
    assert made.is_down, "neither a call nor the probe was answered"
    made.served(ONE)
    assert not made.is_down


async def test_a_server_that_has_answered_probes_before_is_dead_when_it_is_silent() -> None:
    made = targets(Names("192.0.2.1", "192.0.2.2"))
    await made.find(socket.AF_INET)
    for target in (ONE, TWO):
        made.probe_answered(target)
    made.probe_failed(ONE, unreachable=False)
    assert made.is_dead(ONE) and not made.is_down
    assert await made.find(socket.AF_INET) == [TWO, ONE]
    made.probe_failed(TWO, unreachable=True)
    assert made.is_down
    made.probe_answered(ONE)
    assert not made.is_down
    assert await made.find(socket.AF_INET) == [ONE, TWO]


async def test_an_answered_probe_lifts_what_silence_brought_but_not_an_overload() -> None:
    """A border controller may answer OPTIONS while it refuses calls."""
    made = targets(Names("192.0.2.1", "192.0.2.2"))
    await made.find(socket.AF_INET)
    made.failed(ONE, unreachable=False)
    made.probe_answered(ONE)
    assert await made.find(socket.AF_INET) == [ONE, TWO]
    made.overloaded(ONE)
    made.probe_answered(ONE)
    assert await made.find(socket.AF_INET) == [TWO, ONE]


async def test_servers_that_dns_names_no_more_are_forgotten() -> None:
    clock, names = Clock(), Names("192.0.2.1")
    made = targets(names, clock)
    await made.find(socket.AF_INET)
    made.failed(ONE, unreachable=True)
    assert made.is_down
    clock.now, names.hosts = 2000.0, ("192.0.2.2",)
    assert await made.find(socket.AF_INET) == [TWO]
    assert not made.is_down and not made.is_dead(ONE)


async def test_nothing_is_down_before_it_is_known() -> None:
    assert not targets(Names("192.0.2.1")).is_down


async def test_a_server_that_nobody_probes_is_never_dead() -> None:
    """Nobody would see it live again; it is passed over for its time, as any other."""
    clock = Clock()
    made = Targets("x.test", None, Transport.UDP, Names("192.0.2.1", "192.0.2.2"), lambda: 0.0, clock, watched=False)
    await made.find(socket.AF_INET)
    made.failed(ONE, unreachable=True)
    made.failed(TWO, unreachable=True)
    assert not made.is_down and not made.is_dead(ONE)
    clock.now += HOLD_FIRST
    assert await made.find(socket.AF_INET) == [ONE, TWO]
