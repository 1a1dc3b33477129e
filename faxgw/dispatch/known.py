"""What was read of the directory a moment ago: a burst of mails asks the database once a second, not thrice a mail.

A change made through this process (`faxgw account`, the API, an import of a directory, a reload) is seen by the next
question; one made past it, on another node or by hand, within REMEMBERED_S. Only what opens something is remembered, so
that strangers cannot fill the memory; whoever is refused is looked up again.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from sqlalchemy import Connection

from faxgw.store.engine import Store
from faxgw.store.journal import ACCOUNTS_TOPIC
from faxgw.store.shared_read import SharedRead

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

REMEMBERED_S = 1.0
"""Seconds for which an answer is believed: as long as those of jobs (`jobs.STANDING_S`)."""
MAX_KNOWN = 1_000
"""Answers of one kind that are remembered; the oldest is forgotten first."""


class Known(Generic[K, T]):
    """Answers to one kind of question.

    Args:
        store: Where answers are read.
        read: Reads the answer to a question, in a unit that reads.
        keep: Whether an answer may be remembered.
    """

    def __init__(self, store: Store, read: Callable[[Connection, K], T], keep: Callable[[T], bool]) -> None:
        self._store = store
        self._read = read
        self._keep = keep
        self._changed = store.listen(ACCOUNTS_TOPIC)
        self._changes = 0
        self._answers: OrderedDict[K, tuple[float, T]] = OrderedDict()
        self._shared = SharedRead(self._look)

    async def ask(self, question: K) -> T:
        """The answer, not older than REMEMBERED_S nor than the last change made here."""
        self._forget_what_changed()
        known = self._answers.get(question)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        return await self._shared.ask(question)

    async def _look(self, question: K) -> T:
        self._forget_what_changed()
        changes, until = self._changes, time.monotonic() + REMEMBERED_S
        answer = await self._store.read(lambda conn: self._read(conn, question))
        self._forget_what_changed()
        if changes == self._changes and self._keep(answer):
            self._answers.pop(question, None)
            self._answers[question] = (until, answer)
            while len(self._answers) > MAX_KNOWN:
                self._answers.popitem(last=False)
        return answer

    def _forget_what_changed(self) -> None:
        """Called between a commit that changed something and any answer, for both are settled on the loop."""
        if self._changed.is_set():
            self._changed.clear()
            self._changes += 1
            self._answers.clear()
