"""Papers of numbers, and the switch that closes the interfaces for maintenance."""

from __future__ import annotations

from faxgw.api.maintenance import MaintenanceRoutes
from faxgw.api.papers import PaperRoutes
from faxgw.parts.house import House, Part


async def _start(house: House) -> None:
    house.administer(PaperRoutes(house.ground))
    switch = MaintenanceRoutes(house.ground.maintenance, house.data)
    await switch.recall()
    house.control.extend(switch.control_routes())


PART = Part("papers", _start)
