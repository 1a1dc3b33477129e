"""Doubles for what surrounds the walk of a fax: a far end, page processes and a relay that take no time and no CPU.

The line double speaks the Line port in the order of the spine, each physical step a counted one; what the far end
sees it notes in a log that outlives the process. Documents are JSON instead of pictures: a watermark by itself. Time
runs SPEED times faster, for the event loop and for the daemon's wall clock, over all lives of one world.

Runs with these doubles show the order of commits and steps in gate, dispatch, store and recovery. They say nothing
of SIP, T.38 and T.30: that is what the runs over the real line are for.
"""

from __future__ import annotations

import asyncio
import email
import email.policy
import json
import os
import secrets
import selectors
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from types import MappingProxyType
from typing import Any  # the selector's and the daemon's arguments, JSON

from faxgw.delivery.mail import MailDelivery
from faxgw.document import types as pages
from faxgw.fax.outcome import Cause, Outcome
from faxgw.fax.ports import CallIdentity, CallMarks, CallPlan, DeliveryResult, InboundCalls, Parcel, Recordings
from faxgw.formats.report_payload import refused_from_payload, report_from_payload
from faxgw.formats.status_mail import refused_letter, status_letter
from tests.faults.checker import FarCall, Sighting, SinkMail
from tests.faults.ledger import Load, Log, load_of, mail_of, read_log
from tests.faults.scripted_callers import Callers
from tests.faults.steps import Steps

SPEED = 40.0
"""How much faster time runs: 40 s before a redial are one."""
RING = 0.4
"""Seconds (fast) until a call is answered or refused."""
TRAIN = 0.4
"""Seconds (fast) from the answer to phase B, and from there to the first data."""
PAGE = 0.4
"""Seconds (fast) that a page takes."""
SUFFIXES = ("00", "00", "00", "10", "30", "31", "32", "50", "51", "52", "60")
"""What numbers of the load end with; the machines are those of `FarEnd.behaviour`."""
CHANNELS = 8


class FastLoop(asyncio.SelectorEventLoop):
    """An event loop whose seconds are SPEED times shorter."""

    def __init__(self) -> None:
        super().__init__(_FastSelector())

    def time(self) -> float:
        return time.monotonic() * SPEED


class _FastSelector(selectors.DefaultSelector):
    def select(self, timeout: float | None = None) -> Any:
        return super().select(None if timeout is None else timeout / SPEED)


@dataclass(frozen=True, slots=True)
class FastClock:
    """`time.time` for the daemon, as fast as its loop and the same in every life of a world."""

    epoch: float
    """Real Unix seconds at which both clocks agreed."""

    def time(self) -> float:
        return self.epoch + (time.time() - self.epoch) * SPEED

    def monotonic(self) -> float:
        return time.monotonic() * SPEED


# ----------------------------------------------------------------------------------------------------- far end


class FarEnd:
    """The machines at the other end of the scripted line; they live in their log.

    Args:
        path: The log.
        clock: The gateway's clock.
    """

    def __init__(self, path: Path, clock: FastClock) -> None:
        self._log = Log(path)
        self._clock = clock
        self._calls = Counter(line["number"] for line in read_log(path) if line["what"] == "invite")

    def note(self, what: str, plan_call_id: str, **fields: object) -> None:
        self._log.write(what=what, call=plan_call_id, fast=self._clock.time(), **fields)

    def behaviour(self, call_id: str, number: str) -> str:
        """Take an INVITE; say what the machine is going to do."""
        earlier = self._calls[number]
        self._calls[number] += 1
        self.note("invite", call_id, number=number)
        suffix = number[-2:]
        first = {"50": ("10", "10"), "51": ("30",), "52": ("31",)}.get(suffix, ())
        return first[earlier] if earlier < len(first) else {"50": "00", "51": "00", "52": "00"}.get(suffix, suffix)


def far_calls(path: Path) -> list[FarCall]:
    """What the far end's log says at the end."""
    calls: dict[str, dict[str, Any]] = {}
    for line in read_log(path):
        key = line["call"]
        if line["what"] == "invite":
            known = calls.setdefault(key, {"number": line["number"], "at": line["fast"], "pages": {}, "ended": False})
            known["invites"] = known.get("invites", 0) + 1
            continue
        call = calls.get(key)
        if call is None:
            continue  # a CANCEL or BYE for a call that was planned and never left
        if line["what"] in ("data", "held", "refused", "confirmed"):
            page = call["pages"].setdefault((line["load"], line["page"], line["marked"]), set())
            page.add(line["what"])
        elif line["what"] in ("bye", "cancel", "over"):
            call["ended"] = True
    return [
        FarCall(
            id=f"{key}#{copy}",
            number=call["number"],
            at=call["at"],
            pages=tuple(
                Sighting(load, page, marked, "held" in facts and "refused" not in facts, "confirmed" in facts)
                for (load, page, marked), facts in call["pages"].items()
            )
            if copy == 0
            else (),
            call_id=key,
            ended=call["ended"],
        )
        for key, call in calls.items()
        for copy in range(call["invites"])
    ]


