"""One request and its outcome: an answer, silence, nobody there, and what cannot be sent at all."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from faxgw.foip.client import MAX_ATTEMPTS, Sending
from faxgw.foip.events import Why
from faxgw.line.endpoint import SipEndpoint
from faxgw.line.exchange import ask
from faxgw.settings import Listener
from tests.line.registrar import Registrar
from tests.line.test_failover import dead_port


@pytest.fixture
async def endpoint() -> AsyncIterator[SipEndpoint]:
    made = SipEndpoint(Listener("127.0.0.1", 0), "", lambda event: None)
    await made.start()
    yield made
    await made.stop()


def options(port: int, **changes: object) -> Sending:
    values: dict[str, object] = {"cseq": 7, "from_": "<sip:a@b>", **changes}
    return Sending("OPTIONS", "sip:x", ("127.0.0.1", port), **values)  # type: ignore[arg-type]


async def test_an_answer_is_the_outcome(endpoint: SipEndpoint) -> None:
    async with Registrar() as peer:
        done = await ask(endpoint, options(peer.port), 5.0)
    assert (done.status, done.why, done.cseq) == (200, Why.ANSWERED, 7)


async def test_silence_ends_in_the_time_given_and_leaves_nothing(endpoint: SipEndpoint) -> None:
    async with Registrar(silent=True) as peer:
        done = await ask(endpoint, options(peer.port), 0.2)
        assert (done.status, done.why, done.cseq) == (408, Why.TIMEOUT, 7 + MAX_ATTEMPTS)
        assert endpoint.agent.get_timer() is None


async def test_nobody_there_is_told_at_once(endpoint: SipEndpoint) -> None:
    done = await ask(endpoint, options(dead_port()), 5.0)
    assert (done.status, done.why) == (503, Why.TRANSPORT)


async def test_what_cannot_be_sent_is_an_outcome_too(endpoint: SipEndpoint) -> None:
    done = await ask(endpoint, options(9, from_="nonsense<"), 5.0)
    assert (done.status, done.why) == (503, Why.TRANSPORT)
