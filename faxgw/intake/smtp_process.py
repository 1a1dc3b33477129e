"""A mail process: SMTP sessions and the files of their mails, in a process that strangers talk to, not the gateway.

`python -m faxgw.intake.smtp_process --fd N`, at the other end of a pipe (`smtp_pipe`). It is given connections, asks
the gateway who may send what, writes and syncs the mail's file itself, and has the gateway commit the mail. It knows
no database. When the pipe ends, it ends at once: nobody could commit anything any more.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import itertools
import logging
import os
import resource
import signal
import socket
import sys
import time
from functools import partial
from pathlib import Path
from typing import TypeVar

from faxgw import garbage
from faxgw.fax.errors import FaxError
from faxgw.fax.ports import MailRecipient, MailSession, MailSubmission, Principal, Receipt, Rejection
from faxgw.intake import smtp_pipe
from faxgw.intake.smtp_limits import connections_within
from faxgw.intake.smtp_logins import Verdict
from faxgw.intake.smtp_mail import Counters
from faxgw.intake.smtp_pipe import Answer, BadMessage, Message, Opening, Outbox, TooLong
from faxgw.intake.smtp_room import SessionRoom
from faxgw.intake.smtp_tls import Pair
from faxgw.logs import Manner
from faxgw.pipe import Frame, Pipe, PipeClosed
from faxgw.store.files import Files

OOM_SCORE = 500
"""When memory is short the kernel ends this process before the gateway: its clients send again."""
ROOM_BELIEVED_S = 0.5
"""Seconds for which room for the largest mail is believed (as `store.files.AMPLE_S`)."""
_NO_NEW_PRIVS = 38
"""PR_SET_NO_NEW_PRIVS of linux/prctl.h."""
FAILED = "failed"
"""Kind of the answer to a question whose answering failed."""
TOO_LONG = Rejection(552, "5.5.3", "So many recipients with so long parameters do not fit in one mail; send several")
"""Answer to a mail that the pipe does not take: 10,000 recipients, each with an ORCPT of 500 letters."""

log = logging.getLogger("faxgw.intake.smtp_process")  # which is `__main__` where it runs

T = TypeVar("T")


class AnswerFailed(FaxError):
    """The gateway could not answer; its log says why."""


class Gateway:
    """The gateway, as the sessions see it: `Submissions` and `Logins` over the pipe.

    Args:
        outbox: The way there.
        largest: Octets of the largest mail.
    """

    def __init__(self, outbox: Outbox, largest: int) -> None:
        self._outbox = outbox
        self._largest = largest
        self._room_until = 0.0
        self._serials = itertools.count()
        self._asked: dict[int, asyncio.Future[Message]] = {}

    async def check(self, login: str, password: str, session: MailSession) -> Verdict:
        """Check a login."""
        return _expect(Verdict, await self._ask("check", login, password, smtp_pipe.session_row(session)))

    async def authenticate(self, login: str, password: str, session: MailSession) -> bool:
        """Check a login."""
        return await self.check(login, password, session) is Verdict.WELCOME

    async def sender(self, session: MailSession, address: str) -> Principal | Rejection:
        """Who this is."""
        answer = await self._ask("sender", smtp_pipe.session_row(session), address)
        return answer if isinstance(answer, Rejection) else _expect(Principal, answer)

    async def recipient(self, session: MailSession, principal: Principal, address: str) -> MailRecipient | Rejection:
        """Whether a recipient may be reached."""
        asked = smtp_pipe.session_row(session), smtp_pipe.principal_row(principal), address
        answer = await self._ask("recipient", *asked)
        return answer if isinstance(answer, Rejection) else _expect(MailRecipient, answer)

    async def room_for(self, octets: int) -> Rejection | None:
        """Whether there is room; where there is for the largest mail, nobody is asked for each."""
        if octets <= self._largest and time.monotonic() < self._room_until:
            return None
        answer = await self._ask("room_for", max(octets, self._largest))
        if answer is None:
            self._room_until = time.monotonic() + ROOM_BELIEVED_S
            return None
        if octets < self._largest:
            answer = await self._ask("room_for", octets)
        return None if answer is None else _expect(Rejection, answer)

    async def submit_mail(self, mail: MailSubmission) -> Receipt | Rejection:
        """The promise."""
        try:
            answer = await self._ask("submit_mail", smtp_pipe.mail_row(mail))
        except TooLong:
            return TOO_LONG
        return answer if isinstance(answer, Rejection) else _expect(Receipt, answer)

    def answered(self, serial: int, row: Message) -> None:
        """An answer came."""
        asked = self._asked.pop(serial, None)
        if asked is not None and not asked.done():
            asked.set_result(row)

    async def _ask(self, question: str, *values: object) -> Answer:
        serial = next(self._serials)
        self._outbox.say(["ask", serial, question, *values])
        answer = self._asked[serial] = asyncio.get_running_loop().create_future()
        try:
            row = await answer
        finally:
            self._asked.pop(serial, None)
        if row[0] == FAILED:
            raise AnswerFailed(f"{question} was not answered")
        return smtp_pipe.answer_of(row)


class MailProcess:
    """All of a mail process: what its frames make it do.

    Args:
        pipe: To the gateway.
        opening: What it was told.
    """

    def __init__(self, pipe: Pipe, opening: Opening) -> None:
        self._pipe = pipe
        self._settings = opening.settings
        self._outbox = Outbox(pipe, _leave)
        self._gateway = Gateway(self._outbox, int(self._settings.message_limit))
        place = opening.place
        self._files = Files(Path(place.root), place.node, place.incarnation, place.mark)
        counters = Counters(
            session=lambda result: self._outbox.say(["session", result]),
            mail=lambda result: self._outbox.say(["mail", result]),
            commit_seconds=lambda seconds: self._outbox.say(["seconds", round(seconds, 6)]),
        )
        self._room = SessionRoom(
            self._settings, self._gateway, self._gateway, self._files, counters, dsn=opening.dsn, pair=opening.pair
        )
        self._stopping: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Until told to stop. Raises OSError if it cannot begin."""
        await self._room.start()
        self._outbox.say(["ready", _take_descriptors(self._settings.connection_limit)])
        while (frame := await self._pipe.receive()) is not None:
            self._on_frame(frame)
        _leave("the gateway is gone")

    def _on_frame(self, frame: Frame) -> None:
        sockets = [socket.socket(fileno=descriptor) for descriptor in frame.descriptors]
        sockets.reverse()
        for word, *values in smtp_pipe.messages_of(frame.payload):
            match word:
                case "answer":
                    self._gateway.answered(values[0], values[1:])
                case "enter":
                    self._enter(sockets.pop(), *values)
                case "logs":
                    Manner(**values[0]).follow()
                case "ping":
                    self._outbox.say(["pong", *values])
                case "stress":
                    self._room.stress(values[0])
                case "tls":
                    self._reload_tls(values)
                case "stop":
                    self._stopping = asyncio.create_task(self._stop(values[0]), name="smtp stops")
                case _:
                    raise BadMessage(f"not understood: {word!r}")

    def _enter(self, sock: socket.socket, connection: int, listener: int, peer: str) -> None:
        gone = partial(self._outbox.say, ["gone", connection])
        self._room.enter(sock, self._settings.listeners[listener], peer, gone)

    def _reload_tls(self, row: Message) -> None:
        try:
            self._room.use(Pair.of(row))
        except (OSError, ValueError) as error:  # the gateway has tried them; the old ones stay
            log.error("certificate not taken on", extra={"event": "smtp_process.tls", "why": str(error)})

    async def _stop(self, grace: float) -> None:
        await self._room.stop(grace)
        await self._files.close()
        self._outbox.flush()
        _leave("")


