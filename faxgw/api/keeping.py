"""Archive, holds, purge, audit and junk over HTTP, beside the accounts interface (docs/archive.md, docs/audit.md).

An operator does all of it; a customer's administrator (scope `admin`) searches and exports the own archive, reads the
own audit and judges the own received faxes. Whoever reads is recorded before anything leaves.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol  # Any: JSON, the dispatch's values

from aiohttp import web

from faxgw.api import admin_answers as answers
from faxgw.api import admin_models as models
from faxgw.api import admin_queries as queries
from faxgw.api.administration import Office, Row, document_of, reader_of, require_operator, told, way_of, whole
from faxgw.api.answers import Refusal
from faxgw.api.http import Ground, read_body
from faxgw.fax.access import Caller, Scope
from faxgw.store import archive_book, audit, holds, junk, purge
from faxgw.store.archive_book import Wanted
from faxgw.store.audit import Anchor, Broken, Verifier
from faxgw.store.holds import Hold

MAX_REQUEST = 10_000
"""Octets of a request."""
MAX_ANCHORS = 10_000
"""Anchors of one verification: a day's each for 27 years."""
MAX_ANCHOR_FILE = 1_000_000
"""Octets of them."""
_ANCHOR = re.compile(r"(?:[0-9]+ )?([0-9]{1,18}):([0-9a-f]{64})")


class Purges(Protocol):
    """Purges now (the dispatch's)."""

    async def run(self) -> Any:
        """All that is due; `documents`, `faxes`, `files`, `rows`, `held`."""
        ...


class Exports(Protocol):
    """Exports the archive (the dispatch's)."""

    def stream(self, wanted: Wanted, who: str, way: str) -> AsyncIterator[bytes]:
        """A ZIP file in pieces."""
        ...


