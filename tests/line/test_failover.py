"""Several servers of one trunk, named by SRV records: who gets the call when the first fails, and who never does."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from faxgw.fax.outcome import Cause, Outcome
from faxgw.fax.ports import CallIdentity
from faxgw.foip.events import IncomingCall
from faxgw.foip.message import Request, parse
from faxgw.line.ports import PortRange
from faxgw.line.sip import SipLine
from faxgw.line.trunk import SipSettings, TrunkSettings
from faxgw.settings import Duration, Listener, Secret
from tests.line.far_end import FarEnd, Marks, plan, until
from tests.line.name_server import NameServer
from tests.ports import free_port

FAKE = (sys.executable, str(Path(__file__).with_name("fake_worker.py")))


class Refuser(FarEnd):
    """Refuses every call with 503, after ringing if it is told to."""

    def __init__(self, *, rings: bool = False) -> None:
        super().__init__()
        self.rings = rings

    def _on_call(self, event: IncomingCall) -> None:
        self.log.append("refused")
        agent, now = self.endpoint.agent, self.endpoint.now
        if self.rings:
            agent.ring(event.call, now)
        agent.reject(event.call, 503, now, (("Retry-After", "120"),))
        self.endpoint.pump()


class Silent(asyncio.DatagramProtocol):
    """A server that takes everything and says nothing."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    async def __aenter__(self) -> Silent:
        self._transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, ("127.0.0.1", 0))
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._transport.close()
        await asyncio.sleep(0)

    @property
    def port(self) -> int:
        return int(self._transport.get_extra_info("sockname")[1])

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        message = parse(data)
        assert isinstance(message, Request)
        self.requests.append(message)

    def of(self, method: str) -> list[Request]:
        return [request for request in self.requests if request.method == method]


def dead_port() -> int:
    """A port where nobody listens: the system says so at once."""
    return free_port()


@asynccontextmanager
async def line_to(*ports: int, **changes: object) -> AsyncIterator[SipLine]:
    """A line whose trunk is a name with SRV records for these ports, in this order."""
    async with AsyncExitStack() as stack:
        names = await stack.enter_async_context(NameServer("one.test. 300 IN A 127.0.0.1"))
        names.zone += [
            f"_sip._udp.carrier.test. 300 IN SRV {place} 0 {port} one.test." for place, port in enumerate(ports)
        ]
        sip = SipSettings(
            listen=Listener("127.0.0.1", 0), media_ports=PortRange(24000, 24999), nameservers=(names.listener,)
        )
        values: dict[str, object] = {
            "name": "t",
            "host": "carrier.test",
            "keepalive": Duration(0),
            "answer_within": Duration(1.0),
            **changes,
        }
        line = SipLine(sip, [TrunkSettings(**values)], FAKE)  # type: ignore[arg-type]
        await line.start()
        stack.push_async_callback(line.stop)
        yield line


async def dial(line: SipLine, number: str = "+200", identity: CallIdentity | None = None) -> Outcome:
    made = plan(identity or line.new_identity("t"), number=number)
    try:
        async with asyncio.timeout(60):
            return await line.call(made, Marks())
    finally:
        for document in made.documents:
            os.close(document.descriptor)


async def test_a_server_that_cannot_be_reached_leaves_the_call_to_the_next() -> None:
    """RFC 3263 section 4.3; and it is passed over by the next call."""
    dead = dead_port()
    async with FarEnd() as far, line_to(dead, far.port) as line:
        assert (await dial(line)).cause is Cause.OK
        second = await dial(line)
        assert second.cause is Cause.OK and "503" not in second.detail
        assert [entry for entry in far.log if entry.startswith("call")] == ["call +200 from +33100000000"] * 2


async def test_a_server_that_says_nothing_leaves_the_call_to_the_next_in_time() -> None:
    async with Silent() as silent, FarEnd() as far, line_to(silent.port, far.port) as line:
        outcome = await dial(line)
        assert outcome.cause is Cause.OK
        assert f"no answer from udp:127.0.0.1:{silent.port}" in outcome.detail
        invites = silent.of("INVITE")
        assert invites and "call +200 from +33100000000" in far.log
        count = len(invites)
        assert (await dial(line)).cause is Cause.OK
        assert {request.call_id for request in silent.of("INVITE")} == {invites[0].call_id}
        assert len(silent.of("INVITE")) <= count + 3, "repetitions of the first call only"


