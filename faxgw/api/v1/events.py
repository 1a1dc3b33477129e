"""Events: of one fax, and of all of them as server-sent events (WHATWG HTML section 9.2) that can be resumed.

A stream reads the journal from the serial it has told last, so a slow client costs nobody anything and one that comes
again with Last-Event-ID misses nothing. One look a moment at the newest serial wakes all streams.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any  # Any: JSON

from aiohttp import web
from pydantic import Field

from faxgw.api.answers import Refusal
from faxgw.api.http import Ground, client_address
from faxgw.api.v1 import patterns
from faxgw.api.v1.faxes import READ, find, view_of
from faxgw.api.v1.problems import of_code
from faxgw.api.v1.table import Call, Operation, Outcome, Reply
from faxgw.api.v1.types import Answer, Moment, Query, Whole, shown
from faxgw.fax.access import Caller, Interface
from faxgw.store import event_feed
from faxgw.store.errors import StoreError
from faxgw.store.event_feed import FeedEvent
from faxgw.store.journal import ACCOUNTS_TOPIC

LOOK_EVERY_S = 0.5
"""Seconds between looks at the journal while somebody listens."""
HEARTBEAT_S = 15.0
"""Seconds of silence after which a comment is sent, for proxies and for us to notice who has gone."""
MAX_STREAM_S = 3_600.0
"""Seconds after which a stream ends; clients come again by themselves."""
RECHECK_S = 30.0
"""Seconds after which it is asked again whether the credentials of a stream hold, when no account was changed: those
that ended by themselves. After a change it is asked at the next look."""
MAX_STREAMS = 10
"""Streams of one account at the same time."""
MAX_ALL_STREAMS = 500
"""Streams of all accounts."""
BATCH = 200
"""Events in one query."""
MAX_OF_FAX = 500
"""Events of one fax in one answer; of more the newest."""
RETRY_MS = 3_000
"""Milliseconds after which clients reconnect."""

log = logging.getLogger(__name__)


class Event(Answer):
    """Something that happened to a fax or job."""

    id: str
    """Counts up; the `Last-Event-ID` to go on from."""
    type: str
    """`fax.sent`, `received.complete`, …: a fax's new state, or what happened."""
    at: Moment
    fax: str | None
    job: str | None
    data: dict[str, Any]
    """`cause`, `reason`, `until`, `page`, `pages`, where there is such."""


class FaxEvents(Answer):
    """What happened to a fax, oldest first."""

    events: list[Event]


class StreamQuery(Query):
    """Where a stream begins."""

    after: Annotated[int, Field(ge=0, le=10**15), Whole] | None = None
    """For clients that cannot send `Last-Event-ID`: the id of the last event they have."""


