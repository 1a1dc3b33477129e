"""What a machine's signalling suffers, or does, that no proper user agent would: message by message, without a socket.

A `Twister` stands between the park's agent and the wire for one call. It knows messages and times, neither the fax nor
the agent; what the machine's call has to do at a moment is a cue (`cues`), taken by the leg of the call.
"""

from __future__ import annotations

from typing import Final

from faxgw.foip.errors import RemoteProtocolError
from faxgw.foip.message import Request, Response, parse
from faxgw.foip.transaction import Address
from faxgw.simulator.manner import Twist

CROSSES_AFTER: Final = 0.1
"""Seconds that a message of the gateway waits for one of the machine to cross it."""
SESSION: Final = 90
"""Seconds of a short session interval, the shortest there may be (RFC 4028 section 4)."""
BYES_UNHEARD: Final = 3
ACKS_LOST: Final = 2
FORK_TAG: Final = "another-machine"
_NOISE: Final = b"\xff\x00 this is no SIP message\r\n\r\n"


class Twister:
    """The messages of one call."""

    def __init__(self, twist: Twist) -> None:
        self.cues: list[str] = []
        """`reinvite`: the gateway's re-INVITE is there, `cancel`: its CANCEL; neither has reached the agent yet."""
        self._twist = twist
        self._count = 0
        self._held: list[tuple[float, bytes, Address]] = []

    def incoming(self, octets: bytes, source: Address, now: float) -> list[bytes]:
        """What of a datagram reaches the agent now."""
        message = _read(octets)
        if not isinstance(message, Request):
            return [octets]
        match self._twist, message.method:
            case Twist.ACK_LOST_TWICE, "ACK":
                self._count += 1
                return [octets] if self._count > ACKS_LOST else []
            case Twist.GLARE, "INVITE" if _is_inside(message):
                return self._hold("reinvite", octets, source, now)
            case Twist.ANSWERS_CANCEL, "CANCEL":
                return self._hold("cancel", octets, source, now)
            case Twist.REINVITE_UNHEARD, "INVITE" if _is_inside(message):
                return []
            case ((Twist.REFRESHED_BY_GATEWAY | Twist.REFRESHED_BY_MACHINE), "INVITE") if not _is_inside(message):
                role = "" if self._twist is Twist.REFRESHED_BY_GATEWAY else ";refresher=uas"
                message.headers.set("Session-Expires", f"{SESSION}{role}")
                return [message.to_bytes()]
        return [octets]

    def due(self, now: float) -> list[tuple[bytes, Address]]:
        """Datagrams that were held back long enough, with their sources."""
        ready = [(octets, source) for at, octets, source in self._held if at <= now]
        self._held = [held for held in self._held if held[0] > now]
        return ready

    def outgoing(self, octets: bytes) -> list[bytes]:
        """What leaves for a datagram of the agent."""
        message = _read(octets)
        match self._twist:
            case Twist.MUTE:
                return []
            case Twist.ALL_TWICE:
                return [octets, octets]
            case Twist.NOISE:
                return [_NOISE, octets]
            case Twist.REASON if isinstance(message, Request) and message.method == "BYE":
                message.headers.set("Reason", 'Q.850;cause=41;text="Temporary failure"')
                return [message.to_bytes()]
            case Twist.BYE_UNHEARD if _answers(message, "BYE"):
                self._count += 1
                return [octets] if self._count > BYES_UNHEARD else []
        if isinstance(message, Response) and _answers(message, "INVITE") and message.status == 200:
            return self._on_200(message, octets)
        return [octets]

    def _on_200(self, message: Response, octets: bytes) -> list[bytes]:
        match self._twist:
            case Twist.NO_BODY:
                message.body = b""
                message.headers.set("Content-Length", 0)
                return [message.to_bytes()]
            case Twist.FIRST_200_LOST:
                self._count += 1
                return [octets] if self._count > 1 else []
            case Twist.FORKED:
                self._count += 1
                if self._count > 1:
                    return [octets]
                name, _, _tag = (message.headers.get("To") or "").rpartition(";tag=")
                message.headers.set("To", f"{name};tag={FORK_TAG}")
                return [octets, message.to_bytes()]
        return [octets]

    def _hold(self, cue: str, octets: bytes, source: Address, now: float) -> list[bytes]:
        """Keep the first message of its kind back, and tell the leg; what is repeated meanwhile is lost."""
        self._count += 1
        if self._count == 1:
            self.cues.append(cue)
            self._held.append((now + CROSSES_AFTER, octets, source))
            return []
        return [] if self._held else [octets]


def call_id_of(octets: bytes) -> str:
    """The Call-ID of a datagram; empty if it is no message."""
    message = _read(octets)
    try:
        return "" if message is None else message.call_id
    except RemoteProtocolError:
        return ""


def number_of(octets: bytes) -> str:
    """The number that a datagram dials; empty if it is no INVITE that begins a call."""
    message = _read(octets)
    if not isinstance(message, Request) or message.method != "INVITE" or _is_inside(message):
        return ""
    return message.uri.partition(":")[2].partition("@")[0].partition(";")[0]


def _read(octets: bytes) -> Request | Response | None:
    try:
        return parse(octets)
    except RemoteProtocolError:
        return None


def _is_inside(request: Request) -> bool:
    """Whether it belongs to a dialog."""
    return ";tag=" in (request.headers.get("To") or "")


def _answers(message: Request | Response | None, method: str) -> bool:
    try:
        return isinstance(message, Response) and message.cseq.method == method
    except RemoteProtocolError:
        return False
