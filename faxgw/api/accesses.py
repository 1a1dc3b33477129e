"""Who reads which document, written down before its first octet leaves (docs/audit.md, features H5).

On the operator's socket a middleware does it, for every route that hands out pages; the interfaces with logins call
`record` where they have found the fax.
"""

from __future__ import annotations

import pwd
import re
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from aiohttp import web
from aiohttp.typedefs import Middleware
from sqlalchemy import Connection

from faxgw.fax.errors import Refused
from faxgw.store import audit, lookup
from faxgw.store.engine import Store

DOCUMENT, PAGES, PREVIEW, RECORDING = "document.read", "pages.read", "preview.read", "recording.read"
TEXT = "text.read"
"""What was read on a received fax, or taken out of it."""
_HANDED_OUT = (
    (re.compile(r"/document/([^/]+)"), DOCUMENT),
    (re.compile(r"/tiff/([^/]+)"), PAGES),
    (re.compile(r"/preview/([^/]+)/[0-9]+"), PREVIEW),
    (re.compile(r"/recordings/([^/]+)"), RECORDING),
)
"""Paths of the operator's socket by which content leaves, and what that is."""


async def record(
    store: Store,
    what: str,
    entity: str,
    *,
    who: str,
    way: str,
    now: float,
    customer: str = "",
    data: Mapping[str, object] | None = None,
) -> None:
    """Write an access down; it has happened for the audit when this returns.

    Args:
        store: Where the audit is.
        what: DOCUMENT and so on.
        entity: The fax.
        who: Login, token, or user of this machine.
        way: By which interface.
        now: Unix seconds.
        customer: Whose fax it is.
        data: Which page or file of it.

    Raises:
        StoreError: If it cannot be written: then nothing may be handed out.
    """
    await store.run(
        partial(audit.write, what=what, entity=entity, who=who, way=way, now=now, customer=customer, data=data)
    )


def on_the_socket(store: Store, clock: Callable[[], float]) -> Middleware:
    """What writes down the accesses of the operator's socket."""

    @web.middleware
    async def written(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        answer = await handler(request)  # made, not sent: whole answers leave when the middleware has returned
        found = next(((match[1], what) for path, what in _HANDED_OUT if (match := path.fullmatch(request.path))), None)
        if found is not None and answer.status == web.HTTPOk.status_code and request.method == "GET":
            ident, what = found
            entity = await store.read(partial(_whole, ident=ident))
            who = peer(request) or "operator"
            await record(store, what, entity, who=who, way="cli", now=clock())
        return answer

    return written


def _whole(conn: Connection, ident: str) -> str:
    """The id that the beginning of one means."""
    try:
        return lookup.reception_id(conn, ident) or next(iter(lookup.fax_ids(conn, ident)), ident)
    except Refused:
        return ident


def peer(request: web.Request) -> str:
    """The user at the other end of a Unix socket, as the kernel says; empty on other sockets."""
    connection = request.transport.get_extra_info("socket") if request.transport is not None else None
    if connection is None or connection.family != socket.AF_UNIX:
        return ""
    _pid, uid, _gid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    try:
        return f"user:{pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"user:{uid}"
