"""The vendor's interfaces for programs, REST and SOAP, and the fetching of documents by reference."""

from __future__ import annotations

from faxgw.api.report_age import forget_for_ever
from faxgw.api.retarus import RetarusApi
from faxgw.api.settings import ApiSettings
from faxgw.api.soap import SoapApi
from faxgw.api.vendor_jobs import VendorJobs
from faxgw.dispatch.fetching import Fetcher
from faxgw.egress import Egress
from faxgw.parts.house import House, Part


async def _start(house: House) -> None:
    api = house.settings.one("api", ApiSettings)
    house.task(forget_for_ever(house.ground.store, house.ground.clock, api.report_days), "reports")
    egress = Egress(api.fetch_networks)
    house.station(Fetcher(house.seat, egress, int(api.fetch_limit)).fetching)
    jobs = VendorJobs(house.ground, house.jobs, api, egress)
    if api.retarus:
        house.mount(RetarusApi(house.ground, jobs, api).routes())
    if api.soap:
        house.mount(SoapApi(house.ground, jobs, api).routes())


PART = Part("retarus", _start, {"api": ApiSettings})