class ScriptedLine:
    """The Line port towards `FarEnd`, and calls to us from `Callers`.

    Args:
        far: The far end.
        steps: Where physical steps are counted.
        callers: Who calls us.
    """

    port = 0
    faults: Mapping[str, str] = MappingProxyType({})

    def __init__(self, far: FarEnd, steps: Steps, callers: Callers) -> None:
        self.far = far
        self.steps = steps
        self.callers = callers
        self.channels = self.trunks()
        self._hung_up: dict[str, asyncio.Event] = {}

    async def start(self) -> None:
        """Nothing to bind."""

    async def stop(self) -> None:
        """Calls end by their tasks' cancellation: the far end waits for the BYE of recovery."""

    def new_identity(self, trunk: str) -> CallIdentity:
        return CallIdentity(
            f"{secrets.token_hex(8)}@gateway", secrets.token_hex(4), "z9hG4bK" + secrets.token_hex(6), 1
        )

    def trunks(self) -> Mapping[str, int]:
        return {"far-end": CHANNELS}

    def record_to(self, keeper: Recordings) -> None:
        """It has no media."""

    def tell_changes(self, tell: Callable[[], None]) -> None:
        """Its trunk is always up."""

    def take_calls(self, inbound: InboundCalls) -> None:
        self.callers.begin(inbound)

    async def drain(self, grace: float) -> None:
        await self.callers.drain(grace)

    async def hangup(self, attempt: str) -> None:
        if attempt in self._hung_up:
            self._hung_up[attempt].set()

    async def end_stranger(self, trunk: str, identity: CallIdentity, number: str, dialog: Mapping[str, object]) -> None:
        self.steps.step("before ending a stranger")
        self.far.note("bye" if dialog else "cancel", identity.call_id)
        self.steps.step("after ending a stranger")

    async def call(self, plan: CallPlan, marks: CallMarks) -> Outcome:
        """One call, in the order of the spine's section 3."""
        self._hung_up[plan.attempt] = asyncio.Event()
        started = time.time()
        try:
            outcome = await self._call(plan, marks)
        finally:
            del self._hung_up[plan.attempt]
        self.far.note("over", plan.identity.call_id)
        self.steps.step("after the call")
        return Outcome(started_at=started, **outcome)

    def invite(self, call_id: str, number: str) -> str:
        """The INVITE leaves; what the machine is going to do."""
        self.steps.step("before INVITE")
        machine = self.far.behaviour(call_id, number)
        self.steps.step("after INVITE")
        return machine

    async def _call(self, plan: CallPlan, marks: CallMarks) -> dict[str, Any]:
        call_id = plan.identity.call_id
        machine = self.invite(call_id, plan.number)
        await asyncio.sleep(RING)
        if machine == "10":
            return {"cause": Cause.BUSY, "sip_status": 486}
        if not await marks.answered({"call_id": call_id}):
            return {"cause": Cause.LINE_FAULT, "connected": True, "detail": "answered was not committed"}
        self.steps.step("after ACK")
        await asyncio.sleep(TRAIN)
        (document,) = plan.documents
        mark = json.loads(os.pread(document.descriptor, 65536, 0))
        if not await marks.exposed(document.fax, document.first):
            return {"cause": Cause.LINE_FAULT, "connected": True, "detail": "exposed was not committed"}
        await asyncio.sleep(TRAIN)
        for page in range(document.first, document.last + 1):
            seen = {"load": mark["load"], "page": page, "marked": page in mark["marked"]}
            last = page == document.last
            trouble = await self._page(call_id, machine, seen, last)
            if trouble is not None:
                return {"connected": True, "exposed": True, **trouble}
            if not await marks.confirmed(document.fax, page):
                return {"cause": Cause.LINE_FAULT, "connected": True, "exposed": True}
            if self._hung_up[plan.attempt].is_set():
                return {"cause": Cause.CANCELLED, "connected": True, "exposed": True}
        return {"cause": Cause.OK, "connected": True, "exposed": True, "t30_code": 0}

    async def _page(self, call_id: str, machine: str, seen: dict[str, Any], last: bool) -> dict[str, Any] | None:
        """One page to its confirmation; or what went wrong."""
        if machine == "30" and seen["page"] == 2:
            return {"cause": Cause.REMOTE_HUNG_UP}
        self.far.note("data", call_id, **seen)
        self.steps.step("after data")
        await asyncio.sleep(PAGE)
        if machine == "31":
            return {"cause": Cause.MEDIA_LOST}
        self.far.note("held", call_id, **seen)
        self.steps.step("after post-page command")
        if machine == "32" and last:
            return {"cause": Cause.LAST_PAGE_NOT_CONFIRMED, "doubtful": True, "t30_code": 48}
        if machine == "60" and last:
            self.far.note("refused", call_id, **seen)
            return {"cause": Cause.BAD_LINES, "t30_code": 0}  # docs/transport.md J.4: RTN for the last page
        self.far.note("confirmed", call_id, **seen)
        self.steps.step("after MCF")
        return None