def _expect(kind: type[T], answer: object) -> T:
    if isinstance(answer, kind):
        return answer
    raise BadMessage(f"the answer is {type(answer).__name__}")


def _leave(why: str) -> None:
    """End at once: sessions are cut, their clients send again, and what was committed is known by then."""
    os._exit(1 if why else 0)


async def main(descriptor: int) -> None:
    """Serve until the pipe ends."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # to all of us, meant for the gateway: it tells us
        signal.signal(number, signal.SIG_IGN)
    pipe = Pipe(socket.socket(fileno=descriptor))
    first = await pipe.receive()
    if first is None:
        return
    try:
        message = smtp_pipe.messages_of(first.payload)[0]
        if (manner := smtp_pipe.manner_of(message)) is not None:
            manner.follow()  # before anything else can fail
        opening = Opening.of(message)
        garbage.set_aside()
        await MailProcess(pipe, opening).run()
    except (BadMessage, PipeClosed, OSError) as error:
        log.error("mail process cannot go on", extra={"event": "smtp_process.broken", "why": str(error)})
        sys.exit(1)


def _take_descriptors(wanted: int) -> int:
    """Take as many as we may have; for how many connections, of those wanted, they are enough.

    One that is sent to us and finds no descriptor breaks the pipe, and with it all sessions.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # a system call filter may be against it
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return wanted if soft == resource.RLIM_INFINITY else min(wanted, connections_within(soft))


def _offer_to_end() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE), encoding="ascii")


def _renounce() -> None:
    """Nothing that this process, or whoever takes it over, starts can gain privileges by it (prctl(2))."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="faxgw.intake.smtp_process", description=__doc__)
    parser.add_argument("--fd", type=int, required=True, help="descriptor of the pipe to the gateway")
    _offer_to_end()
    _renounce()
    asyncio.run(main(parser.parse_args().fd))
