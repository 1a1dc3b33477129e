"""Program: a T.38 receiver meets a peer that sends the frame of its first argument.

The second argument is `guarded`; `outer`, without the guard inside the library; `inner`, without the filter of T.38
packets, as frames come over G.711; or `bare`, without either.

Exit status 0: the receiver has lived through it. Run as a process, for without the guard it dies of SIGSEGV.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

from faxgw.foip.ifp import Data, DataType, Field, FieldType, Indicator, Packet, encode
from faxgw.foip.udptl import Sender
from faxgw.t30 import decoder
from faxgw.t30.guard import Guard
from faxgw.t30.t38 import T38Terminal
from faxgw.t30.terminal import Profile

GOOD_DCS = "ffc8c100461f2240"
FRAMES = {
    "fcd": (GOOD_DCS, "ffc060"),
    "width": ("ffc8c10046df2240", "ffc060000000"),
    "good": (GOOD_DCS, "ffc06000" + "00" * 20),
}
"""DCS and first image frame, in line order."""


class Bare(Guard):
    """Lets everything through."""

    def filter(self, packet: bytes, now: float) -> bytes:
        return packet


def hdlc(kind: DataType, frame: str, end: FieldType) -> Packet:
    return Data(kind, (Field(FieldType.HDLC_DATA, bytes.fromhex(frame)), Field(end)))


def attack(dcs: str, image: str) -> Iterable[tuple[float, Packet]]:
    """When to send what, in seconds."""
    yield 6.0, Indicator.V21_PREAMBLE
    yield 7.1, hdlc(DataType.V21, dcs, FieldType.HDLC_FCS_OK_SIG_END)
    yield 7.2, Indicator.NO_SIGNAL
    yield 7.3, Indicator.V17_14400_LONG_TRAINING
    for step in range(50):
        yield 8.7 + 0.03 * step, Data(DataType.V17_14400, (Field(FieldType.T4_NON_ECM_DATA, bytes(54)),))
    yield 10.3, Data(DataType.V17_14400, (Field(FieldType.T4_NON_ECM_SIG_END),))
    yield 10.4, Indicator.NO_SIGNAL
    yield 12.9, Indicator.V17_14400_SHORT_TRAINING
    yield 13.2, hdlc(DataType.V17_14400, image, FieldType.HDLC_FCS_OK)
    yield 13.3, hdlc(DataType.V17_14400, image, FieldType.HDLC_FCS_OK)


def main(kind: str, guard: str) -> None:
    if guard in ("outer", "bare"):
        decoder.protect = lambda functions=None: None
    file = os.memfd_create("received")
    receiver = T38Terminal(
        Profile(calling_party=False, station_id="", receive_path=f"/proc/self/fd/{file}"), 400, "redundancy", 14400
    )
    if guard in ("inner", "bare"):
        receiver._guard = Bare()
    sender = Sender(400)
    todo = list(attack(*FRAMES[kind]))
    for step in range(1000):
        now = step * 0.02
        while todo and todo[0][0] <= now:
            receiver.receive(sender.send(encode(todo.pop(0)[1])), now)
        receiver.tick(now)
    heard = [frame.hex() for _at, direction, frame in receiver.frames if direction == "<"]
    said = [frame[2] for _at, direction, frame in receiver.frames if direction == ">"]
    sys.stdout.write(f"{receiver._guard.changed} {len(heard)} {0x84 in said}\n")
    receiver.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
