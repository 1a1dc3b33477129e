"""Webhooks: events posted as JSON, signed in the Standard Webhooks form (docs/webhooks.md).

`webhook-id` is the same over all tries of one event, `webhook-timestamp` the moment of the try, `webhook-signature`
one `v1,` signature for each secret that counts: HMAC-SHA-256 of id, timestamp and body, joined by dots.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any  # the payload is JSON

from faxgw.delivery.post import Answer, post
from faxgw.egress import Egress
from faxgw.fax.ports import DeliveryResult, Parcel
from faxgw.store import webhooks
from faxgw.store.engine import Store
from faxgw.store.webhooks import Try, Webhook


class WebhookDelivery:
    """Posts events.

    Args:
        store: The webhooks and their logs.
        egress: Who may be reached.
        clock: Unix seconds.
    """

    def __init__(self, store: Store, egress: Egress, clock: Callable[[], float]) -> None:
        self._store = store
        self._egress = egress
        self._clock = clock

    async def deliver(self, parcel: Parcel) -> DeliveryResult:
        """See the port."""
        name = str(parcel.payload["webhook"])
        hook = await self._store.read(lambda conn: webhooks.of_id(conn, name))
        if hook is None or not hook.active:
            return DeliveryResult(False, permanent=True, detail="the webhook was removed or switched off")
        now = self._clock()
        body = body_of(parcel)
        headers = {"Content-Type": "application/json", **signed(hook, parcel.item, now, body)}
        answer = await post(self._egress, hook.url, body, headers)
        await self._note(hook, parcel, answer, now)
        return DeliveryResult(answer.good, permanent=answer.gone, detail=answer.detail)

    async def _note(self, hook: Webhook, parcel: Parcel, answer: Answer, now: float) -> None:
        event = _event(parcel)
        done = Try(
            item=parcel.item,
            event=str(event["type"]),
            entity=str(event["fax"] or event["job"] or ""),
            at=now,
            number=parcel.tries,
            status=answer.status,
            ms=round(answer.seconds * 1000),
            detail=answer.detail,
            delivered=answer.good,
        )
        await self._store.run(lambda conn: webhooks.record(conn, hook.id, done))


def body_of(parcel: Parcel) -> bytes:
    """The message: the same octets at every try."""
    event = _event(parcel)
    data = dict(event["data"])
    if isinstance(data.get("until"), int | float):
        data["until"] = _moment(data["until"])
    message = {
        "type": event["type"],
        "timestamp": _moment(event["at"]),
        "data": {"event": str(event["serial"]), "fax": event["fax"], "job": event["job"], **data},
    }
    return json.dumps(message, separators=(",", ":")).encode()


def signed(hook: Webhook, item: str, now: float, body: bytes) -> dict[str, str]:
    """The three header fields of a try."""
    keys = [hook.secret] + ([hook.former_secret] if hook.former_secret and hook.former_until > now else [])
    return sign(keys, item, now, body)


def sign(secrets: Sequence[str], item: str, now: float, body: bytes) -> dict[str, str]:
    """The same for any message, with a signature by each secret."""
    stamp = str(int(now))
    content = f"{item}.{stamp}.".encode() + body
    signatures = [
        "v1," + base64.b64encode(hmac.new(_key(secret), content, hashlib.sha256).digest()).decode()
        for secret in secrets
    ]
    return {"webhook-id": item, "webhook-timestamp": stamp, "webhook-signature": " ".join(signatures)}


def _key(secret: str) -> bytes:
    text = secret.removeprefix(webhooks.SECRET_MARK)
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return text.encode()  # one that was set by hand


def _event(parcel: Parcel) -> Mapping[str, Any]:
    event = parcel.payload["event"]
    assert isinstance(event, Mapping)  # store.webhook_feed wrote it
    return event


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
