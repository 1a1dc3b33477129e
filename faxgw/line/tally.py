"""What one call of ours came to: the facts as they come in, and the `Outcome` they make.

A page is confirmed when its mark is durable, never because a result code says so (docs/transport.md J.7 rule 6).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from faxgw.fax.outcome import Cause, Outcome, classify_sip, classify_t30
from faxgw.foip.control import Tone
from faxgw.foip.t30_frames import CONFIRMATIONS, DIS, MCF, PIN, POST_PAGE_COMMANDS, PPR, PPS, RTN, fcf
from faxgw.line.facts import OUR_FAULT, Facts

_ANSWERS = CONFIRMATIONS | {RTN, PIN, PPR}
"""Answers to a post-page command; RNR is none, it only asks for patience."""
_GO_ON = frozenset({"guard", "resolution"})
"""Reasons of PhaseE after which another call goes on at once: with the next page, or at standard resolution."""


@dataclass(slots=True)
class Tally(Facts):
    """The facts of one call that we place."""

    pages: int = field(kw_only=True)
    """Pages the call is to send."""
    exposed: bool = False
    confirmed: set[tuple[str, int]] = field(default_factory=set)
    """Fax and page of each durable confirmation."""
    heard: set[Tone] = field(default_factory=set)
    """What was heard in the audio before phase B."""
    cancelled: bool = False
    sip_status: int | None = None
    retry_after: float | None = None
    """Seconds that the refusal asked us to wait."""

    @property
    def complete(self) -> bool:
        """Whether every page was confirmed."""
        return len(self.confirmed) >= self.pages

    @property
    def doubtful(self) -> bool:
        """Whether the last post-page command was sent and never answered: the far end may hold that page."""
        waiting = False
        for _at, direction, frame in self.frames:
            code = fcf(frame)
            if direction == ">" and code in POST_PAGE_COMMANDS:
                waiting = not (code == PPS and len(frame) > 3 and frame[3] == 0)  # PPS-NULL ends no page
            elif direction == "<" and code in _ANSWERS:
                waiting = False
        return waiting and not self.complete

    def outcome(self, now: float) -> Outcome:
        """The result, at `now` (Unix seconds)."""
        end = self.phase_e
        return replace(
            self.describe(self._cause(), now),
            exposed=self.exposed,
            doubtful=self.exposed and self.doubtful,
            sip_status=self.sip_status,
            retry_after=self.retry_after,
            resume=end is not None and end.reason in _GO_ON and not self.complete,
        )

    def _cause(self) -> Cause:
        if self.complete:
            return Cause.OK
        if self.cancelled:
            return Cause.CANCELLED
        if self.worker_gone:
            return Cause.LINE_FAULT
        if self.forced is not None:
            return self.forced
        if self.answered_at is None:
            return classify_sip(self.sip_status or 500, self.q850)
        return self._fax_cause()

    def _fax_cause(self) -> Cause:
        end = self.phase_e
        last = self.doubtful and len(self.confirmed) == self.pages - 1
        if (end is None and not self.remote_ended) or (end is not None and end.reason in OUR_FAULT):
            return Cause.LINE_FAULT
        if end is not None and end.reason == "silent":
            return Cause.MEDIA_LOST  # T.38 was agreed: a machine is there, its packets are not
        if not self.phase_b and Tone.VOICE in self.heard and self.heard.isdisjoint({Tone.CED, Tone.V21}):
            return Cause.PERSON
        if not self.phase_b and self.heard_codes:  # a fax machine was heard, whatever the library made of it
            return Cause.NO_COMMON_MODE if DIS in self.heard_codes else self.cause_before_phase_b
        if end is None:
            return classify_t30(-1, phase_b=self.phase_b, remote_ended=True, all_data_sent=last)
        if self.phase_b and not last and self._last_answer() in (RTN, PIN):
            return Cause.BAD_LINES
        if end.reason == "guard":
            return Cause.PAGE_NOT_CONFIRMED
        return classify_t30(end.code, phase_b=self.phase_b, remote_ended=self.far_end_parted, all_data_sent=last)

    def _last_answer(self) -> int:
        answers = (fcf(frame) for _at, direction, frame in reversed(self.frames) if direction == "<")
        return next((code for code in answers if code in _ANSWERS), MCF)
