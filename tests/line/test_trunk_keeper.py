"""Who is up, in which order, and whose calls are ours by what they call."""

from __future__ import annotations

import asyncio
import logging

import pytest

from faxgw.foip.events import CallId, Event, Rejected
from faxgw.foip.message import Headers, Request
from faxgw.foip.registration import Registration
from faxgw.line import trunk_keeper as module
from faxgw.line.dns import Resolver
from faxgw.line.endpoint import SipEndpoint
from faxgw.line.registrar_client import RegistrarClient
from faxgw.line.trunk import Trunk, TrunkSettings
from faxgw.line.trunk_keeper import MAX_WELCOME, TrunkKeeper
from faxgw.settings import Duration, Listener, Secret
from tests.foip.wire import AUDIO
from tests.line.far_end import until
from tests.line.registrar import Registrar
from tests.line.test_registrar_client import registering
from tests.patience import PATIENCE_S


def trunk(name: str, **changes: object) -> Trunk:
    values: dict[str, object] = {"host": "127.0.0.1", "port": 9, "keepalive": Duration(0), **changes}
    return Trunk(TrunkSettings(name=name, **values))  # type: ignore[arg-type]


async def test_trunks_that_are_up_come_first_and_the_others_have_no_channels() -> None:
    down = trunk("a", registration=True, login="u", password=Secret("p"))
    trunks = {"a": down, "b": trunk("b"), "c": trunk("c")}
    keeper = TrunkKeeper(trunks, Resolver())
    channels = {"a": 4, "b": 0, "c": 2}
    assert keeper.usable(channels) == channels, "before the start nothing is known"
    endpoint = SipEndpoint(Listener("127.0.0.1", 0), "", lambda event: None)
    await endpoint.start()
    keeper.start(lambda trunk: endpoint)
    try:
        assert list(keeper.usable(channels).items()) == [("b", 0), ("c", 2), ("a", 0)]
        assert set(keeper.faults()) == {"a"}
    finally:
        await keeper.stop()
        await keeper.stop()
        await endpoint.stop()


async def call(host: str, target: str, line_port: int) -> int:
    """Call a line from an address of the loopback; returns the status it refuses with."""
    inbox: asyncio.Queue[object] = asyncio.Queue()
    endpoint = SipEndpoint(Listener(host, 0), "", lambda event: None)
    await endpoint.start()
    try:
        agent = endpoint.agent
        made: CallId = agent.invite(
            agent.new_identity(), target, ("127.0.0.1", line_port), AUDIO, from_="<sip:+331@x>", now=endpoint.now
        )
        endpoint.listen(made, inbox)
        endpoint.pump()
        async with asyncio.timeout(PATIENCE_S):
            while not isinstance(event := await inbox.get(), Rejected):
                assert isinstance(event, Event)
        return event.status
    finally:
        await endpoint.stop()


async def test_calls_for_the_registered_contact_are_the_trunks_wherever_they_come_from() -> None:
    """A carrier's gateways need not be those that register us; 480: known, but nobody takes calls in this test."""
    async with Registrar() as registrar, registering(registrar.port) as line:
        await until(lambda: line.trunks() == {"t": 2})
        (contact,) = registrar.bindings
        assert await call("127.0.0.2", contact, line.port) == 480
        assert await call("127.0.0.2", contact[:-1] + "_", line.port) == 404
        assert await call("127.0.0.2", contact.partition(";")[0], line.port) == 404
        assert await call("127.0.0.1", contact.partition(";")[0], line.port) == 480


async def test_calls_for_the_contact_that_never_begin_are_not_remembered_for_ever() -> None:
    """The INVITE may be refused by the agent before the line sees it."""
    made = trunk("a", registration=True, login="u", password=Secret("p"))
    keeper = TrunkKeeper({"a": made}, Resolver())
    endpoint = SipEndpoint(Listener("127.0.0.1", 0), "", lambda event: None)
    await endpoint.start()
    keeper.start(lambda trunk: endpoint)
    welcome = endpoint.agent.welcome
    target = str(made.contact("127.0.0.1", 5060))
    for number in range(2 * MAX_WELCOME):
        assert welcome(Request("INVITE", target, Headers([("Call-ID", str(number))])))
    assert keeper.called("0") is None and keeper.called(str(2 * MAX_WELCOME - 1)) is made
    assert not welcome(Request("INVITE", "tel:+331", Headers([("Call-ID", "x")])))
    assert not welcome(Request("INVITE", "sip:u@[", Headers([("Call-ID", "x")])))
    await keeper.stop()
    await endpoint.stop()


async def test_a_task_that_fails_is_begun_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No fault of one trunk ends the others, or its own work for good."""
    monkeypatch.setattr(module, "FAULT_PAUSE", 0.01)
    tries = 0

    async def fail(self: object) -> None:
        nonlocal tries
        tries += 1
        raise ZeroDivisionError

    monkeypatch.setattr(RegistrarClient, "run", fail)
    endpoint = SipEndpoint(Listener("127.0.0.1", 0), "", lambda event: None)
    await endpoint.start()
    made = trunk("a", registration=True, login="u", password=Secret("p"))
    keeper = TrunkKeeper({"a": made}, Resolver())
    with caplog.at_level(logging.CRITICAL):
        keeper.start(lambda trunk: endpoint)
        await until(lambda: tries >= 3)
    assert isinstance(made.registration, Registration)
    await keeper.stop()
    await endpoint.stop()
