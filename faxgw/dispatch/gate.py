"""The one funnel that every submission passes: who may send, to which numbers, and the promise itself.

Implements `fax.ports.Submissions`. Everything that can be known before the promise is decided here, with a reason
that the sender reads; the promise is one transaction (docs/spine.md section 5).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from sqlalchemy import Connection

from faxgw.dispatch import letterheads, listing
from faxgw.dispatch.covers import Covers
from faxgw.dispatch.evidence import AUTO, Evidence, is_stranger, waits_for_signature
from faxgw.dispatch.known import Known
from faxgw.dispatch.seat import Seat
from faxgw.document.client import PageClient
from faxgw.fax import header_policy, recipients
from faxgw.fax.access import Interface
from faxgw.fax.account import AccountState, Effective, Level
from faxgw.fax.errors import FaxError, Refused
from faxgw.fax.number import (
    LIST,
    MERGE,
    DialPlan,
    FaxNumber,
    NumberClass,
    is_assigned,
    is_global,
    local_part_to_number,
    masked,
    parse_number,
    place_of,
)
from faxgw.fax.ports import (
    MailRecipient,
    MailSession,
    MailSubmission,
    Principal,
    Receipt,
    Rejection,
)
from faxgw.formats.job_commands import MARK, CommandFault, in_force, read_commands
from faxgw.store import directory, messages, papers, quota
from faxgw.store.errors import CommitUncertain, OutOfSpace, StoreError
from faxgw.store.gathering import Gathering
from faxgw.store.passwords import Passwords
from faxgw.store.space import Watermark

GATHERED_MAILS = 32
"""Mails of one unit at most: some 5 ms."""
GATHERED_RECIPIENTS = 10
"""Recipients of a mail above which it has a unit of its own."""
INACTIVE = Rejection(550, "5.7.1", "This account may not send faxes at present.")

log = logging.getLogger(__name__)


def dial_plan(settings: Effective) -> DialPlan:
    """How numbers are read and what is open, by an account's settings."""
    return DialPlan(
        country=settings["country"],
        area_code=settings["area_code"],
        plus_sign=settings["plus_sign"],
        allowed_countries=frozenset(settings["allowed_countries"]),
        open_classes=frozenset(NumberClass(c) for c in settings["open_classes"]),
        open_numbers=settings["open_numbers"],
        sandbox=bool(settings["sandbox"]),
    )


@dataclass(frozen=True, slots=True)
class _Account:
    """An account as it is remembered; what follows from its settings is worked out once."""

    active: bool
    settings: Effective
    plan: DialPlan


