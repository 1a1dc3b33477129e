"""T.30 attacks drawn by seed: a machine that is right until a random moment, and what it says then.

Three layers, any of which may be at work: what the machine says (`script`: frames with lying lengths, counts and bits
in the place of the right ones), what it sends as image data (`Stuffed`: blocks no encoder makes), and what becomes of
its packets on the way (`Saboteur`: fields, lengths, indicators and sequences of T.38 where they do not belong).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from faxgw.fax.outcome import Cause
from faxgw.foip import ifp, udptl
from faxgw.foip import t30_frames as t30
from faxgw.foip.errors import RemoteProtocolError
from faxgw.foip.ifp import Data, DataType, Field, FieldType, Indicator
from faxgw.simulator import frames
from faxgw.simulator.carrier import RATES
from faxgw.simulator.coding import Row
from faxgw.simulator.script import EVERYTHING, Act, After, Expected, Rule, Script, Style, Wire
from faxgw.simulator.sending import SendingMachine

CODES: Final = (
    t30.DIS, t30.CSI, t30.NSF, t30.DTC, t30.DCS, t30.TSI, t30.CFR, t30.FTT, t30.EOM, t30.MPS, t30.EOP, t30.PPS, t30.EOR,
    t30.RR, t30.MCF, t30.RTP, t30.RTN, t30.PIP, t30.PIN, t30.PPR, t30.RNR, t30.DCN, t30.CRP, t30.FCD, t30.RCP,
    frames.CTC, frames.CTR, frames.ERR, frames.PRI_MPS, frames.PRI_EOP, frames.SUB, frames.SID, frames.PWD, frames.SEP,
    frames.CIG, 0x21, 0x22, 0x61, 0xE1, 0x11, 0x24, 0x62, 0xE2, 0x1E, 0x9E, 0x6A, 0x6C, 0x74, 0xCA, 0xEA, 0xFC,
)  # fmt: skip
"""Every facsimile control field T.30 knows, and one it does not."""
LENGTHS: Final = (0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 12, 19, 20, 21, 32, 33, 64, 96, 97, 98, 253, 256, 257, 300, 1200)
"""Octets of information: those around T.30's own and around buffers of powers of two."""
RECEIVING: Final = ("DIS", "DIS", "CFR", "CFR", "page", "MCF", "MCF", "PPR", "RR", "CTC", "EOR", "heard")
SENDING: Final = ("DCS", "DCS", "TCF", "page", "page", "page", "post-page", "post-page", "RR", "CTC", "EOR", "DCN")
FILLS: Final = (b"\xff", b"\0", b"\x00\x10\x01", b"\xfb", b"\xa5", b"\x80", b"\x01", b"\x00\x08\x80", b"\x35\x4d")
"""What blocks are made of: rows of one bit in MMR, fill, ends of line, and codes that end nowhere."""


