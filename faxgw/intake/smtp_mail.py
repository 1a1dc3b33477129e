"""One mail from the 354 to the promise of the 250 (docs/spine.md section 5, "250 to a mail", steps 2 to 4).

The content streams into a spool file. At the final dot: size, bare CR or LF, a bounded look at the header; then the
file is made durable, then one transaction commits the mail. From the file's commit on, a task of the mailroom's own
goes on to the end, whatever becomes of the connection.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from contextlib import AsyncExitStack
from dataclasses import dataclass
from secrets import token_bytes
from typing import Protocol

from faxgw.fax import ids
from faxgw.fax.number import masked
from faxgw.fax.ports import MailRecipient, MailSubmission, Principal, Receipt, Rejection, StoredFile, Submissions
from faxgw.intake.smtp_header import Header, HeaderTap
from faxgw.intake.smtp_settings import SmtpSettings
from faxgw.intake.smtp_stream import Allowance, DataScanner, Inlet, NameWatch, Patience
from faxgw.store.errors import OutOfSpace, StoreError
from faxgw.store.files import Kind, Known, SpoolFile, SpoolPlace, Swept

OVERRUN = 2
"""A mail is read up to so many times the limit to be answered 552; then the connection is closed."""
AUTOMATIC = Rejection(
    550, "5.7.1", "Automatic mails and answers are not faxed (Auto-Submitted: {}); send it without that field"
)
LOOP = Rejection(554, "5.4.6", "Too many hops: this mail is going round in circles")
SESSION_RESULTS = frozenset(
    {"quit", "lost", "timeout", "slow", "oversize", "errors", "out_of_step", "tls_failed", "stopped", "failed"}
)
"""What becomes of a connection."""
MAIL_RESULTS = frozenset({"accepted", "duplicate", "refused", "deferred"})
"""What becomes of a mail."""
UNCERTAIN = Rejection(451, "4.3.0", "It is not certain that your mail was stored; please send it again")
UNAVAILABLE = Rejection(451, "4.3.0", "The fax gateway cannot take mail at the moment; please try again later")
NO_SPACE = Rejection(452, "4.3.1", "The fax gateway has no storage space at the moment; please try again later")

log = logging.getLogger(__name__)


class SpoolFiles(Protocol):
    """Of the spool, what the mailroom needs; `store.files.Files`, and in tests what fails in its place."""

    @property
    def place(self) -> SpoolPlace:
        """Where it is, for a process that writes there as well."""
        ...

    async def open_temp(self, kind: Kind, limit: int = ...) -> SpoolFile:
        """A new file."""
        ...

    async def remove(self, key: str) -> None:
        """Remove an object no row names."""
        ...

    async def sweep_marked(self, mark: str, known: Known, spared: Collection[str] = ...) -> Swept:
        """Remove what a process made that has ended, and no row names."""
        ...


class TooSlow(Exception):
    """The peer's time for DATA ran out."""


class TooMuch(Exception):
    """The peer sent more than OVERRUN times the limit."""


@dataclass(frozen=True, slots=True)
class Counters:
    """Where to count; each does nothing unless given."""

    session: Callable[[str], None] = lambda result: None
    """A connection ended: one of SESSION_RESULTS; or was not let in: `refused_network`, `refused_full`,
    `refused_client`."""
    mail: Callable[[str], None] = lambda result: None
    """A mail came to its final dot: one of MAIL_RESULTS."""
    commit_seconds: Callable[[float], None] = lambda seconds: None
    """Time between final dot and promise."""


@dataclass(frozen=True, slots=True)
class Received:
    """The content of a mail at its final dot."""

    size: int
    """Octets, transparency removed."""
    header: Header
    refusal: Rejection | None
    """Set when it can be nothing."""
    listed: bool = False
    """A name was seen in it that would be a distribution list's."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A mail to be accepted."""

    peer: str
    principal: Principal
    sender: str
    recipients: tuple[MailRecipient, ...]
    header: Header
    envid: str
    ret: str
    listed: bool = False