class Events:
    """Serves events.

    Args:
        ground: Store, clock.
        lifetime: Seconds after which a stream ends.
    """

    def __init__(self, ground: Ground, lifetime: float = MAX_STREAM_S) -> None:
        self._ground = ground
        self._lifetime = lifetime
        self._streams: Counter[str] = Counter()
        self._newest = 0
        self._moved = asyncio.Event()
        self._changed = ground.store.listen(ACCOUNTS_TOPIC)
        self._changes = 0
        """Looks that found that accounts had been changed."""
        self._wanted = asyncio.Event()

    def operations(self) -> Sequence[Operation]:
        """Their rows."""
        return (
            Operation(
                "listFaxEvents", "GET", "/faxes/{fax}/events", "Faxes", "What happened to a fax", self.of_fax, READ,
                (Outcome(200, "Its events, oldest first; of more than 500 the newest.", FaxEvents),),
            ),
            Operation(
                "streamEvents", "GET", "/events", "Events", "Follow everything as it happens", self.stream, READ,
                (Outcome(200, "Server-sent events; `data` is an Event as JSON.", Event, media=("text/event-stream",)),),
                doc="Each message has an `id`. A client that comes again with `Last-Event-ID` misses nothing. Without "
                "one, or with one that has not come yet, the stream begins now, with a message `ready` that tells "
                "where. A comment every 15 seconds shows that it lives; it ends after an hour.",
                query=StreamQuery,
                headers={
                    "Last-Event-ID": (
                        "Id of the last event that came.",
                        {"type": "string", "pattern": patterns.EVENT_ID},
                    )
                },
                problems=("too_many_streams",),
            ),
        )  # fmt: skip

    async def of_fax(self, call: Call) -> Reply:
        """GET /faxes/{fax}/events."""
        fax = await find(self._ground, call)
        found = await self._ground.view(call.caller).read(
            event_feed.of_fax, view_of(call.caller), fax.id, limit=MAX_OF_FAX
        )
        return Reply(FaxEvents(events=[told(event) for event in found]))

    # ------------------------------------------------------------------------------------------------------ streams

    async def watch_for_ever(self) -> None:
        """Look at the journal while there are streams, and wake them when there is something new."""
        while True:
            await self._wanted.wait()
            try:
                newest = await self._ground.store.read(partial(event_feed.settled, now=self._ground.clock()))
            except StoreError as exc:
                log.warning("events not read", extra={"event": "feed.failed", "why": str(exc)})
                newest = self._newest
            if newest != self._newest or self._changed.is_set():
                self._newest = newest
                self._changes += self._changed.is_set()
                self._changed.clear()
                done, self._moved = self._moved, asyncio.Event()
                done.set()
            await asyncio.sleep(LOOK_EVERY_S)

    async def stream(self, call: Call) -> web.StreamResponse:
        """GET /events."""
        last = self._begin(call)
        account = call.caller.customer
        if self._streams[account] >= MAX_STREAMS or self._streams.total() >= MAX_ALL_STREAMS:
            text = f"An account may have {MAX_STREAMS} event streams at the same time."
            raise of_code("too_many_streams", text, headers={"Retry-After": "60"})
        self._streams[account] += 1
        self._wanted.set()
        try:
            return await self._serve(call, last)
        finally:
            self._streams[account] -= 1
            if not self._streams[account]:
                del self._streams[account]
            if not self._streams:
                self._wanted.clear()

    async def _still(self, call: Call) -> bool:
        """Whether the caller may still hear what he heard at the beginning; if not, he may come again and be told."""
        access, caller = self._ground.access, call.caller
        try:
            if caller.login:
                return (await access.holds([caller], Interface.API))[0]
            address = client_address(call.request, self._ground.proxies)
            found = await access.caller(call.request, address, Interface.API, "")
        except Refusal:
            return False
        except StoreError:
            return True  # nobody can tell: it is asked again
        return isinstance(found, Caller) and view_of(found) == view_of(caller)

    def _begin(self, call: Call) -> int | None:
        """The serial to go on from; None: from now."""
        given = call.request.headers.get("Last-Event-ID")
        if given is None:
            query: StreamQuery = call.query
            return query.after
        if not (given.isascii() and given.isdecimal() and len(given) <= 15):
            raise of_code("invalid", "Last-Event-ID must be the id of an event.", param="Last-Event-ID")
        return int(given)

    async def _serve(self, call: Call, last: int | None) -> web.StreamResponse:
        store, view = self._ground.view(call.caller), view_of(call.caller)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        greeting = f"retry: {RETRY_MS}\n\n"
        if last is not None and last > await self._ground.store.read(event_feed.newest):
            last = None  # an id of another gateway: waiting for it would be silence
        if last is None:
            last = await self._ground.store.read(partial(event_feed.settled, now=self._ground.clock()))
            greeting = f"retry: {RETRY_MS}\nid: {last}\nevent: ready\ndata: {{}}\n\n"
        now = asyncio.get_running_loop().time
        ends, check_at, changes = now() + self._lifetime, now() + RECHECK_S, self._changes
        with contextlib.suppress(ConnectionError):  # the client has gone, which is how most streams end
            await response.prepare(call.request)
            await response.write(greeting.encode())
            while (left := ends - now()) > 0:
                if now() >= check_at or changes != self._changes:
                    check_at, changes = now() + RECHECK_S, self._changes
                    if not await self._still(call):
                        break
                moved = self._moved
                found, following = await store.read(event_feed.after, view, last, now=self._ground.clock(), limit=BATCH)
                if found:
                    await response.write("".join(map(message, found)).encode())
                if following > last:
                    last = following
                    continue
                try:
                    await asyncio.wait_for(moved.wait(), min(left, HEARTBEAT_S))
                except TimeoutError:
                    await response.write(b":\n\n")
            await response.write_eof()
        return response


def message(event: FeedEvent) -> str:
    """An event as it goes over the wire."""
    return f"id: {event.serial}\nevent: {event.kind}\ndata: {told(event).model_dump_json()}\n\n"


def told(event: FeedEvent) -> Event:
    """An event as a document."""
    data = dict(event.data)
    if isinstance(data.get("until"), int | float):
        data["until"] = shown(data["until"])
    return Event(
        id=str(event.serial),
        type=event.kind,
        at=shown(event.at),
        fax=None if event.kind.startswith("job.") else event.entity,
        job=event.job or None,
        data=data,
    )
