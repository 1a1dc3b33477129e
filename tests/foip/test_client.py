"""Requests outside a dialog: one outcome each, whatever the far end says (RFC 3261 sections 8.1 and 22)."""

from __future__ import annotations

import pytest

from faxgw.foip import client
from faxgw.foip.agent import UserAgent
from faxgw.foip.client import MAX_ATTEMPTS
from faxgw.foip.digest import Authenticator, Credentials
from faxgw.foip.errors import LocalProtocolError
from faxgw.foip.events import RequestDone, Why
from faxgw.foip.message import Request, parse, response_to
from tests.foip.wire import CALLEE, CALLER, Wire, config, numbers

REGISTRAR = ("192.0.2.9", 5060)
SECRET = Credentials("fax", "secret")
OK = 'Digest realm="r", nonce="n1", qop="auth"'


def caller() -> UserAgent:
    return UserAgent(config(CALLER), numbers())


def sent(agent: UserAgent) -> list[Request]:
    messages = [parse(data) for data, _ in agent.datagrams_to_send()]
    return [message for message in messages if isinstance(message, Request)]


def answer(agent: UserAgent, request: Request, status: int, *fields: tuple[str, str], now: float = 0.0) -> None:
    response = response_to(request, status, tag="r")
    for name, value in fields:
        response.headers.add(name, value)
    agent.receive_datagram(response.to_bytes(), REGISTRAR, now)


def register(agent: UserAgent, **more: object) -> Request:
    agent.request("REGISTER", "sip:example.net", REGISTRAR, from_="sip:fax@example.net", now=0.0, **more)  # type: ignore[arg-type]
    (request,) = sent(agent)
    return request


def done(agent: UserAgent) -> RequestDone:
    event = agent.next_event()
    assert isinstance(event, RequestDone)
    assert agent.next_event() is None
    return event


def test_options_between_two_agents_ends_with_the_answer_and_its_headers() -> None:
    """RFC 3261 section 11."""
    wire = Wire()
    call = wire.caller.request("OPTIONS", "sip:192.0.2.2", CALLEE, from_="sip:fax@192.0.2.1", now=0.0)
    assert wire.flush() == ["OPTIONS", "200 OPTIONS"]
    (event,) = wire.take(CALLER)
    assert isinstance(event, RequestDone)
    assert (event.call, event.method, event.status, event.why) == (call, "OPTIONS", 200, Why.ANSWERED)
    assert "INVITE" in dict(event.headers)["Allow"]


def test_a_challenge_is_answered_with_the_same_call_id_and_the_next_cseq() -> None:
    """Section 22.2: same Call-ID, From and To, CSeq plus one, another branch."""
    agent = caller()
    first = register(agent, credentials=SECRET, cseq=7)
    answer(agent, first, 401, ("WWW-Authenticate", OK))
    (second,) = sent(agent)
    assert (second.call_id, str(second.from_), second.cseq.number) == (first.call_id, str(first.from_), 8)
    assert second.via.branch != first.via.branch
    assert 'nonce="n1"' in (second.headers.get("Authorization") or "")
    answer(agent, second, 200)
    event = done(agent)
    assert (event.status, event.cseq) == (200, 8)


def test_a_wrong_password_ends_after_one_try() -> None:
    """Section 22.4: a new nonce without stale says that the password is wrong."""
    agent = caller()
    answer(agent, register(agent, credentials=SECRET), 401, ("WWW-Authenticate", OK))
    (second,) = sent(agent)
    answer(agent, second, 401, ("WWW-Authenticate", OK.replace("n1", "n2")))
    assert sent(agent) == []
    assert done(agent).status == 401


def test_challenges_without_credentials_and_of_registrar_and_proxy() -> None:
    """Section 22.3: 407 of the proxy, then 401 of the registrar; without credentials the first is the outcome."""
    bare = caller()
    answer(bare, register(bare), 401, ("WWW-Authenticate", OK))
    assert done(bare).status == 401
    agent = caller()
    answer(agent, register(agent, credentials=SECRET), 407, ("Proxy-Authenticate", OK.replace("n1", "p1")))
    (second,) = sent(agent)
    answer(agent, second, 401, ("WWW-Authenticate", OK))
    (third,) = sent(agent)
    assert "p1" in (third.headers.get("Proxy-Authorization") or "")
    assert "n1" in (third.headers.get("Authorization") or "")


def test_a_registrar_that_calls_every_nonce_stale_is_given_up() -> None:
    """MAX_ATTEMPTS and MAX_STALE bound it."""
    agent = caller()
    request = register(agent, credentials=SECRET)
    tries = 1
    for number in range(20):
        answer(agent, request, 401, ("WWW-Authenticate", f'Digest realm="r", nonce="n{number}", stale=true'))
        further = sent(agent)
        if not further:
            break
        tries += 1
        (request,) = further
    assert 1 < tries <= MAX_ATTEMPTS
    assert done(agent).status == 401


