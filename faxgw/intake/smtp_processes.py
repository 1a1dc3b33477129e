"""The gateway's side of a mail process (`smtp_process`): started, given connections, answered, watched, started again.

What a process says of its sessions (who logged in, from where) is believed, for it is ours; what it can make the
gateway do or hold is bounded, and its mails pass the same funnel as all others.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import math
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any, Self  # Any: plain JSON values

from faxgw.fax.ports import MailSession, Principal, Submissions
from faxgw.intake import smtp_pipe
from faxgw.intake.smtp_link import LINGER
from faxgw.intake.smtp_logins import Logins
from faxgw.intake.smtp_mail import MAIL_RESULTS, SESSION_RESULTS, Counters
from faxgw.intake.smtp_pipe import Answer, BadMessage, Message, Opening, Outbox
from faxgw.intake.smtp_process import FAILED
from faxgw.intake.smtp_remains import Remains, Trail
from faxgw.intake.smtp_settings import SmtpListener
from faxgw.intake.smtp_tls import Pair
from faxgw.logs import Manner
from faxgw.pipe import Pipe, PipeClosed, pair
from faxgw.settings import Tls

START_WITHIN = 60.0
"""Seconds a process may take to make ready, on a busy machine."""
PING_EVERY = 5.0
"""Seconds between pings."""
SILENT_AFTER = 30.0
"""Seconds without a word after which a process is killed."""
END_WITHIN = 5.0
"""Seconds a process may take to end once it has said its last word."""
MAX_PAUSE = 30.0
"""Seconds at most before a process that keeps ending is started again; the first time it is started at once."""
FIRST_LIVES = 2
"""Processes that may end before one was ready until the gateway's start is given up: one may have been killed."""
STEADY = 60.0
"""Seconds of life after which a process that ends is started at once again."""
ASKS_PER_CONNECTION = 16
"""Questions at a time for each connection that there may be: one, and commits that were given up waiting for."""
COMMAND = (sys.executable, "-m", "faxgw.intake.smtp_process")
"""What a mail process is."""

log = logging.getLogger(__name__)


