"""What a call to us came to: the facts as they come in, and the `Outcome` they make.

A reception is what was acknowledged as durable, never the engine's result (docs/transport.md J.7 rule 4).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from faxgw.fax.outcome import Cause, Outcome, classify_t30
from faxgw.foip.t30_frames import CONFIRMATIONS, DCN, DCS, fcf
from faxgw.line.facts import OUR_FAULT, Facts


@dataclass(slots=True)
class Arrival(Facts):
    """The facts of one call to us."""

    announced: int = 0
    """The last page the worker handed over."""
    released: int = 0
    """The last page whose acknowledgement was given to a living worker."""
    whole: bool = False
    """The released page was the last one (EOP)."""
    sub_address: str = ""
    """The SUB that the sender gave (ITU-T T.33)."""

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
        return replace(self.describe(self._cause(), now), sub_address=self.sub_address)

    def _cause(self) -> Cause:
        if self.whole and self.acknowledged == self.announced:
            return Cause.OK
        if self.worker_gone:
            return Cause.LINE_FAULT
        if self.forced is not None:
            return self.forced
        if self.answered_at is None:
            return Cause.HUNG_UP_BEFORE_FAX
        if self.phase_e is not None and self.phase_e.reason in OUR_FAULT:
            return Cause.LINE_FAULT
        if self.phase_e is not None and self.phase_e.reason == "silent":
            return Cause.MEDIA_LOST
        code = -1 if self.phase_e is None else self.phase_e.code
        if code == 0 and self.announced and self.acknowledged == self.announced:
            return Cause.OK  # DCN after EOM
        if not self.phase_b and self.heard_codes:  # a fax machine was heard, whatever the library made of it
            return Cause.NO_COMMON_MODE if DCS in self.heard_codes else self.cause_before_phase_b
        cause = classify_t30(code, phase_b=self.phase_b, remote_ended=self.far_end_parted, all_data_sent=False)
        return Cause.MEDIA_LOST if cause is Cause.PAGE_NOT_CONFIRMED else cause  # we confirm, nobody confirms to us
