"""What is known of a call in either direction, as the facts come in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from operator import itemgetter

from faxgw.fax.outcome import Cause, FarEnd, Outcome
from faxgw.foip.control import PhaseE
from faxgw.foip.headers import Cause as ReasonValue
from faxgw.foip.t30_frames import DCN, fcf

MAX_FRAMES = 20_000
"""T.30 frames kept of one call; a 500-page call has some 3,000."""
MAX_NOTES = 2_000
"""Notes of one call: one a page, and some."""
OUR_FAULT = frozenset({"gate", "late", "budget", "fault", "start", "page"})
"""Reasons of PhaseE that are the gateway's own doing."""
_BAD_RESPONSES = frozenset({13, 14})
"""Completion codes: an answer was none of those expected; when it was DCN, the far end has hung up."""

Frames = Sequence[tuple[float, str, bytes]]


@dataclass(slots=True)
class Facts:
    """The facts that a call has whoever placed it; base of `Tally` and `Arrival`."""

    started_at: float
    """Unix seconds at the INVITE."""
    answered_at: float | None = None
    """When it was answered; of a call to us: when the caller's ACK came."""
    phase_b: bool = False
    phase_e: PhaseE | None = None
    forced: Cause | None = None
    """Why we ended the call ourselves; the first reason counts."""
    q850: int | None = None
    remote_ended: bool = False
    """The far end said BYE or CANCEL while the fax was still going on."""
    worker_gone: str = ""
    """How the call worker ended, if it did."""
    worker_died: bool = False
    remote_ident: str = ""
    far: FarEnd = field(default_factory=FarEnd)
    """What the call showed of the far end's ways."""
    details: list[str] = field(default_factory=list)
    frames: list[tuple[float, str, bytes]] = field(default_factory=list)
    """Seconds since the INVITE, `>` or `<`, the frame."""
    media_after: float = 0.0
    """Seconds from the INVITE to the media's beginning, which the worker counts from."""
    messages: list[tuple[float, str, str]] = field(default_factory=list)
    """The SIP messages in words, like `Outcome.steps`."""
    notes: list[tuple[float, str]] = field(default_factory=list)
    """Seconds since the INVITE and words: what the frames and SIP do not tell."""

    def since_answer(self, now: float) -> float:
        """Seconds since the answer, at `now` (Unix seconds)."""
        return round(max(0.0, now - (self.answered_at or now)), 2)

    def force(self, cause: Cause, detail: str) -> None:
        """Note why we end the call; a later reason is only a detail."""
        self.forced = self.forced or cause
        self.details.append(detail)

    def add_causes(self, causes: Sequence[ReasonValue]) -> None:
        """Take the Q.850 cause out of Reason values, if there is one."""
        self.q850 = next((cause.code for cause in causes if cause.protocol == "Q.850"), self.q850)

    def add_frames(self, frames: Frames) -> None:
        """Add to the ladder, up to MAX_FRAMES."""
        shifted = ((round(at + self.media_after, 3), way, frame) for at, way, frame in frames)
        self.frames.extend(islice(shifted, MAX_FRAMES - len(self.frames)))

    def note(self, after: float, words: str) -> None:
        """Note something for the trace, `after` seconds since the INVITE; up to MAX_NOTES."""
        if len(self.notes) < MAX_NOTES:
            self.notes.append((round(after, 3), words))

    @property
    def far_end_parted(self) -> bool:
        """Whether the far end ended the fax, with BYE or DCN; after our own DCN a BYE is only good manners."""
        goodbyes = (direction for _at, direction, frame in self.frames if fcf(frame) == DCN)
        first = next(goodbyes, "")
        code = self.phase_e.code if self.phase_e is not None else -1
        return (self.remote_ended and first != ">") or (first == "<" and code in _BAD_RESPONSES)

    @property
    def heard_codes(self) -> list[int]:
        """The T.30 frames that came, in order, as facsimile control fields."""
        return [fcf(frame) for _at, direction, frame in self.frames if direction == "<"]

    @property
    def cause_before_phase_b(self) -> Cause:
        """Why the fax of a machine that was heard never began."""
        parted = DCN in self.heard_codes or self.far_end_parted
        return Cause.REMOTE_HUNG_UP if parted else Cause.PROTOCOL_ERROR

    def describe(self, cause: Cause, now: float) -> Outcome:
        """The outcome, as far as the direction does not matter, at `now` (Unix seconds)."""
        end = self.phase_e
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
            remote_ident=self.remote_ident or (end.remote_ident if end is not None else ""),
            transport=statistics.transport if statistics is not None and self.phase_b else "",
            bit_rate=statistics.bit_rate if statistics is not None else 0,
            ecm=statistics.ecm if statistics is not None else False,
            encoding=statistics.encoding if statistics is not None else "",
            ecm_retries=statistics.ecm_retries if statistics is not None else 0,
            worker_died=self.worker_died,
            far=self.far,
            frames=tuple(self.frames),
            steps=tuple(sorted([*self.messages, *((at, "=", words) for at, words in self.notes)], key=itemgetter(0))),
        )
