"""What the commands of an SMTP session mean: STARTTLS, AUTH, and a mail from MAIL to the answer to its final dot.

RFC 5321 section 4.1.1, 1870 (SIZE), 2920 (PIPELINING), 3207 (STARTTLS), 4954 (AUTH), 6152 (8BITMIME), 6531
(SMTPUTF8); RFC 3461's parameters are read and kept. Who may send what is decided behind `Submissions`.
"""
# ruff: noqa: N802, N815 - the engine finds its commands and hooks by these names

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import ssl
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any  # aiosmtpd hands its untyped `arg` about

from aiosmtpd.smtp import Envelope, Session

from faxgw.fax.ports import MailRecipient, MailSession, Principal, Receipt, Rejection
from faxgw.fax.recipients import too_many
from faxgw.intake import smtp_syntax as syntax
from faxgw.intake.smtp_link import AUTH_OCTETS, Desk, Goodbye, SmtpLink, Transaction
from faxgw.intake.smtp_logins import Verdict
from faxgw.intake.smtp_mail import Draft, Received, TooMuch, TooSlow, store_rejection
from faxgw.intake.smtp_settings import SmtpListener
from faxgw.intake.smtp_stream import LineTooLong
from faxgw.store.errors import StoreError

NULL_SENDER = Rejection(550, "5.7.1", "Bounces and receipts (null sender) are not faxed")

log = logging.getLogger(__name__)


async def _ehlo(
    server: SmtpSession, session: Session, envelope: Envelope, hostname: str, responses: list[str]
) -> list[str]:
    session.host_name = hostname
    return [*responses[:-1], *server.extensions()]


_ehlo.__signature__ = inspect.signature(_ehlo)  # type: ignore[attr-defined]  # the engine asks for it with each connection


class _Hooks:
    """Where aiosmtpd's commands ask."""

    handle_EHLO = staticmethod(_ehlo)

    def __dir__(self) -> Sequence[str]:
        """The names that the engine looks for, for each connection."""
        return ("handle_AUTH", "handle_EHLO")

    async def handle_AUTH(self, server: SmtpSession, session: Session, envelope: Envelope, args: list[str]) -> str:
        return await server.authenticate(args)


_HOOKS = _Hooks()


