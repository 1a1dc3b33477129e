"""The vendor's polling interface for received faxes, `/faxin/rest/v1` (docs/deliveries.md).

`POST /topics/{topic}` hands out faxes and acknowledges those named by `ids`; `GET /files/{name}` is a document. What
is handed out is hidden for `timeout` seconds and comes back unless it is acknowledged. Names within `meta` but `next`
and `exit`, and the fields of a result but `id` and `documents[].url`, are not public and ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
from collections.abc import Sequence
from functools import partial
from typing import Any  # JSON
from urllib.parse import quote, urlencode

from aiohttp import web

from faxgw.api import accesses
from faxgw.api.answers import Refusal
from faxgw.api.http import Api, Ground, public_origin, read_body
from faxgw.fax.access import Caller, Interface, Scope
from faxgw.store import pulls
from faxgw.store.errors import ObjectDamaged, StoreError
from faxgw.store.files import Files
from faxgw.store.pulls import Waiting

BASE = "/faxin/rest/v1"
DEFAULT_FETCHED = 10
DEFAULT_HIDDEN_S = 60
"""Seconds that a fax which was handed out is hidden (the vendor's default)."""
MAX_HIDDEN_S = 86_400
MAX_IDS = 1_000
"""Faxes that one request acknowledges."""
IDS_AT_ONCE = 50
"""Faxes that one unit acknowledges: some 50 ms."""
SWEEP_S = 3_600.0
"""Seconds between two looks for faxes that are too old."""
_TOPIC = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_BETWEEN = re.compile(r"[,%\s]+")
"""Between ids. The vendor's Python client joins them with `%` where it fetches, with a comma where it acknowledges."""

log = logging.getLogger(__name__)


class FaxinApi:
    """Serves the polling interface.

    Args:
        ground: Store, files, who is asking.
    """

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """What is to be mounted."""
        api = Api(self._ground, Interface.REST)
        api.add("POST", f"{BASE}/topics/{{topic}}", self._poll, scope=Scope.INBOX_READ, tolerant=True)
        api.add("GET", f"{BASE}/files/{{name}}", self._file, scope=Scope.INBOX_READ, tolerant=True)
        return api.routes()

    async def _poll(self, request: web.Request, caller: Caller) -> web.Response:
        topic = request.match_info["topic"]
        if not _TOPIC.fullmatch(topic) or not _may(caller, topic):
            raise Refusal.missing("There is no such topic here.")
        await read_body(request)  # what stands in it means nothing
        limit = _count(request, "fetch", DEFAULT_FETCHED, pulls.MAX_FETCHED)
        hide = _count(request, "timeout", DEFAULT_HIDDEN_S, MAX_HIDDEN_S)
        ids = [one for one in _BETWEEN.split(request.query.get("ids", "")) if one]
        if len(ids) > MAX_IDS:
            raise Refusal(400, f"At most {MAX_IDS} faxes are acknowledged at once.", code="too_many", param="ids")
        now, store, customer = self._ground.clock(), self._ground.store, caller.customer
        done, found = 0, list[Waiting]()
        for first in range(0, len(ids), IDS_AT_ONCE):
            some = ids[first : first + IDS_AT_ONCE]
            done += await store.run(
                partial(pulls.acknowledge, customer=customer, topic=topic, pulls=some, now=now, who=caller.name)
            )
        if limit:
            found = await store.run(lambda conn: pulls.fetch(conn, customer, topic, limit=limit, hide=hide, now=now))
        base = f"{public_origin(request, self._ground)}{BASE}"
        again = f"{base}/topics/{quote(topic)}"
        handed = ",".join(one.id for one in found)
        meta = {
            "topic": topic,
            "fetch": limit,
            "timeout": hide,
            "acknowledged": done,
            "count": len(found),
            "next": _url(again, fetch=limit, timeout=hide, ids=handed),
            "exit": _url(again, fetch=0, timeout=hide, ids=handed),
        }
        return web.json_response({"meta": meta, "results": [_result(base, one) for one in found]})

    async def _file(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        name, now = request.match_info["name"], self._ground.clock()
        found = await self._ground.store.read(lambda conn: pulls.document(conn, caller.customer, name, now=now))
        if found is None or not _may(caller, found[0]):
            raise Refusal.missing("There is no such document, or it was removed after seven days.")
        _topic, document, reception = found
        try:
            descriptor = await self._ground.files.open_read(document.file)
        except ObjectDamaged as exc:
            raise Refusal(500, "The document is damaged.", code="damaged") from exc
        try:
            await accesses.record(
                self._ground.store, accesses.DOCUMENT, reception, who=caller.name, way="pull", now=now,
                customer=caller.customer, data={"file": document.name},
            )  # fmt: skip
        except BaseException:
            os.close(descriptor)
            raise
        # The vendor's client reads no answers of type text/plain or application/json as documents.
        kind = document.content_type.partition(";")[0]
        kind = "application/octet-stream" if kind in ("text/plain", "application/json") else kind
        headers = {"Content-Disposition": f'attachment; filename="{document.name}"'}
        answer = web.StreamResponse(headers=headers)
        answer.content_type, answer.content_length = kind, document.file.size
        try:
            await answer.prepare(request)
            at = 0
            while piece := await asyncio.to_thread(os.pread, descriptor, 262_144, at):
                await answer.write(piece)
                at += len(piece)
        finally:
            os.close(descriptor)
        await answer.write_eof()
        return answer


async def expire_for_ever(ground: Ground, files: Files) -> None:
    """Remove what is too old, as long as the gateway runs."""
    while True:
        try:
            while keys := await ground.store.run(lambda conn: pulls.expire(conn, now=ground.clock())):
                for key in keys:
                    with contextlib.suppress(StoreError, OSError):  # what stays is swept at the next start
                        await files.remove(key)
        except StoreError as exc:
            log.error("fetched faxes not removed", extra={"event": "faxin.expire", "why": str(exc)})
        except Exception:  # owner of the task
            log.exception("fetched faxes not removed", extra={"event": "faxin.expire"})
        await asyncio.sleep(SWEEP_S)


def _may(caller: Caller, topic: str) -> bool:
    """A customer's topics are for logins of the customer as a whole; a user's login has those of its own name."""
    own = (caller.user.rpartition("/")[2], caller.login)
    return bool(caller.customer) and (not caller.user or caller.may(Scope.ADMIN) or topic in own)


def _count(request: web.Request, name: str, default: int, most: int) -> int:
    text = request.query.get(name, "")
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise Refusal(400, f"{name} must be a whole number from 0 to {most}.", code="bad_request", param=name)
    return min(int(text), most)


def _url(base: str, **query: object) -> str:
    return f"{base}?{urlencode(query, safe=',')}"


def _result(base: str, one: Waiting) -> dict[str, Any]:
    return {
        "id": one.id,
        **one.told,
        "documents": [
            {
                "url": f"{base}/files/{quote(url_name)}",
                "name": document.name,
                "contentType": document.content_type,
                "size": document.file.size,
            }
            for url_name, document in one.documents
        ],
    }
