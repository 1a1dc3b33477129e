"""Recorded signalling of other equipment against our user agent, in virtual time (RFC 3261, RFC 3264).

What the far end said is played to a `UserAgent`; where the capture has a message of ours, the agent is given the
command for it and must send that message: same method or status, CSeq in step, same essentials of the description.
"""

from __future__ import annotations

from typing import TypeVar

import pytest

from faxgw.foip.agent import UserAgent
from faxgw.foip.digest import Credentials
from faxgw.foip.events import (
    Answered,
    By,
    CallIdentity,
    Ended,
    Event,
    IncomingCall,
    ReofferAnswered,
    Reoffered,
    ReofferRefused,
)
from faxgw.foip.message import Request, Response, parse
from faxgw.foip.sdp import Origin, SessionDescription, answer, answer_audio, answer_t38, audio_line, offer, t38_line
from tests.foip.wire import config, numbers
from tests.interop.capture import GATEWAY, PEER, Capture, Datagram, load

AUDIO_PORT, T38_PORT = 30000, 30002
E = TypeVar("E", bound=Event)
Essentials = list[tuple[str, bool, str, tuple[str, ...], frozenset[tuple[str, str | None]]]]


class Replay:
    """One capture against one agent; with `doubled`, each message of the far end comes twice."""

    def __init__(self, capture: Capture, doubled: bool = False) -> None:
        self.agent = UserAgent(config(GATEWAY), numbers())
        self.events: list[Event] = []
        self.compared: list[str] = []
        """Messages of ours that were sent as in the capture."""
        self._capture = capture
        self._doubled = doubled
        self._known: set[bytes] = set()
        self._sent: list[Request | Response] = []
        self._now = 0.0
        self._origin = Origin(1, 1, GATEWAY[0])
        self._renamed: dict[str, str] = {}
        """Tags and branches of ours in the capture → the agent's."""
        self._numbered: dict[int, int] = {}
        """CSeq numbers of ours in the capture → the agent's."""

    def run(self) -> list[str]:
        """Play the whole call; returns the names of the events."""
        for datagram in self._capture.sip:
            self._let_pass(datagram.at)
            if datagram.ours:
                message = parse(datagram.octets)
                self._command(message)
                self._pump()
                self._compare(message)
            else:
                for octets in [self._translated(datagram)] * (1 + self._doubled):
                    self.agent.receive_datagram(octets, PEER, self._now)
                    self._pump()
        self._let_pass(self._now + 64)  # whatever is repeated is repeated by then (RFC 3261 section 17)
        assert self._sent == []
        assert self.agent.calls == 0
        return [type(event).__name__ for event in self.events]

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def _let_pass(self, until: float) -> None:
        while (at := self.agent.get_timer()) is not None and at <= until:
            self._now = max(self._now, at)
            self.agent.handle_timer(self._now)
            self._pump()
        self._now = until

    def _pump(self) -> None:
        for data, _destination in self.agent.datagrams_to_send():
            if not self._doubled or data not in self._known:
                self._sent.append(parse(data))
            self._known.add(data)
        while (event := self.agent.next_event()) is not None:
            self.events.append(event)

    def _translated(self, datagram: Datagram) -> bytes:
        """What the far end said, as if it had talked to this agent."""
        octets = datagram.octets
        for then, now in self._renamed.items():
            octets = octets.replace(then.encode(), now.encode())
        message = parse(octets)
        if isinstance(message, Response):
            message.headers.set("CSeq", f"{self._numbered[message.cseq.number]} {message.cseq.method}")
        return message.to_bytes()

    # Our side

    def _command(self, message: Request | Response) -> None:
        """Give the agent the command that led to this message; nothing for what it does by itself."""
        agent, now = self.agent, self._now
        kind = message.method if isinstance(message, Request) else f"{message.status} {message.cseq.method}"
        if kind == "INVITE" and not message.to.tag:
            if not self._numbered:
                self._invite(message)
            return
        call = self.events[0].call if self.events else None
        if call is None:
            return
        last = self.events[-1]
        if kind == "INVITE":
            line = t38_line(T38_PORT) if b"image" in message.body else audio_line(AUDIO_PORT)
            agent.reinvite(call, self._offer(line), now)
        elif kind == "ACK" and isinstance(last, Answered):
            agent.acknowledge(call, now)
        elif kind == "BYE":
            agent.bye(call, now)
        elif kind == "180 INVITE":
            agent.ring(call, now)
        elif kind == "200 INVITE" and isinstance(last, IncomingCall):
            agent.answer(call, self._answer(last.offer), now)
        elif kind == "200 INVITE" and isinstance(last, Reoffered):
            agent.answer_reinvite(call, self._answer(last.offer), now)

    def _invite(self, message: Request | Response) -> None:
        assert isinstance(message, Request)
        identity = CallIdentity(message.call_id, message.from_.tag, message.via.branch, message.cseq.number)
        self.agent.invite(
            identity,
            message.uri,
            PEER,
            offer(self._origin, audio_line(AUDIO_PORT)),
            from_=str(message.from_).partition(";tag")[0],
            to=str(message.to),
            credentials=Credentials("login", "password"),
            now=self._now,
        )

    def _offer(self, line: object) -> SessionDescription:
        self._origin = self._origin.next()
        return offer(self._origin, line)  # type: ignore[arg-type]

    def _answer(self, offered: SessionDescription | None) -> SessionDescription:
        assert offered is not None
        self._origin = self._origin.next()
        made = answer_t38(offered, self._origin, T38_PORT) or answer_audio(offered, self._origin, AUDIO_PORT)
        return made or answer(offered, self._origin, {})

    def _compare(self, then: Request | Response) -> None:
        assert self._sent, f"nothing was sent where the capture has {then!r}"
        now = self._sent.pop(0)
        assert type(now) is type(then)
        assert now.call_id == then.call_id
        assert now.cseq.method == then.cseq.method
        assert essentials(now) == essentials(then)
        if isinstance(now, Request) and isinstance(then, Request):
            assert now.method == then.method
            assert now.uri == then.uri
            assert ("Authorization" in now.headers) == ("Authorization" in then.headers)
            first_then, first_now = next(iter(self._numbered.items()), (then.cseq.number, now.cseq.number))
            assert now.cseq.number - first_now == then.cseq.number - first_then
            self._numbered[then.cseq.number] = now.cseq.number
            self._rename(then.from_.tag, now.from_.tag)
            self._rename(then.via.branch, now.via.branch)
            self.compared.append(now.method)
        elif isinstance(now, Response) and isinstance(then, Response):
            assert now.status == then.status
            assert now.cseq == then.cseq
            assert [via.branch for via in now.vias] == [via.branch for via in then.vias]
            self._rename(then.to.tag, now.to.tag)
            self.compared.append(f"{now.status} {now.cseq.method}")

    def _rename(self, then: str, now: str) -> None:
        if then and then != now:
            self._renamed[then] = now