def noise(draw: random.Random, size: int) -> bytes:
    """Random octets, zeros, ones, or a short pattern again and again."""
    match draw.randrange(4):
        case 0:
            return bytes(size)
        case 1:
            return b"\xff" * size
        case 2:
            pattern = draw.randbytes(draw.randint(1, 6))
            return (pattern * (size // len(pattern) + 1))[:size]
        case _:
            return draw.randbytes(size)


def a_frame(draw: random.Random) -> bytes:
    """One V.21 frame that T.30 does not foresee, or foresees elsewhere."""
    match draw.randrange(9):
        case 0:
            return noise(draw, draw.choice((0, 1, 2, 3, 4)))
        case 1:
            return bytes((draw.choice((0xFF, 0xFF, 0x00)), draw.choice((0x03, 0x13, 0xC8)), draw.randrange(256)))
        case 2 | 3:
            code = draw.choice((t30.DIS, t30.DCS, t30.DCS | 1, t30.DTC))
            return frames.frame(code, draw.randbytes(draw.choice((1, 2, 3, 3, 4, 5, 6, 8, 10, 20))))
        case 4:
            chosen = [number for number in range(1, 80) if draw.random() < draw.choice((0.1, 0.5, 0.9))]
            return frames.bits(draw.choice((t30.DIS, t30.DCS | 1, t30.DTC)), chosen, draw.randint(2, 12))
        case 5:
            head = draw.choice((0, t30.MPS, t30.EOP, t30.EOM, 0x01, draw.randrange(256)))
            page, block, count = (draw.choice((0, 1, 2, 254, 255)) for _ in range(3))
            return frames.frame(t30.PPS | 1, bytes((head, page, block, count))[: draw.choice((0, 1, 2, 3, 4, 4, 4))])
        case 6:
            code = draw.choice((t30.CSI, t30.TSI | 1, frames.SUB, frames.SID, frames.PWD, frames.SEP, frames.CIG, 0x24))
            return frames.frame(code, noise(draw, draw.choice(LENGTHS)), final=draw.random() < 0.5)
        case 7:
            return frames.frame(t30.PPR, noise(draw, draw.choice((0, 1, 31, 32, 33, 64))))
        case _:
            code = draw.choice(CODES) | draw.choice((0, 1))
            return frames.frame(code, noise(draw, draw.choice(LENGTHS)), final=draw.random() < 0.7)


def some_frames(draw: random.Random) -> tuple[bytes, ...]:
    """A burst."""
    return tuple(a_frame(draw) for _ in range(draw.choice((1, 1, 1, 2, 3, 8))))


def an_image_frame(draw: random.Random) -> bytes:
    """A frame in the place of FCD."""
    match draw.randrange(6):
        case 0:
            return frames.fcd(draw.randrange(256), noise(draw, 256))[: draw.randint(0, 8)]
        case 1:
            return frames.fcd(draw.choice((0, 1, 254, 255)), noise(draw, draw.choice((0, 1, 63, 64, 65, 255, 256))))
        case 2:
            return frames.fcd(draw.randrange(256), noise(draw, draw.choice((257, 258, 300, 512, 1000))))
        case 3:
            return a_frame(draw)
        case 4:
            return frames.rcp()
        case _:
            return frames.fcd(draw.randrange(256), draw.choice(FILLS) * 64)


def an_ifp_packet(draw: random.Random) -> bytes:
    """An IFP packet of any kind."""
    match draw.randrange(5):
        case 0:
            return ifp.encode(draw.choice(tuple(Indicator)))
        case 1:
            return draw.randbytes(draw.choice((0, 1, 2, 3, 5, 9, 40, 200)))
        case 2:
            count, size = draw.choice((0, 1, 2, 127, 255)), draw.choice((0, 1, 0x7FFF, 0xFFFF))
            head = bytes((0xC0 | draw.randrange(32) << 1, count, 0x80 | draw.randrange(128)))
            return head + size.to_bytes(2, "big") + draw.randbytes(draw.randrange(40))
        case _:
            parts = [
                Field(draw.choice(tuple(FieldType)), noise(draw, draw.choice((0, 0, 1, 3, 30, 60, 256))))
                for _ in range(draw.choice((0, 1, 1, 2, 3, 30)))
            ]
            whole = ifp.encode(Data(draw.choice(tuple(DataType)), tuple(parts)))
            return whole[: udptl.MAX_IFP]


def an_act(draw: random.Random, moment: str) -> Act:
    """What is done in the place of the right thing."""
    delay = draw.choice((0.0, 0.0, 0.0, 0.0, 1.0, 3.3, 6.0))
    if moment == "page" and draw.random() < 0.8:
        if draw.random() < 0.5:
            blocks = tuple(an_image_frame(draw) for _ in range(draw.choice((1, 3, 40, 256, 300))))
            return Act(blocks=blocks, delay=delay)
        return Act(image=noise(draw, draw.choice((0, 1, 100, 20_000, 100_000))), delay=delay)
    match draw.randrange(8):
        case 0:
            return Act(packets=tuple(an_ifp_packet(draw) for _ in range(draw.choice((1, 5, 60)))), delay=delay)
        case 1:
            return Act(skip=True, packets=tuple(an_ifp_packet(draw) for _ in range(5)))
        case 2:
            return Act(frames=some_frames(draw), after=draw.choice((After.SILENT, After.HANG_UP)))
        case 3:
            return Act(fcs_ok=False, packets=(an_ifp_packet(draw),))
        case _:
            return Act(frames=some_frames(draw), delay=delay)


def a_script(draw: random.Random) -> Script:
    """A machine that is right until its rules hold."""
    sends = draw.random() < 0.6
    rules = []
    for _ in range(draw.choice((0, 1, 1, 2, 3))):
        moment, first = draw.choice(SENDING if sends else RECEIVING), draw.choice((1, 1, 1, 2, 2, 3))
        act = Act(skip=True) if moment == "heard" else an_act(draw, moment)
        rules.append(Rule(moment, act, first, first + draw.choice((0, 0, 1, 5, 100))))
    ecm = draw.random() < 0.7
    command = b""
    if draw.random() < 0.2:
        command = frames.bits(
            (t30.DCS | 1) if sends else t30.DIS, {*EVERYTHING} ^ {draw.randint(1, 80) for _ in range(3)}
        )
    rate = draw.choice(tuple(RATES))
    return Script(
        "S" if sends else "x",
        "drawn",
        "",
        Expected(Cause.OK, 0, ()),
        tuple(rules),
        idents=None if draw.random() < 0.7 else some_frames(draw),
        command=command,
        tone=draw.choice((0.0, 0.5, 2.6)),
        rate=rate,
        trains_as=draw.choice(("", "", "", *RATES)),
        ecm=ecm,
        coding=draw.choice(("MH", "MR", "MMR")) if ecm else draw.choice(("MH", "MR")),
        frame_octets=draw.choice((256, 256, 64)),
        width=draw.choice((1728, 1728, 2048, 2432)),
        commands=draw.choice(((), (), (t30.EOM,), (t30.MPS, t30.MPS), (frames.PRI_EOP,), (t30.EOP,))),
        wire=draw.choice((*(Wire.REDUNDANCY,) * 5, *Wire)),
        style=draw.choice((*(Style.NORMAL,) * 8, *Style)),
        hasty=draw.random() < 0.05,
        announces_fec=draw.random() < 0.1,
    )


class Stuffed(SendingMachine):
    """A sender whose ECM blocks are whatever was drawn, each said right."""

    def __init__(self, script: Script, pages: Sequence[Sequence[Row]], blocks: Sequence[Sequence[bytes]]) -> None:
        super().__init__(script, pages)
        self._stuffing = blocks

    def _send_page(self, now: float) -> None:
        super()._send_page(now) if not self.script.ecm else self._stuff(now)

    def _stuff(self, now: float) -> None:
        self._blocks, self._block = [list(block) for block in self._stuffing], 0
        self._missing = range(len(self._blocks[0]))
        self._send_block(now, short=True)


def stuffing(draw: random.Random) -> list[list[bytes]]:
    """Blocks of one page."""
    fill, size = draw.choice(FILLS), draw.choice((64, 256, 256))
    data = [(fill * size)[:size] if draw.random() < 0.9 else draw.randbytes(size) for _ in range(8)]
    return [[draw.choice(data)] * draw.choice((1, 16, 256)) for _ in range(draw.choice((1, 2, 6)))]


class Saboteur:
    """Hurts the datagrams of a machine from a moment on, with a probability for each."""

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw
        self._from = draw.uniform(0.0, 40.0)
        self._often = draw.choice((0.0, 0.0, 0.02, 0.1, 0.5, 1.0))
        self._storm = draw.random() < 0.03
        self._last = b""

    def spoil(self, datagrams: Sequence[bytes], now: float) -> list[bytes]:
        """What arrives in the place of these."""
        draw = self._draw
        if now < self._from:
            return list(datagrams)
        out = [self._hurt(datagram) if draw.random() < self._often else datagram for datagram in datagrams]
        if self._storm and now < self._from + 10:
            out += [self._forge() for _ in range(60)]
        return out

    def _forge(self) -> bytes:
        sequence = self._draw.randrange(65536) if self._draw.random() < 0.5 else self._next()
        return udptl.encode(udptl.Datagram(sequence, an_ifp_packet(self._draw)))

    def _next(self) -> int:
        try:
            return (udptl.decode(self._last).sequence + 1) % 65536
        except RemoteProtocolError:
            return 0

    def _hurt(self, datagram: bytes) -> bytes:
        draw = self._draw
        self._last = datagram
        match draw.randrange(6):
            case 0:
                octets = bytearray(datagram)
                for _ in range(draw.choice((1, 1, 3))):
                    octets[draw.randrange(len(octets))] ^= 1 << draw.randrange(8)
                return bytes(octets)
            case 1:
                return datagram[: draw.randrange(len(datagram) + 1)]
            case 2:
                return datagram + draw.randbytes(draw.randrange(40))
            case _:
                return self._replace(datagram)

    def _replace(self, datagram: bytes) -> bytes:
        """The same number, another packet: the library meets it where the right one should have been."""
        draw = self._draw
        try:
            whole = udptl.decode(datagram)
            packet = ifp.decode(whole.primary)
        except RemoteProtocolError:
            return datagram
        if isinstance(packet, Indicator) or not packet.fields or draw.random() < 0.2:
            return udptl.encode(replace(whole, primary=an_ifp_packet(draw)))
        fields = list(packet.fields)
        at = draw.randrange(len(fields))
        match draw.randrange(4):
            case 0:
                fields[at] = Field(draw.choice(tuple(FieldType)), fields[at].data)
            case 1:
                fields[at] = Field(fields[at].type, t30.to_line(a_frame(draw)))
            case 2:
                fields.insert(at, Field(draw.choice(tuple(FieldType)), noise(draw, draw.choice((0, 1, 3, 40)))))
            case _:
                fields[at] = Field(fields[at].type, fields[at].data[: draw.randrange(8)])
        kind = draw.choice(tuple(DataType)) if draw.random() < 0.1 else packet.type
        made = ifp.encode(Data(kind, tuple(fields)))
        return udptl.encode(replace(whole, primary=made[: udptl.MAX_IFP]))
