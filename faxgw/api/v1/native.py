"""The native API put together: its table, its description and its pages."""

from __future__ import annotations

import json
from collections.abc import Sequence

from aiohttp import web

from faxgw.api import openapi
from faxgw.api.http import Ground
from faxgw.api.settings import ApiSettings
from faxgw.api.v1.faxes import Faxes
from faxgw.api.v1.sending import Sending
from faxgw.api.v1.table import Operation, Table
from faxgw.egress import Egress
from faxgw.fax.submission import JobSubmissions


class NativeApi:
    """Serves /api/v1.

    Args:
        ground: Store, files, who is asking.
        submissions: The funnel for jobs.
        settings: `[api]`.
        egress: Who fetches documents that jobs name by their URL.
    """

    def __init__(self, ground: Ground, submissions: JobSubmissions, settings: ApiSettings, egress: Egress) -> None:
        sending = Sending(ground, submissions, settings, egress)
        self._faxes = Faxes(ground, sending, settings)
        self.table = Table(ground, self.operations())
        """Every operation."""
        self._description = json.dumps(openapi.describe(self.table.operations), ensure_ascii=False)

    def operations(self) -> Sequence[Operation]:
        """Every row."""
        return (*self._faxes.operations(),)

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """What is to be mounted."""
        return self.table.routes({"/openapi.json": self._openapi})

    async def _openapi(self, request: web.Request) -> web.StreamResponse:
        headers = {"Cache-Control": "public, max-age=300"}
        return web.Response(text=self._description, content_type="application/json", headers=headers)
