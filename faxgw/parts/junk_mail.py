"""The daily mail about faxes that were set aside as junk (docs/junk.md)."""

from __future__ import annotations

from faxgw.api.junk_links import JunkLinks
from faxgw.dispatch.junk_mail import JunkMail
from faxgw.parts.house import House, Part


async def _start(house: House) -> None:
    house.mount(JunkLinks(house.ground).routes())
    house.task(JunkMail(house.seat, origin_of_links(house)).run_for_ever(), "junk mail")


def origin_of_links(house: House) -> str:
    """What links begin with; empty: none are sent, as the address is not known or what stands in them could be read."""
    url = house.ground.public_url
    return url if url.startswith("https://") or house.ground.plain_logins else ""


PART = Part("junk_mail", _start)