class Gate:
    """Decides over submissions.

    Args:
        seat: The node.
        watermark: Least free space with which something is accepted.
        passwords: Checks passwords; shared with the other ways in.
        pages: Looks into mails where that is needed before the promise; None: such mails are not taken.
    """

    def __init__(self, seat: Seat, watermark: Watermark, passwords: Passwords, pages: PageClient | None = None) -> None:
        self._seat = seat
        self._pages = pages
        self._evidence: Evidence | None = None
        self._covers = Covers(seat)
        self._watermark = watermark
        self._passwords = passwords
        self._senders = Known(seat.store, self._look_sender, keep=lambda found: not isinstance(found, Rejection))
        self._domains = Known(seat.store, directory.domain_customer, keep=lambda found: found[0])
        self._commits = Gathering(self._commit_all, most=GATHERED_MAILS, lanes=1)
        self._accounts = Known(seat.store, self._look_account, keep=lambda account: account.active)

    def believe(self, evidence: Evidence) -> None:
        """Have something that asks for proofs; until then nobody is believed whose account wants one."""
        self._evidence = evidence

    async def authenticate(self, login: str, password: str, session: MailSession) -> bool:
        """Check a login; an unknown one costs the same work."""
        found = await self._seat.store.read(lambda conn: directory.login(conn, login))
        good = await self._passwords.check(login, password, found.password if found else None)
        allowed = found is not None and found.state in (AccountState.ACTIVE, AccountState.OUTBOUND_SUSPENDED)
        if not (good and allowed):
            log.warning("login refused", extra={"event": "auth.refused", "peer": session.peer})
        return good and allowed

    async def sender(self, session: MailSession, address: str) -> Principal | Rejection:
        """Who this is: the AUTH login, else the authorised envelope sender, else the authorised network."""
        if not address:
            return Rejection(550, "5.7.1", "Bounces and automatic replies are not faxed.")

        found = await self._senders.ask((session.login, address, session.peer))
        if isinstance(found, Rejection):
            return found
        principal, wanted = found
        if wanted == "none":
            return principal
        if self._evidence is None:
            return Rejection(451, "4.3.0", "Who sent this cannot be proven at present; try again later.")
        return await self._evidence.at_rcpt(principal, wanted, session.peer)

    async def recipient(self, session: MailSession, principal: Principal, address: str) -> MailRecipient | Rejection:
        """Domain, number, class: 550 with the reason at RCPT."""
        local, _, domain = address.rpartition("@")
        answer = await self._reachable(principal, address, local, domain)
        if isinstance(answer, Rejection):
            log.info("recipient refused", extra={"event": "rcpt.refused", "code": answer.code, "to": masked(local)})
        return answer

    async def _reachable(
        self, principal: Principal, address: str, local: str, domain: str
    ) -> MailRecipient | Rejection:
        ours, customer = await self._domains.ask(domain.lower())
        if not ours:
            return Rejection(550, "5.7.1", f"{_shown(domain) or 'This'} is not a fax domain of this gateway.")
        if customer not in (None, principal.customer):
            return Rejection(550, "5.7.1", f"You are not authorised to send to {_shown(domain)}.")
        if not local:
            return Rejection(550, "5.1.3", "The address has no number.")
        account = await self._accounts.ask((principal.customer, principal.user))
        if not account.active:
            return INACTIVE
        settings = account.settings
        if principal.how != "operator" and Interface.SMTP not in settings["interfaces"]:
            return Rejection(550, "5.7.1", "Mail to fax is not open to this account.")
        watched, most = settings["list_name"] if settings["max_list"] else "", settings["max_recipients"]
        if place := place_of(local):
            return _closed(place, settings) or MailRecipient(
                address, place, "", "", principal.customer, list_name=watched, most=most
            )
        try:
            number = _read_number(local, account.plan)
        except Refused as exc:
            return Rejection(550, "5.1.3", exc.public)
        return MailRecipient(
            address, number.typed, number.e164, number.sub_address, principal.customer, list_name=watched, most=most
        )

    async def room_for(self, octets: int) -> Rejection | None:
        """452 when these octets would take the disk below the watermark (RFC 5321 section 4.2.2)."""
        try:
            await self._seat.files.require_room(self._watermark, octets)
        except OutOfSpace:
            return Rejection(452, "4.3.1", "The gateway has no storage space at present; try again later.")
        return None

    async def submit_mail(self, mail: MailSubmission) -> Receipt | Rejection:
        """The promise: one transaction. An uncertain commit keeps the file; the retry is linked.

        The file of a mail that is refused, or known already, is removed: no row names it.
        """
        try:
            answer = await self._promise(mail)
        except CommitUncertain:
            return Rejection(451, "4.3.0", "The gateway could not confirm that it has stored the mail; try again.")
        except OutOfSpace as exc:
            answer = Rejection(452, "4.3.1", exc.public)
        except FaxError as exc:
            answer = Rejection(451 if exc.temporary else 554, "4.3.0" if exc.temporary else "5.3.0", exc.public)
        if isinstance(answer, Rejection) or answer.duplicate_of:
            await self._seat.files.remove(mail.file.key)
        return answer

    async def _promise(self, mail: MailSubmission) -> Receipt | Rejection:
        settings = await self._permitted(mail)
        if isinstance(settings, Rejection):
            return settings
        who = mail.principal.customer
        told = Effective({**settings.values, "language": "en"}, settings.origins)  # replies are ASCII (RFC 5321)
        missing = await self._covers.refusal(who, told) or await letterheads.refusal(self._seat, who, told)
        if missing:
            return Rejection(550, "5.6.0", f"Nothing was sent. {missing}")
        if waits_for_signature(mail.principal.how):
            if self._evidence is None:
                return Rejection(451, "4.3.0", "Who sent this cannot be proven at present; try again later.")
            if unproven := await self._evidence.at_final_dot(mail):
                return unproven
        more = sum(1 for recipient in mail.recipients if recipient.number_e164)
        if mail.listed or any(recipient.number_typed == LIST for recipient in mail.recipients):
            found = await self._listed(mail, settings)
            if isinstance(found, Rejection):
                return found
            more += found
        if any(settings.origins[key].level is not Level.DEFAULT for key in quota.LIMITS):
            refusal = await self._seat.store.read(lambda conn: self._over(conn, mail, more))
            if refusal is not None:
                return refusal
        first = await self._commit(mail)
        return Receipt(first, duplicate_of=first) if first else Receipt(mail.message)

    async def _commit(self, mail: MailSubmission) -> str:
        """The transaction; mails that come while one runs share the next."""
        if len(mail.recipients) > GATHERED_RECIPIENTS:
            return await self._seat.store.run(lambda conn: messages.accept(conn, mail))
        return await self._commits.add(mail)

    async def _commit_all(self, mails: Sequence[MailSubmission]) -> Sequence[str | Exception]:
        """Commit mails in one unit, or, where one of them stands against it, each in its own."""
        store = self._seat.store
        try:
            return await store.run(lambda conn: messages.accept_all(conn, mails))
        except StoreError:
            raise  # it is not about one of them
        except Exception:
            if len(mails) == 1:
                raise
            log.warning("mails are committed one by one", extra={"event": "mail.one_by_one"}, exc_info=True)
        units = [partial(messages.accept, mail=mail) for mail in mails]
        found = await asyncio.gather(*map(store.run, units), return_exceptions=True)
        return [_of_its_own(one) for one in found]

    async def _listed(self, mail: MailSubmission, settings: Effective) -> int | Rejection:
        """How many recipients its distribution list adds; a fault in it is the answer to the final dot."""
        if self._pages is None:
            return Rejection(451, "4.3.0", "Distribution lists cannot be read at present; try again later.")
        wanted = any(recipient.number_typed == LIST for recipient in mail.recipients)
        try:
            texts = await listing.find(self._seat.files, self._pages, mail.file, settings)
        except listing.ListsRefused as exc:
            return Rejection(550, "5.6.0", f"Nothing was sent. {exc}")
        beside = frozenset((r.number_e164, r.sub_address) for r in mail.recipients if r.number_e164)
        found = await listing.read(texts, settings, dial_plan(settings), wanted=wanted, beside=beside)
        if found.fault:
            return Rejection(550, "5.5.3" if found.too_many else "5.6.0", f"Nothing was sent. {found.fault.told()}")
        return len(found.recipients)

    async def _permitted(self, mail: MailSubmission) -> Effective | Rejection:
        """The settings in force, unless what is known of a mail without looking into it forbids it."""
        if not mail.recipients:
            return Rejection(554, "5.5.1", "The mail has no valid recipient.")
        customer = mail.principal.customer
        account = await self._accounts.ask((customer, mail.principal.user))
        settings = account.settings
        people = sum(1 for recipient in mail.recipients if recipient.number_e164)
        if (many := recipients.refusal(settings, people)) is not None:
            return Rejection(550, "5.5.3", f"Nothing was sent. {many.told()}")
        if not account.active:
            return INACTIVE
        if unlawful := header_policy.refusal(settings):
            return Rejection(550, "5.7.1", unlawful)
        if clip := settings["clip"]:
            now = self._seat.clock()
            closed = await self._seat.store.read(lambda conn: papers.unshowable(conn, customer, clip, now=now))
            if closed:
                return Rejection(550, "5.7.1", closed)
        if len(mail.recipients) > 1 and any(r.number_typed == MERGE for r in mail.recipients):
            return Rejection(550, "5.5.3", f"Nothing was sent. A mail to {MERGE} has no other recipient.")
        return _with_commands(mail, settings)

    def _look_sender(self, conn: Connection, asked: tuple[str, str, str]) -> tuple[Principal, str] | Rejection:
        """Who a login, else an envelope sender, else a peer is, and what proof its account wants."""
        login, address, peer = asked
        if login:
            found = directory.login(conn, login)
            if found is None:
                return Rejection(550, "5.7.1", "This login is no longer known.")
            principal = Principal(found.customer, found.user, login, address, "auth")
        else:
            entry = directory.sender(conn, address, peer)
            if entry is None:
                return Rejection(550, "5.7.1", f"{_shown(address)} is not authorised to send faxes here.")
            principal = Principal(entry[0].customer, entry[0].user, "", address, entry[1])
        if principal.how != "address" or directory.is_inside(conn, principal.customer, peer):
            return _active(conn, principal) or (principal, "none")
        settings = directory.effective(conn, self._seat.system, principal.customer, principal.user)
        return _active(conn, principal) or (principal, self._wanted(str(settings["sender_evidence"]), peer))

    def _wanted(self, evidence: str, peer: str) -> str:
        """What proof a host is asked for; `auto`: only strangers are."""
        if evidence != AUTO:
            return evidence
        neighbours = self._evidence.neighbours if self._evidence is not None else ()
        return "spf_or_dkim" if is_stranger(peer, neighbours) else "none"

    def _look_account(self, conn: Connection, asked: tuple[str, str]) -> _Account:
        """A customer, or a user of it: whether it may send, and its settings."""
        customer, user = asked
        states = directory.account_states(conn, customer, user)
        settings = directory.effective(conn, self._seat.system, customer, user)
        return _Account(states == (AccountState.ACTIVE, AccountState.ACTIVE), settings, dial_plan(settings))

    def _over(self, conn: Connection, mail: MailSubmission, more: int) -> Rejection | None:
        """452 when so many more faxes are too many for today."""
        who = mail.principal
        over = quota.refusal(conn, self._seat.system, who.customer, who.user, faxes=more, now=self._seat.clock())
        return Rejection(452, "4.2.2", over) if over else None


