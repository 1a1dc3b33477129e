"""A call worker that receives without a fax engine: the station identification says what comes. Run as a process."""

from __future__ import annotations

import os
import signal
import socket
import sys

from faxgw.foip import control
from faxgw.foip.control import Gate, Role
from faxgw.pipe import BlockingPipe

DCS = b"\xff\xc8\x82"
MCF = b"\xff\xc8\x8c"
DCN = b"\xff\xc8\xfa"

TWO, ON_T38, AFTER_PAGE_1, CRASH, GATE, SILENT, EOM = "2", "38", "1", "9", "8", "0", "3"
"""What the station identification asks for."""


class Fake:
    """One process; its calls go on as messages come."""

    def __init__(self, pipe: BlockingPipe) -> None:
        self._pipe = pipe
        self._calls: dict[int, control.Start] = {}
        self._t38: set[int] = set()

    def run(self) -> None:
        while (frame := self._pipe.receive()) is not None:
            message = control.decode(frame.payload)
            for descriptor in frame.descriptors:
                os.close(descriptor)
            if isinstance(message, control.Ping):
                self.send(control.Pong(message.serial, 0.0, len(self._calls)))
            elif isinstance(message, control.Start):
                self.start(message)
            elif message.call in self._calls:  # type: ignore[union-attr]
                self.react(self._calls[message.call], message)  # type: ignore[union-attr]

    def send(self, message: control.Message, descriptors: tuple[int, ...] = ()) -> None:
        self._pipe.send(control.encode(message), descriptors)

    def start(self, start: control.Start) -> None:
        assert start.role is Role.RECEIVE and not start.calling_party
        self._calls[start.call] = start
        if start.t38 is not None:
            self._t38.add(start.call)
        if start.station_id not in (ON_T38, SILENT):
            self.begin(start)

    def begin(self, start: control.Start) -> None:
        self.send(control.PhaseB(start.call, "+49 89", DCS))
        self.page(start, 1)

    def page(self, start: control.Start, number: int) -> None:
        file = os.memfd_create("page")
        os.write(file, b"II*\0 page %d" % number)
        last = number == 2
        page = control.PageReceived(
            start.call, number, 100, 1728, 8031, 7700, 0, "MMR", last, document_end=start.station_id == EOM and not last
        )
        self.send(page, (file,))
        os.close(file)

    def react(self, start: control.Start, message: control.Message) -> None:
        if isinstance(message, control.SwitchT38):
            self._t38.add(start.call)
            if start.station_id == ON_T38:
                self.begin(start)
        elif isinstance(message, control.Hangup):
            self.end(start, 49, "hangup")
        elif isinstance(message, control.Ack):
            assert message.gate is Gate.PAGE
            self.acknowledged(start, message.page)

    def acknowledged(self, start: control.Start, page: int) -> None:
        self.send(control.Trace(start.call, ((float(page), ">", MCF),)))
        if start.station_id == CRASH:
            os.kill(os.getpid(), signal.SIGKILL)
        elif start.station_id == GATE and page == 1:
            self.page(start, 2)
            self.end(start, -1, "gate")
        elif start.station_id == AFTER_PAGE_1:
            pass
        elif page == 1 and start.station_id != EOM:
            self.page(start, 2)
        else:
            self.send(control.Trace(start.call, ((page + 0.5, "<", DCN),)))
            self.end(start, 0)

    def end(self, start: control.Start, code: int, reason: str = "") -> None:
        transport = "t38" if start.call in self._t38 else "g711"
        statistics = control.Statistics(transport, 14400, True, "MMR", 1)
        self.send(control.PhaseE(start.call, code, f"code {code}", "+49 89", statistics, reason))
        del self._calls[start.call]


if __name__ == "__main__":
    Fake(BlockingPipe(socket.socket(fileno=int(sys.argv[-1])))).run()
