"""The ledger client: hands mails in and notes every acknowledgement in a synced log of its own.

The log lies outside the system under test and is written only after the reply was read off the wire: what stands in
it was promised. A client whose connection breaks before the reply hands the same octets in again, as RFC 5321
section 4.5.4.1 asks of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import smtplib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Any  # log lines are JSON

SENDERS: Mapping[str, str] = {
    "report": "rita@report.example.org",
    "remaining": "rufus@remaining.example.org",
    "marked": "mara@marked.example.org",
}
"""Policy of a customer for calls in doubt → its envelope sender."""
AGAIN = 0.1
"""Seconds before a client hands a mail in again."""
SMTP_TIMEOUT = 20.0
"""Seconds a client waits for one reply."""


class Log:
    """JSON lines that are synced before `write` returns; any process may append."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        # Kept from before the system under test is rigged: the log is no part of it.
        self._write, self._fsync = os.write, os.fsync

    def write(self, **fields: object) -> None:
        self._write(self._fd, (json.dumps({"at": time.time(), **fields}) + "\n").encode())
        self._fsync(self._fd)

    def close(self) -> None:
        os.close(self._fd)


def read_log(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a log; none if there is no such file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


@dataclass(frozen=True, slots=True)
class Load:
    """One mail of the load."""

    number: int
    """Unique in its world; stands in the watermark of every page."""
    policy: str
    """Its customer's policy for calls in doubt."""
    pages: int
    to: tuple[str, ...]
    """Fax numbers, E.164."""

    @property
    def message_id(self) -> str:
        return f"<load-{self.number}@client.example.org>"

    @property
    def sender(self) -> str:
        return SENDERS[self.policy]

    @property
    def addresses(self) -> list[str]:
        return [f"{number}@{fax_domain(self.policy)}" for number in self.to]


def fax_domain(policy: str) -> str:
    """The fax domain of the customer with this policy."""
    return f"{policy}.fax.example.org"


def load_of(message_id: str) -> int | None:
    """The number of the load that a Message-ID names."""
    name = message_id.strip("<> ").partition("@")[0]
    return int(name[5:]) if name.startswith("load-") and name[5:].isdigit() else None


def draw_loads(random_: random.Random, count: int, suffixes: Sequence[str], first: int = 1) -> list[Load]:
    """Mails of one to three pages to one to three numbers of the far end, mixed."""
    loads = []
    for number in range(first, first + count):
        to = {f"+3319900{random_.randrange(20):02}{random_.choice(suffixes)}" for _ in range(random_.randint(1, 3))}
        loads.append(Load(number, random_.choice(list(SENDERS)), random_.randint(1, 3), tuple(sorted(to))))
    return loads


def mail_of(load: Load, attachment: bytes, subtype: str, name: str) -> bytes:
    """The octets of a load's mail; the same each time, so that a second hand-in is the same mail."""
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["To"] = load.sender, ", ".join(load.addresses)
    mail["Subject"], mail["Message-ID"] = f"load {load.number}", load.message_id
    maintype = "image" if subtype == "tiff" else "application"
    mail.set_content("")
    mail.make_mixed(boundary=f"load-{load.number}")
    mail.set_payload([])
    mail.add_attachment(attachment, maintype=maintype, subtype=subtype, filename=name)
    return mail.as_bytes()


class Client:
    """Hands loads in until each is acknowledged.

    Args:
        log: The ledger.
        port: Asked before each try: the system under test may have come back elsewhere. 0: it is away.
        build: The mail of a load.
    """

    def __init__(self, log: Log, port: Callable[[], int], build: Callable[[Load], bytes]) -> None:
        self._log = log
        self._port = port
        self._build = build

    async def hand_in(self, load: Load) -> str:
        """Return the message id of the 250; try for ever."""
        octets = await asyncio.to_thread(self._build, load)
        self._log.write(what="load", load=load.number, policy=load.policy, pages=load.pages, to=list(load.to))
        while True:
            port = self._port()
            if port:
                try:
                    message = await asyncio.to_thread(_submit, port, load, octets)
                except (OSError, smtplib.SMTPException) as exc:
                    self._log.write(what="no answer", load=load.number, why=f"{type(exc).__name__}: {exc}"[:200])
                else:
                    self._log.write(what="250", load=load.number, message=message)
                    return message
            await asyncio.sleep(AGAIN)

    async def hand_in_all(self, loads: Sequence[Load], at_once: int) -> None:
        """Hand all in, so many at the same time."""
        places = asyncio.Semaphore(at_once)

        async def one(load: Load) -> None:
            async with places:
                await self.hand_in(load)

        async with asyncio.TaskGroup() as group:
            for load in loads:
                group.create_task(one(load))


def _submit(port: int, load: Load, octets: bytes) -> str:
    with smtplib.SMTP("127.0.0.1", port, local_hostname="client.example.org", timeout=SMTP_TIMEOUT) as client:
        client.ehlo()
        _expect(*client.mail(load.sender))
        for address in load.addresses:
            _expect(*client.rcpt(address))
        text = _expect(*client.data(octets))
        client.close()  # no QUIT: what counts has been said
    return next((word.rstrip(";.") for word in text.split() if word.startswith("msg_")), "")


def _expect(code: int, text: bytes) -> str:
    shown = text.decode("utf-8", "replace")
    if code != 250:
        assert code < 500, f"refused for good: {code} {shown}"
        raise smtplib.SMTPResponseException(code, shown)
    return shown


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the ledger says at the end."""

    loads: Mapping[int, Load]
    """Everything handed in, acknowledged or not."""
    acknowledged: Mapping[int, str]
    """Load → message id."""

    @classmethod
    def read(cls, path: Path) -> Ledger:
        lines = read_log(path)
        loads = {
            line["load"]: Load(line["load"], line["policy"], line["pages"], tuple(line["to"]))
            for line in lines
            if line["what"] == "load"
        }
        return cls(loads, {line["load"]: line["message"] for line in lines if line["what"] == "250"})

    def __iter__(self) -> Iterator[Load]:
        return iter(self.loads.values())
