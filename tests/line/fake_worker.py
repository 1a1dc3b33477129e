"""A call worker without a fax engine: it plays what the fax's name asks for. Run as a process, like the real one."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time

from faxgw.foip import control
from faxgw.foip.control import Gate, Tone
from faxgw.pipe import BlockingPipe

EOP = b"\xff\xc8\x2e"
MCF = b"\xff\xc8\x8c"
DCN = b"\xff\xc8\xfa"
DCS = bytes.fromhex("ffc8820046f8")
DIS = bytes.fromhex("ff138004eef8c4809180808018")  # takes no sub-address
RTN = b"\xff\xc8\x4c"


class Fake:
    """One process; its calls go on as messages come."""

    def __init__(self, pipe: BlockingPipe) -> None:
        self._pipe = pipe
        self._calls: dict[int, control.Start] = {}
        self._t38: dict[int, bool] = {}

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

    def send(self, message: control.Message) -> None:
        self._pipe.send(control.encode(message))

    def start(self, start: control.Start) -> None:
        self._calls[start.call] = start
        script = self.script(start)
        sys.stderr.write(f"start {script} {len(start.documents)}\n")
        if script == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if script == "mute":
            time.sleep(60)
        if script in ("ced", "v21"):
            self.send(control.Heard(start.call, Tone(script)))
        if script not in ("ced", "v21", "wait", "stays"):
            self.phase_b(start)

    def script(self, start: control.Start) -> str:
        return start.documents[0].fax.partition("-")[0] if start.documents else start.station_id

    def phase_b(self, start: control.Start) -> None:
        if not start.documents:
            sub = "4711" if start.takes_sub_address else ""
            self.send(control.PhaseB(start.call, "sender", DCS, sub_address=sub))
            if self.script(start) != "idle":
                self.page(start, 1)
            return
        document = start.documents[0]
        if self.script(start) == "toofine":
            self.send(control.PhaseB(start.call, "far end", b"\xff\xc8\x80"))
            self.end(start, 11, "resolution")
        elif self.script(start) == "sub":
            self.send(control.PhaseB(start.call, f"sub {start.sub_address}", DIS, document.fax, document.first))
        else:
            self.send(control.PhaseB(start.call, "far end", b"\xff\xc8\x80", document.fax, document.first))

    def page(self, start: control.Start, page: int) -> None:
        """Hand over one of two pages."""
        descriptor = os.memfd_create("page")
        message = control.PageReceived(start.call, page, 1100, 1728, 8031, 3850, 0, "MMR", page == 2)
        self._pipe.send(control.encode(message), [descriptor])
        os.close(descriptor)

    def receive(self, start: control.Start, message: control.Message) -> None:
        """What a call to us does with a message."""
        if isinstance(message, control.Hangup):
            self.end(start, 49, "hangup")
        elif isinstance(message, control.Ack) and message.page == 1:
            self.send(control.Trace(start.call, ((1.0, ">", MCF),)))
            self.page(start, 2)
        elif isinstance(message, control.Ack):
            self.send(control.Trace(start.call, ((2.0, ">", MCF), (3.0, "<", DCN))))
            self.end(start, 0)
        elif isinstance(message, control.SwitchT38):
            self._t38[start.call] = True

    def react(self, start: control.Start, message: control.Message) -> None:
        if not start.documents:
            self.receive(start, message)
            return
        document, script = start.documents[0], self.script(start)
        if isinstance(message, control.SwitchT38) and script == "stays":
            self.send(control.SwitchRefused(start.call))
        elif isinstance(message, control.SwitchT38):
            self._t38[start.call] = True
            self.phase_b(start)
        elif isinstance(message, control.Media) and script in ("ced", "stays"):
            self.phase_b(start)
        elif isinstance(message, control.Hangup):
            if script == "lastword":
                self.send(control.Confirmed(start.call, document.fax, document.last))
            self.end(start, 49, "hangup")
        elif isinstance(message, control.Ack) and message.gate is Gate.EXPOSED:
            if script == "crashlater":
                self.send(control.Trace(start.call, ((1.0, ">", EOP),)))
                os.kill(os.getpid(), signal.SIGKILL)
            self.confirm(start, document.first, script)
        elif isinstance(message, control.Ack) and message.gate is Gate.CONFIRMED:
            self.confirm(start, message.page + 1, script)

    def confirm(self, start: control.Start, page: int, script: str) -> None:
        document = start.documents[0]
        if page > document.last:
            if script != "lingers":
                self.end(start, 0)
            return
        self.send(control.Trace(start.call, ((float(page), ">", EOP),)))
        if script == "silent" and page == document.last:
            self.end(start, 21)
        elif script == "rtn" and page == document.last:
            self.send(control.Trace(start.call, ((page + 0.5, "<", RTN),)))
            self.end(start, 0)
        elif script in ("hold", "lastword") and page == document.last:
            pass
        else:
            self.send(control.Trace(start.call, ((page + 0.5, "<", MCF),)))
            self.send(control.Confirmed(start.call, document.fax, page))

    def end(self, start: control.Start, code: int, reason: str = "") -> None:
        transport = "t38" if self._t38.get(start.call) else "g711"
        statistics = control.Statistics(transport, 14400, True, "MMR", 1)
        self.send(control.PhaseE(start.call, code, f"code {code}", "far end", statistics, reason))
        del self._calls[start.call]


if __name__ == "__main__":
    Fake(BlockingPipe(socket.socket(fileno=int(sys.argv[-1])))).run()