class SmtpSession(SmtpLink):
    """One connection."""

    def __init__(
        self,
        desk: Desk,
        listener: SmtpListener,
        peer: str,
        context: ssl.SSLContext | None,
        gone: Callable[[], None],
    ) -> None:
        super().__init__(_HOOKS, desk, listener, peer, context, gone)
        self._login = ""

    def extensions(self) -> list[str]:
        """The end of the answer to EHLO."""
        return ["250-PIPELINING", *(["250-DSN"] if self._desk.dsn else []), "250 ENHANCEDSTATUSCODES"]

    async def smtp_NOOP(self, arg: Any) -> None:
        """Do nothing."""
        await self.push("250 2.0.0 OK")

    async def smtp_RSET(self, arg: Any) -> None:
        """Forget the mail that was begun."""
        self._begin_anew()
        await self.push("501 5.5.4 Syntax: RSET" if arg else "250 2.0.0 OK")

    async def smtp_VRFY(self, arg: Any) -> None:
        """RFC 5321 section 3.5.3: who may be reached is told at RCPT, to those who may send."""
        await self.push("252 2.1.5 Try RCPT" if arg else "501 5.5.4 Syntax: VRFY <address>")

    async def smtp_HELP(self, arg: Any) -> None:
        """Say what is understood."""
        await self.push("214 2.0.0 AUTH DATA EHLO HELO HELP MAIL NOOP QUIT RCPT RSET STARTTLS VRFY")

    async def smtp_QUIT(self, arg: Any) -> None:
        """End the session."""
        if arg:
            await self.push("501 5.5.4 Syntax: QUIT")
            return
        raise Goodbye("quit", "221 2.0.0 Bye")

    async def smtp_STARTTLS(self, arg: Any) -> None:
        """Encrypt from here on; what was pipelined behind it is dropped, and so is all that was said (RFC 3207)."""
        if self._tls_protocol:
            await self.push("503 5.5.1 The connection is encrypted already")
        elif self.tls_context is None:
            await self.push("502 5.5.1 STARTTLS is not offered here")
        elif arg:
            await self.push("501 5.5.4 Syntax: STARTTLS")
        else:
            if dropped := self._inlet.drop():
                log.warning(
                    "plaintext behind STARTTLS dropped",
                    extra={"event": "smtp_starttls_injection", "peer": self.peer, "octets": dropped},
                )
            try:
                await self._patience.wait(super().smtp_STARTTLS(None), self._desk.deadline())
            except TimeoutError as exc:
                raise Goodbye("tls_failed") from exc
            if self.transport is None or self.transport.get_extra_info("ssl_object") is None:
                raise Goodbye("tls_failed")  # lost in the handshake, which the engine does not tell

    # ----------------------------------------------------------------------------------------------------- AUTH

    async def smtp_AUTH(self, arg: Any) -> None:
        """RFC 4954; the engine checks TLS, order and mechanism, then asks `authenticate`."""
        mechanism, _, initial = (arg or "").partition(" ")
        await super().smtp_AUTH(f"{mechanism.upper()} {initial}".strip())

    async def authenticate(self, args: list[str]) -> str:
        """Check a login and return the reply. A refusal takes the same time whatever was wrong."""
        if self.envelope is not None and self.envelope.argument is not None:
            return "503 5.5.1 Not during a mail"
        login, password = await self._credentials(args)
        loop = asyncio.get_running_loop()
        came = loop.time()
        match await self._desk.logins.check(login, password, self._facts()):
            case Verdict.WELCOME:
                assert self.session is not None
                self.session.authenticated = True
                self._login = login
                return "235 2.7.0 Welcome"
            case Verdict.BARRED:
                log.warning("smtp login barred", extra={"event": "smtp_auth_barred", "peer": self.peer})
                return "454 4.7.0 Too many failed logins; please try again later"
            case Verdict.BUSY:
                return "454 4.7.0 Too many logins are being checked; please try again"
            case Verdict.WRONG:
                log.warning("smtp login failed", extra={"event": "smtp_auth_failed", "peer": self.peer})
                await asyncio.sleep(came + self._settings.auth_delay - loop.time())
                return "535 5.7.8 Login or password is wrong"

    async def _credentials(self, args: list[str]) -> tuple[str, str]:
        initial = args[1] if len(args) > 1 else None
        if args[0] == "PLAIN":
            return syntax.plain_credentials(await self._challenge("334 ", initial))
        login = syntax.credential(await self._challenge("334 VXNlcm5hbWU6", initial))
        return login, syntax.credential(await self._challenge("334 UGFzc3dvcmQ6", None))

    async def _challenge(self, challenge: str, initial: str | None) -> bytes:
        if initial is not None:
            return syntax.decode_base64(initial)
        self._writer.write(challenge.encode("ascii") + b"\r\n")
        try:
            answer = await self._line(AUTH_OCTETS)
        except LineTooLong as exc:
            raise syntax.SyntaxFault("500 5.5.6 Line too long") from exc
        if answer == b"*":
            raise syntax.SyntaxFault("501 5.7.0 Given up")
        return syntax.decode_base64(answer.decode("ascii", "replace"))

    def _facts(self) -> MailSession:
        return MailSession(self.peer, bool(self._tls_protocol), self._login, self._listener.name)

    # --------------------------------------------------------------------------------------------------- a mail

    async def smtp_MAIL(self, arg: Any) -> None:
        """RFC 5321 section 4.1.1.2. Who may not send is told at RCPT, where every client shows it to its user."""
        if await self.check_helo_needed():
            return
        mail = self.envelope
        assert mail is not None
        if mail.argument is not None:
            await self.push("503 5.5.1 A mail is begun already")
            return
        argument = syntax.parse_mail(arg or "")
        if argument.size > self._settings.message_limit:
            await self.push(f"552 5.3.4 The mail is larger than {int(self._settings.message_limit)} octets")
            return
        if (full := await self._desk.submissions.room_for(argument.size)) is not None:
            await self.push(str(full))
            return
        decision = (
            await self._desk.submissions.sender(self._facts(), argument.sender) if argument.sender else NULL_SENDER
        )
        if isinstance(decision, Rejection):
            mail.refusal = decision
        else:
            mail.principal = decision
        mail.argument = argument
        await self.push("250 2.1.0 OK")

    async def smtp_RCPT(self, arg: Any) -> None:
        """RFC 5321 section 4.1.1.3. A refused number is no error of the session: a list may hold many."""
        if await self.check_helo_needed():
            return
        mail = self.envelope
        assert mail is not None
        if mail.argument is None:
            await self.push("503 5.5.1 Say MAIL first")
            return
        mail.attempts += 1
        if mail.attempts > 2 * self._settings.recipient_limit:
            raise Goodbye("errors", "421 4.7.0 Too many recipients", linger=True)
        asked = syntax.parse_recipient(arg or "", smtputf8=mail.argument.smtputf8)
        if mail.principal is None:
            await self.push(str(mail.refusal))
            return
        if len(mail.recipients) >= self._settings.recipient_limit:
            await self._send("452 4.5.3 Too many recipients")
            return
        answer = await self._desk.submissions.recipient(self._facts(), mail.principal, asked.address)
        if isinstance(answer, Rejection):
            await self._send(str(answer))
            return
        recipient = _with_dsn(answer, asked)
        key = (recipient.customer, recipient.number_e164 or recipient.number_typed, recipient.sub_address)
        known = mail.recipients.setdefault(key, recipient) is not recipient
        await self.push("250 2.1.5 OK, the same fax as before" if known else "250 2.1.5 OK")

    async def smtp_DATA(self, arg: Any) -> None:
        """RFC 5321 section 4.1.1.4."""
        if await self.check_helo_needed():
            return
        mail = self.envelope
        assert mail is not None
        if self._inlet.pending:  # RFC 2920 section 3.1: DATA is the last of a group
            raise Goodbye("out_of_step", "554 5.5.0 Wait for the answer to DATA", linger=True)
        if arg:
            await self.push("501 5.5.4 Syntax: DATA")
        elif mail.argument is None:
            await self.push("503 5.5.1 Say MAIL first")
        elif mail.principal is None or not mail.recipients:
            await self.push("554 5.5.1 No valid recipients")
        elif (many := _too_many(mail.recipients.values())) is not None:
            await self.push(str(many))
        elif (full := await self._desk.submissions.room_for(mail.argument.size)) is not None:
            await self.push(str(full))
        else:
            answer = await self._take(mail, mail.principal, mail.argument)
            self._begin_anew()
            self._mails += 1
            self._junk = 0
            await self._answer(answer)

    async def _take(
        self, mail: Transaction, principal: Principal, argument: syntax.MailArgument
    ) -> Receipt | Rejection:
        mailroom = self._desk.mailroom
        try:
            file = await mailroom.open()
        except StoreError as error:
            return store_rejection(error)
        async with contextlib.AsyncExitStack() as owned:
            await owned.enter_async_context(file)
            self._in_data = True
            await self._send("354 End with <CR><LF>.<CR><LF>")
            received = await self._receive(
                mailroom.receive(
                    self._inlet, file, self._patience, self._desk.deadline, principal, _list_names(mail.recipients)
                )
            )
            self._in_data = False
            if received.refusal is None:
                draft = Draft(
                    self.peer,
                    principal,
                    argument.sender,
                    tuple(mail.recipients.values()),
                    received.header,
                    argument.envid,
                    argument.ret,
                    received.listed,
                )
                return await mailroom.accept(draft, file, owned.pop_all())
        self._desk.counters.mail("refused" if received.refusal.code >= 500 else "deferred")
        log.info(
            "mail refused",
            extra={
                "event": "mail_refused",
                "peer": self.peer,
                "size": received.size,
                "reply": f"{received.refusal.code} {received.refusal.enhanced}",
            },
        )
        return received.refusal

    async def _receive(self, receiving: Awaitable[Received]) -> Received:
        try:
            return await receiving
        except EOFError as exc:
            raise Goodbye("lost") from exc
        except TooSlow as exc:
            raise Goodbye("slow", "421 4.4.2 The mail comes too slowly", linger=True) from exc
        except TooMuch as exc:
            limit = int(self._settings.message_limit)
            raise Goodbye("oversize", f"552 5.3.4 The mail is larger than {limit} octets", linger=True) from exc

    async def _answer(self, answer: Receipt | Rejection) -> None:
        match answer:
            case Rejection():
                await self.push(str(answer))
            case Receipt(duplicate_of=""):
                await self.push(f"250 2.0.0 Accepted as {answer.message}")
            case Receipt():
                await self.push(f"250 2.0.0 Accepted before as {answer.duplicate_of}; it is not sent again")


def _with_dsn(recipient: MailRecipient, asked: syntax.RecipientArgument) -> MailRecipient:
    return replace(recipient, notify=asked.notify, orcpt=asked.orcpt)


def _too_many(recipients: Collection[MailRecipient]) -> Rejection | None:
    """550 before the mail comes where its recipients are more than its sender may have; lists count when it is there.

    All of them are refused, for who got the fax and who did not would be left to chance; and not with the 452 of RFC
    5321 section 4.5.3.1.10, after which a client sends the rest as another fax.
    """
    numbers = sum(1 for recipient in recipients if recipient.number_e164)
    fault = too_many(numbers, min((recipient.most for recipient in recipients), default=numbers))
    return None if fault is None else Rejection(550, "5.5.3", f"Nothing was sent. {fault.told()}")


def _list_names(recipients: Mapping[tuple[str, str, str], MailRecipient]) -> frozenset[str]:
    """Names of attachments that would be distribution lists."""
    return frozenset(recipient.list_name for recipient in recipients.values() if recipient.list_name)
