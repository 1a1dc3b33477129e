"""What a fax of the queue looks like and will take: values, and the port that interfaces are given. Pure.

A preview is the composed bitmap itself. Of a fax that was called it is the file of its newest call, exactly what went
over the line; of one that waits it is what would go out now, header line, cover, letterhead and marks included.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol  # Any: JSON

from faxgw.fax.prediction import Prediction
from faxgw.fax.resolution import Resolution

MAX_PAGES = 50
"""Pages of one answer at most."""


@dataclass(frozen=True, slots=True)
class PreviewedPage:
    """One page."""

    page: int
    """From 1, of the whole fax."""
    rows: int
    octets: int
    """As coded (ITU-T T.6), header line included."""
    seconds: float
    """Of its data on the line at the expected rate."""
    png: bytes = b""
    """One bit a pixel, square pixels; empty where no pictures were asked for."""


@dataclass(frozen=True, slots=True)
class Preview:
    """Some pages of a fax, and what all of it takes."""

    fax: str
    state: str
    attempt: str
    """The call whose file it is; empty: nothing was composed for a call yet, this is how it would go out now."""
    composed_at: float
    """Unix seconds: the time that the header lines print."""
    resolution: Resolution
    first: int
    """First page that the call sends, or would send; those before it are confirmed."""
    expected: Prediction
    """For the pages from `first` on; of those that are not shown, by what was counted when they were made."""
    known: str
    """What the rate rests on: `this far end`, or `nothing`, for nothing is known of it."""
    pages: tuple[PreviewedPage, ...]

    @property
    def is_final(self) -> bool:
        """Whether these pages went over the line, or are just doing so."""
        return bool(self.attempt)

    def to_json(self) -> Mapping[str, Any]:
        """Plain; pictures are left out."""
        expected = self.expected
        pages = [
            {"page": page.page, "rows": page.rows, "octets": page.octets, "seconds": round(page.seconds, 1)}
            for page in self.pages
        ]
        return {
            "fax": self.fax,
            "state": self.state,
            "attempt": self.attempt,
            "as": "sent" if self.is_final else "it would go out now",
            "composed_at": self.composed_at,
            "resolution": self.resolution.value,
            "first_page": self.first,
            "pages": pages,
            "expected": {
                "pages": expected.pages,
                "octets": expected.octets,
                "rate": expected.rate,
                "seconds": round(expected.seconds, 1),
                "billed_pages": expected.billed_pages,
                "billed_units": expected.billed_units,
                "known": self.known,
            },
        }


class Previews(Protocol):
    """Shows faxes of the queue (implemented by `dispatch.preview`)."""

    async def preview(self, fax: str, page: int | None = None, *, pictures: bool = True) -> Preview:
        """Pages of a fax: one, or the first MAX_PAGES.

        Args:
            fax: Its id.
            page: The page, from 1; None: from the first page on. With `None`, pictures are made of MAX_PAGES pages.
            pictures: With PNG.

        Raises:
            Refused: If the fax has no pages yet, or not that one.
            FaxError: If they cannot be made now.
        """
        ...