def _closed(place: str, settings: Effective) -> Rejection | None:
    """550 where an account has no distribution lists, or no merged documents."""
    if place == LIST and not (settings["max_list"] and settings["list_name"]):
        return Rejection(550, "5.7.1", "Distribution lists are not open to this account.")
    if place == MERGE and not settings["max_merged"]:
        return Rejection(550, "5.7.1", "Merged documents are not open to this account.")
    return None


def read_number(local_part: str, settings: Effective) -> FaxNumber:
    """The number that the local part of an address names.

    Raises:
        Refused: With a sentence for the sender.
    """
    return _read_number(local_part, dial_plan(settings))


def _read_number(local_part: str, plan: DialPlan) -> FaxNumber:
    typed, sub_address = local_part_to_number(local_part)
    if not (is_global(local_part) and typed[:1].isdigit() and not typed.startswith("0")):
        return parse_number(typed, plan, sub_address)
    with contextlib.suppress(Refused):  # RFC 3191 has international numbers only; some senders leave their + out
        if is_assigned((number := parse_number(f"+{typed}", plan, sub_address)).e164):
            return replace(number, typed=typed)
    try:
        return parse_number(typed, plan, sub_address)
    except Refused:
        return replace(parse_number(f"+{typed}", plan, sub_address), typed=typed)


def _with_commands(mail: MailSubmission, settings: Effective) -> Effective | Rejection:
    """The settings with the commands in the subject laid over them; 550 with the reason when one is wrong or not open.

    Features A6: then nothing is sent.
    """
    if MARK not in mail.subject:
        return settings
    try:
        return in_force(settings, read_commands(mail.subject, settings, now=mail.received_at))
    except CommandFault as fault:
        return Rejection(550, "5.7.1" if fault.forbidden else "5.6.0", f"Nothing was sent. Subject: {fault.text}")


def _of_its_own(found: str | BaseException) -> str | Exception:
    if isinstance(found, BaseException) and not isinstance(found, Exception):
        raise found
    return found


def _active(conn: Connection, principal: Principal) -> Rejection | None:
    customer, user = directory.account_states(conn, principal.customer, principal.user)
    if customer is AccountState.ACTIVE and user is AccountState.ACTIVE:
        return None
    return INACTIVE


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() and c not in "\r\n" else "?" for c in text)[:80]
