"""The native API put together: its table, its description and its pages."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

from aiohttp import web

from faxgw.api import openapi
from faxgw.api.http import Ground
from faxgw.api.settings import ApiSettings
from faxgw.api.templates import Desk
from faxgw.api.v1 import reading
from faxgw.api.v1.account import AccountRoutes
from faxgw.api.v1.calls import Calls
from faxgw.api.v1.contents import Contents, PageTools
from faxgw.api.v1.events import MAX_STREAM_S, Events
from faxgw.api.v1.faxes import Faxes
from faxgw.api.v1.sending import Sending
from faxgw.api.v1.table import Operation, Table
from faxgw.api.v1.templates import TemplateOperations
from faxgw.api.v1.webhooks import WebhookRoutes
from faxgw.egress import Egress
from faxgw.fax.account import Effective
from faxgw.fax.number import DialPlan
from faxgw.fax.preview import Previews
from faxgw.fax.submission import JobSubmissions


class NativeApi:
    """Serves /api/v1.

    Args:
        ground: Store, files, who is asking.
        submissions: The funnel for jobs.
        settings: `[api]`.
        egress: From which addresses documents are fetched.
        push_egress: Which addresses webhooks may have.
        pages: The page processes.
        previews: Shows faxes of the queue.
        templates: Takes templates in and shows them.
        plan: How an account's settings have numbers read.
        system: Settings of the system level.
        stream_s: Seconds after which an event stream ends.
    """

    def __init__(
        self,
        ground: Ground,
        submissions: JobSubmissions,
        settings: ApiSettings,
        egress: Egress,
        *,
        push_egress: Egress,
        pages: PageTools,
        previews: Previews,
        templates: Desk,
        plan: Callable[[Effective], DialPlan],
        system: Mapping[str, object],
        stream_s: float = MAX_STREAM_S,
    ) -> None:
        self._sending = Sending(ground, submissions, settings, egress)
        self._faxes = Faxes(ground, self._sending, settings)
        self._contents = Contents(ground, pages, previews)
        self._calls = Calls(ground)
        self.events = Events(ground, stream_s)
        """Its `watch_for_ever` wakes the streams."""
        self._webhooks = WebhookRoutes(ground, push_egress)
        self._templates = TemplateOperations(templates)
        self._account = AccountRoutes(ground, system, plan)
        self.table = Table(ground, self.operations())
        """Every operation."""
        described = openapi.describe(self.table.operations, recipients=settings.max_recipients)
        self._description = json.dumps(described, ensure_ascii=False)
        self._reference = reading.reference(described)
        self._problems = reading.problems()

    def operations(self) -> Sequence[Operation]:
        """Every row."""
        parts = (self._faxes, self._contents, self._calls, self.events, self._webhooks, self._templates, self._account)
        return [operation for part in parts for operation in part.operations()]

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """What is to be mounted."""
        return self.table.routes({"/openapi.json": self._openapi, "/docs": self._docs, "/problems": self._problem_list})

    async def _openapi(self, request: web.Request) -> web.StreamResponse:
        headers = {"Cache-Control": "public, max-age=300"}
        return web.Response(text=self._description, content_type="application/json", headers=headers)

    async def _docs(self, request: web.Request) -> web.StreamResponse:
        return self._reference.answer()

    async def _problem_list(self, request: web.Request) -> web.StreamResponse:
        return self._problems.answer()
