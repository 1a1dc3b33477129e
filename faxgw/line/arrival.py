"""What a call to us came to: the facts as they come in, and the `Outcome` they make.

A reception is what was acknowledged as durable, never the engine's result (docs/transport.md J.7 rule 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from faxgw.fax.outcome import Cause, Outcome, classify_t30
from faxgw.foip.control import PhaseE
from faxgw.foip.headers import Cause as ReasonValue
from faxgw.foip.t30_frames import CONFIRMATIONS, DCN, fcf
from faxgw.line.tally import MAX_FRAMES, Frames

_OUR_FAULT = frozenset({"gate", "late", "budget", "fault", "start", "page"})
"""Reasons of PhaseE that are the gateway's own doing."""


@dataclass(slots=True)
class Arrival:
    """The facts of one call to us."""

    started_at: float
    """Unix seconds at the INVITE."""
    answered_at: float | None = None
    """When the caller's ACK came."""
    phase_b: bool = False
    phase_e: PhaseE | None = None
    announced: int = 0
    """The last page the worker handed over."""
    released: int = 0
    """The last page whose acknowledgement was given to a living worker."""
    whole: bool = False
    """The released page was the last one (EOP)."""
    forced: Cause | None = None
    """Why we ended the call ourselves; the first reason counts."""
    q850: int | None = None
    remote_ended: bool = False
    """The caller said BYE or CANCEL while the fax was still going on."""
    worker_gone: str = ""
    worker_died: bool = False
    ident: str = ""
    details: list[str] = field(default_factory=list)
    frames: list[tuple[float, str, bytes]] = field(default_factory=list)

    def force(self, cause: Cause, detail: str) -> None:
        """Note why we end the call; a later reason is only a detail."""
        self.forced = self.forced or cause
        self.details.append(detail)

    def add_causes(self, causes: Sequence[ReasonValue]) -> None:
        """Take the Q.850 cause out of Reason values, if there is one."""
        self.q850 = next((cause.code for cause in causes if cause.protocol == "Q.850"), self.q850)

    def add_frames(self, frames: Frames) -> None:
        """Add to the ladder, up to MAX_FRAMES."""
        self.frames.extend(frames[: MAX_FRAMES - len(self.frames)])

    @property
    def acknowledged(self) -> int:
        """Pages whose MCF may have left; not the one whose release came after the worker's patience."""
        if self.phase_e is not None and self.phase_e.reason == "gate":
            return max(0, min(self.released, self.announced - 1))
        return self.released

    @property
    def farewell(self) -> bool:
        """Whether DCN came after the last confirmation: the sender knows."""
        confirmed = parted = False
        for _at, direction, frame in self.frames:
            code = fcf(frame)
            if direction == ">" and code in CONFIRMATIONS:
                confirmed, parted = True, False
            elif direction == "<" and code == DCN:
                parted = confirmed
        return parted

    def outcome(self, now: float) -> Outcome:
        """The result, at `now` (Unix seconds)."""
        cause, end = self._cause(), self.phase_e
        statistics = end.statistics if end is not None else None
        details = [*self.details, *([end.text] if end is not None and cause is not Cause.OK else [])]
        if self.worker_gone:
            details.append(f"call worker: {self.worker_gone}")
        return Outcome(
            cause,
            connected=self.answered_at is not None,
            started_at=self.started_at,
            answered_at=self.answered_at,
            ended_at=now,
            q850=self.q850,
            t30_code=end.code if end is not None else None,
            detail="; ".join(details),
            remote_ident=self.ident or (end.remote_ident if end is not None else ""),
            transport=statistics.transport if statistics is not None and self.phase_b else "",
            bit_rate=statistics.bit_rate if statistics is not None else 0,
            ecm=statistics.ecm if statistics is not None else False,
            encoding=statistics.encoding if statistics is not None else "",
            ecm_retries=statistics.ecm_retries if statistics is not None else 0,
            worker_died=self.worker_died,
            frames=tuple(self.frames),
        )

    def _cause(self) -> Cause:
        if self.whole and self.acknowledged == self.announced:
            return Cause.OK
        if self.worker_gone:
            return Cause.LINE_FAULT
        if self.forced is not None:
            return self.forced
        if self.answered_at is None:
            return Cause.HUNG_UP_BEFORE_FAX
        if self.phase_e is not None and self.phase_e.reason in _OUR_FAULT:
            return Cause.LINE_FAULT
        code = -1 if self.phase_e is None else self.phase_e.code
        if code == 0 and self.announced and self.acknowledged == self.announced:
            return Cause.OK  # DCN after EOM
        return classify_t30(code, phase_b=self.phase_b, remote_ended=self.remote_ended, all_data_sent=False)
