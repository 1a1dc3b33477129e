"""What a call is doing now, for the live view: read off its T.30 frames and statistics as they come.

ITU-T T.30 section 5.3. Nothing here decides anything; a wrong guess shows a wrong word and no more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from faxgw.fax.ports import CallProgress
from faxgw.foip import t30_frames
from faxgw.foip.control import Statistics

_AGAIN: Final = frozenset({t30_frames.FTT, t30_frames.RTN, t30_frames.PIN, t30_frames.PPR})
"""Answers that ask for something once more."""


@dataclass(slots=True)
class Watch:
    """The state of one call, as far as it is shown."""

    sending: bool
    """We transmit the pages."""
    pages: int = 0
    """Pages that are to be sent; 0: unknown."""
    phase: str = "dialling"
    page: int = 0
    remote_ident: str = ""
    transport: str = ""
    modem: str = ""
    bit_rate: int = 0
    ecm: bool = False
    encoding: str = ""
    resolution: str = ""
    retries: int = 0
    """Trainings refused, and pages or blocks asked for again."""
    lost: int = 0
    recovered: int = 0
    _more: bool = False
    """Receiving: another page follows the one that just ended."""

    def see(self, frames: Iterable[tuple[float, str, bytes]]) -> None:
        """Take frames as the worker reports them."""
        for _at, way, frame in frames:
            code = t30_frames.fcf(frame)
            if code == t30_frames.DCS:
                self._on_dcs(frame)
            elif code in (t30_frames.CSI, t30_frames.TSI) and way == "<":
                self.remote_ident = t30_frames.ident(frame)
            elif code in _AGAIN:
                self.retries += 1
            elif not self.sending:
                self._receive(way, code, frame)

    def _receive(self, way: str, code: int, frame: bytes) -> None:
        """Receiving: our CFR lets the first page come, our MCF the next one, if the sender said that one follows."""
        if way == "<" and code in t30_frames.POST_PAGE_COMMANDS:
            end = frame[3] & 0xFE if code == t30_frames.PPS and len(frame) > 3 else code
            self._more = end in (t30_frames.MPS, t30_frames.EOM)
        elif way == ">" and code == t30_frames.CFR:
            self.phase, self.page = "page", max(1, self.page)
        elif way == ">" and code in t30_frames.CONFIRMATIONS and self._more:
            self.page, self._more = self.page + 1, False

    def _on_dcs(self, frame: bytes) -> None:
        meaning = t30_frames.capabilities(frame)
        if meaning is None:
            return
        self.transport = self.transport or "g711"
        self.modem, self.bit_rate, self.ecm = meaning.modems, meaning.bit_rate, meaning.ecm
        self.encoding, self.resolution = meaning.codings[0], meaning.resolutions[0]

    def count(self, statistics: Statistics) -> None:
        """Take what the engine counted."""
        self.transport = statistics.transport
        self.bit_rate, self.ecm, self.encoding = statistics.bit_rate, statistics.ecm, statistics.encoding
        self.losses(statistics.packets_lost, statistics.packets_recovered)

    def losses(self, lost: int, recovered: int) -> None:
        """Take the packets that were lost for good, and those that redundancy or parity brought back."""
        self.lost, self.recovered = lost, recovered

    def progress(self) -> CallProgress:
        """What is to be shown now."""
        return CallProgress(
            self.phase,
            self.page,
            self.remote_ident,
            transport=self.transport,
            bit_rate=self.bit_rate,
            ecm=self.ecm,
            encoding=self.encoding,
            modem=self.modem,
            resolution=self.resolution,
            retries=self.retries,
            packets_lost=self.lost,
            packets_recovered=self.recovered,
        )
