"""faxgw.delivery.webhook: signed as Standard Webhooks says, each try noted, the same message at every try."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import pytest

from faxgw.delivery.webhook import WebhookDelivery, body_of, signed
from faxgw.fax.ports import Parcel
from faxgw.store import webhooks
from faxgw.store.webhooks import Webhook
from tests.delivery.receiver import LOOPBACK, receiver
from tests.house import House

SECRET, FORMER = (webhooks.secret_of(octets * 24) for octets in (b"a", b"b"))


def hook(url: str = "https://hooks.example.org/", **more: object) -> Webhook:
    values = {
        "id": "whk_1", "customer": "acme", "user": "", "url": url, "secret": SECRET, "former_secret": "",
        "former_until": 0.0, "events": ("*",), "description": "", "active": True,
        "created_at": 1.0, "created_by": "test",
    }  # fmt: skip
    return Webhook(**values | more)  # type: ignore[arg-type]


def parcel(tries: int = 1) -> Parcel:
    event = {
        "serial": 7, "type": "fax.waiting", "at": 1_780_000_000.25, "fax": "F1", "job": "J1",
        "data": {"cause": "busy", "until": 1_780_000_060.0},
    }  # fmt: skip
    return Parcel("out_1", "webhook", "https://hooks.example.org/", {"webhook": "whk_1", "event": event}, 1.0, tries)


def test_a_message_tells_what_happened() -> None:
    assert json.loads(body_of(parcel())) == {
        "type": "fax.waiting",
        "timestamp": "2026-05-28T20:26:40.250Z",
        "data": {"event": "7", "fax": "F1", "job": "J1", "cause": "busy", "until": "2026-05-28T20:27:40.000Z"},
    }
    assert body_of(parcel(1)) == body_of(parcel(9))


def test_a_signature_is_what_its_standard_says() -> None:
    """The vector of the reference implementation's documentation."""
    known = hook(secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    found = signed(known, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330.9, b'{"test": 2432232314}')
    assert found["webhook-timestamp"] == "1614265330"
    assert found["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_after_a_rotation_both_secrets_sign_for_a_while() -> None:
    rotated = hook(former_secret=FORMER, former_until=100.0)
    both, one = signed(rotated, "id", 99.0, b"{}"), signed(rotated, "id", 101.0, b"{}")
    content = b"id.99.{}"
    expected = [base64.b64encode(hmac.new(key * 24, content, hashlib.sha256).digest()).decode() for key in (b"a", b"b")]
    assert both["webhook-signature"] == f"v1,{expected[0]} v1,{expected[1]}"
    assert " " not in one["webhook-signature"]


@pytest.mark.asyncio(loop_scope="session")
async def test_an_event_arrives_and_every_try_is_noted(house: House) -> None:
    async with receiver() as there:
        await house.do(webhooks.create, "acme", hook(there.url), now=house.clock.now)
        way = WebhookDelivery(house.store, LOOPBACK, house.clock)
        there.says(503, "later")
        assert not (await way.deliver(parcel(1))).delivered
        there.answer = None
        assert (await way.deliver(parcel(2))).delivered
        (_, first), (request, second) = there.seen
        assert first == second
        assert request.headers["webhook-id"] == "out_1"
        stored = await house.ask(webhooks.of_id, "whk_1")
        assert stored is not None
        assert dict(request.headers) | signed(stored, "out_1", house.clock.now, second) == dict(request.headers)
        tries = await house.ask(webhooks.tries, "whk_1", before=0, limit=10)
        assert [(one.number, one.status, one.delivered, one.event, one.entity) for one in tries] == [
            (2, 204, True, "fax.waiting", "F1"),
            (1, 503, False, "fax.waiting", "F1"),
        ]
        assert tries[1].detail == "503 Service Unavailable: later"


@pytest.mark.asyncio(loop_scope="session")
async def test_nothing_is_sent_to_one_that_was_removed_or_switched_off(house: House) -> None:
    async with receiver() as there:
        way = WebhookDelivery(house.store, LOOPBACK, house.clock)
        assert (await way.deliver(parcel())).permanent
        await house.do(webhooks.create, "acme", hook(there.url, active=False), now=house.clock.now)
        assert (await way.deliver(parcel())).permanent
        assert there.seen == []