class Mailroom:
    """Takes mails in.

    Args:
        settings: The limits.
        submissions: The funnel.
        files: The spool.
        counters: Where to count.
        now: Unix time in seconds.
    """

    def __init__(
        self,
        settings: SmtpSettings,
        submissions: Submissions,
        files: SpoolFiles,
        counters: Counters,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._submissions = submissions
        self._files = files
        self._counters = counters
        self._now = now
        self._commits: set[asyncio.Task[Receipt | Rejection]] = set()

    async def open(self) -> SpoolFile:
        """Open a file for one mail.

        Raises:
            StoreError: If that is not possible now.
        """
        return await self._files.open_temp(Kind.MAIL, self._settings.message_limit)

    async def receive(
        self,
        inlet: Inlet,
        file: SpoolFile,
        patience: Patience,
        ceiling: Callable[[], float],
        principal: Principal,
        names: Collection[str] = (),
    ) -> Received:
        """Read a mail's content to its end, whatever it is, and leave the connection in step.

        Args:
            inlet: Where it comes from.
            file: Where it goes.
            patience: To wait with.
            ceiling: Most seconds of allowance at this moment.
            principal: Whose it is.
            names: What is looked for in it, in lower case.

        Raises:
            TooSlow: If it does not come fast enough.
            TooMuch: If it does not end.
            EOFError: If the peer is gone.
        """
        content = _Content(file, self._settings, names)
        loop = asyncio.get_running_loop()
        until = loop.time() + self._settings.data_deadline
        allowance = Allowance(ceiling(), self._settings.data_rate)
        while True:
            allowance.lower(ceiling())
            asked = loop.time()
            try:
                chunk = await patience.wait(inlet.some(), min(allowance.left, until - asked))
            except TimeoutError as exc:
                raise TooSlow from exc
            allowance.charge(loop.time() - asked, len(chunk), ceiling())
            rest = await content.add(chunk)
            if rest is not None:
                inlet.unread(rest)
                return content.received(principal)
            if content.size > OVERRUN * self._settings.message_limit:
                raise TooMuch

    async def accept(self, draft: Draft, file: SpoolFile, owned: AsyncExitStack) -> Receipt | Rejection:
        """Make the file and then the mail durable; cancelled or not, what has begun is finished.

        Args:
            draft: The mail.
            file: Its content.
            owned: What discards the file; this call's from here on.
        """
        name = ids.prefixed("msg", self._now(), token_bytes(ids.RANDOM_OCTETS))
        task = asyncio.create_task(self._commit(name, draft, file, owned), name=f"smtp commit {name}")
        self._commits.add(task)
        task.add_done_callback(self._commits.discard)
        try:
            async with asyncio.timeout(self._settings.commit_deadline):
                return await asyncio.shield(task)
        except TimeoutError:
            log.error("mail commit overdue", extra={"event": "smtp_commit_overdue", "mail": name})
            return UNCERTAIN

    async def finish(self, grace: float) -> None:
        """Wait for commits that run, at most `grace` seconds; none is ever cancelled here."""
        if self._commits:
            await asyncio.wait(self._commits, timeout=grace)

    async def _commit(self, name: str, draft: Draft, file: SpoolFile, owned: AsyncExitStack) -> Receipt | Rejection:
        started = time.monotonic()
        answer = await self._store(name, draft, file, owned)
        seconds = time.monotonic() - started
        result = (
            ("duplicate" if answer.duplicate_of else "accepted")
            if isinstance(answer, Receipt)
            else ("deferred" if answer.code < 500 else "refused")
        )
        self._counters.mail(result)
        self._counters.commit_seconds(seconds)
        log.info(
            "mail committed",
            extra={
                "event": f"mail_{result}",
                "mail": answer.message if isinstance(answer, Receipt) else name,
                "peer": draft.peer,
                "count": len(draft.recipients),
                "numbers": [masked(recipient.number_e164) for recipient in draft.recipients[:10]],
                "seconds": round(seconds, 3),
            },
        )
        return answer

    async def _store(self, name: str, draft: Draft, file: SpoolFile, owned: AsyncExitStack) -> Receipt | Rejection:
        async with owned:
            try:
                stored = await file.commit()
            except StoreError as error:
                return store_rejection(error)
        mail = MailSubmission(
            message=name,
            principal=draft.principal,
            sender=draft.sender,
            recipients=draft.recipients,
            file=stored,
            message_id=draft.header.message_id,
            subject=draft.header.subject,
            auto_submitted=draft.header.auto_submitted != "no",
            received_at=self._now(),
            envid=draft.envid,
            ret=draft.ret,
            listed=draft.listed,
        )
        try:
            answer = await self._submissions.submit_mail(mail)
        except Exception:  # the task's owner: whatever it was, nobody knows whether the row is there
            log.exception("mail commit failed", extra={"event": "smtp_commit_failed", "mail": name})
            return UNCERTAIN
        if not _may_be_named(answer):
            await self._remove(stored)
        return answer

    async def _remove(self, stored: StoredFile) -> None:
        try:
            await self._files.remove(stored.key)
        except (OSError, StoreError):
            log.warning("spool file left to the sweep", extra={"event": "smtp_file_left"}, exc_info=True)


class _Content:
    """What of a mail goes to the file and what is noticed on the way."""

    def __init__(self, file: SpoolFile, settings: SmtpSettings, names: Collection[str]) -> None:
        self._names = NameWatch(names)
        self._file = file
        self._settings = settings
        self._scanner = DataScanner()
        self._tap = HeaderTap(settings.header_limit)
        self._broken: Rejection | None = None
        self.size = 0

    async def add(self, chunk: bytes) -> bytes | None:
        """Take what came; returns what follows the end of the mail, once it came."""
        content = self._scanner.feed(chunk)
        self.size += len(content)
        if self._broken is None and self._fault() is None and content:
            self._tap.feed(content)
            self._names.feed(content)
            try:
                await self._file.write(content)
            except StoreError as error:
                self._broken = store_rejection(error)
        return self._scanner.rest

    def received(self, principal: Principal) -> Received:
        """What it was."""
        if refusal := self._fault() or self._broken:
            return Received(self.size, Header(), refusal)
        header = self._tap.header()
        return Received(self.size, header, self._unwanted(header, principal), self._names.seen)

    def _fault(self) -> Rejection | None:
        if self.size > self._settings.message_limit:
            return Rejection(552, "5.3.4", f"The mail is larger than {self._settings.message_limit} octets")
        if self._scanner.bare_lf or self._scanner.bare_cr:
            which = "LF without CR" if self._scanner.bare_lf else "CR without LF"
            return Rejection(550, "5.6.0", f"The mail contains a bare line end: {which} (RFC 5321 section 2.3.8)")
        if self._tap.too_large:
            return Rejection(552, "5.3.4", f"The header is larger than {self._settings.header_limit} octets")
        return None

    def _unwanted(self, header: Header, principal: Principal) -> Rejection | None:
        if not self.size:
            return Rejection(550, "5.6.0", "The mail is empty: there is nothing to fax")
        if header.hops >= self._settings.hop_limit:
            return LOOP
        allowed = ("no", "auto-generated") if self._settings.accept_auto_generated else ("no",)
        trusted = principal.how in ("auth", "network")
        if header.auto_submitted not in (allowed if trusted else ("no",)):
            return Rejection(AUTOMATIC.code, AUTOMATIC.enhanced, AUTOMATIC.text.format(header.auto_submitted))
        return None


def store_rejection(error: StoreError) -> Rejection:
    """What to say of a failure of ours; always temporary, for the sender can do nothing about it."""
    return NO_SPACE if isinstance(error, OutOfSpace) else UNAVAILABLE


def _may_be_named(answer: Receipt | Rejection) -> bool:
    """Whether a row may name the file: accepted as new, or nobody knows (spine section 5, 250, step 4)."""
    return not answer.duplicate_of if isinstance(answer, Receipt) else answer.code == UNCERTAIN.code
