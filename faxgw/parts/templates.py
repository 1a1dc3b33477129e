"""Templates: the interface that keeps cover pages and overlays."""

from __future__ import annotations

from faxgw.api.templates import TemplateRoutes
from faxgw.dispatch.template_desk import TemplateDesk
from faxgw.parts.house import House, Part


async def _start(house: House) -> None:
    house.administer(TemplateRoutes(house.ground, TemplateDesk(house.seat, house.pages)))


PART = Part("templates", _start)
