"""Recordings of calls: who asked for one, where they are kept and for how long (implements `fax.ports.Recordings`)."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final

from faxgw.dispatch.seat import Seat
from faxgw.fax.errors import FaxError, Refused
from faxgw.store.recordings import RecordingFolder
from faxgw.store.space import Watermark

log = logging.getLogger(__name__)

MAX_ASKED: Final = 100
"""Numbers whose next call is to be recorded; the oldest wish is forgotten beyond it."""
MIN_DIGITS: Final = 4
"""Digits of a number that is asked for."""
COMPARED: Final = 8
"""Last digits that decide whether two spellings are the same number."""
PRUNE_EVERY: Final = 3600.0
"""Seconds between removals of what is too old."""


class RecordingKeeper:
    """The recordings of this node.

    Args:
        seat: The node.
        folder: Where they lie.
        watermark: Below it none is kept.
        keep_for: Seconds for which one is kept.
        forms: What a recording can be turned into: name → how; blocking.
    """

    def __init__(
        self,
        seat: Seat,
        folder: RecordingFolder,
        watermark: Watermark,
        keep_for: float,
        forms: Mapping[str, Callable[[bytes], bytes]],
    ) -> None:
        self._seat = seat
        self._folder = folder
        self._watermark = watermark
        self._keep_for = keep_for
        self._forms = forms
        self._asked: OrderedDict[str, str] = OrderedDict()

    def ask(self, number: str, who: str) -> str:
        """Have the next call to or from a number recorded; returns what became of the wish.

        Raises:
            Refused: If that is no number.
        """
        digits = _digits(number)
        if len(digits) < MIN_DIGITS:
            raise Refused(f"not a number: {number!r}", public="That is no telephone number.")
        self._asked[digits[-COMPARED:]] = who
        while len(self._asked) > MAX_ASKED:
            self._asked.popitem(last=False)
        log.info("recording asked for", extra={"event": "recording.asked", "number": number, "who": who})
        return "the next call to or from this number is recorded, unless the gateway is restarted before"

    def asked(self, *numbers: str) -> bool:
        """See the port."""
        wishes = [self._asked.pop(_digits(number)[-COMPARED:], None) for number in numbers]
        return any(wish is not None for wish in wishes)

    async def keep(self, call: str, octets: bytes) -> None:
        """See the port. What cannot be kept is dropped, with a line in the log."""
        try:
            await self._seat.files.require_room(self._watermark)
            size = await asyncio.to_thread(self._folder.keep, call, octets)
        except (FaxError, OSError) as exc:
            log.warning("recording not kept", extra={"event": "recording.lost", "attempt": call, "why": str(exc)})
            return
        log.info("call recorded", extra={"event": "recording.kept", "attempt": call, "octets": size})
        await self.prune()

    async def read(self, call: str, form: str) -> bytes:
        """The recording of a call in a form.

        Raises:
            Refused: If there is no such form.
            StoreError: If there is no such recording, or it cannot be read.
        """
        made = self._forms.get(form)
        if made is None:
            raise Refused(f"no form {form!r}", public=f"A recording can be had as {', '.join(self._forms)}.")
        return await asyncio.to_thread(lambda: made(self._folder.read(call)))

    async def prune(self) -> None:
        """Remove what is too old or too much."""
        removed = await asyncio.to_thread(self._folder.prune, self._seat.clock() - self._keep_for)
        if removed:
            log.info("recordings removed", extra={"event": "recording.pruned", "recordings": removed})

    async def prune_for_ever(self) -> None:
        """Keep the folder small also when nothing is recorded."""
        while True:
            await self.prune()
            await asyncio.sleep(PRUNE_EVERY)


def _digits(number: str) -> str:
    return "".join(c for c in number if c.isascii() and c.isdigit())
