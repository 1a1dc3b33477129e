"""Fax machines that call us over the scripted line: each page in turn, and a log of every MCF they got.

The log outlives the process, as the caller's own memory would. A page's content names its caller and its number, so
that what was delivered can be told apart octet by octet.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import secrets
from collections.abc import Sequence
from pathlib import Path

from faxgw.fax.outcome import Cause, Outcome
from faxgw.fax.ports import Admission, InboundCalls, Ringing
from faxgw.fax.reception import PageEnd, ReceivedPage
from tests.faults.checker import InboundPage
from tests.faults.ledger import Log, read_log
from tests.faults.steps import Steps

OUR_NUMBER = "+33199007000"
"""The number of ours that they dial."""
OWNER = "desk@report.example.org"
"""The mailbox of its owner."""
PAUSE = 4.0
"""Seconds (fast) between two calls at most."""
PAGE = 0.4
"""Seconds (fast) that a page takes."""


class Callers:
    """The machines of one life.

    Args:
        path: Their log.
        steps: Where physical steps are counted.
        count: Calls of this life.
        seed: Of their choices.
    """

    def __init__(self, path: Path, steps: Steps, count: int, seed: int) -> None:
        self._log = Log(path)
        self._steps = steps
        self._count = count
        self._random = random.Random(seed)
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def begin(self, inbound: InboundCalls) -> None:
        """Call from now on."""
        for _ in range(self._count):
            pages, wait, cut = self._random.randint(1, 3), self._random.uniform(0, PAUSE), self._random.random() < 0.2
            self._tasks.add(asyncio.create_task(self._call_after(wait, inbound, pages, cut)))

    async def over(self) -> None:
        """Wait until every call of this life is over."""
        await asyncio.gather(*self._tasks)

    async def drain(self, grace: float) -> None:
        """No new call; wait for those that are."""
        self._closed = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)

    async def _call_after(self, wait: float, inbound: InboundCalls, pages: int, cut: bool) -> None:
        await asyncio.sleep(wait)
        if not self._closed:
            await self._call(inbound, secrets.token_hex(6), pages, cut)

    async def _call(self, inbound: InboundCalls, caller: str, pages: int, cut: bool) -> None:
        """One call; a cut one loses its line after its last page but one."""
        dialog = {"call_id": caller}
        admitted = await inbound.admit(Ringing("far-end", caller, OUR_NUMBER, "+33199008000", "", dialog))
        if not isinstance(admitted, Admission):
            return
        self._steps.step("after 200 OK to us")
        if not await inbound.answered(admitted.reception):
            return
        acknowledged, outcome = 0, Outcome(Cause.OK, connected=True, exposed=True)
        for page in range(1, pages + 1):
            await asyncio.sleep(PAGE)
            if cut and page == pages:
                outcome = Outcome(Cause.MEDIA_LOST, connected=True)
                break
            if not await self._page(inbound, admitted.reception, caller, page, last=page == pages):
                outcome = Outcome(Cause.LINE_FAULT, connected=True)
                break
            acknowledged = page
        farewell = outcome.cause is Cause.OK
        await inbound.ended(admitted.reception, outcome, acknowledged=acknowledged, farewell=farewell)
        self._steps.step("after the call to us")

    async def _page(self, inbound: InboundCalls, reception: str, caller: str, page: int, *, last: bool) -> bool:
        content = page_content(caller, page)
        end = PageEnd.EOP if last else PageEnd.MPS
        facts = ReceivedPage(page, 2290, 1728, 8031, 7700, 0, "MMR", end)
        descriptor = os.memfd_create("page")
        try:
            os.pwrite(descriptor, content, 0)
            self._steps.step("before a page of ours")
            if not await inbound.page(reception, facts, descriptor):
                return False
        finally:
            os.close(descriptor)
        self._log.write(what="mcf", caller=caller, page=page, sha256=hashlib.sha256(content).hexdigest())
        self._steps.step("after MCF of ours")
        return True


def page_content(caller: str, page: int) -> bytes:
    """What a page of a caller holds."""
    return json.dumps({"caller": caller, "page": page}).encode()


def confirmed_pages(path: Path) -> list[InboundPage]:
    """Every page that got its MCF."""
    return [
        InboundPage(line["caller"], line["page"], line["sha256"]) for line in read_log(path) if line["what"] == "mcf"
    ]


def delivered_faxes(path: Path) -> list[Sequence[bytes]]:
    """The pages of each fax that our mailbox was given, in order."""
    return [[bytes.fromhex(page) for page in line["pages"]] for line in read_log(path)]
