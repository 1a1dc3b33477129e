"""What the gateway and its mail processes say to one another over `faxgw.pipe`.

A frame is a JSON list of messages, each a list `[word, …]`; what is said in one turn of the loop goes in one frame.

    gateway to process
        start    what it needs (`Opening`); the first frame
        enter    connection, listener (index), peer; its descriptor goes with the frame
        stress   begun or over
        tls      certificate and key to be used from now on (`smtp_tls.Pair`)
        logs     how to log from now on
        answer   serial, and what `answer_row` says
        ping     number
        stop     grace in seconds
    process to gateway
        ready    connections that it has room for
        ask      serial, question, arguments
        gone     connection
        session  result
        mail     result
        seconds  between a final dot and its promise
        pong     number

The questions are those of `fax.ports.Submissions` and `smtp_logins.Logins`, with the same names.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any  # Any: plain JSON values

from faxgw.fax.ports import MailRecipient, MailSession, MailSubmission, Principal, Receipt, Rejection, StoredFile
from faxgw.intake.smtp_logins import Verdict
from faxgw.intake.smtp_settings import SmtpSettings
from faxgw.intake.smtp_tls import Pair
from faxgw.logs import Manner
from faxgw.pipe import MAX_DESCRIPTORS, MAX_FRAME, Pipe, PipeClosed
from faxgw.settings import Tls
from faxgw.store.files import SpoolPlace

FRAME_OCTETS = 1_048_576
"""Octets from which a frame is closed and another one begun."""

Message = list[Any]
Answer = Principal | Rejection | MailRecipient | Receipt | Verdict | None


class TooLong(Exception):
    """A message is longer than the pipe takes."""


class BadMessage(Exception):
    """The other side says what makes no sense: it is broken."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What a mail process needs."""

    settings: SmtpSettings
    place: SpoolPlace
    dsn: bool
    logs: Manner | None
    """How to log; None: as Python does by itself."""
    pair: Pair | None = None
    """Certificate and key, which the process does not read from the disk."""

    def row(self) -> Message:
        """As a message."""
        manner = None if self.logs is None else asdict(self.logs)
        pair = None if self.pair is None else self.pair.row()
        return ["start", self.settings.model_dump_json(), asdict(self.place), self.dsn, pair, manner]

    @classmethod
    def of(cls, message: Message) -> Opening:
        """From a message.

        Raises:
            BadMessage: If it is another one, or what it says does not hold.
        """
        if message[0] != "start" or len(message) != 6:
            raise BadMessage("the first frame does not say what to do")
        _word, settings, place, dsn, row, _manner = message
        try:
            pair = None if row is None else Pair.of(row)
            chosen = _settings_of(settings, pair)
        except (OSError, ValueError) as error:
            raise BadMessage(str(error)) from error
        return cls(chosen, SpoolPlace(**place), bool(dsn), manner_of(message), pair)


def manner_of(opening: Message) -> Manner | None:
    """How to log, of an opening's message."""
    return None if opening[-1] is None else Manner(**opening[-1])


def _settings_of(text: str, pair: Pair | None) -> SmtpSettings:
    """The settings, with their names of certificate and key, though the files may not fit or be out of reach."""
    if pair is None:
        return SmtpSettings.model_validate_json(text)
    named = json.loads(text)
    lies = Tls.model_construct(certificate=Path(named["tls"]["certificate"]), key=Path(named["tls"]["key"]))
    with pair.as_files() as files:
        named["tls"] = {"certificate": str(files.certificate), "key": str(files.key)}
        chosen = SmtpSettings.model_validate_json(json.dumps(named))
    return chosen.model_copy(update={"tls": lies})


