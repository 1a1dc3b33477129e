"""Webhooks: made, changed, removed, their secrets rotated, and the log of what was sent to them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from faxgw.api.answers import Refusal
from faxgw.api.http import Ground
from faxgw.api.v1 import cursor, patterns
from faxgw.api.v1.cursor import Cursor
from faxgw.api.v1.problems import of_code
from faxgw.api.v1.table import Call, Operation, Outcome, Reply
from faxgw.api.v1.types import Answer, Document, Line, Moment, Query, Whole, shown, shown_or_none
from faxgw.egress import Closed, Egress, Forbidden
from faxgw.fax import ids
from faxgw.fax.access import Scope
from faxgw.store import webhooks
from faxgw.store.event_feed import PUBLIC
from faxgw.store.webhooks import Webhook

EVENT_NAMES = (*dict.fromkeys(PUBLIC.values()), "*", "fax.*", "job.*", "received.*")
"""What a webhook may ask for."""
EventName = Literal[
    "job.accepted", "job.finished", "fax.accepted", "fax.rendering", "fax.ready", "fax.waiting", "fax.calling",
    "fax.held", "fax.sent", "fax.failed", "fax.cancelled", "fax.expired", "fax.unknown", "received.ringing",
    "received.receiving", "received.complete", "received.partial", "received.empty", "received.routed",
    "received.delivered", "received.retained", "received.page", "received.acknowledged", "*", "fax.*", "job.*",
    "received.*",
]  # fmt: skip
SCOPES = (Scope.WEBHOOKS,)


class WebhookNew(Document):
    """A webhook to be made."""

    url: Annotated[str, Field(pattern=patterns.HOOK_URL, max_length=2_000)]
    """Where events are posted, signed as Standard Webhooks says; only public addresses, and those that the operator has
    opened. An international name is written as `xn--…`."""
    events: Annotated[list[EventName], Field(min_length=1, max_length=30)]
    description: Line = ""
    active: bool = True


class WebhookChange(Document):
    """What is to change of a webhook."""

    url: Annotated[str, Field(pattern=patterns.HOOK_URL, max_length=2_000)] | None = None
    events: Annotated[list[EventName], Field(min_length=1, max_length=30)] | None = None
    description: Line | None = None
    active: bool | None = None


class WebhookShown(Answer):
    """A webhook."""

    id: str
    url: str
    events: list[str]
    description: str
    active: bool
    user: str
    """Whose faxes it is told of; empty: the account's."""
    created_at: Moment
    created_by: str
    former_secret_until: Moment | None
    """Until then the secret before the last rotation signs too."""


class WebhookMade(WebhookShown):
    """A webhook with its secret, which is told here alone."""

    secret: str
    """`whsec_` and the key in base64."""


class Webhooks(Answer):
    """All webhooks."""

    webhooks: list[WebhookShown]


class TryShown(Answer):
    """One try to tell a webhook."""

    message: str
    """The `webhook-id` that the receiver saw; the same for each try of one event."""
    event: str
    fax: str
    """Fax or job that it is about."""
    at: Moment
    number: int
    """Of the message's tries, from 1."""
    status: int | None
    """HTTP status of the answer; null: there was none."""
    ms: int
    detail: str
    delivered: bool


class Tries(Answer):
    """A part of the log, newest first."""

    deliveries: list[TryShown]
    next: str | None


class TriesQuery(Query):
    """Where the log goes on."""

    limit: Annotated[int, Field(ge=1, le=200), Whole] = 50
    cursor: Cursor | None = None


