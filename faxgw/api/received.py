"""Received faxes on the operator's socket: the list, and the document of one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

from aiohttp import web
from sqlalchemy import Connection

from faxgw.fax.ports import StoredFile
from faxgw.store import lookup, routing
from faxgw.store.engine import Store
from faxgw.store.files import Files
from faxgw.store.receptions import row_of

DEFAULT_LISTED = 50
"""Received faxes in one answer unless asked for more."""


class ReceivedFaxes:
    """Lists received faxes and hands out their PDF.

    Args:
        store: Where their rows are.
        files: Where their documents lie.
    """

    def __init__(self, store: Store, files: Files) -> None:
        self._store = store
        self._files = files

    def routes(self) -> Sequence[web.RouteDef]:
        """For the operator's application."""
        return [web.get("/receptions", self._list), web.get("/document/{ident}", self._document)]

    async def _list(self, request: web.Request) -> web.Response:
        limit = max(1, min(int(request.query.get("limit", DEFAULT_LISTED)), routing.MAX_LISTED))
        everything = request.query.get("all") == "1"
        rows = await self._store.read(lambda conn: routing.inbox(conn, limit=limit, everything=everything))
        return web.json_response({"receptions": rows})

    async def _document(self, request: web.Request) -> web.Response:
        """The PDF of a received fax."""
        ident = request.match_info["ident"]
        reception = await self._store.read(lambda conn: lookup.reception_id(conn, ident))
        file = None if reception is None else await self._store.read(lambda conn: _document_of(conn, reception))
        if file is None:
            raise web.HTTPNotFound(text=f"There is no document of a received fax {ident}.")
        descriptor = await self._files.open_read(file)
        try:
            body = await asyncio.to_thread(os.pread, descriptor, file.size, 0)
        finally:
            os.close(descriptor)
        return web.Response(body=body, content_type="application/pdf")


def _document_of(conn: Connection, reception: str) -> StoredFile | None:
    row = row_of(conn, reception)
    if row.document_key is None:
        return None
    return StoredFile(row.document_key, row.document_sha256, row.document_size)