# --------------------------------------------------------------------------------------------- pages and mailbox


def build_mail(load: Load) -> bytes:
    """A load's mail; its attachment is the watermark by itself."""
    document = json.dumps({"load": load.number, "pages": load.pages}).encode()
    return mail_of(load, document, "octet-stream", "fax.bin")


class ScriptedPages:
    """The page client's face over documents that are JSON."""

    def __init__(self, settings: pages.PageSettings, *_: object) -> None:
        self.settings = settings

    async def start(self) -> None:
        """No process."""

    async def close(self) -> None:
        """No process."""

    async def walk(self, mail_fd: int, options: object = None) -> pages.Walked:
        octets = os.pread(mail_fd, os.fstat(mail_fd).st_size, 0)
        mail = email.message_from_bytes(octets, policy=email.policy.default)
        assert isinstance(mail, EmailMessage)
        (part,) = mail.iter_attachments()
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        return pages.Walked((pages.Document(_memory(content), "fax.bin", pages.Kind.TIFF, size=len(content)),))

    async def render(self, documents: Any, options: object = None, progress: object = None) -> pages.Rendered:
        content = os.pread(documents[0].fd, 65536, 0)
        facts = tuple(pages.PageFacts(1728, 2292, 100, 0.01, page=n + 1) for n in range(json.loads(content)["pages"]))
        return pages.Rendered(_memory(content), facts, pages.Resolution.FINE)

    async def compose(self, body_fd: int, options: pages.ComposeOptions) -> pages.Composed:
        body = json.loads(os.pread(body_fd, 65536, 0))
        composed = json.dumps({**body, "marked": list(options.marked)}).encode()
        return pages.Composed(_memory(composed), (), pages.Resolution.FINE)

    async def pdf(self, descriptors: Sequence[int], *_: object, **__: object) -> pages.PdfMade:
        contents = [os.pread(fd, 65536, 0).hex() for fd in descriptors]
        return pages.PdfMade(_memory(json.dumps(contents).encode()), ())


def _memory(content: bytes) -> int:
    fd = os.memfd_create("scripted")
    os.write(fd, content)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


class ScriptedMailbox:
    """A relay that never fails and keeps what it took.

    Args:
        path: Its log of reports.
        received: Its log of received faxes.
        steps: Where deliveries are counted.
    """

    kinds = MailDelivery.kinds

    def __init__(self, path: Path, received: Path, steps: Steps) -> None:
        self._log = Log(path)
        self._received = Log(received)
        self._steps = steps

    async def deliver(self, parcel: Parcel) -> DeliveryResult:
        if parcel.kind == "received_mail":
            (enclosed,) = parcel.enclosures
            contents = json.loads(os.pread(enclosed.descriptor, enclosed.size, 0))
            self._steps.step("before delivery of a fax")
            self._received.write(item=parcel.item, to=parcel.target, pages=contents)
            self._steps.step("after delivery of a fax")
            return DeliveryResult(True)
        if parcel.kind == "refused_mail":
            letter = refused_letter(refused_from_payload(parcel.payload), "Fax")
        else:
            letter = status_letter(report_from_payload(parcel.payload), "Fax")
        marks = dict(letter.marks)
        job, result = marks.get("X-Fax-Job", ""), marks["X-Fax-Result"]
        self._steps.step("before delivery")
        self._log.write(item=parcel.item, to=parcel.target, answers=letter.in_reply_to, job=job, result=result)
        self._steps.step("after delivery")
        return DeliveryResult(True)


def sink_mails(path: Path) -> list[SinkMail]:
    """What the mailbox took, oldest first."""
    return [
        SinkMail(f"<{m['item']}@gateway>", m["to"], load_of(m["answers"]), m["job"], m["result"])
        for m in read_log(path)
    ]
