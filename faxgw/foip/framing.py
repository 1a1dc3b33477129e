"""SIP messages cut out of a stream: octets in, whole messages out (RFC 3261 section 18.3, RFC 5626 section 3.5.1).

On a stream only Content-Length tells where a message ends, so a message without one, or with one that cannot be read,
breaks the stream: what follows can never be found again. CRLF before a message is ignored, two in a row are the ping of
a keep-alive. Nothing here judges a message: that is the user agent's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from faxgw.foip.message import MAX_MESSAGE

PING: Final = b"\r\n\r\n"
"""RFC 5626 section 3.5.1: who opened the connection asks whether it is alive."""
PONG: Final = b"\r\n"
"""The answer."""
MAX_HEAD: Final = 32_768
"""Octets of start line and header fields; the longest of RFC 4475 has 4,000. Also bounds what waits for its end."""
MAX_BUFFERED: Final = MAX_MESSAGE + len(PING)
"""Octets a decoder holds between two calls of `feed`: less than one message, whatever comes."""

_BAD_REQUEST, _TOO_LARGE = 400, 513
_LENGTH_NAMES = (b"content-length", b"l")
_LENGTH = re.compile(rb"\d{1,9}")
_FOLD = re.compile(rb"\r\n[ \t]+")
_TOKEN_START = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.!%*_+`'~")
"""What a start line may begin with (RFC 3261 section 25.1, token): anything else is no SIP, such as a TLS hello."""


@dataclass(frozen=True, slots=True)
class Whole:
    """A message, header block and body."""

    data: bytes
    """Its octets, fit for `UserAgent.receive_datagram`."""


@dataclass(frozen=True, slots=True)
class Ping:
    """Two CRLF between messages: to be answered with PONG by who has accepted the connection."""


@dataclass(frozen=True, slots=True)
class Broken:
    """The stream cannot be read on. Nothing follows; the connection is to be closed once this is answered."""

    head: bytes
    """Header block of the message that broke it, as far as it came, ended by an empty line; empty if there is none."""
    status: int
    """The SIP status that says what was wrong."""


Frame = Whole | Ping | Broken


class StreamDecoder:
    """One direction of one connection."""

    __slots__ = ("_body_at", "_breaks", "_broken", "_buffer", "_length", "_searched")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._breaks = 0
        self._searched = 0
        self._body_at = 0
        self._length = 0
        self._broken = False

    @property
    def is_inside(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._buffer) and not self._broken

    def feed(self, data: bytes) -> list[Frame]:
        """Take in what came; the frames that it completes, in their order. After a Broken nothing more."""
        frames: list[Frame] = []
        if self._broken:
            return frames
        self._buffer += data
        while (frame := self._next()) is not None:
            frames.append(frame)
            if isinstance(frame, Broken):
                self._buffer.clear()
                self._broken = True
                break
        return frames

    def give_up(self) -> Broken:
        """The rest of a message did not come in time: nothing more is read."""
        head = bytes(self._buffer[: self._body_at]) if self._body_at else b""
        self._buffer.clear()
        self._broken = True
        return Broken(head, _BAD_REQUEST)

    def _next(self) -> Frame | None:
        if self._body_at == 0:
            if self._skip_breaks():
                return Ping()
            if (broken := self._find_body()) is not None:
                return broken
        if self._body_at == 0 or len(self._buffer) < self._body_at + self._length:
            return None
        end = self._body_at + self._length
        data = bytes(self._buffer[:end])
        del self._buffer[:end]
        self._body_at = self._searched = 0
        return Whole(data)

    def _skip_breaks(self) -> bool:
        """Drop CRLF before a message; True at every second one in a row."""
        while self._buffer.startswith(b"\r\n"):
            del self._buffer[:2]
            self._breaks += 1
            if self._breaks == 2:
                self._breaks = 0
                return True
        return False

    def _find_body(self) -> Broken | None:
        """Look for the end of the header block, and what it says about the body."""
        buffer = self._buffer
        if not buffer or buffer == b"\r":
            return None
        self._breaks = 0
        if buffer[0] not in _TOKEN_START:
            return Broken(b"", _BAD_REQUEST)
        limit = MAX_HEAD + len(PING)
        found = buffer.find(PING, max(0, self._searched - len(PING) + 1), limit)
        if found < 0:
            self._searched = min(len(buffer), limit)
            if len(buffer) < limit:
                return None
            return Broken(bytes(buffer[: buffer.rfind(b"\r\n", 0, limit) + 2]) + b"\r\n", _TOO_LARGE)
        head = bytes(buffer[: found + len(PING)])
        length = _content_length(head)
        if length is None:
            return Broken(head, _BAD_REQUEST)
        if len(head) + length > MAX_MESSAGE:
            return Broken(head, _TOO_LARGE)
        self._body_at, self._length = len(head), length
        return None


def _content_length(head: bytes) -> int | None:
    """The value of the one Content-Length, in its long or compact form; None if it is missing, doubled or no number."""
    lines = _FOLD.sub(b" ", head).split(b"\r\n")[1:]
    pairs = (line.partition(b":") for line in lines)
    found = [value.strip() for name, colon, value in pairs if colon and name.rstrip().lower() in _LENGTH_NAMES]
    if len(found) != 1 or not _LENGTH.fullmatch(found[0]):
        return None
    return int(found[0])