class ProcessRoom:
    """Sessions in a process of their own; a `Room`.

    Args:
        opening: What it needs to know.
        submissions: The funnel.
        logins: Checks logins.
        counters: Where to count.
        changed: Called when `ready` changed.
        remains: Removes what a process left behind; None: it stays.
        command: What to start; `--fd N` is appended.
    """

    def __init__(
        self,
        opening: Opening,
        submissions: Submissions,
        logins: Logins,
        counters: Counters,
        changed: Callable[[], None],
        remains: Remains | None = None,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._opening = opening
        self._submissions = submissions
        self._logins = logins
        self._counters = counters
        self._changed = changed
        self._remains = remains
        self._command = tuple(command)
        self._listeners = {listener.name: index for index, listener in enumerate(opening.settings.listeners)}
        self._stressed = False
        self._stopping = asyncio.Event()
        self._child: _Child | None = None
        self._first: asyncio.Future[None] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._answers: set[asyncio.Task[None]] = set()
        self._removals: set[asyncio.Task[None]] = set()
        self.ready = False
        """Whether connections may be sent in."""
        self.most = 0
        """Connections at a time that the process has descriptors for."""

    @property
    def pid(self) -> int:
        """Process id; 0 when there is none."""
        return 0 if self._child is None else self._child.process.pid

    async def start(self) -> None:
        """Start the process and wait until it is ready. Raises OSError."""
        if self._opening.settings.tls is not None:
            self._opening = replace(self._opening, pair=Pair.read(self._opening.settings.tls))
        self._first = asyncio.get_running_loop().create_future()
        self._keeping = asyncio.create_task(self._keep(), name="mail process")
        await self._first

    def enter(self, sock: socket.socket, listener: SmtpListener, peer: str, gone: Callable[[], None]) -> None:
        """Begin a session there."""
        if self._child is None:
            sock.close()
            gone()
        else:
            self._child.enter(sock, self._listeners[listener.name], peer, gone)

    def stress(self, begun: bool) -> None:
        """Stress has begun, or is over."""
        self._stressed = begun
        self._say(["stress", begun])

    def reload_tls(self, tls: Tls) -> None:
        """Read certificate and key anew. Raises OSError; then the old ones stay, for the next process too."""
        pair = Pair.read(tls)
        settings = self._opening.settings.model_copy(update={"tls": tls})
        self._opening = replace(self._opening, settings=settings, pair=pair)
        self._say(["tls", *pair.row()])

    async def stop(self, grace: float) -> None:
        """Have it end; a process that does not is killed. Commits are waited for."""
        self._stopping.set()
        patience = self._opening.settings.commit_deadline
        self._say(["stop", grace])
        if self._keeping is not None:
            _done, late = await asyncio.wait({self._keeping}, timeout=grace + 2 * LINGER + patience + END_WITHIN)
            if late and self._child is not None:
                self._child.kill("did not stop")
            await self._keeping
        if self._answers:
            await asyncio.wait(self._answers, timeout=patience)
        for task in self._removals:  # the next start removes what is left
            task.cancel()
        await asyncio.gather(*self._removals, return_exceptions=True)

    def _say(self, message: Message) -> None:
        if self._child is not None:
            self._child.outbox.say(message)

    async def _keep(self) -> None:
        """See process after process to its end, until told to stop."""
        loop = asyncio.get_running_loop()
        pause, lives = 0.0, 0
        while not self._stopping.is_set():
            begun = loop.time()
            lives += 1
            try:
                why = await self._live()
            except OSError as error:
                why = f"not started: {error}"
            stopped = self._stopping.is_set()
            if stopped or lives >= FIRST_LIVES:
                self._tell_first(why)
            level = logging.INFO if stopped else logging.ERROR
            log.log(level, "mail process ended", extra={"event": "smtp_process.ended", "why": why})
            if loop.time() - begun > STEADY:
                pause = 0.0
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()
            pause = min(2 * pause + 1, MAX_PAUSE)

    async def _live(self) -> str:
        """One process from its start to its end; returns how it ended. Raises OSError if it cannot be started."""
        child = self._child = await _Child.start(self._command)
        child.manner = Manner.now()
        place = replace(self._opening.place, mark=child.trail.mark)
        child.outbox.say(replace(self._opening, logs=child.manner, place=place).row())
        child.outbox.flush()  # in a frame of its own, before anything else is said
        watching = asyncio.create_task(child.watch(), name=f"mail process {child.process.pid} watch")
        try:
            while (frame := await child.pipe.receive()) is not None:
                child.heard()
                for message in smtp_pipe.messages_of(frame.payload):
                    self._on_message(child, message)
        except (BadMessage, PipeClosed) as error:
            child.kill(f"talks nonsense: {error}")
        except Exception:  # the task's owner: the process is ended and another one started
            log.exception("mail process not understood", extra={"event": "smtp_process.fault"})
            child.kill("talks nonsense")
        finally:
            self._child = None
            self._set_ready(False)
            watching.cancel()
            why = await child.end()
            for _connection in child.connections:
                self._counters.session("failed")
            child.let_go()
            self._remove_remains(child)
        return why

    def _remove_remains(self, child: _Child) -> None:
        """The files of a process that is gone, while the next one starts: theirs bear another mark."""
        if self._remains is not None:
            name = f"mail process {child.process.pid} files"
            task = asyncio.create_task(self._remains.remove(child.trail, child.answers), name=name)
            self._removals.add(task)
            task.add_done_callback(self._removals.discard)

    def _on_message(self, child: _Child, message: Message) -> None:
        match message:
            case ["ask", int(serial), str(question), *values]:
                if child.asking >= ASKS_PER_CONNECTION * self._opening.settings.connection_limit:
                    raise BadMessage("too many questions at a time")
                child.asking += 1
                task = asyncio.create_task(self._answer(child, serial, question, values), name=f"smtp {question}")
                for tasks in (self._answers, child.answers):
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
            case ["gone", int(connection)]:
                child.gone(connection)
            case ["session", str(result)] if result in SESSION_RESULTS:
                self._counters.session(result)
            case ["mail", str(result)] if result in MAIL_RESULTS:
                self._counters.mail(result)
            case ["seconds", float(seconds)] if math.isfinite(seconds):
                self._counters.commit_seconds(seconds)
            case ["pong", int()]:
                pass
            case ["ready", int(most)] if most > 0:
                self.most = most
                if most < (wanted := self._opening.settings.connection_limit):
                    log.warning(
                        "fewer descriptors than connections and their files need",
                        extra={"event": "smtp_process.descriptors", "connections": most, "wanted": wanted},
                    )
                child.outbox.say(["stress", self._stressed])
                log.info("mail process started", extra={"event": "smtp_process.started", "pid": child.process.pid})
                self._set_ready(True)
                self._tell_first("")
                if self._stopping.is_set():
                    child.outbox.say(["stop", 0.0])
            case _:
                raise BadMessage(f"not understood: {message[0]!r}")

    async def _answer(self, child: _Child, serial: int, question: str, values: Sequence[Any]) -> None:
        try:
            row = smtp_pipe.answer_row(await self._put(child, question, values))
        except Exception:  # the task's owner: the session says that it cannot be answered now
            log.exception("mail process not answered", extra={"event": "smtp_process.unanswered", "question": question})
            row = [FAILED]
        child.asking -= 1
        if not child.ended:
            child.outbox.say(["answer", serial, *row])

    async def _put(self, child: _Child, question: str, values: Sequence[Any]) -> Answer:
        """Have the gateway answer a question."""
        match question, *values:
            case "sender", session, address:
                return await self._submissions.sender(MailSession(*session), address)
            case "recipient", session, who, address:
                return await self._submissions.recipient(MailSession(*session), Principal(*who), address)
            case "room_for", octets:
                return await self._submissions.room_for(octets)
            case "submit_mail", mail:
                return await child.trail.commit(self._submissions, smtp_pipe.mail_of(mail))
            case "check", login, password, session:
                return await self._logins.check(login, password, MailSession(*session))
            case _:
                raise BadMessage(f"no such question: {question!r}")

    def _set_ready(self, ready: bool) -> None:
        if ready != self.ready:
            self.ready = ready
            self._changed()

    def _tell_first(self, why: str) -> None:
        """The first process is ready, or why it never was: then `start` fails, and nothing is tried again."""
        if self._first is None or self._first.done():
            return
        if why:
            self._stopping.set()
            self._first.set_exception(OSError(f"the mail process did not start: {why}"))
        else:
            self._first.set_result(None)


class _Child:
    """One process, its pipe and its connections."""

    def __init__(self, process: asyncio.subprocess.Process, pipe: Pipe) -> None:
        self.process = process
        self.pipe = pipe
        self.outbox = Outbox(pipe, self.kill)
        self.connections: dict[int, Callable[[], None]] = {}
        self.ended = False
        self.asking = 0
        """Questions that have no answer yet."""
        self.answers: set[asyncio.Task[None]] = set()
        """What answers them."""
        self.trail = Trail()
        self.manner: Manner | None = None
        """How it logs."""
        self._why = ""
        self._serials = itertools.count()
        self._heard: float | None = None

    @classmethod
    async def start(cls, command: Sequence[str]) -> Self:
        """Start it; it waits to be told what it is for."""
        ours, theirs = pair()
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                "--fd",
                str(theirs.fileno()),
                pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
            )  # its standard error is ours: it logs as we do
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return cls(process, Pipe(ours))

    def enter(self, sock: socket.socket, listener: int, peer: str, gone: Callable[[], None]) -> None:
        connection = next(self._serials)
        self.connections[connection] = gone
        self.outbox.say(["enter", connection, listener, peer], sock)

    def gone(self, connection: int) -> None:
        told = self.connections.pop(connection, None)
        if told is None:
            raise BadMessage(f"no such connection: {connection}")
        told()

    def let_go(self) -> None:
        """All its connections are cut."""
        while self.connections:
            self.connections.popitem()[1]()

    def heard(self) -> None:
        self._heard = asyncio.get_running_loop().time()

    def kill(self, why: str) -> None:
        self._why = self._why or why
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()

    async def watch(self) -> None:
        """Ping it, have it log as we do by now, and kill it when it is silent."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for serial in itertools.count():
            asleep = loop.time()
            await asyncio.sleep(PING_EVERY)
            if loop.time() - asleep > 2 * PING_EVERY:  # it was us who were away
                begun = loop.time()
                continue
            patience = START_WITHIN if self._heard is None else SILENT_AFTER
            if loop.time() - max(begun, self._heard or begun) > patience:
                self.kill(f"silent for {patience:.0f} s")
                return
            if (manner := Manner.now()) is not None and manner != self.manner:
                self.manner = manner
                self.outbox.say(["logs", asdict(manner)])
            self.outbox.say(["ping", serial])

    async def end(self) -> str:
        """See it to its end; returns how it ended."""
        try:
            async with asyncio.timeout(END_WITHIN):
                await self.process.wait()
        except TimeoutError:
            self.kill("closed its pipe and did not end")
        status = await self.process.wait()
        self.ended = True
        self.outbox.close()
        self.pipe.close()
        return self._why or _ending(status)


def _ending(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    with contextlib.suppress(ValueError):
        return f"killed by {signal.Signals(-status).name}"
    return f"killed by signal {-status}"
