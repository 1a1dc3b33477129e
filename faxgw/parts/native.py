"""The native API under /api/v1."""

from __future__ import annotations

from faxgw.api.settings import ApiSettings
from faxgw.api.v1.native import NativeApi
from faxgw.dispatch.gate import dial_plan
from faxgw.dispatch.preview import Previewer
from faxgw.dispatch.template_desk import TemplateDesk
from faxgw.egress import Egress
from faxgw.parts.house import House, Part


async def _start(house: House) -> None:
    settings = house.settings.one("api", ApiSettings)
    if not settings.native:
        return
    previews = Previewer(house.seat, house.pages)
    house.closing.push_async_callback(previews.close)
    api = NativeApi(
        house.ground,
        house.jobs,
        settings,
        Egress(settings.fetch_networks),
        push_egress=Egress(settings.push_networks),
        pages=house.pages,
        previews=previews,
        templates=TemplateDesk(house.seat, house.pages),
        plan=dial_plan,
        system=house.system,
    )
    house.mount(api.routes())
    house.task(api.events.watch_for_ever(), "events")


PART = Part("native", _start)
"""Its settings are the table `[api]`, which is the part `retarus`'s."""
