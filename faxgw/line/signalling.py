"""The SIP messages of one call, as they left and came: in words for the trace, as octets for a recording.

Nothing here decides anything. Repetitions of a message (RFC 3261 section 17) are counted, not listed again.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from faxgw.foip.errors import RemoteProtocolError
from faxgw.foip.message import Request, Response, clean_text, parse
from faxgw.foip.sdp import MediaLine, SessionDescription, T38Parameters

Tap = Callable[[bool, bytes], None]
"""Sees a message: True when we sent it, and its octets."""

MAX_STEPS: Final = 200
"""Messages listed of one call; one with 200 pages and a session refresh every 90 s has some 150."""
MAX_OCTETS: Final = 64 * 1024
"""Octets of messages kept for a recording."""

_CALL_ID = re.compile(rb"(?:^|\n)(?:call-id|i)[ \t]*:[ \t]*([^\s\x00]{1,256})", re.IGNORECASE)
_CODINGS: Final = {"0": "PCMU", "8": "PCMA", "13": "CN", "101": "events"}


def call_id_of(octets: bytes) -> str:
    """The Call-ID of a message that nobody has checked yet; empty when it has none."""
    head, _, _body = octets.partition(b"\r\n\r\n")
    found = _CALL_ID.search(head)
    return found[1].decode("latin-1") if found else ""


@dataclass(slots=True)
class Signalling:
    """What was said in one call.

    Args:
        clock: Seconds on a steady clock.
    """

    clock: Callable[[], float]
    steps: list[tuple[float, bool, bytes]] = field(default_factory=list)
    """Time on that clock, whether we sent it, its octets: each different message once; MAX_STEPS at most."""
    messages: list[tuple[float, bool, bytes]] = field(default_factory=list)
    """Time, whether we sent it, its octets, for a recording; MAX_OCTETS at most."""
    _size: int = 0
    _places: dict[tuple[bool, bytes], int] = field(default_factory=dict)
    _repeated: dict[int, int] = field(default_factory=dict)

    def see(self, sent: bool, octets: bytes) -> None:
        """Take a message (a `Tap`)."""
        now = self.clock()
        if self._size + len(octets) <= MAX_OCTETS:
            self._size += len(octets)
            self.messages.append((now, sent, octets))
        place = self._places.get((sent, octets))
        if place is not None:
            self._repeated[place] = self._repeated.get(place, 0) + 1
        elif len(self.steps) < MAX_STEPS:
            self._places[sent, octets] = len(self.steps)
            self.steps.append((now, sent, octets))

    def since(self, origin: float) -> list[tuple[float, str, str]]:
        """The steps in words, with their times since `origin` and how often each was repeated.

        Messages are read here and not when they pass: a call that begins has no time to lose.
        """
        told = []
        for index, (at, sent, octets) in enumerate(self.steps):
            times = self._repeated.get(index, 0)
            words = describe_message(octets) + (f" (repeated {times} times)" if times else "")
            told.append((round(at - origin, 3), ">" if sent else "<", words))
        return told


def describe_message(octets: bytes) -> str:
    """A message in one line: what it is, why, and what its session description says; bounded and printable."""
    try:
        message = parse(octets)
    except RemoteProtocolError:
        return "a message that is none"
    parts = [_first_words(message)]
    reason = message.headers.get("Reason")
    if reason:
        parts.append(f"reason {clean_text(reason, 80)}")
    if message.body and "sdp" in (message.headers.get("Content-Type") or "").lower():
        parts.append(_session(message.body))
    return ", ".join(parts)


def _first_words(message: Request | Response) -> str:
    if isinstance(message, Request):
        again = message.method == "INVITE" and ";tag=" in (message.headers.get("To") or "")
        return f"{'re-' if again else ''}{message.method}"
    text = f"{message.status} {clean_text(message.reason, 60)}".strip()
    try:
        return f"{text} to {message.cseq.method}"
    except RemoteProtocolError:
        return text


def _session(body: bytes) -> str:
    try:
        description = SessionDescription.parse(body)
    except RemoteProtocolError:
        return "an unreadable session description"
    return " + ".join(_medium(line) for line in description.media) or "no media"


def _medium(line: MediaLine) -> str:
    if line.port == 0:
        return f"{clean_text(line.media, 20)} off"
    if line.is_t38:
        said = T38Parameters.parse(line)
        datagram = f"datagrams of {said.max_datagram}"
        return f"T.38 {said.max_bit_rate} bit/s, {said.error_correction.value}, {datagram}, port {line.port}"
    if line.is_audio:
        names = "/".join(_CODINGS.get(name, clean_text(name, 10)) for name in line.formats[:6])
        return f"audio {names}, port {line.port}"
    return f"{clean_text(line.media, 20)} {clean_text(line.proto, 20)}, port {line.port}"
