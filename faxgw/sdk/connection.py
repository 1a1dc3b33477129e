"""Where a client's requests go and as whom, and how requests and answers look to httpx. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final  # Any: arguments of httpx

import httpx

from faxgw.sdk.steps import BASE, Answer, Lost, Request
from faxgw.sdk.stream import EventReader

TIMEOUT_S: Final = 60.0
"""Seconds without a sign of the gateway, for one request."""
POLL_S: Final = 2.0
"""Seconds between looks of `wait`."""


class Connection:
    """The gateway's address and the program's credentials.

    Args:
        server: Its address, `https://fax.example.org`.
        token: An API token; or `login`, a name and its password.
        login: See `token`.
    """

    def __init__(self, server: str, token: str, login: tuple[str, str] | None) -> None:
        self._base = server.rstrip("/") + BASE
        self._auth = httpx.BasicAuth(*login) if login else None
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def arguments(self, request: Request) -> Mapping[str, Any]:
        """What httpx's `request` is called with."""
        return {
            "method": request.method,
            "url": self._base + request.path,
            "params": list(request.query) or None,
            "json": request.json,
            "files": list(request.files) or None,
            "headers": {**self._headers, **request.headers},
            "auth": self._auth,
        }

    def following(self, reader: EventReader) -> Mapping[str, Any]:
        """What httpx's `stream` is called with, to go on behind the last event that was read."""
        headers = {**self._headers, "Accept": "text/event-stream"}
        if reader.last:
            headers["Last-Event-ID"] = reader.last
        url = self._base + "/events"
        return {"method": "GET", "url": url, "headers": headers, "auth": self._auth, "timeout": TIMEOUT_S}


def answer_of(got: httpx.Response) -> Answer:
    """An answer that has been read."""
    return Answer(got.status_code, {name.lower(): value for name, value in got.headers.items()}, got.content)


def lost(error: httpx.TransportError) -> Lost:
    """No answer, and why."""
    return Lost(f"{type(error).__name__}: {error}")
