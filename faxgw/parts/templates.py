"""Templates: the interface that keeps cover pages and overlays."""

from __future__ import annotations

from faxgw.api.templates import TemplateRoutes
from faxgw.dispatch.template_desk import TemplateDesk
from faxgw.fax.access import OPERATOR
from faxgw.parts.house import House, Part


async def _start(house: House) -> None:
    routes = TemplateRoutes(house.ground, TemplateDesk(house.seat, house.pages))
    house.control.extend(routes.control_routes(OPERATOR))
    house.mount(routes.routes())


PART = Part("templates", _start)
