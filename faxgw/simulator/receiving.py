"""A fax machine that answers and receives, on our own codecs (ITU-T T.30 sections 5.1 to 5.3, Annex A for ECM).

It only answers, as T.30 has it: DIS until somebody commands, then one answer to each command. What it answers is the
script's business; what it thinks of a page follows from what it has said: a page counts when it was confirmed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from faxgw.foip import t30_frames as t30
from faxgw.foip.ifp import Indicator
from faxgw.simulator import carrier, coding, frames
from faxgw.simulator.carrier import Signal
from faxgw.simulator.machine import Machine, MachinePage
from faxgw.simulator.script import CSI, EVERYTHING, Script

_WIDTHS: Final = {0: 1728, 1: 2048, 2: 2432}
"""Bits 17 and 18 of a DCS, in pixels."""
DIS_AFTER_EOM: Final = 1.0
"""Seconds from our MCF to EOM to the next DIS."""
_PAGE_COMMANDS: Final = (t30.MPS, t30.EOM, t30.EOP, frames.PRI_MPS, frames.PRI_EOP, 0x9E)
_TAKEN: Final = (t30.MCF, t30.RTP, t30.PIP)


class ReceivingMachine(Machine):
    """One call to a machine."""

    def __init__(self, script: Script, max_datagram: int = 400) -> None:
        super().__init__(script, max_datagram)
        self._dis_at: float | None = None
        self._give_up_at = 0.0
        self._dcs = b""
        self._training = False
        self._frames: dict[int, bytes] = {}
        self._octets = bytearray()
        self._asked: bytes = b""
        self._answered: Sequence[bytes] = ()
        self._again: tuple[int, ...] = ()

    @property
    def mode(self) -> tuple[int, bool, str]:
        """As the last DCS said."""
        meaning = t30.capabilities(self._dcs) if self._dcs else None
        return (0, False, "") if meaning is None else (meaning.bit_rate, meaning.ecm, meaning.codings[-1])

    def _begin(self, now: float) -> None:
        self._free_at = now + self.script.quiet
        if self.script.tone:
            self._transmit(carrier.tone(Indicator.CED, self.script.tone), now)
        self._dis_at = self._free_at + self.script.pause
        self._give_up_at = self._dis_at + self.script.patience

    def _on_time(self, now: float) -> None:
        if self._dis_at is None or now < self._dis_at:
            return
        if now >= self._give_up_at:
            self.silent, self._hang_up_at = True, now
            return
        idents = (CSI,) if self.script.idents is None else self.script.idents
        self._say("DIS", (*idents, self.script.command or frames.dis(*EVERYTHING)), now)
        self._dis_at = max(self._free_at, now) + self.script.dis_every

    # Commands.

    def _on_frames(self, heard: Sequence[bytes], now: float) -> None:
        self._dis_at = None
        for frame in heard:
            if t30.fcf(frame) == t30.DCS:
                self._dcs, self._training = frame, True
        command = heard[-1]
        match t30.fcf(command):
            case t30.PPS:
                self._on_partial_page(command, now)
            case code if code in _PAGE_COMMANDS:
                self._answer("MCF", command, now)
            case t30.RR:
                self._answer("RR", self._asked, now)
            case frames.CTC:
                self._dcs = self._dcs[:3] + command[3:5] + self._dcs[5:]
                self._reply("CTC", frames.frame(frames.CTR), now)
            case t30.EOR:
                if self._reply("EOR", frames.frame(frames.ERR), now) == frames.ERR:
                    self._take_block(last=command[3:4] != b"\0")
            case t30.CRP:
                self._transmit(carrier.v21(self._answered, style=self.script.style), now)

    def _on_partial_page(self, command: bytes, now: float) -> None:
        count = command[6] + 1 if len(command) > 6 else 0
        repeated = command == self._asked and not self._frames
        missing = [] if repeated else [number for number in range(count) if number not in self._frames]
        if missing:
            self._reply("PPR", frames.ppr(missing), now)
        else:
            self._answer("MCF", command, now)

    def _answer(self, moment: str, command: bytes, now: float) -> None:
        """Confirm, or whatever the script says, and think of the page accordingly."""
        code = self._reply(moment, frames.frame(t30.MCF), now)
        taken = command != self._asked or bool(self._frames or self._octets)
        self._asked = command
        partial = t30.fcf(command) == t30.PPS
        second = command[3] & 0xFE if partial and len(command) > 3 else t30.fcf(command)
        if code in _TAKEN:
            if taken:
                self._take_block(last=second != 0)
            if second == t30.EOM:
                self._dis_at = max(self._free_at, now) + DIS_AFTER_EOM
                self._give_up_at = self._dis_at + self.script.patience
            self.complete |= second == t30.EOP
        elif code in (t30.RTN, t30.PIN):
            self._frames.clear()
            self._octets.clear()

    def _reply(self, moment: str, normal: bytes, now: float) -> int:
        act = self._act(moment)
        self._answered = (normal,) if act.frames is None else act.frames
        return self._perform(act, (normal,), now)

    # Images.

    def _on_beginning(self, signal: Signal, now: float) -> None:
        if signal.image and not self._training and not self.silent and self._dcs:
            act = self._act("page")
            if act.frames or act.packets or act.after.value != "goes on":
                self._perform(act, (), now)

    def _on_image(self, signal: Signal, now: float) -> None:
        if self._training and not signal.frames:
            self._training = False
            self._reply("CFR", frames.frame(t30.CFR), now)
            return
        self._training = False
        for frame, good in signal.frames:
            if good and t30.fcf(frame) == t30.FCD and len(frame) > 4:
                self._frames[frame[3]] = frame[4:]
        if signal.data:
            self._octets = signal.data

    def _take_block(self, *, last: bool) -> None:
        for number in sorted(self._frames):
            self._octets += t30.to_line(self._frames[number])
        self._frames.clear()
        if last and self._octets:
            self.pages.append(self._decode(bytes(self._octets)))
            self._octets.clear()

    def _decode(self, octets: bytes) -> MachinePage:
        dcs = self._dcs
        width = _WIDTHS.get(dcs[5] & 3, 1728) if len(dcs) > 5 else 1728
        rows_per_inch = 391 if frames.bit(dcs, frames.SUPERFINE) else 196 if frames.bit(dcs, frames.FINE) else 98
        if frames.bit(dcs, frames.MMR):
            return _page(coding.read_mmr(octets, width), width, rows_per_inch, "MMR")
        two = frames.bit(dcs, frames.MR)
        page = coding.read_t4(octets, width, two_dimensional=two)
        return _page(page, width, rows_per_inch, "MR" if two else "MH")


def _page(page: coding.Page, width: int, rows_per_inch: int, name: str) -> MachinePage:
    return MachinePage(page.rows, width, rows_per_inch, name, page.bad_rows)
