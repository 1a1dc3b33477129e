"""The calls of a fax: what each came to, and its T.30 ladder as JSON or as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal  # Any: rows

from aiohttp import web

from faxgw.api.answers import Refusal
from faxgw.api.http import Ground
from faxgw.api.v1.faxes import READ, find
from faxgw.api.v1.table import Call, Operation, Outcome, Reply
from faxgw.api.v1.types import Answer, Moment, Query, shown, shown_or_none
from faxgw.fax.outcome import Cause
from faxgw.formats import ladder, ladder_svg
from faxgw.store import fax_book
from faxgw.store.fax_book import BookedFax

_KINDS = frozenset({ladder.Kind.FRAME, ladder.Kind.DATA, ladder.Kind.FOLD})
"""What is shown of a call: its T.30 frames and pages. SIP and notes name hosts of ours."""
SVG_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"


class Attempt(Answer):
    """A call of a fax; of a received one the call that it came by."""

    id: str
    number: str
    """Dialled, or the caller's."""
    started_at: Moment
    answered_at: Moment | None
    ended_at: Moment | None
    """null: it is in progress."""
    cause: Cause | None
    detail: str
    """What it came to, in a sentence."""
    first_page: int
    """Of the pages that it was to send."""
    last_page: int
    pages_confirmed: int
    """In this call."""
    transport: Literal["t38", "g711"] | None
    bit_rate: int
    ecm: bool
    encoding: str
    station_id: str


class Attempts(Answer):
    """The calls of a fax, oldest first."""

    attempts: list[Attempt]


class LadderEntry(Answer):
    """One line of a ladder."""

    at: float
    """Seconds since the call began."""
    until: float | None
    """Of page data: its end."""
    way: Literal[">", "<", "="]
    """`>` from us, `<` from the far end."""
    kind: Literal["frame", "data", "fold"]
    """A T.30 frame, the data of a page, or entries that are not shown."""
    name: str
    """Of a frame: `DIS`, `DCS`, …"""
    words: str
    page: int | None
    octets: int | None
    answer: str | None
    """Of page data: what became of it."""


class CallLadder(Answer):
    """The T.30 ladder of a call."""

    attempt: str
    seconds: float
    verdict: str
    entries: list[LadderEntry]


class LadderQuery(Query):
    """How a ladder is wanted."""

    format: Literal["json", "svg"] = "json"


class Calls:
    """Serves calls.

    Args:
        ground: The store.
    """

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def operations(self) -> Sequence[Operation]:
        """Their rows."""
        return (
            Operation(
                "listAttempts", "GET", "/faxes/{fax}/attempts", "Faxes", "The calls of a fax", self.list, READ,
                (Outcome(200, "Its calls, oldest first.", Attempts),),
            ),
            Operation(
                "getLadder", "GET", "/faxes/{fax}/attempts/{attempt}/ladder", "Faxes", "The T.30 ladder of a call",
                self.ladder, READ, (Outcome(200, "Its frames and pages.", CallLadder, media=("image/svg+xml",)),),
                doc="What the two machines said to one another, with times; as a picture with `format=svg`.",
                query=LadderQuery,
            ),
        )  # fmt: skip

    async def list(self, call: Call) -> Reply:
        """GET /faxes/{fax}/attempts."""
        fax = await find(self._ground, call)
        if fax.received:
            row = await self._ground.store.read(lambda conn: fax_book.reception(conn, fax.id))
            return Reply(Attempts(attempts=[_reception(fax, row)]))
        rows = await self._ground.store.read(lambda conn: fax_book.attempts(conn, fax.id))
        return Reply(Attempts(attempts=[_attempt(row) for row in rows]))

    async def ladder(self, call: Call) -> Reply | web.Response:
        """GET /faxes/{fax}/attempts/{attempt}/ladder."""
        fax, wanted = await find(self._ground, call), call.path["attempt"]
        if fax.received:
            row = await self._ground.store.read(lambda conn: fax_book.reception(conn, fax.id))
            found, first = (row, 1) if fax.id == wanted else (None, 1)
        else:
            rows = await self._ground.store.read(lambda conn: fax_book.attempts(conn, fax.id))
            found = next((row for row in rows if row.id == wanted), None)
            first = found.first_page if found is not None else 1
        if found is None:
            raise Refusal.missing()
        read = ladder.read(found.trace, first)
        whole = ladder.Ladder(tuple(entry for entry in read.entries if entry.kind in _KINDS), read.total)
        verdict = ladder.verdict(found.outcome, Cause(found.cause).facts.text if found.cause else "")
        query: LadderQuery = call.query
        if query.format == "svg":
            title = f"{fax.id}: call {'from' if fax.received else 'to'} {fax.number or 'an unknown number'}"
            picture = ladder_svg.svg(whole, title, verdict)
            return web.Response(
                text=picture, content_type="image/svg+xml", headers={"Content-Security-Policy": SVG_POLICY}
            )
        entries = [_entry(entry) for entry in whole.entries]
        return Reply(CallLadder(attempt=wanted, seconds=read.total, verdict=verdict, entries=entries))


def _entry(entry: ladder.Entry) -> LadderEntry:
    data = entry.kind is ladder.Kind.DATA
    return LadderEntry(
        at=round(entry.at, 3),
        until=round(entry.until, 3) if entry.until else None,
        way=entry.way if entry.way in (">", "<") else "=",  # type: ignore[arg-type]
        kind=entry.kind.value,  # type: ignore[arg-type]
        name=entry.name,
        words=entry.words,
        page=entry.page or None,
        octets=entry.octets if data else None,
        answer=None if entry.answer is None else entry.answer.value,
    )


def _transport(outcome: Mapping[str, Any]) -> Any:
    return outcome.get("transport") if outcome.get("transport") in ("t38", "g711") else None


def _attempt(row: Any) -> Attempt:
    """A call of ours."""
    return Attempt(
        id=row.id,
        number=row.number,
        started_at=shown(row.planned_at),
        ended_at=shown_or_none(row.done_at),
        first_page=row.first_page,
        last_page=row.last_page,
        pages_confirmed=max(0, row.confirmed - row.first_page + 1),
        station_id=str((row.outcome or {}).get("remote_ident", "")),
        **_ended(row),
    )


def _reception(fax: BookedFax, row: Any) -> Attempt:
    """The call by which a fax came."""
    return Attempt(
        id=fax.id,
        number=fax.number,
        started_at=shown(row.started_at),
        ended_at=shown_or_none(row.ended_at),
        first_page=1,
        last_page=fax.pages,
        pages_confirmed=fax.confirmed,
        station_id=fax.ident,
        **_ended(row),
    )


def _ended(row: Any) -> dict[str, Any]:
    """How a call went, whoever placed it."""
    outcome = row.outcome or {}
    cause = Cause(row.cause) if row.cause else None
    return {
        "answered_at": shown_or_none(row.answered_at),
        "cause": cause,
        "detail": cause.facts.text if cause else "",
        "transport": _transport(outcome),
        "bit_rate": outcome.get("bit_rate", 0),
        "ecm": outcome.get("ecm", False),
        "encoding": str(outcome.get("encoding", "")),
    }
