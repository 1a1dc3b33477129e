"""One HTTP request to a program of a customer's: posted where it was asked for, its answer read as far as it counts.

A redirect is not followed: what was posted could end up with somebody else. Names lead to no address of our own
network unless `[api] push_networks` says so (egress).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import aiohttp
from aiohttp import ClientMiddlewareType

from faxgw import __version__
from faxgw.egress import Egress, Forbidden

WITHIN = 30.0
"""Seconds for the whole request."""
MAX_ANSWER = 65_536
"""Octets of an answer that are read."""
MAX_WORDS = 200
"""Characters of an answer that are noted."""
GONE = 410
"""The receiver says that it will never be back (RFC 9110 section 15.5.11)."""
AGENT = f"faxgw/{__version__}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    """HTTP; 0: nothing did."""
    seconds: float
    """Until it did."""
    detail: str
    """For the log: `200 OK`, or why there was none; without secrets."""
    body: bytes = b""

    @property
    def good(self) -> bool:
        """The receiver has it."""
        return 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        """It never will."""
        return self.status == GONE


async def post(
    egress: Egress,
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    middlewares: Sequence[ClientMiddlewareType] = (),
    within: float = WITHIN,
) -> Answer:
    """Post something once.

    Args:
        egress: Who may be reached.
        url: Where.
        body: Octets.
        headers: Header fields; User-Agent is ours.
        middlewares: What answers challenges.
        within: Seconds for all of it.
    """
    begun = time.monotonic()

    def failed(why: str) -> Answer:
        return Answer(0, time.monotonic() - begun, why)

    try:
        egress.check(url)
        async with asyncio.timeout(within), egress.session() as session:
            fields = {"User-Agent": AGENT, **headers}
            request = session.post(
                url, data=body, headers=fields, allow_redirects=False, middlewares=tuple(middlewares) or None
            )
            async with request as answer:
                text = await _beginning(answer.content)
                detail = f"{answer.status} {answer.reason or ''}".strip()
                if not 200 <= answer.status < 300:
                    words = text[: MAX_WORDS * 4].decode("utf-8", "replace")
                    detail += "".join(f": {shown}" for shown in [_printable(words)] if shown)
                return Answer(answer.status, time.monotonic() - begun, detail, text)
    except TimeoutError:
        return failed(f"no answer within {within:.0f} s")
    except Forbidden:
        return failed("the address is none that this gateway sends to")
    except (aiohttp.ClientError, OSError, ValueError) as exc:
        if _is_forbidden(exc):
            return failed("the name leads to an address that this gateway does not send to")
        return failed(_words(exc))


async def _beginning(content: aiohttp.StreamReader) -> bytes:
    """An answer as far as it counts; it comes in pieces."""
    found = bytearray()
    while len(found) < MAX_ANSWER and (piece := await content.read(MAX_ANSWER - len(found))):
        found += piece
    return bytes(found)


def _words(error: BaseException) -> str:
    """An error without the URL, which may hold secrets."""
    reason = getattr(error, "os_error", None)
    return f"{type(error).__name__}{f': {reason.strerror}' if reason is not None and reason.strerror else ''}"


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text[:MAX_WORDS]).strip()


def _is_forbidden(error: BaseException) -> bool:
    seen: BaseException | None = error
    for _ in range(10):
        if seen is None:
            return False
        if isinstance(seen, Forbidden):
            return True
        seen = seen.__cause__ or seen.__context__
    return False
