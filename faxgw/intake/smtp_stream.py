"""Octets of an SMTP connection: lines and mail content out of a bounded buffer, the end of DATA, its deadline.

RFC 5321 sections 2.3.8, 4.1.1.4, 4.5.2. Only CRLF "." CRLF ends a mail; a bare CR or LF never does, is noticed, and
leaves the connection in step. Nothing here is kept but one buffer of BUFFER_OCTETS and what one read adds to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection
from typing import Any, TypeVar  # Any: what a task returns

T = TypeVar("T")

BUFFER_OCTETS = 65_536
"""Octets waiting in memory from which the peer is no longer read."""
DISCARD_OCTETS = 1_048_576
"""Octets of a line that is too long anyway which are read to stay in step, at most."""
_END = b"\r\n.\r\n"


class LineTooLong(Exception):
    """A line passed the limit; it was read to its end and dropped."""


class EndlessLine(Exception):
    """A line passed DISCARD_OCTETS; the connection is out of step."""


class Inlet:
    """What a peer has sent and nobody has read yet. One task reads; the transport is paused while it is full."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._paused = False
        self._ended = False
        self._waiter: asyncio.Future[None] | None = None

    @property
    def pending(self) -> bool:
        """Whether the peer sent more than was read."""
        return bool(self._buffer)

    def attach(self, transport: asyncio.Transport) -> None:
        """Take octets from this transport from now on; what came by another one is dropped (RFC 3207 section 4.2)."""
        self._buffer.clear()
        self._transport = transport
        self._paused = False

    def drop(self) -> int:
        """Forget what was not read; returns its octets."""
        dropped = len(self._buffer)
        self._buffer.clear()
        self._resume()
        return dropped

    def feed(self, data: bytes) -> None:
        """Octets came."""
        self._buffer += data
        if len(self._buffer) > BUFFER_OCTETS and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def feed_eof(self) -> None:
        """Nothing more will come."""
        self._ended = True
        self._wake()

    def line_at_hand(self, limit: int) -> bytes | None:
        """The next line without its end, when it is there and no longer than `limit`."""
        end = self._buffer.find(b"\n", 0, limit)
        if end < 0:
            return None
        line = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        self._resume()
        return line[:-2] if line.endswith(b"\r\n") else line[:-1]

    async def line(self, limit: int) -> bytes:
        """The next line without its end, CRLF or LF.

        Args:
            limit: Most octets, the end included.

        Raises:
            LineTooLong: If it was longer.
            EndlessLine: If its end does not come.
            EOFError: If the peer is gone.
        """
        searched = dropped = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched > limit:
                dropped += self.drop()
                searched = 0
                if dropped > DISCARD_OCTETS:
                    raise EndlessLine
            await self._more()
        line = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        self._resume()
        if dropped or len(line) > limit:
            raise LineTooLong
        return line[:-2] if line.endswith(b"\r\n") else line[:-1]

    async def some(self) -> bytes:
        """Whatever is there, at least one octet.

        Raises:
            EOFError: If the peer is gone.
        """
        if not self._buffer:
            await self._more()
        data = bytes(self._buffer)
        self._buffer.clear()
        self._resume()
        return data

    def unread(self, data: bytes) -> None:
        """Put back what belongs to the next command."""
        self._buffer[:0] = data

    async def _more(self) -> None:
        if self._ended:
            raise EOFError
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
        if self._ended and not self._buffer:
            raise EOFError

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _resume(self) -> None:
        if self._paused and len(self._buffer) <= BUFFER_OCTETS // 2 and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()


class DataScanner:
    """Finds the end of a mail and takes its transparency away (RFC 5321 section 4.5.2). Keeps at most 4 octets."""

    def __init__(self) -> None:
        self._held = b"\r\n"  # the line end before the first line, which is not content
        self._virtual = 2
        self.bare_cr = False
        """A CR without LF came."""
        self.bare_lf = False
        """An LF without CR came."""
        self.rest: bytes | None = None
        """What came after the end; None before the end."""

    def feed(self, chunk: bytes) -> bytes:
        """The content in what came: dots taken away, no octet of the end."""
        data = self._held + chunk
        end = data.find(_END)
        if end >= 0:
            self.rest = data[end + len(_END) :]
            self._held = b""
            data = data[: end + 2]
        else:
            held = _begun_end(data)
            self._held = data[len(data) - held :]
            data = data[: len(data) - held]
        pairs = data.count(b"\r\n")
        self.bare_cr |= data.count(b"\r") != pairs
        self.bare_lf |= data.count(b"\n") != pairs
        content = data.replace(b"\r\n.", b"\r\n")
        if self._virtual and content:
            content, self._virtual = content[self._virtual :], 0
        return content


