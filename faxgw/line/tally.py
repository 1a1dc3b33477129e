"""What one call came to: the facts as they come in, and the `Outcome` they make.

A page is confirmed when its mark is durable, never because a result code says so (docs/transport.md J.7 rule 6).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from faxgw.fax.outcome import Cause, Outcome, classify_sip, classify_t30
from faxgw.foip.control import PhaseE, Tone
from faxgw.foip.headers import Cause as ReasonValue
from faxgw.foip.t30_frames import CONFIRMATIONS, MCF, PIN, POST_PAGE_COMMANDS, PPR, PPS, RTN, fcf

MAX_FRAMES = 20_000
"""T.30 frames kept of one call; a 500-page call has some 3,000."""
_ANSWERS = CONFIRMATIONS | {RTN, PIN, PPR}
"""Answers to a post-page command; RNR is none, it only asks for patience."""
_OUR_FAULT = frozenset({"gate", "late", "budget", "fault", "start", "page"})
"""Reasons of PhaseE that are the gateway's own doing."""
_GO_ON = frozenset({"guard", "resolution"})
"""Reasons of PhaseE after which another call goes on at once: with the next page, or at standard resolution."""

Frames = Sequence[tuple[float, str, bytes]]


@dataclass(slots=True)
class Tally:
    """The facts of one call."""

    pages: int
    """Pages the call is to send."""
    started_at: float
    """Unix seconds at the INVITE."""
    answered_at: float | None = None
    exposed: bool = False
    confirmed: set[tuple[str, int]] = field(default_factory=set)
    """Fax and page of each durable confirmation."""
    phase_b: bool = False
    heard: set[Tone] = field(default_factory=set)
    """What was heard in the audio before phase B."""
    phase_e: PhaseE | None = None
    forced: Cause | None = None
    """Why we ended the call ourselves; the first reason counts."""
    cancelled: bool = False
    sip_status: int | None = None
    q850: int | None = None
    remote_ended: bool = False
    """The far end said BYE while the fax was still going on."""
    worker_gone: str = ""
    """How the call worker ended, if it did."""
    worker_died: bool = False
    remote_ident: str = ""
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
        cause = self._cause()
        end = self.phase_e
        statistics = end.statistics if end is not None else None
        details = [*self.details, *([end.text] if end is not None and cause is not Cause.OK else [])]
        if self.worker_gone:
            details.append(f"call worker: {self.worker_gone}")
        return Outcome(
            cause,
            connected=self.answered_at is not None,
            exposed=self.exposed,
            doubtful=self.exposed and self.doubtful,
            started_at=self.started_at,
            answered_at=self.answered_at,
            ended_at=now,
            sip_status=self.sip_status,
            q850=self.q850,
            t30_code=end.code if end is not None else None,
            detail="; ".join(details),
            remote_ident=self.remote_ident or (end.remote_ident if end is not None else ""),
            transport=statistics.transport if statistics is not None and self.phase_b else "",
            bit_rate=statistics.bit_rate if statistics is not None else 0,
            ecm=statistics.ecm if statistics is not None else False,
            encoding=statistics.encoding if statistics is not None else "",
            ecm_retries=statistics.ecm_retries if statistics is not None else 0,
            resume=end is not None and end.reason in _GO_ON and not self.complete,
            worker_died=self.worker_died,
            frames=tuple(self.frames),
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
        if (end is None and not self.remote_ended) or (end is not None and end.reason in _OUR_FAULT):
            return Cause.LINE_FAULT
        if not self.phase_b and Tone.VOICE in self.heard and self.heard.isdisjoint({Tone.CED, Tone.V21}):
            return Cause.PERSON
        if end is None:
            return classify_t30(-1, phase_b=self.phase_b, remote_ended=True, all_data_sent=last)
        if self.phase_b and not last and self._last_answer() in (RTN, PIN):
            return Cause.BAD_LINES
        if end.reason == "guard":
            return Cause.PAGE_NOT_CONFIRMED
        return classify_t30(end.code, phase_b=self.phase_b, remote_ended=self.remote_ended, all_data_sent=last)

    def _last_answer(self) -> int:
        answers = (fcf(frame) for _at, direction, frame in reversed(self.frames) if direction == "<")
        return next((code for code in answers if code in _ANSWERS), MCF)
