"""The operator's socket: HTTP on a Unix socket in the data folder, for the command line of the same machine.

Who may open the socket (mode 0600) is the operator; there is no other login. Answers are JSON. The public HTTP
interfaces stand beside this one.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol  # JSON values

from aiohttp import web

from faxgw.api import accesses, wishes
from faxgw.api.destinations import DestinationRoutes
from faxgw.api.received import ReceivedFaxes
from faxgw.api.restored import RestoredRoutes
from faxgw.fax.errors import FaxError
from faxgw.fax.ports import (
    MailRecipient,
    MailSession,
    MailSubmission,
    Principal,
    Rejection,
    StoredFile,
    Submissions,
)
from faxgw.fax.recipients import too_many
from faxgw.store import directory, lookup, queue
from faxgw.store.engine import Store
from faxgw.store.files import Files, Kind

log = logging.getLogger(__name__)

SOCKET = "control.sock"
"""Name of the socket in the data folder."""
MAX_LISTED = 1000
"""Faxes in one answer at most."""
MAX_UPLOAD = 100 * 1024 * 1024
"""Octets of one `faxgw send`."""
MAX_LINE = 998
"""Characters of a Message-ID or subject at most (RFC 5322 section 2.1.1)."""
_CHUNK = 256 * 1024


class Identified(Protocol):
    """Draws ids (the dispatch's seat)."""

    def id(self, prefix: str) -> str:
        """A fresh prefixed id."""
        ...


class RecordedCalls(Protocol):
    """Recordings of calls (the dispatch's keeper)."""

    def ask(self, number: str, who: str) -> str:
        """Have the next call of a number recorded; what became of the wish."""
        ...

    async def read(self, call: str, form: str) -> bytes:
        """A call's recording in a form."""
        ...


@dataclass(frozen=True, slots=True)
class Operations:
    """What the operator may look at and do."""

    store: Store
    files: Files
    submissions: Submissions
    ids: Identified
    clock: Callable[[], float]
    status: Callable[[], Mapping[str, Any]]
    """The daemon's own view: listeners, trunks, live calls."""
    system: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the system level."""
    confirm_clock: Callable[[str], None] = lambda who: None
    """Takes an operator's word that the clock is right."""
    calls: Callable[[], Sequence[Mapping[str, Any]]] = tuple
    """The calls in progress (docs/calls.md)."""
    explain: Callable[[str, str, str], Awaitable[Mapping[str, Any]]] | None = None
    """What the next call to a number will do: number, customer, sender. None: this node places no calls."""
    recordings: RecordedCalls | None = None
    """None: this node records nothing."""
    accounts: Sequence[web.AbstractRouteDef] = ()
    """The accounts interface with the operator as caller (api.admin)."""


class ControlServer:
    """Serves the operator's socket.

    Args:
        folder: The data folder.
        operations: What it offers.
    """

    def __init__(self, folder: Path, operations: Operations) -> None:
        self._path = folder / SOCKET
        self._do = operations
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen, with mode 0600."""
        written = accesses.on_the_socket(self._do.store, self._do.clock)
        app = web.Application(client_max_size=MAX_UPLOAD, middlewares=[_answer_errors, written])
        app.add_routes(
            [
                web.get("/status", self._status),
                web.get("/calls", self._calls),
                web.get("/recordings/{call}", self._recording),
                web.post("/record", self._record),
                web.get("/faxes", self._list),
                web.get("/find/{ident}", self._find),
                web.get("/settings", self._settings),
                web.post("/clock", self._confirm_clock),
                web.get("/tiff/{ident}", self._tiff),
                web.post("/send", self._send),
                *ReceivedFaxes(self._do.store, self._do.files).routes(),
                web.post("/faxes/{ident}/{verb:cancel|hold|release}", self._wish),
                *DestinationRoutes(self._do).routes(),
                *RestoredRoutes(self._do).routes(),
                *self._do.accounts,
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await self._runner.setup()
        self._path.unlink(missing_ok=True)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            listening.bind(str(self._path))
        finally:
            os.umask(before)
        await web.SockSite(self._runner, listening).start()

    async def stop(self) -> None:
        """Close the socket and remove it."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._path.unlink(missing_ok=True)

    async def _status(self, request: web.Request) -> web.Response:
        counts = await self._do.store.read(queue.count_by_state)
        oldest = await self._do.store.read(queue.oldest_open)
        return web.json_response({**self._do.status(), "faxes": counts, "oldest_open": oldest})

    async def _calls(self, request: web.Request) -> web.Response:
        return web.json_response({"at": self._do.clock(), "calls": list(self._do.calls())})

    async def _recording(self, request: web.Request) -> web.Response:
        recordings = self._do.recordings
        if recordings is None:
            raise web.HTTPNotFound(text="There is no recording of this call.")
        octets = await recordings.read(request.match_info["call"], request.query.get("form", "recording"))
        return web.Response(body=octets, content_type="application/octet-stream")

    async def _record(self, request: web.Request) -> web.Response:
        recordings = self._do.recordings
        if recordings is None:
            raise web.HTTPServiceUnavailable(text="Nothing is recorded here.")
        asked = recordings.ask(request.query.get("number", ""), request.query.get("who", "operator"))
        return web.json_response({"result": asked})

    async def _list(self, request: web.Request) -> web.Response:
        limit = max(1, min(int(request.query.get("limit", "50")), MAX_LISTED))
        final = request.query.get("all") == "1"
        rows = await self._do.store.read(lambda conn: queue.overview(conn, limit=limit, final=final))
        return web.json_response({"faxes": rows})

    async def _find(self, request: web.Request) -> web.Response:
        ident = request.match_info["ident"]
        found = await self._do.store.read(lambda conn: lookup.find(conn, ident))
        if found is None:
            raise web.HTTPNotFound(text=f"There is no fax, job or message {ident}.")
        return web.json_response(found)

    async def _confirm_clock(self, request: web.Request) -> web.Response:
        self._do.confirm_clock(request.query.get("who", "operator"))
        return web.json_response({})

    async def _settings(self, request: web.Request) -> web.Response:
        """The settings in force for `account` (a customer, or customer/user), each with its origin."""
        account = request.query.get("account", "")
        customer, _, user = account.partition("/")
        known = await self._do.store.read(lambda conn: directory.exists(conn, customer, user))
        if not known:
            raise web.HTTPNotFound(text=f"There is no account {account}.")
        in_force = await self._do.store.read(
            lambda conn: directory.effective(conn, self._do.system, customer, account if user else "")
        )
        shown = {key: {"value": value, "origin": str(in_force.origins[key])} for key, value in in_force.values.items()}
        return web.json_response({"account": account, "settings": shown})

    async def _tiff(self, request: web.Request) -> web.StreamResponse:
        """The composed pages of a fax's newest attempt."""
        ident = request.match_info["ident"]
        faxes = await self._do.store.read(lambda conn: lookup.fax_ids(conn, ident))
        tiffs = await self._do.store.read(lambda conn: lookup.tiffs_of(conn, faxes[0])) if faxes else []
        if not tiffs:
            raise web.HTTPNotFound(text=f"No pages were composed for {ident} yet.")
        newest = tiffs[-1]
        descriptor = await self._do.files.open_read(StoredFile(newest["key"], newest["sha256"], newest["size"]))
        body = await asyncio.to_thread(_content, descriptor)
        return web.Response(body=body, content_type="image/tiff", headers={"X-Attempt": newest["attempt"]})

    async def _wish(self, request: web.Request) -> web.Response:
        ident, verb = request.match_info["ident"], request.match_info["verb"]
        who, now = request.query.get("who", "operator"), self._do.clock()
        faxes = await self._do.store.read(lambda conn: lookup.fax_ids(conn, ident))
        if not faxes:
            raise web.HTTPNotFound(text=f"There is no fax or job {ident}.")
        results = await wishes.carry_out(self._do.store, faxes, verb, who=who, now=now)
        return web.json_response({"faxes": dict(results)})

    async def _send(self, request: web.Request) -> web.Response:
        """A mail in the body becomes a message for `number`s (A17); the principal is the operator's choice."""
        customers = await self._do.store.read(directory.customers)
        customer = request.query.get("customer") or (customers[0] if customers else "")
        if customer not in customers:
            raise web.HTTPBadRequest(text=f"There is no customer {customer!r}; there are {', '.join(customers)}.")
        user = request.query.get("user", "")
        sender = request.query.get("from", "")
        principal = Principal(customer, f"{customer}/{user}" if user else "", "", sender, "operator")
        session = MailSession("", True, "", "control")
        recipients = []
        for number in request.query.getall("number", []):
            answer = await self._recipient(session, principal, number)
            if isinstance(answer, Rejection):
                raise web.HTTPUnprocessableEntity(text=answer.text)
            recipients.append(answer)
        if not recipients:
            raise web.HTTPBadRequest(text="No number was given.")
        if many := too_many(len(recipients), recipients[0].most):
            raise web.HTTPUnprocessableEntity(text=many.told())
        if refusal := await self._do.submissions.room_for(request.content_length or 0):
            raise web.HTTPInsufficientStorage(text=refusal.text)
        return await self._submit(request, principal, sender, tuple(recipients))

    async def _recipient(self, session: MailSession, principal: Principal, number: str) -> MailRecipient | Rejection:
        domain = await self._do.store.read(lambda conn: directory.a_domain_of(conn, principal.customer))
        if not domain:
            return Rejection(550, "5.7.1", f"Customer {principal.customer} has no fax domain.")
        return await self._do.submissions.recipient(session, principal, f"{number}@{domain}")

    async def _submit(
        self, request: web.Request, principal: Principal, sender: str, recipients: tuple[MailRecipient, ...]
    ) -> web.Response:
        async with await self._do.files.open_temp(Kind.MAIL, MAX_UPLOAD) as spool:
            async for chunk in request.content.iter_chunked(_CHUNK):
                await spool.write(chunk)
            stored = await spool.commit()
        mail = MailSubmission(
            message=self._do.ids.id("msg"),
            principal=principal,
            sender=sender,
            recipients=recipients,
            file=stored,
            message_id=request.query.get("message_id", "")[:MAX_LINE],
            subject=request.query.get("subject", "")[:MAX_LINE],
            auto_submitted=False,
            received_at=self._do.clock(),
        )
        receipt = await self._do.submissions.submit_mail(mail)
        if isinstance(receipt, Rejection):
            refused = web.HTTPServiceUnavailable if receipt.code < 500 else web.HTTPUnprocessableEntity
            raise refused(text=receipt.text)
        return web.json_response({"message": receipt.message, "duplicate_of": receipt.duplicate_of}, status=202)


def _content(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


@web.middleware
async def _answer_errors(request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
    try:
        answer: web.StreamResponse = await handler(request)
    except web.HTTPException as exc:
        return web.json_response({"error": exc.text}, status=exc.status)
    except FaxError as exc:
        log.warning("request failed", extra={"event": "control.failed", "why": str(exc)})
        return web.json_response({"error": exc.public}, status=503 if exc.temporary else 422)
    except ValueError as exc:
        return web.json_response({"error": f"bad request: {exc}"}, status=400)
    return answer
