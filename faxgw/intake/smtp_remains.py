"""What a mail process leaves in the spool when it is killed, and when that may be removed.

Its files bear its mark (`SpoolPlace.mark`). They are looked at once it has ended, its pipe was read to the end and
every commit that it asked for has ended too: then a row names a file or never will. The exception is a commit of which
nobody knows what became of it; its file waits for the sweep at the gateway's next start, as every such file does.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Collection

from faxgw.fax.ports import MailSubmission, Receipt, Rejection, Submissions
from faxgw.intake.smtp_mail import UNCERTAIN, SpoolFiles
from faxgw.store.errors import StoreError
from faxgw.store.files import MARK_DIGITS, Known

MAX_SPARED = 10_000
"""Commits of unknown fate of one process that are remembered; after more of them none of its files is removed."""

log = logging.getLogger(__name__)


class Trail:
    """What one process does in the spool."""

    def __init__(self) -> None:
        self.mark = secrets.token_hex(MARK_DIGITS // 2)
        """In the names of its files."""
        self.spared: set[str] = set()
        """Keys of files that are being committed, or of whose commit nobody knows."""
        self.lost = False
        """There were too many of these to remember."""

    async def commit(self, submissions: Submissions, mail: MailSubmission) -> Receipt | Rejection:
        """Have a mail of the process committed."""
        key = mail.file.key
        self.spared.add(key)
        answer = await submissions.submit_mail(mail)
        if isinstance(answer, Receipt) or answer.code != UNCERTAIN.code:
            self.spared.discard(key)
        self.lost = self.lost or len(self.spared) > MAX_SPARED
        return answer


class Remains:
    """Removes what processes leave behind.

    Args:
        files: The spool.
        known: Says which of some keys a row names.
    """

    def __init__(self, files: SpoolFiles, known: Known) -> None:
        self._files = files
        self._known = known

    async def remove(self, trail: Trail, answers: Collection[asyncio.Task[None]]) -> None:
        """Remove the files of a process that has ended.

        Args:
            trail: Its.
            answers: What is still being done for it; there will be no more.
        """
        if answers:
            await asyncio.wait(tuple(answers))
        if trail.lost:
            return
        try:
            swept = await self._files.sweep_marked(trail.mark, self._known, trail.spared)
        except (OSError, StoreError) as error:
            log.warning("files left to the next start", extra={"event": "smtp_process.files_left", "why": str(error)})
            return
        if swept.temporary or swept.orphans:
            log.info(
                "files of a mail process removed",
                extra={"event": "smtp_process.files", "temporary": swept.temporary, "orphans": swept.orphans},
            )
