"""Recordings of calls: who is recorded, the file in memory that the call worker writes to, and what is kept of it.

A recording never disturbs its call: it lies in memory until the call is over (`t30.recorder`), only so many are made
at once, and whatever goes wrong with one loses that recording and nothing else. Where they are kept, and for how
long, is the dispatch's matter (`fax.ports.Recordings`).
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from faxgw.fax.errors import Refused
from faxgw.fax.ports import Recordings
from faxgw.foip import control, pcap, recording
from faxgw.foip.errors import LocalProtocolError
from faxgw.foip.recording import Address, Header, Medium

log = logging.getLogger(__name__)

MAX_AT_ONCE: Final = 16
"""Calls recorded at the same time: a quarter of a gigabyte of memory at most."""
KEEP_WITHIN: Final = 10.0
"""Seconds that recordings may take to be kept when the line stops."""
_UNKNOWN: Final = ("0.0.0.0", 9)
"""Stands for an address that nobody knows (RFC 863)."""


class Tape:
    """The recording of one call while it goes on.

    Raises:
        OSError: If there is no memory for it, or no descriptor.
    """

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("recording", os.MFD_CLOEXEC)
        self.start: control.Start | None = None
        """What the worker was told."""
        self.t38: control.T38Media | None = None
        """Where T.38 went last."""
        self.began = 0.0
        """When the worker was told, on the steady clock."""

    def wrap(self, make: Callable[[int], control.Start], now: float) -> Callable[[int], control.Start]:
        """The message that begins the call, with the order to record it; the descriptor goes last."""

        def made(number: int) -> control.Start:
            self.start, self.began = replace(make(number), record=True), now
            self.t38 = self.start.t38
            return self.start

        return made

    def content(self, header: Header, messages: Sequence[tuple[float, bool, bytes]]) -> bytes:
        """The file: what the daemon saw and what the worker wrote; blocking, and not short.

        Args:
            header: The call.
            messages: Its SIP messages: time, whether ours, octets.
        """
        size = os.fstat(self.descriptor).st_size
        media = os.pread(self.descriptor, size, 0)
        said = [recording.Entry(at, Medium.SIP, ours, octets) for at, ours, octets in messages]
        complete = size < recording.MAX_RECORDING - recording.MAX_DATAGRAM
        return recording.encode(replace(header, complete=complete), said) + media

    def close(self) -> None:
        """Give its memory back. Idempotent."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class Studio:
    """Decides who is recorded, and hands over what was recorded.

    Args:
        mode: `none`, `failed` or `all`, as `[sip]` says.
    """

    def __init__(self, mode: str) -> None:
        self._mode = mode
        self._running = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.keeper: Recordings | None = None
        """Where recordings go; None: nothing is recorded."""

    def tape(self, *numbers: str, mode: str = "") -> tuple[Tape | None, bool]:
        """A tape for a call, if it is to be recorded, and whether it is kept however the call ends.

        Args:
            numbers: Of the call: dialled, and caller.
            mode: The trunk's own; empty: that of `[sip]`.
        """
        keeper, mode = self.keeper, mode or self._mode
        if keeper is None:
            return None, False
        asked = keeper.asked(*numbers)
        if not asked and mode == "none":
            return None, False
        if self._running >= MAX_AT_ONCE:
            log.warning("too many recordings", extra={"event": "recording.skipped"})
            return None, False
        try:
            tape = Tape()
        except OSError as exc:
            log.warning("not recorded", extra={"event": "recording.skipped", "why": str(exc)})
            return None, False
        self._running += 1
        return tape, asked or mode == "all"

    def develop(
        self, tape: Tape, header: Header | None, messages: Sequence[tuple[float, bool, bytes]], *, keep: bool
    ) -> None:
        """The call is over: keep its recording in the background, or drop it; the tape is ours now."""
        if not keep or header is None or self.keeper is None:
            self._drop(tape)
            return
        work = self._keep(self.keeper, tape, header, tuple(messages))
        task = asyncio.create_task(work, name=f"recording {header.call}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Wait for what is being kept, KEEP_WITHIN at most."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=KEEP_WITHIN)
        left = list(self._tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _keep(
        self, keeper: Recordings, tape: Tape, header: Header, messages: Sequence[tuple[float, bool, bytes]]
    ) -> None:
        try:
            await keeper.keep(header.call, await asyncio.to_thread(tape.content, header, messages))
        except Exception:  # the task's owner: a recording is no reason for anything to fail
            log.exception("recording not kept", extra={"event": "recording.lost", "why": header.call})
        finally:
            self._drop(tape)

    def _drop(self, tape: Tape) -> None:
        self._running -= 1
        tape.close()


def literal(address: Address | None) -> Address:
    """An address that a recording may hold: an IP literal, or what stands for none."""
    if address is None:
        return _UNKNOWN
    try:
        ipaddress.ip_address(address[0])
    except ValueError:
        return _UNKNOWN
    return address[0], address[1]


def as_pcap(octets: bytes) -> bytes:
    """A stored recording as a capture file.

    Raises:
        Refused: If it is no recording.
    """
    try:
        return pcap.to_pcap(recording.decode(octets))
    except LocalProtocolError as exc:
        raise Refused(str(exc), public="This recording cannot be read.") from exc
