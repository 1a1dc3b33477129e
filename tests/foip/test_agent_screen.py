"""Who may call at all: refused before anything is kept; and the dialog that an answer will make."""

from __future__ import annotations

import pytest

from faxgw.foip.agent import AgentConfig, UserAgent
from faxgw.foip.dialog import DialogRecord
from faxgw.foip.errors import LocalProtocolError
from faxgw.foip.events import CallId, IncomingCall
from tests.foip.wire import AUDIO, CALLEE, CALLER, Address, Wire, config, numbers

SOURCE = ("192.0.2.7", 5060)


def called(verdict: int | None) -> tuple[UserAgent, list[bytes]]:
    """An agent after an INVITE of SOURCE, and the first lines it answered with."""
    caller = UserAgent(AgentConfig(*SOURCE))
    caller.invite(
        caller.new_identity(), "sip:1@192.0.2.1", ("192.0.2.1", 5060), AUDIO, from_="sip:2@192.0.2.7", now=0.0
    )
    ((octets, _destination),) = caller.datagrams_to_send()
    agent = UserAgent(AgentConfig("192.0.2.1", 5060), screen=lambda source: verdict if source == SOURCE else None)
    for _twice in range(2):
        agent.receive_datagram(octets, SOURCE, 0.0)
    return agent, [data.partition(b"\r\n")[0] for data, _to in agent.datagrams_to_send()]


def test_a_peer_passes() -> None:
    agent, answers = called(None)
    assert isinstance(agent.next_event(), IncomingCall)
    assert answers[0].startswith(b"SIP/2.0 100")
    assert agent.calls == 1


def test_a_stranger_is_refused_without_a_trace() -> None:
    """The same request gets the same answer (RFC 3261 section 8.2.7), and no transaction is kept."""
    agent, answers = called(404)
    assert agent.next_event() is None
    assert [answer[:11] for answer in answers] == [b"SIP/2.0 404"] * 2
    assert (agent.calls, agent.get_timer()) == (0, None)


def test_one_stranger_too_many_gets_no_answer() -> None:
    agent, answers = called(0)
    assert (agent.next_event(), answers, agent.calls) == (None, [], 0)


def test_the_dialog_is_known_before_the_answer() -> None:
    agent, _answers = called(None)
    event = agent.next_event()
    assert isinstance(event, IncomingCall)
    record = agent.dialog_of(event.call)
    assert (record.host, record.port, record.invite_seq) == (*SOURCE, 0)
    assert DialogRecord.from_dict(record.to_dict()) == record
    agent.bye_stranger(record, 1.0)
    assert any(data.startswith(b"BYE ") for data, _to in agent.datagrams_to_send())


def test_a_call_that_is_gone_has_no_dialog() -> None:
    agent, _answers = called(None)
    with pytest.raises(LocalProtocolError):
        agent.dialog_of(CallId("gone"))


def test_a_call_for_a_contact_that_only_we_have_told_passes_the_screen() -> None:
    """A registrar's servers may call from anywhere; what they call is what we have registered."""
    asked: list[Address] = []

    def screen(source: Address) -> int | None:
        asked.append(source)
        return 404

    wire = Wire({CALLER: UserAgent(config(CALLER), numbers()), CALLEE: UserAgent(config(CALLEE), numbers(9), screen)})
    wire.callee.welcome = lambda request: "line=secret" in request.uri
    for target in ("sip:fax@192.0.2.2;line=secret", "sip:fax@192.0.2.2;line=guess"):
        identity = wire.caller.new_identity()
        wire.caller.invite(identity, target, CALLEE, AUDIO, from_="<sip:a@b>", now=0.0)
        wire.flush()
    assert [type(event).__name__ for event in wire.take(CALLEE)] == ["IncomingCall"]
    assert asked == [CALLER]