class Outbox:
    """Says things over a pipe, together what is said in one turn of the loop.

    Args:
        pipe: Where to.
        failed: Called when the pipe takes no more: the other side is gone, or has stopped reading.
    """

    def __init__(self, pipe: Pipe, failed: Callable[[str], None]) -> None:
        self._pipe = pipe
        self._failed = failed
        self._rows: list[str] = []
        self._octets = 0
        self._sockets: list[socket.socket] = []

    def say(self, message: Message, sock: socket.socket | None = None) -> None:
        """Say something.

        Args:
            message: Plain values.
            sock: Goes with it; this process's copy is closed.

        Raises:
            TooLong: If it is; nothing is said.
        """
        row = json.dumps(message, separators=(",", ":"))
        if len(row) + 2 > MAX_FRAME:  # with the list around it
            raise TooLong(f"a message of {len(row)} octets")
        if self._rows and (self._octets + len(row) > FRAME_OCTETS or len(self._sockets) == MAX_DESCRIPTORS):
            self.flush()
        if not self._rows:
            asyncio.get_running_loop().call_soon(self.flush)
        self._rows.append(row)
        self._octets += len(row)
        if sock is not None:
            self._sockets.append(sock)

    def close(self) -> None:
        """Say nothing more; what was not sent is dropped, and its sockets are closed."""
        self._rows.clear()
        while self._sockets:
            self._sockets.pop().close()

    def flush(self) -> None:
        """Send what was said."""
        if not self._rows:
            return
        frame = f"[{','.join(self._rows)}]".encode()
        sockets, self._sockets = self._sockets, []
        self._rows.clear()
        self._octets = 0
        try:
            self._pipe.send(frame, [sock.detach() for sock in sockets], given=True)
        except (PipeClosed, ValueError) as error:
            self._failed(str(error))


def messages_of(payload: bytes) -> list[Message]:
    """The messages of a frame.

    Raises:
        BadMessage: If it holds none.
    """
    try:
        found = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise BadMessage("not JSON") from error
    if not isinstance(found, list) or not all(isinstance(row, list) and row for row in found):
        raise BadMessage("not a list of messages")
    return found


# ------------------------------------------------------------------------------------------------------- questions


def session_row(session: MailSession) -> Message:
    """What is known of a connection."""
    return [session.peer, session.tls, session.login, session.listener]


def principal_row(who: Principal) -> Message:
    """Who submits."""
    return [who.customer, who.user, who.login, who.address, who.how]


def recipient_row(to: MailRecipient) -> Message:
    """A recipient."""
    return [
        to.address, to.number_typed, to.number_e164, to.sub_address, to.customer, to.notify, to.orcpt, to.list_name,
        to.most,
    ]  # fmt: skip


def mail_row(mail: MailSubmission) -> Message:
    """A mail at its final dot."""
    return [
        mail.message,
        principal_row(mail.principal),
        mail.sender,
        [recipient_row(recipient) for recipient in mail.recipients],
        [mail.file.key, mail.file.sha256, mail.file.size],
        mail.message_id,
        mail.subject,
        mail.auto_submitted,
        mail.received_at,
        mail.envid,
        mail.ret,
        mail.listed,
    ]


def mail_of(row: Sequence[Any]) -> MailSubmission:
    """The mail of a row."""
    message, who, sender, recipients, file, *rest = row
    return MailSubmission(
        message, Principal(*who), sender, tuple(MailRecipient(*to) for to in recipients), StoredFile(*file), *rest
    )


# --------------------------------------------------------------------------------------------------------- answers

_ANSWERS: dict[str, Callable[..., Answer]] = {
    "principal": Principal,
    "rejection": Rejection,
    "recipient": MailRecipient,
    "receipt": Receipt,
    "verdict": Verdict,
}


def answer_row(answer: Answer) -> Message:
    """An answer: its kind and its values."""
    match answer:
        case None:
            return ["none"]
        case Principal():
            return ["principal", *principal_row(answer)]
        case Rejection():
            return ["rejection", answer.code, answer.enhanced, answer.text]
        case MailRecipient():
            return ["recipient", *recipient_row(answer)]
        case Receipt():
            return ["receipt", answer.message, answer.duplicate_of]
        case Verdict():
            return ["verdict", answer.value]


def answer_of(row: Sequence[Any]) -> Answer:
    """The answer of a row."""
    kind, *values = row
    return None if kind == "none" else _ANSWERS[kind](*values)
