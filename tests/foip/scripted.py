"""One agent and a far end that says exactly what a test writes: whole messages, a clock moved by hand."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from faxgw.foip.agent import UserAgent
from faxgw.foip.events import Answered, CallId, Event, IncomingCall
from faxgw.foip.message import Headers, Request, Response, parse, response_to
from faxgw.foip.sdp import CONTENT_TYPE, SessionDescription
from tests.foip.wire import AUDIO, AUDIO_ANSWER, CALLEE, CALLER, Address, config, numbers

Field = tuple[str, str]


class Scripted:
    """An agent at CALLER's address, and the far end at CALLEE's."""

    def __init__(self, **changes: object) -> None:
        self.agent = UserAgent(config(CALLER, **changes), numbers())
        self.now = 0.0
        self.call = CallId("")
        self.tag = "far"
        """Tag of the far end."""
        self.seq = 100
        """Last CSeq number of the far end."""
        self._branches = count(1)
        self._invite: Request | None = None

    # What the agent sends

    def sent(self) -> list[Request | Response]:
        """What the agent has sent since the last look."""
        return [parse(data) for data, _ in self.agent.datagrams_to_send()]

    def addressed(self) -> list[tuple[Request | Response, Address]]:
        """The same, with where it goes."""
        return [(parse(data), destination) for data, destination in self.agent.datagrams_to_send()]

    def requests(self, *methods: str) -> list[Request]:
        """The requests it has sent since the last look, of these methods if some are named; the rest is dropped."""
        found = [message for message in self.sent() if isinstance(message, Request)]
        return [message for message in found if not methods or message.method in methods]

    def names(self) -> list[str]:
        """What the agent has sent since the last look, as `INVITE` or `200 INVITE`."""
        return [
            f"{message.status} {message.cseq.method}" if isinstance(message, Response) else message.method
            for message in self.sent()
        ]

    def events(self) -> list[Event]:
        """The agent's events since the last look."""
        found = []
        while (event := self.agent.next_event()) is not None:
            found.append(event)
        return found

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        until = self.now + seconds
        while (at := self.agent.get_timer()) is not None and at <= until:
            self.now = max(self.now, at)
            self.agent.handle_timer(self.now)
        self.now = until

    # What the far end sends

    def respond(
        self,
        request: Request,
        status: int,
        *fields: Field,
        tag: str | None = None,
        sdp: SessionDescription | None = None,
        contact: str = "<sip:far@192.0.2.2>",
    ) -> None:
        """Answer a request of the agent."""
        response = response_to(request, status, tag=self.tag if tag is None else tag)
        if 100 < status < 300:
            response.headers.add("Contact", contact)
        for name, value in fields:
            response.headers.add(name, value)
        if sdp is not None:
            response.headers.add("Content-Type", CONTENT_TYPE)
            response.body = sdp.to_bytes()
        self.agent.receive_datagram(response.to_bytes(), CALLEE, self.now)

    def send(
        self,
        method: str,
        *fields: Field,
        seq: int | None = None,
        tags: tuple[str, str] | None = None,
        sdp: SessionDescription | None = None,
        branch: str = "",
    ) -> Request:
        """Send a request in the dialog of the call; `tags` are (the far end's, the agent's)."""
        if seq is None:
            self.seq += 0 if method in ("ACK", "CANCEL") else 1
            seq = self.seq
        call_id, _, own = self.call.rpartition("/")
        far, ours = tags or (self.tag, own)
        headers = Headers(
            [
                ("Via", f"SIP/2.0/UDP 192.0.2.2:5060;branch={branch or f'z9hG4bKfar{next(self._branches)}'}"),
                ("Max-Forwards", "70"),
                ("From", f"<sip:far@192.0.2.2>;tag={far}"),
                ("To", "<sip:fax@192.0.2.1>" + (f";tag={ours}" if ours else "")),
                ("Call-ID", call_id),
                ("CSeq", f"{seq} {method}"),
                ("Contact", "<sip:far@192.0.2.2>"),
            ]
        )
        for name, value in fields:
            headers.add(name, value)
        body = b""
        if sdp is not None:
            headers.add("Content-Type", CONTENT_TYPE)
            body = sdp.to_bytes()
        request = Request(method, "sip:fax@192.0.2.1:5060", headers, body)
        self.agent.receive_datagram(request.to_bytes(), CALLEE, self.now)
        return request

    def ask(self, method: str, *fields: Field, sdp: SessionDescription | None = None, seq: int | None = None,
            tags: tuple[str, str] | None = None) -> Response:  # fmt: skip
        """Send a request and return the one answer to it."""
        self.sent()
        self.send(method, *fields, sdp=sdp, seq=seq, tags=tags)
        (answer,) = self.sent()
        assert isinstance(answer, Response)
        return answer

    # Whole calls

    def dial(self, **options: object) -> Request:
        """The agent's INVITE."""
        self.call = self.agent.invite(
            self.agent.new_identity(),
            "sip:4989@192.0.2.2",
            CALLEE,
            AUDIO,
            from_="<sip:+4930@192.0.2.1>",
            now=self.now,
            **options,  # type: ignore[arg-type]
        )
        (invite,) = self.requests("INVITE")
        return invite

    def establish_out(self, *fields: Field, **options: object) -> Request:
        """A call of the agent's that stands; the fields are those of the far end's 200."""
        invite = self.dial(**options)
        self.respond(invite, 200, *fields, sdp=AUDIO_ANSWER)
        assert any(isinstance(event, Answered) for event in self.events())
        self.agent.acknowledge(self.call, self.now)
        assert self.names() == ["ACK"]
        return invite

    def invite(self, *fields: Field, sdp: SessionDescription | None = AUDIO_ANSWER) -> list[Event]:
        """A call of the far end's; `call` is known afterwards."""
        self.call = CallId("incoming/")
        self._invite = self.send("INVITE", *fields, sdp=sdp)
        events = self.events()
        for event in events:
            if isinstance(event, IncomingCall):
                self.call = event.call
        return events

    def establish_in(self, *fields: Field, sdp: SessionDescription = AUDIO) -> Response:
        """A call of the far end's that stands; returns the agent's 200. The fields are those of the INVITE."""
        assert len(self.invite(*fields)) == 1
        self.sent()
        self.agent.answer(self.call, sdp, self.now)
        (answer,) = self.sent()
        assert isinstance(answer, Response) and answer.status == 200
        self.send("ACK")
        self.events()
        return answer

    def repeat_invite(self) -> None:
        """Send the far end's INVITE once more, as it was."""
        assert self._invite is not None
        self.agent.receive_datagram(self._invite.to_bytes(), CALLEE, self.now)

    def cancel(self) -> None:
        """CANCEL the far end's INVITE."""
        assert self._invite is not None
        branch = self._invite.via.branch
        self.send("CANCEL", seq=self._invite.cseq.number, tags=(self.tag, ""), branch=branch)


def field(message: Request | Response, name: str) -> str:
    """The value of a header field that must be there."""
    value = message.headers.get(name)
    assert value is not None, f"{message!r} has no {name}"
    return value


def kinds(events: Sequence[Event]) -> list[str]:
    """The events by name."""
    return [type(event).__name__ for event in events]
