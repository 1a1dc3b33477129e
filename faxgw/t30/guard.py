"""The filter before libspandsp's T.38 receiver: frames that crash soname 2 arrive with a bad FCS instead.

Two frames kill the process of 0.0.6 (docs/transport.md, "Guard"): an FCD of three octets, whose data length becomes
-1, and a DCS whose two width bits are both set. Both sit behind the FCS check, so turning "FCS good" into "FCS bad"
keeps them out, and T.30 repeats what was hurt by mistake. The filter tracks the HDLC frame being assembled just as
the library does; where the two could differ (an indicator or a pause in the middle of a frame) the frame is bad.

The same frames on G.711 come out of the library's own demodulator: `is_deadly` judges them where the library takes
them over (`decoder.accept`).
"""

from __future__ import annotations

from typing import Final

MAX_V21_FRAME: Final = 100
"""Octets of a V.21 frame at most; T.30's longest (NSF) stay below it by far."""
HEAD: Final = 6
"""Octets of a frame that are kept: up to the width bits of a DCS."""
_STALE: Final = 5.0
"""Seconds after which an unfinished frame is given up (the library does so after 15)."""
_FCD_LINE: Final = 0x60
"""FCD in line order, low bit of the field masked away (0x80)."""
_DCS_LINE: Final = 0x41
_FCD: Final = 0x06
"""FCD in the library's order, low bit masked away (0xFE)."""
_DCS: Final = 0x82


class Guard:
    """Filters the IFP packets (T.38 version 0) of one call, in order."""

    def __init__(self) -> None:
        self.changed = 0
        """Frames whose FCS was declared bad."""
        self._head = b""
        self._length = 0
        self._doubtful = False
        self._last = 0.0

    def filter(self, packet: bytes, now: float) -> bytes:
        """The packet as it may go to the library; most come back as they are.

        Args:
            packet: One IFP packet.
            now: Seconds on any steady clock.
        """
        if len(packet) < 2 or not packet[0] & 0x40:
            if self._length:
                self._doubtful = True
            return packet
        if self._length and now - self._last > _STALE:
            self._doubtful = True
        self._last = now
        at = 2 if packet[0] & 0x20 else 1
        v21 = not packet[0] & 0x3E
        return self._fields(packet, at, v21) if packet[0] & 0x80 else packet

    def _fields(self, packet: bytes, at: int, v21: bool) -> bytes:
        """Walk the fields (T.38 Annex A, version 0: fields without data take half an octet)."""
        changed: bytearray | None = None
        size = len(packet)
        if at >= size:
            return packet
        count = packet[at]
        at += 1
        half = 0
        for _ in range(count):
            if at >= size:
                break
            nibble = packet[at] & 0x0F if half else packet[at] >> 4
            head_at, shift = at, 0 if half else 4
            kind = nibble & 7
            data = b""
            if nibble & 8:
                if at + 3 > size:
                    break
                end = at + 4 + (packet[at + 1] << 8 | packet[at + 2])
                if end > size:
                    break  # cut off: the library drops it, and what follows
                data = packet[at + 3 : end]
                at, half = end, 0
            else:
                at += half
                half ^= 1
            if kind == 0:
                self._append(data)
            elif kind == 1:
                self._doubtful |= self._length > 0
            elif kind <= 5:
                if self._end_is_dangerous(data, v21) and kind in (2, 4):
                    changed = changed or bytearray(packet)
                    changed[head_at] |= 1 << shift
                    self.changed += 1
                self._head, self._length, self._doubtful = b"", 0, False
        return packet if changed is None else bytes(changed)

    def _append(self, data: bytes) -> None:
        if self._length < HEAD:
            self._head += data[: HEAD - self._length]
        self._length += len(data)

    def _end_is_dangerous(self, data: bytes, v21: bool) -> bool:
        """Judge the frame that ends, without and with the octets some peers put into the FCS field itself."""
        if self._doubtful or (self._length and _dangerous(self._head, self._length, v21)):
            return True
        if not data:
            return False
        self._append(data)
        return _dangerous(self._head, self._length, v21)


def _dangerous(head: bytes, length: int, v21: bool) -> bool:
    if length < 3:
        return True
    code = head[2] & 0x7F
    if code == _FCD_LINE and length < 4:
        return True
    if code == _DCS_LINE and length >= HEAD and head[5] & 0xC0 == 0xC0:
        return True
    return v21 and length > MAX_V21_FRAME


def is_deadly(head: bytes, length: int) -> bool:
    """Whether the library does not survive a frame.

    Args:
        head: Its first octets, up to HEAD, as the library keeps them (first bit lowest).
        length: Octets of the whole frame.
    """
    if length < 3:
        return False  # the library drops it
    code = head[2] & 0xFE
    return (code == _FCD and length < 4) or (code == _DCS and length >= HEAD and head[5] & 3 == 3)
