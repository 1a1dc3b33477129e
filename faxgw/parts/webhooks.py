"""Requests to programs of customers: status pushes of jobs, and webhooks."""

from __future__ import annotations

from faxgw.api.settings import ApiSettings
from faxgw.delivery.push import PushDelivery
from faxgw.delivery.webhook import WebhookDelivery
from faxgw.dispatch.hooks import spread_for_ever
from faxgw.egress import Egress
from faxgw.parts.house import House, Part
from faxgw.store import pushes, webhook_feed


async def _start(house: House) -> None:
    egress, ground = Egress(house.settings.one("api", ApiSettings).push_networks), house.ground
    house.ways[pushes.KIND] = PushDelivery(house.seat.store, egress, ground.ticks)
    house.ways[webhook_feed.KIND] = WebhookDelivery(house.seat.store, egress, ground.clock)
    house.task(spread_for_ever(house.seat), "webhooks")


PART = Part("webhooks", _start)
