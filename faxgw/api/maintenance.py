"""The operator's switch: while it is set, programs are told 503 with the reason; faxes go on, mail is taken.

It stands in a file of the data folder, so that a restart does not open what was closed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from faxgw.api.http import Maintenance

FILE = "maintenance"
"""In the data folder; its text is the reason."""
MAX_REASON = 300
"""Characters."""

log = logging.getLogger(__name__)


class MaintenanceRoutes:
    """Serves the switch on the control socket.

    Args:
        maintenance: What the interfaces look at.
        data: The data folder.
    """

    def __init__(self, maintenance: Maintenance, data: Path) -> None:
        self._maintenance = maintenance
        self._file = data / FILE

    async def recall(self) -> None:
        """Set it as it was before the restart."""
        self._maintenance.reason = await asyncio.to_thread(_read, self._file)

    def control_routes(self) -> Sequence[web.AbstractRouteDef]:
        """For the operator's socket."""
        return [web.get("/maintenance", self.look), web.put("/maintenance", self.set)]

    async def look(self, request: web.Request) -> web.Response:
        """Whether it is set: `reason`, empty when not."""
        return web.json_response({"reason": self._maintenance.reason})

    async def set(self, request: web.Request) -> web.Response:
        """Set it, or with an empty reason open again: `{"reason": …}`."""
        try:
            reason = json.loads(await request.read())["reason"]
        except (ValueError, KeyError, TypeError):
            return web.json_response({"error": "The body must be an object with a reason."}, status=400)
        if not isinstance(reason, str) or len(reason) > MAX_REASON or not reason.isprintable():
            text = f"The reason is one line of at most {MAX_REASON} characters."
            return web.json_response({"error": text}, status=400)
        await asyncio.to_thread(_write, self._file, reason.strip())
        self._maintenance.reason = reason.strip()
        log.warning("maintenance", extra={"event": "maintenance", "why": self._maintenance.reason or "over"})
        return web.json_response({"reason": self._maintenance.reason})


def _read(file: Path) -> str:
    try:
        return file.read_text()[:MAX_REASON].strip()
    except FileNotFoundError:
        return ""


def _write(file: Path, reason: str) -> None:
    if not reason:
        file.unlink(missing_ok=True)
    else:
        beside = file.with_name(f".{file.name}")
        with beside.open("w") as stream:
            stream.write(reason)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(file)
    descriptor = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
