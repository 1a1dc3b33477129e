"""A scripted machine in the place of a `MediaCall`: the leg of a call sees the same verbs and the same messages.

Before T.38 is agreed it is silent; then the machine's clock begins. Pages come as `PageReceived` once the machine has
confirmed them, what the other side confirms as `Confirmed`; nothing waits for an acknowledgement.
"""

from __future__ import annotations

import contextlib
import io
import os
from typing import Final

import numpy as np
from PIL import Image, ImageSequence

from faxgw.foip.control import (
    Address,
    Confirmed,
    Hangup,
    Message,
    PageReceived,
    PhaseB,
    PhaseE,
    Statistics,
    SwitchT38,
    T38Media,
    Trace,
)
from faxgw.simulator.coding import Row
from faxgw.simulator.machine import Machine, MachinePage
from faxgw.simulator.ports import MediaSockets
from faxgw.simulator.receiving import ReceivingMachine
from faxgw.simulator.script import Script
from faxgw.simulator.sending import SendingMachine
from faxgw.t30.call import Outgoing

MAX_DATAGRAMS: Final = 64
"""Datagrams read per tick."""
_RECEIVE_SIZE: Final = 2048
_METRES: Final = 0.0254
_X_DPI: Final = 204


class ScriptedMedia:
    """The media of one call of a scripted machine."""

    def __init__(self, script: Script, sockets: MediaSockets, t38: T38Media | None, document: bytes = b"") -> None:
        """Begin.

        Args:
            script: The machine.
            sockets: Of the call; closed by the leg.
            t38: Set when the call begins with T.38.
            document: A TIFF for a machine that sends.
        """
        self._script = script
        self._sockets = sockets
        self._document = document
        self._machine: Machine | None = None
        self._remote: Address | None = None
        self._began: float | None = None
        self._out: list[Outgoing] = []
        self._told = 0
        self._pages = 0
        self._ident = ""
        self._over = False
        if t38 is not None:
            self._agree(t38)

    @property
    def hung_up(self) -> bool:
        """Whether the machine wants its BYE."""
        return self._machine is not None and self._machine.hung_up

    @property
    def may_switch(self) -> bool:
        """Whether T.38 may still be agreed."""
        return self._machine is None

    @property
    def on_t38(self) -> bool:
        """Whether it has been."""
        return self._machine is not None

    def receive(self, message: Message, now: float) -> None:
        """Take what a leg tells its media; audio and acknowledgements mean nothing here."""
        if isinstance(message, SwitchT38):
            self._agree(message.t38)
        elif isinstance(message, Hangup) and not self._over:
            self._over = True
            self._tell(now)
            self._out.append(Outgoing(self._end()))

    def tick(self, now: float) -> None:
        """Let 20 ms pass."""
        machine = self._machine
        if machine is None or self._over or self._remote is None:
            return
        self._began = now if self._began is None else self._began
        for _ in range(MAX_DATAGRAMS):
            try:
                octets, source = self._sockets.udptl.recvfrom(_RECEIVE_SIZE)
            except BlockingIOError:
                break
            except OSError:
                continue  # an ICMP error of an earlier packet
            if source[0] == self._remote[0]:
                machine.receive(octets, now)
        for octets in machine.tick(now):
            with contextlib.suppress(OSError):  # lost on the way like any other datagram
                self._sockets.udptl.sendto(octets, self._remote)
        self._tell(now)

    def take(self) -> list[Outgoing]:
        """Messages since the last look."""
        out, self._out = self._out, []
        return out

    def close(self) -> None:
        """Drop what nobody took."""
        self._over = True
        for outgoing in self._out:
            if outgoing.descriptor is not None:
                os.close(outgoing.descriptor)
        self._out.clear()

    def _agree(self, media: T38Media) -> None:
        self._remote = media.remote
        if self._machine is None and self._script.sends:
            self._machine = SendingMachine(self._script, rows_of(self._document), media.max_datagram)
        elif self._machine is None:
            self._machine = ReceivingMachine(self._script, media.max_datagram)

    def _tell(self, now: float) -> None:
        """Turn what the machine has done into messages."""
        machine = self._machine
        if machine is None:
            return
        if machine.remote_ident != self._ident:
            self._ident = machine.remote_ident
            self._out.append(Outgoing(PhaseB(0, self._ident, b"")))
        for page in machine.pages[self._pages :]:
            self._pages += 1
            if page.rows:
                self._out.append(Outgoing(_message(page, self._pages), _memory_file(tiff_of(page))))
        while machine.confirmed > self._told:
            self._told += 1
            self._out.append(Outgoing(Confirmed(0, "F", self._told)))
        if machine.ladder:
            self._out.append(Outgoing(Trace(0, tuple(machine.ladder))))
            machine.ladder.clear()

    def _end(self) -> PhaseE:
        machine = self._machine
        if machine is None:
            return PhaseE(0, -1, "T.38 was never agreed", "", Statistics())
        rate, ecm, coding = machine.mode
        statistics = Statistics("t38", rate, ecm, coding, max(len(machine.pages), machine.confirmed))
        text = "OK" if machine.complete else "not completed"
        return PhaseE(0, 0 if machine.complete else -1, text, machine.remote_ident, statistics)


def rows_of(tiff: bytes) -> list[list[Row]]:
    """The pages of a TIFF as changes of colour."""
    with Image.open(io.BytesIO(tiff)) as image:
        return [_changes(page.convert("1")) for page in ImageSequence.Iterator(image)]


def tiff_of(page: MachinePage) -> bytes:
    """A received page as a TIFF."""
    black = np.zeros((len(page.rows), page.width), dtype=bool)
    for line, row in zip(black, page.rows, strict=True):
        for left, right in zip(row[::2], (*row[1::2], page.width), strict=False):
            line[left:right] = True
    out = io.BytesIO()
    dpi = (float(_X_DPI), float(page.rows_per_inch))
    Image.fromarray(~black).save(out, "TIFF", compression="group4", dpi=dpi)
    return out.getvalue()


def _changes(image: Image.Image) -> list[Row]:
    black = ~np.asarray(image)
    edges = np.diff(np.pad(black.astype(np.int8), ((0, 0), (1, 0))), axis=1)
    return [tuple(int(at) for at in np.flatnonzero(row)) for row in edges]


def _message(page: MachinePage, number: int) -> PageReceived:
    return PageReceived(
        0,
        number,
        len(page.rows),
        page.width,
        round(_X_DPI / _METRES),
        round(page.rows_per_inch / _METRES),
        page.bad_rows,
        page.coding,
        last=False,
    )


def _memory_file(octets: bytes) -> int:
    descriptor = os.memfd_create("page", os.MFD_CLOEXEC)
    rest = memoryview(octets)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    return descriptor
