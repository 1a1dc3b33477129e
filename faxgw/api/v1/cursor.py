"""Cursors: where a list goes on. Opaque for clients; a cursor fits the filters it was made with and no others.

A cursor names the last thing that was told, by its time and id, so that what comes in meanwhile moves nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import Annotated

from pydantic import Field

from faxgw.api.v1 import patterns
from faxgw.api.v1.problems import of_code
from faxgw.api.v1.types import Query

Cursor = Annotated[str, Field(pattern=patterns.CURSOR, description="`next` of the page before.")]
Place = tuple[float, str]
"""Time and id of the last thing told."""


def _print_of(query: Query) -> str:
    """Of the filters, without what pages through them."""
    filters = query.model_dump(mode="json", exclude={"cursor", "limit"}, exclude_defaults=True)
    return hashlib.sha256(json.dumps(filters, sort_keys=True).encode()).hexdigest()[:12]


def encode(place: Place, query: Query) -> str:
    """The cursor that goes on after a place."""
    text = json.dumps([place[0], place[1], _print_of(query)], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(cursor: str | None, query: Query) -> Place | None:
    """Where to go on; None: at the beginning.

    Raises:
        Refusal: If it is none, or one of other filters.
    """
    if cursor is None:
        return None
    try:
        at, ident, filters = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error, TypeError):
        at, ident, filters = None, "", ""
    good = isinstance(at, int | float) and isinstance(ident, str) and filters == _print_of(query)
    if not good or len(ident) > 48:
        raise of_code("unknown_cursor", "This cursor is none of this list with these filters.", param="cursor")
    return float(at), ident
