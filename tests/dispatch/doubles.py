"""A line that does what the test says, and pages without page processes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from faxgw.document import types as pages
from faxgw.fax.outcome import Cause, Outcome
from faxgw.fax.ports import CallIdentity, CallMarks, CallPlan
from tests.patience import PATIENCE_S

Script = Callable[[CallPlan, CallMarks], Awaitable[Outcome]]


async def receives_well(plan: CallPlan, marks: CallMarks) -> Outcome:
    """A machine that confirms every page."""
    (document,) = plan.documents
    if not await marks.answered({"to_tag": "x"}) or not await marks.exposed(document.fax, document.first):
        return Outcome(Cause.LINE_FAULT, connected=True)
    for page in range(document.first, document.last + 1):
        if not await marks.confirmed(document.fax, page):
            return Outcome(Cause.LINE_FAULT, connected=True)
    return Outcome(Cause.OK, connected=True, exposed=True, frames=((0.5, "<", b"\xff\x13\x80"),))


async def is_busy(plan: CallPlan, marks: CallMarks) -> Outcome:
    return Outcome(Cause.BUSY, sip_status=486)


@dataclass
class ScriptedLine:
    """A `Line`: each call runs the next script; the last one repeats."""

    scripts: list[Script] = field(default_factory=lambda: [receives_well])
    channels: dict[str, int] = field(default_factory=lambda: {"t1": 4})
    calls: list[CallPlan] = field(default_factory=list)
    hung_up: list[str] = field(default_factory=list)
    ended: list[tuple[str, str, bool]] = field(default_factory=list)
    end_error: Exception | None = None

    def new_identity(self, trunk: str) -> CallIdentity:
        number = len(self.calls) + 1
        return CallIdentity(f"call-{number}", f"tag-{number}", f"z9hG4bK{number}", number)

    def trunks(self) -> Mapping[str, int]:
        return self.channels

    async def call(self, plan: CallPlan, marks: CallMarks) -> Outcome:
        self.calls.append(plan)
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        return await script(plan, marks)

    async def hangup(self, attempt: str) -> None:
        self.hung_up.append(attempt)

    async def end_stranger(self, trunk: str, identity: CallIdentity, number: str, dialog: Mapping[str, object]) -> None:
        self.ended.append((trunk, identity.call_id, bool(dialog)))
        if self.end_error is not None:
            raise self.end_error


def memory(content: bytes) -> int:
    fd = os.memfd_create("pages")
    os.pwrite(fd, content, 0)
    return fd


def document(name: str = "a.pdf", content: bytes = b"%PDF") -> pages.Document:
    return pages.Document(memory(content), name, pages.Kind.PDF, None, pages.Origin.ATTACHMENT, len(content))


def rendered(count: int = 2) -> pages.Rendered:
    facts = tuple(pages.PageFacts(1728, 2292, 100, 0.1, 0, n) for n in range(1, count + 1))
    return pages.Rendered(memory(b"II*\0body"), facts, pages.Resolution.FINE, memory(b"\x89PNG"))


Step = Exception | pages.Walked | pages.Rendered | pages.Refused


@dataclass
class Pages:
    """A page client: gives what the test prepared, and composes anything."""

    walks: list[Step] = field(default_factory=list)
    renders: list[Step] = field(default_factory=list)
    composing: Exception | None = None
    before_compose: Callable[[], Awaitable[None]] | None = None
    merges: list[Exception | pages.Merged | pages.Refused] = field(default_factory=list)
    seen: list[bytes] = field(default_factory=list)
    composed: list[pages.ComposeOptions] = field(default_factory=list)

    async def walk(self, mail_fd: int, options: pages.WalkOptions | None = None) -> pages.Walked | pages.Refused:
        self.seen.append(os.pread(mail_fd, 1000, 0))
        step = self.walks.pop(0) if self.walks else pages.Walked((document(),))
        if isinstance(step, Exception):
            raise step
        assert isinstance(step, (pages.Walked, pages.Refused))
        return step

    async def render(
        self, documents: Sequence[pages.Document], options: pages.RenderOptions | None = None
    ) -> pages.Rendered | pages.Refused:
        self.seen += [os.pread(d.fd, 1000, 0) for d in documents]
        step = self.renders.pop(0) if self.renders else rendered()
        if isinstance(step, Exception):
            raise step
        assert isinstance(step, (pages.Rendered, pages.Refused))
        return step

    async def merge(self, document: pages.Document) -> pages.Merged | pages.Refused:
        self.seen.append(os.pread(document.fd, 1000, 0))
        step = self.merges.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    async def cut(self, merged_fd: int, slices: Sequence[pages.Slice]) -> pages.Sliced:
        assert len(slices) <= 60
        return pages.Sliced(tuple(document("cut.pdf", f"{s.first}-{s.last}".encode()) for s in slices))

    async def compose(self, body_fd: int, options: pages.ComposeOptions) -> pages.Composed:
        if self.before_compose is not None:
            await self.before_compose()
        if self.composing is not None:
            raise self.composing
        self.composed.append(options)
        return pages.Composed(memory(b"II*\0composed"), (), pages.Resolution.FINE)


async def until(condition: Callable[[], bool | Awaitable[bool]], seconds: float = PATIENCE_S) -> None:
    """Let the loop run until a condition holds; fails after `seconds`."""
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.002)
