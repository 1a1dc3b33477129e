"""Received faxes posted to a customer's program: the vendor's four modes, and a signed native form.

The modes put login and password into the body, as the vendor does; `auth` asks for HTTP Basic, Digest or a token
instead. The native form is signed as webhooks are (docs/webhooks.md), with the outbox item's id as `webhook-id`, which
is the same at every try: a receiver that keeps it takes a fax once. Redirects are not followed.
"""

from __future__ import annotations

import asyncio
import base64
from collections import OrderedDict
from collections.abc import Callable

from aiohttp import ClientMiddlewareType, DigestAuthMiddleware

from faxgw.delivery import webhook
from faxgw.delivery.post import Answer, post
from faxgw.delivery.received import Consignment, Undelivered
from faxgw.delivery.tokens import Grant, NoToken, TokenSource
from faxgw.egress import Egress
from faxgw.formats import received_payload as payload
from faxgw.formats.received_payload import Credentials

WITHIN_S = 300.0
"""Seconds for one request: faxes are larger than events."""
MAX_SOURCES = 1_000
"""Grants whose tokens are remembered."""
_TOO_LARGE = 413


class WebhookWay:
    """Posts faxes.

    Args:
        egress: Who may be reached.
        clock: Unix seconds, for signatures.
        ticks: Monotonic seconds, for tokens.
    """

    def __init__(self, egress: Egress, clock: Callable[[], float], ticks: Callable[[], float]) -> None:
        self._egress = egress
        self._clock = clock
        self._ticks = ticks
        self._sources: OrderedDict[Grant, TokenSource] = OrderedDict()

    async def deliver(self, consignment: Consignment) -> str:
        """See `received.Way`."""
        body, kind = await asyncio.to_thread(body_of, consignment)
        headers = {"Content-Type": kind, "X-Faxgw-Delivery": consignment.item}
        if consignment.target.params.get("mode") == "soap":
            headers["SOAPAction"] = '""'
        try:
            middlewares = await self._login(consignment, headers)
        except NoToken as exc:
            raise Undelivered(f"no token: {exc}") from exc
        if secret := consignment.secrets.get("signing_secret", ""):
            headers |= webhook.sign([secret], consignment.item, self._clock(), body)
        answer = await post(
            self._egress, consignment.target.address, body, headers, middlewares=middlewares, within=WITHIN_S
        )
        self._judge(consignment, answer)
        return answer.detail

    async def _login(self, consignment: Consignment, headers: dict[str, str]) -> list[ClientMiddlewareType]:
        """Add what tells the receiver who sends; what answers its challenge."""
        params, secrets = consignment.target.params, consignment.secrets
        user, password = params.get("user", ""), secrets.get("password", "")
        match params.get("auth", ""):
            case "basic":
                headers["Authorization"] = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
            case "digest":
                return [DigestAuthMiddleware(user, password)]
            case "oauth2":
                headers["Authorization"] = f"Bearer {await self._source(consignment).token()}"
            case _ if token := secrets.get("token", ""):
                headers["Authorization"] = f"Bearer {token}"
        return []

    def _judge(self, consignment: Consignment, answer: Answer) -> None:
        """Raise Undelivered unless the receiver has it."""
        if answer.good:
            return
        if answer.status == 401 and consignment.target.params.get("auth") == "oauth2":
            self._source(consignment).forget()  # it may have been revoked: the next try has a new one
        raise Undelivered(answer.detail, temporary=not (answer.gone or answer.status == _TOO_LARGE))

    def _source(self, consignment: Consignment) -> TokenSource:
        params = consignment.target.params
        grant = Grant(params.get("token_url", ""), params.get("user", ""), consignment.secrets.get("password", ""))
        source = self._sources.pop(grant, None) or TokenSource(grant, self._egress, self._ticks)
        self._sources[grant] = source
        while len(self._sources) > MAX_SOURCES:
            self._sources.popitem(last=False)
        return source


def body_of(consignment: Consignment) -> tuple[bytes, str]:
    """What is posted, the same octets at every try unless documents are encrypted, and its Content-Type."""
    told, documents = (consignment.report, consignment.facts), consignment.documents
    login = login_of(consignment)
    match consignment.target.params.get("mode", "native"):
        case "json":
            return payload.as_json(*told, documents, login), payload.JSON_TYPE
        case "soap":
            return payload.as_soap(*told, documents, login), payload.XML_TYPE
        case "plain":
            return payload.as_xml(*told, documents, login), payload.XML_TYPE
        case "base64":
            return payload.as_base64(*told, documents, login), payload.TEXT_TYPE
        case _:
            return payload.as_native(*told, documents), "application/json"


def login_of(consignment: Consignment) -> Credentials | None:
    """What stands in the body's Authentication: the login, unless it is told in the header."""
    params = consignment.target.params
    if not params.get("user") or params.get("auth", "body") != "body":
        return None
    return Credentials(params["user"], consignment.secrets.get("password", ""))