class KeepingRoutes(Office):
    """The interface.

    Args:
        ground: What it stands on.
        purges: Purges now.
        exports: Exports.
    """

    tag = "Keeping"

    def __init__(self, ground: Ground, purges: Purges, exports: Exports) -> None:
        super().__init__(ground)
        self._purges = purges
        self._exports = exports

    def rows(self) -> Sequence[Row]:
        """Every route."""
        boss: Any = {"operator": True}
        text: Any = {"octets": "text/plain", "may_lack_body": True}
        return [
            Row("GET", "/archive", self.search, query=queries.SearchPart, answer=answers.ArchiveFound,
                name="searchArchive"),
            Row("GET", "/archive/export", self.export, query=queries.Search, media="application/zip",
                name="exportArchive"),
            Row("GET", "/purge", self.due, answer=answers.PurgePlan, name="showPurge", **boss),
            Row("POST", "/purge", self.purge, answer=answers.PurgeDone, **boss),
            Row("GET", "/holds", self.list_holds, query=queries.Everything, answer=answers.Holds, **boss),
            Row("POST", "/holds", self.hold, body=models.HoldNew, answer=answers.HoldMade, status=201,
                name="setHold", **boss),
            Row("POST", "/holds/{hold}/lift", self.lift, body=models.HoldLift, answer=answers.HoldLifted,
                name="liftHold", **boss),
            Row("GET", "/audit", self.list_audit, query=queries.AuditPart, answer=answers.AuditRecords),
            Row("GET", "/audit/anchor", self.anchor, answer=answers.AuditAnchor, name="getAuditAnchor", **boss),
            Row("POST", "/audit/verify", self.verify, MAX_ANCHOR_FILE, answer=answers.AuditVerified,
                name="verifyAudit", **text, **boss),
            Row("GET", "/junk", self.list_junk, query=queries.JunkPart, answer=answers.JunkList),
            Row("POST", "/junk/{reception}/{verdict}", self.judge, answer=answers.JunkJudged, name="judgeFax"),
        ]  # fmt: skip

    # ----------------------------------------------------------------------------------------------------- archive

    async def search(self, request: web.Request, caller: Caller) -> web.Response:
        """Faxes by customer, number, period, reference or what was read on them; `after` is the `next` of before."""
        wanted = _wanted(request, caller)
        at, _, last = request.query.get("after", "0:").partition(":")
        limit = whole(request, "limit", 100)
        after = (_seconds("after", at), last)
        found = await self._ground.store.read(partial(archive_book.search, wanted=wanted, after=after, limit=limit))
        answer: dict[str, Any] = {"faxes": [_fax(one) for one in found], "next": None}
        if found and len(found) == min(limit, archive_book.MAX_FOUND):
            at_, ident = archive_book.pages(found)
            answer["next"] = f"{at_!r}:{ident}"
        return web.json_response(answer)

    async def export(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """The same with documents, as a ZIP file."""
        wanted = _wanted(request, caller)
        answer = web.StreamResponse(
            headers={
                "Content-Type": "application/zip",
                "Content-Disposition": 'attachment; filename="archive.zip"',
                "X-Content-Type-Options": "nosniff",
            }
        )
        await answer.prepare(request)
        async for piece in self._exports.stream(wanted, reader_of(request, caller), way_of(caller)):
            await answer.write(piece)
        await answer.write_eof()
        return answer

    # ------------------------------------------------------------------------------------------------ purge, holds

    async def due(self, request: web.Request, caller: Caller) -> web.Response:
        """What a purge would do now; nothing is done."""
        require_operator(caller)
        now = self._ground.clock()
        while await self._ground.store.run(purge.reckon):
            pass
        found = await self._ground.store.read(partial(purge.due, now=now))
        kept = await self._ground.store.read(purge.kept)
        return web.json_response({"due": [asdict(one) for one in found], "kept": kept})

    async def purge(self, request: web.Request, caller: Caller) -> web.Response:
        """Purge what is due, now."""
        require_operator(caller)
        return web.json_response(asdict(await self._purges.run()))

    async def list_holds(self, request: web.Request, caller: Caller) -> web.Response:
        """Holds in force; with `all=1` those that were lifted, too."""
        require_operator(caller)
        everything = request.query.get("all") == "1"
        found = await self._ground.store.read(partial(holds.listed, everything=everything))
        return web.json_response({"holds": list(found)})

    async def hold(self, request: web.Request, caller: Caller) -> web.Response:
        """Set a hold: `customer`, `number`, `entity`, `since`, `until`, and a `reason`."""
        require_operator(caller)
        new, now = await document_of(request, models.HoldNew, MAX_REQUEST), self._ground.clock()
        since, until = _time("since", new.since), _time("until", new.until)
        made = Hold(self._ident("hld"), new.customer, new.number, new.entity, since, until, new.reason)
        await told(
            self._ground.store.run(partial(holds.put, hold=made, who=reader_of(request, caller), now=now)), "invalid"
        )
        return web.json_response(asdict(made), status=201)

    async def lift(self, request: web.Request, caller: Caller) -> web.Response:
        """Lift a hold: `reason`."""
        require_operator(caller)
        why = (await document_of(request, models.HoldLift, MAX_REQUEST)).reason
        ident, who, now = request.match_info["hold"], reader_of(request, caller), self._ground.clock()
        await told(self._ground.store.run(partial(holds.lift, ident=ident, why=why, who=who, now=now)), "invalid")
        return web.json_response({"lifted": ident})

    # ------------------------------------------------------------------------------------------------------- audit

    async def list_audit(self, request: web.Request, caller: Caller) -> web.Response:
        """Records by `fax`, `who`, `customer`, `since`, `until`; `after` is the number of the last one seen."""
        query = request.query
        found = await self._ground.store.read(
            partial(
                audit.listed,
                after=whole(request, "after", 0),
                entity=query.get("fax", ""),
                who=query.get("who_did", ""),
                customer=_customer(request, caller),
                since=_time("since", query.get("since")) or 0.0,
                until=_time("until", query.get("until")) or 0.0,
                limit=whole(request, "limit", 100),
                newest=query.get("newest") == "1",
            )
        )
        return web.json_response({"records": [asdict(one) for one in found]})

    async def anchor(self, request: web.Request, caller: Caller) -> web.Response:
        """Number and hash of the newest record, to be kept elsewhere."""
        require_operator(caller)
        found = await self._ground.store.read(audit.anchor)
        return web.json_response({"anchor": str(found), **asdict(found)})

    async def verify(self, request: web.Request, caller: Caller) -> web.Response:
        """Check the chain; the body names anchors, one a line, as they were written down."""
        require_operator(caller)
        text = (await read_body(request, MAX_ANCHOR_FILE)).decode("ascii", "replace")
        verifier = Verifier(_anchors(text))
        while (found := await self._ground.store.read(verifier.look)) is True:
            pass
        broken = asdict(found) if isinstance(found, Broken) else None
        return web.json_response({"ok": broken is None, "checked": verifier.checked, "broken": broken})

    # -------------------------------------------------------------------------------------------------------- junk

    async def list_junk(self, request: web.Request, caller: Caller) -> web.Response:
        """Received faxes that are set aside; with `all=1` every one that was judged."""
        found = await self._ground.store.read(
            partial(
                junk.listed,
                customer=_customer(request, caller),
                everything=request.query.get("all") == "1",
                limit=whole(request, "limit", 100),
            )
        )
        return web.json_response({"faxes": list(found)})

    async def judge(self, request: web.Request, caller: Caller) -> web.Response:
        """Say of a received fax that it is junk, or that it is none: then it is delivered, if it was set aside."""
        reception, said = request.match_info["reception"], request.match_info["verdict"]
        if said not in set(junk.Verdict):
            raise Refusal.missing()
        verdict = junk.Verdict(said)
        settled = partial(
            junk.settle,
            reception=reception,
            verdict=verdict,
            customer="" if caller.may(Scope.OPERATOR) else caller.customer,
            who=reader_of(request, caller),
            now=self._ground.clock(),
        )
        state = await told(self._ground.store.run(settled), "invalid")
        return web.json_response({"fax": reception, "state": state})


# ------------------------------------------------------------------------------------------------------------- who


def _customer(request: web.Request, caller: Caller) -> str:
    """Whose: an administrator sees the own customer alone."""
    return request.query.get("customer", "") if caller.may(Scope.OPERATOR) else caller.customer


# ------------------------------------------------------------------------------------------------------------ values


def _wanted(request: web.Request, caller: Caller) -> Wanted:
    query = request.query
    return Wanted(
        customer=_customer(request, caller),
        number=query.get("number", ""),
        since=_time("since", query.get("since")) or 0.0,
        until=_time("until", query.get("until")) or 0.0,
        reference=query.get("reference", "")[:256],
        text=query.get("text", "")[:256],
    )


def _fax(one: archive_book.Found) -> Mapping[str, Any]:
    documents = [name for name, _file in one.documents]
    facts = {"id": one.id, "direction": one.direction, "customer": one.customer, "at": one.at}
    return {**facts, **one.facts, "documents": documents}


def _seconds(name: str, given: str) -> float:
    if not re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", given):
        raise Refusal(422, f"{name} is not what was answered before.", code="invalid", param=name)
    return float(given)


def _time(name: str, given: object) -> float | None:
    """Unix seconds, or a date or time as in RFC 3339; a time without a zone is UTC."""
    if given is None or given == "":
        return None
    text = str(given)
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", text):
        return float(text)
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as exc:
        raise Refusal(422, f"{name} must be a date such as 2026-11-22.", code="invalid", param=name) from exc


def _anchors(text: str) -> Sequence[Anchor]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    found = [_ANCHOR.fullmatch(line) for line in lines[:MAX_ANCHORS]]
    if len(lines) > MAX_ANCHORS or not all(found):
        raise Refusal(422, "An anchor is NUMBER:HASH, one a line.", code="invalid", param="anchors")
    return [Anchor(int(one[1]), one[2]) for one in found if one is not None]
