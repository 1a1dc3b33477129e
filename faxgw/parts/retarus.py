"""The vendor's REST interface "Fax for Applications", and the fetching of documents by reference."""

from __future__ import annotations

from faxgw.api.retarus import RetarusApi
from faxgw.api.settings import ApiSettings
from faxgw.dispatch.fetching import Fetcher
from faxgw.egress import Egress
from faxgw.parts.house import House, Part


async def _start(house: House) -> None:
    api = house.settings.one("api", ApiSettings)
    if not api.retarus:
        return
    egress = Egress(api.fetch_networks)
    house.station(Fetcher(house.seat, egress, int(api.fetch_limit)).fetching)
    retarus = RetarusApi(house.ground, house.jobs, api, egress)
    house.mount(retarus.routes())
    house.task(retarus.forget_for_ever(), "reports")


PART = Part("retarus", _start, {"api": ApiSettings})