def essentials(message: Request | Response) -> Essentials:
    """What a description says, but for ports and versions."""
    if not message.body:
        return []
    description = SessionDescription.parse(message.body)
    return [
        (
            line.media,
            line.port > 0,
            line.proto,
            line.formats,
            frozenset(line.attributes) if line.is_t38 else frozenset(),
        )
        for line in description.media
    ]


def test_the_far_end_switches_to_t38_and_back() -> None:
    """RFC 3261 section 14.2: we are the called side of both re-INVITEs; the last one returns to audio, then BYE."""
    replay = Replay(load("sending-far-end-switches"))
    assert replay.run() == ["Answered", "Reoffered", "Reoffered", "Ended"]
    assert replay.compared == ["INVITE", "ACK", "200 INVITE", "200 INVITE", "200 BYE"]
    to_t38, to_audio = replay.of(Reoffered)
    assert to_t38.offer.t38 is not None
    assert to_audio.offer.audio is not None
    assert [ended.by for ended in replay.of(Ended)] == [By.REMOTE]


def test_we_switch_to_t38_and_the_far_end_closes_it() -> None:
    """RFC 3261 section 14.1; in the end the far end re-INVITEs with the image line at port 0, then BYE."""
    replay = Replay(load("sending-gateway-switches"))
    assert replay.run() == ["Answered", "ReofferAnswered", "Reoffered", "Ended"]
    assert replay.compared == ["INVITE", "ACK", "INVITE", "ACK", "200 INVITE", "200 BYE"]
    (answered,), (closing,) = replay.of(ReofferAnswered), replay.of(Reoffered)
    assert answered.sdp.t38 is not None
    assert [line.port for line in closing.offer.media] == [0]


def test_the_far_end_asks_for_credentials() -> None:
    """RFC 3261 section 22.2: 401, ACK, the INVITE again with Authorization and the next CSeq."""
    replay = Replay(load("sending-with-digest"))
    assert replay.run() == ["Answered", "ReofferAnswered", "Reoffered", "Ended"]
    assert replay.compared[:4] == ["INVITE", "ACK", "INVITE", "ACK"]


def test_the_far_end_refuses_t38() -> None:
    """RFC 3261 section 14.1: 488 leaves the session as it was; the fax goes on in audio."""
    replay = Replay(load("sending-t38-refused"))
    assert replay.run() == ["Answered", "ReofferRefused", "Ended"]
    assert [refused.status for refused in replay.of(ReofferRefused)] == [488]
    (answered,) = replay.of(Answered)
    assert answered.sdp is not None and answered.sdp.audio is not None
    assert answered.sdp.audio.formats == ("0", "8")


def test_we_are_called_and_switch_to_t38() -> None:
    """The called side re-INVITEs with a CSeq of its own, and is the first to say BYE."""
    replay = Replay(load("receiving-gateway-switches"))
    assert replay.run() == ["IncomingCall", "Acknowledged", "ReofferAnswered", "Ended"]
    assert replay.compared == ["100 INVITE", "200 INVITE", "INVITE", "ACK", "BYE"]
    assert [ended.by for ended in replay.of(Ended)] == [By.LOCAL]


def test_we_are_called_and_the_far_end_switches_to_t38() -> None:
    replay = Replay(load("receiving-far-end-switches"))
    assert replay.run() == ["IncomingCall", "Acknowledged", "Reoffered", "Reoffered", "Ended"]
    assert replay.compared == ["100 INVITE", "180 INVITE", "200 INVITE", "200 INVITE", "200 INVITE", "200 BYE"]


@pytest.mark.parametrize(
    "name",
    ["sending-far-end-switches", "sending-gateway-switches", "sending-with-digest", "receiving-gateway-switches"],
)
def test_a_repeated_message_changes_nothing(name: str) -> None:
    """RFC 3261 section 17: each message of the far end comes twice; every event still comes once."""
    capture = load(name)
    assert Replay(capture, doubled=True).run() == Replay(capture).run()
