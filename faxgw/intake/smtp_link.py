"""The wire side of an SMTP connection: aiosmtpd's command engine under our own loop, deadlines and buffer.

RFC 5321 section 4.1 to 4.5, RFC 2034. Of aiosmtpd remain session and envelope, HELO, EHLO, the frame of AUTH, the
TLS upgrade and the stream plumbing. Replaced are its loop, its one timer for everything, its reader, and the
cancellation of whatever runs when the connection is lost (reliability findings 5 to 7, rule 10). What the commands
of a mail mean stands in `smtp_session`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import re
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import aiosmtpd.smtp
from aiosmtpd.smtp import SMTP, Envelope, Session, TLSSetupException

from faxgw.fax.ports import MailRecipient, Principal, Rejection, Submissions
from faxgw.intake import smtp_syntax as syntax
from faxgw.intake.smtp_logins import Logins
from faxgw.intake.smtp_mail import UNAVAILABLE, Counters, Mailroom
from faxgw.intake.smtp_settings import SmtpListener, SmtpSettings
from faxgw.intake.smtp_stream import EndlessLine, Inlet, LineTooLong, Patience

LINE_OCTETS = 2_048
"""Octets of a command (Postfix line_length_limit; RFC 5321 section 4.5.3.1.4 asks for 512 and what extensions add)."""
AUTH_OCTETS = 12_288
"""Octets of an AUTH command or answer (RFC 4954 section 4)."""
READ_OCTETS = 65_536
"""Octets taken from the socket at a time: bounds what 1,000 fast clients put into memory before one is paused."""
LINES_IN_A_ROW = 16
"""Commands sent ahead (RFC 2920) that are answered before others get their turn: some 2 ms."""
STRESS_ERRORS = 1
"""Errors and junk commands of a session under stress (Postfix STRESS_README)."""
LINGER = 2.0
"""Seconds for the peer to take our last reply and go."""
_BEFORE_TLS = frozenset({"EHLO", "HELO", "NOOP", "RSET", "STARTTLS", "QUIT", "HELP"})
_JUNK = frozenset({"NOOP", "RSET", "VRFY", "EXPN", "HELP", "EHLO", "HELO"})
_FOREIGN = frozenset({"GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "PRI", "DELETE", "PATCH"})
_BARE_REPLY = re.compile(r"([45]\d\d) (?!\d\.\d{1,3}\.\d{1,3} )")
_STATUS = {"500": "5.5.2", "501": "5.5.4", "502": "5.5.1", "503": "5.5.1", "504": "5.5.4", "454": "4.7.0"}

log = logging.getLogger(__name__)
aiosmtpd.smtp.log.setLevel(logging.WARNING)  # its INFO lines carry addresses


class Goodbye(Exception):
    """The session ends.

    Args:
        result: For the counter.
        reply: The last words, or empty.
        linger: The peer may be sending still; its octets are read away so that the reply gets through.
    """

    def __init__(self, result: str, reply: str = "", *, linger: bool = False) -> None:
        super().__init__(result)
        self.result = result
        self.reply = reply
        self.linger = linger


class Transaction(Envelope):
    """One mail being announced."""

    def __init__(self) -> None:
        super().__init__()
        self.argument: syntax.MailArgument | None = None
        self.principal: Principal | None = None
        self.refusal: Rejection | None = None
        """Why this sender gets no recipient."""
        self.recipients: dict[tuple[str, str, str], MailRecipient] = {}
        """By customer, number and sub-address: the same fax twice in one mail is one fax."""
        self.attempts = 0


@dataclass(slots=True)
class Desk:
    """What all sessions of a process share."""

    settings: SmtpSettings
    hostname: str
    submissions: Submissions
    logins: Logins
    mailroom: Mailroom
    counters: Counters
    dsn: bool
    """Whether DSN (RFC 3461) is announced: only once the reports are whole."""
    stressed: bool = False
    """More than STRESS_SHARE of all connections are in use."""
    stopping: bool = False
    sessions: set[SmtpLink] = field(default_factory=set)

    def deadline(self) -> float:
        """Seconds for one command at this moment."""
        settings = self.settings
        if self.stressed:
            return min(settings.stress_deadline, settings.command_deadline)
        return settings.command_deadline

    def limit(self, normal: int) -> int:
        """Errors or junk commands of one session at this moment."""
        return min(STRESS_ERRORS, normal) if self.stressed else normal


class SmtpLink(SMTP):
    """One connection.

    Args:
        hooks: Where the engine's commands ask.
        desk: What sessions share.
        listener: Where it came in.
        peer: IP address of the client.
        context: For STARTTLS, or None.
        gone: To be called once, when the connection is gone.
    """

    session: Session | None
    envelope: Transaction | None
    _names: ClassVar[Sequence[str]] = ()

    def __dir__(self) -> Sequence[str]:
        """The names of commands: the engine looks through all it is told of, for each connection."""
        kind = type(self)
        if "_names" not in vars(kind):
            kind._names = [name for name in dir(kind) if name.startswith(("smtp_", "auth_"))]
        return kind._names

    def __init__(
        self,
        hooks: object,
        desk: Desk,
        listener: SmtpListener,
        peer: str,
        context: ssl.SSLContext | None,
        gone: Callable[[], None],
    ) -> None:
        loopback = listener.plain_auth_on_loopback and ipaddress.ip_address(peer.partition("%")[0]).is_loopback
        super().__init__(
            hooks,
            data_size_limit=int(desk.settings.message_limit),
            enable_SMTPUTF8=True,
            hostname=desk.hostname,
            tls_context=context if listener.security == "starttls" else None,
            auth_require_tls=not loopback,
            loop=asyncio.get_running_loop(),
        )
        self.peer = peer
        self._desk = desk
        self._settings = desk.settings
        self._listener = listener
        self.gone = gone
        """Tells that the connection is gone; called by whoever ends it."""
        self._inlet = Inlet()
        self._patience = Patience()
        self._gone = asyncio.Event()
        self._errors = 0
        self._junk = 0
        self._mails = 0
        self._in_data = False
        self._in_a_row = 0

    # ------------------------------------------------------------------------------------------ the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection, or its encrypted successor, is there."""
        assert isinstance(transport, asyncio.Transport)
        self._inlet.attach(transport)
        if transport.get_extra_info("ssl_object") is None:
            transport.max_size = READ_OCTETS  # type: ignore[attr-defined]  # selector transports read so much at once
        elif self._original_transport is None:
            self._tls_protocol = transport  # type: ignore[assignment]  # encrypted from the first octet: aiosmtpd asks only whether there is one
        first = self._handler_coroutine is None
        super().connection_made(transport)
        if first:
            self._desk.sessions.add(self)
            self.running().set_name(f"smtp {self._listener.name}")
            self.running().add_done_callback(self._finished)

    def data_received(self, data: bytes) -> None:
        """Octets came; aiosmtpd's reader never sees them."""
        self._inlet.feed(data)

    def eof_received(self) -> bool:
        """The peer sends nothing more; without TLS it may still read."""
        self._inlet.feed_eof()
        return not self._tls_protocol

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone. Nothing is cancelled: a commit that runs is none of its business."""
        self._inlet.feed_eof()
        self._gone.set()
        self.transport = None
        if self._original_transport is not None:
            self._original_transport.close()
        asyncio.StreamReaderProtocol.connection_lost(self, error)

    def drain_session(self) -> None:
        """The server stops: end now if nothing is begun, else after the mail that is."""
        if self.envelope is None or self.envelope.argument is None:
            self._patience.shorten(0)

    def hurry(self, seconds: float) -> None:
        """Stress has begun: whatever the peer is waited for may last no longer than this."""
        self._patience.shorten(seconds)

    @property
    def begun(self) -> bool:
        """Whether there is, or was, a task that converses."""
        return self._handler_coroutine is not None

    def running(self) -> asyncio.Task[None]:
        """Return the task that converses; when it is cancelled, the peer gets 421."""
        assert self._handler_coroutine is not None
        return self._handler_coroutine

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._patience.end()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("smtp session failed", extra={"event": "smtp_session_failed"}, exc_info=error)
        self._desk.sessions.discard(self)
        self.gone()

    def _reset_timeout(self, duration: float | None = None) -> None:
        """The engine's single timer is not used."""

    def _begin_anew(self) -> None:
        """Forget the mail that was begun or has ended."""
        self.envelope = self._create_envelope()

    def _create_envelope(self) -> Transaction:
        return Transaction()

    # ------------------------------------------------------------------------------------------------ the loop

    async def _handle_client(self) -> None:
        result = "failed"
        try:
            result = await self._until_goodbye()
        except asyncio.CancelledError:
            result = "stopped"
            self._writer.write(b"421 4.3.2 The server is stopping\r\n")
            raise
        finally:
            self._desk.counters.session(result)
            log.info(
                "smtp session ended",
                extra={
                    "event": "smtp_session",
                    "peer": self.peer,
                    "listener": self._listener.name,
                    "result": result,
                    "mails": self._mails,
                    "tls": bool(self._tls_protocol),
                    "errors": self._errors,
                },
            )
            await self._close()

    async def _until_goodbye(self) -> str:
        try:
            await self.push(f"220 {self.hostname} ESMTP faxgw")
            while True:
                await self._command(await self._next_command())
                if self._errors >= self._desk.limit(self._settings.error_limit):
                    raise Goodbye("errors", "421 4.7.0 Too many errors")
        except Goodbye as goodbye:
            with contextlib.suppress(Goodbye):
                if goodbye.reply:
                    await self._send(goodbye.reply)
                if goodbye.linger:
                    await self._linger()
            return goodbye.result
        except TLSSetupException:
            return "tls_failed"

    async def _next_command(self) -> bytes | None:
        """The next line, or None for one that was too long."""
        if self._desk.stopping and self.envelope is not None and self.envelope.argument is None:
            raise Goodbye("stopped", "421 4.3.2 The server is stopping")
        try:
            return await self._line(AUTH_OCTETS)
        except LineTooLong:
            return None

    async def _line(self, limit: int) -> bytes:
        if (line := self._inlet.line_at_hand(limit)) is not None:
            self._in_a_row += 1
            if self._in_a_row % LINES_IN_A_ROW == 0:
                await asyncio.sleep(0)
            return line
        try:
            return await self._patience.wait(self._inlet.line(limit), self._desk.deadline())
        except TimeoutError as exc:
            if self._desk.stopping:
                raise Goodbye("stopped", "421 4.3.2 The server is stopping") from exc
            raise Goodbye("timeout", "421 4.4.2 Timeout") from exc
        except EOFError as exc:
            raise Goodbye("lost") from exc
        except EndlessLine as exc:
            raise Goodbye("out_of_step", "500 5.5.2 Line too long", linger=True) from exc

    async def _command(self, line: bytes | None) -> None:
        verb_octets, _, argument_octets = (line or b"").partition(b" ")
        verb = verb_octets.decode("ascii", "replace").upper()
        if line is None or (len(line) > LINE_OCTETS and verb != "AUTH"):
            return await self.push("500 5.5.2 Line too long")
        if verb in _FOREIGN:
            raise Goodbye("out_of_step", "221 2.7.0 This is SMTP")
        try:
            argument = argument_octets.strip(b" ").decode("utf-8")
        except UnicodeDecodeError:
            return await self.push("501 5.5.2 This is not UTF-8")
        if not verb.isalnum() or any(c < " " or c == "\x7f" for c in argument):
            return await self.push("500 5.5.2 Malformed command")
        if self._listener.require_tls and not self._tls_protocol and verb not in _BEFORE_TLS:
            return await self.push("530 5.7.0 Say STARTTLS first")
        if verb in _JUNK:
            self._junk += 1
            self._errors += self._junk > self._desk.limit(self._settings.junk_limit)
        method = self._smtp_methods.get(verb)
        if method is None:
            return await self.push("500 5.5.1 Unknown command")
        try:
            await method(argument or None)
        except syntax.SyntaxFault as fault:
            await self.push(str(fault))
        except (Goodbye, TLSSetupException):
            raise
        except Exception as exc:  # the task's owner
            log.exception("smtp command failed", extra={"event": "smtp_command_failed", "command": verb})
            if self._in_data:
                raise Goodbye("failed", str(UNAVAILABLE), linger=True) from exc
            await self.push(str(UNAVAILABLE))
        return None

    async def push(self, status: str | bytes) -> None:
        """Reply; an error counts, and gets its status code if the engine gave none (RFC 2034)."""
        text = status.decode() if isinstance(status, bytes) else status
        if text[:1] in "45":
            self._errors += 1
        if bare := _BARE_REPLY.match(text):
            text = f"{bare[1]} {_STATUS.get(bare[1], bare[1][0] + '.0.0')} {text[4:].removeprefix('Error: ')}"
        await self._send(text)

    async def _send(self, text: str) -> None:
        self._writer.write((syntax.one_line(text) if text[3:4] == " " else text).encode("ascii") + b"\r\n")
        if not self._tls_protocol and self._all_sent():
            return
        try:
            await self._patience.wait(self._writer.drain(), self._desk.deadline())
        except TimeoutError as exc:
            if isinstance(self.transport, asyncio.Transport):
                self.transport.abort()  # it does not read: no last word would get through
            raise Goodbye("timeout") from exc
        except ConnectionError as exc:
            raise Goodbye("lost") from exc

    def _all_sent(self) -> bool:
        """Whether the system took all octets of a connection in the clear, so that there is nothing to wait for."""
        transport = self.transport
        return (
            isinstance(transport, asyncio.Transport)
            and not transport.is_closing()
            and not transport.get_write_buffer_size()
        )

    async def _close(self) -> None:
        """Let the last reply go out, but wait for nobody longer than LINGER."""
        transport, below = self.transport, self._original_transport
        if not isinstance(transport, asyncio.Transport):
            return
        if isinstance(below, asyncio.Transport) and transport.get_extra_info("ssl_object") is None:
            below.abort()  # the handshake failed, and nobody would tell us when that connection is gone
            return
        transport.close()
        try:
            async with asyncio.timeout(LINGER):
                await self._gone.wait()
        except TimeoutError:
            transport.abort()

    async def _linger(self) -> None:
        """Read away what the peer still sends: closing over unread octets resets the connection and our reply."""
        transport = self.transport
        if not isinstance(transport, asyncio.Transport):
            return
        if transport.can_write_eof():
            transport.write_eof()
        with contextlib.suppress(TimeoutError, EOFError):
            async with asyncio.timeout(LINGER):
                while True:
                    await self._inlet.some()