def test_an_authenticator_keeps_the_nonce_for_the_next_registration() -> None:
    """Section 22.1: what is known of the registrar saves a round trip; the nonce count goes on."""
    agent = caller()
    authenticator = Authenticator(SECRET, numbers())
    answer(agent, register(agent, credentials=authenticator, call_id="c", from_tag="t", cseq=1), 401,
           ("WWW-Authenticate", OK))  # fmt: skip
    (second,) = sent(agent)
    answer(agent, second, 200)
    assert done(agent).cseq == 2
    third = register(agent, credentials=authenticator, call_id="c", from_tag="t", cseq=3)
    assert (third.call_id, third.from_.tag, third.cseq.number) == ("c", "t", 3)
    assert "nc=00000002" in (third.headers.get("Authorization") or "")


def test_a_password_that_was_right_is_tried_again_with_a_new_nonce() -> None:
    """RFC 7616 section 3.3: a registrar may change its nonce between registrations and not call the old one stale."""
    agent = caller()
    authenticator = Authenticator(SECRET, numbers())
    for nonce in ("n1", "n2", "n3"):
        answer(agent, register(agent, credentials=authenticator), 401, ("WWW-Authenticate", OK.replace("n1", nonce)))
        (again,) = sent(agent)
        assert f'nonce="{nonce}"' in (again.headers.get("Authorization") or "")
        answer(agent, again, 200)
        assert done(agent).status == 200


def test_silence_ends_after_64_t1_and_icmp_at_once() -> None:
    """Sections 17.1.2.2 (timer F) and 8.1.3.1."""
    agent = caller()
    register(agent)
    agent.handle_timer(31.9)
    assert agent.next_event() is None
    agent.handle_timer(32.0)
    silent = done(agent)
    assert (silent.status, silent.why) == (408, Why.TIMEOUT)
    assert len(sent(agent)) == 1  # timer E, late, fires once
    register(agent)
    agent.handle_transport_error(REGISTRAR, 0.1)
    refused = done(agent)
    assert (refused.status, refused.why) == (503, Why.TRANSPORT)


def test_an_answered_408_is_told_from_silence() -> None:
    agent = caller()
    answer(agent, register(agent), 408)
    assert done(agent).why is Why.ANSWERED


def test_an_outbound_proxy_is_a_preloaded_route() -> None:
    """Section 8.1.2; a strict router takes the Request-URI (section 12.2.1.1)."""
    loose = register(caller(), route=("<sip:proxy.example.net;lr>",))
    assert loose.uri == "sip:example.net"
    assert loose.headers.get_all("Route") == ["<sip:proxy.example.net;lr>"]
    strict = register(caller(), route=("<sip:old.example.net>", "<sip:second.example.net;lr>"))
    assert strict.uri == "sip:old.example.net"
    assert strict.headers.get_all("Route") == ["<sip:second.example.net;lr>", "<sip:example.net>"]


def test_what_cannot_be_sent_is_refused_at_once() -> None:
    agent = caller()
    for method, target, route in (
        ("INVITE", "sip:x@192.0.2.2", ()),
        ("OPTIONS", "not a uri", ()),
        ("OPTIONS", "sip:x@192.0.2.2", ("<<",)),
    ):
        with pytest.raises(LocalProtocolError):
            agent.request(method, target, CALLEE, from_="sip:a@b", route=route, now=0.0)
    register(agent, call_id="c", from_tag="t")
    with pytest.raises(LocalProtocolError, match="in use"):
        register(agent, call_id="c", from_tag="t")


def test_an_abandoned_request_has_no_outcome() -> None:
    agent = caller()
    call = agent.request("OPTIONS", "sip:192.0.2.9", REGISTRAR, from_="sip:fax@192.0.2.1", now=0.0)
    (request,) = sent(agent)
    agent.abandon(call)
    answer(agent, request, 200)
    agent.handle_timer(100.0)
    assert agent.next_event() is None


def test_a_provisional_answer_is_no_outcome() -> None:
    """Section 17.1.2.1."""
    agent = caller()
    request = register(agent)
    answer(agent, request, 100)
    assert agent.next_event() is None
    answer(agent, request, 200)
    assert done(agent).status == 200


def test_requests_under_way_are_bounded_and_ended_ones_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MAX_EXCHANGES", 2)
    agent = caller()
    first = register(agent)
    register(agent)
    with pytest.raises(LocalProtocolError, match="too many"):
        register(agent)
    answer(agent, first, 200)
    register(agent)