async def test_an_overloaded_server_leaves_the_call_to_the_next() -> None:
    async with Refuser() as refuser, FarEnd() as far, line_to(refuser.port, far.port) as line:
        assert (await dial(line)).cause is Cause.OK
        assert (await dial(line)).cause is Cause.OK
        assert refuser.log == ["refused"], "it has asked for two minutes"


async def test_after_ringing_there_is_no_other_server() -> None:
    async with Refuser(rings=True) as refuser, FarEnd() as far, line_to(refuser.port, far.port) as line:
        outcome = await dial(line)
        assert (outcome.sip_status, outcome.retry_after) == (503, 120.0)
        assert far.log == []


@pytest.mark.parametrize(("number", "cause"), [("+486", Cause.BUSY), ("+404", Cause.WRONG_NUMBER)])
async def test_what_the_called_side_says_is_not_asked_again_elsewhere(number: str, cause: Cause) -> None:
    async with FarEnd() as one, FarEnd() as two, line_to(one.port, two.port) as line:
        assert (await dial(line, number)).cause is cause
        assert len(one.log) == 1 and two.log == []


async def test_when_every_server_fails_the_call_fails_with_the_last_reason() -> None:
    async with Refuser() as one, Refuser() as two, line_to(dead_port(), one.port, two.port) as line:
        outcome = await dial(line)
        assert outcome.cause is Cause.CARRIER_FAULT
        assert (one.log, two.log) == (["refused"], ["refused"])
        assert outcome.sip_status == 503


async def test_a_hang_up_stops_the_search() -> None:
    async with Silent() as one, Silent() as two, line_to(one.port, two.port) as line:
        call = asyncio.create_task(dial(line))
        await until(lambda: bool(one.of("INVITE")))
        await line.hangup("att_1")
        assert (await call).cause is Cause.CANCELLED
        assert two.requests == []


async def test_recovery_cancels_the_invite_at_whichever_server_it_was_sent_to() -> None:
    """Docs/spine.md section 5: the identity is committed, the server is not; both are asked to end it."""
    async with Silent() as one, Silent() as two:
        login = {"login": "u", "password": Secret("p")}
        async with line_to(one.port, two.port, **login) as line:
            identity = line.new_identity("t")
            call = asyncio.create_task(dial(line, identity=identity))
            await until(lambda: bool(two.of("INVITE")))
            await line.hangup("att_1")
            await call
        async with line_to(one.port, two.port, **login) as later:
            await later.end_stranger("t", identity, "+200", {})
            await until(lambda: bool(one.of("CANCEL")) and bool(two.of("CANCEL")))
        for server in (one, two):
            invite = server.of("INVITE")[0]
            cancel = next(request for request in server.of("CANCEL") if request.via.branch == invite.via.branch)
            assert cancel.uri == invite.uri
            assert (cancel.call_id, cancel.from_.tag, cancel.cseq.number) == (
                identity.call_id,
                invite.from_.tag,
                invite.cseq.number,
            )
            assert len({request.via.branch for request in server.of("CANCEL")}) == 5, "those with credentials too"
        assert one.of("INVITE")[0].from_.tag != two.of("INVITE")[0].from_.tag


async def test_calls_from_every_address_that_dns_names_are_the_trunks() -> None:
    async with FarEnd() as far, line_to(dead_port(), far.port) as line:
        assert (await dial(line)).cause is Cause.OK
        assert line._trunk_at("127.0.0.1") is not None
        assert line._trunk_at("192.0.2.1") is None


class Redirector(FarEnd):
    """Sends every call elsewhere."""

    to = ""
    """The Contact."""

    def _on_call(self, event: IncomingCall) -> None:
        self.log.append("redirected")
        self.endpoint.agent.reject(event.call, 302, self.endpoint.now, (("Contact", f"<{self.to}>"),))
        self.endpoint.pump()


@pytest.mark.parametrize(("number", "cause"), [("+200", Cause.OK), ("+900", None)])
async def test_a_redirection_to_the_other_server_is_followed_for_the_same_number_only(
    number: str, cause: Cause | None
) -> None:
    one = Redirector()
    async with one, FarEnd() as two, line_to(one.port, two.port) as line:
        one.to = f"sip:{number}@127.0.0.1:{two.port}"
        outcome = await dial(line)
        assert (outcome.cause is Cause.OK) == (cause is Cause.OK)
        assert bool(two.log) == (cause is Cause.OK)
        assert one.log == ["redirected"]