class WebhookRoutes:
    """Serves webhooks.

    Args:
        ground: The store.
        egress: Which addresses may be asked.
    """

    def __init__(self, ground: Ground, egress: Egress) -> None:
        self._ground = ground
        self._egress = egress

    def operations(self) -> Sequence[Operation]:
        """Their rows."""
        one = "/webhooks/{webhook}"
        return (
            Operation(
                "listWebhooks", "GET", "/webhooks", "Webhooks", "List webhooks", self.list, SCOPES,
                (Outcome(200, "All of them.", Webhooks),),
                doc="Credentials of a user see and make the user's own, which are told of the user's faxes.",
            ),
            Operation(
                "createWebhook", "POST", "/webhooks", "Webhooks", "Make a webhook", self.create, SCOPES,
                (Outcome(201, "Made; its secret is in this answer alone.", WebhookMade,
                         headers={"Location": "The webhook."}),),
                body=WebhookNew, problems=("bad_reference", "address_closed", "too_many_webhooks"),
            ),
            Operation(
                "getWebhook", "GET", one, "Webhooks", "Look at a webhook", self.get, SCOPES,
                (Outcome(200, "The webhook.", WebhookShown),),
            ),
            Operation(
                "changeWebhook", "PATCH", one, "Webhooks", "Change a webhook", self.change, SCOPES,
                (Outcome(200, "Changed.", WebhookShown),), body=WebhookChange,
                problems=("bad_reference", "address_closed"),
            ),
            Operation(
                "removeWebhook", "DELETE", one, "Webhooks", "Remove a webhook with its log", self.remove, SCOPES,
                (Outcome(204, "Removed."),),
            ),
            Operation(
                "rotateWebhookSecret", "POST", one + "/rotate", "Webhooks", "Give a webhook another secret",
                self.rotate, SCOPES,
                (Outcome(200, "The new secret; the former one signs too for a day.", WebhookMade),),
            ),
            Operation(
                "listDeliveries", "GET", one + "/deliveries", "Webhooks", "What was sent to a webhook", self.tries,
                SCOPES, (Outcome(200, "A part of the log, newest first.", Tries),),
                query=TriesQuery, problems=("unknown_cursor",),
            ),
            Operation(
                "repeatDelivery", "POST", one + "/deliveries/{message}/again", "Webhooks", "Send a message once more",
                self.again, SCOPES, (Outcome(204, "It is sent once more, under the same `webhook-id`."),),
                doc="For messages that were delivered or given up, after your program has lost them.",
                problems=("on_its_way",),
            ),
        )  # fmt: skip

    async def list(self, call: Call) -> Reply:
        """GET /webhooks."""
        found = await self._ground.view(call.caller).read(webhooks.every, call.caller.user)
        return Reply(Webhooks(webhooks=[_shown(one, self._ground.clock()) for one in found]))

    async def create(self, call: Call) -> Reply:
        """POST /webhooks."""
        asked: WebhookNew = call.body
        self._check(asked.url)
        now = self._ground.clock()
        new = Webhook(
            id=ids.prefixed("whk", now, secrets.token_bytes(ids.RANDOM_OCTETS)),
            customer=call.caller.customer,
            user=call.caller.user,
            url=asked.url,
            secret=webhooks.secret_of(secrets.token_bytes(webhooks.SECRET_OCTETS)),
            former_secret="",
            former_until=0.0,
            events=tuple(dict.fromkeys(asked.events)),
            description=asked.description,
            active=asked.active,
            created_at=now,
            created_by=call.caller.name,
        )
        try:
            await self._ground.view(call.caller).run(webhooks.create, new, now=now)
        except webhooks.TooMany as exc:
            raise of_code("too_many_webhooks", exc.public) from exc
        return Reply(_made(new, now), 201, {"Location": f"/api/v1/webhooks/{new.id}"})

    async def get(self, call: Call) -> Reply:
        """GET /webhooks/{webhook}."""
        return Reply(_shown(await self._found(call), self._ground.clock()))

    async def change(self, call: Call) -> Reply:
        """PATCH /webhooks/{webhook}."""
        asked: WebhookChange = call.body
        values = {key: value for key, value in asked.given().items() if value is not None}
        if asked.url is not None:
            self._check(asked.url)
        now, who = self._ground.clock(), call.caller.name
        view = self._ground.view(call.caller)
        changed = await view.run(webhooks.change, call.caller.user, call.path["webhook"], values, who=who, now=now)
        if changed is None:
            raise Refusal.missing()
        return Reply(_shown(changed, now))

    async def remove(self, call: Call) -> Reply:
        """DELETE /webhooks/{webhook}."""
        now, who = self._ground.clock(), call.caller.name
        view = self._ground.view(call.caller)
        if not await view.run(webhooks.remove, call.caller.user, call.path["webhook"], who=who, now=now):
            raise Refusal.missing()
        return Reply(None, 204)

    async def rotate(self, call: Call) -> Reply:
        """POST /webhooks/{webhook}/rotate."""
        now, who = self._ground.clock(), call.caller.name
        secret = webhooks.secret_of(secrets.token_bytes(webhooks.SECRET_OCTETS))
        view = self._ground.view(call.caller)
        found = await view.run(webhooks.rotate, call.caller.user, call.path["webhook"], secret, who=who, now=now)
        if found is None:
            raise Refusal.missing()
        return Reply(_made(found, now))

    async def tries(self, call: Call) -> Reply:
        """GET /webhooks/{webhook}/deliveries."""
        found = await self._found(call)
        query: TriesQuery = call.query
        after = cursor.decode(query.cursor, query)
        before = int(after[0]) if after is not None else 0
        rows = await self._ground.store.read(
            lambda conn: webhooks.tries(conn, found.id, before=before, limit=query.limit + 1)
        )
        shown_rows = rows[: query.limit]
        following = cursor.encode((shown_rows[-1].serial, ""), query) if len(rows) > query.limit else None
        return Reply(Tries(deliveries=[_try(row) for row in shown_rows], next=following))

    async def again(self, call: Call) -> Reply:
        """POST /webhooks/{webhook}/deliveries/{message}/again."""
        found, item = await self._found(call), call.path["message"]
        now, who = self._ground.clock(), call.caller.name
        done = await self._ground.store.run(lambda conn: webhooks.again(conn, found.id, item, who=who, now=now))
        if done is None:
            raise Refusal.missing()
        if not done:
            raise of_code("on_its_way", "The message is still being tried by itself.", headers={"Retry-After": "60"})
        return Reply(None, 204)

    async def _found(self, call: Call) -> Webhook:
        found = await self._ground.view(call.caller).read(webhooks.find, call.caller.user, call.path["webhook"])
        if found is None:
            raise Refusal.missing()
        return found

    def _check(self, url: str) -> None:
        try:
            self._egress.check(url)
        except Closed as exc:
            text = "Events go to public addresses, and to those that the operator has opened ([api] push_networks)."
            raise of_code("address_closed", text, param="url") from exc
        except Forbidden as exc:
            raise of_code("bad_reference", "This is no URL that events can be posted to.", param="url") from exc


def _fields(webhook: Webhook, now: float) -> dict[str, object]:
    return {
        "id": webhook.id,
        "url": webhook.url,
        "events": list(webhook.events),
        "description": webhook.description,
        "active": webhook.active,
        "user": webhook.user.partition("/")[2],
        "created_at": shown(webhook.created_at),
        "created_by": webhook.created_by,
        "former_secret_until": shown_or_none(webhook.former_until if webhook.former_until > now else None),
    }


def _shown(webhook: Webhook, now: float) -> WebhookShown:
    return WebhookShown.model_validate(_fields(webhook, now))


def _made(webhook: Webhook, now: float) -> WebhookMade:
    return WebhookMade.model_validate(_fields(webhook, now) | {"secret": webhook.secret})


def _try(row: webhooks.Try) -> TryShown:
    return TryShown(
        message=row.item,
        event=row.event,
        fax=row.entity,
        at=shown(row.at),
        number=row.number,
        status=row.status or None,
        ms=row.ms,
        detail=row.detail,
        delivered=row.delivered,
    )
