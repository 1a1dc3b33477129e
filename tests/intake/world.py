"""A server that runs over loopback, a client that says what it is told, and a gate in memory."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faxgw.fax.errors import Refused
from faxgw.fax.number import DialPlan, local_part_to_number, parse_number
from faxgw.fax.ports import MailRecipient, MailSession, MailSubmission, Principal, Receipt, Rejection
from faxgw.intake.smtp import SmtpServer
from faxgw.intake.smtp_settings import SmtpListener, SmtpSettings
from faxgw.settings import Duration, Listener
from faxgw.store.files import Files

DOMAIN = "fax.example"
FRENCH = DialPlan("FR")
PROCESSES = 0
"""Where `settings` lets sessions take place unless told: here, where a test sees into them."""


@dataclass
class Gate:
    """Submissions in memory: what a customer with one domain, one login and two senders would meet."""

    mails: list[MailSubmission] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    """Passwords tried."""
    full: Rejection | None = None
    answer: Receipt | Rejection | None = None
    """Given to every mail when set."""
    most: int = 1_000
    """Recipients of a mail at most."""
    before_commit: Callable[[], Awaitable[None]] | None = None
    keys: dict[tuple[str, str, str], str] = field(default_factory=dict)

    async def authenticate(self, login: str, password: str, session: MailSession) -> bool:
        self.asked.append(password)
        return (login, password) in (("anna", "päss"), ("bert", "secret"))

    async def sender(self, session: MailSession, address: str) -> Principal | Rejection:
        if session.login:
            return Principal("c1", session.login, session.login, address, "auth")
        if address.endswith("@example.com"):
            return Principal("c1", "", "", address, "address")
        return Rejection(550, "5.7.1", f"{address} may not send faxes here")

    async def recipient(self, session: MailSession, principal: Principal, address: str) -> MailRecipient | Rejection:
        local, _, domain = address.rpartition("@")
        if domain.lower() != DOMAIN:
            return Rejection(550, "5.1.2", f"{domain} is no fax domain of this gateway")
        try:
            typed, sub = local_part_to_number(local)
            number = parse_number(typed, FRENCH, sub)
        except Refused as refused:
            return Rejection(550, "5.1.3", refused.public)
        return MailRecipient(address, typed, number.e164, sub, principal.customer, most=self.most)

    async def room_for(self, octets: int) -> Rejection | None:
        return self.full

    async def submit_mail(self, mail: MailSubmission) -> Receipt | Rejection:
        if self.before_commit is not None:
            await self.before_commit()
        if self.answer is not None:
            return self.answer
        keys = [(mail.message_id, mail.file.sha256, r.number_e164) for r in mail.recipients]
        first = [self.keys.get(key) for key in keys]
        if first[0] is not None and all(first):
            return Receipt(first[0], first[0])
        self.keys.update(dict.fromkeys(keys, mail.message))
        self.mails.append(mail)
        return Receipt(mail.message)

    async def known(self, keys: Sequence[str]) -> set[str]:
        """Which of some spool objects a row names."""
        return {mail.file.key for mail in self.mails}.intersection(keys)


@dataclass
class World:
    """A server that runs."""

    gate: Gate
    files: Files
    root: Path
    settings: SmtpSettings
    server: SmtpServer
    ports: dict[str, int]
    sessions: list[str]
    """Results of sessions that ended."""
    results: list[str]
    """Results of mails."""
    seconds: list[float]
    """Between final dot and promise."""

    @property
    def port(self) -> int:
        return next(iter(self.ports.values()))

    def content(self, mail: MailSubmission) -> bytes:
        """What lies in the spool for a mail, checked against its hash."""
        octets = (self.root / mail.file.key).read_bytes()
        assert hashlib.sha256(octets).hexdigest() == mail.file.sha256
        assert len(octets) == mail.file.size
        return octets

    def spooled(self) -> list[str]:
        """Every file in the spool, finished or not."""
        return sorted(str(p.relative_to(self.root)) for p in self.root.rglob("*") if p.is_file())

    async def until_ended(self, count: int) -> None:
        """Wait until so many sessions have ended."""
        async with asyncio.timeout(30):
            while len(self.sessions) < count or self.server.connections:  # noqa: ASYNC110 - what ends it is the server's
                await asyncio.sleep(0.005)


class Client:
    """Raw SMTP: says what it is told, reads whole replies."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def reply(self) -> str:
        """The next reply, its lines joined; empty when the server has closed."""
        lines = []
        async with asyncio.timeout(30):
            while line := (await self.reader.readline()).decode():
                lines.append(line.rstrip("\r\n"))
                if line[3:4] != "-":
                    break
        return "\n".join(lines)

    async def send(self, octets: bytes) -> None:
        self.writer.write(octets)
        await self.writer.drain()

    async def say(self, command: str) -> str:
        await self.send(command.encode() + b"\r\n")
        return await self.reply()

    async def begin(self, *numbers: str, sender: str = "anna@example.com") -> None:
        """EHLO, MAIL, RCPT."""
        assert (await self.say("EHLO client")).startswith("250")
        assert (await self.say(f"MAIL FROM:<{sender}>")).startswith("250")
        for number in numbers or ("+33123456789",):
            assert (await self.say(f"RCPT TO:<{number}@{DOMAIN}>")).startswith("250")

    async def data(self, content: bytes) -> str:
        """DATA, the content and the final dot."""
        assert (await self.say("DATA")).startswith("354")
        await self.send(content + b"\r\n.\r\n")
        return await self.reply()

    async def ended(self) -> bool:
        """Whether the server has closed."""
        async with asyncio.timeout(30):
            with contextlib.suppress(ConnectionError):
                return await self.reader.read(1) == b""
            return True

    def close(self) -> None:
        self.writer.close()


Start = Callable[..., Awaitable[World]]
Connect = Callable[..., Awaitable[Client]]


def settings(**values: Any) -> SmtpSettings:  # Any: whatever the settings take
    """Settings with short times; listeners are given by their security, and get ports of the system's choice."""
    numbers: dict[str, Any] = {
        name: Duration(value) if isinstance(value, float) else value for name, value in values.items()
    }
    numbers.setdefault("auth_delay", Duration(0.05))
    numbers.setdefault("hostname", "gateway.example")
    numbers.setdefault("processes", PROCESSES)
    numbers.setdefault("listeners", (listener(),))
    return SmtpSettings(**numbers)


def listener(name: str = "submission", **values: Any) -> SmtpListener:  # Any: whatever the settings take
    return SmtpListener(name=name, listen=Listener("127.0.0.1", 0), **values)