def _begun_end(data: bytes) -> int:
    """How many octets at the end of `data` may be the beginning of the end of the mail, or of a doubled dot."""
    return next((n for n in range(min(len(_END) - 1, len(data)), 0, -1) if data.endswith(_END[:n])), 0)


class NameWatch:
    """Notices names in what passes by, upper or lower case, also where one is cut in two.

    Args:
        names: ASCII, in lower case; none: nothing is looked for.
    """

    def __init__(self, names: Collection[str]) -> None:
        self._names = [name.encode("ascii") for name in names]
        self._overlap = max(map(len, self._names), default=1) - 1
        self._tail = b""
        self.seen = False
        """One of them came."""

    def feed(self, content: bytes) -> None:
        """Take content, in order."""
        if self.seen or not self._names:
            return
        data = self._tail + content.lower()
        self.seen = any(name in data for name in self._names)
        self._tail = data[max(0, len(data) - self._overlap) :]


class Allowance:
    """The time a peer has left to send its mail: waiting uses it up, every octet adds to it.

    As Postfix's smtpd_min_data_rate: who sends `rate` octets per second has all the time in the world.

    Args:
        ceiling: Seconds at the beginning, and at most.
        rate: Octets per second that keep it where it is.
    """

    def __init__(self, ceiling: float, rate: int) -> None:
        self.left = ceiling
        """Seconds."""
        self._rate = rate

    def lower(self, ceiling: float) -> None:
        """Never more than this from now on (stress)."""
        self.left = min(self.left, ceiling)

    def charge(self, waited: float, octets: int, ceiling: float) -> None:
        """Octets came after a wait of so many seconds."""
        self.left = min(ceiling, self.left - waited + octets / self._rate)


class Patience:
    """Waits for a peer by a deadline that can be shortened while it runs (stress, stop); of nested waits the inner.

    One task waits at a time. A session waits some fifteen times for a mail: its timer is set once and looks, when it is
    due, whether the wait of that moment is.
    """

    def __init__(self) -> None:
        self._until: float | None = None
        """When the wait that runs ends, loop time."""
        self._task: asyncio.Task[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._expired = False

    async def wait(self, what: Awaitable[T], seconds: float) -> T:
        """Wait for what the peer does.

        Raises:
            TimeoutError: When the time is over.
        """
        task, outer = asyncio.current_task(), self._until
        assert task is not None
        cancelled = task.cancelling()
        self._task = task
        self._wait_until(asyncio.get_running_loop().time() + seconds)
        try:
            return await what
        except asyncio.CancelledError:
            if self._expired and task.cancelling() - 1 <= cancelled:  # nobody else wants it to end
                raise TimeoutError from None
            raise
        finally:
            if self._expired:
                self._expired = False
                task.uncancel()
            self._until = None
            if outer is not None:
                self._wait_until(outer)

    def shorten(self, seconds: float) -> None:
        """Let a wait that runs end so many seconds from now, if it would run longer."""
        if self._until is not None and not self._expired:
            self._wait_until(min(self._until, asyncio.get_running_loop().time() + seconds))

    def end(self) -> None:
        """Nobody will wait any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait_until(self, until: float) -> None:
        self._until = until
        if self._timer is not None and self._timer.when() > until:
            self.end()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_at(until, self._look)

    def _look(self) -> None:
        """The timer is due: perhaps for a wait that is over, while the next one has time yet."""
        self._timer = None
        if self._until is None or self._task is None or self._expired:
            return
        if asyncio.get_running_loop().time() < self._until:
            self._wait_until(self._until)
        else:
            self._expired = True
            self._task.cancel()
