"""Server-sent events as they come, line by line (WHATWG HTML section 9.2.6). No I/O."""

from __future__ import annotations

import json

from faxgw.api.v1.events import Event

MAX_LINE = 1_000_000
"""Characters of a line at most; the gateway's have some hundred."""


class EventReader:
    """Reads lines.

    Attributes:
        last: Id of the last event, to go on from.
        retry: Seconds before a connection that broke is made again.
    """

    def __init__(self, last: str = "") -> None:
        self.last = last
        self.retry = 3.0
        self._data: list[str] = []
        self._kind = ""
        self._id = ""

    def feed(self, line: str) -> Event | None:
        """Take a line; the event that it completes, if it does."""
        if len(line) > MAX_LINE:
            raise ValueError("a line without end")
        if not line:
            return self._complete()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "data":
                self._data.append(value)
            case "event":
                self._kind = value
            case "id":
                self._id = value
            case "retry" if value.isdecimal():
                self.retry = int(value) / 1000
        return None

    def _complete(self) -> Event | None:
        data, kind = "\n".join(self._data), self._kind
        self._data, self._kind = [], ""
        if self._id:
            self.last = self._id
        if not data or kind == "ready":
            return None
        return Event.model_validate(json.loads(data))
