"""Status pushes: the report of a finished job, posted where the job or its account wants it (docs/push.md).

XML as the vendor's default, or the report of its REST interface as JSON. The receiver is told who sends by Basic or
Digest credentials (RFC 7617, RFC 7616) or by a token of the client-credentials grant (RFC 6749 section 4.4).
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable

from aiohttp import ClientMiddlewareType, DigestAuthMiddleware

from faxgw.delivery.post import Answer, post
from faxgw.delivery.tokens import JSON, TOKEN_MARGIN_S, Grant, NoToken, ask
from faxgw.egress import Egress
from faxgw.fax.ports import DeliveryResult, Parcel
from faxgw.fax.submission import JobPush
from faxgw.formats.retarus_report import report_to_json
from faxgw.formats.soap_answers import pushed_report
from faxgw.store import pushed
from faxgw.store.engine import Store
from faxgw.store.pushed import Pushed

MAX_TOKENS = 1_000
"""Tokens that are remembered."""
_XML = "text/xml; charset=utf-8"


class PushDelivery:
    """Posts reports.

    Args:
        store: What is told of a job.
        egress: Who may be reached.
        ticks: Monotonic seconds.
    """

    def __init__(self, store: Store, egress: Egress, ticks: Callable[[], float]) -> None:
        self._store = store
        self._egress = egress
        self._ticks = ticks
        self._tokens: OrderedDict[str, tuple[float, str]] = OrderedDict()

    async def deliver(self, parcel: Parcel) -> DeliveryResult:
        """See the port."""
        job = str(parcel.payload["job"])
        told = await self._store.read(lambda conn: pushed.find(conn, job))
        if told is None:
            return DeliveryResult(False, permanent=True, detail="the job is not there any more")
        try:
            answer = await self._post(told, parcel)
        except NoToken as exc:
            return DeliveryResult(False, detail=f"no token: {exc}")
        return DeliveryResult(answer.good, permanent=answer.gone, detail=answer.detail)

    async def _post(self, told: Pushed, parcel: Parcel) -> Answer:
        to, (body, kind) = told.push.to, body_of(told)
        headers = {"Content-Type": kind, "X-Faxgw-Delivery": parcel.item}
        middlewares: list[ClientMiddlewareType] = []
        match to.method:
            case "HTTP_BASIC":
                pair = f"{to.principal}:{to.credentials}".encode()
                headers["Authorization"] = "Basic " + base64.b64encode(pair).decode()
            case "HTTP_DIGEST":
                middlewares.append(DigestAuthMiddleware(to.principal, to.credentials))
            case "OAUTH2":
                headers["Authorization"] = "Bearer " + await self._token(told)
        answer = await post(self._egress, to.url, body, headers, middlewares=middlewares)
        if answer.status == 401 and to.method == "OAUTH2":  # it may have been revoked: the next try has a new one
            self._tokens.pop(_key(told), None)
        return answer

    async def _token(self, told: Pushed) -> str:
        """A token of the account's authorisation server."""
        key, now = _key(told), self._ticks()
        known = self._tokens.get(key)
        if known is not None and known[0] > now:
            return known[1]
        to = told.push.to
        grant = Grant(told.push.token_url, to.principal, to.credentials)
        token, lasts = await ask(grant, self._egress)
        self._tokens.pop(key, None)
        self._tokens[key] = now + lasts - TOKEN_MARGIN_S, token
        while len(self._tokens) > MAX_TOKENS:
            self._tokens.popitem(last=False)
        return token


def body_of(told: Pushed) -> tuple[bytes, str]:
    """What is posted, and its Content-Type."""
    to = told.push.to
    if told.push.form == "json":
        return json.dumps(report_to_json(told.report)).encode(), JSON
    text = pushed_report(told.report, url=_bare(to), method=to.method, mail=told.mail, documents=told.documents)
    return text.encode(), _XML


def _bare(to: JobPush) -> str:
    """The URL without credentials in it."""
    scheme, mark, rest = to.url.partition("://")
    host, slash, path = rest.partition("/")
    return scheme + mark + host.rpartition("@")[2] + slash + path


def _key(told: Pushed) -> str:
    to = told.push.to
    whole = "\x00".join((told.push.token_url, to.principal, to.credentials))
    return hashlib.sha256(whole.encode()).hexdigest()
