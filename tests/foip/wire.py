"""Two agents, a wire moved by hand and a clock moved by hand (RFC 3261 without sockets)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from faxgw.foip.agent import AgentConfig, UserAgent
from faxgw.foip.digest import Random
from faxgw.foip.events import Event
from faxgw.foip.message import Headers, Request, Response, parse
from faxgw.foip.sdp import Origin, SessionDescription, audio_line, offer, t38_line

Address = tuple[str, int]
CALLER: Address = ("192.0.2.1", 5060)
CALLEE: Address = ("192.0.2.2", 5060)
AUDIO = offer(Origin(11, 1, CALLER[0]), audio_line(30000))
AUDIO_ANSWER = offer(Origin(22, 1, CALLEE[0]), audio_line(40000, (8,)))
FAX = offer(Origin(11, 2, CALLER[0]), t38_line(30002))
FAX_ANSWER = offer(Origin(22, 2, CALLEE[0]), t38_line(40002))


def numbers(start: int = 1) -> Random:
    """A source of random numbers that counts."""
    source = count(start)
    return lambda octets: f"{next(source):0{2 * octets}x}"[-2 * octets :]


def config(address: Address, **changes: object) -> AgentConfig:
    return AgentConfig(address[0], address[1], **changes)  # type: ignore[arg-type]


def name_of(data: bytes) -> str:
    """`INVITE`, or `200 INVITE` for a response."""
    message = parse(data)
    return f"{message.status} {message.cseq.method}" if isinstance(message, Response) else _method(message)


def _method(message: Request | Response) -> str:
    assert isinstance(message, Request)
    return message.method


class Wire:
    """Carries datagrams between agents; `drop` decides which are lost."""

    def __init__(self, agents: dict[Address, UserAgent] | None = None) -> None:
        self.agents = agents or {
            CALLER: UserAgent(config(CALLER), numbers()),
            CALLEE: UserAgent(config(CALLEE), numbers(1 << 60)),
        }
        self.now = 0.0
        self.log: list[str] = []
        """Everything that was sent, in order; lost ones in brackets."""
        self.sent: list[tuple[float, Address, Address, bytes]] = []
        self.events: dict[Address, list[Event]] = {address: [] for address in self.agents}
        self.drop: Callable[[str], bool] = lambda _name: False

    @property
    def caller(self) -> UserAgent:
        return self.agents[CALLER]

    @property
    def callee(self) -> UserAgent:
        return self.agents[CALLEE]

    def flush(self) -> list[str]:
        """Deliver until nothing is on the wire; returns the names of what was sent."""
        first = len(self.log)
        moved = True
        while moved:
            moved = False
            for address, agent in self.agents.items():
                for data, destination in agent.datagrams_to_send():
                    moved = True
                    name = name_of(data)
                    lost = self.drop(name) or destination not in self.agents
                    self.log.append(f"({name})" if lost else name)
                    self.sent.append((self.now, address, destination, data))
                    if not lost:
                        self.agents[destination].receive_datagram(data, address, self.now)
                while (event := agent.next_event()) is not None:
                    moved = True
                    self.events[address].append(event)
        return self.log[first:]

    def run(self, until: float) -> list[str]:
        """Let time pass; returns the names of what was sent."""
        first = len(self.log)
        self.flush()
        while True:
            due = [at for agent in self.agents.values() if (at := agent.get_timer()) is not None and at <= until]
            if not due:
                break
            self.now = max(self.now, min(due))
            for agent in self.agents.values():
                agent.handle_timer(self.now)
            self.flush()
        self.now = until
        return self.log[first:]

    def take(self, address: Address) -> list[Event]:
        """The events of one agent since the last look."""
        events = self.events[address]
        self.events[address] = []
        return events

    def lose(self, *names: str, times: int = 1) -> None:
        """Lose the next `times` messages of each of these names."""
        left = dict.fromkeys(names, times)

        def drop(name: str) -> bool:
            if left.get(name, 0) > 0:
                left[name] -= 1
                return True
            return False

        self.drop = drop

    def inject(
        self, data: bytes, to: Address = CALLEE, source: Address = ("203.0.113.9", 5999)
    ) -> list[Request | Response]:
        """A stranger's datagram; returns what the agent sends back, unread by anybody."""
        self.agents[to].receive_datagram(data, source, self.now)
        return [parse(answer) for answer, _ in self.agents[to].datagrams_to_send()]


def request(method: str, *fields: tuple[str, str], uri: str = "sip:100@192.0.2.2", body: bytes = b"") -> bytes:
    """A stranger's request; fields replace the usual ones."""
    headers = Headers(
        [
            ("Via", "SIP/2.0/UDP 203.0.113.9:5999;branch=z9hG4bKstranger"),
            ("Max-Forwards", "70"),
            ("From", "<sip:x@203.0.113.9>;tag=sx"),
            ("To", "<sip:100@192.0.2.2>"),
            ("Call-ID", "strange"),
            ("CSeq", f"1 {method}"),
            ("Contact", "<sip:x@203.0.113.9:5999>"),
        ]
    )
    for name, value in fields:
        headers.set(name, value)
    return Request(method, uri, headers, body).to_bytes()


def description(data: SessionDescription) -> bytes:
    return data.to_bytes()
