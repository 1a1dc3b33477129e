"""A fax machine that calls and sends, on our own codecs (ITU-T T.30 sections 5.1 to 5.3, Annex A for ECM).

It waits for DIS, commands (DCS, TCF), sends its pages and obeys the answers; what it leaves out or gets wrong is the
script's business. It does not look at what the DIS offers: machines that do not are the ones worth having.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from faxgw.foip import t30_frames as t30
from faxgw.foip.ifp import Indicator
from faxgw.simulator import carrier, coding, frames
from faxgw.simulator.carrier import Signal
from faxgw.simulator.coding import Row
from faxgw.simulator.machine import FAREWELL, Machine
from faxgw.simulator.script import TSI, After, Script

T4: Final = 3.0
"""Seconds an answer may take to begin (T.30 section 5.4.3.1)."""
ANSWER: Final = 2.0
"""Seconds an answer itself takes; added to T4."""
TRIES: Final = 3
"""Times a command is said."""
PPR_LIMIT: Final = 4
"""Partial page requests for one block before CTC (T.30 Annex A.5.5)."""
BLOCK: Final = 256
"""Frames of one ECM block."""


class SendingMachine(Machine):
    """One call of a machine.

    Args:
        script: How it behaves.
        pages: What it sends, as rows of `script.width` pixels.
        max_datagram: The gateway's T38FaxMaxDatagram, octets.
    """

    def __init__(self, script: Script, pages: Sequence[Sequence[Row]], max_datagram: int = 400) -> None:
        super().__init__(script, max_datagram)
        self._pages = pages
        self._page = 0
        self._rate = carrier.RATES[script.trains_as or script.rate]
        self._waits_for = "DIS"
        self._until = 0.0
        self._tries = 0
        self._requests = 0
        self._given_up = False
        self._blocks: list[list[bytes]] = []
        self._block = 0
        self._missing: Sequence[int] = ()

    @property
    def mode(self) -> tuple[int, bool, str]:
        """As the script has it."""
        return carrier.RATES[self.script.rate].bits, self.script.ecm, self.script.coding

    def _begin(self, now: float) -> None:
        self._free_at = now + self.script.quiet
        if self.script.tone:
            self._transmit(carrier.tone(Indicator.CNG, 0.5), now)
        self._until = self._free_at + self.script.patience
        if self.script.hasty:
            self._train(now)

    def _on_beginning(self, signal: Signal, now: float) -> None:
        """The other side speaks: its answer is on the way."""
        if self._waits_for != "DIS":
            self._until = max(self._until, now + T4 + ANSWER)

    def _on_image(self, signal: Signal, now: float) -> None:
        """Nobody sends images to a sender."""

    def _on_time(self, now: float) -> None:
        if now < self._until:
            return
        if self._waits_for == "DIS":
            self.silent, self._hang_up_at = True, now
        elif self._tries >= TRIES:
            self._goodbye(now)
        elif self._waits_for == "CFR":
            self._train(now)
        else:
            self._command(now)

    # Answers.

    def _on_frames(self, heard: Sequence[bytes], now: float) -> None:
        answer = heard[-1]
        code = t30.fcf(answer)
        if code == t30.CRP:
            self._until = now
        elif code == t30.DIS and self._waits_for in ("DIS", "CFR"):
            self._tries = 0 if self._waits_for == "DIS" else self._tries
            self._train(now)
        elif self._waits_for == "CFR" and code == t30.CFR:
            self._tries = 0
            self._send_page(now)
        elif self._waits_for == "CFR" and code == t30.FTT:
            self._again(now)
        elif self._waits_for == "MCF":
            self._on_answer(code, answer, now)

    def _again(self, now: float) -> None:
        if self._tries >= TRIES:
            self._goodbye(now)
        else:
            self._train(now)

    def _on_answer(self, code: int, answer: bytes, now: float) -> None:
        match code:
            case t30.MCF | t30.RTP | t30.PIP:
                self._on_confirmed(code, now)
            case t30.RTN | t30.PIN:
                self._tries = 0
                self._train(now)
            case t30.PPR:
                self._on_request(answer, now)
            case t30.RNR:
                self._tries = 0
                self._speak("RR", frames.post_page(t30.RR), now)
            case frames.CTR:
                self._send_block(now, short=False)
            case frames.ERR:
                self._next_page(t30.MCF, now)

    def _on_confirmed(self, code: int, now: float) -> None:
        self._tries = self._requests = 0
        if self.script.ecm and self._block + 1 < len(self._blocks):
            self._block += 1
            self._missing = range(len(self._blocks[self._block]))
            self._send_block(now, short=True)
            return
        self.confirmed += 1
        self._next_page(code, now)

    def _next_page(self, code: int, now: float) -> None:
        last = self._command_code() & 0xFE
        self._page += 1
        self._tries = self._requests = 0
        if last == t30.EOP or self._page >= len(self._pages):
            self.complete = True
            self._goodbye(now)
        elif last == t30.EOM:
            self._waits_for, self._until = "DIS", max(now, self._free_at) + self.script.patience
        elif code == t30.RTP:
            self._train(now)
        else:
            self._send_page(now)

    def _on_request(self, answer: bytes, now: float) -> None:
        bitmap = answer[3:]
        block = self._blocks[self._block]
        self._missing = [n for n in range(len(block)) if n // 8 < len(bitmap) and bitmap[n // 8] >> n % 8 & 1]
        self._requests += 1
        self._tries = 0
        if self._requests % PPR_LIMIT:
            self._send_block(now, short=True)
        elif not self._given_up:
            self._given_up = True
            self._speak("CTC", frames.frame(frames.CTC | frames.RECEIVED_DIS, self._dcs()[3:5]), now)
        else:
            self._speak("EOR", frames.frame(t30.EOR | frames.RECEIVED_DIS, bytes((self._command_code() | 1,))), now)

    # Speaking.

    def _dcs(self) -> bytes:
        script = self.script
        bits = [frames.FINE, frames.ANY_LENGTH]
        bits += {"MMR": [frames.MMR], "MR": [frames.MR], "MH": []}[script.coding]
        bits += [frames.ECM] if script.ecm else []
        bits += [frames.OCTETS_64] if script.ecm and script.frame_octets == 64 else []
        bits += {2048: [frames.B4], 2432: [frames.A3]}.get(script.width, [])
        return frames.dcs(script.rate, *bits)

    def _train(self, now: float) -> None:
        """DCS and TCF."""
        self._tries += 1
        idents = (TSI,) if self.script.idents is None else self.script.idents
        self._say("DCS", (*idents, self.script.command or self._dcs()), now)
        act = self._act("TCF")
        if not act.skip and not self.silent:
            octets = act.image
            what = carrier.tcf(self._rate) if octets is None else carrier.stream(self._rate, octets, short=False)
            self._send_raw(act, now)
            self._transmit(what, now, act.delay)
        self._conclude(act, now)
        self._wait("CFR", now)

    def _send_page(self, now: float) -> None:
        """The first block of a page, or the page."""
        script = self.script
        rows = self._pages[self._page]
        encode = {"MMR": coding.mmr, "MR": coding.mr, "MH": coding.mh}[script.coding]
        octets = encode(rows, script.width)
        self._blocks, self._block = [], 0
        if script.ecm:
            size = script.frame_octets
            pieces = [t30.from_line(octets[at : at + size]).ljust(size, b"\0") for at in range(0, len(octets), size)]
            self._blocks = [pieces[at : at + BLOCK] for at in range(0, len(pieces), BLOCK)]
            self._missing = range(len(self._blocks[0]))
            self._send_block(now, short=True)
            return
        act = self._act("page")
        self._send_raw(act, now)
        if not act.skip:
            data = octets if act.image is None else act.image
            self._transmit(carrier.stream(self._rate, data, short=True), now, act.delay)
        self._conclude(act, now)
        self._command(now)

    def _send_block(self, now: float, *, short: bool) -> None:
        """The missing frames of a block, RCP, and the command."""
        act = self._act("page")
        block = self._blocks[self._block]
        said = [frames.fcd(number, block[number]) for number in self._missing] if act.blocks is None else act.blocks
        hurt = [at for at, number in enumerate(self._missing) if number in act.lost]
        self._send_raw(act, now)
        if not act.skip:
            rcp = [frames.rcp()] * 3
            self._transmit(carrier.block(self._rate, [*said, *rcp], short=short, hurt=hurt), now, act.delay)
        self._conclude(act, now)
        self._command(now)

    def _command_code(self) -> int:
        commands = self.script.commands
        if self._page < len(commands):
            return commands[self._page]
        return t30.EOP if self._page + 1 >= len(self._pages) else t30.MPS

    def _command(self, now: float) -> None:
        """The post-page command."""
        if self.silent:
            return
        self._tries += 1
        code = self._command_code()
        if self.script.ecm:
            more = self._block + 1 < len(self._blocks)
            count = len(self._blocks[self._block])
            self._speak("post-page", frames.pps(0 if more else code, self._page, self._block, count), now)
        else:
            self._speak("post-page", frames.post_page(code), now)

    def _speak(self, moment: str, normal: bytes, now: float) -> None:
        self._say(moment, (normal,), now)
        self._wait("MCF", now)

    def _wait(self, answer: str, now: float) -> None:
        self._waits_for = answer
        self._until = max(now, self._free_at) + T4

    def _goodbye(self, now: float) -> None:
        act = self._act("DCN")
        self._perform(act, (frames.frame(t30.DCN | frames.RECEIVED_DIS),), now)
        self.silent = True
        if act.after is After.GO_ON and self._hang_up_at is None:
            self._hang_up_at = self._free_at + FAREWELL
